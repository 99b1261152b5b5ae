"""Instances of the world that are machines with systemd, launched from a template."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import boto3
import pytest

from autostop_local.machine.disks import DiskContent
from autostop_local.machine.machines import SystemdMachines
from autostop_local.world import Timings, WallClock, World
from tests.probe.jupyter_servers import wait_for

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_ec2.type_defs import WaiterConfigTypeDef

AT_ONCE = Timings(
    pending=timedelta(0), stopping=timedelta(0), creating=timedelta(0), attaching=timedelta(0), detaching=timedelta(0)
)
DISKS = [{"DeviceName": f"/dev/{name}", "Ebs": {"VolumeSize": 1, "VolumeType": "gp3"}} for name in ("sda1", "sdf")]
SOON: WaiterConfigTypeDef = {"Delay": 1, "MaxAttempts": 180}
SEED = b"#cloud-config\nruncmd: [[sh, -c, 'echo a thought >/var/lib/kept']]\n"


@pytest.fixture
def machines() -> SystemdMachines:
    # No stop of these tests ends by the power that is cut then.
    return SystemdMachines(grace=timedelta(hours=1))


@pytest.fixture
def world(tmp_path: Path, machines: SystemdMachines) -> Iterator[World]:
    with World(content=DiskContent(tmp_path / "world"), clock=WallClock(), timings=AT_ONCE, machines=machines) as made:
        yield made


@pytest.fixture
def ec2(world: World) -> EC2Client:
    return boto3.client("ec2", region_name=world.region, aws_access_key_id="owner", aws_secret_access_key="owner")


def launch(ec2: EC2Client) -> str:
    data = {"InstanceType": "m7g.2xlarge", "BlockDeviceMappings": DISKS}
    made = ec2.create_launch_template(LaunchTemplateName="workstation", LaunchTemplateData=data)  # type: ignore[arg-type]
    return ec2.run_instances(
        LaunchTemplate={"LaunchTemplateId": made["LaunchTemplate"]["LaunchTemplateId"]},
        ImageId="ami-00000000000000001",
        UserData=SEED,  # type: ignore[arg-type] # boto3 takes bytes, and packs them for the wire
        MinCount=1,
        MaxCount=1,
    )["Instances"][0]["InstanceId"]


def wait_until(world: World, instance_id: str, state: str) -> None:
    wait_for(lambda: world.instance(instance_id).state == state, lambda: world.instance(instance_id).state)


def test_a_stop_waits_for_no_command_and_what_was_written_is_in_the_snapshots(
    world: World, ec2: EC2Client, machines: SystemdMachines
) -> None:
    instance_id = launch(ec2)
    wait_until(world, instance_id, "running")
    machine = machines.machine(instance_id)
    kept = machine.root / "var/lib/kept"
    wait_for(kept.exists, machine.console.read_text)
    first = world.instance(instance_id)
    assert (first.type, first.public_ip) == ("m7g.2xlarge", machine.address)
    command = machines.run(instance_id, "echo begun; exec sleep 1000", timedelta(hours=1))
    wait_for(lambda: "sleep" in machine.run("ps", "-e").stdout, machine.console.read_text)

    ec2.stop_instances(InstanceIds=[instance_id])
    wait_until(world, instance_id, "stopped")

    outcome = command.poll()
    assert outcome
    assert (outcome.stdout, outcome.code != 0, outcome.timed_out) == ("begun\n", True, False)
    root = first.volumes["/dev/sda1"]
    snapshot = ec2.create_snapshot(VolumeId=root)["SnapshotId"]
    ec2.get_waiter("snapshot_completed").wait(SnapshotIds=[snapshot], WaiterConfig=SOON)
    ec2.detach_volume(VolumeId=root)
    wait_for(lambda: "/dev/sda1" not in world.instance(instance_id).volumes, lambda: "it is attached")
    ec2.delete_volume(VolumeId=root)
    restored = ec2.create_volume(SnapshotId=snapshot, AvailabilityZone=first.zone, Size=2)["VolumeId"]
    ec2.get_waiter("volume_available").wait(VolumeIds=[restored], WaiterConfig=SOON)
    wait_for(lambda: attached(ec2, restored, instance_id), lambda: "it cannot be attached")
    ec2.start_instances(InstanceIds=[instance_id])
    wait_until(world, instance_id, "running")

    second = machines.machine(instance_id)
    assert second.address != machine.address
    assert (second.root / "var/lib/kept").read_text() == "a thought\n"


def attached(ec2: EC2Client, volume: str, instance_id: str) -> bool:
    """For a while after a volume has gone its device stays taken."""
    try:
        ec2.attach_volume(VolumeId=volume, InstanceId=instance_id, Device="/dev/sda1")
    except ec2.exceptions.ClientError:
        return False
    return True


def test_a_command_ends_at_its_time(world: World, ec2: EC2Client, machines: SystemdMachines) -> None:
    instance_id = launch(ec2)
    wait_until(world, instance_id, "running")

    command = machines.run(instance_id, "sleep 1000", timedelta(seconds=1))

    began_at = time.monotonic()
    wait_for(lambda: command.poll() is not None, lambda: "it goes on")
    assert time.monotonic() - began_at >= 0.9
