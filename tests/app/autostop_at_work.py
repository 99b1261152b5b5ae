"""Autostop over the world in one process: its real use cases and adapters, its table, its queue, and time to turn.

Only three things are stood in for. The queue, because moto's counts its delays by the clock on the wall; the bus of our
own events; and what the workstations answer, which a test decides. Everything else is what runs in the cloud.
"""

import heapq
import itertools
import json
import os
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast
from unittest.mock import patch

import boto3

from autostop import tags
from autostop.app.owner import Owner
from autostop.app.reconcile import Reconciler
from autostop.app.sweep import Sweeper, Swept
from autostop.aws.ebs import EbsDisks
from autostop.aws.ec2 import Ec2Instances
from autostop.aws.jupyter import HttpsJupyter
from autostop.aws.metrics import CloudWatchMetrics
from autostop.aws.probes import Askers
from autostop.aws.queue import SqsQueue
from autostop.aws.table import DynamoLedger
from autostop.idle.record import Seen
from autostop.idle.verdict import Verdict
from autostop.link import Link, Scope, digest_of
from autostop.messages import workstations_in
from autostop.model import WorkstationId
from autostop.notice import Notice
from autostop.ports import State
from autostop.settings import Policy
from autostop.sleep.intent import Wanted
from autostop_local.world import Outcome, Timings, VirtualClock, VirtualMachines, World
from tests.handlers.table import TABLE, make_table

START = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)
EVERY = timedelta(minutes=5)
FUNCTION_RUNS_FOR = timedelta(seconds=48)
VISIBILITY = timedelta(minutes=6)
SECRET = "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LXNlY3I"
# What changes anything in the account.
CHANGES = (
    "StartInstances",
    "StopInstances",
    "ModifyInstanceAttribute",
    "CreateVolume",
    "AttachVolume",
    "DetachVolume",
    "DeleteVolume",
    "CreateSnapshots",
    "DeleteSnapshot",
    "CreateTags",
)
DATA = {
    "/dev/sdf": {"VolumeType": "gp3", "VolumeSize": 200, "Iops": 4000, "Throughput": 250, "DeleteOnTermination": False},
    "/dev/sdg": {"VolumeType": "st1", "VolumeSize": 500, "DeleteOnTermination": True, "Encrypted": True},
}


# One session for all tests: each new one reads the services' models from disk again.
SESSION = boto3.Session("testing", "testing", region_name="us-east-1")


class CrashedError(Exception):
    """The function died at once after a call."""


@dataclass
class Answers:
    """What one workstation would answer. used_at: of its one kernel; machine: what differs from a quiet one."""

    used_at: datetime
    busy: bool = False
    fails: bool = False
    machine: dict[str, object] = field(default_factory=dict)

    def says(self, now: datetime) -> Outcome | str:
        if self.fails:
            return Outcome(1, "", "python3: command not found")
        if self.busy:
            self.used_at = now
        used_at = self.used_at.timestamp()
        server = {"port": 8888, "status": "ok", "busy": int(self.busy), "idle": int(not self.busy), "starting": 0}
        server |= {"other": 0, "kernel_at": used_at, "busy_at": used_at if self.busy else None, "together": 0}
        server |= {"terminals": 0, "terminal_at": None, "connections": 0, "server_at": used_at, "saved_at": None}
        machine = {"boot": "b007b007", "cpu": 1.0, "typed_at": None, "jobs": 0, "job": "", "gpu": None, "logins": 0}
        machine |= {"editors": 0, "edited_at": None, "muxes": 0, "kernels": 0, "held": 0}
        line = {"v": 2, "at": now.timestamp(), "servers": [server], "machine": machine | self.machine, "errors": []}
        return json.dumps(line)


@dataclass
class Told:
    """The bus of our own events, as a list. fails: EventBridge refuses; deaf: only what is about these."""

    notices: list[Notice] = field(default_factory=list)
    fails: bool = False
    deaf: set[WorkstationId] = field(default_factory=set)

    def announce(self, notices: Sequence[Notice]) -> Mapping[Notice, str]:
        refused = {each: "EventBridge refused it" for each in notices if self.fails or each.workstation in self.deaf}
        self.notices += [each for each in notices if each not in refused]
        return refused


@dataclass
class Losses:
    """What goes wrong between AWS's events, the queue and the reconciler."""

    events: bool = False
    delayed: bool = False
    copies: int = 1


