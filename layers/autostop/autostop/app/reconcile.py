"""Bring one workstation nearer to its intent: observe, take the one next step, again until it must wait."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from autostop.app.execute import Executor, table_of_calls
from autostop.app.measure import ask, at_hand, look_before_stop
from autostop.idle.last_look import LastLook
from autostop.idle.limits import is_forgotten, next_limit
from autostop.idle.reading import Reading
from autostop.model import Checks, Instance, InstanceState, Jupyter, Observation, VolumeId, WorkstationId, instance_of
from autostop.notice import is_up
from autostop.ports import Asker, ConflictError, DeniedError, Metrics, TransientError
from autostop.settings import Policy, Probe, policy_for
from autostop.sleep.backoff import LONGEST_RETRY, after_error, while_blocked
from autostop.sleep.calls import Call
from autostop.sleep.housekeeping import after_round, begin, next_chore
from autostop.sleep.intent import By, Intent, Wanted
from autostop.sleep.next_step import next_step
from autostop.sleep.outcomes import Blocked, Outcome, Settled, Situation, Step, Wait, want
from autostop.sleep.resize import Resize, not_in_effect
from autostop.sleep.wake_progress import Wake, part_of, reaching, seconds_of
from autostop.state import Happened, State
from autostop.tags import is_ours

if TYPE_CHECKING:
    from autostop.aws.channels import EventBridgeAnnouncer
    from autostop.aws.ebs import EbsDisks
    from autostop.aws.ec2 import Ec2Instances
    from autostop.aws.ledger import DynamoLedger
    from autostop.aws.queue import SqsQueue

# What a function keeps back from its time: for the call under way, and for message, state and lease at the end. Each
# of them takes 3 seconds at most when AWS throttles it (`aws/clients.py`).
KEPT_BACK = timedelta(seconds=12)
# A person waits for a start: waits up to this long are slept inside the function.
_BRIEF = timedelta(seconds=5)
_NAP = timedelta(seconds=1)
_LEASE_BUSY_RETRY = timedelta(seconds=2)
_TABLE_RETRY = timedelta(seconds=20)
# Whoever asked for it may be waiting for so long.
_PATIENCE = timedelta(minutes=30)

_REACHED = {
    Wanted.RUN: "the workstation is ready",
    Wanted.STOP: "the workstation is stopped",
    Wanted.SHELVE: "the workstation is asleep",
}


class _OutOfTimeError(Exception):
    """The function's time is nearly up; another one goes on."""


