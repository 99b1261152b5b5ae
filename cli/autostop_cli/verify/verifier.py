"""Make scratch volumes from the real last snapshots, compare them, and remove them again. Nothing else is touched."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import TypeVar

from autostop.model import (
    LISTS_LAG_FOR,
    Observation,
    Snapshot,
    SnapshotId,
    SnapshotState,
    Volume,
    VolumeId,
    VolumeState,
    WorkstationId,
)
from autostop.ports import DeniedError, TransientError
from autostop.settings import words
from autostop.sleep.manifest import Manifest, VolumeRecord
from autostop_cli.account import Account
from autostop_cli.terminal import say
from autostop_cli.verify.worth import Verdict, Verification, Worth, compared, differences, judge_snapshot

_NAP, _LONG_NAP = timedelta(seconds=5), timedelta(seconds=15)
_VOLUMES_COME_WITHIN = timedelta(minutes=30)
# A volume that EBS is still creating cannot be deleted yet.
_REMOVED_WITHIN = timedelta(minutes=5)
# EC2's lists lag behind its writes: what was made a moment ago is looked for once more.
_EMPTY_LOOKS = 2
_TRIES = 6

Answer = TypeVar("Answer")


@dataclass(slots=True)
class Verifier:
    """One verification of one workstation.

    manifest: of what it would be restored from. verdicts: by device; None while nothing speaks against it.
    """

    account: Account
    manifest: Manifest
    verdicts: dict[str, Verdict | None] = field(default_factory=dict)
    _made: list[VolumeId | SnapshotId] = field(default_factory=list)
    _equal: dict[str, tuple[str, ...]] = field(default_factory=dict)
    _why_not: dict[str, str] = field(default_factory=dict)

    @property
    def workstation(self) -> WorkstationId:
        return self.manifest.workstation

    def look(self) -> None:
        """What the snapshots themselves say; changes nothing. Raises TransientError, DeniedError."""
        ids = [each.snapshot for each in self.manifest.volumes if each.snapshot is not None]
        ours = self.account.disks.find_snapshots([{"Name": "snapshot-id", "Values": [*ids]}])
        strangers = self.account.scratch.owners(ids) if len(ours) < len(ids) else {}
        instance, volumes = self.account.find(self.workstation), self.account.disks.volumes(self.workstation)
        seen = Observation(self.workstation, instance, tuple(volumes), tuple(ours))
        others = {key: owner for key, owner in strangers.items() if seen.snapshot(key) is None}
        for record in self.manifest.volumes:
            self.verdicts[record.device] = judge_snapshot(record, seen, self.manifest, others)

    def verify(self) -> tuple[str, ...]:
        """Restore and compare all that `look` found nothing against, and remove what was made, whatever happens.

        Gives what is left of it, in words.
        """
        verification = Verification(self.workstation, self.account.clock())
        try:
            self._compare_content(verification, self._restore(verification))
        except (TransientError, DeniedError) as error:
            for record in self._open():
                self._note(record, Worth.UNKNOWN, str(error), "Verify it again")
        finally:
            say("  removing the scratch volumes")
            left = self.remove(verification.made, self._made)
        for record in self._open():
            equal, why_not = self._equal[record.device], self._why_not.get(record.device, "")
            self.verdicts[record.device] = Verdict(record, Worth.GOOD, compared=equal, not_compared=why_not)
        return left

    def left(self) -> tuple[Volume | Snapshot, ...]:
        """All that verifications of it made and that is still there. Raises TransientError, DeniedError."""
        volumes = [each for each in self.account.scratch.volumes(self.workstation) if each.exists]
        return (*volumes, *self.account.scratch.snapshots(self.workstation))

    # -- restore and compare

    def _open(self) -> list[VolumeRecord]:
        return [each for each in self.manifest.volumes if self.verdicts[each.device] is None]

    def _note(
        self, record: VolumeRecord, worth: Worth, why: str, remedy: str = "Verify it again; then ask AWS"
    ) -> None:
        self.verdicts[record.device] = Verdict(record, worth, why, remedy)

    def _restore(self, verification: Verification) -> Mapping[str, VolumeId]:
        """Make the scratch volumes, and compare their settings once they are there; by device."""
        asked: dict[str, VolumeId] = {}
        for record in self._open():
            try:
                made = self._patiently(partial(self.account.scratch.create_volume, verification, record))
            except (TransientError, DeniedError) as error:
                why = f"no volume could be made of it: {error}"
                self._note(record, Worth.UNKNOWN, why, "See to that, then verify it again")
            else:
                self._made.append(made)
                asked[record.device] = made
        if asked:
            say("  EBS is creating the scratch volumes from the snapshots")
        for record in self._open():
            volume = self._arrived(asked[record.device])
            if volume is None:
                self._note(record, Worth.UNKNOWN, "its scratch volume did not come, or is gone", "Verify it again")
            elif volume.state is VolumeState.ERROR and record.kms_key is None:
                self._note(record, Worth.DAMAGED, "EBS could not make a volume of it")
            elif volume.state is VolumeState.ERROR:
                why = "EBS could not make a volume of it, which it cannot where its key may not be used either"
                self._note(record, Worth.UNKNOWN, why, f"See that you may use {record.kms_key}, then verify it again")
            elif wrong := "; ".join(differences(record, volume)):
                self._note(record, Worth.DAMAGED, wrong)
            else:
                self._equal[record.device] = compared(record, volume)
        return asked

    def _arrived(self, id_: VolumeId) -> Volume | None:
        """The scratch volume once EBS has made it, or failed to; None when it does not come."""
        begun = self.account.clock()
        while True:
            listed = self._patiently(partial(self.account.scratch.volumes, self.workstation))
            volume = next((each for each in listed if each.id == id_), None)
            if volume is not None and volume.state in (VolumeState.AVAILABLE, VolumeState.ERROR):
                return volume
            if self.account.clock() - begun > (_VOLUMES_COME_WITHIN if volume is not None else LISTS_LAG_FOR):
                return None
            self.account.sleep(_NAP.total_seconds())

    def _compare_content(self, verification: Verification, volumes: Mapping[str, VolumeId]) -> None:
        """Snapshot the scratch volumes, and let EBS say which blocks differ from the snapshots they were made from."""
        asked: dict[str, SnapshotId] = {}
        for record in self._open():
            try:
                volume = volumes[record.device]
                made = self._patiently(partial(self.account.scratch.create_snapshot, verification, volume))
            except (TransientError, DeniedError) as error:
                self._why_not[record.device] = str(error)
            else:
                self._made.append(made)
                asked[record.device] = made
        for record in self._open():
            if record.device not in asked or record.snapshot is None:
                continue
            try:
                self._complete(asked[record.device])
                compare = partial(self.account.scratch.changed_blocks, record.snapshot, asked[record.device])
                changed = self._patiently(compare)
            except (TransientError, DeniedError) as error:
                self._why_not[record.device] = str(error)
                continue
            self._equal[record.device] += ("content",)
            if changed:
                self._note(record, Worth.DAMAGED, f"{changed} blocks of a volume that was made from it differ")

    def _complete(self, id_: SnapshotId) -> None:
        """Wait until a scratch volume's snapshot is complete. Raises DeniedError when it fails or does not come."""
        begun, told = self.account.clock(), -1
        while True:
            listed = self._patiently(partial(self.account.scratch.snapshots, self.workstation))
            snapshot = next((each for each in listed if each.id == id_), None)
            if snapshot is not None and snapshot.state is SnapshotState.COMPLETED:
                return
            if snapshot is not None and snapshot.state is SnapshotState.PENDING:
                if snapshot.progress != told:
                    told = snapshot.progress
                    say(f"  a snapshot of a scratch volume, to compare the content: {told} %")
            elif snapshot is not None or self.account.clock() - begun > LISTS_LAG_FOR:
                raise DeniedError("EBS made no snapshot of a scratch volume")
            self.account.sleep(_LONG_NAP.total_seconds())

    def _patiently(self, act: Callable[[], Answer]) -> Answer:
        """Do it, some times if need be. Raises TransientError, DeniedError."""
        for _ in range(_TRIES - 1):
            try:
                return act()
            except TransientError as error:
                self.account.sleep(error.retry_after.total_seconds())
        return act()

    # -- remove

    def remove(
        self, which: Callable[[Volume | Snapshot], bool], known: Sequence[VolumeId | SnapshotId] = ()
    ) -> tuple[str, ...]:
        """Delete what was made and `which` is true for; gives what is left, each with the reason.

        known: ids of what was made just now, and may not be listed yet.
        """
        began, empty, unlisted = self.account.clock(), 0, {*known}
        kept: tuple[str, ...] = ()
        while self.account.clock() - began <= _REMOVED_WITHIN:
            try:
                there = [each for each in self.left() if which(each)]
            except TransientError as error:
                kept = (f"what is left is not known: {error}",)
                self.account.sleep(_NAP.total_seconds())
                continue
            except DeniedError as error:
                return (f"what is left is not known: {error}",)
            unlisted -= {each.id for each in there}
            why = {each: self._delete(each) for each in (*(each.id for each in there), *sorted(unlisted))}
            kept = tuple(f"{each}: {reason}" for each, reason in why.items() if reason)
            unlisted = {each for each in unlisted if why[each]}
            empty = 0 if there or unlisted else empty + 1
            if empty == _EMPTY_LOOKS:
                return ()
            if there and all(isinstance(each, Snapshot) and each.state is SnapshotState.PENDING for each in there):
                # EBS takes the order, and carries it out when they are complete, which may take hours.
                say(f"  {', '.join(each.id for each in there)}: deleted by EBS once complete")
                return ()
            self.account.sleep(_NAP.total_seconds())
        return kept or (f"not everything is known to be gone after {words(_REMOVED_WITHIN)}",)

    def _delete(self, thing: VolumeId | SnapshotId) -> str:
        """Why it is still there; empty when it goes."""
        try:
            if thing.startswith("vol-"):
                self.account.disks.delete(VolumeId(thing))
            else:
                self.account.disks.delete_snapshot(SnapshotId(thing))
        except (TransientError, DeniedError) as error:
            return str(error)
        return ""
