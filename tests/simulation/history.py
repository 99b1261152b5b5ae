"""One history: a workstation, its owner, a person at the console, and everything that can go wrong, all by one seed."""

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from autostop.ports import DeniedError
from autostop.sleep.resize import Resize
from tests.simulation import rest
from tests.simulation.account import Call
from tests.simulation.lab import START, Disks, Lab, Usual
from tests.simulation.lasting import FOR_GOOD
from tests.simulation.messages import Disorder
from tests.simulation.oracle import LawBrokenError
from tests.simulation.weather import Weather

_ROOT: Mapping[str, Any] = {"VolumeType": "gp3", "VolumeSize": 50, "DeleteOnTermination": True}
_DATA: tuple[Mapping[str, Any], ...] = (
    {"VolumeType": "gp3", "VolumeSize": 200, "Iops": 4000, "Throughput": 250, "DeleteOnTermination": False},
    {"VolumeType": "st1", "VolumeSize": 500, "DeleteOnTermination": True, "Encrypted": True},
    {"VolumeType": "io2", "VolumeSize": 40, "Iops": 500, "DeleteOnTermination": False},
    {
        "VolumeType": "gp3",
        "VolumeSize": 10,
        "Encrypted": True,
        "KmsKeyId": "arn:aws:kms:us-east-1:123456789012:key/1b1b1b1b-0000-4000-8000-000000000000",
    },
    {"VolumeType": "gp2", "VolumeSize": 100},
)
_MOMENTS = (
    "StopInstances",
    "CreateSnapshots",
    "CreateTags",
    "DetachVolume",
    "DeleteVolume",
    "CreateVolume",
    "AttachVolume",
    "StartInstances",
    "ModifyInstanceAttribute",
    "DeleteSnapshot",
)
_TYPE = "m5.xlarge"
_OTHER_TYPES = ("c6i.2xlarge", "m5.2xlarge")
# As in sleep/next_step.py: what stands detached for less, nobody takes for free.
_UNWATCHED = timedelta(minutes=30)
_WANTED_TYPES = ("r5.xlarge", "m5.2xlarge", "m5.xlarge")


@dataclass
class Told:
    """How a history ended. problems: each begins with its kind, one of KINDS in `__main__`."""

    seed: int
    calls: int = 0
    crashes: int = 0
    faults: int = 0
    taps: int = 0
    console: int = 0
    checks: int = 0
    for_good: int = 0
    forgiven: int = 0
    hours: float = 0.0
    ended: str = ""
    by_operation: Mapping[str, int] = field(default_factory=dict)
    actions: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def run(seed: int, tell: Callable[[str], None] | None = None) -> Told:
    """The history of a seed; the same each time. tell: takes it line by line."""
    history = History(seed)
    history.lab.tell = tell
    try:
        return history.tell()
    finally:
        history.lab.close()


