"""Whole nights: the real use cases over the real adapters, in a world that keeps AWS's rules."""

from datetime import timedelta

import pytest

from autostop.idle.verdict import VerdictKind
from autostop.model import InstanceState, SnapshotState, WorkstationId
from autostop.sleep.intent import By, Wanted
from tests.app.autostop_at_work import CHANGES, AtWork

DEVICES = {"/dev/sda1", "/dev/sdf", "/dev/sdg"}
A_DAY = timedelta(hours=12)


def instance_state(lab: AtWork, workstation: WorkstationId) -> InstanceState:
    instance = lab.instance(workstation)
    return instance.state


def sleep_and_wake(lab: AtWork, workstation: WorkstationId) -> None:
    lab.asleep(workstation)
    lab.wake(workstation)


def test_two_nights_bring_everything_back_as_it_was_and_leave_the_last_snapshots(lab: AtWork) -> None:
    workstation = lab.workstation()
    before = lab.shape(workstation)
    assert before.keys() == DEVICES
    for night, day in enumerate(("monday", "tuesday"), 1):
        lab.write(workstation, day)
        lab.world.journal.clear()
        lab.asleep(workstation)

        assert instance_state(lab, workstation) is InstanceState.STOPPED
        assert lab.disks.volumes(workstation) == []
        tonights = [each for each in lab.disks.snapshots(workstation) if each.cycle == night]
        assert {(each.tags["autostop:device"], each.state) for each in tonights} == {
            (device, SnapshotState.COMPLETED) for device in DEVICES
        }
        intent = lab.intent(workstation)
        assert intent.by is By.IDLE
        assert lab.calls("CreateSnapshots", "StopInstances") == ["StopInstances", "CreateSnapshots"]

        lab.wake(workstation)
        assert lab.shape(workstation) == before
        assert lab.content(workstation) == {device: f"{day} {device}" for device in DEVICES}
        assert "done: the workstation is ready." in lab.steps(workstation)
        assert len(lab.disks.snapshots(workstation)) == len(DEVICES)
        assert {snapshot.cycle for snapshot in lab.disks.snapshots(workstation)} == {night}


def test_somebody_at_work_is_left_alone(lab: AtWork) -> None:
    workstation, busy_processor = lab.workstation(), lab.workstation()
    lab.answers[workstation].busy = True
    lab.machines.use_cores(busy_processor, 1.5)
    lab.world.journal.clear()
    lab.pass_time(A_DAY)
    assert lab.calls() == []
    assert lab.state(workstation).intent is None
    assert lab.state(busy_processor).intent is None


def test_an_instance_without_the_tag_is_never_touched(lab: AtWork) -> None:
    neighbour, workstation = lab.neighbour(disks={"/dev/sdf": {"VolumeSize": 10}}), lab.workstation()
    theirs = {volume.id for volume in lab.disks.volumes(neighbour)}
    lab.world.journal.clear()
    sleep_and_wake(lab, workstation)
    lab.asleep(workstation)
    for call in lab.world.journal.calls():
        if call.operation in {*CHANGES, "SendCommand"}:
            assert neighbour not in str(call.parameters)
            assert not any(volume in str(call.parameters) for volume in theirs)
    assert instance_state(lab, neighbour) is InstanceState.RUNNING
    assert lab.state(neighbour).version == 0


@pytest.mark.parametrize("blind", ["metrics", "probe", "agent"])
def test_one_signal_alone_that_cannot_be_seen_is_unknown_too(lab: AtWork, blind: str) -> None:
    workstation = lab.workstation()
    if blind == "metrics":
        lab.world.lose_metrics(workstation)
    elif blind == "probe":
        lab.answers[workstation].fails = True
    else:
        lab.world.break_agent(workstation)
    lab.world.journal.clear()
    lab.pass_time(timedelta(hours=6))
    verdict = lab.verdict(workstation)
    assert verdict is not None
    assert verdict.kind is VerdictKind.UNKNOWN
    assert lab.calls() == []


def test_the_owners_tap_between_the_sweeps_look_and_its_write_wins(lab: AtWork) -> None:
    workstation = lab.workstation()
    lab.pass_time(timedelta(hours=3), lambda: _is_due(lab, workstation))
    lab.after("GetMetricData", lambda: lab.owner.keep_awake(workstation, "the test"))
    swept = lab.sweep()
    assert (swept.intents, swept.skipped) == ({}, {})
    assert lab.state(workstation).intent is None
    assert lab.state(workstation).kept_awake_until is not None