@dataclass(slots=True)
class _Last:
    """The last step of this function, and when it was taken."""

    step: Step | None = None
    at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Reconciler:
    """The reconciler, with its ports.

    `clock` gives aware UTC moments; `sleep` takes seconds; `chance` gives numbers from 0 to 1, which spread retries.
    """

    instances: "Ec2Instances"
    disks: "EbsDisks"
    metrics: Metrics
    asker: Asker
    ledger: "DynamoLedger"
    queue: "SqsQueue"
    defaults: Policy
    clock: Callable[[], datetime]
    sleep: Callable[[float], None]
    chance: Callable[[], float]
    announcer: "EventBridgeAnnouncer"

    def reconcile(self, workstation: WorkstationId, holder: str, until: datetime) -> str:
        """Work on one workstation until it must wait or `until` is near; what it came to, in words.

        until: KEPT_BACK before the function is ended. Only one holder at a time acts on a workstation. Raises
        DeniedError only when even the state could not be read or written; the queue then delivers again.
        """
        try:
            return self._reconcile(workstation, holder, until)
        except TransientError as error:
            # Not even the state could be read or written. A person may wait: the queue itself delivers after minutes.
            self.queue.wake(workstation, _TABLE_RETRY)
            return f"it is looked at again: {error}"

    def _reconcile(self, workstation: WorkstationId, holder: str, until: datetime) -> str:
        # Events of all the account's instances come by; most are not ours, and cost one read.
        if not _wants(self.ledger.load(workstation), self.clock()):
            return "nothing is wanted"
        # The lease lasts as long as the function can, so that no two ever act together.
        if not self.ledger.take_lease(workstation, holder, self.clock(), until + KEPT_BACK):
            return self._knock(workstation)
        try:
            said = self._work(workstation, until)
            while not self.ledger.give_lease_back(workstation, holder, unless_knocked=True):
                if self.clock() >= until:
                    self.queue.wake(workstation)
                    self.ledger.give_lease_back(workstation, holder)
                    break
                if not self.ledger.take_lease(workstation, holder, self.clock(), until + KEPT_BACK):
                    break
                said = self._work(workstation, until)
        except BaseException:
            self.ledger.give_lease_back(workstation, holder)
            raise
        return said

    def _knock(self, workstation: WorkstationId) -> str:
        """Whoever is at work looks once more before it goes. One message is enough for the case that it died."""
        held_until = self.ledger.knock(workstation)
        if held_until is not None:
            self.queue.wake(workstation, held_until - self.clock() + _LEASE_BUSY_RETRY)
        return "another reconciler is at work"

    def _work(self, workstation: WorkstationId, until: datetime) -> str:
        last = _Last()
        try:
            while True:
                state = self.ledger.load(workstation)
                if not _wants(state, self.clock()):
                    return "nothing more is wanted"
                try:
                    said = self._advance(state, last, until)
                except ConflictError:
                    said = None
                if said is not None:
                    return said
                self._in_time(until)
        except _OutOfTimeError:
            self.queue.wake(workstation)
            return "out of time; it goes on at once"

    def _in_time(self, until: datetime) -> None:
        if self.clock() >= until:
            raise _OutOfTimeError

    def _advance(self, state: State, last: _Last, until: datetime) -> str | None:
        """One observation and what it calls for; None to look again at once."""
        if state.intent is None:
            return "nothing is wanted"
        intent = state.intent
        try:
            state, seen = self._observe(state, intent, until)
            if intent.settled:
                return self._tidy_up(state, intent, seen, last)
            known = (state.manifest, self.clock(), state.attempts, state.fallback, state.resize)
            outcome = next_step(seen, intent, *known)
            if isinstance(outcome, Step) and outcome.call is Call.STOP and seen.instance is not None:
                state, outcome = self._look_once_more(state, seen.instance, intent, outcome)
            self._in_time(until)
            if intent.wanted is Wanted.RUN:
                call = outcome.call if isinstance(outcome, Step) else None
                begun = reaching(state.begun, part_of(seen, call), self.clock())
                state = self._keep(state, replace(state, begun=begun))
            return self._carry_out(state, intent, seen, outcome, last, until)
        except (TransientError, DeniedError) as error:
            return self._hindered(state.workstation, intent, error)

    def _observe(self, state: State, intent: Intent, until: datetime) -> tuple[State, Observation]:
        """What AWS says now. While a start is under way, that includes whether Jupyter answers.

        Between its calls it looks at the time: in a storm each of them may take seconds.
        """
        workstation = state.workstation
        instance = self.instances.find(instance_of(workstation))
        seen = Observation(workstation, instance)
        self._in_time(until)
        if instance is not None:
            policy, _ = policy_for(self.defaults, instance.tags)
            seen = replace(seen, delete_after=policy.delete_after)
            # Who took the tag away does not want it to be asked either.
            if is_ours(instance.tags) and intent.wanted is Wanted.RUN:
                seen = replace(seen, zone=policy.time_zone, initialization_rate=policy.initialization_rate)
                if instance.state is InstanceState.RUNNING:
                    checks = self._checks(instance)
                    self._in_time(until)
                    state = self._listen(state, instance, policy)
                    seen = replace(seen, checks=checks, jupyter=jupyter_since(state, instance, policy))
                if state.attempts.no_capacity:
                    seen = replace(seen, other_types=tuple(self.instances.types(policy.instance_types)))
                self._in_time(until)
            # What runs, starts or stops needs no look at its disks, until something is to be tidied up.
            if instance.state is not InstanceState.STOPPED and not intent.settled:
                return state, seen
        seen = replace(seen, volumes=tuple(self.disks.volumes(workstation)))
        self._in_time(until)
        if missing := [each for each in _named(state, seen.delete_after) if seen.volume(each) is None]:
            named = self.disks.find_volumes([{"Name": "volume-id", "Values": missing}])
            seen = replace(seen, volumes=(*seen.volumes, *named))
            self._in_time(until)
        snapshots = self.disks.snapshots(workstation)
        return state, replace(seen, snapshots=tuple(snapshots))

    def _checks(self, instance: Instance) -> Checks:
        try:
            return self.instances.checks(instance.id)
        except DeniedError:
            # It is up all the same, and settles without them.
            return Checks.UNKNOWN

    def _listen(self, state: State, instance: Instance, policy: Policy) -> State:
        """Ask whether Jupyter answers, until it did once since the launch."""
        if _since_launch(state, instance) and state.reading is not None and state.reading.servers:
            return state
        [watched] = ask([at_hand(state, instance, policy)], self.asker, self.clock())
        return self._keep(state, state.hearing(watched.activity.answer, watched.asked))

    def _keep(self, before: State, state: State) -> State:
        return state if state == before else self.ledger.save(state)

    def _look_once_more(self, state: State, instance: Instance, intent: Intent, stop: Outcome) -> tuple[State, Outcome]:
        """Before a stop for idleness: minutes may have passed since the verdict, so measure and ask again.

        Before one at a limit, which may have been refused for hours: whether it still holds.
        """
        policy, _ = policy_for(self.defaults, instance.tags)
        kept_from, kept_until, now = state.kept_awake_from, state.kept_awake_until, self.clock()
        if is_forgotten(intent, next_limit(policy, instance.launched_at, kept_until, now, kept_from), now):
            return state, want(intent, Wanted.RUN, By.FOUND, f"it could not be stopped in time: {intent.why}", now)
        if intent.by is not By.IDLE:
            return state, stop
        look, heard, verdict = look_before_stop(
            state, instance, policy, intent.at, self.ledger, self.metrics, self.asker, self.clock()
        )
        state = self._keep(state, heard)
        if look is LastLook.STOP:
            return state, stop
        if look is LastLook.TURN_BACK and verdict is not None:
            # No sweep may have seen it: who logs out right after takes along what showed it.
            seen = replace(state, worked_at=verdict.worked_at)
            return seen, want(intent, Wanted.RUN, By.FOUND, f"it is not put to sleep: {verdict.headline}", self.clock())
        # A question that is not answered in time is answered by that (`Asker.collect`).
        return state, Wait("asking the workstation once more before the stop", _BRIEF)

    def _tidy_up(self, state: State, intent: Intent, seen: Observation, last: _Last) -> str | None:
        """One step of the housekeeping, or the end of its round; None to look again at once."""
        house, now = state.housekeeping, self.clock()
        if house is None or seen.instance is None or seen.instance.is_gone:
            self.ledger.save(replace(state, housekeeping=None))
            return "nothing is left to be tidied up"
        known = (state.manifest, state.attempts, now, state.fallback, state.resize)
        it = Situation(seen, seen.instance, intent, *known)
        step = next_chore(it, house)
        if step is None:
            self.ledger.save(replace(state, housekeeping=after_round(it, house), resize=_resize_after(it)))
            return "it is tidied up"
        try:
            self._take(state, intent, step, last)
        except TransientError as error:
            if step.refused is None:
                raise
            # It holds up none of the others, for it may go on for days.
            self.ledger.save(replace(state, housekeeping=step.refused(str(error)).housekeeping))
        return None

    def _carry_out(
        self, state: State, intent: Intent, seen: Observation, outcome: Outcome, last: _Last, until: datetime
    ) -> str | None:
        now = self.clock()
        # A person waits for a while; what takes longer is looked at by message.
        brief = _BRIEF if now - intent.at < _PATIENCE else timedelta(0)
        match outcome:
            case Wait() if outcome.at_most <= brief and now + outcome.at_most < until:
                if state.waiting_for != outcome.why or state.blocked:
                    self.ledger.save(replace(state, waiting_for=outcome.why, blocked=None))
                self.sleep(outcome.at_most.total_seconds())
            case Wait():
                return self._pause(state, outcome)
            case Blocked(reason):
                return self._block(state, intent, reason)
            case Settled(note):
                if intent.tells and seen.instance is not None:
                    # Before it is noted, so that it is told after a crash too; `notify` tells it once.
                    self.announcer.announce([is_up(seen.instance, intent, now)])
                after = self.ledger.save(_settled(state, intent, seen, note, now))
                launched_at = seen.instance.launched_at if seen.instance is not None else None
                shelved = intent.wanted is Wanted.SHELVE and after.kept_since is None
                text = f"done: {_REACHED[intent.wanted]}. {note}".strip()
                happened = Happened(self.clock(), intent.number, text, after.intent, launched_at, shelved)
                self.ledger.record(state.workstation, happened)
            case Step():
                self._take(state, intent, outcome, last)
        return None

    def _take(self, state: State, intent: Intent, step: Step, last: _Last) -> None:
        if step.repeats(last.step) and last.at is not None and self.clock() - last.at < _BRIEF:
            # The lists do not show yet what was done.
            self.sleep(_NAP.total_seconds())
            return
        calls = table_of_calls(self.instances, self.disks)
        Executor(calls, self.ledger, self.clock).execute(state, intent.number, step)
        last.step, last.at = step, self.clock()

    def _hindered(self, workstation: WorkstationId, intent: Intent, error: TransientError | DeniedError) -> str | None:
        """Come back after a passing error: each time later, and not at one moment with all others in the same storm."""
        # Something may have been saved before the error came.
        state = self.ledger.load(workstation)
        if state.intent != intent:
            return None
        if intent.settled:
            return self._put_off(state, str(error))
        if isinstance(error, DeniedError):
            return self._block(state, intent, str(error))
        delay = after_error(error.retry_after, state.attempts.errors, self.chance())
        return self._pause(state, Wait(str(error), delay), errors=state.attempts.errors + 1)

    def _put_off(self, state: State, why: str) -> str:
        """Tidying up holds nothing up: a later sweep comes back to it."""
        if state.housekeeping is not None:
            later = replace(state.housekeeping, due_at=self.clock() + LONGEST_RETRY)
            self.ledger.save(replace(state, housekeeping=later))
        return f"tidied up later: {why}"

    def _block(self, state: State, intent: Intent, reason: str) -> str:
        """A sweep comes back to it: by the next one at first, then ever more seldom."""
        now = self.clock()
        since = state.hindered_since or now
        blocked = replace(state, blocked=reason, waiting_for=None, hindered_since=since)
        self.ledger.save(replace(blocked, look_at=now + while_blocked(since, now)))
        if state.blocked != reason:
            self.ledger.record(state.workstation, Happened(self.clock(), intent.number, f"blocked: {reason}"))
        return f"blocked: {reason}"

    def _pause(self, state: State, wait: Wait, errors: int | None = None) -> str:
        """Come back later by a delayed message; one under way in time is enough, or messages would multiply."""
        now = self.clock()
        due = now + wait.at_most
        look_at = state.look_at
        if look_at is None or not now < look_at <= due:
            self.queue.wake(state.workstation, wait.at_most)
            look_at = due
        attempts = state.attempts if errors is None else replace(state.attempts, errors=errors)
        hindered = state.hindered_since or (now if errors is not None else None)
        moves_on = state.blocked is None and wait.why != state.waiting_for
        if errors is None and moves_on and wait.gets_on and wait.at_most > _BRIEF:
            # As the snapshots of a first night do for hours. What is looked at again at once may fail again.
            hindered = None
        paused = replace(state, waiting_for=wait.why, blocked=None, hindered_since=hindered)
        paused = replace(paused, look_at=look_at, attempts=attempts)
        if paused != state:
            self.ledger.save(paused)
        return f"waiting: {wait.why}"


