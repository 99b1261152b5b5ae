"""Stop a workstation for a moment, and start it again whatever happens in between."""

from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta

from autostop import tags
from autostop.aws.ec2 import EbsDisks, Ec2Instances
from autostop.model import Instance, InstanceState, Observation, WorkstationId, instance_of
from autostop.ports import DeniedError, TransientError
from autostop.settings import words
from autostop.sleep import law
from autostop.sleep.manifest import Manifest
from autostop_cli.rehearse.hold import LEASE, Hold
from autostop_cli.rehearse.rehearsal import was_stopped_by_one
from autostop_cli.rehearse.scratch import EbsScratch

_NAP, _LONG_NAP = timedelta(seconds=5), timedelta(seconds=30)
# EC2 may need that long to shut a system down, or to find room for it.
_AT_MOST = timedelta(minutes=15)
_WHY = "a rehearsal stops it for some minutes and starts it again"


@dataclass(slots=True)
class Pause:
    """One workstation, stopped for as long as `stopped` lasts.

    hold: None where no controller is deployed. `clock` gives aware UTC moments; `sleep` takes seconds; `tell` takes a
    line for the owner. manifest: of what must be in its place at the start; None until it is written. stop_took,
    start_took: None when it was not stopped, or not seen running again. failure: why it does not run again, in words.
    """

    workstation: WorkstationId
    instances: Ec2Instances
    disks: EbsDisks
    scratch: EbsScratch
    hold: Hold | None
    clock: Callable[[], datetime]
    sleep: Callable[[float], None]
    tell: Callable[[str], None]
    manifest: Manifest | None = None
    stop_took: timedelta | None = None
    start_took: timedelta | None = None
    failure: str = ""

    @contextmanager
    def held(self, *, patiently: bool = False) -> Generator[None, None, None]:
        """Nobody else of Autostop acts on it meanwhile. Raises TransientError when somebody does.

        patiently: wait until the lease of one that was killed has expired.
        """
        if self.hold is not None:
            self._take(self.hold, LEASE if patiently else timedelta(0))
        try:
            yield
        finally:
            if self.hold is not None:
                self.hold.give_back()

    def _take(self, hold: Hold, within: timedelta) -> None:
        began = self.clock()
        while True:
            try:
                return hold.take()
            except TransientError:
                if self.clock() - began > within:
                    raise
            self.tell("waiting for Autostop, or an interrupted rehearsal, to let go of it: some minutes at most")
            self.sleep(_LONG_NAP.total_seconds())

    def observe(self) -> Observation:
        """What AWS says of it now, without its snapshots."""
        instance = self.instances.find(instance_of(self.workstation))
        return Observation(self.workstation, instance, tuple(self.disks.volumes(self.workstation)))

    @contextmanager
    def stopped(self, instance: Instance) -> Generator[None, None, None]:
        """While it lasts, the instance is stopped; if it ran, it runs again at the end, however that comes.

        Raises TransientError and DeniedError when it could not be stopped.
        """
        if instance.state is InstanceState.STOPPED:
            yield
            return
        try:
            self._stop(instance)
            yield
        finally:
            self.start_again()

    def _stop(self, instance: Instance) -> None:
        began = self.clock()
        # Before the stop: whoever comes after a crash knows by it that the instance is to run.
        self.scratch.mark_stopped(instance)
        if self.hold is not None:
            self.hold.want_run(_WHY)
        self.instances.stop(instance_of(self.workstation))
        self.tell("EC2 is stopping the instance")
        while self.state() is not InstanceState.STOPPED:
            if self.clock() - began > _AT_MOST:
                raise TransientError(f"EC2 did not stop it within {words(_AT_MOST)}.")
            self.keep()
            self.sleep(_NAP.total_seconds())
        self.stop_took = self.clock() - began

    def state(self) -> InstanceState | None:
        """Of the instance; None when it is gone, or AWS cannot say just now."""
        try:
            instance = self.instances.find(instance_of(self.workstation))
        except TransientError:
            return None
        return instance.state if instance is not None else None

    def keep(self) -> None:
        """Go on holding. Raises TransientError when that was lost."""
        if self.hold is not None:
            self.hold.keep()

    def start_again(self) -> None:
        """Start what a rehearsal stopped, and take its mark away; what keeps it from that becomes `failure`."""
        began = self.clock()
        asked: datetime | None = None
        self.failure = f"it does not run again within {words(_AT_MOST)}"
        while self.clock() - began <= _AT_MOST:
            try:
                seen = self.observe()
                instance = seen.instance
                if instance is None or instance.is_gone:
                    self.failure = "it is terminated or not there"
                    return
                runs = instance.state is InstanceState.RUNNING and asked is not None
                if runs or not self._is_to_run(instance, asked):
                    started = asked is not None and not was_stopped_by_one(instance)
                    self.start_took = self.clock() - asked if asked is not None and started else None
                    self.scratch.unmark(self.workstation)
                    self.failure = ""
                    return
                if refusal := _why_not_start(seen, self.manifest):
                    self.failure = f"it is not started again: {refusal}. Put that right, then start it"
                    return
                # One that is listed as running may have been stopped a moment ago: the call itself knows, and does
                # nothing to one that runs.
                if asked is None or instance.state is InstanceState.STOPPED:
                    self.instances.start(instance_of(self.workstation))
                    if asked is None:
                        self.tell("EC2 is starting the instance again")
                    asked = asked or self.clock()
            except TransientError as error:
                self.failure = f"it does not run again yet: {error}"
            except DeniedError as error:
                self.failure = f"it is not started again: {error}"
                return
            self.sleep(_NAP.total_seconds())

    def _is_to_run(self, instance: Instance, asked: datetime | None) -> bool:
        """False once the owner asked for a stop, or when it was started and stopped by others since."""
        if self.hold is not None and not self.hold.may_start():
            self.tell("You asked for a stop meanwhile: it stays stopped")
            return False
        # A start that was asked for here may fall back to stopped, and has another launch time then.
        return asked is not None or tags.REHEARSAL not in instance.tags or was_stopped_by_one(instance)


def _why_not_start(seen: Observation, manifest: Manifest | None) -> str | None:
    loose = next((volume for volume in seen.volumes if volume.exists and volume.attached_to is None), None)
    if loose is not None:
        return f"its volume {loose.id} is not attached"
    if seen.instance is None or seen.instance.state is not InstanceState.STOPPED:
        return None
    return law.why_not_start(seen, manifest)
