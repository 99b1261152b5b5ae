"""When a running workstation will be stopped, whether its owner must be told first, and whether the moment has come.

Pure. A stop is for idleness, or at a limit that the owner set (a time of the day, a longest run). Either is told
`warn-before` ahead; a promise to keep awake, or any work, puts it off, and the next one is told anew.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from autostop.idle.limits import Limit, next_limit
from autostop.idle.verdict import Verdict, VerdictKind
from autostop.settings import Policy

# Sweeps come on their schedule give or take seconds: a stop that is due but for those is not put off by a whole sweep.
_PUNCTUAL: Final = timedelta(minutes=1)
# A stop that is put off for longer than this, because an answer was missing, is told anew.
_TOLD_FOR: Final = timedelta(hours=1)


class Cause(StrEnum):
    """Why it stops: nobody works on it, or the owner's own limit."""

    IDLE = "idle"
    LIMIT = "limit"


@dataclass(frozen=True, slots=True)
class Warned:
    """The owner was told at `at` that it stops at `stop_at` at the earliest, and why."""

    at: datetime
    stop_at: datetime
    cause: Cause
    why: str


@dataclass(frozen=True, slots=True)
class Outlook:
    """What lies ahead.

    stop_at: the earliest stop if nothing changes; None when none is in sight. cause, why: of that stop.
    warned: the warning that holds now; is_new: it is yet to be sent. due: it may be stopped now.
    """

    stop_at: datetime | None = None
    cause: Cause | None = None
    why: str = ""
    warned: Warned | None = None
    is_new: bool = False
    due: bool = False


def foresee(
    verdict: Verdict,
    policy: Policy,
    begins_at: datetime,
    kept_awake_until: datetime | None,
    warned: Warned | None,
    now: datetime,
    kept_awake_from: datetime | None = None,
) -> Outlook:
    """What lies ahead of one running workstation. Pure.

    begins_at: its last start, or the owner's wish for one. kept_awake_from, kept_awake_until: the owner's promise.
    warned: the warning that held at the look before.
    """
    limit = next_limit(policy, begins_at, kept_awake_until, now, kept_awake_from)
    ahead = _nearest(verdict, limit)
    held = warned if warned is not None and _still_holds(warned, verdict, now) else None
    if ahead is None:
        return Outlook(warned=held)
    stop_at, cause, why = ahead
    # The next look is a period away: who is told only then would be told too late.
    lead = policy.warn_before + policy.cpu_period
    if cause is Cause.IDLE and policy.idle_after is not None:
        # In a short window that would be all the time: who works would be told again and again.
        lead = min(lead, policy.idle_after / 2)
    if stop_at - now > lead:
        return Outlook(stop_at, cause, why, held)
    if policy.warn_before <= timedelta(0):
        return Outlook(stop_at, cause, why, due=stop_at <= now)
    if warned is None or warned.cause is not cause or (cause is Cause.IDLE and held is None):
        told = Warned(now, max(stop_at, now + policy.warn_before), cause, why)
        return Outlook(told.stop_at, cause, why, told, is_new=True)
    was_told_long_enough = now + _punctual(policy) >= warned.at + policy.warn_before
    earliest = max(stop_at, warned.at + policy.warn_before)
    return Outlook(earliest, cause, why, warned, due=stop_at <= now and was_told_long_enough)


def _still_holds(warned: Warned, verdict: Verdict, now: datetime) -> bool:
    """Whether the stop that was told of may still come: nobody has worked since, as far as is known.

    An answer that fails once, or a tab that is opened, takes nothing back: the owner would be told anew each time.
    """
    quiet = verdict.since is not None and verdict.since <= warned.at
    return warned.cause is Cause.IDLE and quiet and now - warned.stop_at <= _TOLD_FOR


def _punctual(policy: Policy) -> timedelta:
    return min(_PUNCTUAL, policy.cpu_period / 5)


def _nearest(verdict: Verdict, limit: Limit | None) -> tuple[datetime, Cause, str] | None:
    """The stop that comes first. Of two at once the owner's limit is told: it comes whatever anybody does."""
    idle = (verdict.stop_at, Cause.IDLE, verdict.headline) if verdict.stop_at is not None else None
    hard = (limit.at, Cause.LIMIT, limit.why) if limit is not None else None
    # An unknown verdict stops nothing; only its owner's limit does.
    if idle is None or verdict.kind is VerdictKind.UNKNOWN:
        return hard
    return idle if hard is None or idle[0] < hard[0] else hard
