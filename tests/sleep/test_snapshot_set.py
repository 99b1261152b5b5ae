"""The snapshots of a cycle: asked for once, waited for, made again when they fail."""

from dataclasses import replace

import pytest

from autostop.model import LISTS_LAG_FOR, SnapshotId, SnapshotState, VolumeId
from autostop.sleep.intent import Wanted
from autostop.sleep.outcomes import Blocked, Wait, write_down
from tests.build import (
    DATA,
    LAUNCHED,
    NOW,
    ROOT,
    detached,
    manifest,
    record,
    seen,
    snapshot,
    snapshots,
    unknown_snapshots,
)
from tests.sleep.expect import (
    ATTACHING,
    ORIGINALS,
    OUTDATED,
    SECOND,
    VOL_DATA,
    Case,
    NewSet,
    Says,
    attach_volume,
    both_detached,
    create_snapshots,
    create_volume,
    data,
    marked,
    new_cycle,
    root,
    row,
    tag_snapshot,
)

THIRD = manifest(attempt=3)
EARLIER = manifest(attempt=3, intent=0)
JUST_WRITTEN = manifest(written_at=NOW - LISTS_LAG_FOR + SECOND)
LONG_AGO = NOW - LISTS_LAG_FOR


def next_attempt(attempt: int) -> NewSet:
    """Another attempt at the snapshots of the same cycle."""
    return NewSet(1, attempt)


