"""What CloudWatch's points of the processor and the network say: work, quiet since when, or not known. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Final

from autostop.clock import clock_time
from autostop.idle.measured import Activity, Effect, Sign
from autostop.settings import Policy

# CloudWatch publishes no figure for its delay; vendors plan for up to 10 minutes. What is older than one
# period and this tells nothing about now.
METRIC_DELAY: Final = timedelta(minutes=10)
# Points come once a period; a longer distance between two of them means that one is missing.
_GAP_PERIODS: Final = 1.5


def processor(activity: Activity, policy: Policy, now: datetime) -> Sign:
    """The sign of the processor of the whole machine."""
    points = [(sample.at, sample.cores) for sample in activity.processor]
    return _Meter("processor", "cores", "cores in use", policy.cpu_cores, 2).read(points, activity, policy, now)


def network(activity: Activity, rate: float, policy: Policy, now: datetime) -> Sign:
    """The sign of the network; rate: bytes a second that nobody's work takes."""
    points = [(sample.at, sample.bytes_per_second / 1000) for sample in activity.network or ()]
    return _Meter("network", "kB/s", "kB/s moved", rate / 1000, 0).read(points, activity, policy, now)


@dataclass(frozen=True, slots=True)
class _Meter:
    """A metric with a threshold: quiet since the end of the last busy period, as far back as its points have no gap."""

    name: str
    unit: str
    doing: str
    threshold: float
    decimals: int

    def read(self, points: Sequence[tuple[datetime, float]], activity: Activity, policy: Policy, now: datetime) -> Sign:
        clock = partial(clock_time, zone=policy.time_zone, now=now)
        # A period that is not over yet may still become anything, unless it shows work already.
        points = [
            (at, level)
            for at, level in points
            if at >= activity.launched_at and (at + policy.cpu_period <= now or level > self.threshold)
        ]
        if not points:
            return self._sign(Effect.UNKNOWN, "CloudWatch has no data since the start", "no data", now)
        newest, level = points[-1]
        seen_until = newest + policy.cpu_period
        value = f"{level:.{self.decimals}f} {self.unit}"
        if now - seen_until > policy.cpu_period + METRIC_DELAY:
            return self._sign(Effect.UNKNOWN, f"CloudWatch has no data since {clock(seen_until)}", "no data", now)
        if level > self.threshold:
            reason = f"{level:.{self.decimals}f} {self.doing}, more than {self.threshold:g}"
            return self._sign(Effect.WORK, reason, value, seen_until)
        quiet_since = newest
        for at, earlier in reversed(points[:-1]):
            if earlier > self.threshold:
                reason = f"last above {self.threshold:g} {self.unit} at {clock(quiet_since)}"
                return self._sign(Effect.QUIET, reason, value, seen_until, quiet_since)
            if quiet_since - at > policy.cpu_period * _GAP_PERIODS:
                break
            quiet_since = at
        # Quiet back to the first point of a gapless run: known only if nothing of the window lies before it. The
        # period in which the launch lies is not counted, so the first point may begin up to a period after it.
        window = policy.idle_after or timedelta(0)
        window_from = max(activity.begins_at + policy.grace, now - window)
        if quiet_since > window_from + policy.cpu_period and seen_until - quiet_since < window:
            return self._sign(Effect.UNKNOWN, f"CloudWatch has a gap before {clock(quiet_since)}", value, now)
        reason = f"at most {self.threshold:g} {self.unit} since {clock(quiet_since)}"
        return self._sign(Effect.QUIET, reason, value, seen_until, quiet_since)

    def _sign(self, effect: Effect, reason: str, value: str, seen_until: datetime, at: datetime | None = None) -> Sign:
        limit = f"{self.threshold:g} {self.unit}"
        return Sign(self.name, effect, value, limit, at, f"{self.name}: {reason}", seen_until)
