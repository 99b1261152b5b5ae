"""Before a stop the owner is told, in time to keep it awake; and when nothing can be told for long, that too."""

from datetime import timedelta

import pytest

from autostop.idle.verdict import VerdictKind
from autostop.model import WorkstationId
from autostop.notice import NoticeKind
from autostop.sleep.intent import By, Wanted
from autostop_local.world.errors import AwsError
from tests.app.autostop_at_work import AtWork

TEN = timedelta(minutes=10)


def told(lab: AtWork, kind: NoticeKind = NoticeKind.STOPS_SOON) -> int:
    return sum(notice.kind is kind for notice in lab.told.notices)


def warned(lab: AtWork, workstation: WorkstationId, within: timedelta = timedelta(hours=2)) -> None:
    before = told(lab)
    assert lab.pass_time(within, lambda: told(lab) > before), lab.verdict(workstation)


def stops(lab: AtWork) -> list[str]:
    return lab.calls("StopInstances")


def test_the_owner_is_told_ten_minutes_ahead_and_then_it_stops(lab: AtWork) -> None:
    workstation = lab.workstation(disks={})
    lab.world.journal.clear()
    warned(lab, workstation)
    [notice] = lab.told.notices
    assert (notice.workstation, notice.name) == (workstation, "lab")
    assert notice.stop_at is not None
    assert notice.stop_at - lab.clock() >= TEN
    lab.pass_time(TEN - timedelta(minutes=1))
    assert stops(lab) == []
    assert lab.pass_time(timedelta(minutes=12), lambda: bool(stops(lab)))
    assert told(lab) == 1


def test_a_tap_in_time_keeps_it_awake(lab: AtWork) -> None:
    workstation = lab.workstation(disks={})
    lab.world.journal.clear()
    warned(lab, workstation)
    lab.owner.keep_awake(workstation, "the test")
    lab.pass_time(timedelta(minutes=55))
    assert stops(lab) == []
    assert lab.seen(workstation).warned is None or told(lab) == 2


@pytest.mark.parametrize("work", ["a cell", "a key", "the processor"])
def test_any_work_in_time_cancels_it(lab: AtWork, work: str) -> None:
    workstation = lab.workstation(disks={})
    lab.world.journal.clear()
    warned(lab, workstation)
    lab.pass_time(timedelta(minutes=1))
    match work:
        case "a cell":
            lab.answers[workstation].used_at = lab.clock()
        case "a key":
            lab.answers[workstation].machine["typed_at"] = lab.clock().timestamp()
        case _:
            lab.machines.use_cores(workstation, 2.0)
            lab.pass_time(timedelta(minutes=6))
            lab.machines.use_cores(workstation, 0.05)
    lab.pass_time(timedelta(minutes=11))
    assert stops(lab) == []
    assert lab.seen(workstation).warned is None
    # And the next stop is told anew.
    warned(lab, workstation)
    assert lab.pass_time(timedelta(minutes=30), lambda: bool(stops(lab)))


def test_who_could_not_be_told_is_not_stopped(lab: AtWork) -> None:
    workstation = lab.workstation(disks={})
    lab.world.journal.clear()
    lab.told.fails = True
    lab.pass_time(timedelta(hours=3))
    assert lab.verdict(workstation).kind is VerdictKind.IDLE
    assert stops(lab) == []
    lab.told.fails = False
    warned(lab, workstation)
    assert lab.pass_time(timedelta(minutes=30), lambda: bool(stops(lab)))


def test_without_a_warning_it_stops_at_once(lab: AtWork) -> None:
    lab.workstation(disks={}, settings={"warn-before": "off"})
    lab.world.journal.clear()
    assert lab.pass_time(timedelta(hours=2), lambda: bool(stops(lab)))
    assert lab.told.notices == []


def test_at_its_limit_it_stops_whoever_works_and_is_told_too(lab: AtWork) -> None:
    workstation = lab.workstation(disks={}, settings={"max-run": "3h"})
    lab.machines.use_cores(workstation, 2.0)
    lab.world.journal.clear()
    lab.pass_time(timedelta(hours=2, minutes=30))
    assert told(lab) == 0
    warned(lab, workstation)
    assert lab.pass_time(timedelta(minutes=30), lambda: bool(stops(lab)))
    intent = lab.intent(workstation)
    assert (intent.by, intent.wanted) == (By.LIMIT, Wanted.SHELVE)
    assert "max-run" in intent.why


def test_what_is_unknown_for_long_is_told_once(lab: AtWork) -> None:
    workstation = lab.workstation(disks={})
    lab.world.break_agent(workstation)
    lab.pass_time(timedelta(hours=6))
    assert told(lab, NoticeKind.UNKNOWN_FOR_LONG) == 0
    lab.pass_time(timedelta(hours=3))
    [notice] = [each for each in lab.told.notices if each.kind is NoticeKind.UNKNOWN_FOR_LONG]
    assert "SSM agent" in notice.text
    lab.pass_time(timedelta(hours=12))
    assert told(lab, NoticeKind.UNKNOWN_FOR_LONG) == 1


def test_a_warning_that_is_refused_does_not_tell_of_the_unknown_again(lab: AtWork) -> None:
    workstation = lab.workstation(disks={}, settings={"max-run": "8h"})
    lab.world.break_agent(workstation)
    assert lab.pass_time(timedelta(hours=7, minutes=30), lambda: told(lab, NoticeKind.UNKNOWN_FOR_LONG) > 0)
    lab.told.deaf = {workstation}
    lab.pass_time(timedelta(hours=2))
    lab.told.deaf = set()
    lab.pass_time(timedelta(minutes=6))

    assert told(lab) == 1
    assert told(lab, NoticeKind.UNKNOWN_FOR_LONG) == 1


def test_a_stop_that_was_asked_for_by_the_owner_is_not_warned_of(lab: AtWork) -> None:
    workstation = lab.workstation(disks={})
    lab.pass_time(timedelta(minutes=12))
    lab.world.journal.clear()
    lab.owner.stop(workstation, "the test")
    lab.pass_time(timedelta(minutes=2))
    assert stops(lab) == ["StopInstances"]
    assert lab.told.notices == []


def test_who_works_while_a_stop_is_refused_is_told_anew_before_it_comes(lab: AtWork) -> None:
    workstation = lab.workstation(disks={})
    lab.refusals["StopInstances"] = AwsError(
        "UnauthorizedOperation", "You are not authorized to perform this operation."
    )
    lab.pass_time(timedelta(hours=8))
    # Its next try is most of an hour away.
    lab.pass_time((lab.state(workstation).look_at or lab.clock()) - lab.clock() + timedelta(minutes=8))
    lab.answers[workstation].busy = True
    lab.pass_time(timedelta(minutes=12))
    lab.answers[workstation].busy = False
    lab.refusals = {}
    assert told(lab) == 1
    lab.asleep(workstation)
    assert told(lab) == 2
