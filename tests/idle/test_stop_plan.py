"""When a workstation stops, and whether its owner was told in time. It is warned of 10 minutes ahead."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autostop.idle.stop_plan import StopPlan, Warned, plan_stop
from autostop.idle.verdict import Verdict, VerdictKind
from autostop.schedule import parse_schedule
from autostop.settings import Policy
from autostop.sleep.intent import By
from tests.build import minutes

NOW = datetime(2026, 3, 2, 18, 30, tzinfo=UTC)
BEGAN = NOW - timedelta(hours=9)
POLICY = Policy()
WARN = POLICY.warn_before
EVERY = POLICY.cpu_period


QUIET_SINCE = NOW - minutes(30)


def verdict(stop_at: datetime | None, kind: VerdictKind = VerdictKind.ACTIVE, since: datetime = QUIET_SINCE) -> Verdict:
    return Verdict(kind, NOW, ("quiet for a while",), since if stop_at else None, stop_at=stop_at)


def told(at: datetime, stop_at: datetime, cause: By = By.IDLE) -> Warned:
    return Warned(at, stop_at, cause, "quiet for a while")


def ahead(
    stop_at: datetime | None,
    warned: Warned | None = None,
    policy: Policy = POLICY,
    kind: VerdictKind = VerdictKind.ACTIVE,
    kept_awake_until: datetime | None = None,
) -> StopPlan:
    return plan_stop(verdict(stop_at, kind), policy, BEGAN, kept_awake_until, warned, NOW)


def test_a_stop_is_told_at_the_last_look_that_is_early_enough() -> None:
    plan = ahead(NOW + WARN + EVERY)

    assert plan.is_new
    assert plan.warned == told(NOW, NOW + minutes(15))
    assert not plan.due


@pytest.mark.parametrize(
    ("warned_ago", "due"),
    [(WARN, True), (WARN - timedelta(seconds=59), True), (WARN - timedelta(seconds=61), False), (timedelta(0), False)],
)
def test_it_is_due_when_the_owner_had_the_whole_time(warned_ago: timedelta, due: bool) -> None:
    plan = ahead(NOW, told(NOW - warned_ago, NOW), kind=VerdictKind.IDLE)

    assert (plan.due, plan.is_new) == (due, False)
    assert plan.stop_at == NOW - warned_ago + WARN


def test_work_takes_the_warning_back() -> None:
    warned = told(NOW - minutes(5), NOW + minutes(5))
    at_work = Verdict(VerdictKind.ACTIVE, NOW, ("a busy kernel",))
    worked = verdict(NOW + minutes(27), since=NOW - minutes(3))

    assert plan_stop(at_work, POLICY, BEGAN, None, warned, NOW).warned is None
    assert plan_stop(worked, POLICY, BEGAN, None, warned, NOW).warned is None


@pytest.mark.parametrize("later", [25, 3])
def test_what_only_puts_the_stop_off_takes_the_warning_not_back(later: float) -> None:
    warned = told(NOW - minutes(15), NOW - minutes(5))

    plan = ahead(NOW + minutes(later), warned)

    assert (plan.warned, plan.is_new, plan.due) == (warned, False, False)


@pytest.mark.parametrize(("ahead_by", "told_now"), [(7.5, True), (8, False)])
def test_in_a_short_window_the_owner_is_told_in_its_second_half(ahead_by: float, told_now: bool) -> None:
    plan = ahead(NOW + minutes(ahead_by), policy=replace(POLICY, idle_after=minutes(15)))

    assert plan.is_new is told_now
    assert plan.warned is None or plan.warned.stop_at == NOW + WARN


@pytest.mark.parametrize(("after_the_warning", "anew"), [(1, True), (0, False), (-300, False)])
def test_after_work_in_a_short_window_the_next_stop_is_told_anew(after_the_warning: float, anew: bool) -> None:
    warned = told(NOW - minutes(11), NOW - minutes(1))
    worked = verdict(NOW + minutes(14), since=warned.at + timedelta(seconds=after_the_warning))

    assert plan_stop(worked, POLICY, BEGAN, None, warned, NOW).is_new is anew


def test_without_warning_it_is_due_at_its_moment() -> None:
    quiet = replace(POLICY, warn_before=timedelta(0))

    assert ahead(NOW, policy=quiet, kind=VerdictKind.IDLE) == StopPlan(
        NOW, By.IDLE, "quiet for a while", None, is_new=False, due=True
    )
    assert not ahead(NOW + timedelta(seconds=1), policy=quiet).due


LIMITED = replace(POLICY, max_run=timedelta(hours=9))


@pytest.mark.parametrize("kind", list(VerdictKind))
def test_at_the_owners_limit_it_stops_whoever_works(kind: VerdictKind) -> None:
    stop_at = NOW if kind is VerdictKind.IDLE else None

    plan = ahead(stop_at, told(NOW - WARN, NOW, By.LIMIT), LIMITED, kind)

    assert (plan.cause, plan.due) == (By.LIMIT, True)


def test_being_told_of_idleness_is_not_being_told_of_the_limit() -> None:
    plan = ahead(None, told(NOW - WARN, NOW, By.IDLE), LIMITED)

    assert plan.is_new
    assert not plan.due


def test_the_nearer_of_two_stops_is_told() -> None:
    tonight = replace(POLICY, stop_at=parse_schedule("40 18 * * * UTC"))

    assert ahead(NOW + minutes(5), policy=tonight).cause is By.IDLE
    assert ahead(NOW + minutes(12), policy=tonight).cause is By.LIMIT


def test_an_unknown_verdict_never_stops_anything_by_itself() -> None:
    warned = told(NOW - WARN, NOW)

    # And what was told still holds, for when it is known again: nobody is told twice because an answer failed.
    assert ahead(NOW, warned, kind=VerdictKind.UNKNOWN) == StopPlan(warned=warned)


@pytest.mark.parametrize(("ago", "anew"), [(minutes(60), False), (minutes(61), True)])
def test_a_stop_that_was_put_off_for_long_is_told_anew(ago: timedelta, anew: bool) -> None:
    warned = told(NOW - ago - WARN, NOW - ago)
    idle = verdict(NOW, VerdictKind.IDLE, since=warned.at - minutes(30))

    plan = plan_stop(idle, POLICY, BEGAN, None, warned, NOW)

    assert (plan.is_new, plan.due) == (anew, not anew)


offsets = st.integers(-60, 60).map(lambda count: NOW + timedelta(minutes=count))
warnings = st.none() | st.builds(told, offsets.filter(lambda at: at <= NOW), offsets, st.sampled_from(By))


@settings(max_examples=200)
@given(st.none() | offsets, warnings, st.sampled_from(VerdictKind), st.sampled_from([POLICY, LIMITED]))
def test_nobody_is_stopped_who_was_not_told_in_time(
    stop_at: datetime | None, warned: Warned | None, kind: VerdictKind, policy: Policy
) -> None:
    plan = ahead(stop_at, warned, policy, kind)

    if plan.due:
        assert not plan.is_new
        assert plan.warned is not None
        assert plan.warned.at + WARN <= NOW + minutes(1)
        assert plan.warned.cause is plan.cause
    if plan.is_new:
        assert plan.warned is not None
        assert plan.stop_at is not None
        assert plan.stop_at >= plan.warned.at + WARN
