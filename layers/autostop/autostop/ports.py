"""What the use cases need of the world, in the project's words; each port has one adapter in `autostop.aws`."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Protocol

from autostop.idle.reading import Reading, Unknown
from autostop.idle.record import SweepRecord
from autostop.idle.signs import Sample, Traffic
from autostop.link import Link
from autostop.model import (
    Checks,
    Instance,
    InstanceId,
    OtherType,
    Snapshot,
    SnapshotId,
    Volume,
    VolumeId,
    WorkstationId,
)
from autostop.notice import Message, Notice
from autostop.settings import Policy
from autostop.sleep.attempts import NO_ATTEMPTS, Attempts
from autostop.sleep.intent import By, Intent
from autostop.sleep.manifest import Manifest, VolumeRecord


class TransientError(Exception):
    """It may work later: throttling, a state that has not arrived yet, no capacity. The text is for the owner."""

    def __init__(self, text: str, retry_after: timedelta = timedelta(seconds=10)) -> None:
        super().__init__(text)
        self.retry_after = retry_after


class NoCapacityError(TransientError):
    """EC2 has no capacity for the instance's type in its zone now."""


class DeniedError(Exception):
    """It will not work until a person changes something. The text is for the owner."""


class DamagedError(DeniedError):
    """A stored state cannot be read; `autostop recover` writes it anew from the tags."""


class ConflictError(Exception):
    """The state was written by another meanwhile: read it again and decide again."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A question to a workstation that is under way; its answer is collected later."""

    command: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Outline:
    """What a sweep needs of a state before it knows whether the rest matters: read of all workstations at once.

    version: of the stored state, 0 before the first; a write states the version it rests on.
    kept_awake_from, kept_awake_until: the owner's promise of work, also when it is over.
    problems: settings that cannot be read, in words.
    worked_at: the last work that a look right before a stop saw, which no sweep may have seen.
    """

    workstation: WorkstationId
    version: int = 0
    intent: Intent | None = None
    kept_awake_until: datetime | None = None
    kept_awake_from: datetime | None = None
    problems: tuple[str, ...] = ()
    worked_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class State(Outline):
    """All that Autostop keeps of one workstation; only this can be saved, so that no half is lost.

    manifest: of the latest cycle. waiting_for, blocked: what the reconciler last found, in words.
    look_at: when a delayed message will bring the reconciler back; None when none is under way.
    reading, unknown: the newest answer that the reconciler got; asked: its question that is under way.
    note: what the owner should know about the settled intent. tried: for the present intent.
    """

    manifest: Manifest | None = None
    reading: Reading | None = None
    unknown: Unknown | None = field(default=None, metadata={"stored": "unread"})
    asked: Asked | None = None
    waiting_for: str | None = None
    blocked: str | None = None
    note: str = ""
    look_at: datetime | None = None
    tried: Attempts = NO_ATTEMPTS

    @property
    def answer(self) -> Reading | Unknown | None:
        """The newest answer, of whichever kind."""
        return self.reading or self.unknown

    def hearing(self, answer: Reading | Unknown | None, asked: Asked | None) -> "State":
        """The state with what was heard by now."""
        reading = answer if isinstance(answer, Reading) else None
        unknown = answer if isinstance(answer, Unknown) else None
        return replace(self, asked=asked, reading=reading, unknown=unknown)

    def wanting(self, intent: Intent) -> "State":
        """The state with a new intent; what was found on the way to the old one is forgotten.

        An intent by idleness forgets the answers too: before the stop, the workstation is asked once more.
        """
        state = replace(self, intent=intent, waiting_for=None, blocked=None, note="", tried=NO_ATTEMPTS)
        if intent.by is By.IDLE:
            return replace(state, reading=None, unknown=None, asked=None)
        return state


@dataclass(frozen=True, slots=True)
class Happened:
    """One thing that was done to a workstation, for the page and the log. intent: the number it was done for."""

    at: datetime
    intent: int
    text: str


