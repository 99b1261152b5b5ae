"""How stops are counted: against people at work, and for whoever left."""

from dataclasses import replace

from tests.traces.files import DATA, read
from tests.traces.judged import judged
from tests.traces.trace import Span

# Work from 10 to 60 and from 80 to 120 minutes, and never again; the break between is shorter than the window.
TRACE = replace(
    read(DATA / "silent-cell-of-three-hours.jsonl"),
    working=(Span(10, 60, "first"), Span(80, 120, "second")),
    excused=(),
)


def test_a_stop_at_work_loses_the_rest_of_that_work() -> None:
    result = judged(TRACE, [40.0])
    assert result.lost == 20
    assert len(result.false_stops) == 1
    assert "while first" in result.false_stops[0]


def test_a_stop_in_a_break_shorter_than_the_window_is_false_but_loses_no_minute() -> None:
    result = judged(TRACE, [70.0])
    assert result.lost == 0
    assert len(result.false_stops) == 1


def test_who_left_is_found_in_time_and_the_minutes_before_are_paid() -> None:
    result = judged(TRACE, [158.0])
    assert (result.found, result.all) == (1, 1)
    assert result.late == ()
    assert result.false_stops == ()
    assert result.paid == 8


def test_who_is_never_found_is_late_and_paid_to_the_end() -> None:
    result = judged(TRACE, [])
    assert (result.found, result.all) == (0, 1)
    assert len(result.late) == 1
    assert result.paid == TRACE.minutes - 150


def test_nothing_is_due_while_nobody_could_know() -> None:
    excused = replace(TRACE, excused=(Span(120, 900, "nobody could ask"),))
    assert judged(excused, [944.0]).late == ()
    assert judged(excused, [1000.0]).late != ()
