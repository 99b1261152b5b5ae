"""What carries Autostop's tags and belongs to no workstation any more, with its price and how sure that is.

Pure. Only what holds nothing that is not elsewhere may be deleted by the command. All else that looks left over is told
with a warning, and deleting it is for the owner alone.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from autostop import tags
from autostop.cost import cost_now
from autostop.model import Observation, Snapshot, SnapshotState, Volume, VolumeState, WorkstationId
from autostop.sleep import law
from autostop.sleep.from_tags import UnreadableError, made_by_autostop, manifest_from_tags
from autostop.sleep.manifest import Manifest

# The latest complete set, and the one before: no start has shown yet that the latest is good.
_KEPT_CYCLES = 2
_FAILED = "EBS failed it; it holds nothing"


class Kind(StrEnum):
    """What can be left over."""

    VOLUME = "volume"
    SNAPSHOT = "snapshot"
    IMAGE = "image"


@dataclass(frozen=True, slots=True)
class Orphan:
    """One thing that is left over.

    cost: USD a month at most. why: what speaks for it. precious: it may be the only copy of somebody's data, so the
    command never deletes it.
    """

    kind: Kind
    id: str
    workstation: WorkstationId
    cost: float
    why: str
    precious: bool = False


@dataclass(frozen=True, slots=True)
class Standing:
    """What the table knows of a workstation. at_rest: nothing is under way. ready: it was seen to work."""

    manifest: Manifest | None
    at_rest: bool
    ready: bool


def find_orphans(seen: Observation, standing: Standing, images: Mapping[str, str]) -> list[Orphan]:
    """What is left over of one workstation, or of one that is gone. images: those tagged with it, names by id."""
    if seen.instance is None or seen.instance.is_gone:
        found = [*_volumes_of_gone(seen), *_snapshots_of_gone(seen)]
    elif not tags.is_ours(seen.instance.tags):
        found = [*_of_unadopted(seen)]
    elif standing.at_rest:
        found = [*_volumes(seen, standing), *_snapshots(seen, standing)]
    else:
        return []
    why = "left by a recovery. Its snapshots are not touched"
    return [*found, *(Orphan(Kind.IMAGE, id_, seen.workstation, 0.0, f"{name}: {why}") for id_, name in images.items())]


def _volumes_of_gone(seen: Observation) -> Iterator[Orphan]:
    why = "its workstation is gone. It may hold what is in no snapshot"
    for volume in _loose_volumes(seen):
        yield _failed(volume, seen) or _orphan(volume, seen, why, precious=True)


def _snapshots_of_gone(seen: Observation) -> Iterator[Orphan]:
    manifest = _last_whole_set(seen)
    for snapshot in _own_snapshots(seen):
        if failed := _failed(snapshot, seen):
            yield failed
        elif manifest is None:
            why = "its workstation is gone, and no set of all its disks is whole: it may be the only copy"
            yield _orphan(snapshot, seen, why, precious=True)
        elif any(record.snapshot == snapshot.id for record in manifest.volumes):
            why = f"its workstation is gone, and this is its last shelving: `autostop recover {seen.workstation}`"
            yield _orphan(snapshot, seen, why, precious=True)
        elif _is_replaced(snapshot, seen, manifest):
            why = f"its workstation is gone, and cycle {manifest.cycle} is later, whole and complete"
            yield _orphan(snapshot, seen, why)
        else:
            why = f"its workstation is gone, and nothing has shown that cycle {manifest.cycle} starts without it"
            yield _orphan(snapshot, seen, why, precious=True)


def _last_whole_set(seen: Observation) -> Manifest | None:
    """Of the last cycle; None unless all its snapshots are there and complete."""
    try:
        manifest = manifest_from_tags(seen)
    except UnreadableError:
        return None
    snapshots = [seen.snapshot(record.snapshot) for record in manifest.volumes]
    complete = all(each is not None and each.state is SnapshotState.COMPLETED for each in snapshots)
    return manifest if complete else None


def _is_replaced(snapshot: Snapshot, seen: Observation, manifest: Manifest) -> bool:
    """True for a cycle older than the last two, of a device that the last one has too."""
    cycles = sorted({each.cycle for each in _own_snapshots(seen) if each.cycle is not None}, reverse=True)
    known = {record.device for record in manifest.volumes}
    return (
        snapshot.cycle is not None
        and snapshot.cycle not in cycles[:_KEPT_CYCLES]
        and snapshot.cycle < manifest.cycle
        and snapshot.tags.get(tags.DEVICE) in known
    )


def _of_unadopted(seen: Observation) -> Iterator[Orphan]:
    why = f"{seen.workstation} is there and does not carry the tag `autostop = on` any more"
    things: list[Volume | Snapshot] = [*_loose_volumes(seen), *_own_snapshots(seen)]
    for thing in things:
        yield _failed(thing, seen) or _orphan(thing, seen, why, precious=True)


def _volumes(seen: Observation, standing: Standing) -> Iterator[Orphan]:
    manifest = standing.manifest
    for volume in _loose_volumes(seen):
        if volume.state is VolumeState.ERROR:
            failed = _failed(volume, seen)
            if failed and manifest and law.why_not_delete_failed_volume(volume, seen, manifest) is None:
                yield failed
            continue
        record = manifest.record_of(volume.id) if manifest else None
        if record is not None and manifest and seen.instance and manifest.holds_since(seen.instance):
            continue  # the next start attaches it
        copied = _copied_from(volume, seen, manifest)
        if copied:
            why = f"a second copy: another one from {copied} is attached in its place, and {copied} is still there"
            yield _orphan(volume, seen, why)
        elif seen.at_device(volume.tags.get(tags.DEVICE, "")) is not None:
            yield _orphan(volume, seen, "another volume is attached in its place. It may hold data", precious=True)


def _copied_from(volume: Volume, seen: Observation, manifest: Manifest | None) -> str | None:
    """The snapshot that a detached volume is a second copy of; None when it is not, or nobody knows."""
    for record in manifest.volumes if manifest else ():
        attached, snapshot = seen.at_device(record.device), seen.snapshot(record.snapshot)
        if attached is None or snapshot is None or snapshot.state is not SnapshotState.COMPLETED or not manifest:
            continue
        if manifest.is_restored(volume, record) and manifest.is_restored(attached, record):
            return snapshot.id
    return None


def _snapshots(seen: Observation, standing: Standing) -> Iterator[Orphan]:
    manifest = standing.manifest
    for snapshot in _own_snapshots(seen):
        if law.why_not_delete_failed_snapshot(snapshot, seen, manifest) is None:
            yield _orphan(snapshot, seen, _FAILED)
        elif standing.ready and manifest and law.why_not_delete_snapshot(snapshot, seen, manifest) is None:
            yield _orphan(snapshot, seen, f"replaced by cycle {manifest.cycle}, from which it was seen to start")


def _loose_volumes(seen: Observation) -> Iterator[Volume]:
    """Volumes with this workstation's tags that are attached to nothing."""
    for volume in seen.volumes:
        own = tags.are_of(volume.tags, seen.workstation)
        loose = volume.attached_to is None and volume.state in (VolumeState.AVAILABLE, VolumeState.ERROR)
        if own and loose:
            yield volume


def _own_snapshots(seen: Observation) -> list[Snapshot]:
    return [each for each in seen.snapshots if made_by_autostop(each, seen)]


def _failed(thing: Volume | Snapshot, seen: Observation) -> Orphan | None:
    """What EBS failed to make: a snapshot, or a restored volume, whose snapshot is where it was."""
    if isinstance(thing, Snapshot):
        return _orphan(thing, seen, _FAILED) if thing.state is SnapshotState.ERROR else None
    if thing.state is not VolumeState.ERROR or thing.snapshot is None:
        return None
    return _orphan(thing, seen, f"EBS could not make it from {thing.snapshot}; it holds nothing")


def _orphan(thing: Volume | Snapshot, seen: Observation, why: str, *, precious: bool = False) -> Orphan:
    if isinstance(thing, Volume):
        return Orphan(Kind.VOLUME, thing.id, seen.workstation, cost_now([thing], []), why, precious)
    return Orphan(Kind.SNAPSHOT, thing.id, seen.workstation, cost_now([], [thing]), why, precious)