class Instances(Protocol):
    """EC2 instances. Every method raises TransientError or DeniedError."""

    def tagged(self) -> Sequence[Instance]:
        """All instances tagged `autostop = on`, terminated ones left out."""
        ...

    def find(self, instance: InstanceId) -> Instance | None:
        """One instance in full (Spot kind, stop protection, instance store); None when EC2 does not know it."""
        ...

    def checks(self, instance: InstanceId) -> Checks:
        """The status checks of a running instance."""
        ...

    def start(self, instance: InstanceId) -> None:
        """Start it; no error when it runs already. Raises NoCapacityError too."""
        ...

    def stop(self, instance: InstanceId) -> None:
        """Stop it; no error when it is stopped already."""
        ...

    def types(self, names: Sequence[str]) -> Sequence[OtherType]:
        """What EC2 knows of these types, in the same order."""
        ...

    def note_type(self, instance: InstanceId, note: str) -> None:
        """Write on it from which type to which it is changed."""
        ...

    def change_type(self, instance: InstanceId, type_: str) -> None:
        """Make it another type while it is stopped."""
        ...

    def set_delete_on_termination(self, instance: InstanceId, device: str, volume: VolumeId, flag: bool) -> None:
        """Say whether an attached volume is deleted with its instance."""
        ...


class Disks(Protocol):
    """EBS volumes and snapshots. Every method raises TransientError or DeniedError."""

    def volumes(self, workstation: WorkstationId) -> Sequence[Volume]:
        """The volumes attached to it, and those whose tag names it."""
        ...

    def snapshots(self, workstation: WorkstationId) -> Sequence[Snapshot]:
        """The snapshots of this account whose tag names it."""
        ...

    def workstations_of(self, ids: Sequence[str]) -> set[WorkstationId]:
        """The workstations that volumes and snapshots belong to by their tags; unknown ids are left out."""
        ...

    def create_snapshots(self, manifest: Manifest) -> Mapping[VolumeId, SnapshotId]:
        """Snapshot all volumes attached to the instance in one call."""
        ...

    def tag_snapshot(self, snapshot: SnapshotId, tags: Mapping[str, str]) -> None:
        """Add tags to a snapshot."""
        ...

    def detach(self, volume: VolumeId, instance: InstanceId, device: str) -> None:
        """Detach a volume; no error when it is detached already."""
        ...

    def attach(self, volume: VolumeId, instance: InstanceId, device: str) -> None:
        """Attach a volume."""
        ...

    def create(self, manifest: Manifest, record: VolumeRecord) -> VolumeId:
        """Make a volume from a record's snapshot; a repeated call makes no second one."""
        ...

    def delete(self, volume: VolumeId) -> None:
        """Delete a volume; no error when it is gone already."""
        ...

    def delete_snapshot(self, snapshot: SnapshotId) -> None:
        """Delete a snapshot; no error when it is gone already."""
        ...


class Metrics(Protocol):
    """CloudWatch."""

    def processor(
        self, instances: Sequence[Instance], since: Mapping[WorkstationId, datetime], period: timedelta, now: datetime
    ) -> Mapping[WorkstationId, Sequence[Sample]]:
        """Cores in use per period, oldest first; a workstation without data has no samples. Raises TransientError."""
        ...

    def network(
        self, instances: Sequence[Instance], since: Mapping[WorkstationId, datetime], period: timedelta, now: datetime
    ) -> Mapping[WorkstationId, Sequence[Traffic]]:
        """Bytes a second in and out per period, likewise."""
        ...


class Asker(Protocol):
    """The ways to ask workstations whether they are at work. An answer that fails is Unknown, never an exception."""

    def ask(
        self, asked: Sequence[tuple[Instance, Policy]], now: datetime
    ) -> Mapping[WorkstationId, Asked | Reading | Unknown]:
        """Ask many at once; what cannot answer at once is `Asked`."""
        ...

    def collect(self, asked: Mapping[WorkstationId, Asked], now: datetime) -> Mapping[WorkstationId, Reading | Unknown]:
        """The answers that have come by now; those that have not are left out."""
        ...


