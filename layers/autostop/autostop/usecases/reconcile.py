"""Bring one workstation nearer to its intent: observe, take the one next step, again until it must wait."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import assert_never

from autostop.domain.idle import VerdictKind
from autostop.domain.intent import By, Intent, Wanted, following
from autostop.domain.lifecycle import (
    AttachVolume,
    Blocked,
    ChangeIntent,
    CreateSnapshots,
    CreateVolume,
    DeleteSnapshot,
    DeleteVolume,
    DetachVolume,
    Outcome,
    SetDeleteOnTermination,
    Settled,
    StartInstance,
    Step,
    StopInstance,
    TagSnapshot,
    Wait,
    WriteManifest,
    next_step,
)
from autostop.domain.settings import Policy, Probe, policy_for
from autostop.domain.tags import DEVICE
from autostop.domain.workstation import Checks, Instance, InstanceState, Observation, WorkstationId
from autostop.ports import (
    Asker,
    ConflictError,
    DeniedError,
    Disks,
    Happened,
    Instances,
    Ledger,
    Metrics,
    Queue,
    State,
    TransientError,
)
from autostop.usecases.look import Subject, consult, judge

# A person waits for a start: waits up to this long are slept inside the function, by this much at a time.
_BRIEF = timedelta(seconds=5)
_NAP = timedelta(seconds=1)
_LEASE_BUSY_RETRY = timedelta(seconds=2)
# How fresh an answer must be to stop a workstation by it, and how long it is waited for.
_ANSWER_HOLDS_FOR = timedelta(minutes=5)
_ANSWER_COMES_WITHIN = timedelta(minutes=2)

_REACHED = {
    Wanted.RUN: "the workstation is ready",
    Wanted.STOP: "the workstation is stopped",
    Wanted.SHELVE: "the workstation is asleep",
}


@dataclass(frozen=True, slots=True)
class Reconciler:
    """Everything the reconciler works with. `clock` gives aware UTC moments; `sleep` takes seconds."""

    instances: Instances
    disks: Disks
    metrics: Metrics
    asker: Asker
    ledger: Ledger
    queue: Queue
    defaults: Policy
    clock: Callable[[], datetime]
    sleep: Callable[[float], None]

    def reconcile(self, workstation: WorkstationId, holder: str, until: datetime) -> str:
        """Work on one workstation until it must wait or `until` is near; what it came to, in words.

        Only one holder at a time acts on a workstation. Raises TransientError and DeniedError only when even the
        state could not be read or written; the queue then delivers again.
        """
        # Events of all the account's instances come by; most are not ours, and cost one read.
        if not _wants(self.ledger.load(workstation)):
            return "nothing is wanted"
        # The lease outlives the function's time by a margin, so that no two ever act together.
        if not self.ledger.take_lease(workstation, holder, self.clock(), until + _BRIEF):
            self.queue.wake(workstation, _LEASE_BUSY_RETRY)
            return "another reconciler is at work"
        try:
            return self._work(workstation, until)
        finally:
            self.ledger.give_lease_back(workstation, holder)

    def _work(self, workstation: WorkstationId, until: datetime) -> str:
        while True:
            state = self.ledger.load(workstation)
            if state.intent is None or state.intent.settled:
                return "nothing more is wanted"
            try:
                said = self._advance(state, state.intent, until)
            except ConflictError:
                continue
            if said is not None:
                return said
            if self.clock() >= until:
                self.queue.wake(workstation)
                return "out of time; it goes on at once"

    def _advance(self, state: State, intent: Intent, until: datetime) -> str | None:
        """One observation and what it calls for; None to look again at once."""
        try:
            state, seen = self._observe(state, intent)
            outcome = next_step(seen, intent, state.manifest, self.clock())
            if isinstance(outcome, StopInstance) and seen.instance is not None and intent.by is By.IDLE:
                state, outcome = self._look_once_more(state, seen.instance, intent)
            return self._carry_out(state, intent, outcome, until)
        except TransientError as error:
            return self._pause(state, Wait(str(error), error.retry_after))
        except DeniedError as error:
            return self._block(state, intent, str(error))

    def _observe(self, state: State, intent: Intent) -> tuple[State, Observation]:
        """What AWS says now. While a start is under way, that includes whether Jupyter answers."""
        workstation = state.workstation
        instance = self.instances.find(workstation)
        checks, asks_jupyter, heard = Checks.UNKNOWN, True, None
        if instance is not None and instance.state is InstanceState.RUNNING and intent.wanted is Wanted.RUN:
            checks = self.instances.checks(workstation)
            policy, _ = policy_for(self.defaults, instance.tags)
            asks_jupyter = policy.probe is not Probe.NONE
            state = self._listen(state, instance, policy)
            heard = state.answer if _since_launch(state, instance) else None
        volumes, snapshots = self.disks.volumes(workstation), self.disks.snapshots(workstation)
        return state, Observation(
            workstation, instance, tuple(volumes), tuple(snapshots), checks, heard, asks_jupyter=asks_jupyter
        )

    def _listen(self, state: State, instance: Instance, policy: Policy) -> State:
        """Ask whether Jupyter answers, until it did once since the launch."""
        if _since_launch(state, instance) and state.reading is not None and state.reading.servers:
            return state
        [subject] = consult([Subject(instance, policy, state)], self.asker, self.clock())
        return self.ledger.save(subject.state) if subject.state != state else state

    def _look_once_more(self, state: State, instance: Instance, intent: Intent) -> tuple[State, Step | Wait]:
        """Before a stop for idleness: minutes may have passed since the verdict, so measure and ask again."""
        now = self.clock()
        policy, _ = policy_for(self.defaults, instance.tags)
        answer = state.answer
        if policy.probe is not Probe.NONE and (answer is None or now - answer.at > _ANSWER_HOLDS_FOR):
            [subject] = consult([Subject(instance, policy, state)], self.asker, now)
            state = self.ledger.save(subject.state) if subject.state != state else state
            if state.asked is not None and now - intent.at < _ANSWER_COMES_WITHIN:
                return state, Wait("asking Jupyter once more before the stop", _BRIEF)
        verdict = judge(Subject(instance, policy, state), self.metrics, now)
        if verdict.kind is VerdictKind.IDLE:
            return state, StopInstance()
        why = f"it is not put to sleep: {verdict.headline}"
        return replace(state, verdict=verdict), ChangeIntent(Wanted.RUN, By.FOUND, why)

    def _carry_out(self, state: State, intent: Intent, outcome: Outcome, until: datetime) -> str | None:
        now = self.clock()
        match outcome:
            case Wait() if outcome.at_most <= _BRIEF and now + outcome.at_most < until:
                if state.waiting_for != outcome.why or state.blocked:
                    self.ledger.save(replace(state, waiting_for=outcome.why, blocked=None))
                self.sleep(_NAP.total_seconds())
                return None
            case Wait():
                return self._pause(state, outcome)
            case Blocked(reason):
                return self._block(state, intent, reason)
            case Settled(note):
                settled = replace(state, intent=intent.settle(now), waiting_for=None, blocked=None, note=note)
                self.ledger.save(replace(settled, look_at=None))
                self._record(state, intent, f"done: {_REACHED[intent.wanted]}. {note}".strip())
                return f"{intent.wanted} is reached"
            case ChangeIntent(wanted, by, why):
                self.ledger.save(state.wanting(following(intent, wanted, by, why, now)))
                self._record(state, intent, why)
            case WriteManifest(manifest, why):
                self.ledger.save(replace(state, manifest=manifest))
                self._record(
                    state, intent, f"cycle {manifest.cycle}: wrote down {len(manifest.volumes)} volumes ({why})"
                )
            case CreateSnapshots(manifest):
                known = self.disks.create_snapshots(manifest)
                self._record(state, intent, f"cycle {manifest.cycle}: began {len(known)} snapshots")
                self.ledger.save(replace(state, manifest=manifest.with_snapshots(known)))
            case _:
                self._record(state, intent, self._perform(state.workstation, outcome))
        return None

    def _perform(self, workstation: WorkstationId, step: Step) -> str:
        """Make the step's one call; what was done, in words."""
        match step:
            case StopInstance():
                self.instances.stop(workstation)
                return "asked EC2 to stop the instance"
            case StartInstance():
                self.instances.start(workstation)
                return "asked EC2 to start the instance"
            case TagSnapshot(snapshot, tags):
                self.disks.tag_snapshot(snapshot, tags)
                return f"wrote the manifest of {tags[DEVICE]} on {snapshot}"
            case DetachVolume(volume, device):
                self.disks.detach(volume, workstation, device)
                return f"detaching {volume} from {device}"
            case DeleteVolume(volume, snapshot):
                self.disks.delete(volume)
                return f"deleted {volume}; {snapshot} holds its data"
            case CreateVolume(manifest, record):
                return f"restoring {record.device} from {record.snapshot} as {self.disks.create(manifest, record)}"
            case AttachVolume(volume, device):
                self.disks.attach(volume, workstation, device)
                return f"attaching {volume} at {device}"
            case SetDeleteOnTermination(volume, device, flag):
                self.instances.set_delete_on_termination(workstation, device, volume, flag=flag)
                return f"{device} is {'deleted' if flag else 'kept'} on termination again"
            case DeleteSnapshot(snapshot, cycle):
                self.disks.delete_snapshot(snapshot)
                return f"deleted {snapshot} of cycle {cycle}, replaced by a later one"
            case WriteManifest() | CreateSnapshots() | ChangeIntent():
                raise ValueError(f"{step} is carried out with the state")
            case _:
                assert_never(step)

    def _block(self, state: State, intent: Intent, reason: str) -> str:
        if state.blocked != reason:
            self.ledger.save(replace(state, blocked=reason, waiting_for=None))
            self._record(state, intent, f"blocked: {reason}")
        return f"blocked: {reason}"

    def _pause(self, state: State, wait: Wait) -> str:
        """Come back later by a delayed message; one under way in time is enough, or messages would multiply."""
        now = self.clock()
        due = now + wait.at_most
        look_at = state.look_at
        if look_at is None or not now < look_at <= due:
            self.queue.wake(state.workstation, wait.at_most)
            look_at = due
        if (look_at, wait.why, None) != (state.look_at, state.waiting_for, state.blocked):
            self.ledger.save(replace(state, waiting_for=wait.why, blocked=None, look_at=look_at))
        return f"waiting: {wait.why}"

    def _record(self, state: State, intent: Intent, text: str) -> None:
        self.ledger.record(state.workstation, Happened(self.clock(), intent.number, text))


def _wants(state: State) -> bool:
    return state.intent is not None and not state.intent.settled


def _since_launch(state: State, instance: Instance) -> bool:
    return state.answer is not None and state.answer.at >= instance.launched_at
