"""Carry one step out: hold what must be known before its call, make the call, and hold what follows from it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from autostop.ports import BurnedTokenError, DeniedError, NoCapacityError, TransientError
from autostop.sleep.calls import Call
from autostop.sleep.outcomes import Note, Step
from autostop.state import Happened, State

if TYPE_CHECKING:
    from autostop.aws.ebs import EbsDisks
    from autostop.aws.ec2 import Ec2Instances
    from autostop.aws.ledger import DynamoLedger


def table_of_calls(instances: "Ec2Instances", disks: "EbsDisks") -> Mapping[Call, Callable[..., Any]]:
    """What carries out each call; its arguments are the step's."""
    return {
        Call.STOP: instances.stop,
        Call.START: instances.start,
        Call.NOTE_TYPE: instances.note_type,
        Call.CHANGE_TYPE: instances.change_type,
        Call.SET_DELETE_ON_TERMINATION: instances.set_delete_on_termination,
        Call.CREATE_SNAPSHOTS: disks.create_snapshots,
        Call.TAG_SNAPSHOT: disks.tag_snapshot,
        Call.DELETE_SNAPSHOT: disks.delete_snapshot,
        Call.CREATE_VOLUME: disks.create,
        Call.ATTACH: disks.attach,
        Call.DETACH: disks.detach,
        Call.DELETE_VOLUME: disks.delete,
    }


@dataclass(frozen=True, slots=True)
class Executor:
    """Carries out the steps of one workstation after the other. clock: gives aware UTC moments."""

    calls: Mapping[Call, Callable[..., Any]]
    ledger: "DynamoLedger"
    clock: Callable[[], datetime]

    def execute(self, state: State, intent: int, step: Step) -> None:
        """Take a step for the intent of this number. Raises TransientError, DeniedError, ConflictError."""
        if step.call is None:
            self.ledger.save(_progressed(_holding(state, step.first or Note())))
            new = step.first.intent if step.first is not None else None
            self.ledger.record(state.workstation, Happened(self.clock(), intent, step.said, new))
            return
        if step.first is not None:
            state = self.ledger.save(_holding(state, step.first))
        try:
            answer = self.calls[step.call](*step.args)
            note = step.then(answer) if step.then is not None else Note()
        except NoCapacityError:
            if step.lacking is None:
                raise
            note = step.lacking
        except BurnedTokenError:
            if step.burned is None:
                raise
            note = step.burned
        except (TransientError, DeniedError) as error:
            done_nothing = isinstance(error, DeniedError) or error.refused
            note = step.refused(str(error)) if step.refused is not None and done_nothing else Note()
            if not note.said:
                # What was noted before the call holds no more.
                self._save(state, _holding(state, note))
            if not note.said or isinstance(error, TransientError):
                raise
        self.ledger.record(state.workstation, Happened(self.clock(), intent, note.said or step.said))
        self._save(state, _progressed(_holding(state, note)))

    def _save(self, before: State, after: State) -> None:
        if after != before:
            self.ledger.save(after)


def _holding(state: State, note: Note) -> State:
    """The state with what a note says."""
    if note.intent is not None:
        return state.wanting(note.intent)
    return replace(
        state,
        manifest=note.manifest or state.manifest,
        attempts=note.attempts or state.attempts,
        fallback=note.fallback or state.fallback,
        resize=note.resize or state.resize,
        housekeeping=note.housekeeping or state.housekeeping,
        waiting_for=note.waiting_for or state.waiting_for,
    )


def _progressed(state: State) -> State:
    """A step that succeeds is progress, whatever went wrong before it."""
    return replace(state, attempts=replace(state.attempts, errors=0), hindered_since=None)
