"""What is stored of a workstation: its state, in two halves, and what happened to it. Pure."""

from dataclasses import dataclass, field, replace
from datetime import datetime

from autostop.idle.reading import Reading, Unknown
from autostop.model import SnapshotId, WorkstationId
from autostop.notice import Told
from autostop.sleep.intent import By, Intent
from autostop.sleep.leftovers import Housekeeping
from autostop.sleep.manifest import Manifest
from autostop.sleep.own_type import Fallback
from autostop.sleep.resize import Resize
from autostop.sleep.start_attempts import NO_ATTEMPTS, Attempts
from autostop.sleep.wake_progress import Wake


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
    waiting_for, blocked: what the reconciler last found, in words. hindered_since: since when each of its tries for the
    present intent was refused or failed; None while it gets on.
    look_at: when the reconciler is to look again, by a delayed message or a sweep; None: as soon as anything comes.
    kept_since: since when its volumes stand detached beside their snapshots, as its owner wants; None: they do not.
    restores_from: the snapshots that it sleeps in; none while it does not. lost: what is wrong with them, in words.
    binned: what the Recycle Bin kept of its volumes at the last look.
    told: what the owner was told, as long as it holds.
    """

    workstation: WorkstationId
    version: int = 0
    intent: Intent | None = None
    kept_awake_until: datetime | None = None
    kept_awake_from: datetime | None = None
    problems: tuple[str, ...] = ()
    worked_at: datetime | None = None
    waiting_for: str | None = None
    blocked: str | None = None
    hindered_since: datetime | None = None
    look_at: datetime | None = None
    housekeeping: Housekeeping | None = None
    restores_from: tuple[SnapshotId, ...] = ()
    lost: str = ""
    binned: str = ""
    told: tuple[Told, ...] = ()
    kept_since: datetime | None = None

    @property
    def open_intent(self) -> Intent | None:
        """What is wanted and not reached yet; None where nothing is."""
        return self.intent if self.intent is not None and not self.intent.settled else None


@dataclass(frozen=True, slots=True)
class State(Outline):
    """All that Autostop keeps of one workstation; only this can be saved, so that no half is lost.

    manifest: of the latest cycle.
    reading, unknown: the newest answer that the reconciler got; asked: its question that is under way.
    note: what the owner should know about the settled intent. attempts: for the present intent.
    fallback: as what it was made to run for want of capacity; kept until it runs as something else. resize: kept until
    it took effect, or AWS refused it. wakes: the latest. begun: when each part of the present wake after the first
    began.
    """

    manifest: Manifest | None = None
    reading: Reading | None = None
    unknown: Unknown | None = field(default=None, metadata={"stored": "unread"})
    asked: Asked | None = None
    note: str = ""
    attempts: Attempts = field(default=NO_ATTEMPTS, metadata={"stored": "tried"})
    fallback: Fallback | None = None
    resize: Resize | None = None
    wakes: tuple[Wake, ...] = ()
    begun: tuple[datetime, ...] = ()

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
        state = replace(self, intent=intent, note="", attempts=NO_ATTEMPTS, restores_from=(), lost="")
        state = replace(state, kept_since=None, begun=())
        state = replace(state, waiting_for=None, blocked=None, hindered_since=None, look_at=None)
        if intent.by is By.IDLE:
            return replace(state, reading=None, unknown=None, asked=None)
        return state


@dataclass(frozen=True, slots=True)
class Happened:
    """One thing that was done to a workstation, for the page and the log. intent: the number it was done for.

    turn: the intent that began by this, or was reached; then launched_at: the instance's last start by then, and
    shelved: whether no volume is left since.
    """

    at: datetime
    intent: int
    text: str
    turn: Intent | None = None
    launched_at: datetime | None = None
    shelved: bool = False
