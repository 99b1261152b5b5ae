"""Judge whether somebody works on a workstation.

Pure: no clock, no network, no environment. The caller hands in what was measured and the moment of judging;
the answer says why. Idle means that every signal was seen quiet for the whole window; what was not seen is
unknown, and unknown is not idle.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from autostop.domain.reading import Reading, Unread
from autostop.domain.settings import Policy, words

# CloudWatch publishes no figure for its delay; vendors plan for up to 10 minutes. What is older than one
# period and this tells nothing about now.
METRIC_DELAY = timedelta(minutes=10)
# An answer of Run Command is read at the next sweep; an answer older than this is no answer about now.
ANSWER_VALID_FOR = timedelta(minutes=12)
# Points come once a period; a longer distance between two of them means that one is missing.
_GAP_PERIODS = 1.5


class VerdictKind(StrEnum):
    """The three answers."""

    ACTIVE = "active"
    IDLE = "idle"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Sample:
    """Processor cores in use on average over one period that began at `at`."""

    at: datetime
    cores: float


@dataclass(frozen=True, slots=True)
class Activity:
    """What was measured of a running workstation.

    processor: oldest first, one sample per `Policy.cpu_period`; periods without data are absent.
    jupyter: the newest answer; None only when the owner chose that nobody asks.
    kept_awake_until: the owner's promise of work, UTC; None without one.
    started_at: when the owner last asked for it to run, UTC; None when something else was asked for since. Whoever
    asks is there, even if it ran already.
    """

    launched_at: datetime
    processor: Sequence[Sample]
    jupyter: Reading | Unread | None
    kept_awake_until: datetime | None = None
    started_at: datetime | None = None

    @property
    def begins_at(self) -> datetime:
        """Its last start, or the owner's wish for one: nothing is idle before people had time to arrive."""
        return max(self.launched_at, self.started_at or self.launched_at)


@dataclass(frozen=True, slots=True)
class Verdict:
    """The answer, with its reasons in words, the deciding one first.

    since: when the last work ended, for idle. due_at: when the answer changes if nothing new is seen; None if never.
    """

    kind: VerdictKind
    at: datetime
    reasons: tuple[str, ...]
    since: datetime | None = None
    due_at: datetime | None = None

    @property
    def headline(self) -> str:
        """The deciding reason."""
        return self.reasons[0]


@dataclass(frozen=True, slots=True)
class _Signal:
    """One signal: seen quiet from `quiet_since` to `seen_until`; None for `quiet_since` when it cannot be read."""

    reason: str
    quiet_since: datetime | None
    seen_until: datetime
    busy: bool = False


def assess(activity: Activity, policy: Policy, now: datetime) -> Verdict:
    """Judge one running workstation. Pure.

    The first rule that applies decides: kept awake, just launched, at work, worked inside the window, unknown, idle.
    """
    if policy.idle_after is None:
        return Verdict(VerdictKind.ACTIVE, now, ("idleness never stops this workstation (idle-after = off)",))
    # A promise of the owner overrules every measurement.
    if activity.kept_awake_until is not None and now < activity.kept_awake_until:
        return _active(now, "the owner keeps it awake", (), due_at=activity.kept_awake_until)
    # A new start is a new history: nothing measured before it counts, and people need time to arrive.
    window_from = activity.begins_at + policy.grace
    if now < window_from:
        reason = f"it was started {words(now - activity.begins_at)} ago; the first {words(policy.grace)} are grace"
        return _active(now, reason, (), due_at=window_from + policy.idle_after)

    signals = _signals(activity, policy, now)
    reasons = tuple(signal.reason for signal in signals)
    working = next((signal for signal in signals if signal.busy), None)
    if working is not None:
        return _active(now, working.reason, reasons, due_at=None)
    return _judge_quiet(signals, reasons, window_from, policy.idle_after, now)


def _judge_quiet(
    signals: Sequence[_Signal], reasons: tuple[str, ...], window_from: datetime, idle_after: timedelta, now: datetime
) -> Verdict:
    """Idle, worked inside the window, or unknown, when no signal shows work at this moment."""
    since = max([window_from, *(signal.quiet_since for signal in signals if signal.quiet_since is not None)])
    unread = next((signal for signal in signals if signal.quiet_since is None), None)
    seen_until = min([now, *(signal.seen_until for signal in signals)])
    # Work seen inside the window is a known answer, whatever else could not be read.
    if now - since < idle_after:
        last = next((signal.reason for signal in signals if signal.quiet_since == since), "it was started lately")
        reason = f"quiet for {words(now - since)} of {words(idle_after)}: {last}"
        return _active(now, reason, reasons, due_at=since + idle_after)
    # Not knowing is not the same as idle: a silent agent never stops a workstation.
    if unread is not None:
        return Verdict(VerdictKind.UNKNOWN, now, _first(unread.reason, reasons))
    # The window must have been *seen* quiet to its end; the newest minutes are not published yet.
    if seen_until - since < idle_after:
        reason = f"quiet for {words(seen_until - since)} of {words(idle_after)} as far as can be seen yet"
        return _active(now, reason, reasons, due_at=since + idle_after + (now - seen_until))
    return Verdict(
        VerdictKind.IDLE, now, (f"idle for {words(now - since)} (since {since:%H:%M} UTC)", *reasons), since=since
    )