def _named(state: State, delete_after: timedelta | None) -> Sequence[VolumeId]:
    """Volumes that are looked for by their ids too: a person may have taken the tags away by which others are found.

    Those that EBS said it makes; and those of before, where they stand detached for days and may be newer by then.
    """
    attempts, manifest = state.attempts, state.manifest
    made = [each.volume for each in attempts.restored if not attempts.has_failed(each.volume)]
    kept = manifest.volumes if manifest is not None and delete_after != timedelta(0) else ()
    return [*made, *(each.volume for each in kept)]


def _wants(state: State, now: datetime) -> bool:
    """Whether there is work: an intent that is not reached, or housekeeping that is due."""
    house = state.housekeeping
    return state.intent is not None and (not state.intent.settled or (house is not None and house.due_at <= now))


def _settled(state: State, intent: Intent, seen: Observation, note: str, now: datetime) -> State:
    """The state once the intent is reached, with what is to be tidied up after it. Pure."""
    state = replace(state, intent=intent.settle(now), note=note, look_at=None, wakes=_wakes_after(state, intent, now))
    state = replace(state, waiting_for=None, blocked=None, hindered_since=None)
    if seen.instance is None:
        return state
    instance, fallback = seen.instance, state.fallback
    wanted = state.resize is not None and state.resize.type == instance.type
    if instance.state is InstanceState.RUNNING and fallback is not None and (wanted or not fallback.holds_of(instance)):
        # Later it would make a fall-back of a person's own change, or of the owner's wish.
        fallback = None
    it = Situation(seen, instance, intent, state.manifest, state.attempts, now, fallback, state.resize)
    house = begin(it, state.housekeeping)
    state = replace(state, housekeeping=house, fallback=fallback, kept_since=None, restores_from=())
    if intent.wanted is Wanted.RUN or it.cycle is None:
        return state
    if it.cycle.remaining_in(seen):
        return replace(state, kept_since=it.cycle.detached_at) if intent.wanted is Wanted.SHELVE else state
    # Who asks for a stop while it sleeps wakes nothing.
    records = it.cycle.volumes if not seen.attached() else ()
    return replace(state, restores_from=tuple(each.snapshot for each in records if each.snapshot is not None))