def _is_due(lab: AtWork, workstation: WorkstationId) -> bool:
    seen = lab.ledger.latest_sweep(lab.clock()).get(workstation)
    due_at = seen.verdict.due_at if seen is not None else None
    return due_at is not None and due_at <= lab.clock() + timedelta(minutes=5)


@pytest.mark.parametrize("work", ["kernel", "processor"])
def test_the_look_before_the_stop_finds_work_and_turns_back(lab: AtWork, work: str) -> None:
    workstation = lab.workstation()
    lab.world.journal.clear()

    def somebody_comes() -> bool:
        intent = lab.state(workstation).intent
        return intent is not None and intent.wanted is Wanted.SHELVE

    lab.pass_time(timedelta(hours=3), somebody_comes)
    if work == "kernel":
        lab.answers[workstation].busy = True
    else:
        at = lab.clock() - timedelta(minutes=5)
        at -= timedelta(minutes=at.minute % 5, seconds=at.second, microseconds=at.microsecond)
        lab.world.put_cpu(workstation, at + timedelta(seconds=1), 390.0)
    lab.awake(workstation)
    intent = lab.intent(workstation)
    assert intent.by is By.FOUND
    assert "it is not put to sleep" in intent.why
    assert "StopInstances" not in lab.calls()


def test_a_tap_while_the_snapshots_are_pending_makes_nothing_anew(lab: AtWork) -> None:
    workstation = lab.workstation()
    lab.write(workstation, "monday")
    before, volumes = lab.shape(workstation), {volume.id for volume in lab.disks.volumes(workstation)}
    lab.world.journal.clear()
    lab.pass_time(timedelta(hours=3), lambda: "CreateSnapshots" in lab.calls())
    lab.pass_time(timedelta(minutes=1))
    lab.wake(workstation)
    assert not {"CreateVolume", "DeleteVolume", "DetachVolume"} & set(lab.calls())
    assert {volume.id for volume in lab.disks.volumes(workstation)} == volumes
    assert lab.shape(workstation) == before
    sleep_and_wake(lab, workstation)
    assert lab.shape(workstation) == before
    assert len({snapshot.cycle for snapshot in lab.disks.snapshots(workstation)}) == 1


def test_a_tap_between_the_look_and_the_detachment_prevents_it(lab: AtWork) -> None:
    workstation = lab.workstation()
    lab.pass_time(timedelta(hours=3), lambda: "CreateSnapshots" in lab.calls())
    lab.pass_time(timedelta(hours=1), lambda: all_complete(lab, workstation))
    lab.after("DescribeSnapshots", lambda: lab.owner.start(workstation, "the test"))
    lab.awake(workstation)
    assert "DetachVolume" not in lab.calls()


def all_complete(lab: AtWork, workstation: WorkstationId) -> bool:
    return all(each.state is SnapshotState.COMPLETED for each in lab.disks.snapshots(workstation))


def test_stopped_by_its_owner_it_is_shelved_after_the_time_in_its_tag(lab: AtWork) -> None:
    workstation = lab.workstation(settings={"shelve-after": "2h"})
    lab.pass_time(timedelta(minutes=5))
    lab.owner.stop(workstation, "the test")
    assert lab.pass_time(timedelta(minutes=10), lambda: lab.reached(workstation, Wanted.STOP))
    lab.pass_time(timedelta(minutes=115))
    assert lab.shape(workstation).keys() == DEVICES
    lab.asleep(workstation, within=timedelta(minutes=30))
    assert lab.disks.volumes(workstation) == []


def test_found_stopped_it_is_shelved_and_found_running_it_is_let_run(lab: AtWork) -> None:
    workstation = lab.workstation(settings={"shelve-after": "1h"})
    lab.pass_time(timedelta(minutes=5))
    lab.ec2.stop_instances(InstanceIds=[workstation])
    assert lab.pass_time(timedelta(minutes=15), lambda: lab.reached(workstation, Wanted.STOP))
    intent = lab.intent(workstation)
    assert intent.by is By.FOUND
    lab.ec2.start_instances(InstanceIds=[workstation])
    lab.awake(workstation)
    intent = lab.intent(workstation)
    assert intent.by is By.FOUND
    lab.world.power_off(workstation)
    lab.asleep(workstation)
    assert lab.disks.volumes(workstation) == []


def test_a_quiet_account_costs_few_calls_an_hour(lab: AtWork) -> None:
    workstation = lab.workstation()
    lab.asleep(workstation)
    # The events of its last deletions come after the last step.
    lab.pass_time(timedelta(minutes=10))
    lab.world.journal.clear()
    lab.pass_time(timedelta(hours=1))
    assert [call.operation for call in lab.world.journal.calls()] == ["DescribeInstances"] * 12
