"""Build a new instance in the place of a workstation that is gone, from the snapshots of its last shelving.

Each step is found again by tags and names, so that a repeated or interrupted call goes on where the last one ended and
leaves nothing over.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from autostop import tags
from autostop.model import Instance, InstanceState, Observation, Volume, WorkstationId
from autostop.ports import (
    ConflictError,
    DamagedError,
    DeniedError,
    Disks,
    Happened,
    Instances,
    Ledger,
    Queue,
    State,
    TransientError,
)
from autostop.settings import Policy
from autostop.sleep.from_tags import Unreadable, is_gone
from autostop.sleep.intent import By, Intent, Wanted
from autostop_cli.repair.images import Ec2Builder
from autostop_cli.repair.replacement import Replacement, plan_replacement

_NAP_SECONDS = 2.0
_IMAGE_WITHIN = timedelta(minutes=10)
_RUNS_WITHIN = timedelta(minutes=10)
_LISTED_WITHIN = timedelta(minutes=2)

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Replacer:
    """Everything that it works with. `clock` gives aware UTC moments; `sleep` takes seconds."""

    instances: Instances
    disks: Disks
    builder: Ec2Builder
    ledger: Ledger
    queue: Queue
    defaults: Policy
    clock: Callable[[], datetime]
    sleep: Callable[[float], None]

    def plan(self, gone: WorkstationId) -> Replacement | Unreadable:
        """What would be built, or why nothing is. Raises TransientError, DeniedError."""
        seen = Observation(
            gone,
            self.instances.find(gone),
            tuple(self.disks.volumes(gone)),
            tuple(self.disks.snapshots(gone)),
        )
        return plan_replacement(seen, self.defaults)

    def already(self, gone: WorkstationId) -> WorkstationId | None:
        """The instance that an earlier call has built in its place; None when there is none."""
        return self.builder.built(gone)

    def is_finished(self, gone: WorkstationId) -> bool:
        """True when nothing of the workstation that is gone is left to hand over."""
        return not self.disks.snapshots(gone) and not self.builder.images(gone)

    def build(self, gone: WorkstationId, say: Say) -> WorkstationId:
        """Build it, or finish what was begun; the new workstation. say: takes what is done, a sentence each.

        Raises DeniedError with the reason when it cannot be, TransientError when it may later.
        """
        new, replacement = self.builder.built(gone), self.plan(gone)
        if new is None or self._unclaimed(gone, new):
            if isinstance(replacement, Unreadable):
                raise DeniedError(f"{gone} is not built anew: {replacement.reason}.")
            new = new or self._launch(replacement, say)
            self._await_running(gone, new, say)
            self._claim(replacement, new, say)
        # Before the snapshots change hands: from then on they do not tell of the old one any more.
        if not isinstance(replacement, Unreadable):
            self._write_down(new, replacement)
        for snapshot in self.disks.snapshots(gone):
            # The new workstation lets go of them, as soon as it was started from later ones.
            self.builder.tag(snapshot.id, {tags.WORKSTATION: new})
            say(f"{snapshot.id} belongs to {new} now")
        for image in self.builder.images(gone):
            self.builder.deregister(image)
            say(f"the image {image} is not needed any more")
        self._tell_old(gone, new)
        self.queue.wake(new)
        return new

    def _launch(self, replacement: Replacement, say: Say) -> WorkstationId:
        image = self.builder.register(replacement)
        say(f"the image {image} is made from the root's snapshot")
        until = self.clock() + _IMAGE_WITHIN
        while not self.builder.is_available(image):
            if self.clock() > until:
                raise TransientError(f"EC2 takes long to make the image {image}.")
            self.sleep(_NAP_SECONDS)
        new = self.builder.launch(replacement, image)
        say(f"{new} is launched, as {replacement.launch.facts.type}")
        return new

    def _await_running(self, gone: WorkstationId, new: WorkstationId, say: Say) -> None:
        until, told = self.clock() + _RUNS_WITHIN, ""
        while True:
            instance = self.instances.find(new)
            state = instance.state.value if instance is not None else "not listed yet"
            if state != told:
                say(f"{new} is {state}")
                told = state
            if instance is not None and instance.state is not InstanceState.PENDING:
                if is_gone(instance):
                    self._give_up(gone, instance)
                return
            if self.clock() > until:
                raise TransientError(f"{new} takes long to start.")
            self.sleep(_NAP_SECONDS)

    def _give_up(self, gone: WorkstationId, instance: Instance) -> None:
        """EC2 took the launch and ended it. Without another image the same request would tell of the same instance."""
        for image in self.builder.images(gone):
            self.builder.deregister(image)
        why = instance.state_reason or "EC2 does not say why"
        raise DeniedError(
            f"EC2 launched {instance.id} and terminated it again: {why}. If the disks are encrypted: may you use their "
            "KMS key? See to that, then run it again. The snapshots are as they were."
        )

    def _unclaimed(self, gone: WorkstationId, new: WorkstationId) -> list[Volume]:
        """Its volumes that were made from the snapshots and do not carry its tags yet."""
        made_from = {snapshot.id for snapshot in self.disks.snapshots(gone)}
        return [
            volume
            for volume in self.disks.volumes(new)
            if volume.snapshot in made_from and volume.tags.get(tags.WORKSTATION) != new
        ]

    def _claim(self, replacement: Replacement, new: WorkstationId, say: Say) -> None:
        """Give each volume its tags and settings. Raises TransientError when EC2 does not list all of them in time."""
        records = {record.device: record for record in replacement.manifest.volumes}
        manifest, until = replacement.manifest_for(new), self.clock() + _LISTED_WITHIN
        while True:
            for volume in self._unclaimed(replacement.workstation, new):
                record = records.get(volume.device or "")
                if record is None:
                    continue
                if volume.delete_on_termination is not record.delete_on_termination:
                    flag = record.delete_on_termination
                    self.instances.set_delete_on_termination(new, record.device, volume.id, flag=flag)
                self.builder.tag(volume.id, manifest.volume_tags(record))
                say(f"{volume.id} is {record.device}, restored from {record.snapshot}")
            listed = self.disks.volumes(new)
            if records.keys() <= {each.device for each in listed if each.tags.get(tags.WORKSTATION) == new}:
                return
            if self.clock() > until:
                raise TransientError(f"EC2 does not list all volumes of {new} yet.")
            self.sleep(_NAP_SECONDS)

    def _write_down(self, new: WorkstationId, replacement: Replacement) -> None:
        """Want it running: the reconciler then sees to it that it works, and lets go of older cycles."""

        def decide(state: State) -> State:
            if state.manifest is not None:
                return state
            # Sweeps may have written of the new one already; its numbers go on after those of the old one.
            number = max(replacement.manifest.intent, state.intent.number if state.intent else 0) + 1
            why = f"it was built in the place of {replacement.workstation}"
            intent = Intent(number, Wanted.RUN, By.OWNER, self.clock(), why)
            return replace(state.wanting(intent), manifest=replacement.manifest_for(new))

        before, after = self.ledger.change(new, decide)
        if after.intent is not None and after != before:
            self.ledger.record(new, Happened(after.intent.at, after.intent.number, after.intent.why))

    def _tell_old(self, gone: WorkstationId, new: WorkstationId) -> None:
        """For those who still open its old link; nothing depends on it."""
        try:
            state = self.ledger.load(gone)
            if state.version:
                intent = state.intent.settle(self.clock()) if state.intent else None
                self.ledger.save(replace(state, intent=intent, blocked=f"It is gone; {new} was built in its place."))
        except (ConflictError, DamagedError):
            return