@dataclass
class AtWork:
    """Autostop in a world. `pass_time` lets hours go by, with sweeps on their schedule and messages when due.

    late_by: by how much every message comes later than it should.
    """

    world: World
    clock: VirtualClock
    machines: VirtualMachines
    losses: Losses = field(default_factory=Losses)
    defaults: Policy = field(default_factory=Policy)

    def __post_init__(self) -> None:
        self.answers: dict[str, Answers] = {}
        self.machines.respond = lambda instance, _script: self.answers[instance].says(self.clock())
        self._messages: list[tuple[datetime, int, str]] = []
        self._numbers = itertools.count()
        self._next_sweep = self.clock()
        self.crashes = 0
        self.late_by = timedelta(0)
        self.said: list[str] = []
        self.swept: list[Swept] = []
        self.ec2 = SESSION.client("ec2")
        self.cloudwatch, self.ssm = SESSION.client("cloudwatch"), SESSION.client("ssm")
        self.instances, self.disks = Ec2Instances(self.ec2), EbsDisks(self.ec2)
        self.metrics = CloudWatchMetrics(self.cloudwatch)
        self.asker = Askers(self.ssm, HttpsJupyter(self.clock))
        self.ledger = DynamoLedger(make_table(SESSION.client("dynamodb")), TABLE)
        self.queue = SqsQueue(cast("Any", SimpleNamespace(send_message=self._send_message)), "queue")
        self.told = Told()
        self.owner = Owner(self.instances, self.disks, self.ledger, self.queue, self.defaults, self.ticking)
        self.reconciler = Reconciler(
            self.instances,
            self.disks,
            self.metrics,
            self.asker,
            self.ledger,
            self.queue,
            self.defaults,
            self.ticking,
            lambda seconds: self.clock.advance(timedelta(seconds=seconds)),
            chance=lambda: 1.0,
        )

    def ticking(self) -> datetime:
        """The clock; no two looks at it give the same moment, as on a real machine."""
        self.clock.advance(timedelta(milliseconds=1))
        return self.clock()

    def workstation(
        self,
        *,
        disks: Mapping[str, Mapping[str, Any]] | None = None,
        settings: Mapping[str, str] | None = None,
        **parameters: Any,
    ) -> WorkstationId:
        """An adopted workstation with three volumes, launched now; its owner uses a notebook now and then stops.

        parameters: any others of RunInstances.
        """
        root = {"VolumeType": "gp3", "VolumeSize": 50, "DeleteOnTermination": True}
        instance = self.neighbour(disks={"/dev/sda1": root, **(DATA if disks is None else disks)}, **parameters)
        self.ec2.create_tags(Resources=[instance], Tags=[{"Key": tags.AUTOSTOP, "Value": tags.ON}])
        for key, value in (settings or {}).items():
            self.ec2.create_tags(Resources=[instance], Tags=[{"Key": f"autostop:{key}", "Value": value}])
        for volume in self.disks.volumes(instance):
            ours = {tags.AUTOSTOP: tags.ON, tags.WORKSTATION: instance, tags.DEVICE: volume.device or ""}
            self.ec2.create_tags(
                Resources=[volume.id], Tags=[{"Key": key, "Value": value} for key, value in ours.items()]
            )
        return instance

    def neighbour(self, disks: Mapping[str, Mapping[str, Any]] | None = None, **parameters: Any) -> WorkstationId:
        """An instance of somebody who never heard of Autostop."""
        instance = WorkstationId(
            self.world.launch(
                disks=disks,
                volume_tags={"Project": "genome"},
                jupyter_port=8888,
                **{"type": "t3.xlarge", "tags": {"Name": "lab"}, **parameters},
            )
        )
        self.answers[instance] = Answers(self.clock())
        self.machines.use_cores(instance, 0.05)
        return instance

    def sweep(self) -> Swept:
        ports = (self.instances, self.metrics, self.asker, self.ledger, self.queue, self.told)
        swept = Sweeper(*ports, self.defaults).sweep(self.ticking())
        self.swept.append(swept)
        return swept

    def pass_time(self, how_long: timedelta, until: Callable[[], bool] = lambda: False) -> bool:
        """Let time go by; True as soon as `until` holds."""
        end = self.clock() + how_long
        while not until():
            now = self.clock()
            if now >= end:
                return False
            self.world.tick()
            if self._messages and self._messages[0][0] <= now:
                self._deliver(heapq.heappop(self._messages)[2])
            elif self._next_sweep <= now:
                self._next_sweep += EVERY
                self.sweep()
            else:
                due = [self._next_sweep, end, *(message[0] for message in self._messages[:1])]
                happening = self.world.cloud.timeline.next_due()
                due += [happening] if happening else []
                self.clock.advance(max(timedelta(0), min(due) - now))
        return True

    def take_event(self, event: Mapping[str, Any]) -> None:
        """Of EventBridge, whose rules hand everything of EC2 and EBS to the queue."""
        if not self.losses.events:
            for _ in range(self.losses.copies):
                self._put(json.dumps(event), timedelta(0))

    def after(self, operation: str, act: Callable[[], object], service: str = "ec2", nth: int = 1) -> None:
        """Do something once, right after the nth call of an operation had its effect."""
        client = {"ec2": self.ec2, "cloudwatch": self.cloudwatch, "ssm": self.ssm}[service]
        seen = itertools.count(1)

        def answered(**_: object) -> None:
            if next(seen) == nth:
                act()

        client.meta.events.register(f"after-call.{service}.{operation}", answered)

    def crash(self) -> None:
        self.crashes += 1
        raise CrashedError

    def state(self, workstation: WorkstationId) -> State:
        return self.ledger.load(workstation)

    def verdict(self, workstation: WorkstationId) -> Verdict:
        """Of the newest sweep."""
        return self.seen(workstation).verdict

    def seen(self, workstation: WorkstationId) -> Seen:
        """What the newest sweep saw of it."""
        return self.ledger.latest_sweep(self.clock())[workstation]

    def reached(self, workstation: WorkstationId, wanted: Wanted) -> bool:
        intent = self.state(workstation).intent
        return intent is not None and intent.wanted is wanted and intent.settled

    def is_blocked(self, workstation: WorkstationId) -> bool:
        return self.state(workstation).blocked is not None

    def asleep(self, workstation: WorkstationId, within: timedelta = timedelta(hours=3)) -> None:
        assert self.pass_time(within, lambda: self.reached(workstation, Wanted.SHELVE)), self.state(workstation)

    def awake(self, workstation: WorkstationId, within: timedelta = timedelta(minutes=30)) -> None:
        assert self.pass_time(within, lambda: self.reached(workstation, Wanted.RUN)), self.state(workstation)

    def shape(self, workstation: WorkstationId) -> dict[str, tuple[object, ...]]:
        """By device, everything of a volume that its owner could miss."""
        return {
            volume.device or "": (
                volume.type,
                volume.size_gib,
                volume.iops,
                volume.throughput,
                volume.encrypted,
                volume.kms_key,
                volume.zone,
                volume.delete_on_termination,
                tags.own(volume.tags),
            )
            for volume in self.disks.volumes(workstation)
        }

    def write(self, workstation: WorkstationId, text: str) -> None:
        """A file on every disk."""
        for device in self.shape(workstation):
            (self.world.disk_path(workstation, device) / "notes.txt").write_text(f"{text} {device}", encoding="utf-8")

    def content(self, workstation: WorkstationId) -> dict[str, str]:
        return {
            device: (self.world.disk_path(workstation, device) / "notes.txt").read_text(encoding="utf-8")
            for device in self.shape(workstation)
        }

    def calls(self, *operations: str) -> list[str]:
        """The calls that changed something, or those named, in order; refused ones too."""
        return [call.operation for call in self.world.journal.calls() if call.operation in (operations or CHANGES)]

    def steps(self, workstation: WorkstationId) -> list[str]:
        intent = self.state(workstation).intent
        assert intent is not None
        return [step.text for step in self.ledger.happened(workstation, intent.number)]

    def link(self, workstation: WorkstationId, secret: str = SECRET, **fields: Any) -> Link:
        given: dict[str, Any] = {"label": "phone", "scopes": tuple(Scope), "created_at": self.clock(), **fields}
        link = Link(workstation, digest_of(secret), **given)
        self.ledger.put_link(link)
        return link

    def _send_message(self, *, QueueUrl: str, MessageBody: str, DelaySeconds: int) -> None:  # noqa: N803 - AWS's names
        assert 0 <= DelaySeconds <= 900
        if not (DelaySeconds and self.losses.delayed):
            self._put(MessageBody, timedelta(seconds=DelaySeconds))

    def _put(self, body: str, after: timedelta) -> None:
        heapq.heappush(self._messages, (self.clock() + after + self.late_by, next(self._numbers), body))

    def _deliver(self, body: str) -> None:
        try:
            for workstation in workstations_in(body, self.disks.workstations_of):
                holder, until = f"request-{next(self._numbers)}", self.clock() + FUNCTION_RUNS_FOR
                self.said.append(self.reconciler.reconcile(workstation, holder, until))
        except CrashedError:
            self._put(body, VISIBILITY)


@contextmanager
def at_work(root: Path, *, losses: Losses | None = None, **timings: timedelta) -> Generator[AtWork, None, None]:
    """Autostop in a new world whose snapshots take 4 minutes and whose metrics come 2 minutes late."""
    clock, machines = VirtualClock(START), VirtualMachines()
    receivers: list[Callable[[Mapping[str, Any]], None]] = []
    usual = {"snapshot": timedelta(minutes=4), "metric_delay": timedelta(minutes=2)}
    credentials = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing"}

    def send(event: Mapping[str, Any]) -> None:
        for receive in receivers:
            receive(event)

    with (
        patch.dict(os.environ, credentials),
        World(root, clock=clock, timings=Timings(**(usual | timings)), machines=machines, send=send) as world,
    ):
        running = AtWork(world, clock, machines, losses or Losses())
        receivers.append(running.take_event)
        yield running
