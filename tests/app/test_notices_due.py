"""What costs money or stops working is told once; and nothing that AWS refuses leaves a machine unjudged."""

import json
from dataclasses import replace
from datetime import timedelta

import pytest

from autostop.app.status import Phase
from autostop.aws.codec import to_plain
from autostop.aws.ec2 import Ec2Instances
from autostop.idle.verdict import VerdictKind
from autostop.model import Checks, WorkstationId
from autostop.notice import NoticeKind
from autostop.sleep.intent import Wanted
from autostop_local.world.errors import AwsError
from tests.app.autostop_at_work import AtWork

HOUR = timedelta(hours=1)
IN_USE = AwsError("InvalidSnapshot.InUse", "The snapshot is currently in use by ami-0123456789abcdef0")
DENIED = AwsError("UnauthorizedOperation", "You are not authorized to perform this operation.")
PASSING = AwsError("InternalError", "An internal error has occurred. Retry your request.", status=500)


def told(lab: AtWork, kind: NoticeKind) -> list[str]:
    return [notice.text for notice in lab.told.notices if notice.kind is kind]


def woken(lab: AtWork) -> WorkstationId:
    """A workstation that slept twice, so that the wake has a cycle to retire."""
    workstation = lab.workstation()
    for _ in range(2):
        lab.asleep(workstation)
        lab.wake(workstation)
    return workstation


@pytest.mark.parametrize("refusal", [IN_USE, DENIED, PASSING], ids=lambda refusal: str(refusal.code))
def test_a_snapshot_that_may_not_be_deleted_keeps_nothing_awake_and_is_told_after_a_day(
    lab: AtWork, refusal: AwsError
) -> None:
    lab.refusals["DeleteSnapshot"] = refusal
    workstation = woken(lab)
    lab.asleep(workstation)
    assert told(lab, NoticeKind.HOUSEKEEPING) == []
    assert lab.pass_time(30 * HOUR, lambda: bool(told(lab, NoticeKind.HOUSEKEEPING)))
    [text] = told(lab, NoticeKind.HOUSEKEEPING)
    assert refusal.code in text
    assert " stay: " in text
    assert "They cost at most $" in text
    lab.pass_time(30 * HOUR)
    assert len(told(lab, NoticeKind.HOUSEKEEPING)) == 1

    # Once it may be deleted, nothing is left.
    del lab.refusals["DeleteSnapshot"]
    lab.wake(workstation)
    lab.pass_time(timedelta(minutes=30))
    assert len(lab.disks.snapshots(workstation)) == 3
    lab.asleep(workstation)


def test_what_fails_each_time_holds_up_nothing_else_that_is_to_be_tidied_up(lab: AtWork) -> None:
    workstation = lab.workstation()
    lab.asleep(workstation)
    lab.refusals["ModifyInstanceAttribute"] = PASSING
    lab.wake(workstation)
    lab.asleep(workstation)
    assert len(lab.disks.snapshots(workstation)) == 6
    lab.wake(workstation)
    lab.pass_time(timedelta(minutes=10))
    assert len(lab.disks.snapshots(workstation)) == 3


def test_a_wake_whose_checks_stay_impaired_is_up_and_judged(lab: AtWork, monkeypatch: pytest.MonkeyPatch) -> None:
    workstation = lab.workstation()
    lab.asleep(workstation)
    monkeypatch.setattr(Ec2Instances, "checks", lambda _self, _instance: Checks.IMPAIRED)
    lab.wake(workstation)
    assert "status checks fail" in str(lab.owner.status(workstation).problems)
    lab.asleep(workstation)


def test_a_limit_holds_while_a_wake_is_not_reached(lab: AtWork) -> None:
    workstation = lab.workstation(settings={"max-run": "3h", "idle-after": "off"})
    lab.refusals["DescribeInstanceAttribute"] = DENIED
    lab.pass_time(timedelta(minutes=10))
    lab.owner.start(workstation, "the test")
    lab.pass_time(timedelta(minutes=20))
    assert not lab.reached(workstation, Wanted.RUN)
    assert lab.is_blocked(workstation)
    assert lab.pass_time(4 * HOUR, lambda: "max-run" in str(lab.state(workstation).intent))


