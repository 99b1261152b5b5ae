"""The set of snapshots of a cycle: asked for once, waited for, its manifest written on it, made again if it failed."""

from datetime import datetime

from autostop.model import LISTS_LAG_FOR, Snapshot, SnapshotState, VolumeId
from autostop.sleep.calls import Call
from autostop.sleep.manifest import Manifest
from autostop.sleep.new_cycle import begin_cycle
from autostop.sleep.outcomes import (
    A_MINUTE,
    MOST_ATTEMPTS,
    SECONDS,
    Blocked,
    Note,
    Outcome,
    Situation,
    Step,
    Wait,
    write_down,
)
from autostop.sleep.restore import whole


def snapshots_asked_for(it: Situation) -> Outcome | None:
    """Find the set by its tags, or make it. A set whose answer was lost is found, not made twice."""
    manifest = it.this_cycle
    if all(record.snapshot is not None for record in manifest.volumes):
        return None
    listed: dict[VolumeId, Snapshot] = {}
    # A set that was made twice all the same may have failed once.
    for snapshot in sorted(it.seen.snapshots, key=lambda each: each.state is SnapshotState.ERROR):
        if manifest.made(snapshot):
            listed.setdefault(snapshot.volume, snapshot)
    if len(listed) == len(manifest.volumes):
        known = {volume: snapshot.id for volume, snapshot in listed.items()}
        return write_down(manifest.with_snapshots(known), "its snapshots are known")
    # A set that is listed in part was asked for, whoever noted it.
    asked_at = manifest.asked_at or (manifest.written_at if listed else None)
    if asked_at is not None and it.now - asked_at < LISTS_LAG_FOR:
        what = "only some of the snapshots yet" if listed else "no snapshots yet that may have been made"
        return Wait(f"EC2 lists {what}", SECONDS if listed else A_MINUTE, gets_on=False)
    if listed:
        return _try_again(it, manifest, "EC2 lists only some of its snapshots")
    return whole(it) or _create_snapshots(manifest, it.now)


def _create_snapshots(manifest: Manifest, now: datetime) -> Step:
    # Noted before the call: a set whose answer is lost may be listed late, and must not be made twice meanwhile.
    asking = manifest.asking(now)
    return Step(
        f"cycle {manifest.cycle}: began {len(manifest.volumes)} snapshots",
        Call.CREATE_SNAPSHOTS,
        (manifest,),
        first=Note(manifest=asking),
        then=lambda known: Note(
            manifest=asking.with_snapshots(known), said=f"cycle {manifest.cycle}: began {len(known)} snapshots"
        ),
        refused=lambda _: Note(manifest=manifest.asking(None)),
    )


def snapshots_complete(it: Situation) -> Outcome | None:
    """Wait for the whole set, and write its manifest on it."""
    manifest = it.this_cycle
    pending: list[Snapshot] = []
    asked_at = manifest.asked_at or manifest.written_at
    for record in manifest.volumes:
        snapshot = it.seen.snapshot(record.snapshot)
        if snapshot is None:
            if it.now - asked_at < LISTS_LAG_FOR:
                return Wait("EC2 does not list the snapshots yet", SECONDS)
            return _replace_set(it, manifest, f"the snapshot {record.snapshot} was deleted")
        if snapshot.state not in (SnapshotState.PENDING, SnapshotState.COMPLETED):
            return _replace_set(it, manifest, f"EBS failed the snapshot {snapshot.id}: {snapshot.message}")
        wanted = manifest.snapshot_tags(record)
        if any(snapshot.tags.get(key) != value for key, value in wanted.items()):
            said = f"wrote the manifest of {record.device} on {snapshot.id}"
            return Step(said, Call.TAG_SNAPSHOT, (snapshot.id, wanted))
        if snapshot.state is SnapshotState.PENDING:
            pending.append(snapshot)
    percent = min((snapshot.progress for snapshot in pending), default=100)
    return Wait(f"snapshots: {percent} %", A_MINUTE) if pending else None


def _replace_set(it: Situation, manifest: Manifest, why: str) -> Outcome:
    """Make the set again after one of its snapshots was lost."""
    if any(it.seen.volume(record.volume) is None for record in manifest.volumes):
        # Another attempt would forget the snapshots that are the only copy of the volumes deleted already: those
        # are restored first. Blocked there when it is a deleted volume's own snapshot that was lost.
        return begin_cycle(it, f"{why}: a new cycle begins")
    return _try_again(it, manifest, why)


def _try_again(it: Situation, manifest: Manifest, why: str) -> Outcome:
    if manifest.intent != it.intent.number:
        # What failed for an earlier intent counts no more: this one has all its attempts.
        return begin_cycle(it, f"{why}: a new cycle begins")
    if manifest.attempt >= MOST_ATTEMPTS:
        return Blocked(
            f"{why}. {MOST_ATTEMPTS} snapshot sets failed; its volumes stay. Ask for a start or a stop to go on."
        )
    return write_down(manifest.next_attempt(it.now, it.instance), f"{why}; they are made again")
