"""Play a trace through the real product: its sweeps, its verdicts, its warnings, and the last look before a stop.

Stood in for are only the ports: an instance that runs when the trace says so, CloudWatch's points as they became
visible, answers of Run Command that come seconds after they were asked for and are collected at the next sweep, a table
in memory, a bus that counts. The last look before a stop for idleness is the reconciler's.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final, cast

from autostop import tags
from autostop.app.daily_snapshots import DailySnapshots
from autostop.app.measure import look_before_stop
from autostop.app.sweep import Sweeper
from autostop.aws.channels import EventBridgeAnnouncer
from autostop.aws.ec2 import Ec2Instances
from autostop.aws.ledger import DynamoLedger
from autostop.aws.queue import SqsQueue
from autostop.idle.last_look import LastLook
from autostop.idle.measured import Sample, Traffic
from autostop.idle.reading import Reading, Unknown, parse_reading, read_document
from autostop.idle.signs_of_answer import ANSWER_COMES_WITHIN
from autostop.idle.sweep_record import SweepRecord
from autostop.model import Instance, InstanceId, InstanceState, WorkstationId, instance_of
from autostop.notice import Notice
from autostop.settings import Policy, Probe
from autostop.sleep.intent import By, Intent, Wanted, following
from autostop.state import Asked, Happened, Outline, State
from tests.traces.judged import resumes_at
from tests.traces.trace import MINUTE, Document, Trace

ID: Final = WorkstationId("i-0abc")
# An answer of Run Command takes seconds; the reconciler comes back for it within half a minute.
_ANSWER_TAKES: Final = timedelta(seconds=5)
_RECONCILER_COMES_BACK: Final = timedelta(seconds=20)


@dataclass(frozen=True, slots=True)
class Played:
    """What happened: stops in minutes of the trace, notices, and what each sweep concluded."""

    stops: tuple[float, ...]
    notices: tuple[Notice, ...]
    verdicts: tuple[SweepRecord, ...]


def play(trace: Trace) -> Played:
    """Let the product sweep through the whole trace, with restarts after its stops."""
    return _Night(trace).play()


@dataclass
class _Night:
    """Everything that the product sees of the trace, at `minute`."""

    trace: Trace
    minute: float = 0.0
    launched: float | None = None
    stops: list[float] = field(default_factory=list)
    notices: list[Notice] = field(default_factory=list)
    journal: list[SweepRecord] = field(default_factory=list)
    state: State = field(default_factory=lambda: State(ID, version=1))
    _taps: int = 0

    def play(self) -> Played:
        off_until: int | None = None
        instances, ledger, queue = cast("Ec2Instances", self), cast("DynamoLedger", self), cast("SqsQueue", self)
        announcer = cast("EventBridgeAnnouncer", self)
        sweeper = Sweeper(instances, cast("DailySnapshots", self), self, self, ledger, queue, announcer, Policy())
        step, first = self.trace.sweep_every / 60, self.trace.sweep_first / 60
        for index in range(int((self.trace.minutes - first) / step) + 1):
            self.minute = first + index * step
            if self.minute >= self.trace.minutes:
                break
            if off_until is not None and self.minute < off_until:
                continue
            self._launched(off_until)
            off_until = None
            if self.launched is None:
                continue
            self._taps_of_the_owner()
            sweeper.sweep(self.now)
            intent = self.state.intent
            if intent is not None and not intent.settled and self._reconcile(intent):
                resumed = resumes_at(self.trace, self.minute)
                off_until = self.trace.minutes if resumed is None else resumed
        return Played(tuple(self.stops), tuple(self.notices), tuple(self.journal))

    @property
    def now(self) -> datetime:
        return self.trace.moment(self.minute)

    def _launched(self, off_until: int | None) -> None:
        """When it was last started: by the trace, or after a stop by its owner, who goes on."""
        run = self.trace.run_at(self.minute)
        if run is None:
            self.launched = None
        elif off_until is not None and off_until in run:
            self.launched = float(off_until)
            self._wants_to_run(off_until)
        elif self.launched is None or self.launched < run.first:
            self.launched = float(run.first)

    def _taps_of_the_owner(self) -> None:
        until = [self.trace.moment(until) for at, until in self.trace.kept_awake if at <= self.minute]
        self.state = replace(self.state, kept_awake_until=max(until, default=None))
        taps = [at for at in self.trace.run_taps if at <= self.minute]
        if len(taps) > self._taps:
            self._taps = len(taps)
            self._wants_to_run(taps[-1])

    def _wants_to_run(self, minute: float) -> None:
        at = self.trace.moment(minute)
        intent = following(self.state.intent, Wanted.RUN, By.OWNER, "asked for on the page", at)
        self.state = replace(self.state, intent=intent.settle(at))

    def _reconcile(self, intent: Intent) -> bool:
        """The last look before a stop for idleness; then the stop, or a settled wish that it runs on. True: stopped."""
        if intent.by is By.IDLE and not self._still_idle(intent):
            found = following(intent, Wanted.RUN, By.FOUND, "it is not put to sleep", self.now)
            self.state = replace(self.state, intent=found.settle(self.now))
            return False
        self.state = replace(self.state, intent=intent.settle(self.now))
        self.stops.append(self.minute)
        self.launched = None
        return True

    def _still_idle(self, intent: Intent) -> bool:
        [instance] = self.tagged()
        ledger, moment = cast("DynamoLedger", self), self.now
        while True:
            look, self.state, _ = look_before_stop(
                self.state, instance, self.trace.policy, intent.at, ledger, self, self, moment
            )
            if look is not LastLook.WAIT:
                return look is LastLook.STOP
            moment += _RECONCILER_COMES_BACK

    # --- instances ---------------------------------------------------------------------------------------------------

    def tagged(self) -> Sequence[Instance]:
        assert self.launched is not None
        period = {"autostop:cpu-period": f"{self.trace.period}s"} if self.trace.period != 300 else {}
        own = {f"autostop:{name}": text for name, text in self.trace.settings.items()}
        return [
            Instance(
                id=instance_of(ID),
                state=InstanceState.RUNNING,
                launched_at=self.trace.moment(self.launched),
                type="m7g.xlarge",
                vcpus=self.trace.vcpus,
                zone="eu-west-1a",
                root_device="/dev/xvda",
                tags={tags.AUTOSTOP: tags.ON} | period | own,
            )
        ]

    def find(self, instance: InstanceId) -> Instance | None:
        return self.tagged()[0]

    def look(self, states: Mapping[WorkstationId, Outline], now: datetime) -> Mapping[WorkstationId, str]:
        return {}

    # --- metrics -----------------------------------------------------------------------------------------------------

    def processor(
        self, instances: Sequence[Instance], since: Mapping[WorkstationId, datetime], period: timedelta, now: datetime
    ) -> Mapping[WorkstationId, Sequence[Sample]]:
        visible, from_then = self.trace.minute_of(now), self.trace.minute_of(since[ID])
        points = [each for each in self.trace.points if each.minute >= from_then and each.visible <= visible]
        return {ID: [Sample(self.trace.moment(each.minute), each.cores) for each in points]}

    def network(
        self, instances: Sequence[Instance], since: Mapping[WorkstationId, datetime], period: timedelta, now: datetime
    ) -> Mapping[WorkstationId, Sequence[Traffic]]:
        visible, from_then = self.trace.minute_of(now), self.trace.minute_of(since[ID])
        points = [each for each in self.trace.points if each.minute >= from_then and each.visible <= visible]
        return {ID: [Traffic(self.trace.moment(each.minute), each.network) for each in points]}

    # --- asker -------------------------------------------------------------------------------------------------------

    def ask(
        self, asked: Sequence[tuple[Instance, Policy]], now: datetime
    ) -> Mapping[WorkstationId, Asked | Reading | Unknown]:
        [(_, policy)] = asked
        if policy.probe is Probe.HTTPS:
            return {ID: read_document(self._document(now), now)}
        return {ID: Asked("a-command", now)}

    def collect(self, asked: Mapping[WorkstationId, Asked], now: datetime) -> Mapping[WorkstationId, Reading | Unknown]:
        question = asked[ID]
        failure = self.trace.failure_at(self.trace.minute_of(question.at))
        if failure == "no answer":
            silent = Unknown(now, "it gave no answer for minutes: is the SSM agent running?")
            return {ID: silent} if now - question.at >= ANSWER_COMES_WITHIN else {}
        if now - question.at < _ANSWER_TAKES:
            return {}
        if failure == "no agent":
            return {ID: Unknown(question.at, "Systems Manager does not know it: is its agent running?")}
        return {ID: parse_reading(printed(self._document(question.at), failure), question.at)}

    def _document(self, now: datetime) -> Document:
        document = self.trace.document(self.trace.minute_of(now))
        # Who starts it again after a stop finds another boot.
        if self.stops and document["machine"] is not None:
            document = document | {"machine": document["machine"] | {"boot": f"{len(self.stops):08x}"}}
        return document

    # --- ledger ------------------------------------------------------------------------------------------------------

    def states(self) -> Mapping[WorkstationId, Outline]:
        return {ID: self.state}

    def load(self, workstation: WorkstationId) -> State:
        return self.state

    def save(self, state: State) -> State:
        self.state = replace(state, version=state.version + 1)
        return self.state

    def change(self, workstation: WorkstationId, decide: Callable[[State], State]) -> tuple[State, State]:
        before = self.state
        return before, self.save(decide(before))

    def record(self, workstation: WorkstationId, happened: Happened) -> None:
        pass

    def latest_sweep(self, now: datetime) -> Mapping[WorkstationId, SweepRecord]:
        lately = [each for each in self.journal[-1:] if now - each.at <= 60 * MINUTE]
        return {ID: lately[0]} if lately else {}

    def sweep_records(self, workstation: WorkstationId, since: datetime, until: datetime) -> Sequence[SweepRecord]:
        return [each for each in self.journal if since <= each.at <= until]

    def write_journal(self, swept: Sequence[SweepRecord], at: datetime) -> None:
        self.journal += swept

    # --- queue and bus -----------------------------------------------------------------------------------------------

    def wake(self, workstation: WorkstationId) -> None:
        pass

    def announce(self, notices: Sequence[Notice]) -> Mapping[Notice, str]:
        self.notices += notices
        return {}


def printed(document: Document, failure: str | None) -> str:
    """What Run Command hands on of an answer, whole or broken."""
    line = json.dumps(document, separators=(",", ":"))
    match failure:
        case None:
            return line + "\n"
        case "cut":
            return line[: len(line) // 2]
        case "garbage":
            return "Segmentation fault (core dumped)\n"
        case "old version":
            return json.dumps({"v": 1, "at": document["at"], "servers": [], "errors": []})
        case "hostile":
            return '{"v":2,"at":' + "9" * 400 + ',"servers":[],"machine":null,"errors":[]}'
        case _:
            raise ValueError(f"a trace knows no answer that is {failure!r}")