def test_a_stop_that_is_denied_is_told_once_and_once_more_for_another_cause(lab: AtWork) -> None:
    lab.refusals["StopInstances"] = DENIED
    workstation = lab.workstation()
    assert lab.pass_time(4 * HOUR, lambda: bool(told(lab, NoticeKind.BLOCKED)))
    [text] = told(lab, NoticeKind.BLOCKED)
    assert "UnauthorizedOperation" in text
    assert "a day" in text
    lab.pass_time(24 * HOUR)
    assert len(told(lab, NoticeKind.BLOCKED)) == 1
    # It is judged all the same.
    assert lab.seen(workstation).at > lab.clock() - timedelta(minutes=6)
    lab.refusals = {"DescribeVolumes": DENIED}
    assert lab.pass_time(HOUR, lambda: len(told(lab, NoticeKind.BLOCKED)) == 2)
    lab.refusals = {}
    lab.asleep(workstation)


def test_what_is_up_for_a_day_without_a_pause_is_told_with_why_and_what_it_costs(lab: AtWork) -> None:
    workstation = lab.workstation()
    lab.answers[workstation].busy = True
    assert lab.pass_time(25 * HOUR, lambda: bool(told(lab, NoticeKind.AWAKE_FOR_LONG)))
    [text] = told(lab, NoticeKind.AWAKE_FOR_LONG)
    assert "since Mon 08:00 UTC" in text
    assert "kernel" in text
    assert "a day" in text
    lab.pass_time(25 * HOUR)
    assert len(told(lab, NoticeKind.AWAKE_FOR_LONG)) == 1


def test_in_quiet_hours_all_waits_but_the_warning_before_a_stop(lab: AtWork) -> None:
    workstation = lab.workstation(settings={"quiet-hours": "* 8-19 * * * UTC", "Idle-After": "1h"}, DisableApiStop=True)
    assert not lab.pass_time(11 * HOUR, lambda: bool(lab.told.notices))
    assert lab.pass_time(2 * HOUR, lambda: bool(lab.told.notices))
    lab.ec2.modify_instance_attribute(InstanceId=workstation, DisableApiStop={"Value": False})
    lab.asleep(workstation)


def test_what_is_not_told_for_want_of_eventbridge_is_told_later(lab: AtWork) -> None:
    lab.workstation(DisableApiStop=True)
    lab.told.fails = True
    lab.pass_time(3 * HOUR)
    assert lab.told.notices == []
    lab.told.fails = False
    assert lab.pass_time(timedelta(minutes=6), lambda: bool(told(lab, NoticeKind.BLOCKED)))


def test_a_workstation_that_is_gone_while_something_is_wanted_is_told(lab: AtWork) -> None:
    workstation = lab.workstation()
    lab.asleep(workstation)
    lab.ec2.terminate_instances(InstanceIds=[workstation])
    lab.owner.start(workstation, "the phone")
    assert lab.pass_time(HOUR, lambda: bool(told(lab, NoticeKind.BLOCKED)))
    assert "autostop recover" in told(lab, NoticeKind.BLOCKED)[0]


def test_a_misspelt_tag_costs_no_disk_and_is_told_once(lab: AtWork) -> None:
    workstation = lab.workstation(settings={"shelve_after": "never", "idle-after": "1 Hour"})
    lab.pass_time(12 * HOUR)
    [text] = told(lab, NoticeKind.BAD_SETTING)
    assert "did you mean autostop:shelve-after?" in text
    status = lab.owner.status(workstation)
    assert status.phase is Phase.ASLEEP
    assert text in status.problems
    assert len(lab.disks.volumes(workstation)) == 3
    assert lab.disks.snapshots(workstation) == []


def test_what_cannot_be_measured_is_unknown_and_says_why(lab: AtWork) -> None:
    lab.refusals["GetMetricData"] = DENIED
    workstation = lab.workstation()
    lab.pass_time(HOUR)
    assert lab.verdict(workstation).kind is VerdictKind.UNKNOWN
    lab.pass_time(7 * HOUR)
    [notice] = [each for each in lab.told.notices if each.kind is NoticeKind.UNKNOWN_FOR_LONG]
    assert "GetMetricData" in str(notice.reasons)


