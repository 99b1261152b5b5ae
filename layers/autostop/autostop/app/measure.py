"""Measure running workstations and ask them, many at once; judge them by it, and look once more right before a stop."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from autostop.cost import BUILT_IN, Prices
from autostop.idle.between_answers import follow
from autostop.idle.burstable import fitting
from autostop.idle.last_look import LastLook, last_look
from autostop.idle.measured import Activity, Sample, Traffic
from autostop.idle.reading import Reading, Unknown
from autostop.idle.signs_of_answer import ANSWER_COMES_WITHIN
from autostop.idle.stop_plan import StopPlan
from autostop.idle.sweep_record import SweepRecord
from autostop.idle.verdict import Verdict, assess
from autostop.model import Instance, InstanceState, WorkstationId
from autostop.notice import Notice
from autostop.ports import Asker, Metrics
from autostop.settings import Policy, Probe
from autostop.sleep.intent import By, Wanted
from autostop.state import Asked, Outline, State

if TYPE_CHECKING:
    from autostop.aws.ledger import DynamoLedger

# Enough beyond the window to tell when the last work was.
_LOOK_BACK = timedelta(minutes=30)
# How old a record may be to remember answers by right before a stop.
_REMEMBERED_FOR = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Watched:
    """One workstation on its way through a sweep, with all that is known of it so far.

    state: what is stored of it. activity: what was measured and answered; asked: the question that is under way.
    before: what the sweep before recorded of the same run. problems: of its settings, in words. plan: the stop ahead.
    notices: all that its owner must know now, told before or not. record: what this sweep keeps of it; None for what is
    not judged. prices: of this Region.
    """

    instance: Instance
    policy: Policy
    state: Outline
    activity: Activity
    asked: Asked | None = None
    before: SweepRecord | None = None
    problems: tuple[str, ...] = ()
    plan: StopPlan = field(default_factory=StopPlan)
    notices: tuple[Notice, ...] = ()
    record: SweepRecord | None = None
    prices: Prices = BUILT_IN

    @property
    def id(self) -> WorkstationId:
        return self.instance.workstation

    @property
    def may_be_asked(self) -> bool:
        """Whether its owner lets Autostop ask it."""
        return self.policy.probe is not Probe.NONE

    @property
    def is_judged(self) -> bool:
        """What runs is judged, whatever intent is not reached yet: only that it is stopped twice is ruled out."""
        return self.instance.state is InstanceState.RUNNING

    @property
    def is_being_stopped(self) -> bool:
        """A stop is asked for already, and is the reconciler's business."""
        intent = self.state.open_intent
        return intent is not None and intent.wanted is not Wanted.RUN

    def knowing(self, **activity: Any) -> "Watched":
        """The same with more known of its activity."""
        return replace(self, activity=replace(self.activity, **activity))


def watch(instance: Instance, policy: Policy, state: Outline, before: SweepRecord | None = None) -> Watched:
    """What is known of a workstation before it is measured. before: its newest record, if any."""
    policy = fitting(policy, instance.type)
    intent = state.intent
    activity = Activity(
        instance.launched_at,
        (),
        None,
        kept_awake_until=state.kept_awake_until,
        started_at=intent.at if intent and intent.wanted is Wanted.RUN and intent.by is By.OWNER else None,
        worked_at=state.worked_at if state.worked_at and state.worked_at > instance.launched_at else None,
    )
    if before is None or before.launched_at != instance.launched_at:
        return Watched(instance, policy, state, activity)
    worked = [at for at in (activity.worked_at, before.worked_at) if at is not None]
    activity = replace(activity, answer=before.answer, history=before.history, worked_at=max(worked, default=None))
    asked = Asked(before.asked_command, before.asked_at) if before.asked_at is not None else None
    return Watched(instance, policy, state, activity, asked, before)


def measure(watched: Sequence[Watched], metrics: Metrics, asker: Asker, now: datetime) -> list[Watched]:
    """Measure running workstations. Those whose processor is quiet are asked, and their network is measured too."""
    watched = _with_processor(watched, metrics, now)
    at_work = [_interrupted(each) for each in watched if not _is_quiet(each)]
    quiet = _with_network([each for each in watched if _is_quiet(each)], metrics, now)
    return [*at_work, *ask(quiet, asker, now)]


def verdict_on(watched: Watched, now: datetime) -> Verdict:
    """The verdict on what was measured. Pure."""
    activity = watched.activity
    if not watched.may_be_asked:
        activity = replace(activity, answer=None)
    elif activity.answer is None:
        activity = replace(activity, answer=Unknown(now, "it was asked; its answer is read at the next look"))
    return assess(activity, watched.policy, now)


def ask(watched: Sequence[Watched], asker: Asker, now: datetime) -> list[Watched]:
    """Collect the answers to earlier questions, and ask those of which none is under way."""
    under_way = {each.id: each.asked for each in watched if each.may_be_asked and each.asked is not None}
    collected = asker.collect(under_way, now) if under_way else {}
    watched = [_with_answer(each, collected.get(each.id)) for each in watched]
    to_ask = [(each.instance, each.policy) for each in watched if each.may_be_asked and not _is_under_way(each, now)]
    answers = asker.ask(to_ask, now) if to_ask else {}
    return [_with_answer(each, answers.get(each.id)) for each in watched]


