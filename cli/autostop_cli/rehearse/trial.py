"""What follows the snapshots of a rehearsal: scratch volumes from them, and the comparison."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Self

from autostop.cost import cost_awake, cost_now
from autostop.model import Snapshot, SnapshotId, SnapshotState, Volume, VolumeId, VolumeState
from autostop.ports import DeniedError, TransientError
from autostop.settings import words
from autostop.sleep.manifest import VolumeRecord
from autostop_cli.rehearse.pause import Pause
from autostop_cli.rehearse.rehearsal import Content, Rehearsal, Rehearsed, compare
from autostop_cli.rehearse.scratch import EbsScratch

_SECONDS = timedelta(seconds=5)
_WHILE_SNAPSHOTS = timedelta(seconds=15)
# EC2's lists may lag behind its calls by some minutes (EC2 Developer Guide, eventual-consistency).
_LISTED_WITHIN = timedelta(minutes=5)
_VOLUMES_COME_WITHIN = timedelta(minutes=30)
_TRIES = 6
# Looks in a row: a laptop that wakes up needs a moment until it is connected again.
_MOST_FAILED_LOOKS = 20


@dataclass(slots=True)
class Trial:
    """The scratch volumes and snapshots of one rehearsal.

    devices: what became of each volume so far, by device. asked_at: when its snapshots were asked for. made: the ids
    that AWS gave to what was made. cost_awake, cost_asleep: USD a month, once known.
    """

    rehearsal: Rehearsal
    scratch: EbsScratch
    pause: Pause
    devices: dict[str, Rehearsed]
    asked_at: datetime
    made: list[VolumeId | SnapshotId]
    cost_awake: float
    cost_asleep: float | None = None
    _told: str = ""

    @classmethod
    def of(cls, rehearsal: Rehearsal, volumes: Sequence[Volume], scratch: EbsScratch, pause: Pause) -> Self:
        """Before anything was made. volumes: the owner's."""
        devices = {record.device: Rehearsed(record) for record in rehearsal.manifest.volumes}
        return cls(rehearsal, scratch, pause, devices, pause.clock(), [], cost_awake(volumes, ()))

    def create_snapshots(self) -> None:
        """Of all volumes of the instance. Raises TransientError and DeniedError."""
        self.made += self.scratch.create_snapshots(self.rehearsal)

    def knows_all_snapshots(self) -> bool:
        """True when the whole set is listed."""
        found = self._snapshots()
        return all(each.record.volume in found for each in self.devices.values())

    def await_snapshots(self) -> None:
        """Until each is complete or has failed, which may take hours. Raises TransientError and DeniedError."""

        def look() -> bool:
            found = self._snapshots()
            percents: list[int] = []
            for each in self._open(lambda each: each.snapshot_took is not None):
                snapshot, took = found.get(each.record.volume), self.pause.clock() - self.asked_at
                if snapshot is None and took > _LISTED_WITHIN:
                    self._note(each, failure="EC2 does not list its snapshot")
                elif snapshot is None or snapshot.state is SnapshotState.PENDING:
                    percents.append(snapshot.progress if snapshot is not None else 0)
                elif snapshot.state is SnapshotState.COMPLETED:
                    self._note(each, record=replace(each.record, snapshot=snapshot.id), snapshot_took=took)
                else:
                    self._note(each, failure=f"EBS failed its snapshot {snapshot.id}: {snapshot.message}")
            if percents:
                self._tell(f"snapshots: {min(percents)} %")
            elif not any(each.failure for each in self.devices.values()):
                self.cost_asleep = cost_now((), [found[each.record.volume] for each in self.devices.values()])
            return not percents

        self._poll(look, _WHILE_SNAPSHOTS)

    def restore(self) -> None:
        """Make a scratch volume from every complete snapshot, and compare its settings once it is there."""
        asked_at: dict[str, datetime] = {}
        for each in self._open(lambda _: False):
            asked_at[each.record.device] = self.pause.clock()
            self._note(each, failure=self._try(partial(self._create_volume, each.record)))

        def look() -> bool:
            found = self._volumes()
            creating = False
            for each in self._open(lambda each: bool(each.settings)):
                volume = found.get(each.record.device)
                took = self.pause.clock() - asked_at[each.record.device]
                if volume is not None and volume.state is VolumeState.AVAILABLE:
                    self._note(each, restore_took=took, settings=compare(each.record, volume))
                elif volume is not None and volume.state is VolumeState.ERROR:
                    key = each.record.kms_key or "its KMS key"
                    self._note(each, failure=f"EBS could not make a volume of its snapshot. May you use {key}?")
                elif took > _VOLUMES_COME_WITHIN:
                    self._note(each, failure=f"EBS made no volume of it within {words(_VOLUMES_COME_WITHIN)}")
                else:
                    creating = True
            return not creating

        self._tell("EBS is creating the scratch volumes from the snapshots")
        self._poll(look, _SECONDS)

    def compare_content(self) -> None:
        """Snapshot the scratch volumes, and let EBS say which blocks differ from the snapshots they were made from."""
        volumes = {device: volume.id for device, volume in self._volumes().items()}
        begun_at = self.pause.clock()
        for each in self._open(lambda each: each.record.device not in volumes):
            failure = self._try(partial(self._create_snapshot, volumes[each.record.device]))
            self._note(each, content=Content(None, failure) if failure else None)

        def look() -> bool:
            found = self._snapshots()
            percents: list[int] = []
            for each in self._open(lambda each: each.content is not None or each.record.device not in volumes):
                second = found.get(volumes[each.record.device])
                if second is None and self.pause.clock() - begun_at > _LISTED_WITHIN:
                    self._note(each, content=Content(None, "EC2 does not list the snapshot of its scratch volume"))
                elif second is None or second.state is SnapshotState.PENDING:
                    percents.append(second.progress if second is not None else 0)
                elif second.state is SnapshotState.COMPLETED:
                    self._note(each, content=self._content(each, second))
                else:
                    self._note(each, content=Content(None, f"EBS failed the snapshot {second.id}: {second.message}"))
            if percents:
                self._tell(f"snapshots of the scratch volumes, to compare the content: {min(percents)} %")
            return not percents

        self._poll(look, _WHILE_SNAPSHOTS)

    def _create_volume(self, record: VolumeRecord) -> None:
        self.made.append(self.scratch.create_volume(self.rehearsal, record))

    def _create_snapshot(self, volume: VolumeId) -> None:
        self.made.append(self.scratch.create_snapshot(self.rehearsal, volume))

    def _content(self, each: Rehearsed, second: Snapshot) -> Content:
        changed = 0

        def count() -> None:
            nonlocal changed
            if each.record.snapshot is not None:
                changed = self.scratch.changed_blocks(each.record.snapshot, second.id)

        why_not = self._try(count)
        return Content(None, why_not) if why_not else Content(changed)

    def _open(self, is_done: Callable[[Rehearsed], bool]) -> list[Rehearsed]:
        """Those that AWS has not failed and that are not done."""
        return [each for each in self.devices.values() if not each.failure and not is_done(each)]

    def _note(self, each: Rehearsed, **found: object) -> None:
        self.devices[each.record.device] = replace(each, **found)  # type: ignore[arg-type]  # fields of Rehearsed

    def _snapshots(self) -> Mapping[VolumeId, Snapshot]:
        """By the volume each is of, the owner's or a scratch volume."""
        listed = self.scratch.snapshots(self.rehearsal.manifest.workstation)
        return {each.volume: each for each in listed if self.rehearsal.made(each)}

    def _volumes(self) -> Mapping[str, Volume]:
        """The scratch volumes, by the device of what they stand for."""
        devices = {each.record.snapshot: device for device, each in self.devices.items()}
        listed = self.scratch.volumes(self.rehearsal.manifest.workstation)
        return {devices[each.snapshot]: each for each in listed if self.rehearsal.made(each)}

    def _tell(self, text: str) -> None:
        if text != self._told:
            self.pause.tell(text)
            self._told = text

    def _try(self, act: Callable[[], object]) -> str:
        """Do it, some times if need be; gives why it cannot be done, empty when it was."""
        for tried in range(1, _TRIES + 1):
            try:
                act()
            except DeniedError as error:
                return str(error)
            except TransientError as error:
                if tried == _TRIES:
                    return str(error)
                self.pause.sleep(error.retry_after.total_seconds())
            else:
                return ""
        return ""

    def _poll(self, look: Callable[[], bool], every: timedelta) -> None:
        """Look until it is so. A look that fails for a moment is repeated. Raises TransientError, DeniedError."""
        failed = 0
        while True:
            try:
                if look():
                    return
                failed = 0
            except TransientError:
                failed += 1
                if failed == _MOST_FAILED_LOOKS:
                    raise
            self.pause.sleep(every.total_seconds())
