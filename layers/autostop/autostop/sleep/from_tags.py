"""What the tags of volumes and snapshots say of a workstation that the table has lost.

Pure. Tags may be edited, damaged or copied by anybody: whatever does not fit together gives a reason, never a guess.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from autostop import tags
from autostop.model import (
    AttachmentState,
    Instance,
    InstanceState,
    Observation,
    Snapshot,
    SnapshotState,
    Volume,
    VolumeState,
)
from autostop.sleep.configuration import has_launch, launch_from_tags
from autostop.sleep.intent import Wanted
from autostop.sleep.manifest import Manifest, VolumeRecord

_USABLE = frozenset({SnapshotState.PENDING, SnapshotState.COMPLETED})
_USABLE_VOLUME = frozenset({VolumeState.AVAILABLE, VolumeState.CREATING})
_NEVER = datetime.min.replace(tzinfo=UTC)
_GONE = frozenset({InstanceState.TERMINATED, InstanceState.SHUTTING_DOWN})


@dataclass(frozen=True, slots=True)
class Unreadable:
    """The tags do not say it. reason: why, for the owner."""

    reason: str


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """What the table should say of a workstation.

    manifest: None where its volumes are in their places, and nothing needs one. why: for the intent, in words.
    """

    manifest: Manifest | None
    wanted: Wanted
    settled: bool
    why: str


def is_gone(instance: Instance | None) -> bool:
    """True when EC2 does not know the instance, or only as terminated."""
    return instance is None or instance.state in _GONE


def rebuild(seen: Observation, instance: Instance) -> Rebuilt | Unreadable:
    """What a workstation's state must be, from what is. Nothing is started by it, and no volume is given up."""
    match instance.state:
        case InstanceState.RUNNING:
            return Rebuilt(None, Wanted.RUN, settled=True, why="it runs")
        case InstanceState.PENDING:
            return Rebuilt(None, Wanted.RUN, settled=False, why="EC2 is starting it")
        case InstanceState.STOPPING:
            return Rebuilt(None, Wanted.STOP, settled=False, why="EC2 is stopping it")
        case InstanceState.STOPPED:
            return _rebuild_stopped(seen, instance)
        case InstanceState.TERMINATED | InstanceState.SHUTTING_DOWN:
            return Unreadable("the instance is terminated")


def _rebuild_stopped(seen: Observation, instance: Instance) -> Rebuilt | Unreadable:
    manifest = manifest_from_tags(seen)
    if isinstance(manifest, Unreadable):
        missing = devices_only_in_snapshots(seen, instance)
        if missing:
            return Unreadable(f"{', '.join(missing)} exist only as snapshots, and {manifest.reason}")
        if not any(_place_of(volume, seen) == instance.root_device for volume in seen.volumes):
            return Unreadable(f"there is no volume for its root device {instance.root_device}, and {manifest.reason}")
        return Rebuilt(None, Wanted.STOP, settled=True, why="it is stopped, with its volumes")
    originals = [volume for record in manifest.volumes if (volume := seen.volume(record.volume))]
    restored = [
        volume
        for volume in seen.volumes
        if volume.exists and any(manifest.is_restored(volume, record) for record in manifest.volumes)
    ]
    others = [volume for volume in seen.attached() if manifest.record_of(volume.id) is None]
    if restored or others:
        return Rebuilt(
            manifest, Wanted.STOP, settled=True, why=f"it is stopped, partly restored from {_name(manifest)}"
        )
    if len(originals) == len(manifest.volumes) and all(_is_in_place(volume, seen) for volume in originals):
        # Shelved again or not: that is for its settings to say, and nothing is lost by waiting for the next sweep.
        return Rebuilt(manifest, Wanted.STOP, settled=True, why="it is stopped, with its volumes")
    pending = any(
        snapshot.state is not SnapshotState.COMPLETED
        for record in manifest.volumes
        if (snapshot := seen.snapshot(record.snapshot))
    )
    if originals or pending:
        return Rebuilt(manifest, Wanted.SHELVE, settled=False, why=f"it was being shelved in {_name(manifest)}")
    return Rebuilt(manifest, Wanted.SHELVE, settled=True, why=f"it is shelved: its disks are in {_name(manifest)}")


def devices_only_in_snapshots(seen: Observation, instance: Instance) -> Sequence[str]:
    """Devices that a snapshot of this very stop names, and for which no volume is there.

    A workstation without its manifest must not be started or shelved as if they had never been.
    """
    there = {_place_of(volume, seen) for volume in seen.volumes}
    named = {snapshot.tags.get(tags.DEVICE, "") for snapshot in _of_launch(seen, instance)}
    return sorted(device for device in named if device and device not in there)


def latest_intent(seen: Observation) -> int:
    """The highest intent number on any snapshot; 0 where there is none."""
    numbers = [tags.number(snapshot.tags, tags.INTENT) for snapshot in seen.snapshots]
    return max((number for number in numbers if number is not None), default=0)


