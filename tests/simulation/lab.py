"""Autostop at work in a simulated account: its use cases and adapters, every function a task of its own."""

import json
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, cast

from autostop import tags
from autostop.app.owner import RefusedError
from autostop.aws.ledger import DynamoLedger
from autostop.aws.states import read_outline
from autostop.model import WorkstationId, instance_of
from autostop.ports import ConflictError, DeniedError, TransientError
from autostop.queue_messages import workstations_in
from autostop.settings import policy_for
from autostop.sleep.intent import Wanted
from autostop.sleep.resize import Resize
from autostop.state import State
from autostop_cli.resize import with_wish
from autostop_local.world import MemoryContent, Timings, VirtualClock, VirtualMachines, World
from autostop_local.world.errors import AwsError
from autostop_local.world.resources import Volume
from autostop_local.world.wire import Asked
from tests.app.autostop_at_work import Answers
from tests.direct import clients
from tests.handlers.table import TABLE
from tests.product import Product
from tests.simulation.account import Account, Call
from tests.simulation.hub import Hub, Task
from tests.simulation.messages import Disorder, Message, Messages
from tests.simulation.oracle import Activity, Oracle
from tests.simulation.table import Table
from tests.simulation.vigil import Vigil
from tests.simulation.weather import Planned, Weather

START = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)
EVERY = timedelta(minutes=5)
# As in template.yaml and functions/reconcile.
FUNCTION_TIMEOUT = timedelta(seconds=60)
MARGIN = timedelta(seconds=12)
_EXPECTED = (TransientError, DeniedError, ConflictError, RefusedError)

Disks = Mapping[str, Mapping[str, Any]]


@dataclass
class Usual:
    """How long things take; each history has its own."""

    snapshot: timedelta = timedelta(minutes=4)
    pending: timedelta = timedelta(seconds=15)
    stopping: timedelta = timedelta(seconds=30)
    checks: timedelta = timedelta(seconds=90)
    creating: timedelta = timedelta(seconds=2)
    attaching: timedelta = timedelta(seconds=2)
    detaching: timedelta = timedelta(seconds=3)
    deleting: timedelta = timedelta(seconds=5)