def test_a_machine_that_is_unknown_for_a_while_is_not_told_again_to_be_awake(lab: AtWork) -> None:
    workstation = lab.workstation()
    lab.answers[workstation].busy = True
    lab.pass_time(25 * HOUR)
    for _ in range(3):
        lab.answers[workstation].fails = True
        lab.pass_time(timedelta(minutes=90))
        lab.answers[workstation].fails = False
        lab.pass_time(6 * HOUR)
    assert len(told(lab, NoticeKind.AWAKE_FOR_LONG)) == 1


def test_a_state_that_is_damaged_is_told_once_a_day_and_nothing_else_of_it(lab: AtWork) -> None:
    workstation = lab.workstation(settings={"idle-aftr": "2h"})
    lab.pass_time(timedelta(minutes=10))
    key = ("states", workstation)
    lab.table.items[key] = {**lab.table.items[key], "document": {"S": "{"}}
    lab.told.notices.clear()
    lab.pass_time(3 * HOUR)
    [text] = told(lab, NoticeKind.BLOCKED)
    assert "autostop recover" in text
    lab.pass_time(27 * HOUR)
    assert len(told(lab, NoticeKind.BLOCKED)) == 2
    assert told(lab, NoticeKind.BAD_SETTING) == []


def test_damage_is_not_told_in_quiet_hours(lab: AtWork) -> None:
    workstation = lab.workstation(settings={"quiet-hours": "* 8-11 * * * UTC"})
    lab.pass_time(timedelta(minutes=10))
    key = ("states", workstation)
    lab.table.items[key] = {**lab.table.items[key], "document": {"S": "{"}}
    lab.told.notices.clear()
    lab.pass_time(3 * HOUR)
    assert told(lab, NoticeKind.BLOCKED) == []
    lab.pass_time(HOUR)
    assert len(told(lab, NoticeKind.BLOCKED)) == 1


def test_a_tag_that_is_another_every_few_minutes_is_not_told_each_time(lab: AtWork) -> None:
    workstation = lab.workstation()
    for number in range(72):
        lab.world.tag(workstation, {"autostop:last-seen": str(number)})
        lab.pass_time(timedelta(minutes=5))
    assert len(told(lab, NoticeKind.BAD_SETTING)) == 3
    assert len(lab.state(workstation).told) <= 4


def test_what_may_never_be_deleted_is_told_once_for_its_reason(lab: AtWork) -> None:
    lab.refusals["DeleteSnapshot"] = DENIED
    workstation = lab.workstation()
    for _ in range(4):
        lab.asleep(workstation)
        lab.pass_time(16 * HOUR)
        lab.wake(workstation)
        lab.pass_time(timedelta(minutes=20))
    [text] = told(lab, NoticeKind.HOUSEKEEPING)
    assert text.count(DENIED.code) == 1
    problems = [each for each in lab.owner.status(workstation).problems if "stay" in each]
    assert len(problems) == 1
    assert " more stay: " in problems[0]


def test_tags_that_fill_an_event_keep_nobody_elses_warning_from_being_sent(lab: AtWork) -> None:
    lab.workstation(settings={f"{number}" + "\U0001f634" * 100: "\U0001f634" * 256 for number in range(40)})
    workstation = lab.workstation()
    lab.pass_time(timedelta(minutes=10))
    [notice] = [each for each in lab.told.notices if each.kind is NoticeKind.BAD_SETTING]
    assert len(json.dumps(to_plain(notice))) < 20_000
    lab.asleep(workstation)


def test_who_works_in_the_morning_is_not_stopped_for_a_stop_at_that_was_refused_all_night(lab: AtWork) -> None:
    workstation = lab.workstation(settings={"stop-at": "0 22 * * * UTC"})
    lab.answers[workstation].busy = True
    lab.refusals["StopInstances"] = DENIED
    lab.pass_time(25 * HOUR)
    lab.refusals = {}
    assert not lab.pass_time(12 * HOUR, lambda: "StopInstances" in lab.calls()[-1:])
    assert lab.pass_time(2 * HOUR, lambda: lab.reached(workstation, Wanted.SHELVE))
    assert len([each for each in lab.told.notices if each.kind is NoticeKind.STOPS_SOON]) == 2


def test_a_refusal_that_cannot_be_asked_about_takes_no_warning_back(lab: AtWork) -> None:
    workstation = lab.workstation()
    assert lab.pass_time(HOUR, lambda: bool(lab.told.notices))
    lab.refusals["DescribeInstanceAttribute"] = AwsError("RequestLimitExceeded", "slow down", 503)
    lab.pass_time(timedelta(minutes=20))
    lab.refusals = {}
    lab.asleep(workstation)
    assert [each.kind for each in lab.told.notices] == [NoticeKind.STOPS_SOON]


