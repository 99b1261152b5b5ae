"""The law: what must never happen, each rule asked again before every step that could break it.

Each question is answered with the reason for "no", or None for "yes". Pure.

One deletion stands outside: `autostop uninstall --delete-data` asks for its owner's word, the typed name, and for no
snapshot.
"""

from collections.abc import Collection, Mapping

from autostop import tags
from autostop.model import (
    InstanceState,
    Observation,
    Snapshot,
    SnapshotId,
    SnapshotState,
    Volume,
    VolumeId,
    VolumeState,
)
from autostop.sleep.manifest import Manifest, VolumeRecord


def why_not_delete_volume(volume: Volume, seen: Observation, manifest: Manifest) -> str | None:
    """Why this volume must stay. Its data must be in a complete snapshot, and nothing may have written since."""
    if not _is_of_this_workstation(volume, seen):
        return f"{volume.id} does not carry this workstation's tags"
    if volume.state is not VolumeState.AVAILABLE or volume.attached_to is not None:
        return f"{volume.id} is not detached, so something could still write to it"
    return why_not_detach(volume, seen, manifest)


def why_not_detach(volume: Volume, seen: Observation, manifest: Manifest) -> str | None:
    """Why a volume should not even be detached: all that deleting it would need, but being detached."""
    if seen.instance is None or seen.instance.state is not InstanceState.STOPPED:
        return "the instance is not stopped"
    if not manifest.holds_since(seen.instance):
        return "the instance was started since the snapshots were made"
    record = manifest.record_of(volume.id)
    if record is None:
        return f"{volume.id} is not in the manifest"
    if not record.describes(volume):
        return f"{volume.id} was changed since the manifest was written"
    return why_not_restorable(record, seen, manifest)


def why_not_restorable(record: VolumeRecord, seen: Observation, manifest: Manifest) -> str | None:
    """Why a record's data could not be had back from its snapshot, or not without the table."""
    snapshot = seen.snapshot(record.snapshot)
    if snapshot is None:
        return f"the snapshot of {record.device} is not there"
    if snapshot.volume != record.volume:
        return f"{snapshot.id} is not a snapshot of {record.volume}"
    if snapshot.state is not SnapshotState.COMPLETED:
        return f"{snapshot.id} is {snapshot.state}, not completed"
    if snapshot.archived:
        return f"{snapshot.id} is archived"
    # Both moments are by AWS's clock. That the set was asked for only after the stop was *seen* is told by the
    # cycle and attempt in its tags: their manifest is written only for a stopped instance with this launch time.
    if snapshot.started_at < manifest.stopped_at:
        return f"{snapshot.id} was begun before the instance stopped"
    if any(snapshot.tags.get(key) != value for key, value in manifest.snapshot_tags(record).items()):
        return f"{snapshot.id} does not carry its manifest yet"
    return None


def why_not_delete_snapshot(snapshot: Snapshot, seen: Observation, manifest: Manifest) -> str | None:
    """Why this snapshot must stay: only a start that was seen to work from a later, complete cycle replaces it.

    The caller has seen the workstation ready; this looks at what it was started from: volumes that were restored from
    that cycle, or the very ones that it was made of, whose content at the start was the same.
    """
    if not _was_made_by_a_cycle(snapshot, seen):
        return f"{snapshot.id} does not carry this workstation's tags"
    if snapshot.cycle is None or snapshot.cycle > manifest.cycle:
        return f"{snapshot.id} is not older than cycle {manifest.cycle}"
    if snapshot.cycle == manifest.cycle and not _is_a_double(snapshot, manifest):
        return f"{snapshot.id} is what cycle {manifest.cycle} restores from"
    # A device that the later cycle does not cover (its volume was taken away) has its latest data here. Where the tag
    # could not be written, the volume tells which it is.
    device, devices = snapshot.tags.get(tags.DEVICE), {record.device for record in manifest.volumes}
    if device not in devices if device is not None else manifest.record_of(snapshot.volume) is None:
        return f"{snapshot.id} is of a device that cycle {manifest.cycle} does not have"
    if seen.instance is None or seen.instance.state is not InstanceState.RUNNING:
        return "the instance is not running"
    for record in manifest.volumes:
        later = seen.snapshot(record.snapshot)
        if later is None or later.state is not SnapshotState.COMPLETED:
            return f"cycle {manifest.cycle} is not complete"
        if later.cycle != manifest.cycle:
            return f"{later.id} does not carry the tags of cycle {manifest.cycle} any more"
        attached = seen.at_device(record.device)
        if attached is None or not (attached.id == record.volume or manifest.is_restored(attached, record)):
            return f"the instance was not started from cycle {manifest.cycle}"
    return None


