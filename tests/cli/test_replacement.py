"""What a new instance is built from, what cannot come back, and when nothing is built."""

from dataclasses import replace
from typing import Any

import pytest

from autostop import tags
from autostop.model import InstanceState, Observation, SnapshotId, SnapshotState, WorkstationId
from autostop.settings import Policy
from autostop.sleep.configuration import LaunchFacts, LaunchRecord
from autostop.sleep.from_tags import Unreadable
from autostop_cli.repair.replacement import Replacement, plan_replacement
from tests.build import (
    DATA,
    ID,
    LAUNCHED,
    NOW,
    OURS,
    ROOT,
    detached,
    instance,
    manifest,
    minutes,
    record,
    seen,
    snapshot,
    snapshots,
    volume,
)

LAUNCH = LaunchRecord(ROOT, LaunchFacts("m7g.xlarge", "subnet-1"), {"Name": "lab", "autostop:probe": "none"})
KNOWN = manifest(launch=LAUNCH, volumes=(record(DATA), record(ROOT)))


def lost(**other: Any) -> Observation:
    """A shelved workstation whose instance EC2 does not know any more."""
    return seen(**{"instance": None, "volumes": (), "snapshots": snapshots(KNOWN), **other})


def planned(what: Observation) -> Replacement:
    found = plan_replacement(what, Policy())
    assert isinstance(found, Replacement), found
    return found


def test_a_whole_and_complete_set_is_what_a_new_instance_is_built_from() -> None:
    for there in (None, instance(InstanceState.TERMINATED)):
        found = planned(lost(instance=there))
        assert (found.manifest, found.launch, found.warnings) == (KNOWN, LAUNCH, ())
        assert found.instance_tags() == {
            "Name": "lab",
            "autostop": "on",
            "autostop:probe": "none",
            "autostop:recovered-from": ID,
            "autostop:recovered-cycle": "1",
        }
        assert found.image_name == "autostop-i-0abc-cycle-1-1"
        assert any("instance id" in each for each in found.lost)


def test_its_manifest_is_of_the_new_workstation_and_does_not_hold_since_its_launch() -> None:
    new = WorkstationId("i-0new")

    mine = planned(lost()).manifest_for(new)

    assert mine.workstation == new
    assert mine.volumes == KNOWN.volumes
    assert not mine.holds_since(instance(id=new, launched_at=NOW))


@pytest.mark.parametrize(
    ("what", "why"),
    [
        pytest.param(lost(instance=instance()), "the instance is there", id="not gone"),
        pytest.param(lost(instance=instance(InstanceState.SHUTTING_DOWN)), "still terminating", id="not gone yet"),
        pytest.param(lost(snapshots=()), "no snapshot of it", id="nothing left"),
        pytest.param(lost(snapshots=(snapshot(ROOT, KNOWN),)), "not whole: there is no snapshot of sdf", id="in part"),
        pytest.param(
            lost(
                volumes=(detached(volume(DATA)), detached(volume())),
                snapshots=snapshots(KNOWN, state=SnapshotState.ERROR),
            ),
            "is error",
            id="failed",
        ),
        pytest.param(
            lost(snapshots=snapshots(KNOWN, state=SnapshotState.PENDING)), "pending. Try again", id="not complete yet"
        ),
        pytest.param(lost(snapshots=snapshots(manifest())), "an older version", id="the instance is not described"),
        pytest.param(
            lost(
                snapshots=tuple(
                    replace(each, tags={**each.tags, f"{tags.INSTANCE_PIECE}1-of-1": "{}"})
                    for each in snapshots(manifest())
                )
            ),
            "that describe the instance are damaged",
            id="the description is damaged",
        ),
    ],
)
def test_nothing_is_built_without_all_of_it(what: Observation, why: str) -> None:
    found = plan_replacement(what, Policy())

    assert isinstance(found, Unreadable)
    assert why in found.reason


@pytest.mark.parametrize(
    ("what", "why"),
    [
        pytest.param(
            lost(instance=instance(InstanceState.TERMINATED, launched_at=LAUNCHED + minutes(900))),
            "started again after its last shelving",
            id="it ran since",
        ),
        pytest.param(
            lost(volumes=(detached(volume(DATA)),)), "vol-data (/dev/sdf) still exists", id="a volume is left"
        ),
        pytest.param(
            lost(snapshots=snapshots(replace(KNOWN, launch=replace(LAUNCH, left_out=2)))), "2 of its tags", id="tags"
        ),
        pytest.param(
            lost(snapshots=snapshots(replace(KNOWN, launch=replace(LAUNCH, tags={"autostop:probe": "https"})))),
            "Jupyter's token",
            id="asked by https",
        ),
        pytest.param(
            lost(snapshots=(*snapshots(KNOWN), snapshot(id=SnapshotId("snap-b"), tags=OURS, started_at=NOW))),
            "snap-b is newer",
            id="a newer backup",
        ),
    ],
)
def test_the_owner_is_warned(what: Observation, why: str) -> None:
    (warning,) = planned(what).warnings

    assert why in warning
