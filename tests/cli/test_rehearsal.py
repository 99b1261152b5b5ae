"""Rehearsals: what they may touch, when they are refused, and what they find different."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from autostop import tags
from autostop.model import AttachmentState, InstanceState, SpotKind, Volume, VolumeId, WorkstationId
from autostop.sleep.intent import Intent, Wanted
from autostop.sleep.manifest import latest_cycle
from autostop_cli.rehearse.rehearsal import (
    Content,
    Rehearsal,
    Rehearsed,
    Report,
    compare,
    cost_an_hour,
    is_of,
    may_start,
    stopped_mark,
    was_stopped_by_one,
    why_not_rehearse,
)
from tests import build
from tests.build import row

REHEARSAL = Rehearsal(build.manifest())


def scratch(**other: Any) -> Volume:
    """The scratch volume of the data volume, as EBS makes it."""
    record = build.record(build.DATA)
    made = build.restored(build.DATA, tags=REHEARSAL.volume_tags(record), id=VolumeId("vol-scratch"))
    return replace(build.detached(made), **other)


# -- what belongs to a rehearsal, and what never does


def test_what_it_makes_is_never_taken_for_a_cycle_or_for_the_workstations_own() -> None:
    manifest = build.unknown_snapshots()
    snapshot = build.snapshot(tags=REHEARSAL.set_tags())
    assert not manifest.made(snapshot)
    assert snapshot.cycle is None
    assert latest_cycle(build.seen(volumes=(scratch(),), snapshots=(snapshot,))) == 0
    assert not any(build.manifest().is_restored(scratch(), record) for record in build.manifest().volumes)
    assert {tags.WORKSTATION, tags.CYCLE, tags.DEVICE}.isdisjoint(scratch().tags)


@pytest.mark.parametrize(("carried", "expected"), [
    row("made by one", REHEARSAL.set_tags(), True),
    row("without the tag that lets Autostop touch it", {tags.REHEARSAL: REHEARSAL.name}, False),
    row("of nobody", {tags.AUTOSTOP: tags.ON}, False),
    row("of another workstation", {tags.AUTOSTOP: tags.ON, tags.REHEARSAL: "i-0abcd/2026"}, False),
    row("of a cycle too", {**REHEARSAL.set_tags(), tags.CYCLE: "3"}, False),
    row("of a workstation too", {**REHEARSAL.set_tags(), tags.WORKSTATION: build.ID}, False),
])  # fmt: skip
def test_only_what_a_rehearsal_made_is_its_own(carried: dict[str, str], expected: bool) -> None:
    assert is_of(build.volume(tags=carried), build.ID) is expected
    assert REHEARSAL.made(build.snapshot(tags=carried)) is expected


def test_another_rehearsal_of_the_same_workstation_is_another() -> None:
    later = Rehearsal(build.manifest(written_at=build.NOW + timedelta(seconds=1)))
    made = build.snapshot(tags=later.set_tags())
    assert is_of(made, build.ID)
    assert not REHEARSAL.made(made)
    assert later.token(build.record()) != REHEARSAL.token(build.record())


def test_the_mark_on_an_instance_means_nothing_after_another_start() -> None:
    marked = build.instance(tags=stopped_mark(build.LAUNCHED))
    assert was_stopped_by_one(marked)
    assert not was_stopped_by_one(replace(marked, launched_at=build.NOW))
    assert not was_stopped_by_one(build.instance())


# -- refusals


def refusals(instance: Any = None, volumes: Any = None, intent: Intent | None = None) -> list[str]:
    seen = build.seen(instance=instance or build.instance(), volumes=build.both() if volumes is None else volumes)
    return list(why_not_rehearse(seen, intent))


@pytest.mark.parametrize("state", [InstanceState.RUNNING, InstanceState.STOPPED])
def test_nothing_speaks_against_an_adopted_one(state: InstanceState) -> None:
    assert refusals(build.instance(state), intent=build.intent(Wanted.STOP).settle(build.NOW)) == []


@pytest.mark.parametrize(("instance", "words"), [
    ({"state": InstanceState.TERMINATED}, "terminated"),
    ({"tags": {"Name": "lab"}}, "--shelve-after off"),
    ({"spot": SpotKind.PERSISTENT}, "only stopped"),
    ({"hibernation": True}, "hibernation"),
    ({"stop_protected": True}, "disableApiStop"),
    ({"instance_store_gb": 250}, "instance-store"),
    ({"marketplace": True}, "Marketplace"),
    ({"tags": {tags.AUTOSTOP: "on", tags.AUTO_SCALING_GROUP: "fleet"}}, "fleet"),
    ({"root_is_ebs": False}, "instance store"),
    ({"state": InstanceState.STOPPING}, "it is stopping"),
    ({"root_device": "/dev/sda1"}, "no volume at its root device"),
], ids=lambda value: next(iter(value)) if isinstance(value, dict) else "")  # fmt: skip
def test_an_instance_that_is_not_shelved_is_not_rehearsed(instance: dict[str, Any], words: str) -> None:
    [refusal] = refusals(build.instance(**instance))
    assert words in refusal


@pytest.mark.parametrize(("volumes", "words"), [
    ([], "asleep"),
    ([build.volume(), build.volume(build.DATA, multi_attach=True)], "several instances"),
    ([build.volume(), build.volume(build.DATA, tags={})], "is not adopted"),
    ([build.volume(), build.volume(build.DATA, attachment=AttachmentState.DETACHING)], "is detaching"),
    ([build.volume(), build.detached(build.volume(build.DATA))], "is not attached"),
], ids=["none", "multi-attach", "not adopted", "detaching", "detached"])  # fmt: skip
def test_volumes_that_are_not_shelved_are_not_rehearsed(volumes: list[Volume], words: str) -> None:
    [refusal] = refusals(volumes=volumes)
    assert words in refusal


def test_it_waits_for_what_is_wanted_now() -> None:
    [refusal] = refusals(intent=build.intent(Wanted.SHELVE))
    assert "on the way to `shelve`" in refusal


@pytest.mark.parametrize(("wanted", "expected"), [(None, True), (Wanted.RUN, True), (Wanted.STOP, False)])
def test_it_is_started_again_unless_a_stop_was_wanted_since(wanted: Wanted | None, expected: bool) -> None:
    assert may_start(build.intent(wanted) if wanted else None) is expected


# -- the comparison


def test_a_volume_like_the_record_is_equal_in_everything() -> None:
    compared = compare(build.record(build.DATA), scratch())
    assert [each.what for each in compared] == [
        "size", "type", "IOPS", "throughput", "encryption", "key", "zone", "own tags",
    ]  # fmt: skip
    assert all(each.equal for each in compared)


@pytest.mark.parametrize(("field", "what"), [
    ({"size_gib": 501}, "size"), ({"type": "gp2"}, "type"), ({"iops": 3001}, "IOPS"),
    ({"throughput": None}, "throughput"), ({"encrypted": False}, "encryption"), ({"kms_key": None}, "key"),
    ({"zone": "eu-west-1b"}, "zone"), ({"tags": REHEARSAL.set_tags()}, "own tags"),
], ids=lambda value: value if isinstance(value, str) else "")  # fmt: skip
def test_what_differs_is_named(field: dict[str, Any], what: str) -> None:
    different = [each for each in compare(build.record(build.DATA), scratch(**field)) if not each.equal]
    assert [each.what for each in different] == [what]


def rehearsed(**other: Any) -> Rehearsed:
    settings = compare(build.record(build.DATA), scratch())
    took = {"snapshot_took": timedelta(minutes=4), "restore_took": timedelta(seconds=9)}
    return Rehearsed(**{"record": build.record(build.DATA), "settings": settings, **took, **other})


@pytest.mark.parametrize(("device", "passed"), [
    row("content not looked at", {}, True),
    row("same content", {"content": Content(0)}, True),
    row("content not compared", {"content": Content(None, "not allowed")}, True),
    row("other content", {"content": Content(1)}, False),
    row("failed", {"failure": "EBS failed it"}, False),
    row("nothing compared", {"settings": ()}, False),
    row("another setting", {"settings": compare(build.record(build.DATA), scratch(size_gib=9))}, False),
])  # fmt: skip
def test_it_passes_only_when_all_that_was_compared_is_equal(device: dict[str, Any], passed: bool) -> None:
    assert Report((rehearsed(), rehearsed(**device))).passed is passed


@pytest.mark.parametrize("report", [{}, {"left": ("vol-1",)}, {"failures": ("it does not run",)}])
def test_it_does_not_pass_without_volumes_or_with_something_left(report: dict[str, Any]) -> None:
    assert not Report(**{"devices": (rehearsed(),) if report else (), **report}).passed


def test_how_long_it_would_take_is_the_slowest_volume_and_what_was_measured_beside() -> None:
    report = Report((rehearsed(), rehearsed(snapshot_took=timedelta(hours=1))), stop_took=timedelta(minutes=1))
    assert report.shelve_takes == timedelta(hours=1, minutes=1)
    assert report.wake_takes == timedelta(seconds=9)
    assert Report((rehearsed(), rehearsed(restore_took=None))).wake_takes is None
    assert Report().shelve_takes is None


def test_the_price_of_an_hour_has_the_scratch_volumes_and_two_snapshots_of_each() -> None:
    volume = build.volume(size_gib=730)
    assert cost_an_hour([volume]) == pytest.approx(0.08 + 2 * 0.05)
    assert cost_an_hour([volume, volume]) == pytest.approx(2 * 0.18)


def test_its_name_says_whose_it_is_and_when_it_began() -> None:
    assert REHEARSAL.name == "i-0abc/2026-03-02T18:31:00Z"
    assert WorkstationId(REHEARSAL.name.partition("/")[0]) == build.ID
