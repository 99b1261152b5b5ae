"""The calls on tags."""

from collections.abc import Callable
from itertools import chain

from autostop_local.world.cloud import Cloud, Params, Reply
from autostop_local.world.errors import AwsError
from autostop_local.world.lists import asked_tags, check_tags, limit_tags
from autostop_local.world.resources import Resource

_KINDS = {"i": "instance", "vol": "volume", "snap": "snapshot", "ami": "image", "sir": "spot-instances-request"}


class Tagging:
    """The calls on tags, by AWS's names in `operations`."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self.operations: dict[str, Callable[[Params], Reply]] = {
            "CreateTags": self.create_tags,
            "DeleteTags": self.delete_tags,
            "DescribeTags": self.describe_tags,
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

    def describe_tags(self, params: Params) -> Reply:
        wanted = {one["Name"]: set(one.get("Values") or ()) for one in params.get("Filters") or ()}
        if unknown := wanted.keys() - {"resource-id", "resource-type", "key", "value"}:
            raise AwsError("InvalidParameterValue", f"The filter '{unknown.pop()}' is invalid")
        cloud = self._cloud
        resources: chain[Resource] = chain(
            cloud.instances.values(),
            cloud.volumes.values(),
            cloud.snapshots.values(),
            cloud.spots.values(),
            cloud.images.values(),
        )
        rows = [
            {"resource-id": resource.id, "resource-type": _kind(resource.id), "key": key, "value": value}
            for resource in resources
            for key, value in resource.tags.items()
        ]
        return {
            "Tags": [
                {
                    "ResourceId": row["resource-id"],
                    "ResourceType": row["resource-type"],
                    "Key": row["key"],
                    "Value": row["value"],
                }
                for row in rows
                if all(row[name] in values for name, values in wanted.items())
            ]
        }


def _kind(resource_id: str) -> str:
    return _KINDS[resource_id.partition("-")[0]]
