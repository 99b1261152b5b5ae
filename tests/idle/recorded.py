"""What sweeps would have recorded of a workstation on a made-up day, judged by the real rules every 5 minutes."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from autostop.idle.between_answers import follow
from autostop.idle.cloudwatch_metrics import METRIC_DELAY
from autostop.idle.history import History
from autostop.idle.measured import Activity, Sample, Traffic
from autostop.idle.reading import Machine, Reading, Server, Unknown
from autostop.idle.stop_plan import plan_stop
from autostop.idle.sweep_record import SweepRecord
from autostop.idle.verdict import assess
from autostop.model import WorkstationId
from autostop.settings import Policy, Probe
from tests.build import ID, minutes

MORNING = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)
EVERY = minutes(5)
POLICY = Policy()


def is_in(spans: Sequence[tuple[float, float]], at: datetime, began: datetime) -> bool:
    return any(minutes(first) <= at - began < minutes(end) for first, end in spans)


@dataclass
class Run:
    """One run as it was recorded: swept every 5 minutes under a policy, up to its stop or for so many minutes.

    computes, cells, downloads: spans in minutes since the launch. typed, saved: minutes. A cell is silent: only Jupyter
    tells of it.
    """

    began: datetime = MORNING
    workstation: WorkstationId = ID
    lasts: float = 600
    policy: Policy = POLICY
    computes: Sequence[tuple[float, float]] = ()
    cells: Sequence[tuple[float, float]] = ()
    downloads: Sequence[tuple[float, float]] = ()
    typed: Sequence[float] = ()
    cores: float = 2.0
    kept_awake: tuple[float, float] | None = None
    unread: Sequence[tuple[float, float]] = ()
    gpu_percent: float | None = None
    seen: list[SweepRecord] = field(default_factory=list)

    def recorded(self) -> list[SweepRecord]:
        history: History | None = None
        answer: Reading | Unknown | None = None
        warned = worked_at = None
        at = self.began + EVERY
        while at <= self.began + minutes(self.lasts):
            samples = self._samples(at)
            traffic = None
            if (samples and samples[-1].cores <= self.policy.cpu_cores) or not samples:
                answer = self._answer(at)
                history = follow(history, answer, self.policy) if isinstance(answer, Reading) else history
                traffic = self._traffic(at) if self.policy.network_rate is not None else None
            kept = None
            if self.kept_awake is not None and at >= self.began + minutes(self.kept_awake[0]):
                kept = self.began + minutes(self.kept_awake[1])
            told = None if self.policy.probe is Probe.NONE else answer or Unknown(at, "asked")
            activity = Activity(self.began, samples, told, traffic, history, kept, worked_at=worked_at)
            verdict = assess(activity, self.policy, at)
            worked_at = verdict.worked_at or worked_at
            plan = plan_stop(verdict, self.policy, self.began, kept, warned, at)
            warned = plan.warned
            lately = self.seen[-1].at - METRIC_DELAY - EVERY if self.seen else self.began
            self.seen.append(
                SweepRecord(
                    workstation=self.workstation,
                    at=at,
                    launched_at=self.began,
                    verdict=verdict,
                    processor=tuple(each for each in samples if each.at >= lately),
                    network=None if traffic is None else tuple(each for each in traffic if each.at >= lately),
                    answer=None if self.policy.probe is Probe.NONE else answer,
                    history=history,
                    worked_at=worked_at,
                    kept_awake_until=kept,
                    warned=plan.warned,
                    stop_at=plan.stop_at,
                )
            )
            if plan.due:
                break
            at += EVERY
        return self.seen

    def _periods(self, until: datetime) -> list[datetime]:
        return [self.began + EVERY * number for number in range((until - self.began) // EVERY)]

    def _samples(self, until: datetime) -> list[Sample]:
        return [Sample(at, self.cores if is_in(self.computes, at, self.began) else 0.01) for at in self._periods(until)]

    def _traffic(self, until: datetime) -> list[Traffic]:
        return [Traffic(at, 2e6 if is_in(self.downloads, at, self.began) else 900.0) for at in self._periods(until)]

    def _answer(self, at: datetime) -> Reading | Unknown:
        if is_in(self.unread, at, self.began):
            return Unknown(at, "the SSM agent is silent")
        used = max([self.began, *(min(self.began + minutes(end), at) for first, end in self.cells
                                  if self.began + minutes(first) <= at)])  # fmt: skip
        busy = int(is_in(self.cells, at, self.began))
        typed = [self.began + minutes(each) for each in self.typed if self.began + minutes(each) <= at]
        server = Server(8888, busy, 1 - busy, 0, 0, used, 0, None, used if busy else None)
        machine = Machine("0a1b2c3d", max(typed, default=None), 0, "", self.gpu_percent, 0, 0, None, 0, held=False)
        return Reading(at, (server,), machine)
