"""Each guard of the law by itself: everything else is as it should be, one thing is not, and the answer is no."""

from dataclasses import replace
from typing import Any

import pytest

from autostop import tags
from autostop.model import (
    InstanceId,
    InstanceState,
    Observation,
    Snapshot,
    SnapshotId,
    SnapshotState,
    Volume,
    VolumeId,
    VolumeState,
)
from autostop.sleep import law
from autostop.sleep.manifest import Manifest
from tests.build import (
    DATA,
    LAUNCHED,
    NOW,
    ROOT,
    STOPPED,
    both,
    detached,
    instance,
    manifest,
    minutes,
    record,
    restored,
    row,
    seen,
    snapshot,
    snapshots,
    unknown_snapshots,
    volume,
)

RUNNING = InstanceState.RUNNING
ROOT_GONE = detached(volume(ROOT))
DATA_GONE = detached(volume(DATA))
SHELVING = seen(volumes=(ROOT_GONE, DATA_GONE), snapshots=snapshots())
NOT_OURS = {**DATA_GONE.tags, tags.WORKSTATION: "i-0def"}
UNTAGGED = {key: value for key, value in DATA_GONE.tags.items() if key != tags.AUTOSTOP}


def with_snapshot(**other: Any) -> Observation:
    """Everything detached, and the snapshot of the data volume not as it should be."""
    return replace(SHELVING, snapshots=(snapshot(ROOT), snapshot(DATA, **other)))


def without(tag: str) -> dict[str, str]:
    return {key: value for key, value in snapshot(DATA).tags.items() if key != tag}


def test_a_detached_volume_with_a_complete_snapshot_of_this_stop_may_be_deleted() -> None:
    assert law.why_not_delete_volume(DATA_GONE, SHELVING, manifest()) is None
    # The stop was asked for then; the snapshot was asked for when it was seen, which is later.
    assert law.why_not_delete_volume(DATA_GONE, with_snapshot(started_at=STOPPED), manifest()) is None


@pytest.mark.parametrize(("each", "what", "known", "why"), [
    row("without our tag", replace(DATA_GONE, tags=UNTAGGED), SHELVING, manifest(), "tags"),
    row("of another workstation", replace(DATA_GONE, tags=NOT_OURS), SHELVING, manifest(), "tags"),
    row("attached", volume(DATA), SHELVING, manifest(), "not detached"),
    row("in use somewhere", replace(DATA_GONE, state=VolumeState.IN_USE), SHELVING, manifest(), "not detached"),
    row("available in one list, attached elsewhere in the other",
        replace(DATA_GONE, attached_to=InstanceId("i-0def")), SHELVING, manifest(), "not detached"),
    row("the instance is not known", DATA_GONE, replace(SHELVING, instance=None), manifest(), "not stopped"),
    *(row(f"it is {state}", DATA_GONE, replace(SHELVING, instance=instance(state)), manifest(), "not stopped")
        for state in InstanceState if state is not InstanceState.STOPPED),
    row("started since", DATA_GONE, replace(SHELVING, instance=instance(launched_at=LAUNCHED + minutes(700))),
        manifest(), "started since"),
    row("another launch time, though an earlier one", DATA_GONE,
        replace(SHELVING, instance=instance(launched_at=LAUNCHED - minutes(1))), manifest(), "started since"),
    row("not in the manifest", DATA_GONE, SHELVING, manifest(volumes=(record(ROOT),)), "not in the manifest"),
    row("it grew", replace(DATA_GONE, size_gib=501), SHELVING, manifest(), "was changed"),
    row("another type", replace(DATA_GONE, type="io2"), SHELVING, manifest(), "was changed"),
    row("other IOPS", replace(DATA_GONE, iops=4000), SHELVING, manifest(), "was changed"),
    row("other throughput", replace(DATA_GONE, throughput=250), SHELVING, manifest(), "was changed"),
    row("no snapshot", DATA_GONE, replace(SHELVING, snapshots=(snapshot(ROOT),)), manifest(), "not there"),
    row("its snapshot is not known", DATA_GONE, SHELVING, unknown_snapshots(), "not there"),
    row("of another volume", DATA_GONE, with_snapshot(volume=VolumeId("vol-root")), manifest(),
        "not a snapshot of vol-data"),
    *(row(f"its snapshot is {state}", DATA_GONE, with_snapshot(state=state), manifest(), "not completed")
        for state in SnapshotState if state is not SnapshotState.COMPLETED),
    row("begun just before the stop", DATA_GONE, with_snapshot(started_at=STOPPED - minutes(0.01)), manifest(),
        "before the instance stopped"),
    *(row(f"without {tag}", DATA_GONE, with_snapshot(tags=without(tag)), manifest(), "manifest")
        for tag in snapshot(DATA).tags),
    row("with the tags of another cycle", DATA_GONE, with_snapshot(tags={**snapshot(DATA).tags, tags.CYCLE: "2"}),
        manifest(), "does not carry its manifest"),
])  # fmt: skip
def test_a_volume_stays(each: Volume, what: Observation, known: Manifest, why: str) -> None:
    assert why in (law.why_not_delete_volume(each, what, known) or "")


