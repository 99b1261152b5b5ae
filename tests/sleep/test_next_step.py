"""Each row: what is wanted, what is, and the one next step. The rows of each table follow the lifecycle."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from autostop import tags
from autostop.model import (
    LISTS_LAG_FOR,
    AttachmentState,
    Checks,
    InstanceState,
    Jupyter,
    Observation,
    SnapshotId,
    SnapshotState,
    SpotKind,
    VolumeId,
    VolumeState,
    WorkstationId,
)
from autostop.sleep.intent import By, Wanted
from autostop.sleep.manifest import Manifest
from autostop.sleep.next_step import next_step
from autostop.sleep.outcomes import Blocked, Call, Outcome, Settled, Step, Wait, write_down
from autostop.sleep.ready import READY_WITHIN
from autostop.sleep.start_attempts import Attempts
from autostop.sleep.undo import UNDO_FOR
from tests.build import (
    DATA,
    ID,
    LAUNCHED,
    NOW,
    OURS,
    ROOT,
    STOPPED,
    both,
    detached,
    gone,
    instance,
    intent,
    manifest,
    minutes,
    record,
    restored,
    seen,
    snapshot,
    snapshots,
    unknown_snapshots,
    volume,
)
from tests.sleep.expect import (
    Does,
    attach_volume,
    create_snapshots,
    create_volume,
    delete_volume,
    detach_volume,
    held,
    makes,
    set_delete_on_termination,
    start_instance,
    stop_instance,
    tag_snapshot,
)

RUNNING, PENDING, STOPPING = InstanceState.RUNNING, InstanceState.PENDING, InstanceState.STOPPING
ATTACHING, DETACHING = AttachmentState.ATTACHING, AttachmentState.DETACHING
CREATING, IN_USE = VolumeState.CREATING, VolumeState.IN_USE
SECOND = timedelta(seconds=1)
ELSEWHERE = WorkstationId("i-0def")
VOL_ROOT, VOL_DATA = VolumeId("vol-root"), VolumeId("vol-data")
OUTDATED = manifest(launched_at=LAUNCHED - minutes(60))
# The same manifest as the tags tell it.
FROM_TAGS = manifest(volumes=(record(DATA), record(ROOT)))
TOLD = write_down(FROM_TAGS, "the table had lost it, its snapshots' tags had not")
THIRD = manifest(attempt=3)
EARLIER = manifest(attempt=3, intent=0)
JUST_WRITTEN = manifest(written_at=NOW - LISTS_LAG_FOR + SECOND)
LONG_AGO = NOW - LISTS_LAG_FOR
FAILED = snapshot(DATA, id=SnapshotId("snap-failed"), state=SnapshotState.ERROR)


@dataclass(frozen=True)
class Says:
    """An outcome of a kind whose words hold a text."""

    kind: type[Wait | Blocked | Settled | Step]
    text: str

    def fits(self, outcome: Outcome) -> bool:
        return type(outcome) is self.kind and self.text in repr(outcome)


@dataclass(frozen=True)
class NewSet:
    """A manifest for a set that was not there before: without snapshots, and with these volumes if they are given."""

    cycle: int
    attempt: int
    volumes: Mapping[str, str] | None = None

    def fits(self, outcome: Outcome) -> bool:
        records = held(outcome).volumes
        return (
            isinstance(outcome, Step)
            and (held(outcome).cycle, held(outcome).attempt) == (self.cycle, self.attempt)
            and self.volumes in (None, {each.device: each.volume for each in records})
            and all(each.snapshot is None for each in records)
            and held(outcome).written_at == NOW
        )


def new_cycle(cycle: int, volumes: Mapping[str, str]) -> NewSet:
    return NewSet(cycle, 1, volumes)


def next_attempt(attempt: int) -> NewSet:
    """Another attempt at the snapshots of the same cycle."""
    return NewSet(1, attempt)


Expected = Outcome | Says | NewSet | Does

ORIGINALS = {ROOT: "vol-root", DATA: "vol-data"}


def check(outcome: Outcome, expected: Expected) -> None:
    if isinstance(expected, Says | NewSet):
        assert expected.fits(outcome), (outcome, expected)
    else:
        assert outcome == expected


def row(id_: str, what: Observation, expected: Expected, known: Manifest | None = None, now: datetime = NOW) -> Any:
    return pytest.param(what, known, now, expected, id=id_)


def root(**other: Any) -> Any:
    return volume(ROOT, **other)


def data(**other: Any) -> Any:
    return volume(DATA, **other)


def both_detached() -> tuple[Any, Any]:
    return detached(root()), detached(data())


def with_set(*volumes: Any, **other: Any) -> Observation:
    """These volumes beside the complete set of cycle 1."""
    return seen(volumes=volumes, snapshots=snapshots(), **other)


def marked(state: SnapshotState, **other: Any) -> tuple[Any, Any]:
    """The set with its data snapshot in another state."""
    return snapshot(ROOT), snapshot(DATA, state=state, **other)


TOWARD_STOP = [
    row("running: asked to stop", seen(instance=instance(RUNNING)), stop_instance()),
    row(
        "its owner has a moment to turn it back",
        seen(instance=instance(RUNNING)),
        Wait("its owner may still turn the stop back", SECOND),
        now=STOPPED + UNDO_FOR - SECOND,
    ),
    row("and no more", seen(instance=instance(RUNNING)), stop_instance(), now=STOPPED + UNDO_FOR),
    row("pending: waits", seen(instance=instance(PENDING, launched_at=NOW)), Says(Wait, "starting")),
    row(
        "pending for half an hour: a person has to look",
        seen(instance=instance(PENDING, launched_at=NOW - minutes(31))),
        Says(Blocked, "starting it for over 30 min"),
    ),
    row("stopping: waits", seen(instance=instance(STOPPING)), Says(Wait, "stopping")),
    row(
        "stopping for half an hour: a person has to look",
        seen(instance=instance(STOPPING, stopped_at=NOW - minutes(31))),
        Says(Blocked, "Stop it by force"),
    ),
    row("stopped: settled", seen(), Settled()),
    row("volumes elsewhere do not matter", seen(volumes=()), Settled()),
    row("one-time Spot", seen(instance=instance(RUNNING, spot=SpotKind.ONE_TIME)), Says(Blocked, "one-time Spot")),
    row("persistent Spot", seen(instance=instance(RUNNING, spot=SpotKind.PERSISTENT)), stop_instance()),
    row("hibernation", seen(instance=instance(RUNNING, hibernation=True)), Says(Blocked, "hibernation")),
    row("stop protection", seen(instance=instance(RUNNING, stop_protected=True)), Says(Blocked, "stop protection")),
    row("marketplace is stopped", seen(instance=instance(RUNNING, marketplace=True)), stop_instance()),
]


@pytest.mark.parametrize(("what", "known", "now", "expected"), TOWARD_STOP)
def test_toward_stop(what: Observation, known: Manifest | None, now: datetime, expected: Expected) -> None:
    check(next_step(what, intent(Wanted.STOP), known, now), expected)


UNADOPTED = data(tags={"Name": "scratch"})
OTHERS = data(tags={**OURS, tags.WORKSTATION: ELSEWHERE})
STRANGER = volume("/dev/sdg", id=VolumeId("vol-extra"))
LATER = STOPPED + minutes(3)

# fmt: off
SHELVE_STOPS = [
    row("running: asked to stop", seen(instance=instance(RUNNING)), stop_instance()),
    row("pending: waits", seen(instance=instance(PENDING, launched_at=NOW)), Says(Wait, "starting")),
    row("stopping: waits", seen(instance=instance(STOPPING)), Says(Wait, "stopping")),
    row("stop protection", seen(instance=instance(RUNNING, stop_protected=True)), Says(Blocked, "stop protection")),
    row("one-time Spot", seen(instance=instance(RUNNING, spot=SpotKind.ONE_TIME)), Says(Blocked, "one-time Spot")),
    row("Spot is stopped", seen(instance=instance(RUNNING, spot=SpotKind.PERSISTENT)), stop_instance()),
    row("Spot is not shelved", seen(instance=instance(spot=SpotKind.PERSISTENT)), Says(Settled, "Spot")),
    row("Spot with a marketplace root is stopped all the same",
        seen(instance=instance(RUNNING, spot=SpotKind.PERSISTENT, marketplace=True)), stop_instance()),
    row("marketplace: only stopped", seen(instance=instance(RUNNING, marketplace=True)), stop_instance()),
    row("marketplace, found stopped", seen(instance=instance(marketplace=True)), Says(Blocked, "Marketplace")),
    row("multi-attach: only stopped", seen(instance=instance(RUNNING), volumes=(root(), data(multi_attach=True))),
        stop_instance()),
    row("multi-attach, found stopped", seen(volumes=both(multi_attach=True)), Says(Blocked, "multi-attach")),
    row("hibernated in the console", seen(instance=instance(hibernation=True)), Says(Blocked, "hibernation")),
    row("set aside by its Auto Scaling group",
        seen(instance=instance(tags={tags.AUTOSTOP: tags.ON, tags.AUTO_SCALING_GROUP: "fleet"})),
        Says(Blocked, "fleet")),
    row("a volume that nobody adopted", seen(volumes=(root(), UNADOPTED)),
        Says(Blocked, "vol-data at /dev/sdf is not")),
    row("a volume of another workstation", seen(volumes=(root(), OTHERS)), Says(Blocked, "not adopted")),
    row("started by a person since it was seen stopped: yields", seen(instance=instance(RUNNING, launched_at=NOW)),
        Says(Step, "started outside Autostop"), manifest()),
    row("started before this intent: no reason to yield", seen(instance=instance(RUNNING, launched_at=NOW)),
        stop_instance(), manifest(intent=0)),
    row("running on as before: no reason to yield", seen(instance=instance(RUNNING)), stop_instance(), manifest()),
    row("a person's start is not yielded to before it runs", seen(instance=instance(PENDING, launched_at=NOW)),
        Says(Wait, "starting"), manifest()),
    row("started and stopped by a person: a new cycle",
        seen(instance=instance(launched_at=NOW - minutes(1)), snapshots=snapshots()), new_cycle(2, ORIGINALS),
        manifest()),
]

SHELVE_SNAPSHOTS = [
    row("stopped: the manifest first", seen(), new_cycle(1, ORIGINALS)),
    row("manifest of an older stop", seen(snapshots=snapshots(OUTDATED)), new_cycle(2, ORIGINALS), OUTDATED),
    row("manifest written: snapshots of all", seen(), create_snapshots(unknown_snapshots()), unknown_snapshots()),
    row("an own volume stands detached before the first cycle", seen(volumes=(root(), detached(data()))),
        attach_volume(VOL_DATA, DATA)),
    row("an own volume was detached before the snapshots", seen(volumes=(root(), detached(data()))),
        attach_volume(VOL_DATA, DATA), unknown_snapshots()),
    row("a volume is on its way", seen(volumes=(root(), data(attachment=ATTACHING))), Says(Wait, "attaching")),
    row("a volume is on its way, manifest written", seen(volumes=(root(), data(attachment=ATTACHING))),
        Says(Wait, "attaching"), unknown_snapshots()),
    row("no volume and no manifest", seen(volumes=()), Says(Blocked, "no volume")),
    row("no manifest, and the tags tell it: it goes on", with_set(root()), TOLD),
    row("no volume, manifest of an older stop", seen(volumes=(), snapshots=snapshots(OUTDATED)),
        Says(Blocked, "autostop recover"), OUTDATED),
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
    row("a volume was attached meanwhile: a cycle with it", with_set(*both(), STRANGER),
        new_cycle(2, {**ORIGINALS, "/dev/sdg": "vol-extra"}), manifest()),
    row("a volume that nobody adopted was attached meanwhile", with_set(*both(), replace(STRANGER, tags={})),
        Says(Blocked, "vol-extra at /dev/sdg is not adopted"), manifest()),
    row("a snapshot is older than the stop: a new cycle",
        seen(snapshots=(snapshot(ROOT), snapshot(DATA, started_at=STOPPED - SECOND))), new_cycle(2, ORIGINALS),
        manifest()),
    row("a volume grew since it was written down: a new cycle", with_set(root(), data(size_gib=600)),
        new_cycle(2, ORIGINALS), manifest()),
]

SHELVE_REMOVES = [
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
    row("launched since: attached again, not deleted", with_set(*both_detached(), instance=instance(launched_at=LATER)),
        attach_volume(VOL_DATA, DATA), manifest()),
    row("launched since, half deleted: nothing is restored by guess",
        with_set(root(), instance=instance(launched_at=LATER)), new_cycle(2, {ROOT: "vol-root"}), manifest()),
    row("detached, and its tag taken away", with_set(replace(detached(root()), tags={}), detached(data())),
        Says(Blocked, "vol-root does not carry this workstation's tags"), manifest()),
    row("a snapshot was deleted while the volumes stood detached: again, all together",
        seen(volumes=both_detached(), snapshots=(snapshot(ROOT),)), next_attempt(2), manifest()),
    row("and before that set everything is attached again", seen(volumes=both_detached(), snapshots=(snapshot(ROOT),)),
        attach_volume(VOL_DATA, DATA), unknown_snapshots(attempt=2)),
    row("half deleted, the snapshot of what is left was lost: what is gone is restored first",
        seen(volumes=(detached(data()),), snapshots=(snapshot(ROOT),)), create_volume(manifest(), record(ROOT)),
        manifest()),
    row("half deleted, the snapshot of what is left is lost, restored: a new cycle",
        seen(volumes=(restored(ROOT, delete_on_termination=True), data()), snapshots=(snapshot(ROOT),)),
        new_cycle(2, {ROOT: "vol-root-2", DATA: "vol-data"}), manifest()),
    row("half deleted, the snapshot of what is gone was lost",
        seen(volumes=(detached(data()),), snapshots=(snapshot(DATA),)), Says(Blocked, "snap-root of /dev/xvda is gone"),
        manifest()),
    row("all deleted, a snapshot was lost", seen(volumes=(), snapshots=(snapshot(ROOT),)), Says(Blocked, "Recycle Bin"),
        manifest()),
    row("all deleted, a snapshot was lost, and one of another cycle is there",
        seen(volumes=(), snapshots=(snapshot(ROOT), snapshot(DATA, manifest(cycle=7), id=SnapshotId("snap-other")))),
        Says(Blocked, "Others of it are kept (snap-other), but none is taken by guess"), manifest()),
    row("half restored by a tap, then shelved again: made whole first", with_set(restored(ROOT)),
        create_volume(manifest(), record(DATA)), manifest()),
    row("restored and never started, then shelved again: a new cycle",
        with_set(restored(ROOT, delete_on_termination=True), restored(DATA)),
        new_cycle(2, {ROOT: "vol-root-2", DATA: "vol-data-2"}), manifest()),
    row("restored and never started: delete-on-termination is put back before it is written down",
        with_set(restored(ROOT), restored(DATA)),
        set_delete_on_termination(VolumeId("vol-root-2"), ROOT, delete_on_termination=True), manifest()),
    row("half deleted, and what is left grew: made whole, then a new cycle",
        with_set(replace(detached(data()), size_gib=600)), create_volume(manifest(), record(ROOT)), manifest()),
]


def kept(for_: timedelta | None, *volumes: Any, intent: int = 1) -> Observation:
    """Its owner wants the volumes kept for so long once they are detached. intent: for which they were snapshotted."""
    return seen(volumes=volumes, snapshots=snapshots(manifest(intent=intent)), delete_after=for_)


DAY = timedelta(days=1)
DETACHED_NOW, HALF_AN_HOUR = manifest(detached_at=NOW), minutes(30)
OF_BEFORE = manifest(detached_at=NOW - 8 * DAY, intent=7)

SHELVE_KEEPS = [
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
]
# fmt: on


@pytest.mark.parametrize(("keep", "were_kept"), [(7 * DAY, True), (9 * DAY, False), (None, False)], ids=str)
def test_what_was_kept_for_long_enough_is_known_by_its_cycle(keep: timedelta | None, were_kept: bool) -> None:
    outcome = next_step(kept(keep, *both()), intent(Wanted.SHELVE), OF_BEFORE, NOW)
    assert held(outcome).were_kept is were_kept
    assert held(outcome).detached_at is None


@pytest.mark.parametrize(("what", "known", "now", "expected"), SHELVE_KEEPS)
def test_volumes_are_kept_detached(
    what: Observation, known: Manifest | None, now: datetime, expected: Expected
) -> None:
    check(next_step(what, intent(Wanted.SHELVE), known, now), expected)


@pytest.mark.parametrize(("what", "known", "now", "expected"), [*SHELVE_STOPS, *SHELVE_SNAPSHOTS, *SHELVE_REMOVES])
def test_toward_shelve(what: Observation, known: Manifest | None, now: datetime, expected: Expected) -> None:
    check(next_step(what, intent(Wanted.SHELVE), known, now), expected)


ROOT_ALONE = manifest(volumes=(record(ROOT),))
WHOLE_ROOT = restored(ROOT, delete_on_termination=True)
FOREIGN = data(id=VolumeId("vol-foreign"), tags={})
AGAIN = instance(launched_at=LATER)

# fmt: off
RUN_STARTS = [
    row("pending: waits", seen(instance=instance(PENDING, launched_at=NOW)), Says(Wait, "starting")),
    row("stopping: waits, then starts", seen(instance=instance(STOPPING)), Says(Wait, "right after")),
    row("stopped, all attached, never shelved", seen(), start_instance()),
    row("stopped, all attached, manifest outdated", seen(snapshots=snapshots(OUTDATED)), start_instance(), OUTDATED),
    row("manifest written, no snapshots yet: just start", seen(), start_instance(), unknown_snapshots()),
    row("snapshots pending: just start", seen(snapshots=snapshots(state=SnapshotState.PENDING)), start_instance(),
        manifest()),
    row("snapshots failed: just start", seen(snapshots=marked(SnapshotState.ERROR)), start_instance(), manifest()),
    row("snapshots lost, volumes there: just start", seen(), start_instance(), manifest()),
    row("detaching: waits", with_set(root(), data(attachment=DETACHING)), Says(Wait, "detaching vol-data"), manifest()),
    row("detached: attach, the root last", with_set(*both_detached()), attach_volume(VOL_DATA, DATA), manifest()),
    row("detached while snapshots are pending: attach",
        seen(volumes=(root(), detached(data())), snapshots=snapshots(state=SnapshotState.PENDING)),
        attach_volume(VOL_DATA, DATA), manifest()),
    row("attaching and detached: attach the other beside it", with_set(detached(root()), data(attachment=ATTACHING)),
        attach_volume(VOL_ROOT, ROOT), manifest()),
    row("all attached but one attaching: waits", with_set(root(), data(attachment=ATTACHING)),
        Says(Wait, "attaching vol-data"), manifest()),
    row("all deleted: restore", with_set(), create_volume(manifest(), record(DATA)), manifest()),
    row("half deleted: restore before the other is attached", with_set(gone(root()), detached(data())),
        create_volume(manifest(), record(ROOT)), manifest()),
    row("half restored: the rest is created beside it", with_set(detached(restored(DATA), CREATING)),
        create_volume(manifest(), record(ROOT)), manifest()),
    row("creating: waits", with_set(WHOLE_ROOT, detached(restored(DATA), CREATING)), Says(Wait, "creating vol-data-2"),
        manifest()),
    row("created: attach", with_set(restored(ROOT), detached(restored(DATA))),
        attach_volume(VolumeId("vol-data-2"), DATA), manifest()),
    row("without our tags it is left where it is", with_set(WHOLE_ROOT, detached(data(tags={"Project": "genome"}))),
        Says(Blocked, "vol-data does not carry this workstation's tags any more"), manifest()),
    row("one that only the tags know, detached before the manifest was written: attach",
        seen(volumes=(WHOLE_ROOT, detached(data())), snapshots=(snapshot(ROOT, ROOT_ALONE),)),
        attach_volume(VOL_DATA, DATA), ROOT_ALONE),
    row("one was detached a moment ago, and the lists show both attached: wait", with_set(*both()),
        Says(Wait, "may not show yet what was detached"),
        manifest(detached_at=NOW - LISTS_LAG_FOR + timedelta(seconds=1))),
    row("one was detached long ago, and attached again: start", with_set(*both()), start_instance(),
        manifest(detached_at=NOW - LISTS_LAG_FOR)),
    row("both were detached a moment ago, deleted and restored: start", with_set(WHOLE_ROOT, restored(DATA)),
        start_instance(), manifest(detached_at=NOW)),
    row("detached a moment ago for a stop before the last start: start",
        seen(volumes=both(), snapshots=snapshots(OUTDATED)), start_instance(), replace(OUTDATED, detached_at=NOW)),
    row("restored and attached: start", with_set(WHOLE_ROOT, restored(DATA)), start_instance(), manifest()),
    row("restored and attached, which reset delete-on-termination: put back", with_set(restored(ROOT), restored(DATA)),
        set_delete_on_termination(VolumeId("vol-root-2"), ROOT, delete_on_termination=True), manifest()),
    row("attached again, which reset delete-on-termination: put back",
        with_set(root(delete_on_termination=False), data()),
        set_delete_on_termination(VOL_ROOT, ROOT, delete_on_termination=True), manifest()),
    row("put back while another is still attaching", with_set(restored(ROOT), restored(DATA, attachment=ATTACHING)),
        set_delete_on_termination(VolumeId("vol-root-2"), ROOT, delete_on_termination=True), manifest()),
    row("put back only after the other is being attached", with_set(restored(ROOT), detached(restored(DATA))),
        attach_volume(VolumeId("vol-data-2"), DATA), manifest()),
    row("still attaching: not yet put back", with_set(restored(ROOT, attachment=ATTACHING), restored(DATA)),
        Says(Wait, "attaching vol-root-2"), manifest()),
    row("the flag of a volume whose manifest is outdated is the owner's",
        seen(volumes=(root(delete_on_termination=False), data()), snapshots=snapshots(OUTDATED)), start_instance(),
        OUTDATED),
    row("one as it was, one restored: start", with_set(root(), restored(DATA)), start_instance(), manifest()),
    row("EBS could not create it: written down", with_set(restored(ROOT), detached(restored(DATA), VolumeState.ERROR)),
        Says(Step, "KMS"), manifest()),
    row("EBS could not create it, and its snapshot is not complete any more",
        seen(volumes=(restored(ROOT), detached(restored(DATA), VolumeState.ERROR)),
            snapshots=marked(SnapshotState.RECOVERABLE)), Says(Blocked, "vol-data-2 of /dev/sdf has failed"),
        manifest()),
    row("one copy failed, another is there: the failed one goes first",
        with_set(restored(ROOT), detached(restored(DATA), VolumeState.ERROR),
            detached(restored(DATA, id=VolumeId("vol-data-3")))), Says(Step, "vol-data-2"), manifest()),
    row("in use, the attachment not listed yet", with_set(root(), detached(data(), IN_USE)),
        Says(Wait, "vol-data is in-use"), manifest()),
    row("attached elsewhere", with_set(root(), data(attached_to=ELSEWHERE)), Says(Blocked, "attached to i-0def"),
        manifest()),
    row("attached at another device", with_set(root(), data(device="/dev/sdz")),
        Says(Blocked, "at /dev/sdz, and not at /dev/sdf"), manifest()),
    row("on its way from another device", with_set(root(), data(device="/dev/sdz", attachment=DETACHING)),
        Says(Wait, "vol-data is in-use"), manifest()),
    row("a foreign volume in its place", with_set(root(), FOREIGN, detached(data())),
        Says(Blocked, "vol-foreign is attached at /dev/sdf, where vol-data was"), manifest()),
    row("a volume restored from another cycle in its place", with_set(root(), restored(DATA, of=manifest(cycle=7))),
        Says(Blocked, "vol-data-2 is attached"), manifest()),
    row("a copy from another snapshot in its place",
        with_set(root(), restored(DATA, snapshot=SnapshotId("snap-other"))), Says(Blocked, "vol-data-2 is attached"),
        manifest()),
    row("a further volume does no harm", with_set(*both(), STRANGER), start_instance(), manifest()),
    row("the snapshot is gone: no empty disk", seen(volumes=(), snapshots=(snapshot(ROOT),)),
        Says(Blocked, "snap-data of /dev/sdf is gone"), manifest()),
    row("the snapshot is not complete", seen(volumes=(), snapshots=marked(SnapshotState.RECOVERING)),
        Says(Blocked, "snap-data of /dev/sdf is recovering"), manifest()),
    row("deleted before there was a snapshot", seen(volumes=(root(),), snapshots=()),
        Says(Blocked, "/dev/sdf is not restored"), unknown_snapshots()),
    row("manifest outdated, nothing left: no older cycle by guess", seen(volumes=(), snapshots=snapshots(OUTDATED)),
        Says(Blocked, "root device /dev/xvda"), OUTDATED),
    row("no manifest, and the tags tell it", with_set(), TOLD),
    row("manifest from a backup, and the tags tell it", with_set(), TOLD, OUTDATED),
    row("no manifest, and the tags tell of more than they can give back",
        seen(volumes=(root(),), snapshots=(snapshot(DATA),)),
        Says(Blocked, "/dev/sdf exist only as snapshots of it. Run `autostop recover")),
    row("no manifest, nothing left, one snapshot", seen(volumes=(), snapshots=(snapshot(),)), Says(Blocked, "recover")),
    row("no manifest, nothing left, no snapshots", seen(volumes=()), Says(Blocked, "root device /dev/xvda")),
    row("manifest outdated, the data volume gone: it runs without, and nothing is restored by guess",
        with_set(root(), instance=AGAIN), start_instance(), manifest()),
    row("root missing, data there", seen(volumes=(data(),)), Says(Blocked, "root device /dev/xvda")),
    row("no manifest, own volumes detached", seen(volumes=both_detached()), attach_volume(VOL_DATA, DATA)),
    row("no manifest, the root detached", seen(volumes=(detached(root()), data())), attach_volume(VOL_ROOT, ROOT)),
    row("manifest outdated, own volume detached",
        seen(volumes=(root(), detached(data())), snapshots=snapshots(OUTDATED)), attach_volume(VOL_DATA, DATA),
        OUTDATED),
    row("no manifest, a detached volume that is not ours",
        seen(volumes=(root(), detached(UNADOPTED), detached(OTHERS))), start_instance()),
    row("no manifest, a detached volume of another workstation for this device",
        seen(volumes=(root(), replace(detached(data()), tags={**data().tags, tags.WORKSTATION: str(ELSEWHERE)}))),
        start_instance()),
    row("no manifest, a detached volume that is not ours any more",
        seen(volumes=(root(), replace(detached(data()), tags={**data().tags, tags.AUTOSTOP: "off"}))),
        start_instance()),
    row("no manifest, an own volume is deleted", seen(volumes=(root(), gone(data()))), start_instance()),
    row("no manifest, an own volume is being created: waits", seen(volumes=(root(), detached(data(), CREATING))),
        Says(Wait, "creating vol-data")),
    row("no manifest, an own volume is being created, the root is detached: attach it meanwhile",
        seen(volumes=(detached(root()), detached(data(), CREATING))), attach_volume(VOL_ROOT, ROOT)),
    row("no manifest, its device is taken while it is being created",
        seen(volumes=(root(), FOREIGN, detached(data(), CREATING))), start_instance()),
    row("no manifest, own volume detached without its device",
        seen(volumes=(root(), replace(detached(data()), tags=OURS))), start_instance()),
    row("no manifest, its device is taken", seen(volumes=(root(), FOREIGN, detached(data()))), start_instance()),
    row("no manifest, two volumes for one device",
        seen(volumes=(root(), detached(data()), detached(data(id=VolumeId("vol-twin"))))),
        Says(Blocked, "vol-data and vol-twin both belong at /dev/sdf")),
    row("no manifest, attaching", seen(volumes=(root(), data(attachment=ATTACHING))), Says(Wait, "attaching vol-data")),
]
# fmt: on

STARTED = NOW
JUST_BEFORE = STARTED + READY_WITHIN - SECOND
IN_TIME = STARTED + READY_WITHIN


def up(**other: Any) -> Observation:
    """Running since `STARTED` on the volumes restored from cycle 1, with Jupyter asked."""
    fields: dict[str, Any] = {
        "instance": instance(RUNNING, launched_at=STARTED),
        "volumes": (restored(ROOT, delete_on_termination=True), restored(DATA)),
        "snapshots": snapshots(),
        "jupyter": Jupyter.SERVES,
    }
    return seen(**{**fields, **other})


OLDER = snapshot(DATA, of=manifest(cycle=1), id=SnapshotId("snap-old"))
SECOND_CYCLE = manifest(cycle=2)


def up_from_second(**other: Any) -> Observation:
    """Running on the volumes restored from cycle 2, with a snapshot of cycle 1 left."""
    return up(
        **{
            "volumes": (restored(ROOT, of=SECOND_CYCLE, delete_on_termination=True), restored(DATA, of=SECOND_CYCLE)),
            "snapshots": (OLDER, *snapshots(SECOND_CYCLE)),
            **other,
        }
    )


# fmt: off
RUN_FINISHES = [
    row("running, checks through, Jupyter answers: settled", up(), Settled(), manifest()),
    row("running, never shelved: settled", up(volumes=both(), snapshots=()), Settled()),
    row("what the owner made of delete-on-termination since is left alone", up(volumes=(restored(ROOT), data())),
        Settled(), manifest()),
    row("checks initializing", up(checks=Checks.INITIALIZING, jupyter=Jupyter.SILENT), Says(Wait, "booting"),
        manifest()),
    row("checks unknown", up(checks=Checks.UNKNOWN, jupyter=Jupyter.SILENT), Says(Wait, "booting"), manifest()),
    row("checks initializing, Jupyter answers", up(checks=Checks.INITIALIZING), Says(Wait, "Jupyter answers"),
        manifest()),
    row("checks impaired", up(checks=Checks.IMPAIRED), Says(Wait, "checks fail"), manifest()),
    row("nobody asks Jupyter", up(jupyter=Jupyter.NOT_ASKED), Settled(), manifest()),
    row("nobody asks Jupyter, checks initializing", up(jupyter=Jupyter.NOT_ASKED, checks=Checks.INITIALIZING),
        Says(Wait, ""), manifest()),
    row("no answer yet", up(jupyter=Jupyter.SILENT), Says(Wait, "does not answer"), manifest(), JUST_BEFORE),
    row("no server runs yet", up(jupyter=Jupyter.NO_SERVER), Says(Wait, "does not answer"), manifest(), JUST_BEFORE),
    row("no answer in time", up(jupyter=Jupyter.SILENT), Says(Settled, "nothing was heard"), manifest(), IN_TIME),
    row("no answer that can be read in time", up(jupyter=Jupyter.SILENT), Says(Settled, "nothing was heard"),
        manifest(), IN_TIME),
    row("it has no Jupyter", up(jupyter=Jupyter.NO_SERVER), Settled(), manifest(), IN_TIME),
    row("the clock is behind the launch", up(jupyter=Jupyter.SILENT), Says(Wait, "does not answer"), manifest(),
        STARTED - minutes(9)),
    row("ready: what is left to be tidied up holds nothing up", up_from_second(), Settled(), SECOND_CYCLE),
    row("Jupyter silent: it is up all the same", up_from_second(jupyter=Jupyter.SILENT), Says(Settled, "kept"),
        SECOND_CYCLE, IN_TIME),
    row("checks impaired for long: it is up all the same", up_from_second(checks=Checks.IMPAIRED),
        Says(Settled, "status checks fail"), SECOND_CYCLE, IN_TIME),
    row("checks that do not come to an end: it is up all the same", up_from_second(checks=Checks.UNKNOWN),
        Says(Settled, "status checks have not passed"), SECOND_CYCLE, IN_TIME),
]
# fmt: on


@pytest.mark.parametrize(("what", "known", "now", "expected"), [*RUN_STARTS, *RUN_FINISHES])
def test_toward_run(what: Observation, known: Manifest | None, now: datetime, expected: Expected) -> None:
    check(next_step(what, intent(Wanted.RUN), known, now), expected)


@pytest.mark.parametrize("wanted", Wanted)
@pytest.mark.parametrize("what", [
    pytest.param(seen(instance=None, volumes=()), id="not found"),
    pytest.param(seen(instance=instance(InstanceState.TERMINATED)), id="terminated"),
    pytest.param(seen(instance=instance(InstanceState.SHUTTING_DOWN)), id="shutting down"),
])  # fmt: skip
def test_nothing_is_done_for_an_instance_that_is_no_more(wanted: Wanted, what: Observation) -> None:
    check(next_step(what, intent(wanted), manifest(), NOW), Says(Blocked, f"{ID} is terminated or not there"))


@pytest.mark.parametrize("wanted", Wanted)
@pytest.mark.parametrize("state", InstanceState)
def test_a_settled_intent_is_history(wanted: Wanted, state: InstanceState) -> None:
    settled = intent(wanted, settled_at=NOW)

    outcome = next_step(seen(instance=instance(state)), settled, manifest(), NOW)

    assert outcome == Settled()


def test_a_person_who_starts_it_is_who_wanted_it() -> None:
    started = seen(instance=instance(RUNNING, launched_at=NOW))

    outcome = next_step(started, intent(Wanted.SHELVE), manifest(), NOW)

    note = makes(outcome, None).first
    assert note is not None
    assert note.intent is not None
    assert (note.intent.wanted, note.intent.by) == (Wanted.RUN, By.FOUND)


def test_a_manifest_says_everything_about_its_volumes() -> None:
    outcome = next_step(seen(), intent(Wanted.SHELVE, number=7), None, NOW)

    assert isinstance(outcome, Step)
    assert held(outcome) == unknown_snapshots(intent=7, written_at=NOW, volumes=(record(DATA), record(ROOT)))


@pytest.mark.parametrize("wanted", Wanted)
@pytest.mark.parametrize("state", [InstanceState.RUNNING, InstanceState.STOPPED])
@pytest.mark.parametrize("own", [{}, {tags.AUTOSTOP: "off"}], ids=["no tag", "turned off"])
def test_nothing_is_done_for_an_instance_that_lost_its_tag(
    wanted: Wanted, state: InstanceState, own: dict[str, str]
) -> None:
    what = seen(instance=instance(state, tags=own))

    check(next_step(what, intent(wanted), None, NOW), Says(Blocked, "does not carry the tag"))


def test_a_flag_that_ec2_refuses_holds_up_no_start_and_is_not_forgotten() -> None:
    what = seen(volumes=(restored(ROOT), restored(DATA)), snapshots=snapshots())
    step = makes(next_step(what, intent(Wanted.RUN), manifest(), NOW), Call.SET_DELETE_ON_TERMINATION)
    assert step.refused is not None
    note = step.refused("AWS refused it")
    assert "kept on termination for now: AWS refused it" in note.said
    assert note.manifest is not None
    assert next_step(what, intent(Wanted.RUN), note.manifest, NOW) == start_instance()

    # What EC2 puts off again and again is not waited for either.
    tired = next_step(what, intent(Wanted.RUN), manifest(), NOW, Attempts(errors=3))
    assert held(tired) == note.manifest
    # Should it sleep again before the flag is back, the next cycle knows what it was to be.
    slept = replace(what, instance=instance(launched_at=NOW))
    records = held(next_step(slept, intent(Wanted.SHELVE), note.manifest, NOW)).volumes
    assert {each.device: each.delete_on_termination for each in records} == {ROOT: True, DATA: False}
