"""Shelve a stopped workstation: snapshot its volumes together, wait, detach them, delete them."""

from dataclasses import dataclass, replace
from datetime import datetime

from autostop.model import (
    LISTS_LAG_FOR,
    AttachmentState,
    Instance,
    Observation,
    Snapshot,
    SnapshotState,
    Volume,
    VolumeId,
    VolumeState,
)
from autostop.sleep import law
from autostop.sleep.attempts import MOST_ATTEMPTS, Tried
from autostop.sleep.from_tags import found_again
from autostop.sleep.intent import Intent
from autostop.sleep.leftovers import failed_snapshot
from autostop.sleep.manifest import Manifest, write_manifest
from autostop.sleep.restore import bring_whole
from autostop.sleep.steps import (
    A_MINUTE,
    A_MOMENT,
    SECONDS,
    Blocked,
    CreateSnapshots,
    DeleteVolume,
    DetachVolume,
    Outcome,
    Settled,
    TagSnapshot,
    Wait,
    WriteManifest,
)


@dataclass(frozen=True, slots=True)
class _Stopped:
    """A stopped workstation that may be shelved, and what is known of it."""

    seen: Observation
    instance: Instance
    intent: Intent
    tried: Tried
    now: datetime


def shelve_stopped(
    seen: Observation, instance: Instance, intent: Intent, manifest: Manifest | None, tried: Tried, now: datetime
) -> Outcome:
    """The next step of a stopped workstation that may be shelved. Pure."""
    what = _Stopped(seen, instance, intent, tried, now)
    if (found := found_again(seen, manifest, instance)) is not None:
        # It goes on for this intent: so a start in the console is told from one before it.
        return WriteManifest(replace(found, intent=intent.number), "the table had lost it, its snapshots' tags had not")
    if manifest is None or not manifest.holds_since(instance):
        return _begin_cycle(what, manifest, "a new cycle begins")
    return _go_on(what, manifest)


def _begin_cycle(what: _Stopped, manifest: Manifest | None, why: str) -> Outcome:
    """Begin a cycle, with every volume in its place: what is not attached would be in no snapshot."""
    missing = bring_whole(what.seen, what.instance, manifest, what.tried, what.now)
    if missing is not None:
        return missing
    if not what.seen.attached():
        return Blocked(
            "it has no volume, and the table does not say from which snapshots they could be restored. "
            f"Run `autostop recover {what.seen.workstation}`."
        )
    last = manifest.cycle if manifest is not None else 0
    return WriteManifest(write_manifest(what.seen, what.instance, what.intent.number, what.now, after=last), why)


def _go_on(what: _Stopped, manifest: Manifest) -> Outcome:
    """Go on with the cycle of this stop: snapshot, wait, detach, delete."""
    seen = what.seen
    strangers = [volume for volume in seen.attached() if manifest.record_of(volume.id) is None]
    restored = [
        volume
        for volume in seen.volumes
        if volume.exists and any(manifest.is_restored(volume, record) for record in manifest.volumes)
    ]
    if strangers or restored:
        # Restored and never started, or attached in the console: such a volume has no snapshot of its own.
        return _begin_cycle(what, manifest, "other volumes are attached now: a new cycle begins")
    if any(record.snapshot is None for record in manifest.volumes):
        return _make_snapshots(what, manifest)
    return _await_snapshots(what, manifest) or _remove_volumes(what, manifest)


def _make_snapshots(what: _Stopped, manifest: Manifest) -> Outcome:
    """Find the set by its tags, or make it. A set whose answer was lost is found, not made twice."""
    found: dict[VolumeId, Snapshot] = {}
    # A set that was made twice all the same may have failed once.
    for snapshot in sorted(what.seen.snapshots, key=lambda each: each.state is SnapshotState.ERROR):
        if manifest.made(snapshot):
            found.setdefault(snapshot.volume, snapshot)
    if len(found) == len(manifest.volumes):
        known = {volume: snapshot.id for volume, snapshot in found.items()}
        return WriteManifest(manifest.with_snapshots(known), "its snapshots are known")
    # A set that was found in part was asked for, whoever noted it.
    asked_at = manifest.asked_at or (manifest.written_at if found else None)
    if asked_at is not None and what.now - asked_at < LISTS_LAG_FOR:
        listed = "only some of the snapshots yet" if found else "no snapshots yet that may have been made"
        return Wait(f"EC2 lists {listed}", SECONDS if found else A_MINUTE)
    if found:
        return _try_again(what, manifest, "EC2 lists only some of its snapshots")
    missing = bring_whole(what.seen, what.instance, manifest, what.tried, what.now)
    return missing if missing is not None else CreateSnapshots(manifest)


