"""What must be known to restore a workstation's volumes: one record for each, written before anything is deleted."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from autostop import tags
from autostop.launch_facts import LaunchRecord, launch_tags, record_launch
from autostop.model import Instance, Observation, Snapshot, SnapshotId, Volume, VolumeId, WorkstationId


@dataclass(frozen=True, slots=True)
class VolumeRecord:
    """One volume as it was when its instance was seen stopped.

    device: the name it is attached under. size_gib: GiB; throughput: MiB/s; None where the type has none.
    own_tags: the owner's, without Autostop's. snapshot: the one to restore from; None until it is known.
    restore: the attempt at restoring it, from 1; another one asks EBS for another volume. grows_to: GiB, of the volume
    that is restored from it; None: as large as it was.
    """

    device: str
    volume: VolumeId
    size_gib: int
    type: str
    zone: str
    delete_on_termination: bool
    iops: int | None = None
    throughput: int | None = None
    encrypted: bool = False
    kms_key: str | None = None
    own_tags: Mapping[str, str] | None = None
    snapshot: SnapshotId | None = None
    restore: int = 1
    grows_to: int | None = None

    def describes(self, volume: Volume) -> bool:
        """True when the volume still has the size, type and performance that are recorded."""
        return (volume.size_gib, volume.type, volume.iops, volume.throughput) == (
            self.size_gib,
            self.type,
            self.iops,
            self.throughput,
        )


@dataclass(frozen=True, slots=True)
class Manifest:
    """The volumes of one cycle.

    attempt: grows when EBS failed a snapshot set and another is made; from 1.
    intent: the number of the intent that began the cycle.
    launched_at: the instance's launch time when it was seen stopped; another launch time means that it ran since.
    stopped_at: its last stop by EC2's clock, or its launch time when EC2 does not say; the snapshots are later.
    written_at: when this attempt was begun, by our clock.
    asked_at: when its snapshots were last asked for, noted before the call; None before that.
    detached_at: when a volume was last detached, noted before the call; None before that, or when the table was lost.
    launch: what a new instance would need; None when an older version wrote the manifest, or it was found by its tags.
    were_kept: its volumes stood detached before, for as long as its owner has them kept: they go as soon as they may.
    unset_flags: devices that started without their flag, whether they go with the instance, as EC2 did not take it.
    """

    workstation: WorkstationId
    cycle: int
    attempt: int
    intent: int
    launched_at: datetime
    stopped_at: datetime
    written_at: datetime
    volumes: tuple[VolumeRecord, ...]
    launch: LaunchRecord | None = None
    asked_at: datetime | None = None
    detached_at: datetime | None = None
    unset_flags: tuple[str, ...] = ()
    were_kept: bool = False

    def record_of(self, volume: VolumeId) -> VolumeRecord | None:
        """The record of a volume, or None when it is not in this cycle."""
        return next((record for record in self.volumes if record.volume == volume), None)

    def holds_since(self, instance: Instance) -> bool:
        """True while the instance was not started since its volumes were recorded."""
        return instance.launched_at == self.launched_at

    def with_snapshots(self, snapshots: Mapping[VolumeId, SnapshotId]) -> "Manifest":
        """The same manifest, knowing the snapshot of each volume."""
        records = tuple(replace(record, snapshot=snapshots.get(record.volume)) for record in self.volumes)
        return replace(self, volumes=records)

    def next_attempt(self, now: datetime, instance: Instance) -> "Manifest":
        """The same cycle, for another snapshot set, which describes the instance as it is now."""
        again = replace(self.with_snapshots({}), attempt=self.attempt + 1, written_at=now, asked_at=None)
        return replace(again, launch=_launch_of(instance, self.volumes) or self.launch)

    def asking(self, now: datetime | None) -> "Manifest":
        """The same manifest, before its snapshots are asked for; None: they certainly were not."""
        return replace(self, asked_at=now)

    def detaching(self, now: datetime) -> "Manifest":
        """The same manifest, before a volume is detached."""
        return replace(self, detached_at=now)

    def restoring_anew(self, record: VolumeRecord, failed: int) -> "Manifest":
        """The same manifest, by which the next volume of a record is another than the failed attempt's."""
        anew = replace(record, restore=max(record.restore, failed + 1))
        return replace(self, volumes=tuple(anew if each == record else each for each in self.volumes))

    def growing(self, record: VolumeRecord, size_gib: int | None) -> "Manifest":
        """The same manifest, by which the next volume of a record has another size."""
        other = replace(record, grows_to=size_gib)
        return replace(self, volumes=tuple(other if each == record else each for each in self.volumes))

    def without_flag(self, device: str) -> "Manifest":
        """The same manifest, by which a device starts without its flag."""
        return replace(self, unset_flags=(*self.unset_flags, device))

    def with_flag(self, device: str) -> "Manifest":
        """The same manifest, once the flag of a device is set again."""
        return replace(self, unset_flags=tuple(each for each in self.unset_flags if each != device))

    def set_tags(self) -> dict[str, str]:
        """The tags of every snapshot of the set, given at their creation."""
        return {
            tags.AUTOSTOP: tags.ON,
            tags.WORKSTATION: self.workstation,
            tags.CYCLE: str(self.cycle),
            tags.ATTEMPT: str(self.attempt),
            tags.INTENT: str(self.intent),
            tags.LAUNCHED_AT: self.launched_at.isoformat(),
            tags.STOPPED_AT: self.stopped_at.isoformat(),
            tags.WRITTEN_AT: self.written_at.isoformat(),
            tags.DEVICES: tags.device_names(record.device for record in self.volumes),
        }

    def snapshot_tags(self, record: VolumeRecord) -> dict[str, str]:
        """Everything that one snapshot must say so that it can be restored without the table."""
        fields = {
            tags.DEVICE: record.device,
            tags.VOLUME: record.volume,
            tags.TYPE: record.type,
            tags.SIZE: str(record.size_gib),
            tags.IOPS: str(record.iops) if record.iops is not None else "",
            tags.THROUGHPUT: str(record.throughput) if record.throughput is not None else "",
            tags.ENCRYPTED: "true" if record.encrypted else "false",
            tags.KMS_KEY: record.kms_key or "",
            tags.DELETE_ON_TERMINATION: "true" if record.delete_on_termination else "false",
            tags.ZONE: record.zone,
        }
        is_root = self.launch is not None and record.device == self.launch.root_device
        launch = launch_tags(self.launch) if self.launch is not None and is_root else {}
        known = {key: value for key, value in fields.items() if value}
        return {**(record.own_tags or {}), **self.set_tags(), **known, **launch}

    def volume_tags(self, record: VolumeRecord) -> dict[str, str]:
        """The tags of a volume restored from a record, by which it is found again after a crash."""
        return {
            **(record.own_tags or {}),
            tags.AUTOSTOP: tags.ON,
            tags.WORKSTATION: self.workstation,
            tags.DEVICE: record.device,
            tags.CYCLE: str(self.cycle),
            tags.RESTORE: str(record.restore),
        }

    def is_restored(self, volume: Volume, record: VolumeRecord) -> bool:
        """True when the volume was made from this record's snapshot, in this cycle, for this device."""
        return (
            record.snapshot is not None
            and volume.snapshot == record.snapshot
            and tags.number(volume.tags, tags.CYCLE) == self.cycle
            and volume.tags.get(tags.DEVICE) == record.device
        )

    def restored_in(self, seen: Observation) -> bool:
        """True when a volume that was made from this cycle's snapshots exists."""
        return any(
            each.exists and any(self.is_restored(each, record) for record in self.volumes) for each in seen.volumes
        )

    def remaining_in(self, seen: Observation) -> list[Volume]:
        """Its volumes that still exist."""
        return [volume for record in self.volumes if (volume := seen.volume(record.volume))]

    def made(self, snapshot: Snapshot) -> bool:
        """True when the snapshot belongs to the present attempt of this cycle, made after this very stop."""
        return (
            snapshot.cycle == self.cycle
            # A number is used again when its first snapshots were not listed yet at the next stop.
            and snapshot.tags.get(tags.LAUNCHED_AT) == self.launched_at.isoformat()
            and tags.number(snapshot.tags, tags.ATTEMPT) == self.attempt
            and self.record_of(snapshot.volume) is not None
        )


