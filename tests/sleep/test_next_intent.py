"""When a sweep wants something new, and when it leaves things to those who asked before."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from autostop.idle.stop_plan import StopPlan, order_stop
from autostop.model import InstanceState
from autostop.settings import Policy
from autostop.sleep.delete_after import end_of_keeping
from autostop.sleep.found_outside import found_outside
from autostop.sleep.intent import By, Intent, Wanted, following
from autostop.sleep.time_to_shelve import time_to_shelve
from tests.build import NOW, instance, intent, minutes, row

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


KEPT = Policy(delete_after=minutes(60))


@pytest.mark.parametrize(("state", "before", "policy", "kept_since", "expected"), [
    row("kept for long enough", STOPPED, settled(Wanted.SHELVE), KEPT, NOW - minutes(60), True),
    row("not yet", STOPPED, settled(Wanted.SHELVE), KEPT, NOW - minutes(60) + SECOND, False),
    row("kept no more by now", STOPPED, settled(Wanted.SHELVE), Policy(), NOW, True),
    row("kept for ever by now", STOPPED, settled(Wanted.SHELVE), Policy(delete_after=None), LONG_AGO, False),
    row("none is kept", STOPPED, settled(Wanted.SHELVE), KEPT, None, False),
    row("it runs", RUNNING, settled(Wanted.SHELVE), KEPT, LONG_AGO, False),
    row("it is on its way", STOPPED, intent(Wanted.SHELVE, at=LONG_AGO), KEPT, LONG_AGO, False),
    row("it is only stopped", STOPPED, settled(Wanted.STOP), KEPT, LONG_AGO, False),
    row("nothing was ever wanted", STOPPED, None, KEPT, LONG_AGO, False),
])  # fmt: skip
def test_what_was_kept_detached_is_let_go_when_its_time_is_over(
    state: InstanceState, before: Intent | None, policy: Policy, kept_since: datetime | None, expected: bool
) -> None:
    wanted = end_of_keeping(instance(state), before, policy, kept_since, NOW)
    assert (wanted is not None) is expected
    if wanted is not None and before is not None:
        assert (wanted.wanted, wanted.by, wanted.number) == (Wanted.SHELVE, before.by, before.number + 1)
        assert wanted.why.startswith("its volumes stood detached for ")


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
    found = found_outside(instance(state), before, kept_awake_until, now)
    return found or time_to_shelve(*known) or order_stop(plan, *known)


@pytest.mark.parametrize(("state", "before", "stop", "policy", "expected"), [
    row("running, and not to be stopped", RUNNING, None, None, SHELVES_AT_ONCE, None),
    row("idle, the first", RUNNING, None, IDLE, SHELVES_AT_ONCE, (Wanted.SHELVE, By.IDLE)),
    row("idle after a start", RUNNING, Wanted.RUN, IDLE, SHELVES_AT_ONCE, (Wanted.SHELVE, By.IDLE)),
    row("shelved later", RUNNING, Wanted.RUN, IDLE, SHELVES_LATER, (Wanted.STOP, By.IDLE)),
    row("never shelved", RUNNING, Wanted.RUN, IDLE, ONLY_STOPS, (Wanted.STOP, By.IDLE)),
    row("at work after a start", RUNNING, Wanted.RUN, None, SHELVES_AT_ONCE, None),
    row("at its limit", RUNNING, Wanted.RUN, LIMIT, SHELVES_AT_ONCE, (Wanted.SHELVE, By.LIMIT)),
    row("at its limit, never shelved", RUNNING, Wanted.RUN, LIMIT, ONLY_STOPS, (Wanted.STOP, By.LIMIT)),
    row("found running: run first", RUNNING, Wanted.SHELVE, IDLE, SHELVES_AT_ONCE, (Wanted.RUN, By.FOUND)),
    row("found running after a stop", RUNNING, Wanted.STOP, None, SHELVES_AT_ONCE, (Wanted.RUN, By.FOUND)),
    row("found stopped, the first", STOPPED, None, None, SHELVES_AT_ONCE, (Wanted.STOP, By.FOUND)),
    row("found stopped", STOPPED, Wanted.RUN, None, SHELVES_AT_ONCE, (Wanted.STOP, By.FOUND)),
    row("found stopped, never shelved", STOPPED, Wanted.RUN, None, ONLY_STOPS, (Wanted.STOP, By.FOUND)),
    row("stopped: shelved", STOPPED, Wanted.STOP, None, SHELVES_AT_ONCE, (Wanted.SHELVE, By.OWNER)),
    row("stopped, and never shelved", STOPPED, Wanted.STOP, None, ONLY_STOPS, None),
    row("shelved", STOPPED, Wanted.SHELVE, None, SHELVES_AT_ONCE, None),
    *(row(f"{state}: nothing", state, before, IDLE, SHELVES_AT_ONCE, None)
        for state in InstanceState if state not in (RUNNING, STOPPED) for before in (Wanted.RUN,)),
])  # fmt: skip
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
def test_what_is_not_reached_yet_is_not_overruled(wanted: Wanted, state: InstanceState) -> None:
    found = look(state, intent(wanted), IDLE)
    if wanted is Wanted.RUN and state is RUNNING:
        # What is up is judged, whatever its wake still waits for.
        assert found is not None
        assert found.by is By.IDLE
    else:
        assert found is None


@pytest.mark.parametrize(("ahead", "shelves"), [
    row("the promise has just passed", -SECOND, True),
    row("the promise ends now", SECOND * 0, True),
    row("the promise still holds", SECOND, False),
])  # fmt: skip
@pytest.mark.parametrize(
    ("state", "before", "stop"),
    [row("running, judged before the promise", RUNNING, Wanted.RUN, IDLE), row("stopped", STOPPED, Wanted.STOP, None)],
)
def test_a_promise_of_work_holds_until_its_time(
    state: InstanceState, before: Wanted, stop: tuple[By, str] | None, ahead: timedelta, *, shelves: bool
) -> None:
    found = look(state, settled(before), stop, kept_awake_until=NOW + ahead)

    assert (found is not None) is shelves


@pytest.mark.parametrize(("judged_after", "stops"), [
    row("judged just before the tap", -SECOND, False),
    row("judged at the very tap", SECOND * 0, False),
    row("judged after it", SECOND, True),
])  # fmt: skip
def test_a_verdict_from_before_the_tap_never_overrules_it(judged_after: timedelta, *, stops: bool) -> None:
    found = look(RUNNING, settled(Wanted.RUN, at=NOW), IDLE, now=NOW + judged_after)

    assert (found is not None) is stops


@pytest.mark.parametrize(("stopped_for", "shelves"), [
    row("just before", minutes(60) - SECOND, False),
    row("exactly at", minutes(60), True),
    row("after", minutes(61), True),
    row("clock behind", -minutes(5), False),
])  # fmt: skip
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


def test_numbers_only_grow() -> None:
    first = following(None, Wanted.RUN, By.OWNER, "a tap", NOW)
    second = following(first.settle(NOW), Wanted.STOP, By.OWNER, "a tap", NOW)

    assert (first.number, second.number) == (1, 2)
    assert not second.settled
