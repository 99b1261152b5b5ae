"""Compare what the table knows of a workstation with what its tags say, and write it anew where it is lost."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime

from autostop.model import Instance, InstanceState, Observation, WorkstationId
from autostop.ports import (
    ConflictError,
    DamagedError,
    Disks,
    Happened,
    Instances,
    Ledger,
    Queue,
    State,
    TransientError,
)
from autostop.sleep.from_tags import Rebuilt, Unreadable, latest_intent, rebuild
from autostop.sleep.intent import By, Intent, Wanted


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found of one workstation.

    lost: what the table does not know, in words; None when all is well. new: the state to write; None when nothing is
    to be written. why_not: why it cannot be rebuilt. damaged: a document is in the way, which is kept aside.
    """

    workstation: WorkstationId
    name: str
    lost: str | None = None
    new: State | None = None
    why_not: str | None = None
    damaged: bool = False

    @property
    def links_lost(self) -> bool:
        """True when the table knew nothing at all, so that its links are gone too."""
        return self.new is not None and self.new.version == 0 and not self.damaged


@dataclass(frozen=True, slots=True)
class Recovery:
    """Everything that it works with. `clock` gives aware UTC moments."""

    instances: Instances
    disks: Disks
    ledger: Ledger
    queue: Queue
    clock: Callable[[], datetime]

    def look(self, instance: Instance) -> Finding:
        """What is lost of a workstation that is there; nothing is changed. Raises TransientError, DeniedError."""
        workstation = instance.id
        try:
            state, damaged = self.ledger.load(workstation), False
        except DamagedError:
            state, damaged = State(workstation), True
        seen = Observation(
            workstation,
            instance,
            tuple(self.disks.volumes(workstation)),
            tuple(self.disks.snapshots(workstation)),
        )
        rebuilt = rebuild(seen, instance)
        lost = "its item in the table is damaged" if damaged else _what_is_lost(state, rebuilt, instance)
        if lost is None:
            return Finding(workstation, instance.name)
        if isinstance(rebuilt, Unreadable):
            return Finding(workstation, instance.name, lost, why_not=rebuilt.reason, damaged=damaged)
        new = _state(state, rebuilt, latest_intent(seen), self.clock())
        return Finding(workstation, instance.name, lost, new, damaged=damaged)

    def mend(self, finding: Finding) -> State:
        """Write what was found, and let the reconciler go on. Raises TransientError, DeniedError."""
        new = finding.new
        if new is None or new.intent is None:
            raise ValueError("there is nothing to write")
        if finding.damaged:
            self.ledger.set_aside(finding.workstation)
        try:
            saved = self.ledger.save(new)
        except ConflictError:
            raise TransientError(f"{finding.workstation} changed meanwhile, and nothing was written.") from None
        self.ledger.record(finding.workstation, Happened(self.clock(), new.intent.number, new.intent.why))
        if not new.intent.settled:
            self.queue.wake(finding.workstation)
        return saved


def _what_is_lost(state: State, rebuilt: Rebuilt | Unreadable, instance: Instance) -> str | None:
    if state.version == 0:
        return "the table knows nothing of it"
    known = state.manifest if state.manifest is not None and state.manifest.holds_since(instance) else None
    if isinstance(rebuilt, Unreadable):
        stopped = instance.state is InstanceState.STOPPED
        return "the table does not know its last shelving" if known is None and stopped else None
    if rebuilt.manifest is None:
        return None
    if known is None:
        return "the table does not know its last shelving"
    # As after a restore of the table from a backup.
    older = (known.cycle, known.attempt) < (rebuilt.manifest.cycle, rebuilt.manifest.attempt)
    return f"the table knows only cycle {known.cycle} of it, an older one" if older else None


def _state(state: State, rebuilt: Rebuilt, latest: int, now: datetime) -> State:
    """The state to write. An owner's start that is under way stays: the latest intent wins."""
    manifest = rebuilt.manifest or state.manifest
    if state.intent is not None and state.intent.wanted is Wanted.RUN and not state.intent.settled:
        return replace(state.wanting(state.intent), manifest=manifest)
    number = max(state.intent.number if state.intent else 0, latest) + 1
    why = f"recovered from its tags: {rebuilt.why}"
    intent = Intent(number, rebuilt.wanted, By.FOUND, now, why, settled_at=now if rebuilt.settled else None)
    if manifest is not None and not intent.settled:
        # The shelving goes on for this intent: so a start in the console is told from one before it.
        manifest = replace(manifest, intent=number)
    return replace(state.wanting(intent), manifest=manifest)