def _await_snapshots(what: _Stopped, manifest: Manifest) -> Outcome | None:
    """None once the whole set is complete and carries its manifest."""
    pending: list[Snapshot] = []
    asked_at = manifest.asked_at or manifest.written_at
    for record in manifest.volumes:
        snapshot = what.seen.snapshot(record.snapshot)
        if snapshot is None:
            if what.now - asked_at < LISTS_LAG_FOR:
                return Wait("EC2 does not list the snapshots yet", SECONDS)
            return _replace_set(what, manifest, f"the snapshot {record.snapshot} was deleted")
        if snapshot.state not in (SnapshotState.PENDING, SnapshotState.COMPLETED):
            return _replace_set(what, manifest, f"EBS failed the snapshot {snapshot.id}: {snapshot.message}")
        wanted = manifest.snapshot_tags(record)
        if any(snapshot.tags.get(key) != value for key, value in wanted.items()):
            return TagSnapshot(snapshot.id, wanted)
        if snapshot.state is SnapshotState.PENDING:
            pending.append(snapshot)
    if pending:
        percent = min(snapshot.progress for snapshot in pending)
        return Wait(f"snapshots: {percent} %", A_MINUTE)
    return None


def _replace_set(what: _Stopped, manifest: Manifest, why: str) -> Outcome:
    """Make the set again after one of its snapshots was lost."""
    if any(what.seen.volume(record.volume) is None for record in manifest.volumes):
        # Another attempt would forget the snapshots that are the only copy of the volumes deleted already: those
        # are restored first. Blocked there when it is a deleted volume's own snapshot that was lost.
        return _begin_cycle(what, manifest, f"{why}: a new cycle begins")
    return _try_again(what, manifest, why)


def _try_again(what: _Stopped, manifest: Manifest, why: str) -> Outcome:
    if manifest.intent != what.intent.number:
        # What failed for an earlier intent counts no more: this one has all its attempts.
        return _begin_cycle(what, manifest, f"{why}: a new cycle begins")
    if manifest.attempt >= MOST_ATTEMPTS:
        return Blocked(
            f"{why}. {MOST_ATTEMPTS} snapshot sets failed; its volumes stay. Ask for a start or a stop to go on."
        )
    return WriteManifest(manifest.next_attempt(what.now), f"{why}; they are made again")


def _remove_volumes(what: _Stopped, manifest: Manifest) -> Outcome:
    """Detach all, then delete all, each only as long as the law allows it at that moment."""
    seen = what.seen
    remaining = [volume for record in manifest.volumes if (volume := seen.volume(record.volume))]
    for volume in remaining:
        refusal = law.why_not_detach(volume, seen, manifest)
        if refusal:
            return _begin_cycle(what, manifest, f"{refusal}: a new cycle begins")
    # The root first: a start in the console is then refused by EC2, not made with half of the volumes.
    for volume in sorted(remaining, key=lambda each: each.device != what.instance.root_device):
        if volume.attached_to not in (None, seen.workstation):
            return Blocked(f"{volume.id} is attached to {volume.attached_to}. Detach it there, or start this one.")
        if volume.attachment is AttachmentState.ATTACHED and volume.device:
            return DetachVolume(volume.id, volume.device)
    return _delete_volumes(seen, manifest, remaining)


def _delete_volumes(seen: Observation, manifest: Manifest, remaining: list[Volume]) -> Outcome:
    for volume in remaining:
        if volume.attached_to is not None or volume.state is not VolumeState.AVAILABLE:
            return Wait(f"EBS is detaching {volume.id}", A_MOMENT)
        refusal = law.why_not_delete_volume(volume, seen, manifest)
        if refusal:
            return Blocked(f"{refusal}, so the volumes stay. Run `autostop adopt {seen.workstation}` again.")
        record = manifest.record_of(volume.id)
        if record is not None and record.snapshot is not None:
            return DeleteVolume(volume.id, record.snapshot)
    ids = {record.volume for record in manifest.volumes}
    if any(volume.id in ids and volume.state is VolumeState.DELETING for volume in seen.volumes):
        return Wait("EBS is deleting the volumes", SECONDS)
    return failed_snapshot(seen, manifest) or Settled()
