"""Judge whether somebody works on a workstation.

Pure: no clock, no network, no environment. The caller hands in what was measured and the moment of judging;
the answer says why. Idle means that every sign of work was seen quiet for the whole window; what was not seen is
unknown, and unknown is not idle.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from autostop.idle.activity import Activity
from autostop.idle.reading import Reading
from autostop.idle.signs import Sign, signs
from autostop.settings import Policy, words

# One answer says what is, three in a row say what goes on: processor seconds show only between two.
READINGS_IN_A_ROW: Final = 3


class VerdictKind(StrEnum):
    """The three answers."""

    ACTIVE = "active"
    IDLE = "idle"
    UNKNOWN = "unknown"


class Effect(StrEnum):
    """What a signal does to the verdict: work now, work inside the window, nothing, a longer window, not known."""

    WORK = "work"
    RECENT = "recent"
    QUIET = "quiet"
    WEAK = "weak"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Signal:
    """One signal as it was read: its value, what that is compared with, and when it last showed work (UTC).

    at: None when it shows work now, or never has.
    """

    name: str
    effect: Effect
    value: str
    threshold: str
    at: datetime | None = None


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
    signals: tuple[Signal, ...] = ()
    worked_at: datetime | None = None

    @property
    def headline(self) -> str:
        """The deciding reason."""
        return self.reasons[0]


def assess(activity: Activity, policy: Policy, now: datetime) -> Verdict:
    """Judge one running workstation. Pure.

    The first rule that applies decides: never for idleness, kept awake, protected hours, just launched, at work, worked
    inside the window, unknown, not seen long enough, idle.
    """
    if policy.idle_after is None:
        return _active(now, "idleness never stops this workstation (idle-after = off)")
    # A promise of the owner overrules every measurement.
    if activity.kept_awake_until is not None and now < activity.kept_awake_until:
        kept = _active(now, "the owner keeps it awake", due_at=activity.kept_awake_until)
        return replace(kept, worked_at=last_work(activity, signs(activity, policy, now)))
    if policy.protected_hours is not None and policy.protected_hours.covers(now):
        protected = _active(now, "protected hours: idleness stops nothing now")
        return replace(protected, worked_at=last_work(activity, signs(activity, policy, now)))
    # A new start is a new history: nothing measured before it counts, and people need time to arrive.
    window_from = activity.begins_at + policy.grace
    if now < window_from:
        reason = f"it was started {words(now - activity.begins_at)} ago; the first {words(policy.grace)} are grace"
        return _active(now, reason, due_at=window_from + policy.idle_after)
    found = signs(activity, policy, now)
    return _Case(activity, policy, now, found, window_from, policy.idle_after).verdict()


def last_work(activity: Activity, found: Sequence[Sign]) -> datetime | None:
    """The last moment of work since the launch that any strong sign shows, or that was remembered. Pure."""
    seen = [sign.seen_until if sign.busy else sign.quiet_since for sign in found if not sign.weak]
    moments = [at for at in (*seen, activity.worked_at) if at is not None and at > activity.launched_at]
    return max(moments, default=None)


def _active(now: datetime, reason: str, due_at: datetime | None = None) -> Verdict:
    return Verdict(VerdictKind.ACTIVE, now, (reason,), due_at=due_at)


@dataclass(frozen=True, slots=True)
class _Case:
    """Everything that the rules after the grace look at."""

    activity: Activity
    policy: Policy
    now: datetime
    signs: Sequence[Sign]
    window_from: datetime
    idle_after: timedelta

    def verdict(self) -> Verdict:
        working = next((sign for sign in self.signs if sign.busy), None)
        if working is not None:
            return self._say(VerdictKind.ACTIVE, working.reason)
        return self._quiet_now()

    def _quiet_now(self) -> Verdict:
        """Idle, worked inside the window, or unknown, when no sign shows work at this moment."""
        now, since, window = self.now, self._since(), self._window()
        unread = next((sign for sign in self.signs if _is_unread(sign)), None)
        # Work seen inside the window is a known answer, whatever else could not be read.
        if now - since < window:
            otherwise = "work was seen then" if since == self.activity.worked_at else "it was started lately"
            last = next((sign.reason for sign in self.signs if sign.quiet_since == since), otherwise)
            reason = f"quiet for {words(now - since)} of {words(window)}: {last}"
            stop_at = None if unread else since + window
            return self._say(VerdictKind.ACTIVE, reason, since=since, due_at=since + window, stop_at=stop_at)
        # Not knowing is not the same as idle: a silent agent never stops a workstation.
        if unread is not None:
            return self._say(VerdictKind.UNKNOWN, unread.reason, since=since)
        seen_until = min([now, *(sign.seen_until for sign in self.signs)])
        # The window must have been *seen* quiet to its end; the newest minutes are not published yet.
        if seen_until - since < window:
            reason = f"quiet for {words(seen_until - since)} of {words(window)} as far as can be seen yet"
            due_at = since + window + (now - seen_until)
            return self._say(VerdictKind.ACTIVE, reason, since=since, due_at=due_at, stop_at=due_at)
        if (missing := self._answers_missing()) > 0:
            reason = f"quiet, but {missing} more answer{'s' if missing > 1 else ''} of the workstation are needed first"
            due_at = now + self.policy.cpu_period * missing
            return self._say(VerdictKind.ACTIVE, reason, since=since, due_at=due_at, stop_at=due_at)
        headline = f"idle for {words(now - since)} (since {since:%H:%M} UTC)"
        return self._say(VerdictKind.IDLE, headline, since=since, stop_at=now)

    def _since(self) -> datetime:
        """When the last work ended that is known of."""
        ends = [sign.quiet_since for sign in self.signs if sign.quiet_since is not None and not sign.weak]
        # Whoever logs out, reboots or ends a kernel takes along what showed the work; it was work all the same.
        return max([self.window_from, *ends, *([self.activity.worked_at] if self.activity.worked_at else [])])

    def _window(self) -> timedelta:
        weak = any(sign.weak for sign in self.signs)
        return self.idle_after + (self.policy.weak_signals if weak else timedelta(0))

    def _answers_missing(self) -> int:
        answer, trail = self.activity.answer, self.activity.trail
        if not isinstance(answer, Reading) or answer.machine is None:
            return 0
        return READINGS_IN_A_ROW - (trail.readings if trail is not None else 1)

    def _say(
        self,
        kind: VerdictKind,
        reason: str,
        since: datetime | None = None,
        due_at: datetime | None = None,
        stop_at: datetime | None = None,
    ) -> Verdict:
        reasons = (reason, *(sign.reason for sign in self.signs if sign.reason != reason))
        signals = tuple(self._signal(sign) for sign in self.signs)
        return Verdict(kind, self.now, reasons, since, due_at, stop_at, signals, last_work(self.activity, self.signs))

    def _signal(self, sign: Sign) -> Signal:
        at = sign.quiet_since if sign.quiet_since is not None and sign.quiet_since > self.activity.launched_at else None
        if sign.busy:
            effect = Effect.WORK
        elif sign.weak:
            effect = Effect.WEAK
        elif _is_unread(sign):
            effect = Effect.UNKNOWN
        else:
            effect = Effect.RECENT if at is not None and self.now - at < self._window() else Effect.QUIET
        return Signal(sign.name, effect, sign.value, sign.threshold, at)


def _is_unread(sign: Sign) -> bool:
    return sign.quiet_since is None and not sign.busy and not sign.weak
