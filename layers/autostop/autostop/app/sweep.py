"""On a schedule: find all workstations, judge those that run, warn their owners, and want what follows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from autostop.app.measure import Looked, Subject, look, recorded, remembered
from autostop.idle.record import SweepRecord
from autostop.idle.stop import StopPlan, plan_stop
from autostop.idle.verdict import VerdictKind
from autostop.model import Instance, InstanceState, WorkstationId
from autostop.notice import Notice, NoticeKind, stops_soon, unknown_for_long
from autostop.ports import (
    Announcer,
    Asker,
    Brief,
    ConflictError,
    DeniedError,
    Happened,
    Instances,
    Ledger,
    Metrics,
    Queue,
    State,
    TransientError,
    briefly,
)
from autostop.settings import Policy, policy_for
from autostop.sleep.intent import By, Intent, Wanted, reconsider

# States that the index does not know, of workstations that were adopted just now, are written by so many a sweep: each
# takes two calls, and somebody may adopt thousands at once.
_MOST_FRESH = 50
_TURNED_BACK_LATELY = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Swept:
    """What a sweep saw and changed, in words, by workstation. told: what owners were told of."""

    verdicts: Mapping[WorkstationId, str]
    intents: Mapping[WorkstationId, str]
    skipped: Mapping[WorkstationId, str]
    told: Mapping[WorkstationId, str]

    def as_log(self) -> dict[str, dict[str, str]]:
        """The same as plain data."""
        told = {
            "verdicts": self.verdicts,
            "intents": self.intents,
            "skipped": self.skipped,
            "told": self.told,
        }
        return {name: {str(key): value for key, value in each.items()} for name, each in told.items()}


@dataclass(frozen=True, slots=True)
class _Found:
    """One workstation that was found. brief: None when the index does not know it; before: of the sweep before."""

    instance: Instance
    policy: Policy
    problems: tuple[str, ...]
    brief: Brief | None
    before: SweepRecord | None

    @property
    def intent(self) -> Intent | None:
        return self.brief.intent if self.brief is not None else None

    @property
    def kept_awake_until(self) -> datetime | None:
        return self.brief.kept_awake_until if self.brief is not None else None

    @property
    def is_judged(self) -> bool:
        """An intent that is not reached yet belongs to the reconciler; nobody judges meanwhile."""
        running = self.instance.state is InstanceState.RUNNING
        return running and (self.intent is None or self.intent.settled)

    def subject(self) -> Subject:
        heard = remembered(self.before, self.instance)
        if self.brief is not None:
            moments = [at for at in (heard.worked_at, self.brief.worked_at) if at and at > self.instance.launched_at]
            heard = replace(heard, worked_at=max(moments, default=None))
        promised_at = self.brief.kept_awake_from if self.brief is not None else None
        return Subject(self.instance, self.policy, self.intent, self.kept_awake_until, heard, promised_at)


@dataclass(frozen=True, slots=True)
class _Judged:
    """What was seen of one workstation, what lies ahead of it, and what its owner is to be told."""

    seen: SweepRecord
    plan: StopPlan
    notices: tuple[Notice, ...]


@dataclass(frozen=True, slots=True)
class Sweeper:
    """Everything that a sweep works with."""

    instances: Instances
    metrics: Metrics
    asker: Asker
    ledger: Ledger
    queue: Queue
    announcer: Announcer
    defaults: Policy

    def sweep(self, now: datetime) -> Swept:
        """Look at every workstation once. One that cannot be handled hides no other: it is in `skipped`, and why.

        Which ones need a closer look is told by an index and by the journal, in a few calls for all; whatever is
        changed rests on the state itself, read anew. If the owner taps meanwhile, the write is refused and the next
        sweep judges anew.
        """
        briefs, before = self.ledger.overview(), self.ledger.latest_sweep(now)
        found = [self._found(each, briefs.get(each.id), before.get(each.id), now) for each in self.instances.tagged()]
        subjects = {each.instance.id: each.subject() for each in found if each.is_judged}
        looks = look(tuple(subjects.values()), self.metrics, self.asker, now) if subjects else []
        memory = {each.instance.id: each.before for each in found}
        judged = {each.subject.instance.id: _judge(each, memory[each.subject.instance.id], now) for each in looks}
        refused = self._tell(judged)
        judged = {key: _untold(each) if key in refused else each for key, each in judged.items()}
        if judged:
            self.ledger.write_journal([each.seen for each in judged.values()], now)
        intents, skipped = {}, {key: f"its owner could not be told: {why}" for key, why in refused.items()}
        fresh = {each.instance.id for each in [each for each in found if each.brief is None][:_MOST_FRESH]}
        for each in found:
            workstation = each.instance.id
            try:
                wanted = self._conclude(each, judged.get(workstation), now, is_written=workstation in fresh)
            except ConflictError:
                skipped[workstation] = "its state was changed meanwhile"
            except (TransientError, DeniedError) as error:
                skipped[workstation] = str(error)
            else:
                if wanted:
                    intents[workstation] = wanted
        return Swept(
            {key: f"{each.seen.verdict.kind}: {each.seen.verdict.headline}" for key, each in judged.items()},
            intents,
            skipped,
            {key: "; ".join(notice.text for notice in each.notices) for key, each in judged.items() if each.notices},
        )

    def _found(self, instance: Instance, brief: Brief | None, before: SweepRecord | None, now: datetime) -> _Found:
        policy, problems = policy_for(self.defaults, instance.tags)
        if before is None and brief is not None and _turned_back(brief, now):
            # While it was being stopped no sweep judged it; what it was told before still holds.
            records = self.ledger.seen(instance.id, now - _TURNED_BACK_LATELY, now)
            before = records[-1] if records else None
        same_run = before is not None and before.launched_at == instance.launched_at
        return _Found(instance, policy, problems, brief, before if same_run else None)

    def _tell(self, judged: Mapping[WorkstationId, _Judged]) -> Mapping[WorkstationId, str]:
        """Announce all notices at once; of whom the owner could not be told, and why."""
        notices = [notice for each in judged.values() for notice in each.notices]
        refused = self.announcer.announce(notices) if notices else {}
        return {notice.workstation: why for notice, why in refused.items()}

    def _conclude(self, found: _Found, judged: _Judged | None, now: datetime, *, is_written: bool) -> str | None:
        """Want what follows; the new intent in words, or None. is_written: the state is new to the index."""
        plan = judged.plan if judged is not None else None
        brief, instance = found.brief, found.instance
        told = brief.problems if brief is not None else briefly(found.problems)
        if is_written or told != briefly(found.problems) or self._follows(found, brief, plan, now):
            state = self.ledger.load(instance.id)
            known = replace(state, problems=found.problems)
            # The index lags: what was judged by an older state than this waits for the next sweep.
            if state.version != (brief.version if brief is not None else 0):
                plan = None
            intent = self._follows(found, known, plan, now)
            if intent is not None:
                return self._want(known, intent, now)
            if is_written or known != state:
                self.ledger.save(known)
        if found.intent is not None and not found.intent.settled:
            # Should every event and message have been lost, the sweep brings the reconciler back.
            self.queue.wake(instance.id)
        return None

    def _want(self, state: State, intent: Intent, now: datetime) -> str:
        self.ledger.save(state.wanting(intent))
        said = f"{intent.wanted} is wanted: {intent.why}"
        self.ledger.record(state.workstation, Happened(now, intent.number, said))
        self.queue.wake(state.workstation)
        return f"{intent.wanted}: {intent.why}"

    def _follows(
        self, found: _Found, known: State | Brief | None, plan: StopPlan | None, now: datetime
    ) -> Intent | None:
        stop = None
        if plan is not None and plan.due:
            stop = (By.IDLE if plan.cause is By.IDLE else By.LIMIT, plan.why)
        intent, kept_awake_until = (known.intent, known.kept_awake_until) if known is not None else (None, None)
        return reconsider(found.instance, intent, stop, found.policy, kept_awake_until, now)


def _judge(looked: Looked, before: SweepRecord | None, now: datetime) -> _Judged:
    """What lies ahead, and what the owner is to be told. Pure."""
    subject, activity, verdict = looked.subject, looked.activity, looked.verdict
    warned = before.warned if before is not None else None
    until, made_at = activity.kept_awake_until, subject.kept_awake_from
    plan = plan_stop(verdict, subject.policy, activity.begins_at, until, warned, now, made_at)
    seen = recorded(looked, before, now)
    seen = replace(seen, warned=plan.warned, stop_at=plan.stop_at, stop_cause=plan.cause)
    notices: Sequence[Notice] = ()
    if plan.is_new and plan.warned is not None:
        notices = [stops_soon(subject.instance, verdict, plan.warned, now)]
    if verdict.kind is VerdictKind.UNKNOWN:
        since = (before.unknown_since if before is not None else None) or now
        told = before is not None and before.told_unknown and before.unknown_since is not None
        limit = subject.policy.report_unknown_after
        long_enough = limit is not None and now - since >= limit
        if long_enough and not told:
            notices = [*notices, unknown_for_long(subject.instance, verdict, since, now)]
        seen = replace(seen, unknown_since=since, told_unknown=told or long_enough)
    return _Judged(seen, plan, tuple(notices))


def _turned_back(brief: Brief, now: datetime) -> bool:
    intent = brief.intent
    if intent is None or intent.wanted is not Wanted.RUN or intent.by not in (By.FOUND, By.PROMISE):
        return False
    return intent.settled and now - intent.at < _TURNED_BACK_LATELY


def _untold(judged: _Judged) -> _Judged:
    if not judged.notices:
        return judged
    plan = replace(judged.plan, warned=None, due=False) if judged.plan.is_new else judged.plan
    tried = any(notice.kind is NoticeKind.UNKNOWN_FOR_LONG for notice in judged.notices)
    told_unknown = judged.seen.told_unknown and not tried
    return _Judged(replace(judged.seen, warned=plan.warned, told_unknown=told_unknown), plan, ())
