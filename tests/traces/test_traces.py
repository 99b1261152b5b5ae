"""Every trace holds: nobody at work is stopped, and whoever left is found in time."""

from dataclasses import replace
from datetime import timedelta
from functools import cache

import pytest

from autostop.idle.cloudwatch_metrics import METRIC_DELAY
from autostop.idle.reading import Reading, parse_reading, read_document
from autostop.idle.verdict import VerdictKind
from autostop.notice import NoticeKind
from tests.traces import script, week
from tests.traces.files import DATA, all_traces, read, text_of, trace_of
from tests.traces.generate import generated
from tests.traces.judged import judged
from tests.traces.play import Played, _Night, play, printed
from tests.traces.record import scenes
from tests.traces.sabotage import SABOTAGES, Sabotage
from tests.traces.table import counted, judge_all
from tests.traces.trace import Trace

NAMES = sorted(path.stem for path in DATA.glob("*.jsonl"))


@cache
def trace(name: str) -> Trace:
    return read(DATA / f"{name}.jsonl")


@cache
def played(name: str) -> Played:
    return play(trace(name))


@pytest.mark.parametrize("name", NAMES)
def test_nobody_at_work_is_stopped_and_whoever_left_is_found_in_time(name: str) -> None:
    result = judged(trace(name), played(name).stops)
    assert result.false_stops == ()
    assert result.late == ()
    assert result.lost == 0


@pytest.mark.parametrize("sabotage", SABOTAGES, ids=lambda sabotage: sabotage.signal)
def test_a_trace_fails_without(sabotage: Sabotage) -> None:
    result = sabotage.judged(trace(sabotage.trace))
    assert result.false_stops or result.late


@pytest.mark.parametrize("name", NAMES)
def test_every_stop_was_announced_in_time(name: str) -> None:
    policy = trace(name).policy
    warnings = [notice for notice in played(name).notices if notice.kind is NoticeKind.STOPS_SOON]
    for stop in played(name).stops:
        at = trace(name).moment(stop)
        before = [notice for notice in warnings if notice.at < at]
        assert before, f"nobody was told of the stop at {at}"
        assert at - before[-1].at >= policy.warn_before - timedelta(minutes=1)


def test_yesterdays_points_count_for_nothing_after_a_start() -> None:
    day = trace("just-started-after-a-quiet-day")
    [launch] = [day.moment(run.first) for run in day.runs]
    old = [point for point in day.points if point.minute < 0]
    assert len(old) == 14 * 12
    assert max(point.cores for point in old) < day.policy.cpu_cores
    for seen in played(day.name).verdicts:
        assert all(sample.at >= launch for sample in seen.processor)
        if seen.at < launch + day.policy.grace:
            assert "grace" in seen.verdict.headline
        if seen.at < launch + day.policy.grace + timedelta(minutes=30):
            assert seen.verdict.kind is VerdictKind.ACTIVE


@pytest.mark.parametrize(("type_", "stopped"), [("t3.micro", False), ("m7g.xlarge", True)])
def test_a_small_machine_that_nobody_asks_is_at_work_with_what_it_can_do_without_credits(
    monkeypatch: pytest.MonkeyPatch, type_: str, stopped: bool
) -> None:
    day = trace("nobody-is-asked")
    slow = replace(day, points=tuple(replace(point, cores=min(point.cores, 0.2)) for point in day.points))
    tagged = _Night.tagged
    monkeypatch.setattr(_Night, "tagged", lambda night: [replace(each, type=type_) for each in tagged(night)])

    assert bool(judged(slow, play(slow).stops).false_stops) is stopped


def test_a_server_that_answers_nobody_is_told_of_after_hours() -> None:
    day = trace("server-with-a-password")
    told = [notice for notice in played(day.name).notices if notice.kind is NoticeKind.UNKNOWN_FOR_LONG]
    assert len(told) == 1
    assert "password" in told[0].text


def test_the_generator_gives_the_same_bytes() -> None:
    texts = generated()
    stored = {day.name: (DATA / f"{day.name}.jsonl").read_text() for day in all_traces() if day.made == "generated"}
    assert sorted(texts) == sorted(stored)
    assert [name for name in texts if texts[name] != stored[name]] == []


@pytest.mark.parametrize("name", NAMES)
def test_a_trace_is_what_its_file_says(name: str) -> None:
    day = trace(name)
    assert day.name == name
    assert day.made in ("generated", "recorded")
    assert trace_of(text_of(day)) == day
    for minute in range(0, day.minutes, 7):
        if day.run_at(minute) is None:
            continue
        document, moment = day.document(minute), day.moment(minute) + timedelta(seconds=day.clock_off)
        if document["machine"] is None:
            assert isinstance(read_document(document, moment), Reading)
        else:
            line = printed(document, None)
            assert len(line.encode()) < 2000
            assert isinstance(parse_reading(line, moment), Reading)


def test_what_is_written_of_a_day_is_what_its_trace_is_judged_by() -> None:
    recorded = {name.removeprefix("recorded-") for name in NAMES if trace(name).made == "recorded"}
    assert recorded == {scene.name for scene in scenes()}
    for name, day in script.DAYS.items():
        played_as = trace(f"recorded-{name}")
        assert (played_as.tells, played_as.working) == (day["tells"], tuple(script.labels(day)))
        assert played_as.settings == script.SETTINGS


def test_the_corpus_is_large_enough_and_small_enough() -> None:
    assert len(NAMES) >= 40
    assert sum((DATA / f"{name}.jsonl").stat().st_size for name in NAMES) < 3_000_000
    assert {day.made for day in all_traces()} == {"generated", "recorded"}
    # One trace is as late as vendors plan for.
    assert max(point.visible - point.minute - 5 for point in trace("metrics-ten-minutes-late").points) == (
        METRIC_DELAY / timedelta(minutes=1)
    )


def test_the_tables_in_the_docs_are_those_that_are_counted() -> None:
    traces = all_traces()
    page = (DATA.parents[2] / "docs" / "verdicts.md").read_text()
    for table in (counted(traces, {day.name: judge_all(day, played(day.name).stops) for day in traces}), week.table()):
        assert table in page, f"make traces writes it there:\n\n{table}"
