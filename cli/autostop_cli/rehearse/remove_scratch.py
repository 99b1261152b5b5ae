"""Remove what rehearsals made, and nothing else."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from autostop.aws.ec2 import EbsDisks
from autostop.model import Snapshot, SnapshotId, SnapshotState, Volume, VolumeId, WorkstationId
from autostop.ports import DeniedError, TransientError
from autostop_cli.rehearse.scratch import EbsScratch

_NAP = timedelta(seconds=5)
# A volume that EBS is still creating cannot be deleted yet.
_AT_MOST = timedelta(minutes=5)
# EC2's lists lag behind its writes: what was made a moment ago is looked for once more.
_EMPTY_LOOKS = 2


@dataclass(frozen=True, slots=True)
class Remover:
    """What removes the scratch volumes and snapshots of one workstation's rehearsals."""

    workstation: WorkstationId
    disks: EbsDisks
    scratch: EbsScratch
    clock: Callable[[], datetime]
    sleep: Callable[[float], None]

    def left(self) -> tuple[Volume | Snapshot, ...]:
        """Everything that its rehearsals made and that is still there. Raises TransientError and DeniedError."""
        volumes = [each for each in self.scratch.volumes(self.workstation) if each.exists]
        return (*volumes, *self.scratch.snapshots(self.workstation))

    def remove(
        self, which: Callable[[Volume | Snapshot], bool], known: Sequence[VolumeId | SnapshotId] = ()
    ) -> tuple[str, ...]:
        """Delete those that `which` is true for; gives what is left, each with the reason.

        known: ids of what was made just now, and may not be listed yet.
        """
        began, empty = self.clock(), 0
        unlisted = {*known}
        kept: tuple[str, ...] = ()
        while self.clock() - began <= _AT_MOST:
            try:
                there = [each for each in self.left() if which(each)]
                unlisted -= {each.id for each in there}
                kept = tuple(why for each in (*(each.id for each in there), *unlisted) if (why := self._delete(each)))
                unlisted = {each for each in unlisted if any(why.startswith(each) for why in kept)}
            except TransientError as error:
                kept, there = (f"what is left is not known: {error}",), None
            except DeniedError as error:
                return (f"what is left is not known: {error}",)
            empty = empty + 1 if there == [] and not unlisted else 0
            if empty == _EMPTY_LOOKS:
                return ()
            if there and all(_goes_by_itself(each) for each in there):
                return tuple(f"{each.id} goes when EBS has completed it" for each in there)
            self.sleep(_NAP.total_seconds())
        return kept or ("not everything is known to be gone yet",)

    def _delete(self, thing: VolumeId | SnapshotId) -> str:
        """Why it is still there; empty when it goes."""
        try:
            if thing.startswith("vol-"):
                self.disks.delete(VolumeId(thing))
            else:
                self.disks.delete_snapshot(SnapshotId(thing))
        except (TransientError, DeniedError) as error:
            return f"{thing}: {error}"
        return ""


def _goes_by_itself(thing: Volume | Snapshot) -> bool:
    """EBS takes the order to delete a pending snapshot, and carries it out when that is complete, hours later."""
    return isinstance(thing, Snapshot) and thing.state is SnapshotState.PENDING
