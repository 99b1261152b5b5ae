"""Each guard of the law by itself: everything else is as it should be, one thing is not, and the answer is no."""

from dataclasses import replace
from typing import Any

import pytest

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
    WorkstationId,
)
from autostop.sleep import law
from autostop.sleep.manifest import Manifest
from tests.build import (
    DATA,
    LAUNCHED,
    NOW,
    ROOT,
    STOPPED,
    detached,
    instance,
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


@pytest.mark.parametrize(
    ("each", "what", "known", "why"),
    [
        pytest.param(replace(DATA_GONE, tags=UNTAGGED), SHELVING, manifest(), "tags", id="without our tag"),
        pytest.param(replace(DATA_GONE, tags=NOT_OURS), SHELVING, manifest(), "tags", id="of another workstation"),
        pytest.param(volume(DATA), SHELVING, manifest(), "not detached", id="attached"),
        pytest.param(
            replace(DATA_GONE, state=VolumeState.IN_USE), SHELVING, manifest(), "not detached", id="in use somewhere"
        ),
        pytest.param(
            replace(DATA_GONE, attached_to=WorkstationId("i-0def")),
            SHELVING,
            manifest(),
            "not detached",
            id="available in one list, attached elsewhere in the other",
        ),
        pytest.param(
            DATA_GONE, replace(SHELVING, instance=None), manifest(), "not stopped", id="the instance is not known"
        ),
        *(
            pytest.param(
                DATA_GONE, replace(SHELVING, instance=instance(state)), manifest(), "not stopped", id=f"it is {state}"
            )
            for state in InstanceState
            if state is not InstanceState.STOPPED
        ),
        pytest.param(
            DATA_GONE,
            replace(SHELVING, instance=instance(launched_at=LAUNCHED + minutes(700))),
            manifest(),
            "started since",
            id="started since",
        ),
        pytest.param(
            DATA_GONE,
            replace(SHELVING, instance=instance(launched_at=LAUNCHED - minutes(1))),
            manifest(),
            "started since",
            id="another launch time, though an earlier one",
        ),
        pytest.param(
            DATA_GONE,
            SHELVING,
            manifest(volumes=(record(ROOT),)),
            "not in the manifest",
            id="not in the manifest",
        ),
        pytest.param(replace(DATA_GONE, size_gib=501), SHELVING, manifest(), "was changed", id="it grew"),
        pytest.param(replace(DATA_GONE, type="io2"), SHELVING, manifest(), "was changed", id="another type"),
        pytest.param(replace(DATA_GONE, iops=4000), SHELVING, manifest(), "was changed", id="other IOPS"),
        pytest.param(replace(DATA_GONE, throughput=250), SHELVING, manifest(), "was changed", id="other throughput"),
        pytest.param(
            DATA_GONE, replace(SHELVING, snapshots=(snapshot(ROOT),)), manifest(), "not there", id="no snapshot"
        ),
        pytest.param(DATA_GONE, SHELVING, unknown_snapshots(), "not there", id="its snapshot is not known"),
        pytest.param(
            DATA_GONE,
            with_snapshot(volume=VolumeId("vol-root")),
            manifest(),
            "not a snapshot of vol-data",
            id="of another volume",
        ),
        *(
            pytest.param(
                DATA_GONE, with_snapshot(state=state), manifest(), "not completed", id=f"its snapshot is {state}"
            )
            for state in SnapshotState
            if state is not SnapshotState.COMPLETED
        ),
        pytest.param(
            DATA_GONE,
            with_snapshot(started_at=STOPPED - minutes(0.01)),
            manifest(),
            "before the instance stopped",
            id="begun just before the stop",
        ),
        *(
            pytest.param(DATA_GONE, with_snapshot(tags=without(tag)), manifest(), "manifest", id=f"without {tag}")
            for tag in snapshot(DATA).tags
        ),
        pytest.param(
            DATA_GONE,
            with_snapshot(tags={**snapshot(DATA).tags, tags.CYCLE: "2"}),
            manifest(),
            "does not carry its manifest",
            id="with the tags of another cycle",
        ),
    ],
)
def test_a_volume_stays(each: Volume, what: Observation, known: Manifest, why: str) -> None:
    assert why in (law.why_not_delete_volume(each, what, known) or "")


def test_a_snapshot_begun_at_the_very_stop_counts() -> None:
    # The stop was asked for then; the snapshot was asked for when it was seen, which is later.
    assert law.why_not_delete_volume(DATA_GONE, with_snapshot(started_at=STOPPED), manifest()) is None


def test_an_attached_volume_may_be_detached_but_not_deleted() -> None:
    attached = seen(snapshots=snapshots())

    assert law.why_not_detach(volume(DATA), attached, manifest()) is None
    assert law.why_not_delete_volume(volume(DATA), attached, manifest()) is not None


LATER = manifest(cycle=2)
OLD = snapshot(DATA, id=SnapshotId("snap-old"))
FROM_LATER = (restored(ROOT, of=LATER), restored(DATA, of=LATER))
AWAKE = seen(instance=instance(RUNNING), volumes=FROM_LATER, snapshots=(OLD, *snapshots(LATER)))


@pytest.mark.parametrize(
    "each",
    [
        pytest.param(OLD, id="an older one of a device that the later cycle has"),
        pytest.param(replace(OLD, state=SnapshotState.ERROR), id="an older one that failed"),
        pytest.param(replace(OLD, tags=manifest().set_tags()), id="an older one that never came to carry its device"),
        pytest.param(replace(OLD, tags=LATER.set_tags()), id="one of the same stop that was made twice"),
        pytest.param(
            replace(OLD, tags=manifest(cycle=2, attempt=2).set_tags()), id="one of the same stop, of another attempt"
        ),
    ],
)
def test_an_older_snapshot_goes_once_it_runs_from_a_later_cycle(each: Snapshot) -> None:
    assert law.why_not_delete_snapshot(each, AWAKE, LATER) is None


def cycle_tag(number: str) -> dict[str, str]:
    return {**OLD.tags, tags.CYCLE: number}


@pytest.mark.parametrize(
    ("each", "what", "why"),
    [
        pytest.param(replace(OLD, tags={}), AWAKE, "tags", id="without tags"),
        pytest.param(
            replace(OLD, tags={key: value for key, value in OLD.tags.items() if key != tags.AUTOSTOP}),
            AWAKE,
            "tags",
            id="without our tag",
        ),
        pytest.param(
            replace(OLD, tags={**OLD.tags, tags.WORKSTATION: "i-0def"}), AWAKE, "tags", id="of another workstation"
        ),
        pytest.param(replace(OLD, tags=without(tags.CYCLE)), AWAKE, "not older", id="of no cycle"),
        pytest.param(replace(OLD, tags=cycle_tag("one")), AWAKE, "not older", id="of a damaged cycle"),
        pytest.param(snapshot(DATA, LATER), AWAKE, "restores from", id="of the same cycle"),
        pytest.param(
            replace(snapshot(DATA, LATER), id=SnapshotId("snap-x"), volume=VolumeId("vol-x")),
            AWAKE,
            "restores from",
            id="of the same cycle, and of a volume that its manifest does not have",
        ),
        pytest.param(
            replace(OLD, tags={**cycle_tag("2"), tags.LAUNCHED_AT: NOW.isoformat()}),
            AWAKE,
            "restores from",
            id="of the same cycle's number, and of another stop",
        ),
        pytest.param(
            replace(OLD, tags={**volume(DATA).tags, tags.CYCLE: "1"}),
            AWAKE,
            "tags",
            id="a backup of the owner's that copied the tags of a restored volume",
        ),
        pytest.param(replace(OLD, tags=cycle_tag("3")), AWAKE, "not older", id="of a later cycle"),
        pytest.param(
            replace(OLD, tags={**OLD.tags, tags.DEVICE: "/dev/sdz"}),
            AWAKE,
            "a device that cycle 2 does not have",
            id="of a device that the later cycle does not have",
        ),
        pytest.param(OLD, replace(AWAKE, instance=None), "not running", id="the instance is not known"),
        *(
            pytest.param(OLD, replace(AWAKE, instance=instance(state)), "not running", id=f"it is {state}")
            for state in InstanceState
            if state is not RUNNING
        ),
        pytest.param(
            OLD, replace(AWAKE, snapshots=(OLD, snapshot(ROOT, LATER))), "not complete", id="a later one was deleted"
        ),
        pytest.param(
            OLD,
            replace(
                AWAKE, snapshots=(OLD, snapshot(ROOT, LATER), snapshot(DATA, LATER, state=SnapshotState.RECOVERABLE))
            ),
            "not complete",
            id="a later one is not complete",
        ),
        pytest.param(OLD, replace(AWAKE, volumes=FROM_LATER[:1]), "not started from", id="a volume is missing"),
        pytest.param(
            OLD,
            replace(AWAKE, volumes=(FROM_LATER[0], volume(DATA))),
            "not started from",
            id="one volume is the one from before",
        ),
        pytest.param(
            OLD, replace(AWAKE, volumes=(restored(ROOT), restored(DATA))), "not started from", id="volumes of the older"
        ),
    ],
)
def test_a_snapshot_stays(each: Snapshot, what: Observation, why: str) -> None:
    assert why in (law.why_not_delete_snapshot(each, what, LATER) or "")


SHELVED = seen(volumes=(), snapshots=snapshots())


def test_a_volume_that_is_gone_may_be_made_from_its_own_snapshot() -> None:
    assert law.why_not_create_volume(record(DATA), SHELVED, manifest()) is None


@pytest.mark.parametrize(
    ("what", "known", "why"),
    [
        pytest.param(replace(SHELVED, volumes=(DATA_GONE,)), manifest(), "still exists", id="it still exists"),
        pytest.param(replace(SHELVED, snapshots=(snapshot(ROOT),)), manifest(), "is gone", id="its snapshot is gone"),
        pytest.param(SHELVED, unknown_snapshots(), "is gone", id="it never had one"),
        pytest.param(
            replace(SHELVED, snapshots=(snapshot(DATA, volume=VolumeId("vol-x")),)),
            manifest(),
            "is not the snapshot of",
            id="a snapshot of another volume",
        ),
        pytest.param(
            replace(SHELVED, snapshots=snapshots(manifest())),
            manifest(cycle=2),
            "is not the snapshot of",
            id="a snapshot of another cycle",
        ),
        *(
            pytest.param(
                replace(SHELVED, snapshots=(snapshot(DATA, state=state),)),
                manifest(),
                f"is {state}",
                id=f"it is {state}",
            )
            for state in SnapshotState
            if state is not SnapshotState.COMPLETED
        ),
    ],
)
def test_no_volume_is_made(what: Observation, known: Manifest, why: str) -> None:
    wanted = next(each for each in known.volumes if each.device == DATA)

    assert why in (law.why_not_create_volume(wanted, what, known) or "")


@pytest.mark.parametrize(
    ("what", "known"),
    [
        pytest.param(seen(), None, id="never shelved"),
        pytest.param(seen(), manifest(), id="as it was"),
        pytest.param(seen(volumes=(restored(ROOT), restored(DATA))), manifest(), id="restored"),
        pytest.param(
            seen(instance=instance(launched_at=NOW), volumes=(volume(ROOT),)),
            manifest(),
            id="started since without its data volume: what runs now is the truth",
        ),
    ],
)
def test_it_may_be_started(what: Observation, known: Manifest | None) -> None:
    assert law.why_not_start(what, known) is None


@pytest.mark.parametrize(
    ("what", "known", "why"),
    [
        pytest.param(seen(instance=None), None, "not stopped", id="the instance is not known"),
        *(
            pytest.param(seen(instance=instance(state)), None, "not stopped", id=f"it is {state}")
            for state in InstanceState
            if state is not InstanceState.STOPPED
        ),
        pytest.param(seen(volumes=(volume(DATA),)), None, "root device", id="no root, no manifest"),
        pytest.param(seen(volumes=(volume(DATA),)), manifest(), "root device", id="no root"),
        pytest.param(seen(volumes=(volume(ROOT),)), manifest(), "no volume at /dev/sdf", id="no data volume"),
        pytest.param(
            seen(volumes=(volume(ROOT), volume(DATA, id=VolumeId("vol-new")))),
            manifest(),
            "vol-new at /dev/sdf is not what was there before",
            id="another data volume",
        ),
        pytest.param(
            seen(volumes=(volume(ROOT), restored(DATA, of=manifest(cycle=7)))),
            manifest(),
            "not what was there before",
            id="a data volume of another cycle",
        ),
    ],
)
def test_it_is_not_started(what: Observation, known: Manifest | None, why: str) -> None:
    assert why in (law.why_not_start(what, known) or "")


FAILED = snapshot(DATA, id=SnapshotId("snap-failed"), state=SnapshotState.ERROR)
ASLEEP = seen(volumes=(), snapshots=(FAILED, *snapshots()))


@pytest.mark.parametrize(
    ("each", "what", "known"),
    [
        pytest.param(FAILED, ASLEEP, manifest(), id="of an attempt before"),
        pytest.param(FAILED, ASLEEP, None, id="without a manifest"),
        pytest.param(
            snapshot(DATA, state=SnapshotState.ERROR),
            replace(ASLEEP, instance=instance(RUNNING, launched_at=NOW)),
            manifest(),
            id="named by the manifest, and it was started since",
        ),
    ],
)
def test_a_failed_snapshot_goes(each: Snapshot, what: Observation, known: Manifest | None) -> None:
    assert law.why_not_delete_failed_snapshot(each, what, known) is None


@pytest.mark.parametrize(
    ("each", "why"),
    [
        pytest.param(replace(FAILED, tags=UNTAGGED), "tags", id="without our tag"),
        pytest.param(replace(FAILED, tags={**FAILED.tags, tags.WORKSTATION: "i-0def"}), "tags", id="of another"),
        pytest.param(replace(FAILED, tags=volume(DATA).tags), "tags", id="a backup of the owner's"),
        pytest.param(snapshot(DATA, state=SnapshotState.ERROR), "names snap-data", id="named by the manifest"),
        *(
            pytest.param(replace(FAILED, state=state), "not failed", id=f"it is {state}")
            for state in SnapshotState
            if state is not SnapshotState.ERROR
        ),
    ],
)
def test_a_snapshot_that_has_not_failed_for_good_stays(each: Snapshot, why: str) -> None:
    assert why in (law.why_not_delete_failed_snapshot(each, ASLEEP, manifest()) or "")


BROKEN = detached(restored(DATA), VolumeState.ERROR)
RESTORING = seen(volumes=(restored(ROOT), BROKEN), snapshots=snapshots())


def test_a_restored_volume_that_failed_goes() -> None:
    assert law.why_not_delete_failed_volume(BROKEN, RESTORING, manifest()) is None


@pytest.mark.parametrize(
    ("each", "what", "known", "why"),
    [
        pytest.param(replace(BROKEN, tags=UNTAGGED), RESTORING, manifest(), "tags", id="without our tag"),
        pytest.param(replace(BROKEN, tags=NOT_OURS), RESTORING, manifest(), "tags", id="of another workstation"),
        *(
            pytest.param(replace(BROKEN, state=state), RESTORING, manifest(), "not failed", id=f"it is {state}")
            for state in VolumeState
            if state is not VolumeState.ERROR
        ),
        pytest.param(
            replace(BROKEN, attached_to=WorkstationId("i-0def")), RESTORING, manifest(), "attached", id="attached"
        ),
        pytest.param(
            BROKEN,
            replace(RESTORING, instance=instance(launched_at=NOW)),
            manifest(),
            "started since",
            id="it ran on it, perhaps",
        ),
        pytest.param(BROKEN, replace(RESTORING, instance=None), manifest(), "started since", id="no instance"),
        pytest.param(replace(BROKEN, snapshot=None), RESTORING, manifest(), "not restored", id="not restored by us"),
        pytest.param(BROKEN, RESTORING, manifest(cycle=2), "not restored", id="restored from another cycle"),
        pytest.param(
            BROKEN, replace(RESTORING, snapshots=(snapshot(ROOT),)), manifest(), "not there", id="its snapshot is gone"
        ),
        pytest.param(
            BROKEN,
            replace(RESTORING, snapshots=(snapshot(ROOT), snapshot(DATA, state=SnapshotState.PENDING))),
            manifest(),
            "not there",
            id="its snapshot is not complete",
        ),
    ],
)
def test_a_volume_that_may_hold_something_stays(each: Volume, what: Observation, known: Manifest, why: str) -> None:
    assert why in (law.why_not_delete_failed_volume(each, what, known) or "")


@pytest.mark.parametrize("those", [UNTAGGED, NOT_OURS], ids=["without our tag", "of another workstation"])
def test_a_volume_that_is_not_ours_is_not_attached(those: dict[str, str]) -> None:
    assert law.why_not_attach(DATA_GONE, SHELVING) is None
    assert "adopt" in (law.why_not_attach(replace(DATA_GONE, tags=those), SHELVING) or "")
