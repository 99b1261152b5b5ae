"""The calls on tags."""

from collections.abc import Callable

from autostop_local.world.cloud import Cloud, Params, Reply
from autostop_local.world.lists import asked_tags, check_tags, limit_tags


class Tagging:
    """The calls on tags, by AWS's names in `operations`."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self.operations: dict[str, Callable[[Params], Reply]] = {
            "CreateTags": self.create_tags,
            "DeleteTags": self.delete_tags,
        }

    def create_tags(self, params: Params) -> Reply:
        """All or none."""
        tags = asked_tags(params)
        check_tags(tags)
        resources = [self._cloud.resource(one) for one in params["Resources"]]
        for resource in resources:
            limit_tags({**resource.tags, **tags})
        for resource in resources:
            resource.tags.update(tags)
        return {}

    def delete_tags(self, params: Params) -> Reply:
        """A key without a value deletes whatever its value; no tags at all delete every tag that is not AWS's."""
        resources = [self._cloud.resource(one) for one in params["Resources"]]
        for resource in resources:
            if not params.get("Tags"):
                resource.tags = {key: value for key, value in resource.tags.items() if key.startswith("aws:")}
            for tag in params.get("Tags") or ():
                if "Value" not in tag or resource.tags.get(tag["Key"]) == tag["Value"]:
                    resource.tags.pop(tag["Key"], None)
        return {}
