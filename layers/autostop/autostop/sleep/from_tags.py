"""What the tags of volumes and snapshots say of a workstation that the table has lost.

Pure. Tags may be edited, damaged or copied by anybody: whatever does not fit together gives a reason, never a guess.
"""

from collections.abc import Sequence
from datetime import datetime

from autostop import tags
from autostop.model import Instance, Observation, Snapshot, SnapshotState, Volume, VolumeState, instance_of
from autostop.sleep.manifest import Manifest, VolumeRecord

_USABLE = frozenset({SnapshotState.PENDING, SnapshotState.COMPLETED})
_USABLE_VOLUME = frozenset({VolumeState.AVAILABLE, VolumeState.CREATING})


class UnreadableError(Exception):
    """The tags do not say it; the text is the reason, for the owner."""


def devices_only_in_snapshots(seen: Observation) -> Sequence[str]:
    """Devices that a snapshot of this very stop names, and for which no volume is there.

    A workstation without its manifest must not be started or shelved as if they had never been.
    """
    there = {place_of(volume, seen) for volume in seen.volumes}
    named = {snapshot.tags.get(tags.DEVICE, "") for snapshot in _of_last_stop(seen)}
    return sorted(device for device in named if device and device not in there)


def found_again(seen: Observation, manifest: Manifest | None, instance: Instance) -> Manifest | None:
    """The manifest of the last stop, in the tags, when the one of the table is not it; None where there is no such.

    There is one only when the table was lost or came from a backup: a manifest is written before its snapshots.
    """
    if manifest is not None and manifest.holds_since(instance):
        return None
    try:
        return manifest_from_tags(seen)
    except UnreadableError:
        return None


def manifest_from_tags(seen: Observation) -> Manifest:
    """The manifest of the newest cycle, from the tags of its snapshots alone; it does not describe the instance.

    Of an instance that is there: of its last stop, told by the launch time. Of one that is gone: of the last cycle.
    Raises UnreadableError.
    """
    snapshots = _newest(_of_last_stop(seen), seen)
    _check_one_set(snapshots, seen)
    return _manifest(snapshots, seen)


def made_by_autostop(snapshot: Snapshot, seen: Observation) -> bool:
    """True for the snapshots of Autostop's own cycles. A copy that a backup makes of a volume has the volume's tags."""
    of_a_cycle = tags.ATTEMPT in snapshot.tags or tags.LAUNCHED_AT in snapshot.tags
    return of_a_cycle and tags.are_of(snapshot.tags, seen.workstation)


def _of_last_stop(seen: Observation) -> list[Snapshot]:
    """The snapshots of the last stop; of an instance that is gone, of all its cycles."""
    made = [snapshot for snapshot in seen.snapshots if made_by_autostop(snapshot, seen)]
    if seen.instance is None or seen.instance.is_gone:
        return made
    launch = seen.instance.launched_at.isoformat()
    return [snapshot for snapshot in made if snapshot.tags.get(tags.LAUNCHED_AT) == launch]


def _newest(made: Sequence[Snapshot], seen: Observation) -> Sequence[Snapshot]:
    """The members of the newest attempt of the newest cycle that carry their manifest."""
    if not made:
        gone = seen.instance is None or seen.instance.is_gone
        raise UnreadableError(f"no snapshot of {'it' if gone else 'its last stop'} carries Autostop's tags")
    ages = {snapshot.id: _age(snapshot) for snapshot in made}
    newest = max(ages.values())
    # A set that was made twice, because the first answer was lost, has one set that carries the manifest.
    members = [snapshot for snapshot in made if ages[snapshot.id] == newest and tags.DEVICE in snapshot.tags]
    if not members:
        raise UnreadableError(f"the snapshots of cycle {newest[0]} do not carry their manifest")
    begun = max(snapshot.started_at for snapshot in members)
    for snapshot in made:
        if ages[snapshot.id] < newest and snapshot.started_at > begun:
            raise UnreadableError(f"{snapshot.id} is of an older cycle and was begun later")
    return members


def _age(snapshot: Snapshot) -> tuple[int, datetime, int]:
    """Grows with each cycle and attempt.

    The launch counts too: a number is used again when its first snapshots were not listed yet at the next stop.
    """
    cycle, attempt = _number(snapshot, tags.CYCLE), _number(snapshot, tags.ATTEMPT)
    return cycle, _moment(snapshot, tags.LAUNCHED_AT), attempt


