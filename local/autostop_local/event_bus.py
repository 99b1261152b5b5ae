"""EventBridge's part in the events of EC2 and EBS: the deployed rules decide which of them go to which queue.

The emulator refuses events whose source begins with `aws.`, as AWS does, so the world's cannot take the way through it.
The rules are still the template's own, read from the emulator. Our own events the emulator brings to their targets.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from autostop_local.emulator import Emulator

Event = Mapping[str, Any]


class UnsupportedPatternError(Exception):
    """A rule uses more of EventBridge than is imitated here; the text says what."""


@dataclass(frozen=True, slots=True)
class Route:
    """One rule's pattern and the queues it sends to."""

    rule: str
    pattern: Mapping[str, Any]
    queue_urls: Sequence[str]


def events_sink(emulator: Emulator) -> Callable[[Event], int]:
    """A function that sends one event where the rules deployed by now say, and gives the number of messages.

    Raises UnsupportedPatternError for rules and targets that cannot be imitated.
    """
    sqs = emulator.session.client("sqs", **emulator.reach)
    routes = deployed_routes(emulator)

    def send(event: Event) -> int:
        urls = [url for route in routes if matches(route.pattern, event) for url in route.queue_urls]
        body = json.dumps(event)
        for url in urls:
            sqs.send_message(QueueUrl=url, MessageBody=body)
        return len(urls)

    return send


def deployed_routes(emulator: Emulator) -> Sequence[Route]:
    """The enabled rules of the default bus for events of AWS's services, with their queues."""
    events = emulator.session.client("events", **emulator.reach)
    sqs = emulator.session.client("sqs", **emulator.reach)
    routes = []
    for page in events.get_paginator("list_rules").paginate():
        for rule in page["Rules"]:
            if rule["State"] != "ENABLED" or "EventPattern" not in rule:
                continue
            pattern = json.loads(rule["EventPattern"])
            if not is_for_aws(pattern):
                continue
            refuse_what_is_not_imitated(rule["Name"], pattern)
            urls = []
            for target in events.list_targets_by_rule(Rule=rule["Name"])["Targets"]:
                if ":sqs:" not in target["Arn"] or {"Input", "InputPath", "InputTransformer"} & target.keys():
                    raise UnsupportedPatternError(f"{rule['Name']}: only whole events to queues are imitated")
                urls.append(sqs.get_queue_url(QueueName=target["Arn"].rpartition(":")[2])["QueueUrl"])
            routes.append(Route(rule["Name"], pattern, urls))
    return routes


def is_for_aws(pattern: Mapping[str, Any]) -> bool:
    """False when only events of others than AWS's services can match, which the emulator delivers itself."""
    sources = pattern.get("source")
    return sources is None or any(not isinstance(each, str) or each.startswith("aws.") for each in sources)


def matches(pattern: Mapping[str, Any], event: Event) -> bool:
    """True when every field of the pattern is in the event with one of the values listed.

    A field that is an array in the event matches when any of its elements does.
    Source: EventBridge User Guide, eb-create-pattern-operators (exact matching).
    """
    for field, wanted in pattern.items():
        if field not in event:
            return False
        found = event[field]
        if isinstance(wanted, Mapping):
            if not isinstance(found, Mapping) or not matches(wanted, found):
                return False
        elif not any(_same(value, one) for value in wanted for one in (found if isinstance(found, list) else [found])):
            return False
    return True


def _same(wanted: object, found: object) -> bool:
    # In JSON true is not 1, in Python it is.
    return wanted == found and isinstance(wanted, bool) == isinstance(found, bool)


def refuse_what_is_not_imitated(rule: str, pattern: Mapping[str, Any]) -> None:
    """Raises UnsupportedPatternError for a pattern that `matches` would misread."""
    for field, wanted in pattern.items():
        if field.startswith("$"):
            raise UnsupportedPatternError(f"{rule}: {field} is not imitated")
        if isinstance(wanted, Mapping):
            refuse_what_is_not_imitated(rule, wanted)
        elif any(isinstance(value, Mapping) for value in wanted):
            raise UnsupportedPatternError(f"{rule}: in {field}, only exact values are imitated")