class History:
    """A seed's plan, and how it goes."""

    def __init__(self, seed: int) -> None:
        chance = self.chance = random.Random(seed)  # noqa: S311 - a history, not a secret
        harder = random.Random(f"{seed} hard")  # noqa: S311 - as above
        rough = self.rough = chance.choice((0.0, 0.3, 0.6, 1.0))
        self.told = Told(seed)
        self.lab = Lab(
            seed,
            disks=_disks(chance, harder),
            usual=_usual(chance),
            weather=lambda own, clock: _weather(own, clock, rough),
            disorder=Disorder(
                lost=chance.choice((0, 0, 0.2, 1.0)), doubled=chance.choice((0, 0.05)), late=chance.choice((0, 0.3))
            ),
            skew=timedelta(seconds=chance.choice((0, 0, 1, 10, 45))),
            settings={
                "shelve-after": chance.choice(("0", "0", "0", "20m")),
                "idle-after": "20m",
                "grace": "5m",
                **({"instance-types": ",".join(_OTHER_TYPES)} if chance.random() < 0.4 else {}),
            },
        )
        keeping = random.Random(f"{seed} delete-after")  # noqa: S311 - as above
        self.lab.keeps = keeping.choice(("", "", "10m", "1h", "3h"))
        if self.lab.keeps:
            self.lab.world.tag(self.lab.workstation, {"autostop:delete-after": self.lab.keeps})
            for quarter in range(4, 24) if keeping.random() < 0.5 else ():
                self.lab.hub.at(START + quarter * timedelta(minutes=15), self._borrow(keeping))
            if keeping.random() < 0.3:
                self.lab.hub.at(START + timedelta(hours=keeping.uniform(1, 5)), self._keep_no_more)
        self.lagged = False
        if chance.random() < 0.4 * rough:
            most = chance.choice((2, 10, 40))
            own = random.Random(chance.getrandbits(64))  # noqa: S311 - as above
            self.lagged = True
            self.lab.world.lag = lambda: timedelta(seconds=own.uniform(0, most))
        self.lab.works_until = START + timedelta(minutes=chance.uniform(5, 40))
        self.ends_at = START + timedelta(hours=chance.choice((3, 4, 6)))
        self.undo: list[Callable[[], object]] = []
        self.lasting: list[str] = []
        self._plan()
        self._harden(harder)
        wishes = random.Random(f"{seed} resize")  # noqa: S311 - as above
        for _ in range(wishes.choice((0, 1, 1, 2))):
            self._some_time(self._resize(wishes), wishes)

    # -- what is planned

    def _plan(self) -> None:
        chance, lab = self.chance, self.lab
        lab.live(lambda: timedelta(seconds=chance.uniform(20, 240)))
        for _ in range(chance.choice((1, 2, 3, 6))):
            self._some_time(self._act(chance.choice(("start", "start", "start", "stop", "keep-awake"))))
        console = list(_CONSOLE)
        for _ in range(chance.choice((0, 1, 2, 4, 8)) if self.rough else 0):
            self._some_time(self._act(chance.choice(console)))
        for _ in range(chance.choice((0, 1, 2, 5)) if self.rough else 0):
            self._some_time(self._act(chance.choice(list(_NATURE))))
        # A night's sleep ends with a tap, whatever else happens.
        lab.hub.at(START + timedelta(hours=chance.uniform(1.5, 3)), self._act("start"))

    def _act(self, name: str) -> Callable[[], object]:
        def act() -> None:
            if self.lab.clock() > self.ends_at:
                return
            self.told.actions.append(f"{self.lab.clock():%H:%M:%S} {name}")
            self.lab.say(f"-- {name}")
            if name in ("start", "stop", "keep-awake"):
                self.lab.tap(name)
                if name == "start":
                    self.lab.works_until = self.lab.clock() + timedelta(minutes=self.chance.uniform(5, 30))
            else:
                (_CONSOLE.get(name) or _NATURE[name])(self)

        return act

    def _keep_no_more(self) -> None:
        if self.lab.ec2_state() not in ("gone", "terminated"):
            self.told.actions.append(f"{self.lab.clock():%H:%M:%S} delete-after 0")
            self.lab.world.tag(self.lab.workstation, {"autostop:delete-after": "0"})

    def _borrow(self, chance: random.Random) -> Callable[[], object]:
        """Somebody takes a volume that has stood detached for long to another machine, and writes to it there."""

        def act() -> None:
            lab, now = self.lab, self.lab.clock()
            loose = [each for each in self._own_volumes() if each.attachment is None]
            state = None if rest.damaged(lab) else lab.state()
            long = state is not None and state.kept_since is not None and now - state.kept_since > _UNWATCHED
            if not loose or not long or lab.ec2_state() != "stopped" or chance.random() < 0.7:
                return
            volume, neighbour = chance.choice(loose), lab.neighbour
            line = lab.oracle.line.get(lab.content.of_volume(volume.id) or 0)
            if line is None or not lab.person(
                "AttachVolume", VolumeId=volume.id, InstanceId=neighbour, Device="/dev/sdp"
            ):
                return
            self.told.actions.append(f"{now:%H:%M:%S} borrow {volume.id}")
            lab.oracle.written_elsewhere(volume.id, line)

            def bring_back() -> None:
                lab.person("DetachVolume", VolumeId=volume.id, InstanceId=neighbour)

            lab.hub.at(now + timedelta(minutes=chance.choice((1, 20))), bring_back)

        return act

    def _resize(self, chance: random.Random) -> Callable[[], object]:
        """The owner wants it larger, in one way or another."""

        def act() -> None:
            lab = self.lab
            if lab.clock() > self.ends_at:
                return
            type_ = chance.choice((None, *_WANTED_TYPES))
            devices = chance.sample(sorted(lab.shape_at_first), 1) if type_ is None or chance.random() < 0.5 else []
            known = {each: {int(str(lab.shape_at_first[each][1])), *lab.sizes.get(each, ())} for each in devices}
            sizes = {each: max(known[each]) + chance.choice((1, 20, 300)) for each in devices}
            self.told.actions.append(f"{lab.clock():%H:%M:%S} resize {type_} {sizes}")
            lab.resize(Resize(lab.clock(), _TYPE, type_, sizes))

        return act

    def _some_time(self, act: Callable[[], object], chance: random.Random | None = None) -> None:
        """At a random time; or, more often, soon after a random call of Autostop: there it hurts."""
        chance, lab = chance or self.chance, self.lab
        if chance.random() < 0.35:
            lab.hub.at(START + chance.random() * (self.ends_at - START), act)
            return
        operation, nth, soon = chance.choice(_MOMENTS), chance.choice((1, 1, 2, 3)), chance.choice((0, 0, 0.2, 5, 60))
        seen = 0

        def watch(call: Call) -> None:
            nonlocal seen
            if call.operation == operation:
                seen += 1
                if seen == nth:
                    lab.hub.at(lab.clock() + timedelta(seconds=soon), act)

        lab.on_call.append(watch)

    def _harden(self, chance: random.Random) -> None:
        """What AWS does now and then, and what it refuses for good."""
        lab, timings = self.lab, self.lab.world.timings
        timings.device_freed = timedelta(seconds=chance.choice((0, 0, 5, 30, 120)))
        timings.mapping = timedelta(seconds=chance.choice((0, 0, 5, 30)))
        timings.metric_delay = timedelta(minutes=chance.choice((1, 2, 4)))
        if chance.random() < 0.3:
            most = chance.choice((130, 300))
            own = random.Random(chance.getrandbits(64))  # noqa: S311 - as above
            self.lagged = True
            lab.oracle.lists_lag_for = timedelta(minutes=5)
            lab.world.lag = lambda: timedelta(seconds=own.uniform(0, most))
        if chance.random() < 0.25:
            lab.vigil.max_run = timedelta(hours=2)
            lab.world.tag(lab.workstation, {"autostop:max-run": "2h"})
        if chance.random() < 0.15:
            lab.hub.at(START + chance.choice((0, 0.5)) * (self.ends_at - START), lab.world.encrypt_by_default)
        names = list(FOR_GOOD)
        first = names[self.told.seed % len(names)]  # each in its turn
        for name in (first, chance.choice(names))[: chance.choice((0, 1, 1, 2))]:
            due = START + chance.choice((0, 0, 0.5, 1)) * chance.random() * (self.ends_at - START)
            lab.hub.at(due, self._from_now_on(name))
        self.days_after = chance.choice((0, 0, 3))

    def _from_now_on(self, name: str) -> Callable[[], object]:
        def begin() -> None:
            if self.lab.ec2_state() in ("gone", "terminated", "shutting-down"):
                return
            self.lasting.append(name)
            self.told.actions.append(f"{self.lab.clock():%H:%M:%S} for good: {name}")
            self.lab.say(f"-- for good: {name}")
            FOR_GOOD[name].begin(self.lab)
            self.undo.append(lambda: FOR_GOOD[name].end(self.lab) if self.lab.ec2_state() != "gone" else None)
            if FOR_GOOD[name].blinds:
                self.lab.oracle.activity.blind_since = self.lab.clock()

        return begin

    # -- how it goes

    def tell(self) -> Told:
        told, lab = self.told, self.lab
        try:
            lab.pass_time(self.ends_at - lab.clock())
            if self.lasting:
                self._ask()
            self._tidy_up()
            told.ended = self._come_to_rest()
        except LawBrokenError as error:
            kind = "lost" if "is lost" in str(error) else "law"
            told.problems.append(f"{kind}: {error}")
        except rest.StuckError as error:
            told.problems.append(str(error))
        except DeniedError as error:
            told.problems.append(f"stuck: {error}")
        told.problems += [f"error: {each}" for each in lab.unexpected]
        told.problems += lab.vigil.problems.values()
        account = lab.account
        told.calls, told.crashes, told.faults = account.calls, account.crashes, account.faults
        told.taps, told.console, told.checks = lab.taps, lab.console, lab.oracle.checks
        told.for_good = len(self.lasting)
        told.forgiven, told.by_operation = len(lab.oracle.forgiven), account.by_operation
        told.hours = (lab.clock() - START).total_seconds() / 3600
        return told

    def _ask(self) -> None:
        """In calm weather, with what is refused still refused: does it wake and stop, or is somebody told?

        What is not judged and not told, the vigil tells.
        """
        lab = self.lab
        rest.calm_down(lab)
        lab.tap("start")
        lab.works_until = lab.clock() + timedelta(minutes=30)
        lab.pass_time(timedelta(hours=9))
        told = [each for each in lab.vigil.told if each.kind != "stops-soon"]
        if lab.ec2_state() == "running" and lab.tagged() and not told:
            since = lab.oracle.activity.last_work
            raise rest.StuckError(f"untold: it is awake, and idle since {since:%d %H:%M}: {rest.told_state(lab)}")
        lab.pass_time(timedelta(days=self.days_after))

    def _tidy_up(self) -> None:
        """The weather clears up, and the person takes back what only a person can."""
        lab, world = self.lab, self.lab.world
        rest.calm_down(lab)
        rest.take_back(lab)
        world.allow()
        world.allow_keys()
        for image in list(world.cloud.images):
            lab.person("DeregisterImage", ImageId=image)
        lab.answers.fails = False
        if lab.ec2_state() != "gone":
            world.fail_checks(lab.workstation, "ok")
            world.hang_stops(lab.workstation, hang=False)
        if lab.vigil.max_run is not None and lab.ec2_state() != "gone":
            lab.vigil.max_run = None
            lab.tag(lab.workstation, "autostop:max-run", None)
        for undo in reversed(self.undo):
            undo()
        lab.oracle.displaced = set(lab.given_up)
        self._recover()
        lab.pass_time(timedelta(minutes=2))

    def _recover(self) -> None:
        """The owner runs `autostop recover` where the page says so."""
        lab = self.lab

        def mend() -> None:
            if (lost := rest.recover(lab)) is not None:
                self.told.actions.append(f"{lab.clock():%H:%M:%S} recover: {lost}")

        lab.hub.spawn("recover", mend, lab.clock())
        lab.pass_time(timedelta(minutes=1))

    def _come_to_rest(self) -> str:
        lab = self.lab
        if lab.ec2_state() in ("gone", "terminated", "shutting-down"):
            lab.tap("start")
            lab.pass_time(timedelta(hours=1))
            if not rest.blocked(lab):
                raise rest.StuckError(f"stuck: the instance is gone, and nobody is told: {rest.told_state(lab)}")
            return "blocked: terminated"
        rest.work_again(lab)
        if rest.blocked(lab) and rest.meddled(lab):
            return "blocked: a person destroyed what was needed"
        rest.one_more_night(lab)
        if lab.oracle.forgiven:
            return "awake, without what a person destroyed"
        # Two reconcilers that both see old lists may leave a note that does not fit the type, and forget the own one.
        kind = lab.world.cloud.instances[lab.workstation].type
        if not self.lagged and kind not in lab.types:
            raise rest.StuckError(f"left over: it runs as {kind}, and {_TYPE} could be had")
        if not (self.lagged or self.lasting or lab.oracle.table_hurt_at):
            self._resized(kind)
        return "awake"

    def _resized(self, kind: str) -> None:
        """What the owner wanted last, and the table took, came true; or nothing of it is wanted any more."""
        lab, wanted, left = self.lab, self.lab.resized, self.lab.state().resize
        # Disks that are kept detached come back as they are.
        if left is not None and not (lab.keeps and left.type is None):
            raise rest.StuckError(f"left over: {left} is still wanted of {kind}")
        shape = lab.shape()
        small = [each for each, size in (wanted.sizes if wanted else {}).items() if int(str(shape[each][1])) < size]
        if small and not lab.keeps:
            raise rest.StuckError(f"stuck: {small} are smaller than wanted")
        if wanted is not None and wanted.type not in (None, kind):
            raise rest.StuckError(f"stuck: it runs as {kind}, and {wanted.type} is wanted")

    # -- what a person does, and what happens to the account

    def console_start(self) -> None:
        if self.lab.person("StartInstances", InstanceIds=[self.lab.workstation]):
            # In the middle of a restore, what goes with the instance may not have been said again yet.
            self.lab.detached_by_hand.update(self.lab.shape_at_first)

    def console_stop(self) -> None:
        self.lab.person("StopInstances", InstanceIds=[self.lab.workstation])

    def power_off(self) -> None:
        if self.lab.ec2_state() == "running":
            self.lab.world.power_off(self.lab.workstation)

    def detach(self) -> None:
        volumes = self._attached()
        if not volumes:
            return
        volume = self.lab.world.cloud.volumes[self.chance.choice(volumes)]
        if self.lab.person("DetachVolume", VolumeId=volume.id):
            # Whether it goes with its instance is forgotten by EC2 with the attachment.
            line = self.lab.oracle.line.get(self.lab.content.of_volume(volume.id) or 0, "")
            self.lab.detached_by_hand.add(line)
            self.lab.oracle.detached_by_hand_at[line] = self.lab.clock()
            self._undo_last(self.attach)

    def _undo_last(self, undo: Callable[[], object]) -> None:
        """After all else is taken back: the tags by which the person knows a volume may be among it."""
        self.undo.insert(0, undo)

    def attach(self) -> None:
        """Puts a volume that stands detached where it belongs."""
        for volume in self._own_volumes():
            device = volume.tags.get("autostop:device")
            if volume.attachment is None and device is not None:
                instance = self.lab.workstation
                if self.lab.person("AttachVolume", VolumeId=volume.id, InstanceId=instance, Device=device):
                    return

    def delete_snapshot(self) -> None:
        """Any of ours: half of the time the newest."""
        ours = [each.id for each in self.lab.world.cloud.snapshots.values() if "autostop:workstation" in each.tags]
        if ours:
            self.lab.person(
                "DeleteSnapshot", SnapshotId=ours[-1] if self.chance.random() < 0.5 else self.chance.choice(ours)
            )

    def swap(self) -> None:
        """Takes a data volume out and puts a new one in its place."""
        cloud = self.lab.world.cloud
        instance = cloud.instances.get(self.lab.workstation)
        devices = [each for each in (instance.volumes if instance else {}) if instance and each != instance.root_device]
        if not devices or instance is None:
            return
        device = self.chance.choice(devices)
        ours = instance.volumes[device]
        if not self.lab.person("DetachVolume", VolumeId=ours):
            return
        self.lab.detached_by_hand.add(device)
        self.lab.oracle.displaced.add(device)
        before = set(cloud.volumes)
        self.lab.person("CreateVolume", AvailabilityZone=instance.zone, Size=5, VolumeType="gp3")
        [new] = set(cloud.volumes) - before

        def put_in(tries: int) -> None:
            there = self.lab.person("AttachVolume", VolumeId=new, InstanceId=self.lab.workstation, Device=device)
            if not there and tries:
                self.lab.hub.at(self.lab.clock() + timedelta(seconds=5), lambda: put_in(tries - 1))

        def take_out() -> None:
            self.lab.person("DetachVolume", VolumeId=new)
            self.lab.pass_time(timedelta(minutes=1))
            self.lab.person("DeleteVolume", VolumeId=new)

        put_in(6)
        self.undo.append(take_out)
        self._undo_last(self.attach)

    def delete_volume(self) -> None:
        """One of ours that stands detached."""
        loose = [each.id for each in self._own_volumes() if each.attachment is None]
        volume = self.chance.choice(loose) if loose else ""
        line = self.lab.oracle.line.get(self.lab.content.of_volume(volume) or 0)
        if loose and self.lab.person("DeleteVolume", VolumeId=volume) and line is not None:
            # Where a snapshot has its content too, it may or may not come back.
            self.lab.given_up.add(line)
            if line in self.lab.detached_by_hand:
                self.lab.oracle.displaced.add(line)
            self.lab.oracle.forgiven.append(f"{line}: a person deleted {volume}")

    def lose_table(self) -> None:
        self._forget()
        self.lab.table.items.clear()

    def damage_item(self) -> None:
        """Half written, or by a hand that did not know what it did."""
        keys = self.lab.items_of_state()
        key = self.chance.choice(keys)
        item = self.lab.table.items.get(key)
        if item is None:
            return
        self._forget()
        document = item["document"]["S"]
        damaged = self.chance.choice(
            (
                {**item, "document": {"S": document[: self.chance.randrange(200)]}},
                {name: value for name, value in item.items() if name != "version"},
                {**item, "document": {"S": document.replace('"cycle": ', '"cycle": "x", "was": ')}},
                None,
            )
        )
        if damaged is None:
            del self.lab.table.items[key]
        else:
            self.lab.table.items[key] = damaged

    def _forget(self) -> None:
        """What only the table knew: the owner's wish, and what attachments of this moment had before."""
        self.lab.console += 1
        self.lab.oracle.wish = None
        self.lab.oracle.table_hurt_at = self.lab.clock()
        self.lab.detached_by_hand.update(self.lab.shape_at_first)

    def enlarge(self) -> None:
        """One that is the only volume of its line: of two, nobody could say which is meant."""
        lines: dict[str, list[Any]] = {}
        for each in self._own_volumes():
            lines.setdefault(self.lab.oracle.line.get(self.lab.content.of_volume(each.id) or 0, ""), []).append(each)
        alone = [each[0] for line, each in sorted(lines.items()) if line and len(each) == 1]
        if alone:
            volume = self.chance.choice(alone)
            if self.lab.person("ModifyVolume", VolumeId=volume.id, Size=volume.size + 10):
                self.lab.reshaped(volume.id)

    def terminate(self) -> None:
        """Seldom, or no history would get far."""
        if self.chance.random() < 0.3:
            self.lab.person("TerminateInstances", InstanceIds=[self.lab.workstation])

    def untag_instance(self) -> None:
        self._edit(self.lab.workstation, "autostop", None)

    def nonsense_setting(self) -> None:
        self._edit(self.lab.workstation, "autostop:idle-after", "soon")
        self._edit(self.lab.workstation, "autostop:shelve-after", "-1")

    def untag_volume(self) -> None:
        volumes = self._own_volumes()
        if volumes:
            key = self.chance.choice(("autostop", "autostop:workstation", "autostop:device", "autostop:cycle"))
            self._edit(self.chance.choice(volumes).id, key, self.chance.choice((None, "nonsense")))

    def edit_snapshot_tag(self) -> None:
        ours = [each.id for each in self.lab.world.cloud.snapshots.values() if "autostop:workstation" in each.tags]
        if ours:
            keys = ("cycle", "attempt", "device", "volume", "size", "launched-at", "workstation")
            key = f"autostop:{self.chance.choice(keys)}"
            self._edit(self.chance.choice(ours), key, self.chance.choice((None, "nonsense", "7")))

    def _edit(self, resource: str, key: str, value: str | None) -> None:
        cloud = self.lab.world.cloud

        def there() -> Any:
            return cloud.instances.get(resource) or cloud.volumes.get(resource) or cloud.snapshots.get(resource)

        if there() is None:
            return
        before = there().tags.get(key)
        self.lab.tag(resource, key, value)
        self.undo.append(lambda: self.lab.tag(resource, key, before) if there() is not None else None)

    def _attached(self) -> list[str]:
        instance = self.lab.world.cloud.instances.get(self.lab.workstation)
        return list(instance.volumes.values()) if instance else []

    def _own_volumes(self) -> list[Any]:
        return [each for each in self.lab.disks_there() if each.state in ("available", "in-use")]

    def another_reconciler(self) -> None:
        self.lab.messages.send({"MessageBody": f'{{"workstation": "{self.lab.workstation}"}}'})

    def poison(self) -> None:
        self.lab.messages.send({"MessageBody": self.chance.choice(("{}", "not json", '{"detail-type": 1}', "[]"))})

    def snapshots_fail(self) -> None:
        self.lab.world.fail_next_snapshots(self.chance.choice((1, 1, 2, 4)), alone=self.chance.random() < 0.5)

    def volumes_fail(self) -> None:
        self.lab.world.fail_next_volumes(self.chance.choice((1, 2, 6)))

    def boots_fail(self) -> None:
        self.lab.world.fail_next_boots(self.chance.choice((1, 2)))

    def no_capacity(self) -> None:
        self.lab.world.lack_capacity(self.chance.choice(((_TYPE,), (_TYPE, *_OTHER_TYPES))))
        self.lab.hub.at(
            self.lab.clock() + timedelta(minutes=self.chance.choice((5, 60))), lambda: self.lab.world.lack_capacity(())
        )

    def blind(self) -> None:
        """The agent is lost, or the metrics are; sometimes for good."""
        lab = self.lab
        if lab.ec2_state() in ("gone", "terminated"):
            return
        if self.chance.random() < 0.5:
            lab.world.break_agent(lab.workstation)
        else:
            lab.world.lose_metrics(lab.workstation)
        lab.oracle.activity.blind_since = lab.clock()

    def slow_snapshots(self) -> None:
        self.lab.world.timings.snapshot = timedelta(hours=self.chance.choice((1, 3)))


