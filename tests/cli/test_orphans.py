"""What is left over: deletable only when it holds nothing that is not elsewhere."""

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
    VolumeId,
    VolumeState,
    WorkstationId,
    instance_of,
)
from autostop_cli.repair.orphans import Kind, Orphan, Standing, find_orphans
from tests.build import (
    DATA,
    NOW,
    OURS,
    ROOT,
    both,
    detached,
    instance,
    manifest,
    restored,
    row,
    seen,
    snapshot,
    snapshots,
    volume,
)

RUNNING = instance(InstanceState.RUNNING, launched_at=NOW)
WELL = Standing(manifest(), at_rest=True, ready=True)
NOTHING = Standing(None, at_rest=True, ready=False)


def cycle(number: int, **other: Any) -> tuple[Snapshot, ...]:
    """The set of another cycle, with ids of its own."""
    return tuple(
        replace(each, id=SnapshotId(f"{each.id}-{number}"), **other) for each in snapshots(manifest(cycle=number))
    )


def found(what: Observation, standing: Standing = NOTHING) -> dict[str, bool]:
    """What is left over; True for what may be the only copy."""
    return {each.id: each.precious for each in find_orphans(what, standing, {})}


def gone(**other: Any) -> Observation:
    return seen(**{"instance": None, "volumes": (), **other})


FAILED = detached(restored(DATA, id=VolumeId("vol-failed")), VolumeState.ERROR)


@pytest.mark.parametrize(("what", "expected"), [
    row("nothing", gone(), {}),
    row("its last whole set", gone(snapshots=snapshots()), {"snap-root": True, "snap-data": True}),
    row("a part of a set", gone(snapshots=(snapshot(ROOT),)), {"snap-root": True}),
    row("the set before the last: the last was never started from", gone(snapshots=(*snapshots(), *cycle(2))),
        {"snap-root": True, "snap-data": True, "snap-root-2": True, "snap-data-2": True}),
    row("a set before those", gone(snapshots=(*snapshots(), *cycle(2), *cycle(3))),
        {"snap-root": False, "snap-data": False, "snap-root-2": True, "snap-data-2": True, "snap-root-3": True,
            "snap-data-3": True}),
    row("older sets while the last is not whole", gone(snapshots=(*snapshots(), *cycle(2), *cycle(3)[:1])),
        dict.fromkeys(["snap-root", "snap-data", "snap-root-2", "snap-data-2", "snap-root-3"], True)),
    row("failed", gone(snapshots=snapshots(state=SnapshotState.ERROR)), {"snap-root": False, "snap-data": False}),
    row("older sets while the last is pending",
        gone(snapshots=(*cycle(1), *cycle(2), *cycle(3, state=SnapshotState.PENDING))),
        dict.fromkeys([f"snap-{each}-{n}" for each in ("root", "data") for n in (1, 2, 3)], True)),
    row("a backup with copied tags", gone(snapshots=(replace(snapshot(), tags={**OURS, tags.CYCLE: "1"}),)), {}),
    row("a volume", gone(volumes=(detached(volume(DATA)),)), {"vol-data": True}),
    row("a volume that EBS could not restore", gone(volumes=(FAILED,)), {"vol-failed": False}),
    row("a volume that another one uses",
        gone(volumes=(replace(volume(DATA), attached_to=instance_of(WorkstationId("i-0other"))),)), {}),
    row("a volume without our tags", gone(volumes=(detached(replace(volume(DATA), tags={})),)), {}),
    row("not a workstation any more", seen(instance=instance(tags={}), volumes=(volume(), detached(volume(DATA))),
            snapshots=snapshots()), {"vol-data": True, "snap-root": True, "snap-data": True}),
])  # fmt: skip
def test_left_by_a_workstation_that_is_gone(what: Observation, expected: dict[str, bool]) -> None:
    assert found(what) == expected


STARTED = (restored(ROOT), restored(DATA))
DOUBLE = detached(restored(DATA, id=VolumeId("vol-double")))


@pytest.mark.parametrize(("what", "standing", "expected"), [
    row("all in use", seen(snapshots=snapshots()), WELL, {}),
    row("what it was started from", seen(instance=RUNNING, volumes=STARTED, snapshots=snapshots()), WELL, {}),
    row("a second copy", seen(instance=RUNNING, volumes=(*STARTED, DOUBLE), snapshots=snapshots()), WELL,
        {"vol-double": False}),
    row("a second copy whose snapshot is gone", seen(instance=RUNNING, volumes=(*STARTED, DOUBLE), snapshots=()), WELL,
        {"vol-double": True}),
    row("a volume whose place another one has",
        seen(instance=RUNNING, volumes=(*STARTED, detached(volume(DATA))), snapshots=snapshots()), WELL,
        {"vol-data": True}),
    row("a volume set aside", seen(instance=RUNNING, volumes=(STARTED[0], detached(volume(DATA)))), WELL, {}),
    row("EBS could not restore it", seen(volumes=(FAILED,), snapshots=snapshots()), WELL, {"vol-failed": False}),
    row("an older cycle, after a start that was seen to work",
        seen(instance=RUNNING, volumes=STARTED, snapshots=(*snapshots(), *cycle(0))), WELL,
        {"snap-root-0": False, "snap-data-0": False}),
    row("an older cycle, after a start that nobody saw work",
        seen(instance=RUNNING, volumes=STARTED, snapshots=(*snapshots(), *cycle(0))), replace(WELL, ready=False), {}),
    row("failed ones", seen(snapshots=(*snapshots(), *cycle(0, state=SnapshotState.ERROR))), WELL,
        {"snap-root-0": False, "snap-data-0": False}),
    row("anything, while something is under way",
        seen(instance=RUNNING, volumes=(*STARTED, DOUBLE), snapshots=snapshots()), replace(WELL, at_rest=False), {}),
    row("the next start's", seen(volumes=tuple(detached(each) for each in both()), snapshots=snapshots()), WELL, {}),
])  # fmt: skip
def test_left_by_a_workstation_that_is_there(what: Observation, standing: Standing, expected: dict[str, bool]) -> None:
    assert found(what, standing) == expected


def test_an_image_is_left_by_a_recovery_and_costs_nothing_itself() -> None:
    assert find_orphans(gone(), NOTHING, {"ami-1": "autostop-x"}) == [
        Orphan(
            Kind.IMAGE,
            "ami-1",
            gone().workstation,
            0.0,
            "autostop-x: left by a recovery. Its snapshots are not touched",
        )
    ]


def test_each_has_its_price() -> None:
    left = find_orphans(gone(volumes=(detached(volume(DATA)),), snapshots=snapshots()), NOTHING, {})

    assert {each.id: round(each.cost, 2) for each in left} == {"vol-data": 40.0, "snap-root": 2.5, "snap-data": 25.0}
