"""Rehearse a cycle on scratch volumes: snapshot, restore, compare, remove.

Nothing of the owner's is detached or deleted. The instance is stopped only until the snapshots are asked for: what is
in them is settled by then, however long EBS goes on copying (EBS User Guide, ebs-creating-snapshot).
"""

from dataclasses import dataclass, field

from autostop import tags
from autostop.model import Instance, InstanceState, Observation, Snapshot, Volume
from autostop.ports import DeniedError, TransientError
from autostop.sleep.manifest import write_manifest
from autostop_cli.rehearse.pause import Pause
from autostop_cli.rehearse.rehearsal import Rehearsal, Report, why_not_rehearse
from autostop_cli.rehearse.remove_scratch import Remover
from autostop_cli.rehearse.scratch import EbsScratch
from autostop_cli.rehearse.trial import Trial

_TRIES = 6


@dataclass(frozen=True, slots=True)
class Look:
    """A workstation before a rehearsal.

    refusals: why it cannot be rehearsed; empty when it can. left: what rehearsals left behind. marked: the mark of one
    that did not end is on the instance.
    """

    seen: Observation
    refusals: tuple[str, ...]
    left: tuple[Volume | Snapshot, ...]
    marked: bool


@dataclass(slots=True)
class Rehearser:
    """One rehearsal of one workstation. `pause` brings the clock, the sleep and the way to tell how far it is."""

    pause: Pause
    scratch: EbsScratch
    remover: Remover
    _trial: Trial | None = field(default=None, init=False)

    def look(self) -> Look:
        """How things stand; changes nothing. Raises TransientError and DeniedError."""
        seen = self.pause.observe()
        marked = seen.instance is not None and tags.REHEARSAL in seen.instance.tags
        return Look(seen, self._refusals(seen), self.remover.left(), marked)

    def clean(self) -> tuple[str, ...]:
        """Remove what rehearsals left behind, and start what they stopped; gives what could not be put right."""
        if self.look().marked:
            with self.pause.held(patiently=True):
                self.pause.start_again()
        left = self.remover.remove(lambda _: True)
        return (self.pause.failure, *left) if self.pause.failure else left

    def rehearse(self, *, may_stop: bool) -> Report:
        """Do it all, and remove what was made, whatever happens; an interruption goes on up after that.

        may_stop: the owner agreed that an instance that runs is stopped for it.
        """
        failures: list[str] = []
        left: tuple[str, ...] = ()
        try:
            with self.pause.held():
                trial = self._snapshot(may_stop=may_stop)
            trial.await_snapshots()
            trial.restore()
            trial.compare_content()
        except (TransientError, DeniedError) as error:
            failures.append(str(error))
        finally:
            if self._trial is not None:
                self.pause.tell("removing the scratch volumes and the snapshots of the rehearsal")
                left = self.remover.remove(self._trial.rehearsal.made, self._trial.made)
        if self.pause.failure:
            failures.append(self.pause.failure)
        return Report(
            tuple(self._trial.devices.values()) if self._trial is not None else (),
            self.pause.stop_took,
            self.pause.start_took,
            tuple(failures),
            left,
            self._trial.cost_awake if self._trial is not None else None,
            self._trial.cost_asleep if self._trial is not None else None,
        )

    def _refusals(self, seen: Observation) -> tuple[str, ...]:
        return tuple(why_not_rehearse(seen, self.pause.hold.intent() if self.pause.hold is not None else None))

    def _snapshot(self, *, may_stop: bool) -> Trial:
        """Snapshot all volumes of the instance, which is stopped for it."""
        instance = self._allowed(self.pause.observe())
        if instance.state is InstanceState.RUNNING and not may_stop:
            raise DeniedError("It was started meanwhile, and nobody agreed that it is stopped.")
        with self.pause.stopped(instance):
            seen = self.pause.observe()
            # Somebody may have changed anything while it stopped.
            if seen.instance is None or seen.instance.state is not InstanceState.STOPPED:
                raise TransientError("Somebody else started it meanwhile.")
            manifest = write_manifest(seen, seen.instance, 0, self.pause.clock())
            self.pause.manifest = manifest
            trial = Trial.of(Rehearsal(manifest), seen.attached(), self.scratch, self.pause)
            # Before the call: what it makes is to be removed even if its answer is lost.
            self._trial = trial
            self._create_snapshots(trial)
            return trial

    def _allowed(self, seen: Observation) -> Instance:
        """Asked again after the lease was taken. Raises DeniedError."""
        refusals = self._refusals(seen)
        if refusals or seen.instance is None:
            raise DeniedError("; ".join(refusals))
        return seen.instance

    def _create_snapshots(self, trial: Trial) -> None:
        """CreateSnapshots has no client token: a set whose answer was lost is found by its tag, not made twice."""
        for tried in range(1, _TRIES + 1):
            self.pause.keep()
            try:
                return trial.create_snapshots()
            except TransientError as error:
                if tried == _TRIES:
                    raise
                self.pause.sleep(error.retry_after.total_seconds())
            if trial.knows_all_snapshots():
                return None
        return None
