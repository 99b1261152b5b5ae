"""The table is lost, in every state: what the tags say is enough to bring everything back."""

from dataclasses import replace
from datetime import timedelta

import pytest

from autostop import tags
from autostop.model import InstanceState, WorkstationId
from autostop.sleep.intent import Wanted
from autostop.state import State
from autostop_cli.repair.recover import Finding, Recovery, set_aside
from tests.app.autostop_at_work import AtWork
from tests.handlers.table import TABLE

DEVICES = {"/dev/sda1", "/dev/sdf", "/dev/sdg"}


def recovery(lab: AtWork) -> Recovery:
    return Recovery(lab.instances, lab.disks, lab.ledger, lab.queue, lab.ticking)


def look(lab: AtWork, workstation: WorkstationId) -> Finding:
    instance = lab.instance(workstation)
    return recovery(lab).look(instance)


def recover(lab: AtWork, workstation: WorkstationId) -> State:
    finding = look(lab, workstation)
    assert finding.new is not None, finding
    return recovery(lab).mend(finding)


def lose_table(lab: AtWork) -> None:
    """Every item is gone, as with a table that was deleted."""
    for workstation, kind in list(lab.table.items):
        key = {"workstation": {"S": workstation}, "kind": {"S": kind}}
        lab.ledger.client.delete_item(TableName=TABLE, Key=key)


def lose_table_after(lab: AtWork, operation: str, nth: int = 1) -> None:
    """The table is lost right after a call, and the function that made it dies."""

    def lose() -> None:
        lose_table(lab)
        lab.crash()

    lab.after(operation, lose, nth=nth)


def wake(lab: AtWork, workstation: WorkstationId, text: str) -> None:
    lab.wake(workstation)
    assert lab.content(workstation) == {device: f"{text} {device}" for device in DEVICES}


def worked(lab: AtWork) -> WorkstationId:
    workstation = lab.workstation()
    lab.write(workstation, "monday")
    return workstation


def test_while_it_is_shelved_the_manifest_comes_back_as_it_was(lab: AtWork) -> None:
    workstation = worked(lab)
    before = lab.shape(workstation)
    lab.asleep(workstation)
    known = lab.state(workstation).manifest
    lose_table(lab)

    state = recover(lab, workstation)

    assert known is not None
    assert state.manifest is not None
    # When it last asked and detached is of use for minutes only, and on no tag.
    assert state.manifest == replace(known, asked_at=None, detached_at=None)
    assert lab.reached(workstation, Wanted.SHELVE)
    lab.pass_time(timedelta(hours=1))
    assert lab.disks.volumes(workstation) == []
    wake(lab, workstation, "monday")
    assert lab.shape(workstation) == before


def test_while_it_runs_it_is_wanted_running_and_sleeps_again(lab: AtWork) -> None:
    workstation = worked(lab)
    lab.asleep(workstation)
    lab.wake(workstation)
    lab.write(workstation, "tuesday")
    lose_table(lab)

    state = recover(lab, workstation)

    assert state.intent is not None
    assert (state.intent.wanted, state.intent.settled) == (Wanted.RUN, True)
    assert state.intent.number == 2
    lab.asleep(workstation)
    assert {snapshot.cycle for snapshot in lab.disks.snapshots(workstation)} == {1, 2}
    wake(lab, workstation, "tuesday")
    assert {snapshot.cycle for snapshot in lab.disks.snapshots(workstation)} == {2}


# The calls after which the table is lost in mid-shelving.
MOMENTS = [
    ("StopInstances", 1), ("CreateSnapshots", 1), ("CreateTags", 1), ("CreateTags", 3), ("DetachVolume", 1),
    ("DetachVolume", 3), ("DeleteVolume", 1), ("DeleteVolume", 3),
]  # fmt: skip


@pytest.mark.parametrize(("operation", "nth"), MOMENTS)
@pytest.mark.parametrize("then", ["recovered", "recovered and tapped", "left to the sweeps", "tapped"])
def test_in_mid_shelving_it_goes_on_or_comes_back(lab: AtWork, operation: str, nth: int, then: str) -> None:
    workstation = worked(lab)
    before = lab.shape(workstation)
    lose_table_after(lab, operation, nth)
    assert lab.pass_time(timedelta(hours=3), lambda: lab.crashes > 0)

    if "recovered" in then:
        finding = look(lab, workstation)
        assert finding.why_not is None
        assert finding.new is not None
        recovery(lab).mend(finding)
    if "tapped" not in then:
        lab.asleep(workstation, timedelta(hours=8))
        assert not any(volume.exists for volume in lab.disks.volumes(workstation))

    wake(lab, workstation, "monday")
    assert lab.shape(workstation) == before
    assert look(lab, workstation).lost is None
    lab.asleep(workstation)
    wake(lab, workstation, "monday")
    assert len(lab.disks.volumes(workstation)) == len(lab.disks.snapshots(workstation)) == len(DEVICES)


