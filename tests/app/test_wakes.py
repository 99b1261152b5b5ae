"""How long a wake takes is told from those before."""

import random
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from statistics import median

import pytest

from autostop.app.status import Phase, Status
from autostop.sleep.intent import Wanted
from autostop.sleep.wake_progress import Part, Wake, usual_wake
from tests.app.autostop_at_work import AtWork, at_work


def wakes(lab: AtWork, size: float, luck: random.Random, count: int) -> Iterator[tuple[Wake | None, Wake]]:
    """What was said on the way, and what came, of a machine that boots for `size` seconds."""
    told: list[Status] = []
    workstation = lab.workstation()
    lab.pass_time(timedelta(minutes=1))
    for _ in range(count):
        for part, share in (("pending", 0.3), ("checks", 0.7), ("creating", 0.2), ("attaching", 0.1)):
            setattr(lab.world.timings, part, timedelta(seconds=size * share * luck.uniform(0.85, 1.15)))
        lab.owner.stop(workstation, "the test")
        assert lab.pass_time(timedelta(hours=1), lambda: lab.reached(workstation, Wanted.SHELVE))
        lab.after("StartInstances", lambda: told.append(lab.owner.status(workstation)))
        lab.wake(workstation)
        assert lab.owner.status(workstation).usual is None
        assert told[-1].phase is Phase.WAKING
        yield told[-1].usual, lab.state(workstation).wakes[-1]


def test_from_the_third_wake_on_what_is_told_is_what_comes(tmp_path: Path) -> None:
    luck = random.Random(7)  # noqa: S311 - of a test
    errors: list[float] = []
    parts: list[float] = []
    for size in (20, 45, 90, 150, 240):
        with at_work(tmp_path / str(size), over_http=False) as lab:
            told = list(wakes(lab, size, luck, 12))
        assert told[0][0] is None
        for said, came in told[2:]:
            assert said is not None
            assert sum(came.parts) == pytest.approx(came.seconds)
            errors.append(abs(said.seconds - came.seconds) / came.seconds)
            parts += [abs(usual - took) / came.seconds for usual, took in zip(said.parts, came.parts, strict=True)]
    assert len(errors) == 50
    assert median(errors) <= 0.15
    assert len(parts) == 50 * len(Part)
    assert median(parts) <= 0.03
    assert max(parts) <= 0.25


def test_a_start_of_what_is_only_stopped_is_another_kind(lab: AtWork) -> None:
    workstation = lab.workstation(settings={"shelve-after": "off"})
    lab.pass_time(timedelta(minutes=1))
    for _ in range(7):
        lab.owner.stop(workstation, "the test")
        assert lab.pass_time(timedelta(hours=1), lambda: lab.reached(workstation, Wanted.STOP))
        lab.wake(workstation)
    state = lab.state(workstation)
    assert [each.restored for each in state.wakes] == [False] * 5
    assert usual_wake(state.wakes, restored=True) is None


def test_one_that_met_an_obstacle_tells_nothing(lab: AtWork) -> None:
    workstation = lab.workstation()
    lab.asleep(workstation)
    lab.world.fail_next("StartInstances", "InsufficientInstanceCapacity")
    lab.wake(workstation)
    assert lab.state(workstation).wakes == ()
