"""Nights on which AWS fails: keys that may not be used, snapshots that come to nothing, lists that lag, storms."""

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from autostop.app.reconcile import KEPT_BACK
from autostop.aws.clients import ec2 as ec2_of_the_functions
from autostop.model import SnapshotState, VolumeState, WorkstationId
from autostop.notice import NoticeKind
from autostop.sleep.intent import Wanted
from autostop.sleep.undo_of_a_stop import UNDO_FOR
from autostop_local.world.errors import AwsError
from tests.app.autostop_at_work import FUNCTION_RUNS_FOR, AtWork
from tests.app.patience import patient
from tests.direct import client_error

DEVICES = {"/dev/sda1", "/dev/sdf", "/dev/sdg"}


def blocked(lab: AtWork, workstation: WorkstationId, within: timedelta = timedelta(hours=3)) -> str:
    assert lab.pass_time(within, lambda: lab.is_blocked(workstation)), lab.state(workstation)
    return str(lab.state(workstation).blocked)


def states(lab: AtWork, workstation: WorkstationId) -> set[SnapshotState]:
    return {each.state for each in lab.disks.snapshots(workstation)}


# -- volumes that EBS cannot make


def test_a_volume_that_could_not_be_made_is_deleted_and_made_again(lab: AtWork) -> None:
    workstation = lab.workstation()
    lab.write(workstation, "monday")
    before = lab.shape(workstation)
    lab.asleep(workstation)
    lab.world.fail_next_volumes(2)
    lab.world.journal.clear()
    lab.wake(workstation)
    assert lab.shape(workstation) == before
    assert set(lab.content(workstation).values()) == {f"monday {device}" for device in DEVICES}
    assert lab.calls("CreateVolume") == ["CreateVolume"] * 5
    assert len(lab.disks.volumes(workstation)) == 3
    assert [step for step in lab.steps(workstation) if "which holds nothing" in step]


def test_after_three_a_person_is_asked_and_a_new_tap_tries_again(lab: AtWork) -> None:
    workstation = lab.workstation()
    before = lab.shape(workstation)
    lab.asleep(workstation)
    lab.world.fail_next_volumes(1000)
    for _ in range(2):
        lab.world.journal.clear()
        lab.owner.start(workstation, "the test")
        assert "May Autostop use" in blocked(lab, workstation)
        lab.pass_time(timedelta(hours=1))
        assert len(lab.calls("CreateVolume")) <= 9
        assert VolumeState.ERROR not in {each.state for each in lab.disks.volumes(workstation)}
        lab.owner.stop(workstation, "the test")
        lab.pass_time(timedelta(minutes=4), lambda: lab.reached(workstation, Wanted.STOP))
    lab.world.fail_next_volumes(0)
    lab.wake(workstation)
    assert lab.shape(workstation) == before
    assert len(lab.disks.volumes(workstation)) == 3


def test_a_volume_that_somebody_deletes_before_it_is_attached_is_made_again(lab: AtWork) -> None:
    workstation = lab.workstation()
    before = lab.shape(workstation)
    lab.asleep(workstation)
    made: list[str] = []

    def delete() -> None:
        made.extend(each.id for each in lab.disks.volumes(workstation) if each.state is VolumeState.CREATING)
        lab.clock.advance(timedelta(seconds=3))
        lab.ec2.delete_volume(VolumeId=made[0])

    lab.after("CreateVolume", delete)
    lab.wake(workstation)
    assert made
    assert lab.shape(workstation) == before


@pytest.mark.parametrize("vanished", [1, 2, 5])
def test_however_often_what_was_asked_for_vanished_and_was_forgotten_the_next_tap_gets_it_up(
    lab: AtWork, vanished: int
) -> None:
    workstation = lab.workstation()
    before = lab.shape(workstation)
    lab.asleep(workstation)

    def vanish() -> None:
        lab.clock.advance(timedelta(seconds=3))
        for each in lab.disks.volumes(workstation):
            lab.ec2.delete_volume(VolumeId=each.id)
        lab.owner.stop(workstation, "the test")

    for _ in range(vanished):
        lab.owner.start(workstation, "the test")
        lab.after("CreateVolume", vanish, nth=3)
        assert lab.pass_time(timedelta(hours=1), lambda: not lab._acts), lab.state(workstation)
        lab.pass_time(timedelta(minutes=10))
    for _ in range(3):
        lab.owner.start(workstation, "the test")
        if lab.pass_time(timedelta(hours=1), lambda: lab.reached(workstation, Wanted.RUN)):
            break
    assert lab.shape(workstation) == before


