"""When a running workstation will be stopped, whether its owner must be told first, and whether the moment has come.

Pure. A stop is for idleness, or at a limit that the owner set: at `stop-at`, or when `max-run` is over, whoever works
there. Either is told `warn-before` ahead. A promise to keep awake puts both off, any work the one for idleness; and the
next one is told anew.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from autostop.clock import clock_time
from autostop.idle.reading import Reading, Unknown
from autostop.idle.verdict import Verdict, VerdictKind
from autostop.model import Instance, InstanceState
from autostop.settings import Policy, words
from autostop.sleep.intent import By, Intent, Wanted, following
from autostop.sleep.time_to_shelve import stop_or_shelve

# A stop that is put off for longer than this, because an answer was missing, is told anew.
_TOLD_FOR: Final = timedelta(hours=1)
# A stop-at that nothing came of, because Autostop was down or because the setting is new, is forgotten after this and
# the time of a warning: nobody who sits down in the morning is stopped for the evening before.
LATE_BY: Final = timedelta(hours=1)
# How far before its end a promise to keep awake is taken to have put a stop-at off: a night.
_PROMISE_REACHES: Final = timedelta(hours=12)
# How fresh an answer must be to stop a workstation by it. Where answers take longer than that, none would ever be: an
# older one has to do after a while.
_ANSWER_HOLDS_FOR: Final = timedelta(minutes=1)
_ASKED_ANEW_FOR: Final = timedelta(minutes=10)
_OLD_ANSWER_HOLDS_FOR: Final = timedelta(minutes=5)


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


@dataclass(frozen=True, slots=True)
class Limit:
    """The workstation is to be asleep from `at` (UTC) on; why: in the owner's words."""

    at: datetime
    why: str


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


# --- limits of the owner ---------------------------------------------------------------------------------------------


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


# --- right before a stop ---------------------------------------------------------------------------------------------


class LastLook(StrEnum):
    """What comes next right before a stop for idleness; to turn back is to want it running."""

    ASK = "ask the workstation once more"
    WAIT = "wait for its answer"
    MEASURE = "measure and judge once more"
    STOP = "stop it"
    TURN_BACK = "turn back"


def last_look(
    answer: Reading | Unknown | None,
    verdict: Verdict | None,
    *,
    may_ask: bool,
    has_asked: bool,
    wanted_at: datetime,
    now: datetime,
) -> LastLook:
    """What comes next right before a stop for idleness: minutes may have passed since the sweep's verdict. Pure.

    answer: the newest since the stop was wanted, at `wanted_at`. verdict: by that answer and fresh metrics; None before
    they were measured. may_ask: the owner lets Autostop ask. has_asked: this look has asked, or asked for the answer.
    """
    holds_for = _ANSWER_HOLDS_FOR if now - wanted_at < _ASKED_ANEW_FOR else _OLD_ANSWER_HOLDS_FOR
    if may_ask and (answer is None or now - answer.at > holds_for):
        return LastLook.WAIT if has_asked else LastLook.ASK
    if verdict is None:
        return LastLook.MEASURE
    return LastLook.STOP if verdict.kind is VerdictKind.IDLE else LastLook.TURN_BACK
