"""A fixed set of histories; `make simulate` runs them by the thousand."""

import os
import subprocess
import sys
from dataclasses import asdict

import pytest

from tests.simulation.__main__ import in_words, numbers
from tests.simulation.history import _CONSOLE, _NATURE, History, Told, run
from tests.simulation.lasting import FOR_GOOD

CHUNK = 5


@pytest.mark.parametrize("first", [27, 42])  # of the first fifty, those in a row that take the least time
def test_nothing_goes_wrong_in_histories(first: int) -> None:
    told = [run(seed) for seed in range(first, first + CHUNK)]
    assert {each.seed: each.problems for each in told if each.problems} == {}
    assert all(each.ended for each in told)
    assert sum(each.taps for each in told) > CHUNK
    assert sum(each.calls for each in told) > 1000 * CHUNK


def test_a_seed_is_the_same_history_every_time_and_in_every_process() -> None:
    first, another = run(40), run(36)
    assert another.by_operation != first.by_operation
    assert another.actions != first.actions
    assert asdict(run(40)) == asdict(first)
    tell = "from tests.simulation.history import run; print(repr(run(40)))"
    own = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "PYTHONHASHSEED": "1"}
    asked = [sys.executable, "-c", tell]
    assert subprocess.run(asked, env=own, capture_output=True, text=True, check=True).stdout.strip() == str(first)


def test_every_thing_that_may_happen_is_planned_in_some_history() -> None:
    """That they are, not that they hurt: the numbers of `make simulate` tell how often."""
    planned: set[str] = set()
    act, from_now_on = History._act, History._from_now_on

    def noted(history: History, name: str) -> object:
        planned.add(name)
        return act(history, name)

    def noted_for_good(history: History, name: str) -> object:
        planned.add(name)
        return from_now_on(history, name)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(History, "_act", noted)
        patch.setattr(History, "_from_now_on", noted_for_good)
        for seed in range(4 * len(FOR_GOOD)):
            History(seed).lab.close()
    assert planned == {"start", "stop", "keep-awake", *_CONSOLE, *_NATURE, *FOR_GOOD}


def test_the_numbers_tell_what_went_wrong() -> None:
    told = [
        Told(1, calls=10, taps=2, for_good=2, ended="awake", by_operation={"StopInstances": 2}),
        Told(2, calls=5, forgiven=1, by_operation={"StopInstances": 1}, problems=["lost: law 2: x", "error: y"]),
        Told(3, problems=["law: law 4: x", "unjudged: since 8:00"]),
        Told(4, ended="awake", problems=["left over: volumes"]),
    ]
    report = numbers(told)
    assert report["failing_seeds"] == [2, 3, 4]
    wrong = {name: report[name] for name in ("lost", "broken_laws", "stuck", "left_over", "errors")}
    assert wrong == {"lost": 1, "broken_laws": 1, "stuck": 0, "left_over": 1, "errors": 1}
    assert report["calls_by_operation"] == {"StopInstances": 3}
    words = "\n".join(in_words(report | {"seconds": 1.5}))
    assert "4 histories" in words
    assert "2 refused for good" in words
    assert "1 lost, 1 broken laws, 0 stuck, 1 left over, 1 errors, 1 awake and unjudged, 0 blocked and untold" in words
    assert "ended: 2 awake" in words