@pytest.mark.parametrize(
    ("operation", "nth"),
    [*((each, n) for each in ("CreateVolume", "AttachVolume") for n in (1, 2, 3)), ("StartInstances", 1)],
)
def test_in_mid_start_the_next_tap_brings_everything_back(lab: AtWork, operation: str, nth: int) -> None:
    workstation = worked(lab)
    before = lab.shape(workstation)
    lab.asleep(workstation)
    lab.owner.start(workstation, "the test")

    lose_table_after(lab, operation, nth)
    assert lab.pass_time(timedelta(minutes=10), lambda: lab.crashes > 0)
    recovery(lab).mend(look(lab, workstation))
    wake(lab, workstation, "monday")
    assert lab.shape(workstation) == before
    assert len(lab.disks.volumes(workstation)) == len(DEVICES)


def test_what_the_tags_do_not_tell_is_never_started_or_shelved_in_part(lab: AtWork) -> None:
    workstation = worked(lab)
    lose_table_after(lab, "DeleteVolume")
    assert lab.pass_time(timedelta(hours=3), lambda: lab.crashes > 0)
    victim = lab.disks.snapshots(workstation)[0]
    lab.world.tag(victim.id, {tags.ZONE: "the moon"})
    lab.pass_time(timedelta(hours=1))
    assert "Run `autostop recover" in (lab.state(workstation).blocked or "")
    lab.owner.start(workstation, "the test")
    lab.pass_time(timedelta(hours=1))
    assert "Run `autostop recover" in (lab.state(workstation).blocked or "")
    instance = lab.instance(workstation)
    assert instance.state is InstanceState.STOPPED
    assert look(lab, workstation).why_not is not None

    # Once the tag is mended, what was asked for is done.
    lab.world.tag(victim.id, {tags.ZONE: instance.zone})
    recover(lab, workstation)
    lab.awake(workstation)
    assert lab.content(workstation) == {device: f"monday {device}" for device in DEVICES}


def test_what_is_well_is_left_alone(lab: AtWork) -> None:
    workstation = worked(lab)
    lab.pass_time(timedelta(minutes=10))
    assert look(lab, workstation).lost is None
    lab.asleep(workstation)
    assert look(lab, workstation).lost is None
    lab.owner.start(workstation, "the test")
    assert look(lab, workstation).lost is None
    lab.awake(workstation)
    assert look(lab, workstation).lost is None


def test_a_table_restored_from_a_backup_of_yesterday_is_brought_up_to_date(lab: AtWork) -> None:
    workstation = worked(lab)
    lab.asleep(workstation)
    yesterday = dict(lab.table.items)
    wake(lab, workstation, "monday")
    lab.write(workstation, "tuesday")
    lab.asleep(workstation)
    lose_table(lab)
    for item in yesterday.values():
        lab.ledger.client.put_item(TableName=TABLE, Item=item)

    assert look(lab, workstation).lost == "the table does not know its last shelving"
    state = recover(lab, workstation)

    assert state.manifest is not None
    assert state.manifest.cycle == 2
    wake(lab, workstation, "tuesday")


@pytest.mark.parametrize("damaged", ["outline", "details"])
def test_a_damaged_item_is_kept_aside_and_written_anew(lab: AtWork, damaged: str) -> None:
    workstation = worked(lab)
    lab.asleep(workstation)
    first, second = ("states", workstation) if damaged == "outline" else (workstation, "details")
    item = {"workstation": {"S": first}, "kind": {"S": second}, "version": {"N": "7"}, "document": {"S": "{half"}}
    lab.ledger.client.put_item(TableName=TABLE, Item=item)

    finding = look(lab, workstation)
    assert finding.damaged
    recovery(lab).mend(finding)
    set_aside(lab.ledger, workstation)

    aside = [item["document"]["S"] for (_, kind), item in lab.table.items.items() if kind.startswith("damaged#")]
    # And what else there was of it; what is sound stays.
    assert len(aside) == 2
    assert "{half" in aside
    wake(lab, workstation, "monday")


def test_tags_edited_to_nonsense_end_in_a_reason_and_no_deletion(lab: AtWork) -> None:
    workstation = worked(lab)
    lab.asleep(workstation)
    lose_table(lab)
    victim = lab.disks.snapshots(workstation)[0]
    lab.world.tag(victim.id, {tags.SIZE: "enormous"})
    lab.world.journal.clear()

    finding = look(lab, workstation)

    assert finding.new is None
    assert f"the tag autostop:size of {victim.id} is missing or damaged" in (finding.why_not or "")
    lab.pass_time(timedelta(hours=6))
    assert lab.calls() == []
    assert len(lab.disks.snapshots(workstation)) == len(DEVICES)
    lab.world.tag(victim.id, {tags.SIZE: str(victim.size_gib)})
    recover(lab, workstation)
    wake(lab, workstation, "monday")


def test_what_changed_after_it_was_shown_is_not_overwritten(lab: AtWork) -> None:
    workstation = worked(lab)
    lab.asleep(workstation)
    lose_table(lab)
    finding = look(lab, workstation)
    lab.owner.start(workstation, "the phone")
    with pytest.raises(Exception, match="changed meanwhile"):
        recovery(lab).mend(finding)
