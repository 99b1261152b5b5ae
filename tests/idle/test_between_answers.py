"""What a row of answers tells: processor seconds between two of them, and work that leaves no moment behind."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autostop.idle.between_answers import follow
from autostop.idle.history import History
from autostop.idle.reading import Reading
from autostop.idle.reconnects import RECONNECTS_BELIEVED, only_reconnected
from autostop.settings import Policy
from tests.build import machine, minutes, row, server

BEGIN = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
POLICY = Policy()


def answer(minute: float, cpu: float = 100.0, kernels: dict[str, Any] | None = None, **seen: Any) -> Reading:
    at = BEGIN + minutes(minute)
    servers = (server(**kernels),) if kernels is not None else ()
    return Reading(at, servers, machine(cpu={"all": cpu}, **seen))


def history_of(*answers: Reading, policy: Policy = POLICY) -> History:
    history: History | None = None
    for each in answers:
        history = follow(history, each, policy)
    assert history is not None
    return history


@pytest.mark.parametrize(("later", "seconds", "worked"), [
    row("exactly one second a minute", 5, 5.0, False),
    row("a little more", 5, 5.1, True),
    row("an idle kernel", 5, 0.05, False),
    row("nothing", 5, 0.0, False),
    row("a core at full speed", 5, 300.0, True),
    row("a kernel went away", 5, -1.0, True),
    row("noise between two answers that are seconds apart", 0.05, 0.1, False),
    row("a core at full speed between two answers that are seconds apart", 0.05, 3.0, True),
])  # fmt: skip
def test_work_is_more_than_a_second_a_minute_or_a_fall(later: float, seconds: float, worked: bool) -> None:
    history = history_of(answer(0), answer(later, cpu=100.0 + seconds))

    assert history.cpu_at == (BEGIN + minutes(later) if worked else None)


def sessions(minute: float, **seconds: float) -> Reading:
    return replace(answer(minute), machine=machine(cpu=seconds))


@pytest.mark.parametrize(("before", "after", "worked"), [
    row("one of many works", {"a": 1, "b": 1}, {"a": 1, "b": 7}, True),
    row("noise of many is no work of one", {"a": 0, "b": 0, "c": 0}, {"a": 4, "b": 4, "c": 4}, False),
    row("one goes, which hides no other's work", {"a": 500, "b": 0}, {"b": 300}, True),
    row("one goes, the others rest", {"a": 500, "b": 0}, {"b": 0}, True),
    row("a new one works", {"a": 1}, {"a": 1, "b": 30}, True),
    row("a new one that only started", {"a": 1}, {"a": 1, "b": 0.4}, False),
    row("the workers of a cluster poll", {"s1": 0}, {"s1": 40}, False),
    row("they compute", {"s1": 0}, {"s1": 60}, True),
    row("each of many polls", {"p1": 0, "p2": 0, "p3": 0}, {"p1": 20, "p2": 20, "p3": 20}, False),
    row("a server replaces its worker", {"a": 0, "p1": 50, "prest": 9}, {"a": 0, "p2": 1, "prest": 8}, False),
    row("one that listens trains", {"p1": 0}, {"p1": 30}, True),
    row("who holds a GPU computes", {"a": 0, "g": 10}, {"a": 0, "g": 20}, True),
    row("who holds it rests", {"a": 0, "g": 10}, {"a": 0, "g": 10.1}, False),
    row("nobody knows who held it before", {"a": 0}, {"a": 0, "g": 5000}, False),
    row("and who holds it now", {"a": 0, "g": 5000}, {"a": 0}, False),
])  # fmt: skip
def test_processor_seconds_count_for_each_session_alone(
    before: dict[str, float], after: dict[str, float], worked: bool
) -> None:
    assert history_of(sessions(0, **before), sessions(5, **after)).cpu_at == (BEGIN + minutes(5) if worked else None)


@pytest.mark.parametrize(("seconds", "worked"), [
    row("a page polls", (0, 5, 10, 16), False), row("somebody clicks through it", (0, 1, 2, 4.9), True),
    row("a cluster polls", (0, 40, 78, 120), False), row("its start is no rule", (0, 49, 50, 53), True),
])  # fmt: skip
def test_what_serves_somebody_is_at_work_where_it_uses_more_than_when_it_was_quietest(
    seconds: tuple[float, ...], worked: bool
) -> None:
    def history(visits: int) -> History:
        answers = (answer(5 * number) for number in range(len(seconds)))
        seen = (machine(cpu={"s1": each}, visits=visits) for each in seconds)
        return history_of(*(replace(each, machine=then) for each, then in zip(answers, seen, strict=True)))

    assert history(1).cpu_at == (BEGIN + minutes(15) if worked else None)
    assert history(0).cpu_at is None


@pytest.mark.parametrize(("seconds", "worked"), [
    row("a model waits to be asked", (0, 15, 31, 46), False), row("somebody asks it", (0, 15, 31, 60), True),
    row("a training of many parts, in bursts", (0, 1, 2, 13), True),
])  # fmt: skip
def test_who_holds_a_gpu_and_listens_is_at_work_where_it_uses_more_than_when_it_was_quietest(
    seconds: tuple[float, ...], worked: bool
) -> None:
    history = history_of(*(sessions(5 * number, pg=each) for number, each in enumerate(seconds)))

    assert history.cpu_at == (BEGIN + minutes(15) if worked else None)


def test_from_how_much_it_is_work_is_a_setting() -> None:
    rests = history_of(sessions(0, a=0), sessions(5, a=12), policy=replace(POLICY, cpu_seconds=3))
    assert rests.cpu_at is None


def test_work_is_remembered_when_it_is_over() -> None:
    history = history_of(answer(0), answer(5, cpu=400.0), answer(10, cpu=400.0), answer(15, cpu=400.0))

    assert (history.readings, history.cpu_rate, history.cpu_at) == (4, 0.0, BEGIN + minutes(5))


@pytest.mark.parametrize(("seen", "remembered"), [
    ({"jobs": 1, "job": "python3"}, "job_at"), ({"held": True}, "held_at"), ({"gpu_percent": 6.0}, "gpu_at"),
    ({"logins": 1}, ""),
])  # fmt: skip
def test_what_leaves_no_moment_behind_was_last_there_when_it_was_seen(seen: dict[str, Any], remembered: str) -> None:
    history = history_of(answer(0), answer(5, **seen), answer(10))

    moments = {name: getattr(history, name) for name in ("job_at", "held_at", "gpu_at", "busy_at")}
    assert {name for name, at in moments.items() if at is not None} == ({remembered} - {""})
    assert set(moments.values()) <= {None, BEGIN + minutes(5)}


def test_a_busy_kernel_is_remembered_after_its_server_was_killed() -> None:
    busy = {"busy": 1, "kernel_active_at": BEGIN, "busy_active_at": BEGIN}

    assert history_of(answer(0, kernels=busy), answer(5)).busy_at == BEGIN


@pytest.mark.parametrize(("percent", "limit", "computes"), [(5.0, 5.0, False), (5.1, 5.0, True), (99.0, None, False)])
def test_a_gpu_computes_above_the_owners_limit(percent: float, limit: float | None, computes: bool) -> None:
    history = history_of(answer(0, gpu_percent=percent), policy=Policy(gpu_percent=limit))

    assert (history.gpu_at is not None) is computes


def test_what_was_used_while_the_processor_was_seen_at_work_counts_for_no_later_moment() -> None:
    before = replace(history_of(answer(0), answer(5)), interrupted=True)

    history = follow(before, answer(15, cpu=700.0), POLICY)

    assert history is not None
    assert (history.cpu_rate, history.cpu_at, history.readings) == (None, None, 3)
    later = follow(history, answer(20, cpu=900.0), POLICY)
    assert later is not None
    assert later.cpu_at == BEGIN + minutes(20)


def test_a_job_is_known_since_the_first_answer_of_an_unbroken_row() -> None:
    with_job: dict[str, Any] = {"jobs": 1, "job": "train"}

    history = history_of(answer(0, **with_job), answer(5), answer(10, **with_job), answer(15, **with_job))

    assert history.job_since == BEGIN + minutes(10)


@pytest.mark.parametrize("later", [row("a boot", answer(5, boot="0000beef")), row("a long gap", answer(21))])
def test_a_new_row_begins_after(later: Reading) -> None:
    history = history_of(answer(0, jobs=1, job="train"), later)

    assert (history.readings, history.since, history.job_at) == (1, later.at, None)


@pytest.mark.parametrize(("later", "interrupted", "counts"), [
    row("somebody booted it", answer(5, boot="0000beef"), False, True),
    row("nobody knows what went on", answer(21), False, True),
    row("the processor tells what went on", answer(21), True, False),
])  # fmt: skip
def test_what_nobody_saw_counts_as_work_until_it_is_seen_again(later: Reading, interrupted: bool, counts: bool) -> None:
    history = follow(replace(history_of(answer(0)), interrupted=interrupted), later, POLICY)

    assert history is not None
    assert (history.cpu_at == later.at) is counts


def test_a_short_gap_goes_on() -> None:
    assert history_of(answer(0), answer(20)).readings == 2


@pytest.mark.parametrize("minute", [0, -5])
def test_an_answer_that_is_not_newer_changes_nothing(minute: float) -> None:
    history = history_of(answer(0))

    assert follow(history, answer(minute, cpu=900.0), POLICY) == history


def asleep(minute: float) -> Reading:
    """A laptop sleeps with two notebooks open, for some minutes by now."""
    return answer(minute, kernels={"idle": 2, "kernel_active_at": BEGIN + minutes(minute - minute % 10 - 1)})


def reconnected(minute: float, **seen: Any) -> Reading:
    """It woke for a moment: all connected kernels were used in the same second, right before the answer."""
    kernels = {"idle": 2, "kernel_active_at": BEGIN + minutes(minute - 1), "connections": 2, "together": True}
    return answer(minute, kernels=kernels | seen.pop("kernels", {}), **seen)


def wakes(times: int, **seen: Any) -> list[Reading]:
    """It wakes every ten minutes, from the tenth on, and is asked every five."""
    pairs = [(reconnected(10 * n, **seen), asleep(10 * n + 5)) for n in range(1, times + 1)]
    return [asleep(5), *(each for pair in pairs for each in pair)]


def test_a_browser_that_reconnects_again_and_again_is_no_person() -> None:
    assert not only_reconnected(history_of(*wakes(RECONNECTS_BELIEVED)))
    assert only_reconnected(history_of(*wakes(RECONNECTS_BELIEVED + 1)))


@pytest.mark.parametrize("sign", [
    row("a key was pressed", {"typed_at": BEGIN + minutes(38)}),
    row("a file was saved in an editor", {"edited_at": BEGIN + minutes(38)}),
    row("a notebook was saved", {"kernels": {"saved_at": BEGIN + minutes(38)}}),
    row("something computed", {"cpu": 200.0}),
    row("one kernel was used apart from the others", {"kernels": {"together": False}}),
])  # fmt: skip
def test_any_other_sign_shows_that_a_person_may_be_behind_it(sign: dict[str, Any]) -> None:
    assert only_reconnected(history_of(*wakes(3)))
    assert not only_reconnected(history_of(*wakes(3), reconnected(40, **sign)))


def test_who_works_moves_the_kernels_again_and_again() -> None:
    assert not only_reconnected(history_of(*wakes(3), reconnected(40), reconnected(45)))


@pytest.mark.parametrize(("tab_at_first", "person"), [(True, True), (False, False)])
def test_a_tab_that_stays_open_and_awake_may_have_a_person_before_it(tab_at_first: bool, person: bool) -> None:
    seconds = timedelta(seconds=20)
    before = asleep(39)
    if tab_at_first:
        before = replace(before, servers=(replace(before.servers[0], server_active_at=before.at - seconds),))
    now = reconnected(40, kernels={"server_active_at": BEGIN + minutes(40) - seconds})

    assert only_reconnected(history_of(*wakes(3), before, now)) is not person


def test_a_reconnect_that_has_ended_when_the_machine_is_asked_is_one_too() -> None:
    assert only_reconnected(history_of(*wakes(3, kernels={"connections": 0, "together": False})))


def test_who_stayed_connected_did_not_reconnect() -> None:
    """A light cell now and then, on a connection that nothing interrupts."""

    def cell(minute: float) -> Reading:
        used = BEGIN + minutes(minute - minute % 15)
        kernels = {"idle": 1, "kernel_active_at": used, "connections": 1, "together": True}
        return answer(minute, kernels=kernels)

    assert not only_reconnected(history_of(*(cell(minute) for minute in range(0, 121, 5))))


def test_a_cell_that_came_to_its_end_is_no_reconnect() -> None:
    busy = {"busy": 1, "idle": 1, "kernel_active_at": BEGIN + minutes(29), "busy_active_at": BEGIN + minutes(29)}

    assert not only_reconnected(history_of(*wakes(3), answer(39, kernels=busy), reconnected(40)))


def steady(minute: float, **seen: Any) -> Reading:
    """A kernel that was used seconds before it was asked, as always."""
    kernels = {"idle": 1, "kernel_active_at": BEGIN + minutes(minute - 0.1), "connections": 1}
    return answer(minute, kernels=kernels, **seen)


def test_a_kernel_that_is_asked_all_the_time_is_known_since_when() -> None:
    assert history_of(steady(0), steady(5), steady(10)).steady_since == BEGIN


@pytest.mark.parametrize("between", [
    row("a key", steady(10, typed_at=BEGIN + minutes(9))),
    row("computing", steady(10, cpu=200.0)),
    row("a pause", answer(10, kernels={"idle": 1, "kernel_active_at": BEGIN + minutes(9.6)})),
])  # fmt: skip
def test_any_other_sign_or_a_pause_begins_it_anew(between: Reading) -> None:
    assert history_of(steady(0), steady(5), between).steady_since is None
    again = history_of(
        steady(0), steady(5), between, steady(15, cpu=between.machine.cpu["all"] if between.machine else 0)
    )
    assert again.steady_since == BEGIN + minutes(10)


rows = st.lists(
    st.tuples(st.integers(1, 40), st.floats(-100, 600), st.booleans(), st.sampled_from(["aa", "bb"])), max_size=12
)


@settings(max_examples=100)
@given(rows)
def test_a_trail_never_remembers_a_moment_outside_its_row(steps: list[tuple[int, float, bool, str]]) -> None:
    at, cpu = BEGIN, 1000.0
    history: History | None = None
    for gap, seconds, job, boot in steps:
        at, cpu = at + timedelta(minutes=gap), max(0.0, cpu + seconds)
        history = follow(history, Reading(at, (), machine(cpu={"all": cpu}, jobs=int(job), boot=boot)), POLICY)
        assert history is not None
        assert history.at == at
        assert history.boot == boot
        assert all(history.since <= each <= at for each in (history.cpu_at, history.job_at, history.job_since) if each)
