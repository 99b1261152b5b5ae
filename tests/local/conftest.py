from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.exceptions import ClientError

from autostop_local.world import Timings, VirtualClock, VirtualMachines, World

if TYPE_CHECKING:  # half a second to import, in every process of the tests
    from mypy_boto3_cloudwatch import CloudWatchClient
    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_ec2.type_defs import InstanceTypeDef, SnapshotTypeDef, VolumeTypeDef
    from mypy_boto3_ssm import SSMClient

START = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)
Refused = Callable[..., tuple[str, str]]


@dataclass
class Clients:
    ec2: EC2Client
    ssm: SSMClient
    cloudwatch: CloudWatchClient


@dataclass
class Desk:
    """A world with a virtual clock, the clients that talk to it, and what it sent."""

    world: World
    clock: VirtualClock
    machines: VirtualMachines
    ec2: EC2Client
    ssm: SSMClient
    cloudwatch: CloudWatchClient
    events: list[dict[str, Any]] = field(default_factory=list)

    def wait(self, seconds: float) -> None:
        self.clock.advance(timedelta(seconds=seconds))
        self.world.tick()

    def launch(self, **wishes: Any) -> str:
        """A running instance, its checks passed and its agent registered."""
        instance_id = self.world.launch(**wishes)
        self.wait(60)
        return instance_id

    def stopped(self, **wishes: Any) -> str:
        instance_id = self.launch(**wishes)
        self.ec2.stop_instances(InstanceIds=[instance_id])
        self.wait(60)
        return instance_id

    def volume(self, **wishes: Any) -> str:
        """An available volume, gp3 of 10 GiB in the zone of the instances unless wished otherwise."""
        asked: dict[str, Any] = {"Size": 10, "VolumeType": "gp3", "AvailabilityZone": "us-east-1a"} | wishes
        volume_id = self.ec2.create_volume(**asked)["VolumeId"]
        self.wait(60)
        return volume_id

    def snapshot(self, volume_id: str) -> str:
        snapshot_id = self.ec2.create_snapshot(VolumeId=volume_id)["SnapshotId"]
        self.wait(60)
        return snapshot_id

    def instance(self, instance_id: str) -> InstanceTypeDef:
        return self.ec2.describe_instances(InstanceIds=[instance_id])["Reservations"][0]["Instances"][0]

    def state(self, instance_id: str) -> str:
        return self.instance(instance_id)["State"]["Name"]

    def disk(self, instance_id: str, device: str = "/dev/sda1") -> str:
        """The volume at a device."""
        return self.world.instance(instance_id).volumes[device]

    def volume_told(self, volume_id: str) -> VolumeTypeDef:
        return self.ec2.describe_volumes(VolumeIds=[volume_id])["Volumes"][0]

    def snapshot_told(self, snapshot_id: str) -> SnapshotTypeDef:
        return self.ec2.describe_snapshots(SnapshotIds=[snapshot_id])["Snapshots"][0]


def refusal(call: Callable[..., Any], **parameters: Any) -> tuple[str, str]:
    """The code and the message of the error that a call ends in."""
    with pytest.raises(ClientError) as caught:
        call(**parameters)
    error = caught.value.response["Error"]
    return error["Code"], error["Message"]


def query(
    instance_id: str, query_id: str = "m1", period: int = 300, stat: str = "Average", name: str = "CPUUtilization"
) -> Any:
    """One of GetMetricData's."""
    metric = {"Namespace": "AWS/EC2", "MetricName": name, "Dimensions": [{"Name": "InstanceId", "Value": instance_id}]}
    return {"Id": query_id, "MetricStat": {"Metric": metric, "Period": period, "Stat": stat}}


def until(happened: Callable[[], bool]) -> None:
    """Wait for what comes by itself; at most ten minutes."""
    give_up = time.monotonic() + 600
    while not happened():
        assert time.monotonic() < give_up
        time.sleep(0.1)


@pytest.fixture(name="refused", scope="session")
def refused_fixture() -> Refused:
    return refusal


@pytest.fixture(scope="session")
def clients() -> Clients:
    """Made once: what answers them is the world that is entered at the time."""
    session = boto3.Session("any", "any", region_name="us-east-1")
    return Clients(session.client("ec2"), session.client("ssm"), session.client("cloudwatch"))


@pytest.fixture
def desk(tmp_path: Path, clients: Clients) -> Iterator[Desk]:
    events: list[dict[str, Any]] = []
    clock, machines = VirtualClock(START), VirtualMachines()
    with World(tmp_path / "world", clock=clock, timings=Timings(), machines=machines, send=events.append) as world:
        yield Desk(world, clock, machines, clients.ec2, clients.ssm, clients.cloudwatch, events)
