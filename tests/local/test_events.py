import logging
from pathlib import Path
from typing import Any

import pytest

from autostop_local.world import Timings, VirtualClock, World
from tests.local.conftest import START, Clients, Desk


def details(desk: Desk, kind: str) -> list[dict[str, Any]]:
    return [event["detail"] for event in desk.events if event["detail-type"] == kind]


def test_an_instance_tells_every_state(desk: Desk) -> None:
    instance_id = desk.stopped()
    desk.ec2.start_instances(InstanceIds=[instance_id])
    desk.wait(60)
    desk.ec2.terminate_instances(InstanceIds=[instance_id])
    desk.wait(60)

    told = details(desk, "EC2 Instance State-change Notification")

    assert [one["state"] for one in told] == [
        *("pending", "running", "stopping", "stopped", "pending", "running", "shutting-down", "terminated")
    ]
    assert {one["instance-id"] for one in told} == {instance_id}


def test_the_envelope(desk: Desk) -> None:
    instance_id = desk.world.launch()

    event = dict(desk.events[0])

    assert event.pop("id")
    assert event == {
        "version": "0",
        "detail-type": "EC2 Instance State-change Notification",
        "source": "aws.ec2",
        "account": "123456789012",
        "time": "2026-11-23T09:00:00Z",
        "region": "us-east-1",
        "resources": [f"arn:aws:ec2:us-east-1:123456789012:instance/{instance_id}"],
        "detail": {"instance-id": instance_id, "state": "pending"},
    }


def test_a_snapshot_tells_its_end_with_malformed_arns(desk: Desk) -> None:
    volume_id = desk.volume()
    snapshot_id = desk.snapshot(volume_id)

    (told,) = details(desk, "EBS Snapshot Notification")

    assert (told["event"], told["result"], told["cause"]) == ("createSnapshot", "succeeded", "")
    assert told["snapshot_id"] == f"arn:aws:ec2::us-east-1:snapshot/{snapshot_id}"
    assert told["source"] == f"arn:aws:ec2::us-east-1:volume/{volume_id}"
    assert (told["startTime"], told["endTime"]) == ("2026-11-23T09:01:00Z", "2026-11-23T09:01:06Z")


@pytest.mark.parametrize("fails", [False, True], ids=["succeeded", "failed"])
@pytest.mark.parametrize("member_events", [False, True], ids=["set only", "members too"])
def test_a_set_of_snapshots_tells_its_end(desk: Desk, fails: bool, member_events: bool) -> None:
    desk.world.cloud.member_events = member_events
    desk.world.fail_next_snapshots(int(fails))
    instance_id = desk.stopped(disks={"/dev/sdf": {"VolumeSize": 5}})

    made = desk.ec2.create_snapshots(InstanceSpecification={"InstanceId": instance_id})["Snapshots"]
    assert details(desk, "EBS Multi-Volume Snapshots Completion Status") == []
    desk.wait(60)

    (told,) = details(desk, "EBS Multi-Volume Snapshots Completion Status")
    assert (told["event"], told["result"]) == ("createSnapshots", "failed" if fails else "succeeded")
    assert [one["snapshot_id"].rpartition("/")[2] for one in told["snapshots"]] == [one["SnapshotId"] for one in made]
    assert [one["source"].rpartition("/")[2] for one in told["snapshots"]] == [one["VolumeId"] for one in made]
    assert {one["status"] for one in told["snapshots"]} == {"error" if fails else "completed"}
    assert len(details(desk, "EBS Snapshot Notification")) == (len(made) if member_events else 0)


def test_a_volume_tells_its_creation_attachment_and_deletion(desk: Desk) -> None:
    instance_id, volume_id = desk.stopped(), desk.volume()
    desk.ec2.attach_volume(VolumeId=volume_id, InstanceId=instance_id, Device="/dev/sdf")
    desk.wait(60)
    desk.ec2.detach_volume(VolumeId=volume_id)
    desk.wait(60)
    desk.ec2.delete_volume(VolumeId=volume_id)
    desk.wait(60)
    desk.world.fail_next_volumes()
    desk.volume()

    told = details(desk, "EBS Volume Notification")

    # AWS has no event of a detachment.
    assert [(one["event"], one["result"]) for one in told] == [
        ("createVolume", "available"),
        ("attachVolume", "attached"),
        ("deleteVolume", "deleted"),
        ("createVolume", "failed"),
    ]


def test_a_receiver_that_fails_does_not_stop_the_world(
    tmp_path: Path, clients: Clients, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(event: dict[str, Any]) -> None:
        raise RuntimeError(event["id"])

    with World(tmp_path / "world", clock=VirtualClock(START), send=fail) as world, caplog.at_level(logging.ERROR):
        instance_id = world.launch()

        assert len(clients.ec2.describe_instances(InstanceIds=[instance_id])["Reservations"]) == 1
        assert "the receiver failed" in caplog.text


def test_a_receiver_may_call_the_world_and_the_order_holds(tmp_path: Path, clients: Clients) -> None:
    states: list[str] = []

    def receive(event: dict[str, Any]) -> None:
        states.append(event["detail"]["state"])
        if event["detail"]["state"] == "running":
            clients.ec2.stop_instances(InstanceIds=[event["detail"]["instance-id"]])

    with World(tmp_path / "world", clock=VirtualClock(START), timings=Timings.none(), send=receive) as world:
        world.launch()

    assert states == ["pending", "running", "stopping", "stopped"]
