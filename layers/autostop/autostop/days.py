"""The last 30 days of a workstation: when it ran, why it stopped, what it cost and what sleeping saved."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from autostop.cost import Prices
from autostop.model import Instance
from autostop.sleep.intent import Intent, Wanted
from autostop.state import Happened

_WINDOW: Final = timedelta(days=30)
_HOUR: Final = timedelta(hours=1)
_HOURS_A_MONTH: Final = 730


@dataclass(frozen=True, slots=True)
class Run:
    """From one start to the next stop, UTC. until: None while it runs. stop: what it was stopped for, where known."""

    since: datetime
    until: datetime | None = None
    stop: Intent | None = None


@dataclass(frozen=True, slots=True)
class Money:
    """USD; nan: a price is unknown."""

    instance: float
    disks: float


@dataclass(frozen=True, slots=True)
class Days:
    """since: 30 days ago, or when the first thing that is known began. shelved: when it had no volumes.

    saved: beside a machine that never stops and is never shelved; what its snapshots cost is taken off.
    """

    since: datetime
    now: datetime
    runs: Sequence[Run]
    shelved: Sequence[tuple[datetime, datetime]]
    cost: Money
    saved: Money

    @property
    def awake(self) -> timedelta:
        """How long it ran."""
        return sum(((run.until or self.now) - run.since for run in self.runs), timedelta(0))


def days_of(
    happened: Sequence[Happened], instance: Instance | None, disks: float, snapshots: float, by: Prices, now: datetime
) -> Days:
    """Put together what is known. disks, snapshots: USD a month awake, and of what is kept. Pure.

    Moments are UTC, so that a day of 23 hours is one; money is by today's type and prices, whatever it was then.
    """
    happened = sorted((each for each in happened if each.turn is not None), key=lambda each: each.at)
    runs = _runs(happened, instance, now)
    since = max(now - _WINDOW, min([now, *(run.since for run in runs), *(each.at for each in happened)]))
    runs = [replace(run, since=max(run.since, since)) for run in runs if run.until is None or run.until > since]
    shelved = [(max(begun, since), end) for begun, end in _shelved(happened, now) if end > since]
    known = Days(since, now, runs, shelved, Money(0, 0), Money(0, 0))
    total, awake = (now - since) / _HOUR, known.awake / _HOUR
    asleep = sum((end - begun for begun, end in shelved), timedelta(0)) / _HOUR
    # The price of Spot is another each hour.
    hour = by.hour(instance.type) if instance is not None and instance.spot is None else float("nan")
    kept, gone = snapshots * total / _HOURS_A_MONTH, disks * asleep / _HOURS_A_MONTH
    cost = Money(hour * awake, disks * total / _HOURS_A_MONTH - gone + kept)
    return replace(known, cost=cost, saved=Money(hour * (total - awake), gone - kept))


def _runs(happened: Sequence[Happened], instance: Instance | None, now: datetime) -> list[Run]:
    """Each by its launch time, which EC2 changes with every start: a stop that turned back made no new run."""
    runs: list[Run] = []
    stop: Intent | None = None
    for each in happened:
        turn, launched_at = each.turn, each.launched_at
        if turn is None:
            continue
        if turn.wanted is not Wanted.RUN and not turn.settled:
            stop = stop or turn
        if not turn.settled or launched_at is None:
            continue
        if not runs or runs[-1].since < launched_at:
            runs = [*_ended(runs, stop, launched_at), Run(launched_at)]
        runs = runs if turn.wanted is Wanted.RUN else _ended(runs, stop or turn, each.at)
        stop = None
    if instance is None or not instance.is_up:
        return _ended(runs, stop, (instance.stopped_at if instance is not None else None) or now)
    if not runs or runs[-1].since < instance.launched_at:
        return [*_ended(runs, stop, instance.launched_at), Run(instance.launched_at)]
    return [*runs[:-1], replace(runs[-1], until=None, stop=None)]


def _ended(runs: list[Run], stop: Intent | None, otherwise: datetime) -> list[Run]:
    """With the last one ended, if it is not: by what it was stopped for, or at some other moment."""
    if not runs or runs[-1].until is not None:
        return runs
    ended = stop is not None and stop.at > runs[-1].since
    return [*runs[:-1], replace(runs[-1], until=stop.at if ended and stop else otherwise, stop=stop if ended else None)]


def _shelved(happened: Sequence[Happened], now: datetime) -> list[tuple[datetime, datetime]]:
    found: list[tuple[datetime, datetime]] = []
    begun: datetime | None = None
    for each in happened:
        if each.shelved:
            begun = begun or each.at
        elif begun is not None and each.turn is not None and each.turn.wanted is Wanted.RUN:
            found.append((begun, each.at))
            begun = None
    return found if begun is None else [*found, (begun, now)]
