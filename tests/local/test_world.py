"""The world as a whole: fresh each time, noted in the journal, and with faults on order."""

import os
import threading
from datetime import timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto import mock_aws
from moto.core.models import botocore_stubber

from autostop_local.world import MemoryContent, Timings, VirtualClock, World
from tests.local.conftest import START, Clients, Desk, Refused


def test_every_entry_is_a_fresh_world(tmp_path: Path, clients: Clients) -> None:
    world = World(tmp_path / "world", clock=VirtualClock(START))
    for _ in range(3):
        with world:
            assert clients.ec2.describe_instances()["Reservations"] == []
            assert clients.ec2.describe_snapshots(OwnerIds=["self"])["Snapshots"] == []
            instance_id = world.launch()
            (world.disk_path(instance_id, "/dev/sda1") / "file").touch()
            clients.ssm.put_parameter(Name="/left", Value="over", Type="String")

    assert len(list((tmp_path / "world" / "volumes").iterdir())) == 1


def test_nothing_of_the_world_is_left_in_moto(tmp_path: Path) -> None:
    before = dict(vars(botocore_stubber)), os.environ.get("AWS_DEFAULT_REGION")

    with World(tmp_path / "world", clock=VirtualClock(START), region="eu-central-1"):
        assert boto3.client("ec2").meta.region_name == "eu-central-1"

    assert (dict(vars(botocore_stubber)), os.environ.get("AWS_DEFAULT_REGION")) == before
    with mock_aws():
        assert (
            boto3.client("ec2", region_name="us-east-1").describe_vpcs()["Vpcs"][0]["CidrBlock"] == "172.31.0.0/16"
        )  # moto's own


def test_the_rest_of_aws_is_motos(desk: Desk) -> None:
    boto3.client("sqs").create_queue(QueueName="wishes")

    assert len(boto3.client("sqs").list_queues()["QueueUrls"]) == 1
    assert boto3.client("sts").get_caller_identity()["Account"] == desk.world.account
    assert desk.ec2.describe_vpcs()["Vpcs"]


def test_the_journal_has_every_call(desk: Desk, refused: Refused) -> None:
    instance_id = desk.launch()
    desk.world.journal.clear()
    desk.ec2.stop_instances(InstanceIds=[instance_id])
    refused(desk.ec2.start_instances, InstanceIds=[instance_id])
    desk.ssm.put_parameter(Name="/a", Value="b", Type="String")
    refused(desk.ssm.get_parameter, Name="/none")

    assert [(call.service, call.operation, call.error) for call in desk.world.journal.calls()] == [
        ("ec2", "StopInstances", None),
        ("ec2", "StartInstances", "IncorrectInstanceState"),
        ("ssm", "PutParameter", None),
        ("ssm", "GetParameter", "ParameterNotFound"),
    ]
    (stop,) = desk.world.journal.calls("StopInstances")
    assert (stop.parameters, stop.at) == ({"InstanceIds": [instance_id]}, desk.clock.now())


@pytest.mark.parametrize(("after", "state"), [(False, "running"), (True, "stopping")], ids=["before", "after"])
def test_a_call_can_fail_before_or_after_its_effect(desk: Desk, refused: Refused, after: bool, state: str) -> None:
    instance_id = desk.launch()
    desk.world.fail_next("StopInstances", "InternalError", after=after)

    assert refused(desk.ec2.stop_instances, InstanceIds=[instance_id])[0] == "InternalError"

    assert desk.state(instance_id) == state
    desk.ec2.stop_instances(InstanceIds=[instance_id])
    assert desk.state(instance_id) == "stopping"


def test_calls_of_many_threads_are_one_after_the_other(tmp_path: Path, clients: Clients) -> None:
    made: list[str] = []

    def make() -> None:
        for _ in range(10):
            reply = clients.ec2.create_volume(
                Size=1, VolumeType="gp3", AvailabilityZone="us-east-1a", ClientToken=f"token-{len(made) % 5}"
            )
            made.append(reply["VolumeId"])

    with World(tmp_path / "world", clock=VirtualClock(START), timings=Timings.none()):
        threads = [threading.Thread(target=make) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        volumes = {one["VolumeId"] for one in clients.ec2.describe_volumes()["Volumes"]}

    assert len(made) == 40
    assert set(made) == volumes
    assert len(volumes) == 5


def test_what_is_due_happens_in_order_at_its_own_moment(desk: Desk) -> None:
    desk.world.timings.pending = timedelta(minutes=10)
    slow = desk.world.launch()
    desk.world.timings.pending = timedelta(minutes=1)
    quick = desk.world.launch()

    desk.wait(3600)

    running = [
        (one["time"], one["detail"]["instance-id"]) for one in desk.events if one["detail"]["state"] == "running"
    ]
    assert running == [("2026-11-23T09:01:00Z", quick), ("2026-11-23T09:10:00Z", slow)]


def test_one_seed_gives_one_history_with_all_its_ids(clients: Clients) -> None:
    def history(seed: int) -> list[dict[str, Any]]:
        events: list[dict[str, Any]] = []
        clock = VirtualClock(START)
        with World(content=MemoryContent(), clock=clock, seed=seed, send=events.append) as world:
            instance_id = world.launch()
            clock.advance(timedelta(minutes=1))
            clients.ssm.send_command(
                InstanceIds=[instance_id], DocumentName="AWS-RunShellScript", Parameters={"commands": ["true"]}
            )
            listed = clients.ssm.list_command_invocations()["CommandInvocations"]
            clients.ec2.create_snapshots(InstanceSpecification={"InstanceId": instance_id})
            clock.advance(timedelta(minutes=1))
        return [*events, {"command": listed[0]["CommandId"]}]

    assert history(1) == history(1)
    assert history(1)[-1] != history(2)[-1]