@pytest.mark.parametrize("case", [
    row("manifest written: snapshots of all", seen(), create_snapshots(unknown_snapshots()), unknown_snapshots()),
    row("an own volume was detached before the snapshots", seen(volumes=(root(), detached(data()))),
        attach_volume(VOL_DATA, DATA), unknown_snapshots()),
    row("a volume is on its way, manifest written", seen(volumes=(root(), data(attachment=ATTACHING))),
        Says(Wait, "attaching"), unknown_snapshots()),
    row("the answer was lost: the set is found by its tags",
        seen(snapshots=snapshots(unknown_snapshots(), state=SnapshotState.PENDING)),
        write_down(manifest(), "its snapshots are known"), unknown_snapshots()),
    row("snapshots of another attempt are not this set", seen(snapshots=snapshots()),
        create_snapshots(unknown_snapshots(attempt=2)), unknown_snapshots(attempt=2)),
    row("snapshots of another cycle are not this set", seen(snapshots=snapshots()),
        create_snapshots(unknown_snapshots(cycle=2)), unknown_snapshots(cycle=2)),
    row("snapshots of an earlier launch with the same number are not this set", seen(snapshots=snapshots(OUTDATED)),
        create_snapshots(unknown_snapshots()), unknown_snapshots()),
    row("snapshots of other volumes are not this set",
        seen(snapshots=(snapshot(ROOT, volume=VolumeId("vol-x")), snapshot(DATA, volume=VolumeId("vol-y")))),
        create_snapshots(unknown_snapshots()), unknown_snapshots()),
    row("partly listed, just before the lists must be right", seen(snapshots=(snapshot(ROOT),)),
        Says(Wait, "only some"), unknown_snapshots(written_at=NOW - LISTS_LAG_FOR + SECOND)),
    row("partly listed, asked for long after it was written down", seen(snapshots=(snapshot(ROOT),)),
        Says(Wait, "only some"), unknown_snapshots(written_at=LAUNCHED, asked_at=NOW - LISTS_LAG_FOR + SECOND)),
    row("asked for, none listed, just before the lists must be right", seen(),
        Says(Wait, "no snapshots yet that may have been made"),
        unknown_snapshots(asked_at=NOW - LISTS_LAG_FOR + SECOND)),
    row("asked for, none listed for too long: again", seen(),
        create_snapshots(unknown_snapshots(asked_at=NOW - LISTS_LAG_FOR)),
        unknown_snapshots(asked_at=NOW - LISTS_LAG_FOR)),
    row("listed twice, one of them failed: the other",
        seen(snapshots=(snapshot(ROOT), snapshot(DATA, id=SnapshotId("snap-x"), state=SnapshotState.ERROR),
                snapshot(DATA))), write_down(manifest(), "its snapshots are known"), unknown_snapshots()),
    row("partly listed for too long: again", seen(snapshots=(snapshot(ROOT),)), next_attempt(2),
        unknown_snapshots(written_at=NOW - LISTS_LAG_FOR)),
    row("known but not listed, just before the lists must be right", seen(snapshots=(snapshot(ROOT, of=JUST_WRITTEN),)),
        Says(Wait, "does not list"), JUST_WRITTEN),
    row("known but not listed, asked for long after it was written down", seen(snapshots=(snapshot(ROOT),)),
        Says(Wait, "does not list"), manifest(asked_at=NOW - LISTS_LAG_FOR + SECOND)),
    row("known and gone: again", seen(snapshots=(snapshot(ROOT),)), next_attempt(2), manifest(asked_at=LONG_AGO)),
    row("pending, its manifest not on it yet",
        seen(snapshots=(snapshot(ROOT, state=SnapshotState.PENDING, tags=manifest().set_tags()), snapshot(DATA))),
        tag_snapshot(SnapshotId("snap-root"), manifest().snapshot_tags(record(ROOT))), manifest()),
    row("complete, its manifest not on it yet",
        seen(snapshots=(snapshot(ROOT), snapshot(DATA, tags=manifest().set_tags()))),
        tag_snapshot(SnapshotId("snap-data"), manifest().snapshot_tags(record(DATA))), manifest()),
    row("pending: waits, and shows the slowest",
        seen(snapshots=(snapshot(ROOT, state=SnapshotState.PENDING, progress=80),
                marked(SnapshotState.PENDING, progress=12)[1])), Says(Wait, "snapshots: 12 %"), manifest()),
    row("one is pending", seen(snapshots=marked(SnapshotState.PENDING, progress=99)), Says(Wait, "99 %"), manifest()),
    row("error at attempt 1", seen(snapshots=marked(SnapshotState.ERROR)), next_attempt(2), manifest()),
    row("error at attempt 2",
        seen(snapshots=(snapshot(ROOT, of=manifest(attempt=2)),
                snapshot(DATA, of=manifest(attempt=2), state=SnapshotState.ERROR))), next_attempt(3),
        manifest(attempt=2)),
    row("error at attempt 3: blocked, in EBS's words",
        seen(snapshots=(snapshot(ROOT, of=THIRD),
                snapshot(DATA, of=THIRD, state=SnapshotState.ERROR, message="KMS says no"))),
        Says(Blocked, "KMS says no"), THIRD),
    row("the third set failed for an earlier intent: a new cycle",
        seen(snapshots=(snapshot(ROOT, of=EARLIER), snapshot(DATA, of=EARLIER, state=SnapshotState.ERROR))),
        new_cycle(2, ORIGINALS), EARLIER),
    row("its snapshots were deleted too: a number that was never there", seen(), new_cycle(2, ORIGINALS),
        replace(EARLIER, written_at=LONG_AGO)),
    row("in the Recycle Bin", seen(snapshots=marked(SnapshotState.RECOVERABLE)), next_attempt(2), manifest()),
    row("coming from the Recycle Bin", seen(snapshots=marked(SnapshotState.RECOVERING)), next_attempt(2), manifest()),
    row("a snapshot was deleted while the volumes stood detached: again, all together",
        seen(volumes=both_detached(), snapshots=(snapshot(ROOT),)), next_attempt(2), manifest()),
    row("and before that set everything is attached again", seen(volumes=both_detached(), snapshots=(snapshot(ROOT),)),
        attach_volume(VOL_DATA, DATA), unknown_snapshots(attempt=2)),
    row("half deleted, the snapshot of what is left was lost: what is gone is restored first",
        seen(volumes=(detached(data()),), snapshots=(snapshot(ROOT),)), create_volume(manifest(), record(ROOT)),
        manifest()),
    row("half deleted, the snapshot of what is gone was lost",
        seen(volumes=(detached(data()),), snapshots=(snapshot(DATA),)), Says(Blocked, "snap-root of /dev/xvda is gone"),
        manifest()),
    row("all deleted, a snapshot was lost", seen(volumes=(), snapshots=(snapshot(ROOT),)), Says(Blocked, "Recycle Bin"),
        manifest()),
    row("all deleted, a snapshot was lost, and one of another cycle is there",
        seen(volumes=(), snapshots=(snapshot(ROOT), snapshot(DATA, manifest(cycle=7), id=SnapshotId("snap-other")))),
        Says(Blocked, "Others of it are kept (snap-other), but none is taken by guess"), manifest()),
])  # fmt: skip
def test_toward_shelve(case: Case) -> None:
    case.check(Wanted.SHELVE)