class Lab(Product):
    """One account with one workstation, Autostop, and a neighbour who never heard of it."""

    def __init__(
        self,
        seed: int,
        *,
        disks: Disks,
        usual: Usual | None = None,
        weather: Callable[[random.Random, Callable[[], datetime]], Weather] | Planned | None = None,
        disorder: Disorder | None = None,
        skew: timedelta = timedelta(0),
        settings: Mapping[str, str] | None = None,
    ) -> None:
        """disks: the `Ebs` of each device. skew: at most so far is the clock of a function off. settings: as tags."""
        self.seed, self.chance = seed, random.Random(seed)  # noqa: S311 - a history, not a secret
        self.clock = VirtualClock(START)
        self.table, self.content, self.machines = Table(self.clock), MemoryContent(), VirtualMachines()
        self.skew = skew
        self.hub = Hub(self.clock, self)
        self.messages = Messages(self.hub, self._reconcile, self._own_chance(), disorder or Disorder())
        self.world = World(
            clock=self.clock,
            timings=Timings(**vars(usual or Usual()), metric_delay=timedelta(minutes=2), agent=timedelta(seconds=20)),
            machines=self.machines,
            content=self.content,
            send=self.messages.take_event,
            seed=seed,
            in_process=False,
        ).__enter__()
        if isinstance(weather, Planned):
            self.weather: Weather | Planned = weather
        else:
            self.weather = (weather or Weather)(self._own_chance(), self.clock)
        self.account = Account(
            self.hub, self.world, self.table, self.weather, self, self.messages.send, self._own_chance()
        )
        self._items_read: list[Any] = [None, None]
        self._state_read = State(WorkstationId(""))
        self._own = clients()
        self._own.account = self.account
        read = SimpleNamespace(transact_get_items=lambda **asked: self.table.operations["TransactGetItems"](asked))
        self._reader = DynamoLedger(cast("Any", read), TABLE)
        self.wire(
            self._own,
            self.function_clock,
            lambda seconds: self.hub.pause(timedelta(seconds=seconds)),
            self._own_chance().random,
        )
        self.running: set[Task] = set()
        self.unexpected: list[str] = []
        self.tell: Callable[[str], None] | None = None
        self.taps = self.console = 0
        self.detached_by_hand: set[str] = set()
        self.given_up: set[str] = set()
        self.edited_by_hand: set[str] = set()
        self.keeps = ""
        self.sizes: dict[str, set[int]] = {}
        self.types = {"m5.xlarge"}
        self.resized: Resize | None = None
        self.on_call: list[Callable[[Call], None]] = []
        self.answers = Answers(START)
        self.machines.respond = lambda _instance, _script: self.answers.says(self.clock())
        self.neighbour = self._launch({"/dev/sdf": {"VolumeSize": 10}})
        self.workstation = WorkstationId(self._launch(disks))
        self._adopt(settings or {})
        self.machines.use_cores(self.workstation, 0.05)
        policy, _ = policy_for(self.defaults, self.world.cloud.instances[self.workstation].tags)
        self.oracle = Oracle(
            self.world,
            self.content,
            self.table,
            self.hub,
            self.workstation,
            Activity(policy.idle_after or timedelta(0), policy.grace, START),
            lambda: set(self.running),
        )
        self.oracle.adopt()
        self.vigil = Vigil(self.world, self.workstation, self.state, self.clock, forgiven=self._left_to_a_person)
        self.vigil.has_outline = self._has_outline
        self.shape_at_first = self.shape()
        self.works_until = START
        self._sweep_at(self.clock() + timedelta(seconds=30))

    def _has_outline(self) -> bool:
        """Whether a sweep can read what it needs of it."""
        item = self.table.items.get(("states", self.workstation))
        return item is not None and read_outline(item) is not None

    def _own_chance(self) -> random.Random:
        return random.Random(self.chance.getrandbits(64))  # noqa: S311 - as above

    def close(self) -> None:
        self.hub.close()
        self._own.account = None
        self.world.__exit__(None, None, None)

    # -- time

    def tick(self) -> None:
        self.world.tick()
        self.oracle.look("nature")

    def next_due(self) -> datetime | None:
        return self.world.cloud.timeline.next_due()

    def function_clock(self) -> datetime:
        """The clock of the function that runs; no two looks at it give the same moment."""
        self.clock.advance(timedelta(microseconds=100))
        task = self.hub.current
        return self.clock() + (task.skew if task else timedelta(0))

    def pass_time(self, how_long: timedelta, enough: Callable[[], bool] = lambda: False) -> bool:
        return self.hub.run(self.clock() + how_long, enough)

    def live(self, apart: Callable[[], timedelta]) -> None:
        """From now on, while it runs, something is always written; and while the owner works, Jupyter knows of it."""
        if self.ec2_state() == "running":
            self.oracle.write()
            if self.clock() < self.works_until:
                self.answers.used_at = self.oracle.activity.last_work = self.clock()
        self.hub.at(self.clock() + apart(), lambda: self.live(apart))

    # -- the watch over the calls

    def before(self, call: Call) -> None:
        if self.hub.current is not None:
            self.oracle.before(call)

    def after(self, call: Call, error: str | None) -> None:
        if self.tell is not None and call.changes:
            self._tell_of(call, error)
        self.oracle.after(call, error)
        if error is not None and self.world.refuses(Asked(call.service, call.operation, call.parameters)):
            self.vigil.refused(call.operation)
        if error is None and call.operation == "PutItem":
            self.vigil.written(call.parameters["Item"])
        if error is None:
            for act in list(self.on_call):
                act(call)

    def announced(self, detail_type: str, detail: Mapping[str, Any]) -> None:
        self.say(f"    TOLD {detail_type}: {detail.get('text')}")
        self.vigil.heard(detail_type, detail)

    def _left_to_a_person(self, volume: str) -> bool:
        """A volume that a person took out, or whose tags a person has changed, is that person's to put back."""
        line = self.oracle.line.get(self.content.of_volume(volume) or 0, "")
        return volume in self.edited_by_hand or line in self.detached_by_hand | self.oracle.displaced

    def _tell_of(self, call: Call, error: str | None) -> None:
        """What changed in EC2, and what Autostop wrote down about it."""
        asked = call.parameters
        if call.service == "ec2":
            said = {key: value for key, value in asked.items() if key not in ("TagSpecifications", "ClientToken")}
            self.say(f"{call.operation} {said} {error or ''}")
        elif call.operation == "PutItem" and asked["Item"]["kind"]["S"].startswith("event#"):
            self.say(f"    {json.loads(asked['Item']['document']['S'])['text']}")

    def say(self, line: str) -> None:
        """One line of the history, for whoever wants to read it."""
        if self.tell is not None:
            self.tell(f"{self.clock():%d %H:%M:%S} {self.ec2_state():<13} {line}")

    # -- functions

    def _run(
        self,
        name: str,
        work: Callable[[], object],
        done: Callable[[], object] = lambda: None,
        failed: Callable[[Exception], object] = lambda _error: None,
    ) -> Task:
        """One invocation: it may fail, be killed at its time-out, or do what it should."""

        def body() -> None:
            task = self.hub.current
            try:
                work()
            except _EXPECTED as error:
                failed(error)
                return
            except (KeyError, ValueError, TypeError, AttributeError, IndexError) as error:
                self.unexpected.append(f"{name}: {error!r}")
                return
            finally:
                if task is not None:
                    self.running.discard(task)
            done()

        skew = timedelta(seconds=self.chance.uniform(-1, 1) * self.skew.total_seconds())
        task = self.hub.spawn(name, body, self.clock(), skew)
        self.running.add(task)
        self.hub.at(self.clock() + FUNCTION_TIMEOUT, lambda: self._time_out(task))
        return task

    def _time_out(self, task: Task) -> None:
        if task in self.running:
            self.hub.kill(task)
            self.running.discard(task)

    def _reconcile(self, message: Message) -> None:
        holder = f"request-{self.chance.getrandbits(40):010x}"

        def work() -> None:
            until = self.function_clock() + FUNCTION_TIMEOUT - MARGIN
            try:
                found = workstations_in(message.body, self.disks.workstations_of)
            except ValueError as error:
                raise DeniedError(f"poison: {error}") from error
            for workstation in found:
                self.reconciler.reconcile(workstation, holder, until)

        self._run("reconcile", work, lambda: self.messages.delete(message), self.vigil.reconciled)

    def _sweep_at(self, due: datetime) -> None:
        def begin() -> None:
            self._sweep_at(due + EVERY)
            self._run("sweep", self._sweep, self.vigil.swept, self.vigil.swept)

        self.hub.at(due, begin)

    def _sweep(self) -> None:
        """As the function's handler has it: one that cannot tell owners has failed when all else is done."""
        if unheard := self.sweeper.sweep(self.function_clock()).unheard:
            raise DeniedError(str(unheard))

    def tap(self, wish: str) -> None:
        """The owner taps, and again every 15 seconds until it is accepted or refused for good."""
        self.taps += 1
        self.say(f"THE OWNER TAPS {wish}")
        accepted: list[bool] = []

        def work() -> None:
            try:
                {"start": self.owner.start, "stop": self.owner.stop, "keep-awake": self.owner.keep_awake}[wish](
                    self.workstation, "the test"
                )
            except RefusedError:
                accepted.append(False)

        def done() -> None:
            if not accepted:
                accepted.append(True)
                if wish == "start":
                    self.vigil.wished_at = self.clock()
                if wish in ("start", "stop"):
                    self.oracle.wished("run" if wish == "start" else "stop")

        def again(tries: int) -> None:
            if not accepted and tries:
                self._run("api", work, done)
                self.hub.at(self.clock() + timedelta(seconds=15), lambda: again(tries - 1))

        again(40)

    def resize(self, asked: Resize) -> None:
        """The owner wants it larger, as `autostop resize` does; once, whether that comes off or not."""
        self.say(f"THE OWNER WANTS {asked.type} {asked.sizes}")
        self.types |= {asked.type} if asked.type is not None else set()
        for device, size in asked.sizes.items():
            self.sizes.setdefault(device, set()).add(size)

        def work() -> None:
            instance = self.instances.find(instance_of(self.workstation))
            if instance is None or instance.is_gone:
                return
            attached = [each for each in self.disks.volumes(self.workstation) if each.attached_to == instance.id]
            self.ledger.change(self.workstation, lambda state: with_wish(state, asked, instance, attached))
            self.resized = asked

        self._run("resize", work)

    # -- the person at the console

    def person(self, operation: str, **asked: Any) -> bool:
        """What somebody does with the account's own rights; False when EC2 refuses."""
        self.console += 1
        self.say(f"A PERSON: {operation} {asked}")
        if operation == "DeleteSnapshot":
            self.oracle.person_deletes(asked["SnapshotId"])
        try:
            self.world.call(Asked("ec2", operation, asked), refusable=False)
        except AwsError:
            return False
        finally:
            self.oracle.look("person")
        return True

    def tag(self, resource: str, key: str, value: str | None) -> None:
        """Edit one tag by hand; None removes it."""
        self.edited_by_hand.add(resource)
        if key == tags.AUTOSTOP and value != tags.ON:
            self.oracle.untagged[resource] = self.clock()
        if value is None:
            self.person("DeleteTags", Resources=[resource], Tags=[{"Key": key}])
        else:
            self.person("CreateTags", Resources=[resource], Tags=[{"Key": key, "Value": value}])

    def register_image(self) -> None:
        """The owner makes an image of the root's newest complete snapshot."""
        snapshots = self.world.cloud.snapshots.values()
        whole = [each for each in snapshots if each.state == "completed" and each.tags.get(tags.DEVICE) == "/dev/sda1"]
        if whole:
            newest = max(whole, key=lambda each: each.number)
            disk = {"DeviceName": "/dev/sda1", "Ebs": {"SnapshotId": newest.id}}
            own = {"Name": f"of {newest.id}", "RootDeviceName": "/dev/sda1", "BlockDeviceMappings": [disk]}
            self.person("RegisterImage", **own)

    def _launch(self, disks: Disks) -> str:
        return self.world.launch(
            type="m5.xlarge", disks=disks, tags={"Name": "lab"}, volume_tags={"Project": "genome"}, jupyter_port=8888
        )

    def _adopt(self, settings: Mapping[str, str]) -> None:
        instance = self.workstation
        own = {f"{tags.PREFIX}{key}": value for key, value in settings.items()}
        self.world.tag(instance, {tags.AUTOSTOP: tags.ON, **own})
        for device, volume in self.world.cloud.instances[instance].volumes.items():
            self.world.tag(volume, {tags.AUTOSTOP: tags.ON, tags.WORKSTATION: instance, tags.DEVICE: device})

    # -- how it stands

    def state(self) -> State:
        """What the table holds, read past everything that can go wrong. Raises DeniedError if it is damaged."""
        items = [self.table.items.get(key) for key in self.items_of_state()]
        if any(item is not read for item, read in zip(items, self._items_read, strict=True)):
            self._items_read, self._state_read = items, self._reader.load(self.workstation)
        return self._state_read

    def items_of_state(self) -> tuple[tuple[str, str], tuple[str, str]]:
        """The keys of the two items that a state is: what a sweep reads of it, and the rest."""
        return ("states", self.workstation), (self.workstation, "details")

    def reached(self, wanted: Wanted) -> bool:
        try:
            intent = self.state().intent
        except DeniedError:
            return False
        return intent is not None and intent.wanted is wanted and intent.settled

    def ec2_state(self) -> str:
        instance = self.world.cloud.instances.get(self.workstation)
        return instance.state if instance else "gone"

    def tagged(self) -> bool:
        """Whether the workstation still says that it is one."""
        instance = self.world.cloud.instances.get(self.workstation)
        return instance is not None and instance.tags.get(tags.AUTOSTOP) == tags.ON

    def disks_there(self) -> list[Volume]:
        """The volumes of the workstation, attached or only tagged."""
        mine = self.workstation
        return [
            each
            for each in self.world.cloud.volumes.values()
            if (each.attachment and each.attachment.instance_id == mine) or each.tags.get(tags.WORKSTATION) == mine
        ]

    def reshaped(self, volume_id: str) -> None:
        """A person changed a volume: it is wanted back as it is now."""
        line = self.oracle.line.get(self.content.of_volume(volume_id) or 0)
        volume = self.world.cloud.volumes[volume_id]
        self.oracle.reshaped_at[volume_id] = self.clock()
        if line in self.shape_at_first:
            before = self.shape_at_first[line]
            self.shape_at_first[line] = (volume.type, volume.size, volume.iops, volume.throughput, *before[4:])

    def retagged(self, device: str) -> None:
        """A person changed the tags of the volume at a device: it is wanted back with these."""
        instance = self.world.cloud.instances.get(self.workstation)
        volume = self.world.cloud.volumes.get(instance.volumes.get(device, "")) if instance else None
        if volume is not None and device in self.shape_at_first:
            own = tuple(sorted(tags.own(volume.tags).items()))
            self.shape_at_first[device] = (*self.shape_at_first[device][:-1], own)

    def shape(self) -> dict[str, tuple[object, ...]]:
        """By device, everything of a volume that its owner could miss."""
        cloud = self.world.cloud
        instance = cloud.instances.get(self.workstation)
        found: dict[str, tuple[object, ...]] = {}
        for device, volume_id in (instance.volumes if instance else {}).items():
            volume = cloud.volumes[volume_id]
            attachment = volume.attachment
            found[device] = (
                volume.type,
                volume.size,
                volume.iops,
                volume.throughput,
                volume.kms_key_id,
                volume.zone,
                attachment.delete_on_termination if attachment and device not in self.detached_by_hand else None,
                tuple(sorted(tags.own(volume.tags).items())),
            )
        return found
