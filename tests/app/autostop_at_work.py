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
from functools import cache
from pathlib import Path
from types import MappingProxyType, SimpleNamespace
from typing import Any
from unittest.mock import patch

import boto3

from autostop import tags
from autostop.app.sweep import Swept
from autostop.aws.channels import notice_in
from autostop.idle.sweep_record import SweepRecord
from autostop.idle.verdict import Verdict
from autostop.link import Link, Scope, digest_of
from autostop.model import Instance, WorkstationId, instance_of
from autostop.notice import Notice
from autostop.queue_messages import workstations_in
from autostop.sleep.intent import Intent, Wanted
from autostop.state import State
from autostop_local.world import Outcome, Timings, VirtualClock, VirtualMachines, World
from autostop_local.world.errors import AwsError
from autostop_local.world.wire import Asked
from tests.direct import SERVICES, client_error, clients, without_none
from tests.handlers.table import make_table
from tests.product import Product
from tests.simulation.table import Table

START = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)
EVERY = timedelta(minutes=5)
FUNCTION_RUNS_FOR = timedelta(seconds=48)
VISIBILITY = timedelta(minutes=6)
SECRET = "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LXNlY3I"
# What changes anything in the account.
CHANGES = (
    "StartInstances", "StopInstances", "ModifyInstanceAttribute", "CreateVolume", "AttachVolume", "DetachVolume",
    "DeleteVolume", "CreateSnapshots", "DeleteSnapshot", "CreateTags",
)  # fmt: skip
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

    def put_events(self, *, Entries: Sequence[Mapping[str, str]]) -> dict[str, Any]:  # noqa: N803 - AWS's names
        """As EventBridge takes them: 256 KB a call (botocore, `PutEvents`); it tells of each entry in its order."""
        if sum(len(each["Detail"]) for each in Entries) > 256 * 1024:
            raise AwsError("ValidationException", "Total size of the entries in the request is over the limit.")
        notices = [notice_in({"source": each["Source"], "detail": json.loads(each["Detail"])}) for each in Entries]
        refused = [self.fails or each.workstation in self.deaf for each in notices]
        self.notices += [each for each, no in zip(notices, refused, strict=True) if not no]
        answers = [{"ErrorCode": "InternalFailure", "ErrorMessage": "not now"} if no else {} for no in refused]
        return {"FailedEntryCount": sum(refused), "Entries": answers}


@dataclass
class Losses:
    """What goes wrong between AWS's events, the queue and the reconciler."""

    events: bool = False
    delayed: bool = False
    copies: int = 1


