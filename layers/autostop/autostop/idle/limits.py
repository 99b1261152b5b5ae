"""The limits that its owner set: `stop-at` and `max-run`, and what a promise to keep awake makes of them. Pure."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from autostop.clock import clock_time
from autostop.settings import Policy, words
from autostop.sleep.intent import By, Intent

# A stop-at that nothing came of, because Autostop was down or because the setting is new, is forgotten after this and
# the time of a warning: nobody who sits down in the morning is stopped for the evening before.
LATE_BY: Final = timedelta(hours=1)
# How far before its end a promise to keep awake is taken to have put a stop-at off: a night.
_PROMISE_REACHES: Final = timedelta(hours=12)


@dataclass(frozen=True, slots=True)
class Limit:
    """The workstation is to be asleep from `at` (UTC) on; why: in the owner's words."""

    at: datetime
    why: str


def next_limit(
    policy: Policy,
    begins_at: datetime,
    kept_awake_until: datetime | None,
    now: datetime,
    kept_awake_from: datetime | None = None,
) -> Limit | None:
    """The limit that comes first; it may lie in the past, then it is due. None: there is none.

    begins_at: since when it runs; a stop-at at or before that never counts. kept_awake_until: the owner's promise, also
    when it is over; None without one. kept_awake_from: since when, if that is known.
    """
    limits = []
    since = max(begins_at, _forgotten_before(policy, kept_awake_from, kept_awake_until, now))
    if policy.stop_at is not None and (at := policy.stop_at.next_after(since)) is not None:
        limits.append(Limit(at, f"stop-at is {clock_time(at, policy.time_zone, now)}"))
    if policy.max_run is not None:
        started = f"it was started at {clock_time(begins_at, policy.time_zone, now)}"
        limits.append(Limit(begins_at + policy.max_run, f"max-run is {words(policy.max_run)}, and {started}"))
    first = min(limits, key=lambda limit: limit.at, default=None)
    if first is not None and kept_awake_until is not None and first.at < kept_awake_until:
        return Limit(kept_awake_until, f"{first.why}, put off until the end of keep awake")
    return first


def is_forgotten(intent: Intent, limit: Limit | None, now: datetime) -> bool:
    """A stop at a limit that nothing came of for so long that it does not hold any more. limit: the first one now."""
    return intent.by is By.LIMIT and (limit is None or now < limit.at)


def _forgotten_before(
    policy: Policy, kept_awake_from: datetime | None, kept_awake_until: datetime | None, now: datetime
) -> datetime:
    late_by = LATE_BY + policy.warn_before
    if kept_awake_until is None or kept_awake_until <= now - late_by:
        return now - late_by
    # Counted from the promise and not from now, so that what is told of it stays true as time goes on. What was let go
    # before it was made is not brought back by it.
    return kept_awake_from - late_by if kept_awake_from is not None else kept_awake_until - _PROMISE_REACHES
