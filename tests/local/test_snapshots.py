"""Snapshots: their states, sets, and limits."""

from datetime import timedelta
from typing import Any

import pytest

from tests.local.conftest import Desk, Refused


def workstation(desk: Desk) -> str:
    return desk.stopped(disks={"/dev/sdf": {"VolumeSize": 20}, "/dev/sdg": {"VolumeSize": 30}})


def shoot(desk: Desk, instance_id: str, *, exclude: dict[str, Any] | None = None, **more: Any) -> list[dict[str, Any]]:
    specification = {"InstanceId": instance_id, **(exclude or {})}
    return [
        dict(one)
        for one in desk.ec2.create_snapshots(InstanceSpecification=specification, **more)["Snapshots"]  # type: ignore[arg-type]  # a plain dict
    ]


def test_a_snapshot_is_pending_with_growing_progress_and_then_complete(desk: Desk) -> None:
    desk.world.timings.snapshot = timedelta(hours=2)
    volume_id = desk.volume(Size=12)
    began_at = desk.clock.now()
    reply = desk.ec2.create_snapshot(VolumeId=volume_id)
    assert (reply["State"], reply["Progress"]) == ("pending", "0%")

    desk.wait(3600)
    told = desk.snapshot_told(reply["SnapshotId"])
    assert (told["State"], told["Progress"], told["StartTime"]) == ("pending", "50%", began_at)
    assert "CompletionTime" not in told

    desk.wait(3600)
    told = desk.snapshot_told(reply["SnapshotId"])
    assert (told["State"], told["Progress"]) == ("completed", "100%")
    assert told["CompletionTime"] == began_at + timedelta(hours=2)
    assert (told["VolumeId"], told["VolumeSize"], told["OwnerId"]) == (volume_id, 12, "123456789012")


def test_a_set_has_every_volume_with_its_state_and_tags(desk: Desk) -> None:
    instance_id = workstation(desk)
    tags = [{"Key": "autostop:cycle", "Value": "7"}]

    made = shoot(desk, instance_id, TagSpecifications=[{"ResourceType": "snapshot", "Tags": tags}], Description="night")

    assert {one["VolumeId"]: one["VolumeSize"] for one in made} == {
        desk.disk(instance_id): 8,
        desk.disk(instance_id, "/dev/sdf"): 20,
        desk.disk(instance_id, "/dev/sdg"): 30,
    }
    assert all(one["State"] == "pending" and one["Tags"] == tags and one["Description"] == "night" for one in made)
    assert all(one["StartTime"] == desk.clock.now() for one in made)


def test_a_set_can_leave_volumes_out(desk: Desk, refused: Refused) -> None:
    instance_id = workstation(desk)
    data = desk.disk(instance_id, "/dev/sdf")

    made = shoot(desk, instance_id, exclude={"ExcludeBootVolume": True, "ExcludeDataVolumeIds": [data]})

    assert [one["VolumeId"] for one in made] == [desk.disk(instance_id, "/dev/sdg")]
    specification = {"InstanceId": instance_id, "ExcludeDataVolumeIds": [desk.disk(instance_id)]}
    assert refused(desk.ec2.create_snapshots, InstanceSpecification=specification)[0] == "InvalidParameterValue"


def test_tags_of_the_source_are_copied_but_for_those_of_aws(desk: Desk) -> None:
    instance_id = desk.stopped(volume_tags={"team": "blue", "autostop:cycle": "old"})
    desk.world.tag(desk.disk(instance_id), {"aws:made-by": "aws"})
    asked = [{"ResourceType": "snapshot", "Tags": [{"Key": "autostop:cycle", "Value": "8"}]}]

    (made,) = shoot(desk, instance_id, CopyTagsFromSource="volume", TagSpecifications=asked)

    assert {tag["Key"]: tag["Value"] for tag in made["Tags"]} == {"team": "blue", "autostop:cycle": "8"}


def test_a_set_fails_as_a_whole(desk: Desk) -> None:
    instance_id = workstation(desk)
    desk.world.fail_next_snapshots(1)

    failed = shoot(desk, instance_id)
    desk.wait(60)
    good = shoot(desk, instance_id)
    desk.wait(60)

    for one in failed:
        told = desk.snapshot_told(one["SnapshotId"])
        assert told["State"] == "error"
        assert told["StateMessage"]
    assert {desk.snapshot_told(one["SnapshotId"])["State"] for one in good} == {"completed"}


