"""The cloud on your desk, whole: the emulator with the deployed template, and the world with real machines."""

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config

from autostop_local.deploy import Say, deploy, launch_template
from autostop_local.emulator import REGION, Emulator, emulator
from autostop_local.event_bus import Event, events_sink
from autostop_local.machine.disks import DiskContent
from autostop_local.machine.machines import SystemdMachines
from autostop_local.process import run
from autostop_local.stack import Stack
from autostop_local.world import JupyterMachines, Timings, WallClock, World, serve
from autostop_local.world.content import DirectoryContent

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client

# Minutes of AWS are seconds here, so that a night fits into one sitting; the code is told so by its ordinary settings.
QUICK_TIMINGS = Timings(metric_period=timedelta(seconds=5), metric_delay=timedelta(seconds=1))
QUICK_SETTINGS = {"IdleAfter": "15s", "Grace": "5s", "WarnBefore": "4s", "WeakSignals": "5s", "DoubtFor": "5s"}
# The template offers the two periods that EC2 has; a workstation's tag may name any.
QUICK_TAGS = {"autostop:cpu-period": "5s"}


@dataclass(frozen=True, slots=True)
class Cloud:
    """An account that holds nothing. deliver: gets the events of EC2 and EBS once something is deployed."""

    emulator: Emulator
    world: World
    world_url: str
    machines: JupyterMachines | SystemdMachines
    deliver: list[Callable[[Event], int]]

    def environment(self) -> dict[str, str]:
        """Of a program that shall see this as AWS."""
        return self.emulator.environment() | {
            f"AWS_ENDPOINT_URL_{service}": self.world_url for service in ("EC2", "SSM", "CLOUDWATCH", "PRICING")
        }

    def desk(self, deployed: Stack) -> "Desk":
        """Let the functions of a deployed stack see the world, and its events come to them."""
        deployed.wire(dict.fromkeys(("ec2", "ssm", "cloudwatch", "pricing"), self.world_url))
        self.deliver.append(events_sink(self.emulator))
        limits = Config(connect_timeout=5, read_timeout=30, proxies={})
        ec2 = boto3.client(
            "ec2",
            endpoint_url=self.world_url,
            region_name=REGION,
            aws_access_key_id="owner",
            aws_secret_access_key="owner",  # noqa: S106 - the world takes any
            config=limits,
        )
        return Desk(self, deployed, ec2)


@dataclass(frozen=True, slots=True)
class Desk:
    """Everything that runs. ec2: a client that talks to the world, as the owner's own would.

    paths: from which the command is imported; those of this process, where none are named.
    """

    cloud: Cloud
    stack: Stack
    ec2: "EC2Client"
    paths: Sequence[str] = ()

    @property
    def emulator(self) -> Emulator:
        return self.cloud.emulator

    @property
    def world(self) -> World:
        return self.cloud.world

    @property
    def machines(self) -> JupyterMachines | SystemdMachines:
        return self.cloud.machines

    def autostop(self, *arguments: str, stdin: str = "") -> str:
        """Run the command `autostop` as the owner would; gives what it printed. Raises CommandError."""
        python = [sys.executable, "-m", "autostop_cli"]
        paths = ":".join(self.paths or sys.path)
        return run([*python, *arguments], self.cloud.environment() | {"PYTHONPATH": paths}, stdin)

    def volumes(self, instance: str) -> list[dict[str, Any]]:
        """The workstation's volumes, attached or not, in the order of their device names."""
        found: dict[str, dict[str, Any]] = {}
        for name in ("attachment.instance-id", "tag:autostop:workstation"):
            for volume in self.ec2.describe_volumes(Filters=[{"Name": name, "Values": [instance]}])["Volumes"]:
                attachment = next(iter(volume.get("Attachments", [])), None)
                found[volume["VolumeId"]] = {
                    "device": attachment["Device"] if attachment else None,
                    "type": volume["VolumeType"],
                    "size_gib": volume["Size"],
                    "delete_on_termination": attachment["DeleteOnTermination"] if attachment else None,
                    "id": volume["VolumeId"],
                }
        return sorted(found.values(), key=lambda volume: str(volume["device"]))

    def snapshots(self, instance: str) -> list[dict[str, Any]]:
        """The workstation's snapshots: id, state, device and cycle."""
        wanted = [{"Name": "tag:autostop:workstation", "Values": [instance]}]
        answer = self.ec2.describe_snapshots(OwnerIds=["self"], Filters=wanted)  # type: ignore[arg-type]  # plain dicts
        found = []
        for snapshot in answer["Snapshots"]:
            tags = {tag["Key"]: tag["Value"] for tag in snapshot.get("Tags", [])}
            found.append(
                {
                    "id": snapshot["SnapshotId"],
                    "state": snapshot["State"],
                    "device": tags.get("autostop:device"),
                    "cycle": int(tags["autostop:cycle"]),
                }
            )
        return sorted(found, key=lambda snapshot: (snapshot["cycle"], str(snapshot["device"])))

    def state(self, instance: str) -> str:
        """The instance's state."""
        return str(self.world.instance(instance).state)


@contextmanager
def cloud(directory: Path, *, with_disks: bool = False) -> Iterator[Cloud]:
    """The emulator and the world, with nothing in them; gone when the block ends, whatever happens.

    directory: exists and is empty. with_disks: instances are machines that boot from disks, on which their user data
    does what it does on EC2; else each is a JupyterLab beside directories.
    """
    machines = SystemdMachines() if with_disks else JupyterMachines()
    content = DiskContent if with_disks else DirectoryContent
    deliver: list[Callable[[Event], int]] = []

    def send(event: Event) -> None:
        for each in deliver:
            each(event)

    with ExitStack() as stack:
        running = stack.enter_context(emulator(directory))
        world = World(
            content=content(directory / "world"),
            clock=WallClock(),
            timings=QUICK_TIMINGS,
            machines=machines,
            send=send,
            region=REGION,
            seed=None,
            in_process=False,
        )
        stack.enter_context(world)
        world.find_templates(lambda template_id: launch_template(running, template_id))
        yield Cloud(running, world, stack.enter_context(serve(world)), machines, deliver)


@contextmanager
def desk(
    directory: Path, *, say: Say, settings: Mapping[str, str] = QUICK_SETTINGS, with_disks: bool = False
) -> Iterator[Desk]:
    """The cloud with the repository's own template deployed. settings: parameters of the template."""
    with cloud(directory, with_disks=with_disks) as empty:
        say("the emulator and the world run")
        yield empty.desk(deploy(empty.emulator, say=say, parameters=settings))