def test_at_the_rate_of_its_owner_or_without_it_gets_up(lab: AtWork) -> None:
    workstation = lab.workstation(settings={"initialization-rate": "300"})
    before = lab.shape(workstation)
    lab.asleep(workstation)
    lab.world.journal.clear()
    lab.world.fail_next("CreateVolume", "VolumeInitializationRateExceeded", times=1)
    lab.wake(workstation)
    rates = [call.parameters.get("VolumeInitializationRate") for call in lab.world.journal.calls("CreateVolume")]
    assert rates == [300, None, 300, 300]
    assert lab.shape(workstation) == before


# -- snapshots that come to nothing


def test_of_sets_that_failed_in_part_nothing_is_left_once_it_runs_from_the_last(lab: AtWork) -> None:
    workstation = lab.workstation()
    lab.write(workstation, "monday")
    lab.world.fail_next_snapshots(2, alone=True)
    lab.asleep(workstation)
    assert states(lab, workstation) == {SnapshotState.COMPLETED}
    lab.wake(workstation)
    assert len(lab.disks.snapshots(workstation)) == 3
    assert set(lab.content(workstation).values()) == {f"monday {device}" for device in DEVICES}


def test_after_three_failed_sets_a_stop_settles_and_the_next_shelving_has_all_its_attempts(lab: AtWork) -> None:
    workstation = lab.workstation(settings={"shelve-after": "2h"})
    lab.world.fail_next_snapshots(3 + 2)
    assert "3 snapshot sets failed; its volumes stay" in blocked(lab, workstation, within=timedelta(hours=5))
    lab.pass_time(timedelta(hours=6))
    assert lab.calls("CreateSnapshots") == ["CreateSnapshots"] * 3
    lab.wake(workstation)
    assert lab.disks.snapshots(workstation) == []
    lab.owner.stop(workstation, "the test")
    assert lab.pass_time(timedelta(minutes=5), lambda: lab.reached(workstation, Wanted.STOP))
    lab.asleep(workstation)
    assert lab.disks.volumes(workstation) == []
    assert states(lab, workstation) == {SnapshotState.COMPLETED}
    assert len(lab.disks.snapshots(workstation)) == 3


# -- answers that are lost, lists that lag


def test_a_lost_answer_makes_no_second_set_however_late_the_first_is_listed(lab: AtWork) -> None:
    workstation = lab.workstation()
    lab.pass_time(timedelta(minutes=5))
    lab.world.lag = lambda: timedelta(seconds=110)

    def crash() -> None:
        # Somebody looks again as soon as the lease of the dead function is over.
        lab.queue.wake(workstation)
        lab.crash()

    lab.after("CreateSnapshots", crash)
    lab.asleep(workstation, within=timedelta(hours=6))
    assert lab.crashes == 1
    assert lab.calls("CreateSnapshots") == ["CreateSnapshots"]
    assert len(lab.disks.snapshots(workstation)) == 3


def test_a_set_that_was_noted_and_never_asked_for_is_made_after_a_while(lab: AtWork) -> None:
    workstation = lab.workstation()

    lab.after("before CreateSnapshots", lab.crash)
    lab.asleep(workstation)
    assert lab.crashes == 1
    assert lab.calls("CreateSnapshots") == ["CreateSnapshots"]


def test_a_whole_night_with_lists_that_lag_makes_nothing_twice(lab: AtWork) -> None:
    workstation = lab.workstation()
    lab.write(workstation, "monday")
    before = lab.shape(workstation)
    lab.pass_time(timedelta(minutes=5))
    lab.world.lag = lambda: timedelta(seconds=110)
    lab.asleep(workstation, within=timedelta(hours=6))
    lab.wake(workstation, within=timedelta(hours=2))
    lab.pass_time(timedelta(minutes=2))
    assert lab.shape(workstation) == before
    assert lab.calls("CreateVolume") == ["CreateVolume"] * 3
    assert lab.calls("CreateSnapshots") == ["CreateSnapshots"]
    assert lab.calls("StartInstances") == ["StartInstances"]


# -- retries


def waits(lab: AtWork, workstation: WorkstationId, count: int) -> list[int]:
    """In seconds, how long the next looks are put off; no sweep comes in between."""
    found = []
    for _ in range(count):
        lab.reconciler.reconcile(workstation, "test", lab.clock() + FUNCTION_RUNS_FOR)
        due = lab.state(workstation).look_at
        assert due is not None
        found.append(round((due - lab.clock()).total_seconds()))
        lab.clock.advance(due - lab.clock() + timedelta(seconds=1))
    return found