def write_manifest(
    seen: Observation, instance: Instance, intent: int, now: datetime, last: Manifest | None = None
) -> Manifest:
    """The manifest of a new cycle: every attached volume of the stopped instance.

    last: the one before, as far as it is remembered; nothing else may be left to see of it.
    """
    records = tuple(
        VolumeRecord(
            device=volume.device or "",
            volume=volume.id,
            size_gib=volume.size_gib,
            type=volume.type,
            zone=volume.zone,
            delete_on_termination=_goes_with_instance(volume, last),
            iops=volume.iops,
            throughput=volume.throughput,
            encrypted=volume.encrypted,
            kms_key=volume.kms_key,
            own_tags=tags.own(volume.tags),
        )
        for volume in seen.attached()
    )
    return Manifest(
        workstation=seen.workstation,
        cycle=max(latest_cycle(seen), last.cycle if last is not None else 0) + 1,
        attempt=1,
        intent=intent,
        launched_at=instance.launched_at,
        stopped_at=max(instance.stopped_at or instance.launched_at, instance.launched_at),
        written_at=now,
        volumes=records,
        launch=_launch_of(instance, records),
    )


def _goes_with_instance(volume: Volume, last: Manifest | None) -> bool:
    """Whether it is to go with the instance: as it says, or as it was while it still lacks the flag that says so."""
    if last is not None and volume.device in last.unset_flags:
        for record in last.volumes:
            if record.device == volume.device and (volume.id == record.volume or last.is_restored(volume, record)):
                return record.delete_on_termination
    return bool(volume.delete_on_termination)


def _launch_of(instance: Instance, records: Sequence[VolumeRecord]) -> LaunchRecord | None:
    """What a new instance would need, as far as the root's snapshot has room for it; None where nobody asked for it."""
    root = next((record for record in records if record.device == instance.root_device), None)
    if root is None or instance.launch is None:
        return None
    pieces = tags.MOST_TAGS - tags.OF_A_SNAPSHOT - len(root.own_tags or {})
    return record_launch(instance.root_device, instance.launch, instance.tags, pieces)


def latest_cycle(seen: Observation) -> int:
    """The highest cycle number on any volume or snapshot; 0 before the first."""
    numbers = [tags.number(volume.tags, tags.CYCLE) for volume in seen.volumes]
    numbers += [snapshot.cycle for snapshot in seen.snapshots]
    return max((number for number in numbers if number is not None), default=0)
