"""Which minutes a schedule means, on days on which clocks change too, and what is said about what is none."""

import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autostop.schedule import InvalidScheduleError, Schedule, parse_schedule

MINUTE = timedelta(minutes=1)
ZONES = ["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "America/Havana", "America/Santiago"]


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(("text", "at", "covered"), [
    ("* 9-17 * * mon-fri Europe/Berlin", "2026-01-05T07:59:59", False),  # a Monday, 08:59 there
    ("* 9-17 * * mon-fri Europe/Berlin", "2026-01-05T08:00:00", True),
    ("* 9-17 * * mon-fri Europe/Berlin", "2026-01-05T16:59:59.999", True),  # 17:59 there
    ("* 9-17 * * mon-fri Europe/Berlin", "2026-01-05T17:00:00", False),
    ("* 9-17 * * mon-fri Europe/Berlin", "2026-07-06T07:00:00", True),  # summer: 09:00 there
    ("* 9-17 * * mon-fri Europe/Berlin", "2026-07-06T16:00:00", False),
    ("* 9-17 * * MON-FRI Europe/Berlin", "2026-01-10T10:00:00", False),  # a Saturday
    ("* 9-17 * * 1-5 Europe/Berlin", "2026-01-09T10:00:00", True),
    ("* * * * 7 UTC", "2026-01-04T10:00:00", True),  # Sunday is 0 and 7
    ("* * * * 0 UTC", "2026-01-04T10:00:00", True),
    # The weekday is the zone's: Friday 23:30 UTC is Saturday in Berlin, Saturday 02:00 UTC is Friday in New York.
    ("* * * * sat Europe/Berlin", "2026-01-09T23:30:00", True),
    ("* * * * fri Europe/Berlin", "2026-01-09T23:30:00", False),
    ("* * * * fri America/New_York", "2026-01-10T02:00:00", True),
    ("0 0 * * * Europe/Berlin", "2026-01-09T23:00:00", True),  # midnight
    ("0 0 * * * Europe/Berlin", "2026-01-09T23:00:59", True),
    ("0 0 * * * Europe/Berlin", "2026-01-09T23:01:00", False),
    ("*/15 * 1 jan,jul * UTC", "2026-07-01T00:45:00", True),
    ("*/15 * 1 jan,jul * UTC", "2026-06-01T00:45:00", False),
    # Autumn in Berlin: 02:30 comes twice (00:30 and 01:30 UTC) and matches both times, written with a star or not.
    ("* 2 * * * Europe/Berlin", "2026-10-25T00:30:00", True),
    ("* 2 * * * Europe/Berlin", "2026-10-25T01:30:00", True),
    ("0-59 2 * * * Europe/Berlin", "2026-10-25T01:30:00", True),
    ("* 2 * * * Europe/Berlin", "2026-10-25T02:00:00", False),
    ("* 9-17 * * * Europe/Berlin", "2026-10-25T07:59:00", False),
    ("* 9-17 * * * Europe/Berlin", "2026-10-25T08:00:00", True),
    # Spring in Berlin: after 01:59 comes 03:00; there is no hour 2.
    ("* 2 * * * Europe/Berlin", "2026-03-29T00:59:00", False),
    ("* 2 * * * Europe/Berlin", "2026-03-29T01:00:00", False),
    ("* 3 * * * Europe/Berlin", "2026-03-29T01:00:00", True),
    # Lord Howe goes back by half an hour: 01:30 to 01:59 come twice.
    ("* 1 * * * Australia/Lord_Howe", "2026-04-04T14:45:00", True),
    ("* 1 * * * Australia/Lord_Howe", "2026-04-04T15:15:00", True),
    ("* 1 * * * Australia/Lord_Howe", "2026-04-04T15:30:00", False),
])  # fmt: skip
def test_minutes_are_told_by_the_wall_clock_of_the_zone(text: str, at: str, covered: bool) -> None:
    assert parse_schedule(text).covers(utc(at)) is covered


@pytest.mark.parametrize(("text", "moment", "expected"), [
    ("0 22 * * * Europe/Berlin", "2026-01-05T12:00", "2026-01-05T21:00"),
    ("0 22 * * * Europe/Berlin", "2026-01-05T21:00", "2026-01-06T21:00"),  # after, not at
    ("0 22 * * * Europe/Berlin", "2026-01-05T20:59:59.5", "2026-01-05T21:00"),
    ("0 22 * * * Europe/Berlin", "2026-01-05T21:00:00.5", "2026-01-06T21:00"),
    ("0 0 * * mon Europe/Berlin", "2026-01-10T12:00", "2026-01-11T23:00"),  # midnight of Monday
    ("0 18 * * fri America/New_York", "2026-01-09T23:30", "2026-01-16T23:00"),
    ("0 0 29 2 * UTC", "2026-01-01T00:00", "2028-02-29T00:00"),
    ("30 19 L * * UTC", "2026-02-01T00:00", "2026-02-28T19:30"),
    # From the day before to the day after a change, one wall-clock day is 23 or 25 hours.
    ("0 22 * * * Europe/Berlin", "2026-03-28T21:00", "2026-03-29T20:00"),
    ("0 22 * * * Europe/Berlin", "2026-10-24T20:00", "2026-10-25T21:00"),
    ("0 22 * * * America/New_York", "2026-03-08T03:00", "2026-03-09T02:00"),
    ("0 22 * * * America/New_York", "2026-11-01T02:00", "2026-11-02T03:00"),
    # Spring: 02:30 is skipped, and 03:00 takes its place, with a star or without; the day after it is 02:30 again.
    ("30 2 * * * Europe/Berlin", "2026-03-29T00:00", "2026-03-29T01:00"),
    ("30 2 * * * Europe/Berlin", "2026-03-29T01:00", "2026-03-30T00:30"),
    ("*/30 2 * * * Europe/Berlin", "2026-03-29T00:00", "2026-03-29T01:00"),
    ("*/30 2 * * * Europe/Berlin", "2026-03-29T01:00", "2026-03-30T00:00"),
    ("30 2 * * * America/New_York", "2026-03-08T06:00", "2026-03-08T07:00"),
    # Autumn: 02:30 comes twice, and the first counts.
    ("30 2 * * * Europe/Berlin", "2026-10-25T00:00", "2026-10-25T00:30"),
    ("30 2 * * * Europe/Berlin", "2026-10-25T00:30", "2026-10-26T01:30"),
    ("30 2 * * * Europe/Berlin", "2026-10-25T01:10", "2026-10-26T01:30"),  # 02:10 for the second time
    ("*/30 2 * * * Europe/Berlin", "2026-10-25T00:30", "2026-10-26T01:00"),
    ("30 1 * * * America/New_York", "2026-11-01T05:30", "2026-11-02T06:30"),
    # Lord Howe: half an hour. In autumn 01:45 comes twice, in spring 02:00 to 02:29 are skipped.
    ("45 1 * * * Australia/Lord_Howe", "2026-04-04T14:00", "2026-04-04T14:45"),
    ("45 1 * * * Australia/Lord_Howe", "2026-04-04T14:45", "2026-04-05T15:15"),
    ("0 */3 * * * Australia/Lord_Howe", "2026-04-04T15:15", "2026-04-04T16:30"),  # 03:00, seen from 01:45
    ("15 2 * * * Australia/Lord_Howe", "2026-10-03T15:00", "2026-10-03T15:30"),
    ("15 2 * * * Australia/Lord_Howe", "2026-10-03T15:30", "2026-10-04T15:15"),
    # Santiago skips midnight itself, Havana shows it twice.
    ("0 0 * * * America/Santiago", "2026-09-06T03:00", "2026-09-06T04:00"),
    ("0 0 * * * America/Havana", "2026-11-01T03:00", "2026-11-01T04:00"),
    ("0 0 * * * America/Havana", "2026-11-01T04:00", "2026-11-02T05:00"),
])  # fmt: skip
def test_the_next_moment_is_found(text: str, moment: str, expected: str) -> None:
    assert parse_schedule(text).next_after(utc(moment)) == utc(expected)


def test_a_moment_may_be_given_in_any_zone() -> None:
    schedule = parse_schedule("0 22 * * * Europe/Berlin")
    moment = datetime(2026, 1, 5, 7, tzinfo=ZoneInfo("America/New_York"))

    assert schedule.next_after(moment) == utc("2026-01-05T21:00")
    assert schedule.covers(datetime(2026, 1, 5, 16, tzinfo=ZoneInfo("America/New_York")))


FIELDS = st.tuples(
    st.sampled_from(["*", "0", "30", "*/15", "10,50", "0-59"]),
    st.sampled_from(["*", "0", "1", "2", "3", "*/3", "9-17", "1-2", "23"]),
    st.sampled_from(["*", "*", "1", "L", "25-31"]),
    st.sampled_from(["*", "*", "3,4,10,11", "jan"]),
    st.sampled_from(["*", "*", "mon-fri", "sun", "7", "sun#1"]),
    st.sampled_from(ZONES),
).map(" ".join)
CHANGES = ["2026-03-29T01:00", "2026-10-25T01:00", "2026-03-08T07:00", "2026-11-01T06:00", "2026-04-04T15:00"]
CHANGES += ["2026-10-03T15:30", "2026-03-08T05:00", "2026-11-01T05:00", "2026-04-05T03:00", "2026-09-06T04:00"]
# Any moment, and often one of the nights in which one of the zones changes its clocks.
MOMENTS = st.one_of(
    st.timedeltas(timedelta(0), timedelta(days=1800)).map(lambda passed: utc("2024-01-01T00:00") + passed),
    st.builds(
        lambda night, offset: utc(night) + offset,
        st.sampled_from(CHANGES),
        st.timedeltas(timedelta(hours=-4), timedelta(hours=4)),
    ),
)


def clock_went_forward_at(moment: datetime, zone: str) -> bool:
    before, after = ((moment + step).astimezone(ZoneInfo(zone)).utcoffset() for step in (-MINUTE, timedelta(0)))
    return before is not None and after is not None and after > before


@given(FIELDS, MOMENTS)
def test_the_next_moment_is_later_matches_and_nothing_before_it_is_left_out(text: str, moment: datetime) -> None:
    schedule = parse_schedule(text)
    found = schedule.next_after(moment)

    assert found is not None
    assert found > moment
    assert found.second == found.microsecond == 0
    assert schedule.covers(found) or clock_went_forward_at(found, text.rsplit(maxsplit=1)[-1])
    # Between the two nothing matches but what the clock shows for the second time.
    minute = moment.replace(second=0, microsecond=0)
    shown_first = [minute + n * MINUTE for n in range(1, 200) if minute + n * MINUTE < found]
    zone = ZoneInfo(text.rsplit(maxsplit=1)[-1])
    assert not [each for each in shown_first if schedule.covers(each) and each.astimezone(zone).fold == 0]


@given(FIELDS, MOMENTS)
def test_moments_come_in_the_same_order_from_wherever_one_looks(text: str, moment: datetime) -> None:
    schedule = parse_schedule(text)
    first = schedule.next_after(moment)
    assert first is not None
    second = schedule.next_after(first)
    assert second is not None
    assert second > first
    assert schedule.next_after(second - timedelta(microseconds=1)) == second
    between = first + (second - first) / 2
    assert schedule.next_after(between) == second


@given(st.sampled_from(ZONES), MOMENTS)
def test_a_schedule_of_every_minute_covers_every_minute(zone: str, moment: datetime) -> None:
    assert parse_schedule(f"* * * * * {zone}").covers(moment)


@pytest.mark.parametrize(("text", "why"), [
    ("", "is no schedule; write five cron fields and a time zone, like"),
    ("* * * * *", "is no schedule; write five cron fields and a time zone"),  # no zone
    ("9-17", "is no schedule; write five cron fields"),
    ("@daily UTC", "is no schedule; write five cron fields"),
    ("0 * 9-17 * * mon-fri Europe/Berlin", "is no schedule; write five cron fields"),  # seconds
    ("* 9-24 * * * UTC", r"\(bad hour\).* like \* 9-17"),
    ("60 9 * * * UTC", "bad minute"),
    ("* 9 32 * * UTC", "bad day-of-month"),
    ("* 9 * foo * UTC", "bad month"),
    ("* 9 * * sat-sun UTC", "bad day-of-week.*ranges go upwards"),
    ("* 9 * * montag UTC", "bad day-of-week"),
    ("*/0 9 * * * UTC", "bad minute"),
    ("0 0 30 2 * UTC", "bad day-of-month"),
    ("* * */20 * 1L UTC", "never comes; leave days or months out"),
    ("* * * * * Berlin", "Berlin, which is no time zone; write an IANA name, like Europe/Berlin"),
    ("* * * * * Europe", "no time zone"),  # a directory
    ("* * * * * europa/berlin", "no time zone"),
    ("* * * * * Europe/Berlin2", "no time zone"),
    ("* * * * * localtime", "no time zone"),
    ("* * * * * right/UTC", "no time zone"),
    ("* * * * * ../../etc/passwd", "no time zone"),
    ("* * * * * /etc/passwd", "no time zone"),
    ("* * * * * Europe/../Europe/Berlin", "no time zone"),
    ("* * * * * Z\0", "no time zone"),
    ("* * * * fr\u0131 UTC", "is no schedule"),  # a letter that is not ASCII but becomes I as a capital
    ("* * * * ² UTC", "is no schedule"),
    ("*/" + "9" * 5000 + " * * * * UTC", "is longer than 256 characters"),
    ("0," * 200 + "0 * * * * UTC", "is longer than 256 characters"),
])  # fmt: skip
def test_what_is_no_schedule_is_refused_with_what_would_do(text: str, why: str) -> None:
    with pytest.raises(InvalidScheduleError, match=why):
        parse_schedule(text)


@given(st.text(alphabet="0123456789*,-/#LWSUNMOFRI@? \tEuropBerlin/²", max_size=60), st.sampled_from(["", *ZONES]))
def test_no_text_makes_the_parser_fail_otherwise(text: str, zone: str) -> None:
    try:
        schedule = parse_schedule(f"{text} {zone}")
    except InvalidScheduleError:
        return
    assert schedule.next_after(utc("2026-01-01T00:00")) is not None


def test_spaces_do_not_matter() -> None:
    assert parse_schedule("  0  22 * * *\tEurope/Berlin ") == Schedule("0 22 * * * Europe/Berlin")


def test_zones_are_known_where_the_system_has_no_files_of_them() -> None:
    # In a process of its own: zones are compared by identity, and those of this one must stay what they are.
    script = (
        "import zoneinfo; zoneinfo.reset_tzpath(to=()); from datetime import datetime, UTC\n"
        "from autostop.schedule import parse_schedule\n"
        "at = parse_schedule('0 22 * * * Europe/Berlin').next_after(datetime(2026, 7, 5, 12, tzinfo=UTC))\n"
        "print(at.astimezone(UTC).isoformat())"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, env=environment)
    assert ended.stdout.strip() == "2026-07-05T20:00:00+00:00"
