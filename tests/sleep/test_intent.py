"""When a sweep wants something new, and when it leaves things to those who asked before."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from autostop.idle.stop import StopPlan, order_stop
from autostop.model import InstanceState
from autostop.settings import Policy
from autostop.sleep.intent import By, Intent, Wanted, following, reconsider
from tests.build import NOW, instance, intent, minutes

RUNNING, STOPPED = InstanceState.RUNNING, InstanceState.STOPPED
SECOND = timedelta(seconds=1)
LONG_AGO = NOW - minutes(120)
SHELVES_AT_ONCE = Policy()
SHELVES_LATER = Policy(shelve_after=minutes(60))
ONLY_STOPS = Policy(shelve_after=None)


IDLE = (By.IDLE, "idle for 30 min")
LIMIT = (By.LIMIT, "max-run is 9 h")


def settled(wanted: Wanted, at: datetime = LONG_AGO) -> Intent:
    return intent(wanted, at=at, settled_at=at)


def look(
    state: InstanceState,
    before: Intent | None,
    stop: tuple[By, str] | None = None,
    policy: Policy = SHELVES_AT_ONCE,
    kept_awake_until: datetime | None = None,
    now: datetime = NOW,
) -> Intent | None:
    plan = StopPlan(now, stop[0], stop[1], due=True) if stop is not None else StopPlan()
    known = (instance(state), before, policy, kept_awake_until, now)
    return reconsider(*known) or order_stop(plan, *known)


@pytest.mark.parametrize(
    ("state", "before", "stop", "policy", "expected"),
    [
        pytest.param(RUNNING, None, None, SHELVES_AT_ONCE, None, id="running, and not to be stopped"),
        pytest.param(RUNNING, None, IDLE, SHELVES_AT_ONCE, (Wanted.SHELVE, By.IDLE), id="idle, the first"),
        pytest.param(RUNNING, Wanted.RUN, IDLE, SHELVES_AT_ONCE, (Wanted.SHELVE, By.IDLE), id="idle after a start"),
        pytest.param(RUNNING, Wanted.RUN, IDLE, SHELVES_LATER, (Wanted.STOP, By.IDLE), id="shelved later"),
        pytest.param(RUNNING, Wanted.RUN, IDLE, ONLY_STOPS, (Wanted.STOP, By.IDLE), id="never shelved"),
        pytest.param(RUNNING, Wanted.RUN, None, SHELVES_AT_ONCE, None, id="at work after a start"),
        pytest.param(RUNNING, Wanted.RUN, LIMIT, SHELVES_AT_ONCE, (Wanted.SHELVE, By.LIMIT), id="at its limit"),
        pytest.param(RUNNING, Wanted.RUN, LIMIT, ONLY_STOPS, (Wanted.STOP, By.LIMIT), id="at its limit, never shelved"),
        pytest.param(
            RUNNING,
            Wanted.SHELVE,
            IDLE,
            SHELVES_AT_ONCE,
            (Wanted.RUN, By.FOUND),
            id="found running: run first",
        ),
        pytest.param(
            RUNNING, Wanted.STOP, None, SHELVES_AT_ONCE, (Wanted.RUN, By.FOUND), id="found running after a stop"
        ),
        pytest.param(STOPPED, None, None, SHELVES_AT_ONCE, (Wanted.STOP, By.FOUND), id="found stopped, the first"),
        pytest.param(STOPPED, Wanted.RUN, None, SHELVES_AT_ONCE, (Wanted.STOP, By.FOUND), id="found stopped"),
        pytest.param(STOPPED, Wanted.RUN, None, ONLY_STOPS, (Wanted.STOP, By.FOUND), id="found stopped, never shelved"),
        pytest.param(STOPPED, Wanted.STOP, None, SHELVES_AT_ONCE, (Wanted.SHELVE, By.OWNER), id="stopped: shelved"),
        pytest.param(STOPPED, Wanted.STOP, None, ONLY_STOPS, None, id="stopped, and never shelved"),
        pytest.param(STOPPED, Wanted.SHELVE, None, SHELVES_AT_ONCE, None, id="shelved"),
        *(
            pytest.param(state, before, IDLE, SHELVES_AT_ONCE, None, id=f"{state}: nothing")
            for state in InstanceState
            if state not in (RUNNING, STOPPED)
            for before in (Wanted.RUN,)
        ),
    ],
)
def test_what_a_look_calls_for(
    state: InstanceState,
    before: Wanted | None,
    stop: tuple[By, str] | None,
    policy: Policy,
    expected: tuple[Wanted, By] | None,
) -> None:
    found = look(state, settled(before) if before else None, stop, policy)

    assert (found and (found.wanted, found.by)) == expected
    assert found is None or (found.number, found.at, found.settled) == (2 if before else 1, NOW, False)


@pytest.mark.parametrize("wanted", Wanted)
@pytest.mark.parametrize("state", InstanceState)
def test_what_is_not_reached_yet_is_never_overruled(wanted: Wanted, state: InstanceState) -> None:
    assert look(state, intent(wanted), IDLE) is None


@pytest.mark.parametrize(
    ("ahead", "shelves"),
    [
        pytest.param(-SECOND, True, id="the promise has just passed"),
        pytest.param(SECOND * 0, True, id="the promise ends now"),
        pytest.param(SECOND, False, id="the promise still holds"),
    ],
)
@pytest.mark.parametrize(
    ("state", "before", "stop"),
    [
        pytest.param(RUNNING, Wanted.RUN, IDLE, id="running, judged before the promise"),
        pytest.param(STOPPED, Wanted.STOP, None, id="stopped"),
    ],
)
def test_a_promise_of_work_holds_until_its_time(
    state: InstanceState, before: Wanted, stop: tuple[By, str] | None, ahead: timedelta, *, shelves: bool
) -> None:
    found = look(state, settled(before), stop, kept_awake_until=NOW + ahead)

    assert (found is not None) is shelves


def test_a_stopped_workstation_is_not_even_noted_while_kept_awake() -> None:
    assert look(STOPPED, settled(Wanted.RUN), kept_awake_until=NOW + SECOND) is None


def test_a_start_is_noted_while_kept_awake() -> None:
    found = look(RUNNING, settled(Wanted.SHELVE), IDLE, kept_awake_until=NOW + SECOND)

    assert found is not None
    assert found.wanted is Wanted.RUN


@pytest.mark.parametrize(
    ("judged_after", "stops"),
    [
        pytest.param(-SECOND, False, id="judged just before the tap"),
        pytest.param(SECOND * 0, False, id="judged at the very tap"),
        pytest.param(SECOND, True, id="judged after it"),
    ],
)
def test_a_verdict_from_before_the_tap_never_overrules_it(judged_after: timedelta, *, stops: bool) -> None:
    found = look(RUNNING, settled(Wanted.RUN, at=NOW), IDLE, now=NOW + judged_after)

    assert (found is not None) is stops


@pytest.mark.parametrize(
    ("stopped_for", "shelves"),
    [
        pytest.param(minutes(60) - SECOND, False, id="just before"),
        pytest.param(minutes(60), True, id="exactly at"),
        pytest.param(minutes(61), True, id="after"),
        pytest.param(-minutes(5), False, id="clock behind"),
    ],
)
def test_a_stopped_workstation_keeps_its_volumes_for_a_time(stopped_for: timedelta, *, shelves: bool) -> None:
    found = look(STOPPED, settled(Wanted.STOP, at=NOW - stopped_for), policy=SHELVES_LATER)

    assert (found is not None) is shelves


def test_the_reason_of_a_stop_is_carried_to_its_shelving() -> None:
    stop = settled(Wanted.STOP)
    fields: Any = {"policy": SHELVES_LATER}

    at_once, later = look(STOPPED, stop), look(STOPPED, stop, **fields)

    assert at_once is not None
    assert at_once.why == "a test"
    assert later is not None
    assert later.why == "it was stopped for 1 h (a test)"


def test_idleness_is_said_in_the_words_of_its_verdict() -> None:
    found = look(RUNNING, None, IDLE)

    assert found is not None
    assert found.why == "idle for 30 min"


def test_numbers_only_grow() -> None:
    first = following(None, Wanted.RUN, By.OWNER, "a tap", NOW)
    second = following(first.settle(NOW), Wanted.STOP, By.OWNER, "a tap", NOW)

    assert (first.number, second.number) == (1, 2)
    assert not second.settled