def why_not_delete_failed_snapshot(snapshot: Snapshot, seen: Observation, manifest: Manifest | None) -> str | None:
    """Why this snapshot must stay: only one that EBS could not make goes, once nothing waits for it any more."""
    if not _was_made_by_a_cycle(snapshot, seen):
        return f"{snapshot.id} does not carry this workstation's tags"
    if snapshot.state is not SnapshotState.ERROR:
        return f"{snapshot.id} is {snapshot.state}, it has not failed"
    holds = manifest is not None and seen.instance is not None and manifest.holds_since(seen.instance)
    named = manifest.volumes if manifest is not None and holds else ()
    if any(record.snapshot == snapshot.id for record in named):
        return f"the manifest names {snapshot.id}"
    return None


def why_not_delete_failed_volume(volume: Volume, seen: Observation, manifest: Manifest) -> str | None:
    """Why this volume must stay: only one that EBS could not restore goes, while its snapshot is there to be used.

    The instance must not have been started since its volumes were written down: until then nothing was written to what
    was restored, so that a volume in `error` holds nothing, whatever became of it.
    """
    if not _is_of_this_workstation(volume, seen):
        return f"{volume.id} does not carry this workstation's tags"
    if volume.state is not VolumeState.ERROR:
        return f"{volume.id} is {volume.state}, it has not failed"
    if volume.attached_to is not None:
        return f"{volume.id} is attached to {volume.attached_to}"
    if seen.instance is None or not manifest.holds_since(seen.instance):
        return "the instance was started since the snapshots were made"
    record = next((each for each in manifest.volumes if manifest.is_restored(volume, each)), None)
    if record is None:
        return f"{volume.id} was not restored from cycle {manifest.cycle}"
    snapshot = seen.snapshot(record.snapshot)
    if snapshot is None or snapshot.state is not SnapshotState.COMPLETED:
        return f"the snapshot of {record.device} is not there to restore it again"
    return None


def why_not_delete_double(
    volume: Volume, seen: Observation, manifest: Manifest, started_with: Collection[VolumeId]
) -> str | None:
    """Why this volume must stay: only a second copy goes, while the first is in its place since our own start.

    started_with: the volumes that were in their places when the first start since the manifest was asked for, by
    Autostop; none after any other start. The caller bounds the time: EBS does not tell whether a person has attached
    the copy elsewhere meanwhile.
    """
    if not _is_of_this_workstation(volume, seen):
        return f"{volume.id} does not carry this workstation's tags"
    if not is_detached(volume, seen):
        return f"{volume.id} is not detached"
    record = next((each for each in manifest.volumes if manifest.is_restored(volume, each)), None)
    if record is None:
        return f"{volume.id} was not restored from cycle {manifest.cycle}"
    if seen.instance is None or seen.instance.state is not InstanceState.RUNNING:
        return "the instance is not running"
    first = seen.at_device(record.device)
    if first is None or not manifest.is_restored(first, record) or first.id not in started_with:
        return f"{record.device} was not started from another copy"
    if volume.id in started_with:
        return f"{volume.id} was in its place at the start, and holds what was written since"
    snapshot = seen.snapshot(record.snapshot)
    if snapshot is None or snapshot.state is not SnapshotState.COMPLETED:
        return f"the snapshot of {record.device} is not there"
    return None


