"""Look at running workstations: measure, ask, and judge, many at once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from autostop.domain.idle import Activity, Sample, Verdict, VerdictKind, assess
from autostop.domain.intent import By, Wanted
from autostop.domain.reading import Reading, Unread
from autostop.domain.settings import Policy, Probe
from autostop.domain.workstation import Instance, WorkstationId
from autostop.ports import Asked, Asker, Metrics, State

# A question whose answer has not come after this long is asked again.
_ANSWER_COMES_WITHIN = timedelta(minutes=3)
# Enough beyond the window to tell when the last work was.
_LOOK_BACK = timedelta(minutes=30)


@dataclass(frozen=True, slots=True)
class Looked:
    """One running workstation with its policy and state, and the verdict on it."""

    instance: Instance
    policy: Policy
    state: State
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Subject:
    """One running workstation to look at."""

    instance: Instance
    policy: Policy
    state: State


def look(subjects: Sequence[Subject], metrics: Metrics, asker: Asker, now: datetime) -> list[Looked]:
    """Judge running workstations. Only those whose processor is quiet are asked about Jupyter."""
    samples = _measure(subjects, metrics, now)
    quiet = []
    looked = []
    for subject in subjects:
        verdict = _judge(subject, samples[subject.instance.id], _nobody_asked(subject, now), now)
        # With nothing said about Jupyter, active can only come from the processor, the clock or the owner.
        if verdict.kind is VerdictKind.ACTIVE and not _worth_asking(subject, samples[subject.instance.id]):
            looked.append(Looked(subject.instance, subject.policy, subject.state, verdict))
        else:
            quiet.append(subject)
    for subject in consult(quiet, asker, now):
        verdict = _judge(subject, samples[subject.instance.id], subject.state.answer, now)
        looked.append(Looked(subject.instance, subject.policy, subject.state, verdict))
    return looked


def judge(subject: Subject, metrics: Metrics, now: datetime) -> Verdict:
    """Judge one running workstation by fresh metrics and the answer that its state holds."""
    samples = _measure([subject], metrics, now)[subject.instance.id]
    return _judge(subject, samples, subject.state.answer, now)


def consult(subjects: Sequence[Subject], asker: Asker, now: datetime) -> list[Subject]:
    """Collect the answers to earlier questions, and ask anew; the subjects with what is known now."""
    asks = [subject for subject in subjects if subject.policy.probe is not Probe.NONE]
    under_way = {each.instance.id: each.state.asked for each in asks if each.state.asked is not None}
    answers: dict[WorkstationId, Reading | Unread | Asked] = dict(asker.collect(under_way, now)) if under_way else {}
    states = {each.instance.id: _with(each.state, answers.get(each.instance.id)) for each in subjects}
    to_ask = [each for each in asks if not _still_under_way(states[each.instance.id].asked, now)]
    answers = dict(asker.ask([(each.instance, each.policy) for each in to_ask], now)) if to_ask else {}
    states = {workstation: _with(state, answers.get(workstation)) for workstation, state in states.items()}
    return [replace(each, state=states[each.instance.id]) for each in subjects]


def _with(state: State, answer: Reading | Unread | Asked | None) -> State:
    if answer is None:
        return state
    return replace(state, asked=answer) if isinstance(answer, Asked) else state.answered(answer)


def _still_under_way(asked: Asked | None, now: datetime) -> bool:
    return asked is not None and now - asked.at < _ANSWER_COMES_WITHIN


def _measure(subjects: Sequence[Subject], metrics: Metrics, now: datetime) -> Mapping[WorkstationId, Sequence[Sample]]:
    """Processor samples of all, in as few calls as their periods allow: workstations share a period as a rule."""
    samples: dict[WorkstationId, Sequence[Sample]] = {}
    for period in {subject.policy.cpu_period for subject in subjects}:
        group = [subject for subject in subjects if subject.policy.cpu_period == period]
        since = {
            each.instance.id: max(
                each.instance.launched_at, now - 2 * (each.policy.idle_after or timedelta(0)) - _LOOK_BACK
            )
            for each in group
        }
        samples.update(metrics.processor([each.instance for each in group], since, period, now))
    return {subject.instance.id: samples.get(subject.instance.id, ()) for subject in subjects}


def _worth_asking(subject: Subject, samples: Sequence[Sample]) -> bool:
    """True when the processor is quiet now: what Jupyter says may then be the only sign of work."""
    now_quiet = not samples or samples[-1].cores <= subject.policy.cpu_cores
    return now_quiet and subject.policy.probe is not Probe.NONE


def _nobody_asked(subject: Subject, now: datetime) -> Unread | None:
    return None if subject.policy.probe is Probe.NONE else Unread(now, "it was not asked yet")


def _judge(subject: Subject, samples: Sequence[Sample], answer: Reading | Unread | None, now: datetime) -> Verdict:
    if subject.policy.probe is Probe.NONE:
        answer = None
    elif answer is None:
        answer = Unread(now, "it was asked; its answer is read at the next look")
    intent = subject.state.intent
    started_at = intent.at if intent and intent.wanted is Wanted.RUN and intent.by is By.OWNER else None
    activity = Activity(subject.instance.launched_at, samples, answer, subject.state.kept_awake_until, started_at)
    return assess(activity, subject.policy, now)