def test_one_of_a_set_can_fail_alone(desk: Desk) -> None:
    instance_id = workstation(desk)
    desk.world.fail_next_snapshots(1, alone=True)

    made = shoot(desk, instance_id)
    desk.wait(60)
    later = shoot(desk, instance_id)
    desk.wait(60)

    assert [desk.snapshot_told(one["SnapshotId"])["State"] for one in made] == ["error", "completed", "completed"]
    assert {desk.snapshot_told(one["SnapshotId"])["State"] for one in later} == {"completed"}
    first, second = (one["detail"] for one in desk.events if "snapshots" in one["detail"])
    assert (first["result"], second["result"]) == ("failed", "succeeded")
    assert [one["status"] for one in first["snapshots"]] == ["error", "completed", "completed"]


def test_no_volume_from_a_snapshot_that_is_not_complete(desk: Desk, refused: Refused) -> None:
    snapshot_id = desk.ec2.create_snapshot(VolumeId=desk.volume())["SnapshotId"]
    asked = {"SnapshotId": snapshot_id, "AvailabilityZone": "us-east-1a"}

    assert refused(desk.ec2.create_volume, **asked) == ("IncorrectState", "Snapshot is in invalid state - pending")


def test_a_volume_is_at_least_as_large_as_its_snapshot(desk: Desk, refused: Refused) -> None:
    snapshot_id = desk.snapshot(desk.volume(Size=12))

    assert desk.volume_told(desk.volume(SnapshotId=snapshot_id, Size=13))["Size"] == 13
    made = desk.ec2.create_volume(SnapshotId=snapshot_id, AvailabilityZone="us-east-1a")
    assert (made["Size"], made["VolumeType"], made["SnapshotId"]) == (12, "gp2", snapshot_id)
    asked = {"SnapshotId": snapshot_id, "Size": 11, "AvailabilityZone": "us-east-1a"}
    assert refused(desk.ec2.create_volume, **asked)[0] == "InvalidParameterValue"


def test_snapshots_of_one_volume_are_spaced(desk: Desk, refused: Refused) -> None:
    volume_id = desk.volume()
    desk.ec2.create_snapshot(VolumeId=volume_id)

    desk.wait(14)
    assert refused(desk.ec2.create_snapshot, VolumeId=volume_id)[0] == "SnapshotCreationPerVolumeRateExceeded"
    desk.wait(1)
    desk.ec2.create_snapshot(VolumeId=volume_id)


@pytest.mark.parametrize(("type_", "most"), [("gp3", 5), ("st1", 1)])
def test_so_many_snapshots_of_a_volume_at_once(desk: Desk, refused: Refused, type_: str, most: int) -> None:
    desk.world.timings.snapshot, desk.world.timings.snapshot_spacing = timedelta(hours=1), timedelta(0)
    volume_id = desk.volume(VolumeType=type_, Size=125)

    for _ in range(most):
        desk.ec2.create_snapshot(VolumeId=volume_id)

    assert refused(desk.ec2.create_snapshot, VolumeId=volume_id)[0] == "ConcurrentSnapshotLimitExceeded"


def test_deleting_a_pending_snapshot_takes_effect_when_it_is_complete(desk: Desk, refused: Refused) -> None:
    snapshot_id = desk.ec2.create_snapshot(VolumeId=desk.volume())["SnapshotId"]

    desk.ec2.delete_snapshot(SnapshotId=snapshot_id)

    assert desk.snapshot_told(snapshot_id)["State"] == "pending"
    desk.wait(60)
    assert refused(desk.ec2.delete_snapshot, SnapshotId=snapshot_id)[0] == "InvalidSnapshot.NotFound"


def test_snapshots_are_found_by_owner_tag_and_volume(desk: Desk) -> None:
    one, other = desk.volume(), desk.volume()
    wanted, _ = desk.snapshot(one), desk.snapshot(other)
    desk.ec2.create_tags(Resources=[wanted], Tags=[{"Key": "autostop", "Value": "on"}])

    def found(**asked: Any) -> list[str]:
        return [one["SnapshotId"] for one in desk.ec2.describe_snapshots(**asked)["Snapshots"]]

    assert len(found(OwnerIds=["self"])) == 2
    assert found(OwnerIds=["amazon"]) == []
    assert found(OwnerIds=["self"], Filters=[{"Name": "tag:autostop", "Values": ["on"]}]) == [wanted]
    assert found(Filters=[{"Name": "volume-id", "Values": [one]}, {"Name": "status", "Values": ["completed"]}]) == [
        wanted
    ]