def why_not_create_volume(record: VolumeRecord, seen: Observation, manifest: Manifest) -> str | None:
    """Why a volume must not be made from a record: only from its own complete snapshot, and only when it is gone."""
    if seen.volume(record.volume) is not None:
        return f"{record.volume} itself still exists"
    snapshot = seen.snapshot(record.snapshot)
    if snapshot is None:
        others = [each.id for each in seen.snapshots if each.tags.get(tags.DEVICE) == record.device]
        kept = f" Others of it are kept ({', '.join(others)}), but none is taken by guess." if others else ""
        return f"the snapshot {record.snapshot or ''} of {record.device} is gone. Look in the Recycle Bin of EBS.{kept}"
    if snapshot.volume != record.volume or snapshot.cycle != manifest.cycle:
        return f"{snapshot.id} is not the snapshot of {record.device} in cycle {manifest.cycle}"
    if snapshot.state is not SnapshotState.COMPLETED:
        return f"the snapshot {snapshot.id} of {record.device} is {snapshot.state}"
    if snapshot.archived:
        return (
            f"the snapshot {snapshot.id} of {record.device} is archived. Restore it from the archive in the console, "
            "which takes up to three days, then ask for a start."
        )
    return None


def what_is_lost(restores_from: Collection[SnapshotId], listed: Mapping[SnapshotId, Snapshot]) -> str:
    """What is wrong with the snapshots that a workstation sleeps in, in words; "" when nothing is.

    listed: those that EC2 lists, the archived and the unfinished among them.
    """
    gone = [each for each in restores_from if each not in listed]
    archived = [each for each in restores_from if each in listed and listed[each].archived]
    parts = []
    if gone:
        parts.append(
            f"{', '.join(gone)}, which it sleeps in, was deleted. Restore it from the Recycle Bin of EBS today: it "
            "keeps snapshots only where a rule says so, and only for its days."
        )
    if archived:
        parts.append(
            f"{', '.join(archived)}, which it sleeps in, was archived: no start can use it. Restore it from the "
            "archive, which takes up to three days."
        )
    return " ".join(parts)


def why_not_attach(volume: Volume, seen: Observation) -> str | None:
    """Why a detached volume must be left where it is: only what carries our tags is touched."""
    if not _is_of_this_workstation(volume, seen):
        return (
            f"{volume.id} does not carry this workstation's tags any more. Attach it yourself, then run "
            f"`autostop adopt {seen.workstation}` again."
        )
    return None


def why_not_start(seen: Observation, manifest: Manifest | None) -> str | None:
    """Why the instance must not be started: every volume must be in its place, and no other in its stead."""
    if seen.instance is None or seen.instance.state is not InstanceState.STOPPED:
        return "the instance is not stopped"
    if seen.at_device(seen.instance.root_device) is None:
        return f"there is no volume at its root device {seen.instance.root_device}"
    if manifest is None or not manifest.holds_since(seen.instance):
        return None
    for record in manifest.volumes:
        volume = seen.at_device(record.device)
        if volume is None:
            return f"there is no volume at {record.device}"
        if volume.id != record.volume and not manifest.is_restored(volume, record):
            return f"{volume.id} at {record.device} is not what was there before"
    return None


def is_replaceable(snapshot: Snapshot, seen: Observation, manifest: Manifest) -> bool:
    """True for a snapshot of an older cycle, and for a double: a start that works makes it needless."""
    if not _was_made_by_a_cycle(snapshot, seen) or snapshot.cycle is None:
        return False
    return snapshot.cycle < manifest.cycle or _is_a_double(snapshot, manifest)


def is_detached(volume: Volume, seen: Observation) -> bool:
    """True for a volume of this workstation that is attached to nothing."""
    loose = volume.state is VolumeState.AVAILABLE and volume.attached_to is None
    return loose and _is_of_this_workstation(volume, seen)


def _was_made_by_a_cycle(snapshot: Snapshot, seen: Observation) -> bool:
    """True for our own snapshots. A backup that copies a volume's tags copies ours too, but no volume has these."""
    return _is_of_this_workstation(snapshot, seen) and tags.LAUNCHED_AT in snapshot.tags


def _is_a_double(snapshot: Snapshot, manifest: Manifest) -> bool:
    """True for another snapshot of the same stop: of an attempt that failed, or made twice as an answer was lost."""
    record = manifest.record_of(snapshot.volume)
    return (
        record is not None
        and record.snapshot not in (None, snapshot.id)
        and snapshot.tags.get(tags.LAUNCHED_AT) == manifest.launched_at.isoformat()
    )


def _is_of_this_workstation(thing: Volume | Snapshot, seen: Observation) -> bool:
    return tags.are_of(thing.tags, seen.workstation)
