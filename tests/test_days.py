"""When it ran, why it stopped, what it cost: by hand beside it."""

from datetime import UTC, datetime, timedelta

import pytest

from autostop.cost import Prices
from autostop.days import days_of
from autostop.model import InstanceState, SpotKind
from autostop.sleep.intent import By, Intent, Wanted
from autostop.state import Happened
from tests.build import instance

# The night in which Berlin's clocks go back is in it.
NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
PRICES = Prices("eu-central-1", NOW, {"BoxUsage:t3.xlarge": 0.2}, NOW)


def ago(hours: float) -> datetime:
    return NOW - hours * HOUR


def begun(hours: float, wanted: Wanted, by: By = By.IDLE) -> Happened:
    return Happened(ago(hours), 1, "", Intent(1, wanted, by, ago(hours), "because"))


def reached(hours: float, wanted: Wanted, launched: float, *, shelved: bool = False) -> Happened:
    intent = Intent(1, wanted, By.IDLE, ago(hours), "because").settle(ago(hours))
    return Happened(ago(hours), 1, "", intent, ago(launched), shelved)


RUN, STOP, SHELVE = Wanted
NIGHT = [
    begun(100, SHELVE), reached(99.9, SHELVE, 110, shelved=True), begun(80, RUN, By.OWNER), reached(79.9, RUN, 79.95),
]  # fmt: skip
ASLEEP, AWAKE = InstanceState.STOPPED, InstanceState.RUNNING


@pytest.mark.parametrize(("happened", "state", "launched", "runs"), [
    ([], AWAKE, 5, [(5, None)]),
    (NIGHT, AWAKE, 79.95, [(110, 100), (79.95, None)]),
    # Turned back: the launch time is the same.
    ([reached(110, RUN, 110), begun(100, SHELVE), begun(99, RUN), reached(98.9, RUN, 110)], AWAKE, 110, [(110, None)]),
    # A tap in the middle of a shelving.
    ([reached(110, RUN, 110), begun(100, SHELVE), begun(90, RUN), reached(89.9, RUN, 89.95)], AWAKE, 89.95,
     [(110, 100), (89.95, None)]),
    # It is stopped, and on its way to be shelved.
    ([reached(110, RUN, 110), begun(100, STOP), reached(99.9, STOP, 110), begun(99, SHELVE)], ASLEEP, 110,
     [(110, 100)]),
    ([reached(110, RUN, 110), begun(1, SHELVE)], ASLEEP, 110, [(110, 1)]),
    # What began before the window is cut; what ended before it is gone.
    ([begun(800, STOP), reached(799, STOP, 810), reached(790, RUN, 790), begun(700, STOP), reached(699, STOP, 790)],
     ASLEEP, 790, [(720, 700)]),
    ([begun(800, STOP), reached(799, STOP, 810)], ASLEEP, 810, []),
    # Started in the console, and seen by nobody yet.
    (NIGHT[:2], AWAKE, 3, [(110, 100), (3, None)]),
])  # fmt: skip
def test_when_it_ran(
    happened: list[Happened], state: InstanceState, launched: float, runs: list[tuple[float, float | None]]
) -> None:
    days = days_of(happened, instance(state=state, launched_at=ago(launched)), 0, 0, PRICES, NOW)

    told = [(run.since, run.until) for run in days.runs]
    assert told == [(ago(since), None if until is None else ago(until)) for since, until in runs]


def test_what_it_cost_and_what_sleeping_saved() -> None:
    there = instance(state=AWAKE, launched_at=ago(79.95), type="t3.xlarge")

    days = days_of(NIGHT, there, 73, 7.3, PRICES, NOW)

    assert (days.since, days.awake) == (ago(110), 89.95 * HOUR)
    assert days.shelved == [(ago(99.9), ago(80))]
    assert [run.stop and run.stop.by for run in days.runs] == [By.IDLE, None]
    assert days.cost.instance == pytest.approx(89.95 * 0.2)
    assert days.saved.instance == pytest.approx(20.05 * 0.2)
    assert days.cost.disks == pytest.approx((110 - 19.9) * 0.1 + 110 * 0.01)
    assert days.saved.disks == pytest.approx(19.9 * 0.1 - 110 * 0.01)


def test_of_spot_nobody_knows_the_price() -> None:
    there = instance(state=AWAKE, launched_at=ago(5), type="t3.xlarge", spot=SpotKind.PERSISTENT)

    days = days_of([], there, 73, 0, PRICES, NOW)

    assert days.cost.instance != days.cost.instance
    assert days.cost.disks == pytest.approx(0.5)
