"""Look at running workstations: measure, ask, and judge, many at once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from autostop.idle.history import History, follow
from autostop.idle.reading import Reading, Unread
from autostop.idle.record import SweepRecord
from autostop.idle.signs import METRIC_DELAY, Activity, Sample, Traffic
from autostop.idle.verdict import Verdict, assess
from autostop.model import Instance, WorkstationId
from autostop.ports import Asked, Asker, Metrics
from autostop.settings import Policy, Probe
from autostop.sleep.intent import By, Intent, Wanted

# A question whose answer has not come after this long is asked again.
_ANSWER_COMES_WITHIN = timedelta(minutes=3)
# Of the first record: as many as fit into an item of the table, whatever the window.
_MOST_SAMPLES = 500
# Enough beyond the window to tell when the last work was.
_LOOK_BACK = timedelta(minutes=30)


@dataclass(frozen=True, slots=True)
class Heard:
    """What a workstation answered so far: the newest answer, the history of all, and the question under way.

    worked_at: the last work that any look saw since the launch.
    """

    answer: Reading | Unread | None = None
    history: History | None = None
    asked: Asked | None = None
    worked_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Subject:
    """One running workstation to look at. intent: the present one."""

    instance: Instance
    policy: Policy
    intent: Intent | None
    kept_awake_until: datetime | None
    heard: Heard
    kept_awake_from: datetime | None = None

    @property
    def started_at(self) -> datetime | None:
        """When its owner last asked for it to run, if nothing else was asked for since."""
        intent = self.intent
        return intent.at if intent and intent.wanted is Wanted.RUN and intent.by is By.OWNER else None


@dataclass(frozen=True, slots=True)
class Looked:
    """One running workstation with everything that was measured of it, and the verdict on it."""

    subject: Subject
    activity: Activity
    verdict: Verdict


def remembered(seen: SweepRecord | None, instance: Instance) -> Heard:
    """What the sweep before heard, unless the instance was started since."""
    if seen is None or seen.launched_at != instance.launched_at:
        return Heard()
    asked = Asked(seen.asked_command, seen.asked_at) if seen.asked_at is not None else None
    return Heard(seen.answer, seen.history, asked, seen.worked_at)


def look(subjects: Sequence[Subject], metrics: Metrics, asker: Asker, now: datetime) -> list[Looked]:
    """Judge running workstations. Those whose processor is quiet are asked, and their network is measured too."""
    samples = _processor(subjects, metrics, now)
    quiet, looked = [], []
    for subject in subjects:
        if _is_quiet(subject, samples[subject.instance.id]):
            quiet.append(subject)
        else:
            looked.append(_judged(_at_work(subject), samples[subject.instance.id], None, now))
    traffic = _network(quiet, metrics, now)
    for subject in consult(quiet, asker, now):
        workstation = subject.instance.id
        looked.append(_judged(subject, samples[workstation], traffic.get(workstation), now))
    return looked


def _at_work(subject: Subject) -> Subject:
    """What is under way is of no use any more; what is used until the next answer, the processor tells."""
    history = subject.heard.history
    history = replace(history, interrupted=True) if history is not None else None
    return replace(subject, heard=replace(subject.heard, asked=None, history=history))


def judge(subject: Subject, metrics: Metrics, now: datetime) -> Verdict:
    """Judge one running workstation by fresh metrics and what it answered already."""
    workstation = subject.instance.id
    samples = _processor([subject], metrics, now)[workstation]
    return _judged(subject, samples, _network([subject], metrics, now).get(workstation), now).verdict


def consult(subjects: Sequence[Subject], asker: Asker, now: datetime) -> list[Subject]:
    """Collect the answers to earlier questions, and ask anew; the subjects with what is known now."""
    asks = [subject for subject in subjects if subject.policy.probe is not Probe.NONE]
    under_way = {each.instance.id: each.heard.asked for each in asks if each.heard.asked is not None}
    answers: dict[WorkstationId, Reading | Unread | Asked] = dict(asker.collect(under_way, now)) if under_way else {}
    asks = [_with(each, answers.get(each.instance.id)) for each in asks]
    to_ask = [(each.instance, each.policy) for each in asks if not _still_under_way(each.heard.asked, now)]
    answers = dict(asker.ask(to_ask, now)) if to_ask else {}
    heard = {each.instance.id: _with(each, answers.get(each.instance.id)) for each in asks}
    return [heard.get(each.instance.id, each) for each in subjects]


def _with(subject: Subject, answer: Reading | Unread | Asked | None) -> Subject:
    heard = subject.heard
    match answer:
        case None:
            return subject
        case Asked():
            return replace(subject, heard=replace(heard, asked=answer))
        case Unread():
            return replace(subject, heard=replace(heard, answer=answer, asked=None))
        case Reading():
            history = follow(heard.history, answer, subject.policy)
            return replace(subject, heard=replace(heard, answer=answer, history=history, asked=None))


def _still_under_way(asked: Asked | None, now: datetime) -> bool:
    return asked is not None and now - asked.at < _ANSWER_COMES_WITHIN


def _is_quiet(subject: Subject, samples: Sequence[Sample]) -> bool:
    """True when the processor is quiet now: what the workstation says may then be the only sign of work."""
    judged_at_all = subject.policy.idle_after is not None
    return judged_at_all and (not samples or samples[-1].cores <= subject.policy.cpu_cores)


def _processor(
    subjects: Sequence[Subject], metrics: Metrics, now: datetime
) -> Mapping[WorkstationId, Sequence[Sample]]:
    """Processor samples of all, in as few calls as their periods allow: workstations share a period as a rule."""
    samples: dict[WorkstationId, Sequence[Sample]] = {}
    for period, group in _by_period(subjects).items():
        instances = [each.instance for each in group]
        samples.update(metrics.processor(instances, _since(group, now), period, now))
    return {subject.instance.id: samples.get(subject.instance.id, ()) for subject in subjects}


def _network(subjects: Sequence[Subject], metrics: Metrics, now: datetime) -> Mapping[WorkstationId, Sequence[Traffic]]:
    """Network samples of those whose owner wants the network to count."""
    traffic: dict[WorkstationId, Sequence[Traffic]] = {}
    for period, group in _by_period([each for each in subjects if each.policy.network_rate is not None]).items():
        measured = metrics.network([each.instance for each in group], _since(group, now), period, now)
        traffic.update({each.instance.id: measured.get(each.instance.id, ()) for each in group})
    return traffic


def _by_period(subjects: Sequence[Subject]) -> Mapping[timedelta, Sequence[Subject]]:
    groups: dict[timedelta, list[Subject]] = {}
    for subject in subjects:
        groups.setdefault(subject.policy.cpu_period, []).append(subject)
    return groups


def _since(group: Sequence[Subject], now: datetime) -> Mapping[WorkstationId, datetime]:
    return {each.instance.id: max(each.instance.launched_at, now - _reach(each.policy)) for each in group}


def _reach(policy: Policy) -> timedelta:
    return 2 * (policy.idle_after or timedelta(0)) + policy.weak_signals + _LOOK_BACK


def _judged(subject: Subject, samples: Sequence[Sample], traffic: Sequence[Traffic] | None, now: datetime) -> Looked:
    answer = subject.heard.answer
    if subject.policy.probe is Probe.NONE:
        answer = None
    elif answer is None:
        answer = Unread(now, "it was asked; its answer is read at the next look")
    activity = Activity(
        subject.instance.launched_at,
        samples,
        answer,
        traffic,
        subject.heard.history,
        subject.kept_awake_until,
        subject.started_at,
        subject.heard.worked_at,
    )
    return Looked(subject, activity, assess(activity, subject.policy, now))


def recorded(looked: Looked, before: SweepRecord | None, now: datetime) -> SweepRecord:
    """The journal's record of a look, without what lies ahead."""
    subject, activity = looked.subject, looked.activity
    # A point may arrive late, so a little more is kept than what is new.
    lately = before.at - METRIC_DELAY - subject.policy.cpu_period if before is not None else activity.launched_at
    asked = subject.heard.asked
    return SweepRecord(
        workstation=subject.instance.id,
        at=now,
        launched_at=activity.launched_at,
        verdict=looked.verdict,
        processor=tuple(each for each in activity.processor if each.at >= lately)[-_MOST_SAMPLES:],
        network=None if activity.network is None else _lately(activity.network, lately),
        answer=subject.heard.answer,
        asked_command=asked.command if asked is not None else "",
        asked_at=asked.at if asked is not None else None,
        history=subject.heard.history,
        worked_at=looked.verdict.worked_at or activity.worked_at,
        kept_awake_until=activity.kept_awake_until,
        started_at=activity.started_at,
        kept_awake_from=subject.kept_awake_from,
    )


def _lately(network: Sequence[Traffic], since: datetime) -> tuple[Traffic, ...]:
    return tuple(each for each in network if each.at >= since)[-_MOST_SAMPLES:]
