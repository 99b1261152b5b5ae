"""The volumes of a complete cycle: detached, kept for as long as wanted, then deleted."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from autostop.model import Observation, SnapshotId, SnapshotState, VolumeState
from autostop.sleep.intent import Wanted
from autostop.sleep.next_step import next_step
from autostop.sleep.outcomes import Blocked, Settled, Step, Wait
from tests.build import (
    DATA,
    LAUNCHED,
    NOW,
    ROOT,
    STOPPED,
    both,
    detached,
    gone,
    intent,
    manifest,
    minutes,
    record,
    seen,
    snapshot,
    snapshots,
)
from tests.sleep.expect import (
    DETACHING,
    ELSEWHERE,
    IN_USE,
    ORIGINALS,
    SECOND,
    VOL_DATA,
    VOL_ROOT,
    Case,
    Says,
    attach_volume,
    both_detached,
    create_volume,
    data,
    delete_volume,
    detach_volume,
    held,
    new_cycle,
    root,
    row,
    with_set,
)

FAILED = snapshot(DATA, id=SnapshotId("snap-failed"), state=SnapshotState.ERROR)


def kept(for_: timedelta | None, *volumes: Any, intent: int = 1) -> Observation:
    """Its owner wants the volumes kept for so long once they are detached. intent: for which they were snapshotted."""
    return seen(volumes=volumes, snapshots=snapshots(manifest(intent=intent)), delete_after=for_)


DAY = timedelta(days=1)
DETACHED_NOW = manifest(detached_at=NOW)
HALF_AN_HOUR = minutes(30)
OF_BEFORE = manifest(detached_at=NOW - 8 * DAY, intent=7)


@pytest.mark.parametrize("case", [
    row("a snapshot is older than the stop: a new cycle",
        seen(snapshots=(snapshot(ROOT), snapshot(DATA, started_at=STOPPED - SECOND))), new_cycle(2, ORIGINALS),
        manifest()),
    row("a volume grew since it was written down: a new cycle", with_set(root(), data(size_gib=600)),
        new_cycle(2, ORIGINALS), manifest()),
    row("complete, attached: the root is detached first", seen(snapshots=snapshots()), detach_volume(VOL_ROOT, ROOT),
        manifest()),
    row("root on its way: the data volume is detached beside it", with_set(root(attachment=DETACHING), data()),
        detach_volume(VOL_DATA, DATA), manifest()),
    row("one detached, one attached: none is deleted before all are detached", with_set(detached(root()), data()),
        detach_volume(VOL_DATA, DATA), manifest()),
    row("still detaching", with_set(root(attachment=DETACHING), detached(data())), Says(Wait, "detaching vol-root"),
        manifest()),
    row("detached in one list, not yet available in the other", with_set(detached(root(), IN_USE), detached(data())),
        Says(Wait, "detaching vol-root"), manifest()),
    row("attached elsewhere by a person", with_set(detached(root()), data(attached_to=ELSEWHERE)),
        Says(Blocked, "vol-data is attached to i-0def"), manifest()),
    row("all detached: deleted", with_set(*both_detached()), delete_volume(VOL_ROOT, SnapshotId("snap-root")),
        manifest()),
    row("half deleted: goes on", with_set(gone(root()), detached(data())),
        delete_volume(VOL_DATA, SnapshotId("snap-data")), manifest()),
    row("EBS deletes the last", with_set(gone(data())), Says(Wait, "deleting"), manifest()),
    row("nothing is left: settled", with_set(), Settled(), manifest()),
    row("nothing is left but a snapshot that failed: settled, it is no part of the night",
        seen(volumes=(), snapshots=(FAILED, *snapshots())), Settled(), manifest()),
    row("deleted, and still listed so: settled", with_set(detached(root(), VolumeState.DELETED)), Settled(),
        manifest()),
    row("detached, and its tag taken away", with_set(replace(detached(root()), tags={}), detached(data())),
        Says(Blocked, "vol-root does not carry this workstation's tags"), manifest()),
    row("half deleted, and what is left grew: made whole, then a new cycle",
        with_set(replace(detached(data()), size_gib=600)), create_volume(manifest(), record(ROOT)), manifest()),
])  # fmt: skip
def test_toward_shelve(case: Case) -> None:
    case.check(Wanted.SHELVE)


@pytest.mark.parametrize("case", [
    row("detached: that is all for now", kept(7 * DAY, *both_detached()), Settled(), DETACHED_NOW),
    row("and for ever, where its owner wants that", kept(None, *both_detached()), Settled(),
        manifest(detached_at=LAUNCHED)),
    row("the root is detached first all the same", kept(7 * DAY, *both()), detach_volume(VOL_ROOT, ROOT), manifest()),
    row("one is on its way: waits for it", kept(7 * DAY, detached(root()), data(attachment=DETACHING)),
        Says(Wait, "detaching vol-data"), DETACHED_NOW),
    row("one hangs", kept(7 * DAY, detached(root()), data(attachment=DETACHING)), Says(Blocked, "over 30 min"),
        manifest(detached_at=NOW - HALF_AN_HOUR)),
    row("nobody knows since when: from now on", kept(7 * DAY, *both_detached()),
        Says(Step, "noted that its volumes stand detached"), manifest()),
    row("a moment before it is over", kept(7 * DAY, *both_detached()), Settled(),
        manifest(detached_at=NOW - 7 * DAY + SECOND)),
    row("some are deleted already: the others are kept", kept(7 * DAY, gone(root()), detached(data())), Settled(),
        DETACHED_NOW),
    row("nothing is left", kept(7 * DAY), Settled(), DETACHED_NOW),
    row("over, for another intent: attached again first", kept(7 * DAY, *both_detached()),
        attach_volume(VOL_DATA, DATA), OF_BEFORE),
    row("attached again in part: goes on so", kept(7 * DAY, detached(root()), data()), attach_volume(VOL_ROOT, ROOT),
        OF_BEFORE),
    row("attached again: another cycle", kept(7 * DAY, *both()), new_cycle(2, ORIGINALS), OF_BEFORE),
    row("its owner wants them kept no more: another cycle too", kept(timedelta(0), *both_detached()),
        attach_volume(VOL_DATA, DATA), OF_BEFORE),
    row("of that cycle they go at once", kept(7 * DAY, *both_detached()),
        delete_volume(VOL_ROOT, SnapshotId("snap-root")), manifest(were_kept=True, detached_at=NOW)),
    row("unless their owner wants them for ever by then", kept(None, *both_detached()), Settled(),
        manifest(were_kept=True, detached_at=NOW)),
    row("detached for another intent just before: none has had the time to write to them",
        kept(timedelta(0), *both_detached(), intent=7), delete_volume(VOL_ROOT, SnapshotId("snap-root")),
        manifest(detached_at=NOW - HALF_AN_HOUR + SECOND, intent=7)),
    row("for this very intent they may have waited for long", kept(timedelta(0), *both_detached()),
        delete_volume(VOL_ROOT, SnapshotId("snap-root")), manifest(detached_at=NOW - 8 * DAY)),
    row("all deleted, for another intent", kept(timedelta(0), intent=7), Settled(), OF_BEFORE),
])  # fmt: skip
def test_volumes_are_kept_detached(case: Case) -> None:
    case.check(Wanted.SHELVE)


@pytest.mark.parametrize(("keep", "were_kept"), [(7 * DAY, True), (9 * DAY, False), (None, False)], ids=str)
def test_what_was_kept_for_long_enough_is_known_by_its_cycle(keep: timedelta | None, were_kept: bool) -> None:
    outcome = next_step(kept(keep, *both()), intent(Wanted.SHELVE), OF_BEFORE, NOW)
    assert held(outcome).were_kept is were_kept
    assert held(outcome).detached_at is None