class Ledger(Protocol):
    """The table. Every method may raise TransientError."""

    def load(self, workstation: WorkstationId) -> State:
        """The state; the empty one of version 0 when nothing is stored. Raises DamagedError if it is damaged."""
        ...

    def states(self) -> Mapping[WorkstationId, Outline]:
        """The outlines of all states, read consistently; one without a state, or with a damaged one, is not in it."""
        ...

    def older_states(self, workstations: Sequence[WorkstationId]) -> Mapping[WorkstationId, Outline]:
        """The outlines of those states that the version before wrote and `states` does not show; a save moves them."""
        ...

    def save(self, state: State) -> State:
        """Store a state; gives it with its new version. Raises ConflictError when the stored version is another."""
        ...

    def change(self, workstation: WorkstationId, decide: Callable[[State], State]) -> tuple[State, State]:
        """Decide on the newest state and save what comes out, again while others are faster; before, and after.

        Nothing is saved when nothing changes. Raises what `load` raises, and TransientError when others always are.
        """
        ...

    def write_journal(self, seen: Sequence[SweepRecord], at: datetime) -> None:
        """Keep what one sweep saw of all running workstations."""
        ...

    def latest_sweep(self, now: datetime) -> Mapping[WorkstationId, SweepRecord]:
        """What the newest sweep of the last hour saw; what of it is damaged is left out."""
        ...

    def seen(self, workstation: WorkstationId, since: datetime, until: datetime) -> Sequence[SweepRecord]:
        """What sweeps saw of a workstation between two moments, both included, oldest first."""
        ...

    def record(self, workstation: WorkstationId, happened: Happened) -> None:
        """Keep what was done."""
        ...

    def happened(self, workstation: WorkstationId, intent: int) -> Sequence[Happened]:
        """What was done for an intent, oldest first."""
        ...

    def take_lease(self, workstation: WorkstationId, holder: str, now: datetime, until: datetime) -> bool:
        """True when the holder may act on the workstation until then; False while another may."""
        ...

    def knock(self, workstation: WorkstationId) -> datetime | None:
        """Let the lease's holder look once more before it goes; when its lease ends, or None if it knows already."""
        ...

    def give_lease_back(self, workstation: WorkstationId, holder: str, *, unless_knocked: bool = False) -> bool:
        """End the holder's lease, unless it has expired and is another's by now.

        False when, with `unless_knocked`, somebody knocked: the lease is kept.
        """
        ...

    def put_link(self, link: Link) -> None:
        """Keep a new link."""
        ...

    def find_link(self, workstation: WorkstationId, secret: str) -> Link | None:
        """The link that a secret opens, compared in constant time; None when there is none."""
        ...

    def used_link(self, link: Link, now: datetime) -> None:
        """Note when a link was last used."""
        ...

    def count_wrong_secret(self, source: str, now: datetime) -> int:
        """How often this source has shown a wrong secret in the present minute, this time included."""
        ...


class Queue(Protocol):
    """The reconciler's queue."""

    def wake(self, workstation: WorkstationId, after: timedelta = timedelta(0)) -> None:
        """Bring the reconciler to a workstation, at the latest after 15 minutes. Raises TransientError."""
        ...


class Announcer(Protocol):
    """The bus of our own events."""

    def announce(self, notices: Sequence[Notice]) -> Mapping[Notice, str]:
        """Let everybody who listens know; without a secret. Those that could not be told, and why."""
        ...


class Channel(Protocol):
    """One way by which a message reaches people."""

    @property
    def name(self) -> str:
        """What the log calls it."""
        ...

    def send(self, message: Message) -> None:
        """Send it. Raises TransientError or DeniedError; their text repeats no secret."""
        ...