_CONSOLE: Mapping[str, Callable[[History], object]] = {
    "console start": History.console_start,
    "console stop": History.console_stop,
    "power off": History.power_off,
    "detach": History.detach,
    "attach": History.attach,
    "delete snapshot": History.delete_snapshot,
    "swap": History.swap,
    "delete volume": History.delete_volume,
    "lose table": History.lose_table,
    "damage item": History.damage_item,
    "enlarge": History.enlarge,
    "terminate": History.terminate,
    "untag instance": History.untag_instance,
    "nonsense setting": History.nonsense_setting,
    "untag volume": History.untag_volume,
    "edit snapshot tag": History.edit_snapshot_tag,
}
_NATURE: Mapping[str, Callable[[History], object]] = {
    "another reconciler": History.another_reconciler,
    "poison": History.poison,
    "snapshots fail": History.snapshots_fail,
    "volumes fail": History.volumes_fail,
    "boots fail": History.boots_fail,
    "no capacity": History.no_capacity,
    "blind": History.blind,
    "slow snapshots": History.slow_snapshots,
}


def _disks(chance: random.Random, harder: random.Random) -> Disks:
    """harder: some devices are named without their directory."""
    count = chance.choice((0, 1, 1, 2, 2, 3, 5))
    names = [f"/dev/sd{letter}" for letter in "fghij"]
    if harder.random() < 0.2:
        names[0] = "xvdf"
    data = chance.sample(_DATA, count)
    return {"/dev/sda1": _ROOT, **dict(zip(names, data, strict=False))}


def _usual(chance: random.Random) -> Usual:
    return Usual(
        snapshot=timedelta(minutes=chance.choice((0.5, 4, 12, 40))),
        pending=timedelta(seconds=chance.choice((10, 40))),
        stopping=timedelta(seconds=chance.choice((15, 60, 240))),
        checks=timedelta(seconds=chance.choice((30, 90))),
        creating=timedelta(seconds=chance.choice((1, 20))),
        attaching=timedelta(seconds=chance.choice((1, 8))),
        detaching=timedelta(seconds=chance.choice((1, 15))),
        deleting=timedelta(seconds=chance.choice((1, 30, 300))),
    )


def _weather(chance: random.Random, clock: Callable[[], datetime], rough: float) -> Weather:
    storms = []
    for _ in range(chance.choice((0, 1, 2)) if rough else 0):
        begin = START + timedelta(minutes=chance.uniform(20, 400))
        storms.append((begin, begin + timedelta(minutes=chance.choice((1, 10, 40)))))
    return Weather(
        chance, clock, refused=0.02 * rough, lost=0.02 * rough, slow=0.03 * rough, crash=0.01 * rough, storms=storms
    )