def _active(now: datetime, reason: str, others: tuple[str, ...], due_at: datetime | None) -> Verdict:
    return Verdict(VerdictKind.ACTIVE, now, _first(reason, others), due_at=due_at)


def _first(reason: str, others: tuple[str, ...]) -> tuple[str, ...]:
    return (reason, *(other for other in others if other != reason))


def _signals(activity: Activity, policy: Policy, now: datetime) -> tuple[_Signal, ...]:
    signals = [_processor(activity, policy, now)]
    if activity.jupyter is not None:
        signals.append(_jupyter(activity.jupyter, activity.launched_at, now))
    return tuple(signals)


def _processor(activity: Activity, policy: Policy, now: datetime) -> _Signal:
    """Quiet since the end of the last busy period, as far back as the points have no gap."""
    samples = [sample for sample in activity.processor if sample.at >= activity.launched_at]
    if not samples:
        return _Signal("processor: CloudWatch has no data since the start", None, now)
    newest = samples[-1]
    seen_until = newest.at + policy.cpu_period
    if now - seen_until > policy.cpu_period + METRIC_DELAY:
        return _Signal(f"processor: CloudWatch has no data since {seen_until:%H:%M} UTC", None, now)
    if newest.cores > policy.cpu_cores:
        reason = f"processor: {newest.cores:.2f} cores in use, more than {policy.cpu_cores:g}"
        return _Signal(reason, None, seen_until, busy=True)
    quiet_since = newest.at
    for earlier in reversed(samples[:-1]):
        if earlier.cores > policy.cpu_cores:
            return _Signal(
                f"processor: last above {policy.cpu_cores:g} cores at {quiet_since:%H:%M} UTC", quiet_since, seen_until
            )
        if quiet_since - earlier.at > policy.cpu_period * _GAP_PERIODS:
            break
        quiet_since = earlier.at
    return _quiet_as_far_as_seen(quiet_since, seen_until, activity, policy, now)


def _quiet_as_far_as_seen(
    quiet_since: datetime, seen_until: datetime, activity: Activity, policy: Policy, now: datetime
) -> _Signal:
    """Quiet back to the first point of a gapless run: known only if nothing of the window lies before it."""
    window = policy.idle_after or timedelta(0)
    window_from = max(activity.begins_at + policy.grace, now - window)
    # The period in which the launch lies is not counted, so the first point may begin up to a period after it.
    if quiet_since > window_from + policy.cpu_period and seen_until - quiet_since < window:
        return _Signal(f"processor: CloudWatch has a gap before {quiet_since:%H:%M} UTC", None, now)
    reason = f"processor: at most {policy.cpu_cores:g} cores since {quiet_since:%H:%M} UTC"
    return _Signal(reason, quiet_since, seen_until)


def _jupyter(answer: Reading | Unread, launched_at: datetime, now: datetime) -> _Signal:
    """Busy kernels are work; the newest activity of a kernel or terminal ends the quiet before it."""
    if isinstance(answer, Unread):
        return _Signal(f"Jupyter: {answer.reason}", None, now)
    if answer.at < launched_at or now - answer.at > ANSWER_VALID_FOR:
        return _Signal(f"Jupyter: the last answer is from {answer.at:%H:%M} UTC", None, now)
    # A silent cell moves no timestamp, so a busy kernel counts by itself. A kernel that is `starting` for ever
    # (nobody ever connected, or it crashed) is not work.
    busy = sum(server.busy for server in answer.servers)
    if busy:
        return _Signal(f"Jupyter: {busy} busy kernel{'s' if busy > 1 else ''}", None, answer.at, busy=True)
    touched = [
        at for server in answer.servers for at in (server.kernel_active_at, server.terminal_active_at) if at is not None
    ]
    if not touched:
        return _Signal("Jupyter: no kernel or terminal was used", launched_at, answer.at)
    last = max([launched_at, *touched])
    return _Signal(f"Jupyter: last used at {last:%H:%M} UTC", last, answer.at)