def test_an_attached_volume_may_be_detached_but_not_deleted() -> None:
    attached = seen(snapshots=snapshots())

    assert law.why_not_detach(volume(DATA), attached, manifest()) is None
    assert law.why_not_delete_volume(volume(DATA), attached, manifest()) is not None


LATER = manifest(cycle=2)
OLD = snapshot(DATA, id=SnapshotId("snap-old"))
FROM_LATER = (restored(ROOT, of=LATER), restored(DATA, of=LATER))
AWAKE = seen(instance=instance(RUNNING), volumes=FROM_LATER, snapshots=(OLD, *snapshots(LATER)))


@pytest.mark.parametrize("each", [
    row("an older one of a device that the later cycle has", OLD),
    row("an older one that failed", replace(OLD, state=SnapshotState.ERROR)),
    row("an older one that never came to carry its device", replace(OLD, tags=manifest().set_tags())),
    row("one of the same stop that was made twice", replace(OLD, tags=LATER.set_tags())),
    row("one of the same stop, of another attempt", replace(OLD, tags=manifest(cycle=2, attempt=2).set_tags())),
])  # fmt: skip
def test_an_older_snapshot_goes_once_it_runs_from_a_later_cycle(each: Snapshot) -> None:
    assert law.why_not_delete_snapshot(each, AWAKE, LATER) is None


def cycle_tag(number: str) -> dict[str, str]:
    return {**OLD.tags, tags.CYCLE: number}


