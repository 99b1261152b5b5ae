"""What may happen in the minutes between a verdict and the stop, and must not lead to the stop of somebody at work."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any
from unittest.mock import patch

import pytest

from autostop.app.reconcile import Reconciler
from autostop.aws.ledger import DynamoLedger
from autostop.idle.verdict import VerdictKind
from autostop.model import WorkstationId, instance_of
from autostop.ports import TransientError
from autostop.sleep.intent import By, Wanted
from autostop.sleep.outcomes import Outcome
from autostop.state import State
from tests.app.autostop_at_work import START, AtWork


def stops(lab: AtWork) -> list[str]:
    return lab.calls("StopInstances")


def types(lab: AtWork, workstation: WorkstationId, until: Callable[[], bool], at_most: timedelta) -> None:
    """Somebody presses a key again and again."""
    end = lab.clock() + at_most
    while lab.clock() < end and not until():
        lab.answers[workstation].machine |= {"typed_at": lab.clock().timestamp() - 5, "logins": 1}
        lab.pass_time(timedelta(seconds=30))


def wanted_asleep(lab: AtWork, workstation: WorkstationId) -> bool:
    intent = lab.state(workstation).intent
    return intent is not None and intent.wanted is Wanted.SHELVE


@pytest.mark.parametrize("throttled_for", [timedelta(minutes=2), timedelta(minutes=4), timedelta(minutes=6)])
def test_who_comes_back_while_ec2_is_throttled_is_not_stopped_by_an_old_answer(
    lab: AtWork, throttled_for: timedelta
) -> None:
    workstation = lab.workstation(disks={})
    lab.world.journal.clear()
    throttled_until: list[datetime] = []
    stop = type(lab.instances).stop

    def throttled(instances: object, each: WorkstationId) -> None:
        throttled_until[:] = throttled_until or [lab.clock() + throttled_for]
        if lab.clock() < throttled_until[0]:
            raise TransientError("RequestLimitExceeded")
        stop(lab.instances, instance_of(each))

    with patch.object(type(lab.instances), "stop", throttled):
        assert lab.pass_time(timedelta(hours=2), lambda: bool(throttled_until))
        lab.pass_time(timedelta(seconds=20))
        types(lab, workstation, lambda: False, timedelta(minutes=15))

    assert stops(lab) == []
    intent = lab.intent(workstation)
    assert (intent.wanted, intent.by) == (Wanted.RUN, By.FOUND)


@pytest.mark.parametrize("late", [timedelta(minutes=3), timedelta(minutes=5, seconds=30)])
def test_a_reconciler_that_is_woken_late_stops_what_is_idle_all_the_same(lab: AtWork, late: timedelta) -> None:
    lab.workstation(disks={})
    lab.late_by = late
    lab.world.journal.clear()

    assert lab.pass_time(timedelta(hours=2), lambda: bool(stops(lab)))
    assert len(lab.told.notices) == 1


def test_a_notice_that_is_refused_is_nobody_elses_matter(lab: AtWork) -> None:
    deaf, other = lab.workstation(disks={}), lab.workstation(disks={})
    lab.told.deaf = {deaf}
    lab.pass_time(timedelta(hours=2))

    assert [notice.workstation for notice in lab.told.notices] == [other]
    assert wanted_asleep(lab, other)
    assert lab.state(deaf).intent is None
    assert "EventBridge refused it" in lab.swept[-1].unheard[deaf]


def test_what_cannot_be_saved_of_one_keeps_no_other_from_its_stop(lab: AtWork) -> None:
    pair = {lab.workstation(disks={}), lab.workstation(disks={})}
    first = next(each.workstation for each in lab.instances.tagged() if each.workstation in pair)
    [other] = pair - {first}
    save = DynamoLedger.save

    def throttled(ledger: DynamoLedger, state: State) -> State:
        if state.workstation == first and lab.clock() > START + timedelta(minutes=10):
            raise TransientError("DynamoDB is throttling the table")
        return save(ledger, state)

    with patch.object(DynamoLedger, "save", throttled):
        assert lab.pass_time(timedelta(hours=2), lambda: wanted_asleep(lab, other))

    assert lab.swept[-1].skipped == {first: "DynamoDB is throttling the table"}


def test_what_was_judged_by_an_older_state_never_overrules_a_start_that_was_asked_for(lab: AtWork) -> None:
    workstation = lab.workstation(disks={})
    lab.world.journal.clear()
    assert lab.pass_time(timedelta(hours=2), lambda: bool(lab.told.notices))
    assert lab.pass_time(timedelta(minutes=30), lambda: lab.verdict(workstation).kind is VerdictKind.IDLE or _due(lab))
    before = lab.ledger.states()
    lab.owner.start(workstation, "the test")
    lab.pass_time(timedelta(seconds=30))
    with patch.object(DynamoLedger, "states", lambda _ledger: before):
        lab.pass_time(timedelta(minutes=12))

    assert stops(lab) == []
    intent = lab.intent(workstation)
    assert (intent.wanted, intent.by) == (Wanted.RUN, By.OWNER)


def _due(lab: AtWork) -> bool:
    stop_at = lab.told.notices[0].stop_at
    return stop_at is not None and lab.clock() > stop_at - timedelta(minutes=5)


def test_a_tap_after_the_last_look_keeps_it_running(lab: AtWork) -> None:
    workstation = lab.workstation(disks={})
    lab.world.journal.clear()

    look_once_more = Reconciler._look_once_more

    def looked(reconciler: Reconciler, *arguments: Any) -> tuple[State, Outcome]:
        found = look_once_more(reconciler, *arguments)
        lab.owner.keep_awake(workstation, "the test")
        return found

    with patch.object(Reconciler, "_look_once_more", looked):
        lab.pass_time(timedelta(minutes=80))

    assert stops(lab) == []
    assert lab.state(workstation).kept_awake_until is not None


def test_work_that_only_the_last_look_saw_is_not_forgotten(lab: AtWork) -> None:
    workstation = lab.workstation(disks={}, settings={"weak-signals": "off"})
    lab.world.journal.clear()
    assert lab.pass_time(timedelta(hours=2), lambda: wanted_asleep(lab, workstation))
    types(lab, workstation, lambda: not wanted_asleep(lab, workstation), timedelta(minutes=5))
    left_at = lab.clock()
    lab.answers[workstation].machine = {}

    assert stops(lab) == []
    assert lab.pass_time(timedelta(hours=2), lambda: bool(stops(lab)))
    assert lab.clock() - left_at >= timedelta(minutes=28)


def test_a_promise_puts_a_limit_off_to_its_end_also_when_the_stop_is_under_way(lab: AtWork) -> None:
    workstation = lab.workstation(disks={}, settings={"max-run": "2h"})
    lab.machines.use_cores(workstation, 2.0)
    lab.world.journal.clear()
    assert lab.pass_time(timedelta(hours=3), lambda: lab.state(workstation).intent is not None)
    lab.owner.keep_awake(workstation, "the test")
    promised_at = lab.clock()
    before = len(stops(lab))

    assert lab.pass_time(timedelta(hours=2), lambda: len(stops(lab)) > before)
    assert timedelta(hours=1) <= lab.clock() - promised_at <= timedelta(minutes=75)


@pytest.mark.parametrize("end", ["logs out", "reboots"])
def test_work_is_not_forgotten_with_what_showed_it(lab: AtWork, end: str) -> None:
    workstation = lab.workstation(disks={}, settings={"idle-after": "2h", "weak-signals": "off"})
    lab.world.journal.clear()
    types(lab, workstation, lambda: False, timedelta(hours=3))
    left_at = lab.clock()
    lab.answers[workstation].machine = {"boot": "0000beef"} if end == "reboots" else {}

    assert lab.pass_time(timedelta(hours=4), lambda: bool(stops(lab)))
    assert lab.clock() - left_at >= timedelta(hours=2) - timedelta(minutes=5)
