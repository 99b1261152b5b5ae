"""Lists that tell how the world was a moment ago."""

from datetime import timedelta

import pytest

from autostop_local.world import Timings
from tests.local.conftest import START, Desk, Refused


def lag(desk: Desk, seconds: float) -> None:
    desk.world.lag = lambda: timedelta(seconds=seconds)


def test_what_is_new_is_not_there_yet(desk: Desk, refused: Refused) -> None:
    lag(desk, 10)
    volume_id = desk.ec2.create_volume(Size=1, VolumeType="gp3", AvailabilityZone="us-east-1a")["VolumeId"]

    desk.wait(9)
    assert refused(desk.ec2.describe_volumes, VolumeIds=[volume_id])[0] == "InvalidVolume.NotFound"
    assert desk.ec2.describe_volumes()["Volumes"] == []
    desk.wait(1)
    assert desk.volume_told(volume_id)["State"] == "creating"
    desk.wait(1)
    assert desk.volume_told(volume_id)["State"] == "available"


def test_what_is_gone_is_still_there(desk: Desk, refused: Refused) -> None:
    volume_id = desk.volume()
    snapshot_id = desk.snapshot(volume_id)
    lag(desk, 10)
    desk.wait(30)
    desk.ec2.delete_snapshot(SnapshotId=snapshot_id)
    desk.ec2.delete_volume(VolumeId=volume_id)

    desk.wait(9)
    assert desk.snapshot_told(snapshot_id)["State"] == "completed"
    assert desk.volume_told(volume_id)["State"] == "available"
    assert refused(desk.ec2.delete_snapshot, SnapshotId=snapshot_id)[0] == "InvalidSnapshot.NotFound"
    desk.wait(2)
    assert refused(desk.ec2.describe_snapshots, SnapshotIds=[snapshot_id])[0] == "InvalidSnapshot.NotFound"
    assert refused(desk.ec2.describe_volumes, VolumeIds=[volume_id])[0] == "InvalidVolume.NotFound"


def test_state_launch_time_attachments_and_tags_are_old(desk: Desk) -> None:
    instance_id = desk.stopped(tags={"autostop": "on"})
    root = desk.disk(instance_id)
    desk.wait(60)
    lag(desk, 20)
    desk.ec2.create_tags(Resources=[instance_id], Tags=[{"Key": "autostop", "Value": "off"}])
    desk.ec2.detach_volume(VolumeId=root)
    desk.wait(5)
    desk.ec2.attach_volume(VolumeId=root, InstanceId=instance_id, Device="/dev/sda1")
    desk.wait(5)
    desk.ec2.start_instances(InstanceIds=[instance_id])
    desk.wait(5)

    told = desk.instance(instance_id)

    assert (told["State"]["Name"], told["LaunchTime"], told["Tags"][0]["Value"]) == ("stopped", START, "on")
    assert desk.volume_told(root)["Attachments"][0]["DeleteOnTermination"] is True
    desk.wait(5)  # what is told is of the moment of the first two calls, after them
    assert desk.instance(instance_id)["Tags"][0]["Value"] == "off"
    assert desk.volume_told(root)["Attachments"][0]["State"] == "detaching"
    desk.wait(4)
    assert desk.instance(instance_id)["BlockDeviceMappings"] == []
    desk.wait(60)
    assert desk.state(instance_id) == "running"
    assert desk.instance(instance_id)["LaunchTime"] > START


def test_a_volume_that_is_leaving_or_has_left_is_still_attached(desk: Desk) -> None:
    instance_id = desk.stopped()
    root = desk.disk(instance_id)
    desk.world.timings.detaching = timedelta(seconds=5)
    desk.wait(60)
    lag(desk, 20)

    def told() -> list[tuple[str, str]]:
        return [
            (one["DeviceName"], one["Ebs"]["Status"]) for one in desk.instance(instance_id)["BlockDeviceMappings"]
        ] + [(one["Device"], one["State"]) for one in desk.volume_told(root)["Attachments"]]

    desk.ec2.detach_volume(VolumeId=root)
    for _ in range(2):  # it is leaving; it has left
        desk.wait(4)
        assert told() == [("/dev/sda1", "attached")] * 2
    desk.wait(12)
    assert told() == [("/dev/sda1", "detaching")] * 2
    desk.wait(5)
    assert told() == []


def test_progress_and_status_checks_are_as_old_as_the_rest(desk: Desk) -> None:
    desk.world.timings = desk.world.cloud.timings = Timings(
        snapshot=timedelta(seconds=100), checks=timedelta(seconds=30)
    )
    instance_id = desk.world.launch()
    volume_id = desk.ec2.create_volume(Size=1, VolumeType="gp3", AvailabilityZone="us-east-1a")["VolumeId"]
    desk.wait(2)
    lag(desk, 20)
    snapshot_id = desk.ec2.create_snapshot(VolumeId=volume_id)["SnapshotId"]

    desk.wait(40)

    assert desk.snapshot_told(snapshot_id)["Progress"] == "20%"
    (status,) = desk.ec2.describe_instance_status(InstanceIds=[instance_id])["InstanceStatuses"]
    assert status["InstanceStatus"]["Status"] == "initializing"


def test_calls_that_change_something_see_the_truth(desk: Desk) -> None:
    instance_id = desk.launch()
    lag(desk, 120)

    desk.ec2.stop_instances(InstanceIds=[instance_id])
    desk.wait(10)
    assert desk.state(instance_id) == "running"
    desk.ec2.start_instances(InstanceIds=[instance_id])

    assert desk.world.instance(instance_id).state == "pending"


def test_the_lag_is_asked_for_each_call(desk: Desk) -> None:
    instance_id = desk.launch()
    lags = iter([timedelta(0), timedelta(seconds=60), timedelta(0)])
    desk.world.lag = lambda: next(lags)
    desk.ec2.stop_instances(InstanceIds=[instance_id])
    desk.wait(10)

    assert [desk.state(instance_id) for _ in range(3)] == ["stopped", "running", "stopped"]


@pytest.mark.parametrize("seconds", [300, 10_000])
def test_no_list_is_older_than_five_minutes(desk: Desk, seconds: float) -> None:
    lag(desk, seconds)
    for _ in range(20):
        desk.ec2.create_volume(Size=1, VolumeType="gp3", AvailabilityZone="us-east-1a")
        desk.wait(20)

    assert len(desk.ec2.describe_volumes()["Volumes"]) == 6