@pytest.mark.parametrize(("each", "what", "why"), [
    row("without tags", replace(OLD, tags={}), AWAKE, "tags"),
    row("without our tag", replace(OLD, tags={key: value for key, value in OLD.tags.items() if key != tags.AUTOSTOP}),
        AWAKE, "tags"),
    row("of another workstation", replace(OLD, tags={**OLD.tags, tags.WORKSTATION: "i-0def"}), AWAKE, "tags"),
    row("of no cycle", replace(OLD, tags=without(tags.CYCLE)), AWAKE, "not older"),
    row("of a damaged cycle", replace(OLD, tags=cycle_tag("one")), AWAKE, "not older"),
    row("of the same cycle", snapshot(DATA, LATER), AWAKE, "restores from"),
    row("of the same cycle, and of a volume that its manifest does not have",
        replace(snapshot(DATA, LATER), id=SnapshotId("snap-x"), volume=VolumeId("vol-x")), AWAKE, "restores from"),
    row("of the same cycle's number, and of another stop",
        replace(OLD, tags={**cycle_tag("2"), tags.LAUNCHED_AT: NOW.isoformat()}), AWAKE, "restores from"),
    row("a backup of the owner's that copied the tags of a restored volume",
        replace(OLD, tags={**volume(DATA).tags, tags.CYCLE: "1"}), AWAKE, "tags"),
    row("of a later cycle", replace(OLD, tags=cycle_tag("3")), AWAKE, "not older"),
    row("of a device that the later cycle does not have", replace(OLD, tags={**OLD.tags, tags.DEVICE: "/dev/sdz"}),
        AWAKE, "a device that cycle 2 does not have"),
    row("that never came to carry its device, and of a volume that the later cycle does not have",
        replace(OLD, tags=manifest().set_tags(), volume=VolumeId("vol-x")), AWAKE,
        "a device that cycle 2 does not have"),
    row("the instance is not known", OLD, replace(AWAKE, instance=None), "not running"),
    *(row(f"it is {state}", OLD, replace(AWAKE, instance=instance(state)), "not running")
        for state in InstanceState if state is not RUNNING),
    row("a later one was deleted", OLD, replace(AWAKE, snapshots=(OLD, snapshot(ROOT, LATER))), "not complete"),
    row("a later one is not complete", OLD,
        replace(AWAKE, snapshots=(OLD, snapshot(ROOT, LATER), snapshot(DATA, LATER, state=SnapshotState.RECOVERABLE))),
        "not complete"),
    row("a later one does not carry its cycle any more, so that nothing would be restored from it", OLD,
        replace(AWAKE, snapshots=(OLD, snapshot(ROOT, LATER, tags=without(tags.CYCLE)), snapshot(DATA, LATER))),
        "does not carry the tags of cycle 2"),
    row("a volume is missing", OLD, replace(AWAKE, volumes=FROM_LATER[:1]), "not started from"),
    row("one volume is another", OLD, replace(AWAKE, volumes=(FROM_LATER[0], volume(DATA, id=VolumeId("vol-x")))),
        "not started from"),
    row("one volume is the one from before, and at another device", OLD,
        replace(AWAKE, volumes=(FROM_LATER[0], volume(DATA, device="/dev/sdg"))), "not started from"),
    row("volumes of the older", OLD, replace(AWAKE, volumes=(restored(ROOT), restored(DATA))), "not started from"),
])  # fmt: skip
def test_a_snapshot_stays(each: Snapshot, what: Observation, why: str) -> None:
    assert why in (law.why_not_delete_snapshot(each, what, LATER) or "")


@pytest.mark.parametrize("volumes", [
    row("restored from the later cycle", FROM_LATER),
    row("what the later cycle was made of, and is there yet", (volume(ROOT), volume(DATA))),
    row("one of each", (FROM_LATER[0], volume(DATA))),
])  # fmt: skip
def test_a_snapshot_is_replaced_by_a_later_cycle_whose_content_was_started(volumes: tuple[Volume, ...]) -> None:
    assert law.why_not_delete_snapshot(OLD, replace(AWAKE, volumes=volumes), LATER) is None


SHELVED = seen(volumes=(), snapshots=snapshots())


def test_a_volume_that_is_gone_may_be_made_from_its_own_snapshot() -> None:
    assert law.why_not_create_volume(record(DATA), SHELVED, manifest()) is None


@pytest.mark.parametrize(("what", "known", "why"), [
    row("it still exists", replace(SHELVED, volumes=(DATA_GONE,)), manifest(), "still exists"),
    row("its snapshot is gone", replace(SHELVED, snapshots=(snapshot(ROOT),)), manifest(), "is gone"),
    row("it never had one", SHELVED, unknown_snapshots(), "is gone"),
    row("a snapshot of another volume", replace(SHELVED, snapshots=(snapshot(DATA, volume=VolumeId("vol-x")),)),
        manifest(), "is not the snapshot of"),
    row("a snapshot of another cycle", replace(SHELVED, snapshots=snapshots(manifest())), manifest(cycle=2),
        "is not the snapshot of"),
    *(row(f"it is {state}", replace(SHELVED, snapshots=(snapshot(DATA, state=state),)), manifest(), f"is {state}")
        for state in SnapshotState if state is not SnapshotState.COMPLETED),
])  # fmt: skip
def test_no_volume_is_made(what: Observation, known: Manifest, why: str) -> None:
    wanted = next(each for each in known.volumes if each.device == DATA)

    assert why in (law.why_not_create_volume(wanted, what, known) or "")


@pytest.mark.parametrize(("what", "known"), [
    row("never shelved", seen(), None),
    row("as it was", seen(), manifest()),
    row("restored", seen(volumes=(restored(ROOT), restored(DATA))), manifest()),
    row("started since without its data volume: what runs now is the truth",
        seen(instance=instance(launched_at=NOW), volumes=(volume(ROOT),)), manifest()),
])  # fmt: skip
def test_it_may_be_started(what: Observation, known: Manifest | None) -> None:
    assert law.why_not_start(what, known) is None


