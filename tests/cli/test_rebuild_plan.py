"""What a new instance is built from, what cannot come back, and when nothing is built."""

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from autostop import tags
from autostop.launch_facts import LaunchFacts, LaunchRecord
from autostop.model import InstanceState, Observation, SnapshotId, SnapshotState, WorkstationId
from autostop.settings import Policy
from autostop.sleep.from_tags import UnreadableError
from autostop_cli.repair.rebuild_plan import RebuildPlan, plan_rebuild
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
    row,
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


def planned(what: Observation, told: Mapping[str, Any] | None = None) -> RebuildPlan:
    return plan_rebuild(what, told or {}, Policy())


def test_a_whole_and_complete_set_is_what_a_new_instance_is_built_from() -> None:
    for there in (None, instance(InstanceState.TERMINATED)):
        plan = planned(lost(instance=there))
        assert (plan.manifest, plan.configuration, plan.warnings) == (KNOWN, LAUNCH, ())
        assert plan.instance_tags() == {
            "Name": "lab", "autostop": "on", "autostop:probe": "none", "autostop:recovered-from": ID,
            "autostop:recovered-cycle": "1",
        }  # fmt: skip
        assert plan.image_name == "autostop-i-0abc-cycle-1-1"
        assert any("instance id" in each for each in plan.lost)


def test_its_manifest_is_of_the_new_workstation_and_does_not_hold_since_its_launch() -> None:
    new = WorkstationId("i-0new")

    mine = planned(lost()).manifest_for(new)

    assert mine.workstation == new
    assert mine.volumes == KNOWN.volumes
    assert not mine.holds_since(instance(id=new, launched_at=NOW))


@pytest.mark.parametrize(("what", "why"), [
    row("not gone", lost(instance=instance()), "the instance is there"),
    row("not gone yet", lost(instance=instance(InstanceState.SHUTTING_DOWN)), "still terminating"),
    row("nothing left", lost(snapshots=()), "no snapshot of it"),
    row("in part", lost(snapshots=(snapshot(ROOT, KNOWN),)), "not whole: there is no snapshot of sdf"),
    row("failed", lost(volumes=(detached(volume(DATA)), detached(volume())),
            snapshots=snapshots(KNOWN, state=SnapshotState.ERROR)), "is error"),
    row("not complete yet", lost(snapshots=snapshots(KNOWN, state=SnapshotState.PENDING)), "pending. Try again"),
    row("the instance is not described", lost(snapshots=snapshots(manifest())), "an older version"),
    row("the description is damaged",
        lost(snapshots=tuple(replace(each, tags={**each.tags,
                        f"{tags.INSTANCE_PIECE}1-of-1": "{}"}) for each in snapshots(manifest()))),
        "that describe the instance are damaged"),
])  # fmt: skip
def test_nothing_is_built_without_all_of_it(what: Observation, why: str) -> None:
    with pytest.raises(UnreadableError, match=re.escape(why)):
        planned(what)


@pytest.mark.parametrize(("what", "why"), [
    row("it ran since", lost(instance=instance(InstanceState.TERMINATED, launched_at=LAUNCHED + minutes(900))),
        "started again after its last shelving"),
    row("a volume is left", lost(volumes=(detached(volume(DATA)),)), "vol-data (/dev/sdf) still exists"),
    row("tags", lost(snapshots=snapshots(replace(KNOWN, launch=replace(LAUNCH, left_out=2)))), "2 of its tags"),
    row("asked by https",
        lost(snapshots=snapshots(replace(KNOWN, launch=replace(LAUNCH, tags={"autostop:probe": "https"})))),
        "Jupyter's token"),
    row("another type for want of capacity",
        lost(snapshots=snapshots(
            replace(KNOWN, launch=replace(LAUNCH, tags={tags.INSTANCE_TYPE: "p5.4xlarge m7g.xlarge"})))),
        "its own type is p5.4xlarge: its next start after this one changes it to that"),
    row("a newer backup",
        lost(snapshots=(*snapshots(KNOWN), snapshot(id=SnapshotId("snap-b"), tags=OURS, started_at=NOW))),
        "snap-b is newer"),
])  # fmt: skip
def test_the_owner_is_warned(what: Observation, why: str) -> None:
    (warning,) = planned(what).warnings

    assert why in warning


TOLD = {"InstanceType": "m7g.2xlarge", "UserData": b"#!/bin/sh", "CreditSpecification": {"CpuCredits": "standard"}}
INTERFACE = {"DeviceIndex": 0, "SubnetId": "subnet-2", "Groups": ["sg-2"]}


def test_what_ec2_still_tells_comes_before_what_was_recorded_and_its_user_data_is_warned_of() -> None:
    plan = planned(lost(), TOLD)

    assert plan.parameters == {"SubnetId": "subnet-1", **TOLD}
    assert "cloud-init runs such a script again" in plan.warnings[0]
    assert len(plan.lost) < len(planned(lost()).lost)


def test_interfaces_that_ec2_still_tells_take_the_place_of_subnet_and_groups() -> None:
    told = {"NetworkInterfaces": [INTERFACE]}

    assert planned(lost(), told).parameters == {"InstanceType": "m7g.xlarge", **told}
