"""When a running workstation will be stopped, whether its owner must be told first, and whether the moment has come.

Pure. A stop is for idleness, or at a limit that the owner set: at `stop-at`, or when `max-run` is over, whoever works
there. Either is told `warn-before` ahead. A promise to keep awake puts both off, any work the one for idleness; and the
next one is told anew.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from autostop.idle.limits import Limit, next_limit
from autostop.idle.verdict import Verdict, VerdictKind
from autostop.model import Instance, InstanceState
from autostop.settings import Policy
from autostop.sleep.intent import By, Intent, Wanted, following
from autostop.sleep.time_to_shelve import stop_or_shelve

# A stop that is put off for longer than this, because an answer was missing, is told anew.
_TOLD_FOR: Final = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Warned:
    """The owner was told at `at` that it stops at `stop_at` at the earliest, and why. cause: idleness or a limit."""

    at: datetime
    stop_at: datetime
    cause: By
    why: str


@dataclass(frozen=True, slots=True)
class StopPlan:
    """The stop that lies ahead.

    stop_at: the earliest moment if nothing changes; None when no stop is in sight. cause: idleness or a limit; why: in
    words. warned: the warning that holds now; is_new: it is yet to be sent. due: it may be stopped now.
    """

    stop_at: datetime | None = None
    cause: By | None = None
    why: str = ""
    warned: Warned | None = None
    is_new: bool = False
    due: bool = False

    def untold(self) -> "StopPlan":
        """The plan whose warning could not be sent: what is yet to be told does not count as told, and is not due."""
        return replace(self, warned=None, due=False) if self.is_new else self


def plan_stop(
    verdict: Verdict,
    policy: Policy,
    begins_at: datetime,
    kept_awake_until: datetime | None,
    warned: Warned | None,
    now: datetime,
    kept_awake_from: datetime | None = None,
) -> StopPlan:
    """The stop that lies ahead of one running workstation. Pure.

    begins_at: its last start, or the owner's wish for one. kept_awake_from, kept_awake_until: the owner's promise.
    warned: the warning that held at the sweep before.
    """
    nearest = _nearest(verdict, next_limit(policy, begins_at, kept_awake_until, now, kept_awake_from))
    held = warned if warned is not None and _still_holds(warned, verdict, now) else None
    if nearest is None:
        return StopPlan(warned=held)
    stop_at, cause, why = nearest
    # The next sweep is a period away: who is told only then would be told too late.
    lead = policy.warn_before + policy.cpu_period
    if cause is By.IDLE and policy.idle_after is not None:
        # In a short window that would be all the time: who works would be told again and again.
        lead = min(lead, policy.idle_after / 2)
    if stop_at - now > lead:
        return StopPlan(stop_at, cause, why, held)
    if policy.warn_before <= timedelta(0):
        return StopPlan(stop_at, cause, why, due=stop_at <= now)
    if warned is None or warned.cause is not cause or (cause is By.IDLE and held is None):
        told = Warned(now, max(stop_at, now + policy.warn_before), cause, why)
        return StopPlan(told.stop_at, cause, why, told, is_new=True)
    was_told_long_enough = now + punctual(policy) >= warned.at + policy.warn_before
    earliest = max(stop_at, warned.at + policy.warn_before)
    return StopPlan(earliest, cause, why, warned, due=stop_at <= now and was_told_long_enough)


def punctual(policy: Policy) -> timedelta:
    """How early a sweep may come: they keep their schedule give or take seconds, and no stop waits for those."""
    return min(timedelta(minutes=1), policy.cpu_period / 5)


def _nearest(verdict: Verdict, limit: Limit | None) -> tuple[datetime, By, str] | None:
    """The stop that comes first. Of two at once the owner's limit is told: it comes whatever anybody does."""
    idle = (verdict.stop_at, By.IDLE, verdict.headline) if verdict.stop_at is not None else None
    hard = (limit.at, By.LIMIT, limit.why) if limit is not None else None
    # An unknown verdict stops nothing; only its owner's limit does.
    if idle is None or verdict.kind is VerdictKind.UNKNOWN:
        return hard
    return idle if hard is None or idle[0] < hard[0] else hard


def _still_holds(warned: Warned, verdict: Verdict, now: datetime) -> bool:
    """Whether the stop that was told of may still come: nobody has worked since, as far as is known.

    An answer that fails once, or a tab that is opened, takes nothing back: the owner would be told anew each time.
    """
    quiet = verdict.since is not None and verdict.since <= warned.at
    return warned.cause is By.IDLE and quiet and now - warned.stop_at <= _TOLD_FOR


def order_stop(
    plan: StopPlan,
    instance: Instance,
    intent: Intent | None,
    policy: Policy,
    kept_awake_until: datetime | None,
    now: datetime,
) -> Intent | None:
    """The new intent for a stop that is due at `now`; None for none. Pure.

    intent, kept_awake_until: as they are now. What the owner asked for since the plan was made overrules it.
    """
    if not plan.due or plan.cause is None or instance.state is not InstanceState.RUNNING:
        return None
    # A stop that is asked for is the reconciler's business; what is up is up, whatever is still waited for.
    if intent is not None and intent.wanted is not Wanted.RUN:
        return None
    # The promise may have been made after the verdict, and so may the intent: a later tap overrules it.
    if kept_awake_until is not None and now < kept_awake_until:
        return None
    if intent is not None and now <= intent.at:
        return None
    return following(intent, stop_or_shelve(policy), plan.cause, plan.why, now)


def take_back(verdict: Verdict, instance: Instance, intent: Intent, now: datetime) -> Intent | None:
    """The new intent where somebody works though a stop for idleness was asked for, and failed up to now. Pure."""
    if intent.settled or intent.by is not By.IDLE or instance.state is not InstanceState.RUNNING:
        return None
    if verdict.kind is not VerdictKind.ACTIVE or verdict.worked_at is None or verdict.worked_at <= intent.at:
        return None
    return following(intent, Wanted.RUN, By.FOUND, f"it is not put to sleep: {verdict.headline}", now)
