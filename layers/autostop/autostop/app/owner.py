"""What the owner asks for: start, stop, keep awake, and how things stand."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from autostop.app.status import Status, status_of
from autostop.clock import clock_time
from autostop.cost import Prices, cost_awake, cost_now
from autostop.days import Days, days_of
from autostop.link import Scope
from autostop.model import WorkstationId, instance_of
from autostop.settings import Policy, policy_for
from autostop.sleep.intent import By, Wanted, following
from autostop.state import Happened, State

if TYPE_CHECKING:
    from autostop.aws.ebs import EbsDisks
    from autostop.aws.ec2 import Ec2Instances
    from autostop.aws.ledger import DynamoLedger
    from autostop.aws.queue import SqsQueue
    from autostop.aws.subscription import MailSubscription


class RefusedError(Exception):
    """The owner's wish cannot be met now. `remedy`: what to do instead."""

    def __init__(self, text: str, remedy: str) -> None:
        super().__init__(text)
        self.remedy = remedy


@dataclass(frozen=True, slots=True)
class Owner:
    """The owner's side of the workstations. clock: gives aware UTC moments. mail: None where none is wanted."""

    instances: "Ec2Instances"
    disks: "EbsDisks"
    ledger: "DynamoLedger"
    queue: "SqsQueue"
    defaults: Policy
    clock: Callable[[], datetime]
    mail: "MailSubscription | None" = None

    def start(self, workstation: WorkstationId, asked_by: str, *, tells: bool = False) -> None:
        """Want it to run, at any moment of a shelving; tells: and be told when it is up. Safe to press twice."""

        def begin(state: State, now: datetime) -> State:
            if state.intent is not None and state.intent.wanted is Wanted.RUN and _is_under_way(state):
                return replace(state, intent=replace(state.intent, tells=state.intent.tells or tells))
            intent = following(state.intent, Wanted.RUN, By.OWNER, f"{asked_by} asked for it", now)
            return state.wanting(replace(intent, tells=tells))

        self._change(workstation, begin)

    def stop(self, workstation: WorkstationId, asked_by: str) -> None:
        """Want it stopped; it is shelved later, as its settings say. It ends a promise of work. Safe to press twice."""

        def begin(state: State, now: datetime) -> State:
            promised, state = state.kept_awake_until, _without_promise(state, now)
            if state.intent is not None and state.intent.wanted is not Wanted.RUN and _is_under_way(state):
                return state
            why = f"{asked_by} asked for it"
            if promised is not None and promised > now:
                until = clock_time(promised, self.defaults.time_zone, now)
                why = f"{why}, which ended the promise to keep it awake until {until}"
            return state.wanting(following(state.intent, Wanted.STOP, By.OWNER, why, now))

        self._change(workstation, begin)

    def keep_awake(
        self, workstation: WorkstationId, asked_by: str, lasts: timedelta | None = None, *, may_start: bool = True
    ) -> None:
        """Promise work for a while; a stop for idleness that is under way turns back. Raises RefusedError if asleep.

        lasts: how long from now, in the place of whatever was promised before; None for as long as its settings say,
        which shortens no promise. No promise goes further ahead than its setting longest-promise. may_start: whether
        who asks may have it start again that stops by now.
        """
        instance = self.instances.find(instance_of(workstation))
        policy, _ = policy_for(self.defaults, instance.tags if instance else {})

        def promise(state: State, now: datetime) -> State:
            until = now + (lasts or policy.keep_awake_for)
            if lasts is None:
                until = max(until, state.kept_awake_until or now)
            if policy.longest_promise is not None:
                until = min(until, now + policy.longest_promise)
            goes_on = state.kept_awake_until is not None and state.kept_awake_until >= now
            kept = replace(state, kept_awake_until=until, kept_awake_from=state.kept_awake_from if goes_on else now)
            intent = state.intent
            if intent is None or intent.wanted is Wanted.RUN:
                return kept
            if intent.settled or intent.by not in (By.IDLE, By.LIMIT):
                raise RefusedError("It is asleep or on its way there, as it was asked to be.", "Start it instead.")
            if not may_start and (instance is None or not instance.is_up):
                raise RefusedError("It is stopped by now.", "Start it, with a link that may.")
            return kept.wanting(following(intent, Wanted.RUN, By.PROMISE, f"{asked_by} keeps it awake", now))

        self._change(workstation, promise)

    def end_promise(self, workstation: WorkstationId, _asked_by: str) -> None:
        """Take a promise of work back: from now on it is judged like any other. Safe to press twice."""
        self._change(workstation, _without_promise)

    def status(self, workstation: WorkstationId, scopes: tuple[Scope, ...] = tuple(Scope)) -> Status:
        state = self.ledger.load(workstation)
        instance = self.instances.find(instance_of(workstation))
        happened = self.ledger.happened(workstation, state.intent.number) if state.intent else ()
        now = self.clock()
        return status_of(
            state,
            self.ledger.latest_sweep(now).get(workstation),
            instance,
            self.disks.volumes(workstation),
            self.disks.snapshots(workstation),
            happened,
            self.mail.problem() if self.mail is not None else None,
            scopes,
            self.defaults,
            self.ledger.prices(),
            now,
        )

    def days(self, workstation: WorkstationId) -> tuple[Days, Prices]:
        """Its last 30 days, and by which prices."""
        state, now, by = self.ledger.load(workstation), self.clock(), self.ledger.prices()
        instance = self.instances.find(instance_of(workstation))
        recorded = state.manifest.volumes if state.manifest is not None else ()
        awake = cost_awake(self.disks.volumes(workstation), recorded, by)
        kept = cost_now((), self.disks.snapshots(workstation), by)
        return days_of(self.ledger.happened(workstation), instance, awake, kept, by, now), by

    def _change(self, workstation: WorkstationId, change: Callable[[State, datetime], State]) -> None:
        """Change the state from what it is now, and bring the reconciler."""
        before, after = self.ledger.change(workstation, lambda state: change(state, self.clock()))
        intent = after.intent
        if intent is not None and (before.intent is None or intent.number != before.intent.number):
            self.ledger.record(workstation, Happened(intent.at, intent.number, intent.why, intent))
        self.queue.wake(workstation)


def _without_promise(state: State, now: datetime) -> State:
    """Until now it was kept awake: what is judged begins after that."""
    until = state.kept_awake_until
    return state if until is None or until <= now else replace(state, kept_awake_until=now)


def _is_under_way(state: State) -> bool:
    """False when it is blocked, too: asking again is then to try again, with what was given up forgotten."""
    return state.open_intent is not None and state.blocked is None
