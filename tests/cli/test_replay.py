"""What another policy would have made of a recorded week: when it would have stopped, and whom that would have hit."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from time import process_time
from typing import Any

import pytest

from autostop.idle.sweep_record import SweepRecord
from autostop.idle.verdict import VerdictKind
from autostop.schedule import Schedule
from autostop.settings import Policy, Probe
from autostop.sleep.intent import By
from autostop_cli.what_if.replay import Replay, as_it_was, replay
from tests.build import minutes, row
from tests.idle.recorded import MORNING, POLICY, Run


def hours(count: float) -> timedelta:
    return timedelta(hours=count)


def but(**changes: Any) -> Policy:
    return replace(POLICY, **changes)


def told(record: Sequence[SweepRecord], **changes: Any) -> Replay:
    return replay(record, but(**changes), POLICY)


def test_the_same_policy_stops_when_it_really_stopped() -> None:
    record = Run(computes=[(0, 60)]).recorded()
    real, same = as_it_was(record, POLICY), told(record)
    assert [(stop.at, stop.cause) for stop in real.stops] == [(record[-1].at, By.IDLE)]
    assert same.stops == real.stops
    assert (same.saved, same.longer, same.up) == (timedelta(0), timedelta(0), real.up)


@pytest.mark.parametrize("run", [
    row("never used", Run()),
    row("two bursts", Run(computes=[(0, 40), (55, 60)])),
    row("quiet and loud", Run(computes=[(20, 50), (70, 130), (150, 155)])),
    row("a silent cell", Run(cells=[(10, 200)])),
    row("a download", Run(downloads=[(10, 90)])),
    row("typing", Run(typed=[30, 55, 80])),
    row("kept awake", Run(computes=[(0, 30)], kept_awake=(40, 200))),
    row("not answered for an hour", Run(unread=[(60, 120)], computes=[(0, 50)])),
    row("never warned", Run(policy=but(warn_before=timedelta(0)), computes=[(0, 30)])),
    row("never asked", Run(policy=but(probe=Probe.NONE, network_rate=None), computes=[(0, 30)])),
    row("a limit at work", Run(policy=but(max_run=hours(2)), computes=[(0, 200)])),
])  # fmt: skip
def test_a_record_replayed_under_its_own_policy_gives_the_same_stop(run: Run) -> None:
    record = run.recorded()
    same, real = replay(record, run.policy, run.policy), as_it_was(record, run.policy)
    assert [(stop.at, stop.cause, stop.why) for stop in same.stops] == [
        (stop.at, stop.cause, stop.why) for stop in real.stops
    ]
    assert len(same.stops) == 1
    assert same.unknown == real.unknown


def test_a_shorter_window_stops_sooner_and_saves_the_rest_of_the_run() -> None:
    record = Run(computes=[(0, 60)]).recorded()
    shorter = told(record, idle_after=minutes(15))
    [stop] = shorter.stops
    assert stop.why.startswith("idle for")
    assert stop.until == record[-1].at
    # In so short a window the owner is told later, so that nobody at work is told again and again.
    assert shorter.saved == record[-1].at - stop.at == minutes(10)
    assert shorter.up == as_it_was(record, POLICY).up - minutes(10)
    assert not stop.at_work


def test_a_longer_window_would_have_run_on() -> None:
    record = Run(computes=[(0, 60)]).recorded()
    longer = told(record, idle_after=hours(1))
    assert longer.stops == ()
    assert longer.longer == minutes(30)
    assert longer.up == as_it_was(record, POLICY).up + minutes(30)


def test_a_longer_window_runs_on_to_the_next_start_at_most() -> None:
    first = Run(computes=[(0, 60)]).recorded()
    second = Run(began=first[-1].at + minutes(10), lasts=30).recorded()
    assert told([*first, *second], idle_after=hours(1)).longer == minutes(10)


def test_a_stop_that_work_followed_was_in_the_way() -> None:
    # A pause of 25 minutes between two silent cells.
    record = Run(cells=[(5, 60), (85, 120)]).recorded()
    shorter = told(record, idle_after=minutes(10), warn_before=timedelta(0))
    first, second = shorter.stops
    assert MORNING + minutes(60) < first.at < first.until == first.work_at
    assert first.work_at is not None
    assert first.work_at - MORNING <= minutes(90)
    assert first.at_work
    assert shorter.at_work == 1
    assert not second.at_work


def test_after_a_stop_grace_begins_anew_with_the_work_that_followed() -> None:
    # At 85 and 90 minutes only: without a new grace it would have been stopped again at once.
    record = Run(cells=[(5, 60), (85, 90)], lasts=110).recorded()
    shorter = told(record, idle_after=minutes(10), warn_before=timedelta(0), grace=minutes(30))
    assert len(shorter.stops) == 1


@pytest.mark.parametrize("run", [
    row("a key", Run(typed=[30, 52])),
    row("the processor", Run(computes=[(0, 30), (50, 60)])),
    row("the network", Run(computes=[(0, 30)], downloads=[(50, 60)])),
    row("a cell", Run(computes=[(0, 30)], cells=[(50, 60)])),
    row("a tap on keep awake", Run(computes=[(0, 30)], kept_awake=(50, 90))),
])  # fmt: skip
def test_whatever_shows_work_after_a_stop_counts(run: Run) -> None:
    shorter = told(run.recorded(), idle_after=minutes(5), grace=minutes(5), warn_before=timedelta(0))
    [*_, before_work] = [stop for stop in shorter.stops if stop.at < MORNING + minutes(50)]
    assert before_work.work_at is not None
    assert minutes(45) <= before_work.work_at - MORNING <= minutes(55)


def test_an_owner_who_starts_it_again_at_once_was_at_work() -> None:
    first = Run(computes=[(0, 60)]).recorded()
    soon = Run(began=first[-1].at + minutes(20), lasts=30).recorded()
    late = Run(began=first[-1].at + hours(12), lasts=30).recorded()
    assert as_it_was([*first, *soon], POLICY).at_work == 1
    assert as_it_was([*first, *late], POLICY).at_work == 0
    assert told([*first, *soon]).at_work == 1


def test_a_run_that_its_owner_ended_was_ended_by_no_policy() -> None:
    record = Run(computes=[(0, 60)], lasts=65).recorded()
    assert as_it_was(record, POLICY).stops == ()
    longer = told(record, idle_after=hours(3))
    assert (longer.stops, longer.longer, longer.open_ended) == ((), timedelta(0), 0)


def test_a_higher_cpu_threshold_is_unknown_where_nobody_was_asked() -> None:
    # Half a core for three hours: the processor said enough then, and nobody asked anything else.
    record = Run(computes=[(0, 180)], cores=0.5).recorded()
    higher = told(record, cpu_cores=1.0)
    assert all(stop.at > MORNING + minutes(180) for stop in higher.stops)
    assert higher.unknown > hours(1.5)
    assert as_it_was(record, POLICY).unknown == timedelta(0)


def test_a_lower_cpu_threshold_finds_more_work() -> None:
    record = Run(computes=[(20, 60)], cores=0.2, lasts=90).recorded()
    assert as_it_was(record, POLICY).stops
    assert told(record, cpu_cores=0.1).stops == ()


def test_the_network_that_was_never_measured_is_unknown_and_not_quiet() -> None:
    record = Run(policy=but(network_rate=None)).recorded()
    assert as_it_was(record, POLICY).stops
    measured = told(record)
    assert measured.stops == ()
    assert measured.open_ended == 1
    kept_up = told(Run(policy=but(network_rate=None), cells=[(0, 300)], lasts=290).recorded())
    assert kept_up.unknown == timedelta(0), "work that was seen is known, whatever was not measured"


def test_a_workstation_that_is_not_asked_any_more_is_judged_by_its_meters() -> None:
    record = Run(cells=[(0, 300)]).recorded()
    assert told(record).stops[0].at > MORNING + hours(5)
    blind = told(record, probe=Probe.NONE)
    assert blind.stops[0].at < MORNING + hours(1.5)
    assert blind.stops[0].at_work
    assert blind.at_work == len(blind.stops)


def test_a_limit_stops_at_work_and_says_so() -> None:
    record = Run(computes=[(0, 300)]).recorded()
    limited = told(record, max_run=hours(2))
    [first, *_] = limited.stops
    assert first.cause is By.LIMIT
    assert first.at_work
    evening = told(record, stop_at=Schedule("0 11 * * * UTC"))
    assert evening.stops[0].at == MORNING + hours(3)


def test_a_limit_in_the_last_record_stops_at_work_too() -> None:
    record = Run(computes=[(0, 300)], lasts=120).recorded()
    [stop] = told(record, max_run=hours(2), warn_before=timedelta(0)).stops
    assert stop.at == record[-1].at
    assert stop.at_work


def test_an_answer_is_judged_by_the_other_policy_and_not_by_what_was_made_of_it() -> None:
    record = Run(gpu_percent=3.0).recorded()
    assert as_it_was(record, POLICY).stops
    assert told(record, gpu_percent=2.0).stops == ()


def test_a_warning_that_no_sweep_remembers_is_given_anew() -> None:
    record = Run(computes=[(0, 600)], lasts=300).recorded()
    with_hole = [seen for seen in record if not minutes(170) < seen.at - MORNING < minutes(240)]
    assert told(record, max_run=hours(3)).stops[0].at == MORNING + hours(3)
    assert told(with_hole, max_run=hours(3)).stops[0].at == MORNING + minutes(250)


def test_protected_hours_stop_nothing() -> None:
    record = Run(computes=[(0, 30)]).recorded()
    assert told(record, protected_hours=Schedule("* 8-17 * * * UTC")).stops == ()


def test_no_answer_in_a_moment_is_taken_from_a_later_one() -> None:
    """Cutting off what came later changes no stop before it."""
    record = Run(cells=[(5, 60), (85, 120)]).recorded()
    whole = told(record, idle_after=minutes(10), warn_before=timedelta(0))
    for length in range(1, len(record)):
        cut = told(record[:length], idle_after=minutes(10), warn_before=timedelta(0))
        known = [stop.at for stop in whole.stops if stop.at <= record[length - 1].at]
        assert [stop.at for stop in cut.stops] == known


def test_a_hole_in_the_record_is_unknown() -> None:
    record = Run(cells=[(0, 300)]).recorded()
    with_hole = [seen for seen in record if not minutes(60) < seen.at - MORNING < minutes(180)]
    assert as_it_was(with_hole, POLICY).unknown == hours(2)
    assert told(with_hole).unknown >= hours(2)
    assert told(with_hole, idle_after=minutes(10)).stops[0].at > MORNING + hours(5)


def test_nothing_recorded_is_nothing_told() -> None:
    assert replay([], POLICY, POLICY) == as_it_was([], POLICY) == Replay((), timedelta(0))


def test_an_unknown_verdict_stops_nothing() -> None:
    record = Run(unread=[(0, 700)]).recorded()
    assert record[-1].verdict.kind is VerdictKind.UNKNOWN
    shorter = told(record, idle_after=minutes(5))
    assert shorter.stops == ()
    assert shorter.unknown > hours(8)


def test_a_week_is_replayed_within_seconds() -> None:
    day = 24 * 60 - 10
    runs = [
        Run(MORNING + timedelta(days=each), lasts=day, typed=list(range(0, day, 20))).recorded() for each in range(7)
    ]
    began = process_time()
    assert told([seen for run in runs for seen in run], idle_after=minutes(15)).recorded > timedelta(days=6)
    assert process_time() - began < 10
