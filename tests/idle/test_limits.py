"""When a workstation is put to sleep although somebody may be at work."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autostop.idle.limits import LATE_BY, Limit, next_limit
from autostop.schedule import Schedule
from autostop.settings import Policy
from tests.build import row

BERLIN = Schedule("0 22 * * * Europe/Berlin")
EVENING = Policy(stop_at=BERLIN)
EIGHT_HOURS = Policy(max_run=timedelta(hours=8))


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def at(limit: Limit | None) -> datetime | None:
    return limit.at if limit else None


@pytest.mark.parametrize(("begins_at", "kept_until", "now", "expected"), [
    row("this evening", "05T08:00", None, "05T12:00", "05T21:00"),
    row("it is due", "05T08:00", None, "05T21:05", "05T21:00"),
    row("it is due an hour later still", "05T08:00", None, "05T22:09", "05T21:00"),
    row("too late: tomorrow", "05T08:00", None, "05T22:10", "06T21:00"),
    row("a start after it runs until the next", "05T22:00", None, "05T22:05", "06T21:00"),
    row("a start at that moment too", "05T21:00", None, "05T21:01", "06T21:00"),
    row("a new setting does not stop for past evenings", "02T08:00", None, "05T13:00", "05T21:00"),
    row("a promise that ends before it", "05T08:00", "05T20:00", "05T19:30", "05T21:00"),
    row("put off by a promise, seen before", "05T08:00", "05T22:30", "05T20:55", "05T22:30"),
    row("put off by a promise, seen during", "05T08:00", "05T22:30", "05T22:00", "05T22:30"),
    row("put off by a promise that is over: due", "05T08:00", "05T22:30", "05T22:35", "05T22:30"),
    row("put off for a night", "05T08:00", "06T06:00", "06T05:00", "06T06:00"),
    row("put off for a night and due", "05T08:00", "06T06:00", "06T06:30", "06T06:00"),
    row("put off for a night and forgotten", "05T08:00", "06T06:00", "06T08:00", "06T21:00"),
    row("a promise of the next day is another matter", "05T08:00", "06T14:00", "06T13:00", "06T21:00"),
    row("a start after it, and a promise", "05T22:00", "05T23:00", "05T22:30", "06T21:00"),
    row("a promise for days, until the evening after", "05T08:00", "08T12:00", "05T12:00", "08T21:00"),
])  # fmt: skip
def test_stop_at(begins_at: str, kept_until: str | None, now: str, expected: str) -> None:
    kept = utc(f"2026-01-{kept_until}") if kept_until else None
    limit = next_limit(EVENING, utc(f"2026-01-{begins_at}"), kept, utc(f"2026-01-{now}"))
    assert at(limit) == utc(f"2026-01-{expected}")


def test_a_promise_brings_no_evening_back_that_was_let_go_before_it_was_made() -> None:
    began, made, until, now = (utc(f"2026-01-{each}") for each in ("03T08:00", "05T08:30", "05T09:30", "05T08:31"))

    assert at(next_limit(EVENING, began, until, now, made)) == utc("2026-01-05T21:00")
    assert at(next_limit(EVENING, began, utc("2026-01-05T22:30"), now, made)) == utc("2026-01-05T22:30")
    # However long it is: what comes in it is put off.
    assert at(next_limit(EVENING, began, utc("2026-01-06T12:00"), now, made)) == utc("2026-01-06T12:00")


@pytest.mark.parametrize(("kept_until", "now", "expected"), [
    row("ahead", None, "05T08:00", "05T16:00"),
    row("due", None, "05T16:30", "05T16:00"),
    row("never forgotten", None, "09T16:30", "05T16:00"),
    row("put off", "05T17:00", "05T15:00", "05T17:00"),
    row("put off and due", "05T17:00", "05T18:00", "05T17:00"),
    row("a promise that ends before it", "05T12:00", "05T13:00", "05T16:00"),
])  # fmt: skip
def test_max_run(kept_until: str | None, now: str, expected: str) -> None:
    kept = utc(f"2026-01-{kept_until}") if kept_until else None
    limit = next_limit(EIGHT_HOURS, utc("2026-01-05T08:00"), kept, utc(f"2026-01-{now}"))
    assert at(limit) == utc(f"2026-01-{expected}")


def test_the_limit_that_comes_first_is_told_with_its_reason() -> None:
    evening = replace(EVENING, time_zone=ZoneInfo("Europe/Berlin"))
    both = replace(EVENING, max_run=timedelta(hours=8))
    begins_at = utc("2026-01-05T08:00")

    assert next_limit(both, begins_at, None, begins_at) == Limit(
        utc("2026-01-05T16:00"), "max-run is 8 h, and it was started at 08:00 UTC"
    )
    assert next_limit(evening, begins_at, None, begins_at) == Limit(utc("2026-01-05T21:00"), "stop-at is 22:00 CET")
    assert next_limit(evening, begins_at, utc("2026-01-05T21:30"), begins_at) == Limit(
        utc("2026-01-05T21:30"), "stop-at is 22:00 CET, put off until the end of keep awake"
    )
    assert next_limit(both, begins_at, None, utc("2026-01-06T08:00")) == Limit(
        utc("2026-01-05T16:00"), "max-run is 8 h, and it was started at Mon 08:00 UTC"
    )


HOURS = st.integers(min_value=0, max_value=240 * 60).map(lambda minutes: timedelta(minutes=minutes))
POLICIES = st.builds(
    Policy,
    stop_at=st.sampled_from([None, BERLIN, Schedule("30 * * * * UTC"), Schedule("0 2 * * sun America/New_York")]),
    max_run=st.sampled_from([None, timedelta(minutes=30), timedelta(hours=8)]),
    warn_before=st.sampled_from([timedelta(0), timedelta(minutes=10)]),
)


@given(POLICIES, HOURS, st.one_of(st.none(), HOURS), st.floats(0, 0.99))
def test_a_limit_is_after_the_start_and_the_promise_and_stays_where_it_is_until_it_has_been_due_for_a_while(
    policy: Policy, ran: timedelta, kept: timedelta | None, part: float
) -> None:
    begins_at = utc("2026-10-20T08:00")
    kept_until = None if kept is None else begins_at + kept
    now = begins_at + ran
    limit = next_limit(policy, begins_at, kept_until, now)
    if limit is None:
        assert policy.stop_at is None
        assert policy.max_run is None
        return

    assert limit.at > begins_at
    assert kept_until is None or now >= kept_until or limit.at >= kept_until
    if limit.at > now:
        later = now + part * (limit.at + LATE_BY - now)
        assert at(next_limit(policy, begins_at, kept_until, later)) == limit.at