def manifest_from_tags(seen: Observation) -> Manifest | Unreadable:
    """The manifest of the newest cycle, from the tags of its snapshots alone.

    Of an instance that is there: of its last stop, told by the launch time. Of one that is gone: of the last cycle.
    """
    if seen.instance is not None and not is_gone(seen.instance):
        made = _of_launch(seen, seen.instance)
        if not made:
            return Unreadable("no snapshot of its last stop carries its tags")
    else:
        made = [snapshot for snapshot in seen.snapshots if made_by_autostop(snapshot, seen)]
        if not made:
            return Unreadable("no snapshot of it carries Autostop's tags")
    found = _newest(made)
    if isinstance(found, Unreadable):
        return found
    damaged = _why_not_one_set(found)
    if damaged:
        return Unreadable(damaged)
    root = seen.instance.root_device if seen.instance is not None else None
    if root and not any(snapshot.tags[tags.DEVICE] == root for snapshot in found):
        return Unreadable(f"cycle {found[0].cycle} has no snapshot of the root device {root}")
    return _manifest(found, seen)


def found_again(seen: Observation, manifest: Manifest | None, instance: Instance) -> Manifest | None:
    """The manifest of the last stop, in the tags, when the one of the table is not it; None where there is no such.

    There is one only when the table was lost or came from a backup: a manifest is written before its snapshots.
    """
    if manifest is not None and manifest.holds_since(instance):
        return None
    found = manifest_from_tags(seen)
    return found if isinstance(found, Manifest) else None


def made_by_autostop(snapshot: Snapshot, seen: Observation) -> bool:
    """True for the snapshots of Autostop's own cycles. A copy that a backup makes of a volume has the volume's tags."""
    own = tags.is_ours(snapshot.tags) and snapshot.tags.get(tags.WORKSTATION) == seen.workstation
    return own and (tags.ATTEMPT in snapshot.tags or tags.LAUNCHED_AT in snapshot.tags)


def _of_launch(seen: Observation, instance: Instance) -> list[Snapshot]:
    launch = instance.launched_at.isoformat()
    return [
        snapshot
        for snapshot in seen.snapshots
        if made_by_autostop(snapshot, seen) and snapshot.tags.get(tags.LAUNCHED_AT) == launch
    ]


def _newest(made: Sequence[Snapshot]) -> Sequence[Snapshot] | Unreadable:
    """The members of the newest attempt of the newest cycle that carry their manifest."""
    for snapshot in made:
        for key in (tags.CYCLE, tags.ATTEMPT):
            if tags.number(snapshot.tags, key) is None:
                return _damaged(snapshot, key)
        if _moment(snapshot, tags.LAUNCHED_AT) is None:
            return _damaged(snapshot, tags.LAUNCHED_AT)

    newest = max(map(_age, made))
    # A set that was made twice, because the first answer was lost, has one set that carries the manifest.
    members = [snapshot for snapshot in made if _age(snapshot) == newest and tags.DEVICE in snapshot.tags]
    if not members:
        return Unreadable(f"the snapshots of cycle {newest[0]} do not carry their manifest")
    begun = max(snapshot.started_at for snapshot in members)
    later = next((each for each in made if _age(each) < newest and each.started_at > begun), None)
    return Unreadable(f"{later.id} is of an older cycle and was begun later") if later else members


def _age(snapshot: Snapshot) -> tuple[int, datetime, int]:
    """Grows with each cycle and attempt.

    The launch counts too: a number is used again when its first snapshots were not listed yet at the next stop.
    """
    cycle, attempt = tags.number(snapshot.tags, tags.CYCLE), tags.number(snapshot.tags, tags.ATTEMPT)
    return cycle or 0, _moment(snapshot, tags.LAUNCHED_AT) or _NEVER, attempt or 0


def _why_not_one_set(found: Sequence[Snapshot]) -> str | None:
    """Why the snapshots are not one whole set: the same said on all, one for each device, none missing."""
    cycle = found[0].tags.get(tags.CYCLE)
    for key in (tags.DEVICES, tags.INTENT, tags.STOPPED_AT, tags.WRITTEN_AT):
        if len({snapshot.tags.get(key) for snapshot in found}) > 1:
            return f"the snapshots of cycle {cycle} do not agree in their tag {key}"
    devices = [snapshot.tags[tags.DEVICE] for snapshot in found]
    if len(set(devices)) < len(devices) or len({snapshot.volume for snapshot in found}) < len(found):
        return f"two snapshots of cycle {cycle} are of the same device"
    whole = found[0].tags.get(tags.DEVICES)
    if not whole:
        return f"the snapshots of cycle {cycle} do not say of how many devices they are"
    if tags.device_names(devices) == whole:
        return None
    listed = set(whole.split(" "))
    absent = sorted(listed - {tags.device_names([device]) for device in devices})
    if absent:
        return f"cycle {cycle} is not whole: there is no snapshot of {', '.join(absent)} that carries its manifest"
    return f"the snapshots of cycle {cycle} do not agree in their tag {tags.DEVICES}"


