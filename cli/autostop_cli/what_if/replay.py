"""Replay what sweeps recorded of one workstation under another policy: when it would have been stopped.

Pure. Each recorded sweep is judged anew, by what was known at that moment and no later. Three rules for what did not
happen:

- After such a stop nothing counts until work is next recorded in the same run: its owner would have started it again
  then, and a grace begins anew. Without such work the stop lasts until the run's recorded end, its last record.
- A run that a sweep really ended, and that would not have ended by then, runs on until the stop that was in sight in
  its last record, or until the next run. When none was in sight, it is not known for how long.
- What was not measured is unknown, and unknown is not idle: nobody was asked, and the network was not measured, while
  the processor was above the `cpu-cores` of then. The last question right before a real stop is not on record.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import groupby, pairwise
from typing import Final, TypeVar

from autostop.idle.between_answers import follow
from autostop.idle.history import History
from autostop.idle.measured import Activity, Effect, Sample, Traffic
from autostop.idle.reading import Reading, Unknown
from autostop.idle.signs import signs
from autostop.idle.stop_plan import StopPlan, Warned, plan_stop, punctual
from autostop.idle.sweep_record import SweepRecord
from autostop.idle.verdict import Verdict, VerdictKind, assess
from autostop.settings import Policy, Probe
from autostop.sleep.intent import By

# Who comes back this soon after a stop was not done for the day.
AT_WORK_WITHIN: Final = timedelta(hours=2)
# A sweep remembers nothing of one that is older; and what nobody looked at for so long is not known.
_MEMORY: Final = timedelta(hours=1)
_LOOKED_AT: Final = timedelta(minutes=15)
_ZERO: Final = timedelta(0)
Point = TypeVar("Point", Sample, Traffic)

# What only meters show is taken from their points; their moments are of no keystroke or kernel.
_METERS: Final = ("processor", "network")


@dataclass(frozen=True, slots=True)
class Stop:
    """One stop, real or not: when, why, and until when nothing ran because of it.

    work_at: the first work after it, or the next start; None when none is on record.
    """

    at: datetime
    cause: By
    why: str
    until: datetime
    work_at: datetime | None = None

    @property
    def saved(self) -> timedelta:
        """How much of the recorded run would not have been."""
        return self.until - self.at

    @property
    def at_work(self) -> bool:
        """True when somebody was back so soon that the stop was in the way."""
        return self.work_at is not None and self.work_at - self.at < AT_WORK_WITHIN


@dataclass(frozen=True, slots=True)
class Replay:
    """What a policy makes of a record, oldest stop first.

    recorded: how long it ran, from the first to the last record of each run. longer: how much longer it would have run.
    unknown: for how much of its time up the record cannot tell. open_ended: in how many runs `longer` is not known.
    """

    stops: tuple[Stop, ...]
    recorded: timedelta
    longer: timedelta = _ZERO
    unknown: timedelta = _ZERO
    open_ended: int = 0

    @property
    def saved(self) -> timedelta:
        """How much of what was recorded would not have been."""
        return sum((stop.saved for stop in self.stops), _ZERO)

    @property
    def up(self) -> timedelta:
        """How long it would have run."""
        return self.recorded - self.saved + self.longer

    @property
    def at_work(self) -> int:
        """How many stops were in the way of somebody."""
        return sum(stop.at_work for stop in self.stops)


def as_it_was(record: Sequence[SweepRecord], in_force: Policy) -> Replay:
    """What really happened: the runs that a sweep ended. Arguments as for `replay`."""
    stops, unknown, recorded = [], _ZERO, _ZERO
    for run, next_start in _runs(record):
        recorded += run[-1].at - run[0].at
        unknown += sum((time for seen, time in _times(run) if _is_unknown(seen.verdict, time)), _ZERO)
        if (ended := _really_ended(run[-1], in_force)) is not None:
            stops.append(replace(ended, work_at=next_start))
    return Replay(tuple(stops), recorded, unknown=unknown)


def replay(record: Sequence[SweepRecord], policy: Policy, in_force: Policy) -> Replay:
    """What would have happened under a policy. record: of one workstation, oldest first, over any number of starts.

    in_force: the policy by which the record tells what was work.
    """
    told = [_replay_run(run, next_start, policy, in_force) for run, next_start in _runs(record)]
    return Replay(
        tuple(stop for each in told for stop in each.stops),
        sum((each.recorded for each in told), _ZERO),
        sum((each.longer for each in told), _ZERO),
        sum((each.unknown for each in told), _ZERO),
        sum(each.open_ended for each in told),
    )


def _runs(record: Sequence[SweepRecord]) -> Iterator[tuple[list[SweepRecord], datetime | None]]:
    """The records of each run, with the start of the next one."""
    runs = [list(group) for _, group in groupby(record, key=lambda seen: seen.launched_at)]
    starts: list[datetime | None] = [run[0].launched_at for run in runs]
    return zip(runs, [*starts[1:], None], strict=False)


def _times(run: Sequence[SweepRecord]) -> Iterator[tuple[SweepRecord, timedelta]]:
    """Each record with the time until the next one of its run; 0 for the last."""
    return ((seen, after.at - seen.at) for seen, after in pairwise([*run, run[-1]]))


def _is_unknown(verdict: Verdict, time: timedelta) -> bool:
    """Whether the record cannot tell of the time after a verdict: it was not known, or nobody looked for long."""
    return verdict.kind is VerdictKind.UNKNOWN or time > _LOOKED_AT


def _really_ended(last: SweepRecord, in_force: Policy) -> Stop | None:
    """The stop that the last record of a run led to; None when the run was ended otherwise."""
    if last.stop_at is None or last.stop_at > last.at + punctual(in_force):
        return None
    warned = last.warned
    is_idle = last.verdict.kind is VerdictKind.IDLE if warned is None else warned.cause is By.IDLE
    if is_idle:
        return Stop(last.at, By.IDLE, last.verdict.headline, last.at)
    return Stop(last.at, By.LIMIT, warned.why if warned is not None else "a limit of its owner", last.at)


def _replay_run(run: Sequence[SweepRecord], next_start: datetime | None, policy: Policy, in_force: Policy) -> Replay:
    walk = _Walk(policy)
    stops: list[Stop] = []
    stop: Stop | None = None
    plan, unknown = StopPlan(), _ZERO
    for seen, time in _times(run):
        walk.hear(seen)
        if stop is not None:
            work_at = _work_after(seen, stop.at, in_force)
            if work_at is None:
                continue
            stops.append(replace(stop, until=max(work_at, stop.at), work_at=work_at))
            stop = None
            walk.start_again(seen.at)
        verdict, plan = walk.judge(seen)
        unknown += time if _is_unknown(verdict, time) else _ZERO
        if plan.due and plan.cause is not None:
            busy = any(sign.effect is Effect.WORK for sign in verdict.signs)
            stop = Stop(seen.at, plan.cause, plan.why, run[-1].at, seen.at if busy else None)
    longer, open_ended = _ZERO, 0
    if stop is not None:
        stops.append(replace(stop, work_at=stop.work_at or next_start))
    elif _really_ended(run[-1], in_force) is not None and plan.stop_at is not None:
        longer = max(min(plan.stop_at, next_start or plan.stop_at) - run[-1].at, _ZERO)
    elif _really_ended(run[-1], in_force) is not None:
        open_ended = 1
    return Replay(tuple(stops), run[-1].at - run[0].at, longer, unknown, open_ended)


@dataclass(slots=True)
class _Walk:
    """One run, record after record, as a sweep under the policy would have known it.

    again_at: when its owner would have started it again; None while it was not stopped.
    """

    policy: Policy
    processor: dict[datetime, Sample] = field(default_factory=dict)
    network: dict[datetime, Traffic] = field(default_factory=dict)
    history: History | None = None
    worked_at: datetime | None = None
    warned: Warned | None = None
    again_at: datetime | None = None
    looked_at: datetime | None = None

    def hear(self, seen: SweepRecord) -> None:
        if self.looked_at is not None and seen.at - self.looked_at > _MEMORY:
            self.history = self.warned = self.worked_at = None
        self.looked_at = seen.at
        # A point that comes anew replaces the one that was measured before its period was over.
        self.processor |= {each.at: each for each in seen.processor}
        self.network |= {each.at: each for each in seen.network or ()}
        for points in (self.processor, self.network):
            _forget(points, seen.at - self._reach)
        if isinstance(seen.answer, Reading):
            self.history = follow(self.history, seen.answer, self.policy)
        if self.history is not None and seen.history is not None and seen.history.interrupted:
            self.history = replace(self.history, interrupted=True)

    def start_again(self, now: datetime) -> None:
        """Its owner would have been back by now."""
        self.again_at, self.warned = now, None

    def judge(self, seen: SweepRecord) -> tuple[Verdict, StopPlan]:
        """What a sweep under the policy would have said at a record."""
        activity = self._activity(seen)
        verdict = assess(activity, self.policy, seen.at)
        self.worked_at = verdict.worked_at or self.worked_at
        until = seen.kept_awake_until
        plan = plan_stop(verdict, self.policy, activity.begins_at, until, self.warned, seen.at, seen.kept_awake_from)
        self.warned = plan.warned
        return verdict, plan

    @property
    def _reach(self) -> timedelta:
        """How far back points tell anything."""
        idle_after = self.policy.idle_after or _ZERO
        return 2 * max(idle_after + self.policy.weak_signals, self.policy.doubt_for) + _MEMORY

    def _activity(self, seen: SweepRecord) -> Activity:
        answer: Reading | Unknown | None = None
        if self.policy.probe is not Probe.NONE:
            answer = seen.answer or Unknown(seen.at, "the record has no answer of it")
        started = [at for at in (seen.started_at, self.again_at) if at is not None]
        return Activity(
            launched_at=seen.launched_at,
            processor=_in_order(self.processor),
            answer=answer,
            network=self._traffic(),
            history=self.history,
            kept_awake_until=seen.kept_awake_until,
            started_at=max(started, default=None),
            worked_at=self.worked_at,
        )

    def _traffic(self) -> Sequence[Traffic] | None:
        """As a sweep measures it: only while the processor is quiet."""
        samples = _in_order(self.processor)
        if samples and samples[-1].cores > self.policy.cpu_cores:
            return None
        # While the processor was at work nobody measured the network; whatever it was, that time was work already.
        busy = {each.at: Traffic(each.at, 0.0) for each in samples if each.cores > self.policy.cpu_cores}
        return _in_order(busy | self.network)


def _forget(points: dict[datetime, Sample] | dict[datetime, Traffic], before: datetime) -> None:
    for at in [at for at in points if at < before]:
        del points[at]


def _in_order(points: Mapping[datetime, Point]) -> list[Point]:
    return [points[at] for at in sorted(points)]


def _work_after(seen: SweepRecord, since: datetime, policy: Policy) -> datetime | None:
    """The first work after a moment that a record shows, or its owner's wish for it to run; None without any."""
    found = [each.at for each in seen.processor if each.cores > policy.cpu_cores]
    if policy.network_rate is not None:
        found += [each.at for each in seen.network or () if each.bytes_per_second > policy.network_rate]
    found += [seen.started_at] if seen.started_at is not None else []
    if seen.kept_awake_until is not None and seen.kept_awake_until > seen.at:
        found.append(seen.at)
    activity = Activity(seen.launched_at, (), seen.answer, history=seen.history)
    for sign in signs(activity, policy, seen.at):
        if sign.name not in _METERS and (at := sign.seen_until if sign.effect is Effect.WORK else sign.at) is not None:
            found.append(at)
    return min((at for at in found if at > since), default=None)
