"""EBS snapshots: their calls and their states."""

from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial
from typing import Any

from autostop_local.world.cloud import Cloud, Params, Reply
from autostop_local.world.errors import AwsError
from autostop_local.world.lists import Facts, check_text, filtered, limit_tags, page, specified_tags, tag_list
from autostop_local.world.resources import Snapshot, Volume

_CAUSE = "The world was told to fail it"
_PENDING_PER_VOLUME = {"st1": 1, "sc1": 1}  # 5 for the others (EBS User Guide, ebs-resource-quotas)


class Snapshots:
    """The calls on snapshots, by AWS's names in `operations`."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self.failing = 0  # so many of the next calls make snapshots that end in `error`
        self.failing_alone = False  # and then only the first of each call
        self.operations: dict[str, Callable[[Params], Reply]] = {
            "CreateSnapshot": self.create_snapshot,
            "CreateSnapshots": self.create_snapshots,
            "DescribeSnapshots": self.describe_snapshots,
            "DeleteSnapshot": self.delete_snapshot,
        }

    def create_snapshot(self, params: Params) -> Reply:
        volume = self._cloud.volume(params["VolumeId"])
        tags = specified_tags(params, "snapshot")
        (snapshot,) = self._create([volume], [tags], params.get("Description") or "")
        self._complete_later([snapshot], of_set=False)
        return self._told(snapshot)

    def create_snapshots(self, params: Params) -> Reply:
        cloud = self._cloud
        wanted = params["InstanceSpecification"]
        instance = cloud.instance(wanted["InstanceId"])
        excluded = set(wanted.get("ExcludeDataVolumeIds") or ())
        for volume_id in excluded:
            if volume_id not in instance.volumes.values() or volume_id == instance.volumes.get(instance.root_device):
                raise AwsError(
                    "InvalidParameterValue", f"The volume '{volume_id}' is not a data volume of the instance"
                )
        volumes = [
            cloud.volumes[volume_id]
            for device, volume_id in instance.volumes.items()
            if volume_id not in excluded and not (device == instance.root_device and wanted.get("ExcludeBootVolume"))
        ]
        if not volumes:
            raise AwsError("InvalidParameterValue", f"No volumes to snapshot on instance '{instance.id}'")
        asked = specified_tags(params, "snapshot")
        copied = params.get("CopyTagsFromSource") == "volume"
        tags = [{**_own_tags(volume), **asked} if copied else dict(asked) for volume in volumes]
        for one in tags:
            limit_tags(one)
        made = self._create(volumes, tags, params.get("Description") or "")
        self._complete_later(made, of_set=True)
        return {"Snapshots": [_only(self._told(snapshot), _CREATED_KEYS) for snapshot in made]}

    def describe_snapshots(self, params: Params) -> Reply:
        """The account's, and what others share with it."""
        cloud = self._cloud
        asked = params.get("SnapshotIds")
        snapshots = [cloud.snapshot(one) for one in asked] if asked else list(cloud.snapshots.values())
        if owners := {"self" if each == cloud.account else each for each in params.get("OwnerIds") or ()}:
            snapshots = [each for each in snapshots if each.owner in owners]
        facts = {
            **_FACTS,
            "owner-id": lambda snapshot: [self._owner(snapshot)],
            "progress": lambda snapshot: [self._progress(snapshot)],
        }
        shown, token = page(filtered(snapshots, params, facts), params, ids="SnapshotIds")
        return {"Snapshots": [self._told(snapshot) for snapshot in shown], "NextToken": token}

    def delete_snapshot(self, params: Params) -> Reply:
        snapshot = self._cloud.snapshot(params["SnapshotId"])
        for image in self._cloud.images.values():
            if any(ebs.get("SnapshotId") == snapshot.id for ebs in image.mappings.values()):
                raise AwsError("InvalidSnapshot.InUse", f"The snapshot {snapshot.id} is currently in use by {image.id}")
        if snapshot.state == "pending":
            snapshot.doomed = True  # takes effect when it is complete, and counts until then
        else:
            self._delete(snapshot)
        return {}

    def _create(self, volumes: Sequence[Volume], tags: Sequence[dict[str, str]], description: str) -> list[Snapshot]:
        """Take the content of all volumes as it is now; none is taken unless all can be."""
        cloud, now = self._cloud, self._cloud.now()
        check_text(description, "Description")
        for volume in volumes:
            self._check(volume, now)
        made = []
        for volume, own in zip(volumes, tags, strict=True):
            snapshot_id = cloud.new_id("snap")
            snapshot = Snapshot(
                id=snapshot_id,
                number=cloud.number(),
                tags=own,
                volume_id=volume.id,
                volume_size=volume.size,
                description=description,
                started_at=now,
                due_at=now + cloud.timings.snapshot,
                size=cloud.content.make_snapshot(snapshot_id, volume.id),
                kms_key_id=volume.kms_key_id,
            )
            volume.last_snapshot_at = now
            cloud.snapshots[snapshot_id] = snapshot
            made.append(snapshot)
        return made

    def _check(self, volume: Volume, now: datetime) -> None:
        cloud = self._cloud
        if volume.state not in ("available", "in-use"):
            raise AwsError("IncorrectState", f"The volume '{volume.id}' is '{volume.state}'")
        pending = sum(one.volume_id == volume.id and one.state == "pending" for one in cloud.snapshots.values())
        if pending >= _PENDING_PER_VOLUME.get(volume.type, 5):
            raise AwsError(
                "ConcurrentSnapshotLimitExceeded",
                f"Maximum allowed in-progress snapshots for the volume '{volume.id}' exceeded.",
            )
        if volume.last_snapshot_at and now - volume.last_snapshot_at < cloud.timings.snapshot_spacing:
            raise AwsError(
                "SnapshotCreationPerVolumeRateExceeded",
                "The maximum per volume CreateSnapshot request rate has been exceeded. "
                "Use an increasing or variable sleep interval between requests.",
            )

    def _complete_later(self, made: Sequence[Snapshot], *, of_set: bool) -> None:
        """Each ends when it is due, and the events come with the last.

        By AWS's page a set ends alike: one failure turns every snapshot of it into `error`. One that fails alone is
        for those who would rather not rely on that.
        """
        cloud, fails = self._cloud, self.failing > 0
        self.failing -= fails
        failed = {one.id for one in (made[:1] if self.failing_alone else made)} if fails else set()
        causes = {snapshot.id: _CAUSE if snapshot.id in failed else "" for snapshot in made}
        left = len(made)

        def end(snapshot: Snapshot, at: datetime) -> None:
            nonlocal left
            left -= 1
            cause = causes[snapshot.id]
            snapshot.state, snapshot.state_message = ("error", cause) if cause else ("completed", None)
            snapshot.completed_at = None if cause else at
            if left == 0:
                if of_set:
                    cloud.events.snapshots(made, at, causes)
                if not of_set or cloud.member_events:
                    for one in made:
                        cloud.events.snapshot(one, at, causes[one.id])
            if snapshot.doomed:
                self._delete(snapshot)

        for snapshot in made:
            cloud.timeline.at(snapshot.due_at, partial(end, snapshot))

    def _delete(self, snapshot: Snapshot) -> None:
        del self._cloud.snapshots[snapshot.id]
        self._cloud.content.delete_snapshot(snapshot.id)

    def _progress(self, snapshot: Snapshot) -> str:
        if snapshot.state == "completed":
            return "100%"
        whole = snapshot.due_at - snapshot.started_at
        gone = self._cloud.now() - snapshot.started_at
        return f"{min(99, int(100 * gone / whole)) if whole else 99}%"

    def _owner(self, snapshot: Snapshot) -> str:
        return self._cloud.account if snapshot.owner == "self" else snapshot.owner

    def _told(self, snapshot: Snapshot) -> dict[str, Any]:
        return {
            "SnapshotId": snapshot.id,
            "VolumeId": snapshot.volume_id,
            "VolumeSize": snapshot.volume_size,
            "State": snapshot.state,
            "StateMessage": snapshot.state_message,
            "StartTime": snapshot.started_at,
            "CompletionTime": snapshot.completed_at,
            "Progress": self._progress(snapshot),
            "OwnerId": self._owner(snapshot),
            "Description": snapshot.description,
            "Encrypted": snapshot.kms_key_id is not None,
            "KmsKeyId": snapshot.kms_key_id,
            "FullSnapshotSizeInBytes": snapshot.size,
            "StorageTier": "standard",
            "Tags": tag_list(snapshot.tags),
        }


_CREATED_KEYS = frozenset(  # what CreateSnapshots tells
    {
        "SnapshotId",
        "VolumeId",
        "VolumeSize",
        "State",
        "StartTime",
        "Progress",
        "OwnerId",
        "Description",
        "Encrypted",
        "Tags",
    }
)

_FACTS: Facts[Snapshot] = {
    "snapshot-id": lambda snapshot: [snapshot.id],
    "volume-id": lambda snapshot: [snapshot.volume_id],
    "volume-size": lambda snapshot: [str(snapshot.volume_size)],
    "status": lambda snapshot: [snapshot.state],
    "description": lambda snapshot: [snapshot.description],
    "encrypted": lambda snapshot: [str(snapshot.kms_key_id is not None).lower()],
    "storage-tier": lambda _snapshot: ["standard"],
}


def _own_tags(volume: Volume) -> dict[str, str]:
    return {key: value for key, value in volume.tags.items() if not key.startswith("aws:")}


def _only(told: dict[str, Any], keys: frozenset[str]) -> dict[str, Any]:
    return {key: value for key, value in told.items() if key in keys}
