"""A workstation on paper: volumes, snapshots and one instance as plain values, on which the steps are carried out.

Each volume and snapshot has a *content*: a number that grows whenever the instance runs on the volume. It keeps AWS's
rules (a step that AWS would refuse fails the test), lets time pass, and after every change checks that the newest
content of every device can still be had.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import count

from autostop import tags
from autostop.model import (
    AttachmentState,
    Checks,
    Instance,
    InstanceState,
    Observation,
    OtherType,
    Snapshot,
    SnapshotId,
    SnapshotState,
    Volume,
    VolumeId,
    VolumeState,
)
from autostop.sleep.attempts import NOTHING_TRIED, Tried
from autostop.sleep.intent import By, Intent, Wanted, following
from autostop.sleep.manifest import Manifest, VolumeRecord
from autostop.sleep.next_step import next_step
from autostop.sleep.steps import (
    AttachVolume,
    Blocked,
    ChangeIntent,
    ChangeType,
    CreateSnapshots,
    CreateVolume,
    DeleteFailedSnapshot,
    DeleteFailedVolume,
    DeleteSnapshot,
    DeleteVolume,
    DetachVolume,
    NoteFailedVolume,
    NoteNoCapacity,
    NoteType,
    SetDeleteOnTermination,
    Settled,
    StartInstance,
    Step,
    StopInstance,
    TagSnapshot,
    Wait,
    WriteManifest,
)
from tests.build import DATA, ID, LAUNCHED, ROOT, both, instance

TICK = timedelta(seconds=20)


@dataclass
class Paper:
    """One workstation.

    slow: how many ticks every change of AWS takes. listed_after: ticks until something new is listed.
    loses_answers: the function ends between asking for the next snapshots and keeping the answer.
    """

    slow: int = 0
    listed_after: int = 0
    now: datetime = LAUNCHED
    machine: Instance = field(default_factory=lambda: instance(InstanceState.RUNNING))
    volumes: dict[VolumeId, Volume] = field(default_factory=lambda: {each.id: each for each in both()})
    snapshots: dict[SnapshotId, Snapshot] = field(default_factory=dict)
    content: dict[str, int] = field(default_factory=lambda: {"vol-root": 1, "vol-data": 1})
    newest: dict[str, int] = field(default_factory=lambda: {ROOT: 1, DATA: 1})
    device_of: dict[str, str] = field(default_factory=lambda: {"vol-root": ROOT, "vol-data": DATA})
    manifest: Manifest | None = None
    intent: Intent | None = None
    loses_answers: bool = False
    tried: Tried = NOTHING_TRIED
    # So many of the next volumes end in `error`; the types that EC2 has no capacity for; those the owner names.
    failing_volumes: int = 0
    doomed: set[VolumeId] = field(default_factory=set)  # volumes that failed, or are about to
    lacking: frozenset[str] = frozenset()
    other_types: tuple[OtherType, ...] = ()
    # A person who detaches the root, or starts it before the flag is back, may lose its delete-on-termination.
    flag_may_be_lost: bool = False
    steps: list[str] = field(default_factory=list)
    _ids: Iterator[int] = field(default_factory=count)
    _later: list[tuple[int, Callable[[], None]]] = field(default_factory=list)
    _unlisted: dict[str, int] = field(default_factory=dict)
    _tokens: dict[tuple[int, str, str | None, int], VolumeId] = field(default_factory=dict)

    # Time.

    def tick(self) -> None:
        """A moment passes; what is due happens."""
        self.now += TICK
        due = [effect for ticks, effect in self._later if ticks <= 1]
        self._later = [(ticks - 1, effect) for ticks, effect in self._later if ticks > 1]
        for effect in due:
            effect()
        self._unlisted = {key: ticks - 1 for key, ticks in self._unlisted.items() if ticks > 1}
        self._check()

    def _after_a_while(self, effect: Callable[[], None]) -> None:
        if self.slow:
            self._later.append((self.slow, effect))
        else:
            effect()

    def _new(self, prefix: str) -> str:
        name = f"{prefix}-{next(self._ids)}"
        if self.listed_after:
            self._unlisted[name] = self.listed_after
        return name

    # What is seen, wanted and done.

    def look(self) -> Observation:
        """What a fresh read says; what is new may not be listed yet."""
        return Observation(
            workstation=ID,
            instance=self.machine,
            volumes=tuple(each for each in self.volumes.values() if each.id not in self._unlisted),
            snapshots=tuple(each for each in self.snapshots.values() if each.id not in self._unlisted),
            checks=Checks.OK,
            asks_jupyter=False,
            other_types=self.other_types if self.tried.no_capacity else (),
        )

    def want(self, wanted: Wanted, by: By = By.OWNER) -> None:
        """A new intent."""
        self.intent = following(self.intent, wanted, by, "a test", self.now)
        self.tried = NOTHING_TRIED

    def advance(self) -> Settled | Blocked | None:
        """One look and the one step that follows; None while there is more to do."""
        assert self.intent is not None
        outcome = next_step(self.look(), self.intent, self.manifest, self.now, self.tried)
        self.steps.append(type(outcome).__name__)
        if isinstance(outcome, Blocked):
            return outcome
        if isinstance(outcome, Settled):
            self.intent = self.intent.settle(self.now)
            return outcome
        if not isinstance(outcome, Wait):
            self.carry_out(outcome)
            self._check()
        self.tick()
        return None

    def settle(self, at_most: int = 60) -> Settled | Blocked:
        """Go on to the end."""
        for _ in range(at_most):
            end = self.advance()
            if end is not None:
                return end
        raise AssertionError(f"it does not converge: {self.steps[-at_most:]}")

    def carry_out(self, step: Step) -> None:  # noqa: C901, PLR0912, PLR0915 - one case for each step
        match step:
            case StopInstance():
                assert self.machine.state is InstanceState.RUNNING
                self._stop()
            case StartInstance():
                for device, number in self.newest.items():
                    there = self.look().at_device(device)
                    assert there is not None, f"started without {device}"
                    assert self.content[there.id] == number, f"started with old content at {device}"
                if self.machine.type in self.lacking:
                    self.tried = self.tried.lacking(self.machine.type, self.now)
                else:
                    self.tried = self.tried.starting(self.machine.launched_at, self.now)
                    self._start()
            case NoteType(note):
                self.machine = replace(self.machine, tags={**self.machine.tags, tags.INSTANCE_TYPE: note})
            case ChangeType(type_):
                assert self.machine.state is InstanceState.STOPPED
                self.machine = replace(self.machine, type=type_)
            case NoteNoCapacity(type_):
                self.tried = self.tried.lacking(type_, self.now)
            case WriteManifest(manifest, _):
                self.manifest = manifest
            case CreateSnapshots(manifest):
                manifest = self.manifest = manifest.asking(self.now)
                known = self._snapshot(manifest)
                if not self.loses_answers:
                    self.manifest = manifest.with_snapshots(known)
                self.loses_answers = False
            case TagSnapshot(snapshot, own):
                self.snapshots[snapshot] = replace(
                    self.snapshots[snapshot], tags={**self.snapshots[snapshot].tags, **own}
                )
            case DetachVolume(volume, device):
                assert self.volumes[volume].device == device
                self.detach(volume)
            case DeleteVolume(volume, _):
                self._delete(volume)
            case CreateVolume(manifest, record):
                self.tried = self.tried.restoring(record.device, self._create(manifest, record), self.now)
            case NoteFailedVolume(manifest, device, volume, _):
                self.manifest, self.tried = manifest, self.tried.failing(device, volume)
            case DeleteFailedVolume(volume, _):
                assert self.volumes[volume].state is VolumeState.ERROR
                self._delete(volume)
            case AttachVolume(volume, device):
                self._attach(volume, device)
            case SetDeleteOnTermination(volume, device, flag):
                assert self.volumes[volume].device == device
                self.volumes[volume] = replace(self.volumes[volume], delete_on_termination=flag)
            case DeleteSnapshot(snapshot, cycle):
                assert self.snapshots[snapshot].cycle == cycle
                del self.snapshots[snapshot]
            case DeleteFailedSnapshot(snapshot):
                assert self.snapshots[snapshot].state is SnapshotState.ERROR
                del self.snapshots[snapshot]
            case ChangeIntent(wanted, by, _):
                self.want(wanted, by)

    # What AWS does.

    def _stop(self) -> None:
        self.machine = replace(self.machine, state=InstanceState.STOPPING, stopped_at=self.now)

        def stopped() -> None:
            self.machine = replace(self.machine, state=InstanceState.STOPPED)

        self._after_a_while(stopped)

    def _start(self) -> None:
        assert self.machine.state is InstanceState.STOPPED
        assert self.look().at_device(ROOT) is not None, "EC2 starts nothing without a root volume"
        self.machine = replace(self.machine, state=InstanceState.PENDING, launched_at=self.now, stopped_at=None)

        def running() -> None:
            self.machine = replace(self.machine, state=InstanceState.RUNNING)
            self.work()

        self._after_a_while(running)

    def work(self) -> None:
        """The owner writes on every attached volume."""
        for each in self.volumes.values():
            if each.attached_to == ID and each.device:
                self.newest[self.device_of[each.id]] += 1
                self.content[each.id] = self.newest[self.device_of[each.id]]

    def _snapshot(self, manifest: Manifest) -> dict[VolumeId, SnapshotId]:
        known = {}
        for each in self.look().attached():
            made = SnapshotId(self._new("snap"))
            self.snapshots[made] = Snapshot(
                id=made,
                volume=each.id,
                state=SnapshotState.PENDING,
                started_at=self.now,
                size_gib=each.size_gib,
                tags=manifest.set_tags(),
            )
            self.content[made] = self.content[each.id]
            self.device_of[made] = self.device_of[each.id]
            known[each.id] = made
            self._after_a_while(lambda made=made: self._complete(made))  # type: ignore[misc]  # mypy cannot type it
        return known

    def _complete(self, snapshot: SnapshotId) -> None:
        made = self.snapshots.get(snapshot)
        if made is not None and made.state is SnapshotState.PENDING:
            self.snapshots[snapshot] = replace(made, state=SnapshotState.COMPLETED, progress=100)

    def _delete(self, volume: VolumeId) -> None:
        deletable = (VolumeState.AVAILABLE, VolumeState.ERROR)
        assert self.volumes[volume].state in deletable, "EBS deletes no volume that is in use"
        self.volumes[volume] = replace(self.volumes[volume], state=VolumeState.DELETING)
        self._after_a_while(lambda: self._forget(volume))

    def _forget(self, volume: VolumeId) -> None:
        del self.volumes[volume]

    def _create(self, manifest: Manifest, record: VolumeRecord) -> VolumeId:
        token = (manifest.cycle, record.device, record.snapshot, record.restore)
        if token in self._tokens:
            return self._tokens[token]  # the same client token gives the same volume, were it deleted by now
        assert record.snapshot is not None
        assert self.snapshots[record.snapshot].state is SnapshotState.COMPLETED
        made = VolumeId(self._new("vol"))
        self._tokens[token] = made
        self.content[made] = self.content[record.snapshot]
        self.device_of[made] = self.device_of[record.snapshot]
        self.volumes[made] = Volume(
            id=made,
            state=VolumeState.CREATING,
            size_gib=record.size_gib,
            type=record.type,
            zone=record.zone,
            tags=manifest.volume_tags(record),
            iops=record.iops,
            throughput=record.throughput,
            encrypted=record.encrypted,
            kms_key=record.kms_key,
            snapshot=record.snapshot,
        )

        fails = self.failing_volumes > 0
        self.failing_volumes -= fails
        self.doomed |= {made} if fails else set()

        def created() -> None:
            state = VolumeState.ERROR if fails else VolumeState.AVAILABLE
            self.volumes[made] = replace(self.volumes[made], state=state)

        self._after_a_while(created)
        return made

    def _attach(self, volume: VolumeId, device: str) -> None:
        assert self.volumes[volume].state is VolumeState.AVAILABLE
        assert all(each.device != device for each in self.volumes.values()), f"{device} is taken"
        self.volumes[volume] = replace(
            self.volumes[volume],
            state=VolumeState.IN_USE,
            attached_to=ID,
            device=device,
            attachment=AttachmentState.ATTACHING,
            delete_on_termination=False,
        )

        def attached() -> None:
            if self.volumes[volume].attachment is AttachmentState.ATTACHING:
                self.volumes[volume] = replace(self.volumes[volume], attachment=AttachmentState.ATTACHED)

        self._after_a_while(attached)

    def detach(self, volume: VolumeId) -> None:
        """Detach a volume, by Autostop or in the console; the root only of a stopped instance."""
        each = self.volumes[volume]
        assert each.attachment is AttachmentState.ATTACHED
        assert each.device != ROOT or self.machine.state is InstanceState.STOPPED
        self.volumes[volume] = replace(each, attachment=AttachmentState.DETACHING)

        def detached() -> None:
            self.volumes[volume] = replace(
                self.volumes[volume],
                state=VolumeState.AVAILABLE,
                attached_to=None,
                device=None,
                attachment=None,
                delete_on_termination=None,
            )

        self._after_a_while(detached)

    # What a person does in the console; True when AWS lets them.

    def starts_in_console(self) -> bool:
        root = self.look().at_device(ROOT)
        if self.machine.state is not InstanceState.STOPPED or root is None:
            return False
        if root.attachment is not AttachmentState.ATTACHED:
            return False
        # Who starts it while a disk could not be restored has it run without, from then on (docs/safety.md).
        if self.doomed and any(self.look().at_device(device) is None for device in self.newest):
            return False
        self.flag_may_be_lost |= not root.delete_on_termination
        self._start()
        return True

    def stops_in_console(self) -> bool:
        if self.machine.state is not InstanceState.RUNNING:
            return False
        self._stop()
        return True

    def detaches_in_console(self, device: str) -> bool:
        there = self.look().at_device(device)
        if there is None or there.attachment is not AttachmentState.ATTACHED:
            return False
        if device == ROOT and self.machine.state is not InstanceState.STOPPED:
            return False
        self.flag_may_be_lost |= device == ROOT
        self.detach(there.id)
        return True

    def deletes_a_snapshot_in_console(self, device: str) -> bool:
        """Only one whose content is on a volume still: a person who deletes the only copy has deleted it.

        A volume that is still being made from it is no copy yet.
        """
        made = (VolumeState.AVAILABLE, VolumeState.IN_USE)
        holding = [each.id for each in self.volumes.values() if each.state in made]
        kept = {self.content[each] for each in holding if self._is_at(each, device)}
        for each in [made for made in self.snapshots.values() if self._is_at(made.id, device)]:
            if self.newest[device] in kept:
                del self.snapshots[each.id]
                return True
        return False

    def _is_at(self, thing: str, device: str) -> bool:
        return self.device_of[thing] == device

    def fails_a_snapshot(self) -> bool:
        """EBS gives up a snapshot that is pending."""
        for each in self.snapshots.values():
            if each.state is SnapshotState.PENDING:
                self.snapshots[each.id] = replace(each, state=SnapshotState.ERROR, message="internal error")
                return True
        return False

    # What must hold.

    def _check(self) -> None:
        for device, number in self.newest.items():
            held = {
                self.content[each.id] for each in self.volumes.values() if each.exists and self._is_at(each.id, device)
            }
            held |= {
                self.content[each.id]
                for each in self.snapshots.values()
                if each.state is SnapshotState.COMPLETED and self._is_at(each.id, device)
            }
            assert number in held, f"the newest content of {device} is lost: {number} is not among {held}"

    def runs_on_the_newest(self) -> bool:
        """Running, with every device in its place and nothing but the newest content."""
        there = {device: self.look().at_device(device) for device in self.newest}
        return self.machine.state is InstanceState.RUNNING and all(
            each is not None and self.content[each.id] == self.newest[device] and each.device == self.device_of[each.id]
            for device, each in there.items()
        )

    def flags(self) -> dict[str, bool | None]:
        return {each.device: each.delete_on_termination for each in self.volumes.values() if each.device}

    def cycles(self) -> set[int | None]:
        """The cycles of which there are snapshots."""
        return {each.cycle for each in self.snapshots.values()}

    def workstation_tags(self) -> set[str | None]:
        on_volumes = {each.tags.get(tags.WORKSTATION) for each in self.volumes.values()}
        return on_volumes | {each.tags.get(tags.WORKSTATION) for each in self.snapshots.values()}