@pytest.mark.parametrize(
    ("chance", "expected"),
    [(1.0, [10, 20, 40, 80, 160, 320, 640, 900, 900]), (0.0, [5, 10, 20, 40, 80, 160, 320, 450, 450])],
)
def test_an_error_that_goes_on_is_waited_for_longer_each_time(lab: AtWork, chance: float, expected: list[int]) -> None:
    workstation = lab.workstation()
    lab.pass_time(timedelta(minutes=1))
    lab.work_with(chance=chance)
    lab.world.fail_next("StopInstances", "IncorrectInstanceState", times=len(expected))
    lab.owner.stop(workstation, "the test")
    lab.clock.advance(UNDO_FOR)
    assert waits(lab, workstation, len(expected)) == expected
    assert "IncorrectInstanceState" in str(lab.state(workstation).waiting_for)


def test_what_takes_minutes_begins_with_minutes(lab: AtWork) -> None:
    workstation = lab.workstation()
    lab.asleep(workstation)
    lab.world.fail_next("CreateVolume", "InsufficientVolumeCapacity", times=5)
    lab.owner.start(workstation, "the test")
    assert waits(lab, workstation, 5) == [120, 240, 480, 900, 900]


def test_a_step_that_succeeds_begins_the_waits_anew(lab: AtWork) -> None:
    workstation = lab.workstation()
    lab.asleep(workstation)
    lab.world.fail_next("CreateVolume", "IncorrectState", times=3)
    lab.owner.start(workstation, "the test")
    assert waits(lab, workstation, 3) == [10, 20, 40]
    lab.world.fail_next("AttachVolume", "IncorrectState", times=2)
    assert waits(lab, workstation, 2) == [10, 20]


# -- the function's time


LOOKS = (
    "DescribeInstances", "DescribeInstanceAttribute", "DescribeInstanceTypes", "DescribeInstanceStatus",
    "DescribeVolumes", "DescribeSnapshots",
)  # fmt: skip
STEPS = (
    "StopInstances", "StartInstances", "CreateSnapshots", "CreateTags", "DetachVolume", "DeleteVolume",
    "CreateVolume", "AttachVolume", "ModifyInstanceAttribute",
)  # fmt: skip


@contextmanager
def storm(lab: AtWork) -> Generator[list[timedelta], None, None]:
    """Every call of EC2 is throttled twice before it succeeds; gives how long each function took."""
    client = ec2_of_the_functions()
    lab.work_with(ec2=client)

    def rage(operation: str) -> None:
        lab.world.fail_next(operation, "RequestLimitExceeded", times=2)

    client.meta.events.register("after-call.ec2", lambda model, **_: rage(model.name))
    for operation in (*LOOKS, *STEPS):
        rage(operation)
    took: list[timedelta] = []
    deliver = lab._deliver

    def timed(body: str) -> None:
        began = lab.clock()
        deliver(body)
        took.append(lab.clock() - began)

    lab._deliver = timed  # type: ignore[method-assign]  # to measure what it does
    with patient(lab):
        yield took


def test_with_every_call_throttled_no_function_is_ended_by_its_time(lab_over_http: AtWork) -> None:
    lab = lab_over_http
    workstation = lab.workstation()
    before = lab.shape(workstation)
    lab.pass_time(timedelta(minutes=1))
    with storm(lab) as took:
        lab.owner.stop(workstation, "the test")
        lab.asleep(workstation, within=timedelta(hours=12))
        lab.wake(workstation, within=timedelta(hours=12))
        assert lab.shape(workstation) == before
    assert max(took) > FUNCTION_RUNS_FOR
    assert max(took) < FUNCTION_RUNS_FOR + KEPT_BACK


@pytest.mark.parametrize(("code", "status"), [("InternalServerError", 500), ("503", 503), ("ThrottlingException", 400)])
def test_a_table_that_fails_in_a_wake_is_tried_again_within_seconds(lab: AtWork, code: str, status: int) -> None:
    workstation = lab.workstation()
    lab.asleep(workstation)

    def fail() -> None:
        raise client_error(AwsError(code, "try again", status), "TransactWriteItems")

    lab.losses.events = True
    lab.after("before TransactWriteItems", fail, nth=4)
    began = lab.clock()
    lab.wake(workstation)
    assert lab.clock() - began < timedelta(minutes=4)
    assert not [step for step in lab.steps(workstation) if "blocked" in step]