def _check_one_set(snapshots: Sequence[Snapshot], seen: Observation) -> None:
    """Raises unless they are one whole set: the same said on all, one for each device, none missing."""
    cycle = snapshots[0].tags.get(tags.CYCLE)
    for key in (tags.DEVICES, tags.INTENT, tags.STOPPED_AT, tags.WRITTEN_AT):
        if len({snapshot.tags.get(key) for snapshot in snapshots}) > 1:
            raise UnreadableError(f"the snapshots of cycle {cycle} do not agree in their tag {key}")
    devices = {snapshot.tags[tags.DEVICE] for snapshot in snapshots}
    if len(devices) < len(snapshots) or len({snapshot.volume for snapshot in snapshots}) < len(snapshots):
        raise UnreadableError(f"two snapshots of cycle {cycle} are of the same device")
    whole = snapshots[0].tags.get(tags.DEVICES)
    if not whole:
        raise UnreadableError(f"the snapshots of cycle {cycle} do not say of how many devices they are")
    absent = sorted(set(whole.split(" ")) - {tags.device_names([device]) for device in devices})
    if absent:
        why = f"there is no snapshot of {', '.join(absent)} that carries its manifest"
        raise UnreadableError(f"cycle {cycle} is not whole: {why}")
    if tags.device_names(devices) != whole:
        raise UnreadableError(f"the snapshots of cycle {cycle} do not agree in their tag {tags.DEVICES}")
    root = seen.instance.root_device if seen.instance is not None else None
    if root and root not in devices:
        raise UnreadableError(f"cycle {cycle} has no snapshot of the root device {root}")


def _manifest(snapshots: Sequence[Snapshot], seen: Observation) -> Manifest:
    first = snapshots[0]
    launched_at, stopped_at = _moment(first, tags.LAUNCHED_AT), _moment(first, tags.STOPPED_AT)
    if stopped_at < launched_at:
        raise _damaged(first, tags.STOPPED_AT)
    for snapshot in snapshots:
        if snapshot.started_at < stopped_at:
            raise UnreadableError(f"{snapshot.id} was begun before the instance stopped")
        if snapshot.state not in _USABLE and seen.volume(snapshot.volume) is None:
            raise UnreadableError(f"{snapshot.id} is {snapshot.state}, and its volume {snapshot.volume} is gone")
        if seen.instance is not None and seen.instance.zone not in ("", snapshot.tags.get(tags.ZONE)):
            raise _damaged(snapshot, tags.ZONE)
    return Manifest(
        workstation=seen.workstation,
        cycle=_number(first, tags.CYCLE),
        attempt=_number(first, tags.ATTEMPT),
        intent=_number(first, tags.INTENT),
        launched_at=launched_at,
        stopped_at=stopped_at,
        written_at=_moment(first, tags.WRITTEN_AT),
        volumes=tuple(sorted(map(_record, snapshots), key=lambda record: record.device)),
    )


def _record(snapshot: Snapshot) -> VolumeRecord:
    carried = snapshot.tags
    if carried.get(tags.VOLUME) != snapshot.volume:
        raise _damaged(snapshot, tags.VOLUME)
    if _number(snapshot, tags.SIZE) != snapshot.size_gib or snapshot.size_gib < 1:
        raise _damaged(snapshot, tags.SIZE)
    for key in (tags.TYPE, tags.ZONE):
        if not carried.get(key):
            raise _damaged(snapshot, key)
    for key in (tags.IOPS, tags.THROUGHPUT):
        if key in carried and not tags.number(carried, key):
            raise _damaged(snapshot, key)
    for key in (tags.ENCRYPTED, tags.DELETE_ON_TERMINATION):
        if carried.get(key) not in ("true", "false"):
            raise _damaged(snapshot, key)
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


def _number(snapshot: Snapshot, key: str) -> int:
    number = tags.number(snapshot.tags, key)
    if number is None:
        raise _damaged(snapshot, key)
    return number


def _moment(snapshot: Snapshot, key: str) -> datetime:
    """The moment in a tag; one of no zone is damaged."""
    try:
        moment = datetime.fromisoformat(snapshot.tags.get(key, ""))
    except ValueError:
        raise _damaged(snapshot, key) from None
    if moment.tzinfo is None:
        raise _damaged(snapshot, key)
    return moment


def _damaged(snapshot: Snapshot, key: str) -> UnreadableError:
    return UnreadableError(f"the tag {key} of {snapshot.id} is missing or damaged")


def place_of(volume: Volume, seen: Observation) -> str | None:
    """The device where a volume is attached, or where its own tags say that it belongs; None when nowhere here."""
    if volume.attached_to == instance_of(seen.workstation):
        return volume.device
    own = tags.are_of(volume.tags, seen.workstation)
    return volume.tags.get(tags.DEVICE) if own and volume.state in _USABLE_VOLUME else None