def test_at_one_moment_for_all_only_so_many_are_asked_whether_they_may_be_stopped(
    lab: AtWork, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("autostop.app.sweep._MOST_LOOKED_AT", 1)
    several = [lab.workstation() for _ in range(3)]
    assert lab.pass_time(HOUR, lambda: len(lab.told.notices) == 3)
    assert len(lab.calls("DescribeInstanceAttribute")) == 1
    for each in several:
        lab.asleep(each)


def test_what_is_deleted_and_still_listed_is_not_deleted_again_and_again(lab: AtWork) -> None:
    workstation = lab.workstation()
    lab.asleep(workstation)
    lab.wake(workstation)
    lab.pass_time(timedelta(minutes=20))
    lab.asleep(workstation)
    lab.after("StartInstances", lambda: setattr(lab.world, "lag", lambda: timedelta(minutes=4)))
    lab.world.journal.clear()
    lab.wake(workstation)
    lab.pass_time(timedelta(minutes=20))
    assert len(lab.calls("DeleteSnapshot")) == 3


@pytest.mark.parametrize("operation", ["PutItem", "DeleteItem", "DescribeSnapshots"])
def test_a_look_at_sleepers_that_is_denied_ends_no_sweep(lab: AtWork, operation: str) -> None:
    sleeper = lab.workstation()
    lab.asleep(sleeper)
    lab.refusals |= {"DescribeSnapshots": DENIED, operation: DENIED}
    assert "could not be looked at" in str(lab.sweeper.snapshots.look(lab.ledger.states(), lab.clock()))


def test_a_damaged_state_of_which_nobody_could_be_told_is_told_later(lab: AtWork) -> None:
    workstation = lab.workstation()
    lab.pass_time(timedelta(minutes=10))
    key = ("states", workstation)
    lab.table.items[key] = {**lab.table.items[key], "document": {"S": "{"}}
    lab.told.fails = True
    lab.pass_time(HOUR)
    lab.told.fails = False
    assert lab.pass_time(timedelta(minutes=10), lambda: bool(told(lab, NoticeKind.BLOCKED)))


def test_snapshots_that_do_not_end_are_told_after_a_day(lab: AtWork) -> None:
    lab.world.cloud.timings = replace(lab.world.cloud.timings, snapshot=timedelta(days=9))
    lab.losses.delayed = True  # the sweeps are enough
    workstation = lab.workstation()
    lab.pass_time(24 * HOUR)
    assert told(lab, NoticeKind.BLOCKED) == []
    lab.pass_time(24 * HOUR)
    [text] = told(lab, NoticeKind.BLOCKED)
    assert "it is to sleep, and it does not get there: snapshots" in text
    assert len(lab.disks.volumes(workstation)) == 3


def test_a_sweep_that_may_not_read_a_state_says_so_by_failing(lab: AtWork) -> None:
    workstation = lab.workstation()
    lab.pass_time(timedelta(minutes=10))
    lab.refusals["TransactGetItems"] = DENIED
    assert lab.pass_time(3 * HOUR, lambda: workstation in lab.swept[-1].unheard)


def test_who_keeps_it_awake_each_day_is_told_once_that_it_is_awake_for_long(lab: AtWork) -> None:
    workstation = lab.workstation(settings={"idle-after": "off"})
    lab.pass_time(25 * HOUR)
    for _ in range(3):
        lab.owner.keep_awake(workstation, "the test", 8 * HOUR)
        lab.pass_time(10 * HOUR)
    assert len(told(lab, NoticeKind.AWAKE_FOR_LONG)) == 1


def test_damage_that_shows_only_when_something_is_to_be_told_is_told(lab: AtWork) -> None:
    workstation = lab.workstation()
    lab.pass_time(timedelta(minutes=10))
    lab.answers[workstation].fails = True
    key = (workstation, "details")
    lab.table.items[key] = {**lab.table.items[key], "document": {"S": "{"}}
    lab.pass_time(9 * HOUR)
    [text] = told(lab, NoticeKind.BLOCKED)
    assert "autostop recover" in text