@dataclass
class AtWork(Product):
    """Autostop in a world. `pass_time` lets hours go by, with sweeps on their schedule and messages when due.

    over_http: whether its calls go through boto3's HTTP to moto and the world, or straight to the world and a table in
    memory, which takes a tenth of the time. refusals: by operation, what AWS answers, as long as it is there (not over
    HTTP). late_by: by how much every message comes later than it should.
    """

    world: World
    clock: VirtualClock
    machines: VirtualMachines
    losses: Losses = field(default_factory=Losses)
    over_http: bool = True

    def __post_init__(self) -> None:
        self.answers: dict[str, Answers] = {}
        self.machines.respond = lambda instance, _script: self.answers[instance].says(self.clock())
        self._messages: list[tuple[datetime, int, str]] = []
        self._numbers = itertools.count()
        self._next_sweep = self.clock()
        self.crashes = 0
        self.dies_at(0)
        self.late_by = timedelta(0)
        self.said: list[str] = []
        self.swept: list[Swept] = []
        self.told = Told()
        self.refusals: dict[str, AwsError] = {}
        self._acts: list[tuple[str, Callable[[], object]]] = []
        if self.over_http:
            made, present = _clients_over_http()
            present[:] = [self]
            self.clients: Any = SimpleNamespace(**made)
            make_table(self.clients.dynamodb)
            self.clients.sqs = SimpleNamespace(send_message=self._send_message)
            self.clients.events = SimpleNamespace(put_events=self.told.put_events)
        else:
            self.clients, self.table = clients(), Table(self.clock)
            self.clients.account = self
        self.ec2, self.cloudwatch, self.ssm = self.clients.ec2, self.clients.cloudwatch, self.clients.ssm
        self.work_with()

    def work_with(self, ec2: Any = None, chance: float = 1.0) -> None:
        """Wire it anew, with another client of EC2, or with another luck in its waits."""
        self.clients.ec2 = ec2 or self.clients.ec2
        self.wire(
            self.clients, self.ticking, lambda seconds: self.clock.advance(timedelta(seconds=seconds)), lambda: chance
        )

    def ticking(self) -> datetime:
        """The clock; no two looks at it give the same moment, as on a real machine."""
        self.clock.advance(timedelta(milliseconds=1))
        return self.clock()

    def sleep(self, seconds: float) -> None:
        """Let time go by while a command waits."""
        self.clock.advance(timedelta(seconds=seconds))
        self.world.tick()

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
        self.adopt(instance, settings or {})
        return instance

    def adopt(self, instance: WorkstationId, settings: Mapping[str, str] = MappingProxyType({})) -> None:
        """Tag it as `autostop adopt` does."""
        self.world.tag(instance, {tags.AUTOSTOP: tags.ON} | {f"autostop:{key}": each for key, each in settings.items()})
        for device, volume in self.world.cloud.instances[instance].volumes.items():
            self.world.tag(volume, {tags.AUTOSTOP: tags.ON, tags.WORKSTATION: instance, tags.DEVICE: device})

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
        self.swept.append(self.sweeper.sweep(self.ticking()))
        return self.swept[-1]

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

    def after(self, operation: str, act: Callable[[], object], nth: int = 1) -> None:
        """Do something once, right after the nth call of an operation had its effect; `before X`: right before it."""
        self._acts += [(operation, lambda: None)] * (nth - 1) + [(operation, act)]

    def dies_at(self, nth: int, *, before: bool = False) -> None:
        """Die at the nth call from now, of whatever operation; 0: at none."""
        self._deadly, self._dies_before = nth, before

    def _happens(self, moment: str) -> None:
        if moment.startswith("before ") is self._dies_before:
            self._deadly -= 1
            if self._deadly == 0:
                self.crash()
        act = next((each for each in self._acts if each[0] == moment), None)
        if act is not None:
            self._acts.remove(act)
            act[1]()

    def call(self, service: str, operation: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """A call that goes without HTTP."""
        self._happens(f"before {operation}")
        try:
            if operation in self.refusals:
                raise self.refusals[operation]
            reply = self._answer(service, operation, parameters)
        except AwsError as error:
            raise client_error(error, operation) from error
        finally:
            self._happens(operation)
        return reply

    def _answer(self, service: str, operation: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
        if service in ("dynamodb", "sqs", "events"):
            self.world.check(Asked(service, operation, parameters))
        match service:
            case "dynamodb":
                return self.table.operations[operation](parameters)
            case "sqs":
                self._send_message(**parameters)
                return {}
            case "events":
                return self.told.put_events(**parameters)
            case _:
                plain: dict[str, Any] = without_none(self.world.call(Asked(service, operation, parameters)))
                return plain

    def crash(self) -> None:
        self.crashes += 1
        raise CrashedError

    def state(self, workstation: WorkstationId) -> State:
        return self.ledger.load(workstation)

    def verdict(self, workstation: WorkstationId) -> Verdict:
        """Of the newest sweep."""
        return self.seen(workstation).verdict

    def seen(self, workstation: WorkstationId) -> SweepRecord:
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

    def wake(self, workstation: WorkstationId, within: timedelta = timedelta(minutes=30)) -> None:
        """By its owner's tap."""
        self.owner.start(workstation, "the test")
        self.awake(workstation, within)

    def instance(self, workstation: WorkstationId) -> Instance:
        """As EC2 shows it; it is there."""
        instance = self.instances.find(instance_of(workstation))
        assert instance is not None
        return instance

    def intent(self, workstation: WorkstationId) -> Intent:
        """What is wanted of it; something is."""
        intent = self.state(workstation).intent
        assert intent is not None
        return intent

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


@cache
def _clients_over_http() -> tuple[Mapping[str, Any], list[AtWork]]:
    """Made once, and whom they tell of their calls: making them takes as long as many a test."""
    present: list[AtWork] = []
    made: dict[str, Any] = {name: SESSION.client(name) for name in (*SERVICES[:4], "pricing")}  # type: ignore[call-overload]
    for client in made.values():
        client.meta.events.register("before-call", lambda model, **_: present[0]._happens(f"before {model.name}"))
        client.meta.events.register("after-call", lambda model, **_: present[0]._happens(model.name))
    return made, present


@contextmanager
def hearing(client: Any, event: str, act: Callable[..., object]) -> Generator[None, None, None]:
    """Let an act hear an event of a client that other tests use too. event: of botocore, such as `before-call`."""
    client.meta.events.register(event, act)
    try:
        yield
    finally:
        client.meta.events.unregister(event, act)


@contextmanager
def at_work(
    root: Path, *, losses: Losses | None = None, over_http: bool = True, begins: datetime = START, **timings: timedelta
) -> Generator[AtWork, None, None]:
    """Autostop in a new world whose snapshots take 4 minutes and whose metrics come 2 minutes late."""
    clock, machines = VirtualClock(begins), VirtualMachines()
    receivers: list[Callable[[Mapping[str, Any]], None]] = []
    usual = {"snapshot": timedelta(minutes=4), "metric_delay": timedelta(minutes=2)}
    credentials = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing"}

    def send(event: Mapping[str, Any]) -> None:
        for receive in receivers:
            receive(event)

    world = World(
        root, clock=clock, timings=Timings(**(usual | timings)), machines=machines, send=send, in_process=over_http
    )
    with patch.dict(os.environ, credentials), world:
        running = AtWork(world, clock, machines, losses or Losses(), over_http)
        receivers.append(running.take_event)
        # boto3's waiters sleep too.
        with patch("botocore.waiter.time", SimpleNamespace(sleep=running.sleep)):
            yield running
