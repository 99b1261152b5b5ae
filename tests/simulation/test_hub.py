"""The scheduler: functions that take turns, the same way every time, and that can be killed."""

from datetime import UTC, datetime, timedelta

import pytest

from autostop_local.world import VirtualClock
from tests.simulation.hub import Hub, Task
from tests.simulation.lab import FUNCTION_TIMEOUT, Lab

START = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)
A_SECOND = timedelta(seconds=1)
A_MINUTE = timedelta(minutes=1)


class Nature:
    """Something that happens by itself at the given seconds."""

    def __init__(self, clock: VirtualClock, told: list[str], *seconds: int) -> None:
        self.clock, self.told = clock, told
        self.due = [START + second * A_SECOND for second in seconds]

    def tick(self) -> None:
        while self.due and self.due[0] <= self.clock.now():
            self.told.append(f"{(self.due.pop(0) - START).seconds} nature")

    def next_due(self) -> datetime | None:
        return self.due[0] if self.due else None


class Scene:
    """A hub, and tasks that tell what they do and when."""

    def __init__(self, *natural: int) -> None:
        self.told: list[str] = []
        self.clock = VirtualClock(START)
        self.hub = Hub(self.clock, Nature(self.clock, self.told, *natural))

    def tell(self, what: str) -> None:
        self.told.append(f"{(self.clock.now() - START).seconds} {what}")

    def steps(self, name: str, *pauses: int) -> None:
        for pause in pauses:
            self.tell(name)
            self.hub.pause(pause * A_SECOND)
        self.tell(f"{name} ends")

    def spawn(self, name: str, *pauses: int, after: int = 0) -> Task:
        return self.hub.spawn(name, lambda: self.steps(name, *pauses), START + after * A_SECOND)


def test_functions_take_turns_call_by_call_and_nature_has_its_own() -> None:
    scene = Scene(3, 7)
    scene.spawn("a", 2, 4)
    scene.spawn("b", 3, 1, after=1)
    scene.hub.run(START + A_MINUTE)
    assert scene.told == ["0 a", "1 b", "2 a", "3 nature", "4 b", "5 b ends", "6 a ends", "7 nature"]


def test_what_is_due_at_one_moment_happens_in_the_order_it_was_asked_for_and_nature_first() -> None:
    scene = Scene(5)
    for name in ("c", "a", "b"):
        scene.hub.at(START + 5 * A_SECOND, lambda name=name: scene.tell(name))  # type: ignore[misc]  # bound now
    scene.hub.run(START + A_MINUTE)
    assert scene.told == ["5 nature", "5 c", "5 a", "5 b"]


def test_time_ends_where_it_was_wanted_or_as_soon_as_it_is_enough() -> None:
    scene = Scene()
    scene.spawn("a", 10, 10)
    assert scene.hub.run(START + A_MINUTE, lambda: "10 a" in scene.told)
    assert scene.clock.now() == START + 10 * A_SECOND
    assert not scene.hub.run(START + A_MINUTE, lambda: "11 a" in scene.told)
    assert scene.clock.now() == START + A_MINUTE


def test_a_wait_outside_of_any_function_lets_all_others_go_on() -> None:
    scene = Scene(2)
    scene.spawn("a", 1)
    scene.hub.pause(5 * A_SECOND)
    assert scene.told == ["0 a", "1 a ends", "2 nature"]
    assert scene.clock.now() == START + 5 * A_SECOND


def with_an_effect_in_the_end(scene: Scene, name: str) -> None:
    """Whatever it does comes through `pause`, as each call does."""
    try:
        scene.steps(name, 5)
    finally:
        scene.hub.pause(A_SECOND)
        scene.tell(f"{name} cleans up")


def test_a_killed_function_never_goes_on_and_its_finally_has_no_effect() -> None:
    scene = Scene()
    task = scene.hub.spawn("a", lambda: with_an_effect_in_the_end(scene, "a"), START)
    scene.hub.at(START + 2 * A_SECOND, lambda: scene.hub.kill(task))
    scene.hub.run(START + A_MINUTE)
    scene.hub.close()
    assert scene.told == ["0 a"]
    assert scene.clock.now() == START + A_MINUTE


def test_a_function_that_dies_does_so_at_once_and_its_finally_has_no_effect() -> None:
    scene = Scene()

    def die() -> None:
        try:
            scene.tell("dies")
            scene.hub.die()
        finally:
            scene.hub.pause(A_SECOND)
            scene.tell("cleans up")

    scene.hub.spawn("a", die, START)
    scene.spawn("b", 1)
    scene.hub.run(START + A_MINUTE)
    scene.hub.close()
    assert scene.told == ["0 dies", "0 b", "1 b ends"]


def test_who_is_under_way_at_the_end_ends_as_if_killed() -> None:
    scene = Scene()
    scene.hub.spawn("a", lambda: with_an_effect_in_the_end(scene, "a"), START)
    scene.spawn("never begun", 1, after=100)
    scene.hub.run(START + A_SECOND)
    scene.hub.close()
    assert scene.told == ["0 a"]
    assert scene.hub.current is None


def test_an_exception_that_leaves_a_function_ends_the_run() -> None:
    scene = Scene()

    def fail() -> None:
        scene.steps("a", 1)
        raise ZeroDivisionError

    scene.hub.spawn("a", fail, START)
    scene.spawn("b", 5)
    with pytest.raises(ZeroDivisionError):
        scene.hub.run(START + A_MINUTE)
    assert scene.told == ["0 a", "0 b", "1 a ends"]
    scene.hub.run(START + A_MINUTE)
    assert scene.told[-1] == "5 b ends"


def test_a_function_is_killed_at_its_time_out() -> None:
    lab = Lab(0, disks={"/dev/sda1": {"VolumeSize": 8}})
    told: list[str] = []

    def work(seconds: float) -> None:
        lab.hub.pause(timedelta(seconds=seconds))
        told.append(f"{seconds} s")

    limit = FUNCTION_TIMEOUT.total_seconds()
    within = lab._run("within", lambda: work(limit - 1))
    beyond = lab._run("beyond", lambda: work(limit + 1))
    lab.pass_time(timedelta(seconds=2))
    assert {within, beyond} <= lab.running
    lab.pass_time(timedelta(minutes=5))
    assert not {within, beyond} & lab.running
    lab.close()
    assert told == [f"{limit - 1} s"]


def test_the_clock_of_a_function_is_off_by_its_own_skew_and_no_two_looks_are_the_same() -> None:
    lab = Lab(3, disks={"/dev/sda1": {"VolumeSize": 8}}, skew=timedelta(seconds=90))
    told: list[timedelta] = []

    def work() -> None:
        told.append(lab.function_clock() - lab.clock())
        assert lab.function_clock() < lab.function_clock()

    for _ in range(20):
        lab._run("look", work)
    lab.pass_time(timedelta(seconds=1))
    lab.close()
    assert all(abs(skew) <= timedelta(seconds=90) for skew in told)
    assert min(told) < timedelta(seconds=-30)
    assert max(told) > timedelta(seconds=30)