def _manifest(found: Sequence[Snapshot], seen: Observation) -> Manifest | Unreadable:
    first = found[0]
    launched_at, stopped_at = _moment(first, tags.LAUNCHED_AT), _moment(first, tags.STOPPED_AT)
    written_at, intent = _moment(first, tags.WRITTEN_AT), tags.number(first.tags, tags.INTENT)
    cycle, attempt = tags.number(first.tags, tags.CYCLE), tags.number(first.tags, tags.ATTEMPT)
    if launched_at is None or stopped_at is None or stopped_at < launched_at:
        return _damaged(first, tags.STOPPED_AT)
    if written_at is None or intent is None or cycle is None or attempt is None:
        return _damaged(first, tags.INTENT if intent is None else tags.WRITTEN_AT)
    records: list[VolumeRecord] = []
    for snapshot in sorted(found, key=lambda each: each.tags[tags.DEVICE]):
        if snapshot.started_at < stopped_at:
            return Unreadable(f"{snapshot.id} was begun before the instance stopped")
        if snapshot.state not in _USABLE and seen.volume(snapshot.volume) is None:
            return Unreadable(f"{snapshot.id} is {snapshot.state}, and its volume {snapshot.volume} is gone")
        record = _record(snapshot)
        if isinstance(record, Unreadable):
            return record
        if seen.instance is not None and seen.instance.zone and record.zone != seen.instance.zone:
            return _damaged(snapshot, tags.ZONE)
        records.append(record)
    roots = [snapshot for snapshot in found if has_launch(snapshot.tags)]
    launch = launch_from_tags(roots[0].tags[tags.DEVICE], roots[0].tags) if len(roots) == 1 else None
    return Manifest(
        seen.workstation, cycle, attempt, intent, launched_at, stopped_at, written_at, tuple(records), launch
    )


def _record(snapshot: Snapshot) -> VolumeRecord | Unreadable:
    carried = snapshot.tags
    if carried.get(tags.VOLUME) != snapshot.volume:
        return _damaged(snapshot, tags.VOLUME)
    if tags.number(carried, tags.SIZE) != snapshot.size_gib or snapshot.size_gib < 1:
        return _damaged(snapshot, tags.SIZE)
    for key in (tags.TYPE, tags.ZONE):
        if not carried.get(key):
            return _damaged(snapshot, key)
    for key in (tags.IOPS, tags.THROUGHPUT):
        if key in carried and not tags.number(carried, key):
            return _damaged(snapshot, key)
    for key in (tags.ENCRYPTED, tags.DELETE_ON_TERMINATION):
        if carried.get(key) not in ("true", "false"):
            return _damaged(snapshot, key)
    return VolumeRecord(
        device=carried[tags.DEVICE],
        volume=snapshot.volume,
        size_gib=snapshot.size_gib,
        type=carried[tags.TYPE],
        zone=carried[tags.ZONE],
        delete_on_termination=carried[tags.DELETE_ON_TERMINATION] == "true",
        iops=tags.number(carried, tags.IOPS),
        throughput=tags.number(carried, tags.THROUGHPUT),
        encrypted=carried[tags.ENCRYPTED] == "true",
        kms_key=carried.get(tags.KMS_KEY) or None,
        own_tags=tags.own(carried),
        snapshot=snapshot.id,
    )


def _moment(snapshot: Snapshot, key: str) -> datetime | None:
    """The moment in a tag; None when it is missing, damaged or of no zone."""
    try:
        moment = datetime.fromisoformat(snapshot.tags.get(key, ""))
    except ValueError:
        return None
    return moment if moment.tzinfo is not None else None


def _damaged(snapshot: Snapshot, key: str) -> Unreadable:
    return Unreadable(f"the tag {key} of {snapshot.id} is missing or damaged")


def _place_of(volume: Volume, seen: Observation) -> str | None:
    """The device where a volume is attached, or where its own tags say that it belongs; None when nowhere here."""
    if volume.attached_to == seen.workstation:
        return volume.device
    own = tags.is_ours(volume.tags) and volume.tags.get(tags.WORKSTATION) == seen.workstation
    return volume.tags.get(tags.DEVICE) if own and volume.state in _USABLE_VOLUME else None


def _is_in_place(volume: Volume, seen: Observation) -> bool:
    return volume.attached_to == seen.workstation and volume.attachment is AttachmentState.ATTACHED


def _name(manifest: Manifest) -> str:
    return f"the snapshots of cycle {manifest.cycle}"
