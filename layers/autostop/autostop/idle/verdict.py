"""Judge whether somebody works on a workstation.

Pure: no clock, no network, no environment. The caller hands in what was measured and the moment of judging;
the answer says why. Idle means that every sign of work was seen quiet for the whole window; what was not seen is
unknown, and unknown is not idle.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from autostop.clock import clock_time
from autostop.idle.measured import Activity, Effect, Sign
from autostop.idle.reading import Reading
from autostop.idle.signs import signs
from autostop.settings import Policy, words

# One answer says what is, three in a row say what goes on: processor seconds show only between two.
READINGS_IN_A_ROW: Final = 3


class VerdictKind(StrEnum):
    """The three answers."""

    ACTIVE = "active"
    IDLE = "idle"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Verdict:
    """The answer, with its reasons in words, the deciding one first.

    since: when the last work ended that is known of; None while there is work, or where nothing was measured.
    due_at: when the answer changes if nothing new is seen; None if never. stop_at: the earliest moment of a stop for
    idleness, likewise; None while there is work, or it is not known. worked_at: the last moment of work seen so far.
    """

    kind: VerdictKind
    at: datetime
    reasons: tuple[str, ...]
    since: datetime | None = None
    due_at: datetime | None = None
    stop_at: datetime | None = None
    signs: tuple[Sign, ...] = field(default=(), metadata={"stored": "signals"})
    worked_at: datetime | None = None

    @property
    def headline(self) -> str:
        return self.reasons[0]


@dataclass(frozen=True, slots=True)
class Quiet:
    """How long nobody has worked, as far as that was seen.

    since: when the last work ended that is known of; last: the reason of what showed it. doubted: what may be waiting
    for the world, in words. window: for how long it must be quiet. seen_until: up to when every sign was seen. unknown:
    the reason of the first sign that could not be read; None when all were. missing_answers: how many more of the
    workstation are needed.
    """

    since: datetime
    last: str
    doubted: str
    window: timedelta
    seen_until: datetime
    unknown: str | None
    missing_answers: int


def assess(activity: Activity, policy: Policy, now: datetime) -> Verdict:
    """Judge one running workstation. Pure.

    The first rule that applies decides: never for idleness, kept awake, protected hours, just launched, at work, worked
    inside the window, unknown, not seen long enough, too few answers. What none of them holds back is idle.
    """
    if policy.idle_after is None:
        return _active(now, "idleness never stops this workstation (idle-after = off)")
    read = _in_window(signs(activity, policy, now), policy, now)
    worked_at = last_work(activity, read)
    # A promise of the owner overrules every measurement.
    if activity.kept_awake_until is not None and now < activity.kept_awake_until:
        return _active(now, "the owner keeps it awake", activity.kept_awake_until, worked_at)
    if policy.protected_hours is not None and policy.protected_hours.covers(now):
        return _active(now, "protected hours: idleness stops nothing now", worked_at=worked_at)
    # A new start is a new history: nothing measured before it counts, and people need time to arrive.
    window_from = activity.begins_at + policy.grace
    if now < window_from:
        reason = f"it was started {words(now - activity.begins_at)} ago; the first {words(policy.grace)} are grace"
        return _active(now, reason, window_from + policy.idle_after)

    def judged(kind: VerdictKind, reason: str, **moments: datetime | None) -> Verdict:
        reasons = (reason, *(sign.reason for sign in read if sign.reason != reason))
        return Verdict(kind, now, reasons, signs=read, worked_at=worked_at, **moments)

    working = next((sign for sign in read if sign.effect is Effect.WORK), None)
    if working is not None:
        return judged(VerdictKind.ACTIVE, working.reason)
    quiet = _quiet(activity, policy, read, window_from, now)
    since, window = quiet.since, quiet.window
    # Work seen inside the window is a known answer, whatever else could not be read.
    if now - since < window:
        reason = f"quiet for {words(now - since)} of {words(window)}: {quiet.doubted or quiet.last}"
        stop_at = since + window if quiet.unknown is None else None
        return judged(VerdictKind.ACTIVE, reason, since=since, due_at=since + window, stop_at=stop_at)
    # Not knowing is not the same as idle: a silent agent never stops a workstation.
    if quiet.unknown is not None:
        return judged(VerdictKind.UNKNOWN, quiet.unknown, since=since)
    doubted = f": {quiet.doubted}" if quiet.doubted else ""
    # The window must have been *seen* quiet to its end; the newest minutes are not published yet.
    if quiet.seen_until - since < window:
        seen_for = f"{words(quiet.seen_until - since)} of {words(window)}"
        reason = f"quiet for {seen_for} as far as can be seen yet{doubted}"
        due_at = since + window + (now - quiet.seen_until)
        return judged(VerdictKind.ACTIVE, reason, since=since, due_at=due_at, stop_at=due_at)
    if (missing := quiet.missing_answers) > 0:
        reason = f"quiet, but {missing} more answer{'s' if missing > 1 else ''} of the workstation are needed first"
        due_at = now + policy.cpu_period * missing
        return judged(VerdictKind.ACTIVE, reason, since=since, due_at=due_at, stop_at=due_at)
    headline = f"idle for {words(now - since)} (since {clock_time(since, policy.time_zone, now)}){doubted}"
    return judged(VerdictKind.IDLE, headline, since=since, stop_at=now)


def _window_of(read: Iterable[Sign], policy: Policy) -> timedelta:
    """For how long it must be quiet to be idle."""
    effects = {sign.effect for sign in read}
    window = (policy.idle_after or timedelta(0)) + (policy.weak_signals if Effect.WEAK in effects else timedelta(0))
    return max(window, policy.doubt_for) if Effect.DOUBT in effects else window


def _in_window(read: Sequence[Sign], policy: Policy, now: datetime) -> tuple[Sign, ...]:
    """The signs, with those recent that showed work inside the window."""
    begins_at = now - _window_of(read, policy)
    return tuple(
        replace(sign, effect=Effect.RECENT) if sign.at is not None and sign.at > begins_at else sign for sign in read
    )


def last_work(activity: Activity, read: Sequence[Sign]) -> datetime | None:
    """The last moment of work since the launch that any strong sign shows, or that was remembered. Pure."""
    shown = [sign.seen_until if sign.effect is Effect.WORK else sign.at for sign in read]
    moments = [at for at in (*shown, activity.worked_at) if at is not None and at > activity.launched_at]
    return max(moments, default=None)


def _active(now: datetime, reason: str, due_at: datetime | None = None, worked_at: datetime | None = None) -> Verdict:
    return Verdict(VerdictKind.ACTIVE, now, (reason,), due_at=due_at, worked_at=worked_at)


def _quiet(activity: Activity, policy: Policy, read: Sequence[Sign], window_from: datetime, now: datetime) -> Quiet:
    """What no sign shows to be at work at this moment: how long it has been so."""
    seen_quiet = [sign for sign in read if sign.effect in (Effect.RECENT, Effect.QUIET)]
    # Whoever logs out, reboots or ends a kernel takes along what showed the work; it was work all the same.
    moments = [window_from, activity.worked_at, *(sign.at for sign in seen_quiet)]
    since = max(at for at in moments if at is not None)
    otherwise = "work was seen then" if since == activity.worked_at else "it was started lately"
    return Quiet(
        since=since,
        last=next((sign.reason for sign in seen_quiet if (sign.at or activity.launched_at) == since), otherwise),
        doubted=", ".join(sign.reason for sign in read if sign.effect is Effect.DOUBT),
        window=_window_of(read, policy),
        seen_until=min([now, *(sign.seen_until for sign in read if sign.seen_until is not None)]),
        unknown=next((sign.reason for sign in read if sign.effect is Effect.UNKNOWN), None),
        missing_answers=_missing_answers(activity),
    )


def _missing_answers(activity: Activity) -> int:
    if not isinstance(activity.answer, Reading) or activity.answer.machine is None:
        return 0
    return READINGS_IN_A_ROW - (activity.history.readings if activity.history is not None else 1)
