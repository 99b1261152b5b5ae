"""What was measured of a running workstation: everything that a verdict rests on."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from autostop.idle.history import Trail
from autostop.idle.reading import Reading, Unread

# CloudWatch publishes no figure for its delay; vendors plan for up to 10 minutes. What is older than one
# period and this tells nothing about now.
METRIC_DELAY: Final = timedelta(minutes=10)
# An answer of Run Command is read at the next sweep; an answer older than this is no answer about now.
ANSWER_VALID_FOR: Final = timedelta(minutes=12)


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
    """What was measured of a running workstation.

    processor, network: oldest first, one for each `Policy.cpu_period`; periods without data are absent. network: None
    when it was not measured, because the processor was at work.
    answer: the newest of the workstation itself; None only when the owner chose that nobody asks.
    trail: what that answer and those before it tell together.
    kept_awake_until: the owner's promise of work, UTC; None without one.
    started_at: when the owner last asked for it to run, UTC; None when something else was asked for since. Whoever
    asks is there, even if it ran already.
    worked_at: the last work that was seen since the launch, also of what has left no trace by now; None for none.
    """

    launched_at: datetime
    processor: Sequence[Sample]
    answer: Reading | Unread | None
    network: Sequence[Traffic] | None = None
    trail: Trail | None = None
    kept_awake_until: datetime | None = None
    started_at: datetime | None = None
    worked_at: datetime | None = None

    @property
    def begins_at(self) -> datetime:
        """Its last start, or the owner's wish for one: nothing is idle before people had time to arrive."""
        return max(self.launched_at, self.started_at or self.launched_at)