def at_hand(state: State, instance: Instance, policy: Policy) -> Watched:
    """A workstation as the reconciler knows it: by the answers to its own questions."""
    return replace(watch(instance, policy, state).knowing(answer=state.answer), asked=state.asked)


def look_before_stop(
    state: State, instance: Instance, policy: Policy, wanted_at: datetime, ledger: "DynamoLedger", metrics: Metrics,
    asker: Asker, now: datetime,
) -> tuple[LastLook, State, Verdict | None]:  # fmt: skip
    """What comes next right before a stop for idleness that was wanted at `wanted_at`.

    With it the state with what was asked and answered, and the verdict on which it rests, if it came to that.
    """
    watched = at_hand(state, instance, policy)
    calls_for = partial(last_look, may_ask=watched.may_be_asked, wanted_at=wanted_at, now=now)
    look = calls_for(watched.activity.answer, None, has_asked=False)
    if look is LastLook.ASK:
        [watched] = ask([watched], asker, now)
        look = calls_for(watched.activity.answer, None, has_asked=True)
    heard, verdict = state.hearing(watched.activity.answer, watched.asked), None
    if look is LastLook.MEASURE:
        remembered = _remembering(watched, ledger, now)
        [measured] = _with_network(_with_processor([remembered], metrics, now), metrics, now)
        verdict = verdict_on(measured, now)
        look = calls_for(heard.answer, verdict, has_asked=True)
    return look, heard, verdict


def _remembering(watched: Watched, ledger: "DynamoLedger", now: datetime) -> Watched:
    """With what sweeps heard up to now, the answer at hand added."""
    # Not only of the newest sweep: that leaves out what is being stopped.
    records = ledger.sweep_records(watched.id, now - _REMEMBERED_FOR, now)
    before = watch(watched.instance, watched.policy, watched.state, records[-1] if records else None)
    return _with_answer(before, watched.activity.answer)


def _with_answer(watched: Watched, answer: Reading | Unknown | Asked | None) -> Watched:
    match answer:
        case None:
            return watched
        case Asked():
            return replace(watched, asked=answer)
        case Unknown():
            return replace(watched.knowing(answer=answer), asked=None)
        case Reading():
            history = follow(watched.activity.history, answer, watched.policy)
            return replace(watched.knowing(answer=answer, history=history), asked=None)


def _is_under_way(watched: Watched, now: datetime) -> bool:
    return watched.asked is not None and now - watched.asked.at < ANSWER_COMES_WITHIN


def _is_quiet(watched: Watched) -> bool:
    """True when the processor is quiet now: what the workstation says may then be the only sign of work."""
    samples, policy = watched.activity.processor, watched.policy
    return policy.idle_after is not None and (not samples or samples[-1].cores <= policy.cpu_cores)


def _interrupted(watched: Watched) -> Watched:
    """What is under way is of no use any more; what is used until the next answer, the processor tells."""
    history = watched.activity.history
    history = replace(history, interrupted=True) if history is not None else None
    return replace(watched.knowing(history=history), asked=None)


def _with_processor(watched: Sequence[Watched], metrics: Metrics, now: datetime) -> list[Watched]:
    """Processor samples of all, in as few calls as their periods allow: workstations share a period as a rule."""
    samples: dict[WorkstationId, Sequence[Sample]] = {}
    for period, group in _by_period(watched).items():
        samples.update(metrics.processor([each.instance for each in group], _since(group, now), period, now))
    return [each.knowing(processor=samples.get(each.id, ())) for each in watched]


def _with_network(watched: Sequence[Watched], metrics: Metrics, now: datetime) -> list[Watched]:
    """Network samples of those whose owner wants the network to count."""
    traffic: dict[WorkstationId, Sequence[Traffic]] = {}
    counted = [each for each in watched if each.policy.network_rate is not None]
    for period, group in _by_period(counted).items():
        measured = metrics.network([each.instance for each in group], _since(group, now), period, now)
        traffic.update({each.id: measured.get(each.id, ()) for each in group})
    return [each.knowing(network=traffic.get(each.id)) for each in watched]


def _by_period(watched: Sequence[Watched]) -> Mapping[timedelta, Sequence[Watched]]:
    groups: dict[timedelta, list[Watched]] = {}
    for each in watched:
        groups.setdefault(each.policy.cpu_period, []).append(each)
    return groups


def _since(group: Sequence[Watched], now: datetime) -> Mapping[WorkstationId, datetime]:
    return {each.id: max(each.instance.launched_at, now - _reach(each.policy)) for each in group}


def _reach(policy: Policy) -> timedelta:
    longest = max((policy.idle_after or timedelta(0)) + policy.weak_signals, policy.doubt_for)
    return (policy.idle_after or timedelta(0)) + longest + _LOOK_BACK
