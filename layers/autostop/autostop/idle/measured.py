"""What was measured of a running workstation, and the shape of a sign of work in it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from autostop.idle.history import History
from autostop.idle.reading import Reading, Unknown


@dataclass(frozen=True, slots=True)
class Sample:
    """Processor cores in use on average over one period that began at `at`."""

    at: datetime
    cores: float


@dataclass(frozen=True, slots=True)
class Traffic:
    """Bytes a second that came and went over the network, on average over one period that began at `at`."""

    at: datetime
    bytes_per_second: float


@dataclass(frozen=True, slots=True)
class Activity:
    """What was measured of a running workstation: everything that a verdict rests on.

    processor, network: oldest first, one for each `Policy.cpu_period`; periods without data are absent. network: None
    when it was not measured, because the processor was at work.
    answer: the newest of the workstation itself; None only when the owner chose that nobody asks.
    history: what that answer and those before it tell together.
    kept_awake_until: the owner's promise of work, UTC; None without one.
    started_at: when the owner last asked for it to run, UTC; None when something else was asked for since. Whoever
    asks is there, even if it ran already.
    worked_at: the last work that was seen since the launch, also of what has left no trace by now; None for none.
    """

    launched_at: datetime
    processor: Sequence[Sample]
    answer: Reading | Unknown | None
    network: Sequence[Traffic] | None = None
    history: History | None = None
    kept_awake_until: datetime | None = None
    started_at: datetime | None = None
    worked_at: datetime | None = None

    @property
    def begins_at(self) -> datetime:
        """Its last start, or the owner's wish for one: nothing is idle before people had time to arrive."""
        return max(self.launched_at, self.started_at or self.launched_at)


class Effect(StrEnum):
    """What a sign does to the verdict: work now, work inside the window, nothing, a longer window, not known.

    A doubt and a weak sign both lengthen the window.
    """

    WORK = "work"
    RECENT = "recent"
    QUIET = "quiet"
    DOUBT = "doubt"
    WEAK = "weak"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Sign:
    """One sign of work: its value, what that is compared with, and when it last showed work (UTC).

    at: None when it shows work now, or has not since the launch. reason: the same in a sentence; seen_until: up to when
    it was seen. Both are for the verdict, and not kept in records.
    """

    name: str
    effect: Effect
    value: str
    threshold: str
    at: datetime | None = None
    reason: str = field(default="", compare=False, metadata={"stored": None})
    seen_until: datetime | None = field(default=None, compare=False, metadata={"stored": None})
