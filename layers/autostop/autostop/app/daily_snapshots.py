"""Once a day: whether what the sleeping workstations are restored from is still there, and what is billed beside it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from autostop import tags
from autostop.cost import volume_cost
from autostop.model import Snapshot, SnapshotId, VolumeId, WorkstationId
from autostop.ports import DeniedError, TransientError
from autostop.sleep.law import what_is_lost
from autostop.state import Outline, State

if TYPE_CHECKING:
    from autostop.aws.ebs import EbsDisks
    from autostop.aws.ledger import DynamoLedger

_EVERY = timedelta(days=1)
# DescribeSnapshots takes so many values of a filter (EC2 API Reference, `Filter`).
_MOST_IDS = 200
# A sweep looks at so many: it has two minutes, and writes a state for each that is found otherwise.
_MOST_SLEEPERS = 1000
# A look is due when nobody holds this.
_LOOK = "sleepers"


@dataclass(frozen=True, slots=True)
class DailySnapshots:
    """The daily look, with its ports."""

    disks: "EbsDisks"
    ledger: "DynamoLedger"

    def look(self, states: Mapping[WorkstationId, Outline], now: datetime) -> Mapping[WorkstationId, str]:
        """Write into the states what is lost, and what the Recycle Bin keeps; of whom that failed, and why.

        It takes a page of DescribeSnapshots for a thousand snapshots, and one call for each 200 that it lacks; where
        more than a thousand sleep, one for each 200, and another thousand is looked at by each sweep.
        """
        asleep = sorted(key for key, state in states.items() if state.restores_from)
        try:
            for start in range(0, len(asleep), _MOST_SLEEPERS):
                some = {key: states[key] for key in asleep[start : start + _MOST_SLEEPERS]}
                look = WorkstationId(f"{_LOOK} {start}" if start else _LOOK)
                if self.ledger.take_lease(look, now.isoformat(), now, now + _EVERY):
                    return self._look(look, some, now, all_of_them=len(some) == len(asleep))
        except (TransientError, DeniedError) as error:
            # Nobody is judged the less for it.
            return {WorkstationId(_LOOK): f"what sleeps could not be looked at: {error}"}
        return {}

    def _look(
        self, look: WorkstationId, asleep: Mapping[WorkstationId, Outline], now: datetime, *, all_of_them: bool
    ) -> Mapping[WorkstationId, str]:
        try:
            listed = self._listed(asleep, all_of_them=all_of_them)
            binned = self._binned()
        except (TransientError, DeniedError):
            # The next sweep tries it again.
            self.ledger.give_lease_back(look, now.isoformat())
            raise
        failed: dict[WorkstationId, str] = {}
        for key, state in asleep.items():
            lost, kept = what_is_lost(state.restores_from, listed), _in_bin(state, listed, binned)
            try:
                if (lost, kept) != (state.lost, state.binned):
                    self.ledger.change(key, _noting(state.restores_from, lost, kept))
            except (TransientError, DeniedError) as error:
                failed[key] = str(error)
        return failed

    def _listed(self, asleep: Mapping[WorkstationId, Outline], *, all_of_them: bool) -> Mapping[SnapshotId, Snapshot]:
        ours = self.disks.find_snapshots([{"Name": "tag:autostop", "Values": [tags.ON]}]) if all_of_them else ()
        listed = {each.id: each for each in ours}
        # Of those that are not listed by their tag a person may only have taken the tag away.
        missing = [each for state in asleep.values() for each in state.restores_from if each not in listed]
        for start in range(0, len(missing), _MOST_IDS):
            values = missing[start : start + _MOST_IDS]
            listed |= {each.id: each for each in self.disks.find_snapshots([{"Name": "snapshot-id", "Values": values}])}
        return listed

    def _binned(self) -> Mapping[VolumeId, datetime]:
        try:
            return self.disks.volumes_in_recycle_bin()
        except DeniedError:
            # It is about money alone, and a role of before need not allow it.
            return {}


def _in_bin(state: Outline, listed: Mapping[SnapshotId, Snapshot], binned: Mapping[VolumeId, datetime]) -> str:
    """Which volumes that Autostop has deleted are kept and billed all the same, in words; "" for none."""
    kept = [listed[each] for each in state.restores_from if each in listed and listed[each].volume in binned]
    if not kept:
        return ""
    until = max(binned[each.volume] for each in kept)
    cost = sum(volume_cost(each.tags.get(tags.TYPE, ""), each.size_gib, None, None) for each in kept)
    names = ", ".join(each.volume for each in kept)
    return (
        f"The Recycle Bin of EBS keeps what Autostop deletes: {names} until {until:%d %B}, at ${cost / 30:.2f} a day. "
        "A retention rule of this Region does that; exclude the tag `autostop` in it."
    )


def _noting(restores_from: tuple[SnapshotId, ...], lost: str, binned: str) -> Callable[[State], State]:
    """The change of the state, as long as it still sleeps in the same snapshots."""

    def note(state: State) -> State:
        return replace(state, lost=lost, binned=binned) if state.restores_from == restores_from else state

    return note