@pytest.mark.parametrize("operation", ["PutItem", "TransactWriteItems", "DeleteItem"])
def test_a_table_that_fails_twice_in_a_wake_costs_a_minute_or_two(lab: AtWork, operation: str) -> None:
    workstation = lab.workstation()
    lab.asleep(workstation)

    def fail() -> None:
        lab.after(f"before {operation}", refuse)
        refuse()

    def refuse() -> None:
        raise client_error(AwsError("InternalServerError", "try again", 500), operation)

    lab.losses.events = True
    lab.owner.start(workstation, "the test")
    lab.after(f"before {operation}", fail)
    began = lab.clock()
    lab.awake(workstation)
    assert not lab._acts
    assert lab.clock() - began < timedelta(minutes=5)


def test_a_state_that_cannot_be_read_is_asked_for_again_within_seconds(lab: AtWork) -> None:
    workstation = lab.workstation()
    lab.pass_time(timedelta(minutes=1))
    lab.owner.stop(workstation, "the test")

    def refuse() -> None:
        raise client_error(AwsError("InternalServerError", "try again", 500), "TransactGetItems")

    lab._messages.clear()
    lab.after("before TransactGetItems", refuse)
    said = lab.reconciler.reconcile(workstation, "one", lab.clock() + FUNCTION_RUNS_FOR)
    assert said.startswith("it is looked at again: AWS refused TransactGetItems")
    [(due, _, _)] = lab._messages
    assert due - lab.clock() < timedelta(seconds=30)


def test_nobody_else_acts_while_the_function_still_may(lab: AtWork) -> None:
    workstation = lab.workstation()
    lab.pass_time(timedelta(minutes=1))
    lab.owner.stop(workstation, "the test")
    lab.clock.advance(UNDO_FOR)
    until = lab.clock() + FUNCTION_RUNS_FOR
    held: list[bool] = []

    def slow() -> None:
        lab.clock.advance(until - lab.clock() + KEPT_BACK - timedelta(seconds=1))
        held.append(lab.ledger.take_lease(workstation, "another", lab.clock(), lab.clock()))
        lab.clock.advance(timedelta(seconds=2))
        held.append(lab.ledger.take_lease(workstation, "another", lab.clock(), lab.clock()))

    lab.after("StopInstances", slow)
    lab.reconciler.reconcile(workstation, "one", until)
    assert held == [False, True]


def test_out_of_time_it_goes_on_at_once_with_another_message(lab: AtWork) -> None:
    workstation = lab.workstation()
    lab.pass_time(timedelta(minutes=1))
    lab.owner.stop(workstation, "the test")
    lab.after("DescribeInstances", lambda: lab.clock.advance(FUNCTION_RUNS_FOR))
    lab.world.journal.clear()
    said = lab.reconciler.reconcile(workstation, "one", lab.clock() + FUNCTION_RUNS_FOR)
    assert said == "out of time; it goes on at once"
    assert lab.calls("DescribeVolumes", "DescribeSnapshots", "StopInstances") == []
    lab.pass_time(timedelta(minutes=2), lambda: lab.reached(workstation, Wanted.STOP))
    assert lab.reached(workstation, Wanted.STOP)


def test_the_functions_ask_no_more_often_than_they_reckon_with(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    config: Any = ec2_of_the_functions().meta.config
    assert config.retries == {"mode": "standard", "total_max_attempts": 3}


def test_one_passing_error_makes_no_news_of_snapshots_that_take_hours(lab: AtWork) -> None:
    lab.world.cloud.timings = replace(lab.world.cloud.timings, snapshot=timedelta(hours=6))
    workstation = lab.workstation()
    lab.pass_time(timedelta(hours=2))
    lab.refusals["DescribeVolumes"] = AwsError("RequestLimitExceeded", "slow down", 503)
    lab.losses.events = True
    lab.pass_time(timedelta(seconds=90))
    assert lab.state(workstation).hindered_since is not None
    lab.refusals = {}
    lab.asleep(workstation, timedelta(hours=6))
    assert [notice.kind for notice in lab.told.notices] == [NoticeKind.STOPS_SOON]


def test_who_dies_at_a_refused_call_starts_no_new_hour_until_its_owner_is_told(lab: AtWork) -> None:
    workstation = lab.workstation()
    lab.refusals["CreateSnapshots"] = AwsError("ConcurrentSnapshotLimitExceeded", "Maximum allowed in-progress", 400)
    assert lab.pass_time(timedelta(hours=2), lambda: lab.state(workstation).hindered_since is not None)
    since = lab.state(workstation).hindered_since
    lab.after("CreateSnapshots", lab.crash)
    lab.pass_time(timedelta(minutes=45))
    assert lab.crashes == 1
    assert lab.state(workstation).hindered_since == since