@pytest.mark.parametrize(("what", "known", "why"), [
    row("the instance is not known", seen(instance=None), None, "not stopped"),
    *(row(f"it is {state}", seen(instance=instance(state)), None, "not stopped")
        for state in InstanceState if state is not InstanceState.STOPPED),
    row("no root, no manifest", seen(volumes=(volume(DATA),)), None, "root device"),
    row("no root", seen(volumes=(volume(DATA),)), manifest(), "root device"),
    row("no data volume", seen(volumes=(volume(ROOT),)), manifest(), "no volume at /dev/sdf"),
    row("another data volume", seen(volumes=(volume(ROOT), volume(DATA, id=VolumeId("vol-new")))), manifest(),
        "vol-new at /dev/sdf is not what was there before"),
    row("a data volume of another cycle", seen(volumes=(volume(ROOT), restored(DATA, of=manifest(cycle=7)))),
        manifest(), "not what was there before"),
])  # fmt: skip
def test_it_is_not_started(what: Observation, known: Manifest | None, why: str) -> None:
    assert why in (law.why_not_start(what, known) or "")


FAILED = snapshot(DATA, id=SnapshotId("snap-failed"), state=SnapshotState.ERROR)
ASLEEP = seen(volumes=(), snapshots=(FAILED, *snapshots()))


@pytest.mark.parametrize(("each", "what", "known"), [
    row("of an attempt before", FAILED, ASLEEP, manifest()),
    row("without a manifest", FAILED, ASLEEP, None),
    row("named by the manifest, and it was started since", snapshot(DATA, state=SnapshotState.ERROR),
        replace(ASLEEP, instance=instance(RUNNING, launched_at=NOW)), manifest()),
])  # fmt: skip
def test_a_failed_snapshot_goes(each: Snapshot, what: Observation, known: Manifest | None) -> None:
    assert law.why_not_delete_failed_snapshot(each, what, known) is None


@pytest.mark.parametrize(("each", "why"), [
    row("without our tag", replace(FAILED, tags=UNTAGGED), "tags"),
    row("of another", replace(FAILED, tags={**FAILED.tags, tags.WORKSTATION: "i-0def"}), "tags"),
    row("a backup of the owner's", replace(FAILED, tags=volume(DATA).tags), "tags"),
    row("named by the manifest", snapshot(DATA, state=SnapshotState.ERROR), "names snap-data"),
    *(row(f"it is {state}", replace(FAILED, state=state), "not failed")
        for state in SnapshotState if state is not SnapshotState.ERROR),
])  # fmt: skip
def test_a_snapshot_that_has_not_failed_for_good_stays(each: Snapshot, why: str) -> None:
    assert why in (law.why_not_delete_failed_snapshot(each, ASLEEP, manifest()) or "")


BROKEN = detached(restored(DATA), VolumeState.ERROR)
RESTORING = seen(volumes=(restored(ROOT), BROKEN), snapshots=snapshots())


def test_a_restored_volume_that_failed_goes() -> None:
    assert law.why_not_delete_failed_volume(BROKEN, RESTORING, manifest()) is None


