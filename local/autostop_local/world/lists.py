"""Filters, pages and tags: what the lists of EC2 have in common."""

import fnmatch
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from autostop_local.world.cloud import Params
from autostop_local.world.errors import AwsError, invalid_value
from autostop_local.world.resources import Resource
from autostop_local.world.xml import NOT_XML

R = TypeVar("R", bound=Resource)

# The values of one filter for one resource; no value when it has none of that name.
Facts = Mapping[str, Callable[[R], Sequence[str]]]


def filtered(resources: Iterable[R], params: Params, facts: Facts[R]) -> list[R]:
    """Those that match every filter; a filter matches by any of its values, in which * and ? are wildcards.

    Raises InvalidParameterValue for a filter that `facts` and tags do not know.
    """
    kept = list(resources)
    for one in params.get("Filters") or ():
        values_of = _values_of(one["Name"], facts)
        exact = {value for value in one.get("Values") or () if not _WILD.search(value)}
        wild = [re.compile(fnmatch.translate(value)) for value in one.get("Values") or () if _WILD.search(value)]
        kept = [
            resource
            for resource in kept
            if any(value in exact or any(pattern.match(value) for pattern in wild) for value in values_of(resource))
        ]
    return kept


_WILD = re.compile(r"[*?]")


def _values_of(name: str, facts: Facts[R]) -> Callable[[R], Sequence[str]]:
    if name.startswith("tag:"):
        key = name.removeprefix("tag:")
        return lambda resource: [resource.tags[key]] if key in resource.tags else []
    if name == "tag-key":
        return lambda resource: list(resource.tags)
    if name in facts:
        return facts[name]
    raise AwsError("InvalidParameterValue", f"The filter '{name}' is invalid")


def page(
    resources: Sequence[R], params: Params, *, ids: str, least: int = 5, most: int = 1000
) -> tuple[list[R], str | None]:
    """One page in order of creation, and the token of the next (None: this is the last).

    ids: the parameter of explicit ids, which AWS does not take together with MaxResults.
    Without MaxResults everything comes at once, as in AWS for accounts that are not large.
    """
    ordered = sorted(resources, key=lambda resource: resource.number)
    limit = params.get("MaxResults")
    token = params.get("NextToken")
    if limit is None and token is None:
        return ordered, None
    if params.get(ids):
        raise AwsError(
            "InvalidParameterCombination", f"The parameter {ids} cannot be used with the parameter maxResults"
        )
    if limit is not None and not least <= limit <= most:
        raise invalid_value(limit, "maxResults", f"Expecting a value between {least} and {most}.")
    if token is not None:
        if not re.fullmatch(r"after-\d+", token):
            raise AwsError("InvalidNextToken", "The token is not valid")
        after = int(token.removeprefix("after-"))
        ordered = [resource for resource in ordered if resource.number > after]
    if limit is None or len(ordered) <= limit:
        return ordered, None
    shown = ordered[:limit]
    return shown, f"after-{shown[-1].number}"


def tag_list(tags: Mapping[str, str]) -> list[dict[str, str]]:
    """As the replies tell tags."""
    return [{"Key": key, "Value": value} for key, value in tags.items()]


def specified_tags(params: Params, kind: str) -> dict[str, str]:
    """The tags that TagSpecifications wants on the new resources of a kind, such as `volume`."""
    tags: dict[str, str] = {}
    for specification in params.get("TagSpecifications") or ():
        if specification.get("ResourceType") == kind:
            tags.update(asked_tags(specification))
    check_tags(tags)
    return tags


def asked_tags(params: Mapping[str, Any]) -> dict[str, str]:
    """The Tags of a request."""
    return {tag["Key"]: tag.get("Value", "") for tag in params.get("Tags") or ()}


def check_text(text: str, parameter: str) -> None:
    """Raises InvalidParameterValue for what no answer in XML 1.0 could tell again.

    That AWS refuses it is an assumption (it could not answer either); the code is its usual one.
    """
    if NOT_XML.search(text):
        shown = NOT_XML.sub("?", text)
        raise invalid_value(shown, parameter, "It has a character that is not allowed.")


def check_tags(tags: Mapping[str, str]) -> None:
    """Raises AWS's errors: characters, reserved prefix, lengths, and more than 50 tags besides AWS's own."""
    for key, value in tags.items():
        check_text(key, "key")
        check_text(value, "value")
        if key.lower().startswith("aws:"):
            raise invalid_value(key, "key", "Tag keys starting with 'aws:' are reserved for internal use")
        if not 1 <= len(key) <= 128:
            raise AwsError("InvalidParameterValue", "Tag key exceeds the maximum length of 128 characters")
        if len(value) > 256:
            raise AwsError("InvalidParameterValue", "Tag value exceeds the maximum length of 256 characters")
    limit_tags(tags)


def limit_tags(tags: Mapping[str, str]) -> None:
    """Raises TagLimitExceeded; AWS's own tags do not count."""
    if sum(not key.startswith("aws:") for key in tags) > 50:
        raise AwsError("TagLimitExceeded", "The maximum number of Tags for a resource has been reached.")