def _wakes_after(state: State, intent: Intent, now: datetime) -> tuple[Wake, ...]:
    """The latest five of each kind; of one that met an obstacle nobody learns how long the next one takes. Pure."""
    tried = state.attempts
    obstacles = tried.errors or tried.no_capacity or tried.refused_types or tried.failed_volumes or state.hindered_since
    if intent.wanted is not Wanted.RUN or tried.start is None or tried.start.number > 1 or obstacles:
        return state.wakes
    new = Wake(bool(tried.restored), (now - intent.at).total_seconds(), seconds_of(intent.at, state.begun, now))
    alike = [each for each in state.wakes if each.restored is new.restored]
    return (*(each for each in state.wakes if each not in alike), *alike[-4:], new)


def _resize_after(it: Situation) -> Resize | None:
    """What its owner wants of it is over once it runs so, and a type that EC2 refuses is wanted no more. Pure."""
    if it.resize is None or it.instance.state is not InstanceState.RUNNING:
        return it.resize
    refused = it.resize.type is not None and it.attempts.why_refused(it.resize.type) is not None
    # One that was asked for only since is tried by the next wake.
    refused = refused and it.resize.at < it.intent.at
    wanted = replace(it.resize, type=None) if refused else it.resize
    return not_in_effect(wanted, it.instance, it.fallback, it.seen.attached())


def jupyter_since(state: State, instance: Instance, policy: Policy) -> Jupyter:
    """What the newest answer since the launch says of Jupyter. Pure."""
    if policy.probe is Probe.NONE:
        return Jupyter.NOT_ASKED
    if not _since_launch(state, instance) or not isinstance(state.answer, Reading):
        return Jupyter.SILENT
    return Jupyter.SERVES if state.answer.servers else Jupyter.NO_SERVER


def _since_launch(state: State, instance: Instance) -> bool:
    return state.answer is not None and state.answer.at >= instance.launched_at