@pytest.mark.parametrize(("each", "what", "known", "why"), [
    row("without our tag", replace(BROKEN, tags=UNTAGGED), RESTORING, manifest(), "tags"),
    row("of another workstation", replace(BROKEN, tags=NOT_OURS), RESTORING, manifest(), "tags"),
    *(row(f"it is {state}", replace(BROKEN, state=state), RESTORING, manifest(), "not failed")
        for state in VolumeState if state is not VolumeState.ERROR),
    row("attached", replace(BROKEN, attached_to=InstanceId("i-0def")), RESTORING, manifest(), "attached"),
    row("it ran on it, perhaps", BROKEN, replace(RESTORING, instance=instance(launched_at=NOW)), manifest(),
        "started since"),
    row("no instance", BROKEN, replace(RESTORING, instance=None), manifest(), "started since"),
    row("not restored by us", replace(BROKEN, snapshot=None), RESTORING, manifest(), "not restored"),
    row("restored from another cycle", BROKEN, RESTORING, manifest(cycle=2), "not restored"),
    row("its snapshot is gone", BROKEN, replace(RESTORING, snapshots=(snapshot(ROOT),)), manifest(), "not there"),
    row("its snapshot is not complete", BROKEN,
        replace(RESTORING, snapshots=(snapshot(ROOT), snapshot(DATA, state=SnapshotState.PENDING))), manifest(),
        "not there"),
])  # fmt: skip
def test_a_volume_that_may_hold_something_stays(each: Volume, what: Observation, known: Manifest, why: str) -> None:
    assert why in (law.why_not_delete_failed_volume(each, what, known) or "")


@pytest.mark.parametrize("those", [UNTAGGED, NOT_OURS], ids=["without our tag", "of another workstation"])
def test_a_volume_that_is_not_ours_is_not_attached(those: dict[str, str]) -> None:
    assert law.why_not_attach(DATA_GONE, SHELVING) is None
    assert "adopt" in (law.why_not_attach(replace(DATA_GONE, tags=those), SHELVING) or "")


COPY = detached(replace(FROM_LATER[1], id=VolumeId("vol-copy")))
IN_PLACE = tuple(each.id for each in FROM_LATER)


@pytest.mark.parametrize(("copy", "what", "started_with", "why"), [
    row("without our tags", replace(COPY, tags={}), AWAKE, IN_PLACE, "tags"),
    row("attached to another instance", replace(COPY, attached_to=InstanceId("i-other")), AWAKE, IN_PLACE, "detached"),
    row("on its way", replace(COPY, state=VolumeState.CREATING), AWAKE, IN_PLACE, "detached"),
    row("of another cycle", detached(restored(DATA)), AWAKE, IN_PLACE, "not restored from cycle 2"),
    row("it is asleep", COPY, replace(AWAKE, instance=instance()), IN_PLACE, "not running"),
    row("another was put into its place", COPY, replace(AWAKE, volumes=(FROM_LATER[0], volume(DATA))), IN_PLACE,
        "not started from another copy"),
    row("nobody knows what it was started with", COPY, AWAKE, (), "not started from another copy"),
    row("it was in its place itself", COPY, AWAKE, (*IN_PLACE, COPY.id), "holds what was written since"),
    row("its snapshot is gone", COPY, replace(AWAKE, snapshots=snapshots(LATER)[:1]), IN_PLACE, "is not there"),
])  # fmt: skip
def test_a_second_copy_that_may_hold_something_stays(
    copy: Volume, what: Observation, started_with: tuple[VolumeId, ...], why: str
) -> None:
    assert why in (law.why_not_delete_double(copy, what, LATER, started_with) or "")


def test_a_second_copy_beside_the_first_goes() -> None:
    assert law.why_not_delete_double(COPY, AWAKE, LATER, IN_PLACE) is None


def test_nothing_is_deleted_that_only_an_archive_holds() -> None:
    archived = seen(volumes=both(), snapshots=(snapshot(ROOT), snapshot(DATA, archived=True)))
    assert "archived" in (law.why_not_detach(volume(DATA), archived, manifest()) or "")
    assert law.why_not_detach(volume(ROOT), archived, manifest()) is None


def test_nothing_is_restored_from_an_archive() -> None:
    archived = seen(volumes=(), snapshots=(snapshot(ROOT), snapshot(DATA, archived=True)))
    assert "archived" in (law.why_not_create_volume(record(DATA), archived, manifest()) or "")
    assert law.why_not_create_volume(record(ROOT), archived, manifest()) is None


def test_only_what_a_cycle_made_is_replaced_by_another() -> None:
    assert law.is_replaceable(OLD, AWAKE, LATER)
    assert not law.is_replaceable(replace(OLD, tags={}), AWAKE, LATER)
    assert not law.is_replaceable(replace(OLD, tags=cycle_tag("x")), AWAKE, LATER)
    assert not law.is_replaceable(snapshots(LATER)[0], AWAKE, LATER)
