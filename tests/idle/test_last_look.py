"""What comes right before a stop: a fresh answer, and a verdict by it."""

from datetime import UTC, datetime, timedelta

import pytest

from autostop.idle.last_look import LastLook, last_look
from autostop.idle.reading import Reading, Unknown
from autostop.idle.verdict import Verdict, VerdictKind
from tests.build import minutes, row

NOW = datetime(2026, 3, 2, 18, 30, tzinfo=UTC)
SECOND = timedelta(seconds=1)
LATELY, LONG_AGO = NOW - minutes(2), NOW - minutes(10)


def answered(ago: timedelta) -> Reading:
    return Reading(NOW - ago, ())


@pytest.mark.parametrize(("answer", "wanted_at", "may_ask", "has_asked", "expected"), [
    row("nobody asked yet", None, LATELY, True, False, LastLook.ASK),
    row("asked just now", None, LATELY, True, True, LastLook.WAIT),
    row("the owner lets nobody ask", None, LATELY, False, False, LastLook.MEASURE),
    row("an answer a minute old", answered(minutes(1)), LATELY, True, False, LastLook.MEASURE),
    row("older", answered(minutes(1) + SECOND), LATELY, True, False, LastLook.ASK),
    row("old, wanted lately", answered(minutes(5)), LONG_AGO + SECOND, True, True, LastLook.WAIT),
    row("old, wanted ten minutes ago", answered(minutes(5)), LONG_AGO, True, False, LastLook.MEASURE),
    row("older still", answered(minutes(5) + SECOND), LONG_AGO, True, False, LastLook.ASK),
    row("an answer that says nothing", Unknown(NOW, "no agent"), LATELY, True, True, LastLook.MEASURE),
])  # fmt: skip
def test_before_a_stop_a_fresh_answer_is_waited_for(
    answer: Reading | Unknown | None, wanted_at: datetime, may_ask: bool, has_asked: bool, expected: LastLook
) -> None:
    asked = {"may_ask": may_ask, "has_asked": has_asked}

    assert last_look(answer, None, **asked, wanted_at=wanted_at, now=NOW) is expected
    # A verdict makes up for no answer.
    idle = Verdict(VerdictKind.IDLE, NOW, ())
    then = LastLook.STOP if expected is LastLook.MEASURE else expected
    assert last_look(answer, idle, **asked, wanted_at=wanted_at, now=NOW) is then


@pytest.mark.parametrize("kind", VerdictKind)
def test_only_what_is_idle_to_the_last_is_stopped(kind: VerdictKind) -> None:
    fresh = answered(SECOND)

    look = last_look(fresh, Verdict(kind, NOW, ()), may_ask=True, has_asked=True, wanted_at=LATELY, now=NOW)

    assert look is (LastLook.STOP if kind is VerdictKind.IDLE else LastLook.TURN_BACK)
