"""On a schedule: find all workstations, judge those that run, warn their owners, and want what follows."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from autostop.app.daily_prices import DailyPrices
from autostop.app.daily_snapshots import DailySnapshots
from autostop.app.measure import Watched, measure, verdict_on, watch
from autostop.app.notices_due import is_quiet, of_running, refused_stop, standing, told_after, untold
from autostop.cost import BUILT_IN, Prices
from autostop.idle.cloudwatch_metrics import METRIC_DELAY
from autostop.idle.reading import Unknown
from autostop.idle.stop_plan import StopPlan, order_stop, plan_stop, take_back
from autostop.idle.sweep_record import SweepRecord
from autostop.idle.verdict import Verdict, VerdictKind
from autostop.model import Instance, WorkstationId
from autostop.notice import Notice, NoticeKind, Told, stops_soon
from autostop.ports import Asker, ConflictError, DamagedError, DeniedError, Metrics, TransientError
from autostop.settings import Policy, policy_for
from autostop.sleep import unsuitable
from autostop.sleep.delete_after import end_of_keeping
from autostop.sleep.found_outside import found_outside
from autostop.sleep.intent import Intent
from autostop.sleep.time_to_shelve import time_to_shelve
from autostop.state import Happened, Outline, State

if TYPE_CHECKING:
    from autostop.aws.channels import EventBridgeAnnouncer
    from autostop.aws.ec2 import Ec2Instances
    from autostop.aws.ledger import DynamoLedger
    from autostop.aws.queue import SqsQueue

# First states, and those that the version before wrote, are written by so many a sweep: each takes two calls, and
# somebody may adopt thousands at once.
_MOST_NEW = 50
# So many things are told a sweep beside the warnings: a state is written for each.
_MOST_TOLD = 100
# Of so many a sweep asks whether their stop would be refused, which takes two calls each.
_MOST_LOOKED_AT = 100
# Of so many the samples are held at once, which are 150 MB of 10,000. As CloudWatch answers: 500 metrics a call.
_MEASURED_AT_ONCE = 2_500
# Of the first record of a run: as many as fit into an item of the table, whatever the window.
_MOST_SAMPLES = 500


@dataclass(frozen=True, slots=True)
class Swept:
    """What a sweep saw and changed, in words, by workstation.

    told: what owners were told of; unheard: whose owners could not be told, and why.
    """

    verdicts: Mapping[WorkstationId, str]
    intents: Mapping[WorkstationId, str]
    skipped: Mapping[WorkstationId, str]
    told: Mapping[WorkstationId, str]
    unheard: Mapping[WorkstationId, str]

    def as_log(self) -> dict[str, dict[str, str]]:
        """The same as plain data."""
        return {name: {str(key): text for key, text in texts.items()} for name, texts in asdict(self).items()}


@dataclass(frozen=True, slots=True)
class _News:
    """What is known and stored of one, all that its owner must know of it, and how he wants to be told."""

    state: Outline
    notices: tuple[Notice, ...]
    policy: Policy


@dataclass(frozen=True, slots=True)
class Sweeper:
    """A sweep, with its ports."""

    instances: "Ec2Instances"
    snapshots: DailySnapshots
    metrics: Metrics
    asker: Asker
    ledger: "DynamoLedger"
    queue: "SqsQueue"
    announcer: "EventBridgeAnnouncer"
    defaults: Policy
    prices: DailyPrices | None = None

    def sweep(self, now: datetime) -> Swept:
        """Look at every workstation once. One that cannot be handled hides no other: it is in `skipped`, and why.

        What is known of all is read in a few calls. If the owner taps while the sweep judges, what it wants is given up
        and the next sweep judges anew.
        """
        states = self.ledger.states()
        skipped = dict(self.snapshots.look(states, now))
        watched, new, gone = self._watch_all(states, now)
        self._judge_all(watched, now)
        news = {each.id: _News(each.state, each.notices, each.policy) for each in watched.values()}
        news |= {each.workstation: self._news_of_gone(each, now) for each in gone}
        told, refused = self._tell(news, now)
        unheard = dict(refused)
        watched |= {key: _unwarned(watched[key]) for key in unheard if key in watched}
        records = [each.record for each in watched.values() if each.record is not None]
        if records:
            self.ledger.write_journal(records, now)
        intents = {}
        for key, each in news.items():
            holds = told_after(each.state, each.notices, told.get(key, ()), now)
            try:
                wanted = self._conclude(watched.get(key), each.state, holds, now, is_written=key in new)
            except ConflictError:
                skipped[key] = "its state was changed meanwhile"
            except DamagedError as error:
                skipped[key] = str(error)
                if not is_quiet(each.policy, now):
                    self._tell_of_damage(key, str(error), now, "at the end")
            except (TransientError, DeniedError) as error:
                skipped[key] = str(error)
                if isinstance(error, DeniedError):
                    # Nothing can be wanted of it, nor remembered: the function fails, and its alarm tells.
                    unheard[key] = str(error)
            else:
                if wanted:
                    intents[key] = wanted
        verdicts = {each.workstation: f"{each.verdict.kind}: {each.verdict.headline}" for each in records}
        texts = {key: "; ".join(notice.text for notice in notices) for key, notices in told.items()}
        return Swept(verdicts, intents, skipped, texts, unheard)

    def _news_of_gone(self, state: Outline, now: datetime) -> _News:
        return _News(state, tuple(standing(state, None, (), now, self.defaults.time_zone, BUILT_IN)), self.defaults)

    def _watch_all(
        self, states: Mapping[WorkstationId, Outline], now: datetime
    ) -> tuple[dict[WorkstationId, Watched], frozenset[WorkstationId], Sequence[Outline]]:
        """All workstations as they are known; those whose first state, or an older one, is to be written now.

        With them what is stored of those that EC2 does not list as ours, and that wait for something.
        """
        before = self.ledger.latest_sweep(now)
        instances = {each.workstation: each for each in self.instances.tagged()}
        new = [each for each in instances if each not in states]
        older = self.ledger.older_states(new) if new else {}
        known = {each: states.get(each) or older.get(each) or Outline(each) for each in instances}
        types = {each.type for each in instances.values()}
        prices = self.prices.look(types, now) if self.prices is not None and types else BUILT_IN
        watched = {key: self._watch(one, known[key], before.get(key), prices, now) for key, one in instances.items()}
        gone = [state for key, state in states.items() if key not in instances and (state.told or state.open_intent)]
        return watched, frozenset(new[:_MOST_NEW]), gone

    def _watch(
        self, instance: Instance, state: Outline, before: SweepRecord | None, prices: Prices, now: datetime
    ) -> Watched:
        policy, problems = policy_for(self.defaults, instance.tags)
        notices = tuple(standing(state, instance, problems, now, policy.time_zone, prices))
        return replace(watch(instance, policy, state, before), problems=problems, notices=notices, prices=prices)

    def _judge_all(self, watched: dict[WorkstationId, Watched], now: datetime) -> None:
        """Measure and judge those that run, in their places."""
        running, looked_at = [each.id for each in watched.values() if each.is_judged], 0
        for first in range(0, len(running), _MEASURED_AT_ONCE):
            for each in self._measured([watched[key] for key in running[first : first + _MEASURED_AT_ONCE]], now):
                judged = _judged(each, now)
                # Of more the reconciler finds out: at a stop-at of all of them there is no time to look at each.
                if (judged.plan.is_new or judged.plan.due) and looked_at < _MOST_LOOKED_AT:
                    looked_at += 1
                    judged = self._unless_refused(judged, now)
                watched[judged.id] = judged

    def _measured(self, running: Sequence[Watched], now: datetime) -> Sequence[Watched]:
        try:
            return measure(running, self.metrics, self.asker, now)
        except (TransientError, DeniedError) as error:
            # Nobody is stopped by what is not known; and why it is not known is told where that goes on.
            return [each.knowing(answer=Unknown(now, str(error))) for each in running]

    def _unless_refused(self, watched: Watched, now: datetime) -> Watched:
        """A stop that is known to be refused is told instead of announced, and is not asked for."""
        record = watched.record
        try:
            instance = self.instances.find(watched.instance.id)
        except (TransientError, DeniedError):
            # The reconciler meets the same, and says so.
            return watched
        why = unsuitable.why_never_stop(instance) if instance is not None else None
        if record is None or instance is None or why is None:
            return watched
        others = (each for each in watched.notices if each.kind is not NoticeKind.STOPS_SOON)
        notices = (*others, refused_stop(instance, record.verdict, why, now, watched.prices))
        record = replace(record, warned=None, stop_at=None, stop_cause=None)
        return replace(watched, plan=StopPlan(), notices=notices, record=record)

    def _tell(
        self, news: Mapping[WorkstationId, _News], now: datetime
    ) -> tuple[Mapping[WorkstationId, Sequence[Notice]], Mapping[WorkstationId, str]]:
        """Announce at once what is to be told; what was told of whom, and whose owner could not be told, and why."""
        due = [notice for each in news.values() for notice in untold(each.notices, each.state, each.policy, now)]
        # Warnings first: what is not told now is told by the next sweep, and a state is written for each.
        due.sort(key=lambda notice: notice.kind is not NoticeKind.STOPS_SOON)
        due = due[: _MOST_TOLD + sum(notice.kind is NoticeKind.STOPS_SOON for notice in due)]
        others = dict.fromkeys(notice.workstation for notice in due if notice.kind is not NoticeKind.STOPS_SOON)
        remembered = {each for each in others if self._remembers(each, now)}
        due = [each for each in due if each.kind is NoticeKind.STOPS_SOON or each.workstation in remembered]
        refused = self.announcer.announce(due) if due else {}
        told: dict[WorkstationId, list[Notice]] = {}
        for notice in due:
            if notice not in refused:
                told.setdefault(notice.workstation, []).append(notice)
        return told, {notice.workstation: why for notice, why in refused.items()}

    def _remembers(self, workstation: WorkstationId, now: datetime) -> bool:
        """False for a state that cannot be read: what is told of it would be told by each sweep."""
        try:
            self.ledger.load(workstation)
        except DamagedError as error:
            self._tell_of_damage(workstation, str(error), now, "before it is told")
            return False
        except (TransientError, DeniedError):
            return False
        return True

    def _tell_of_damage(self, workstation: WorkstationId, why: str, now: datetime, by: str) -> None:
        """Once a day: a damaged state cannot remember that it was told. by: which part of the sweep met it."""
        damage, holder = WorkstationId(f"damage of {workstation}"), f"{now.isoformat()} {by}"
        notice = Notice(NoticeKind.BLOCKED, workstation, workstation, now, why, cause=why)
        if self.ledger.take_lease(damage, holder, now, now + timedelta(days=1)) and self.announcer.announce([notice]):
            self.ledger.give_lease_back(damage, holder)

    def _conclude(
        self, watched: Watched | None, known: Outline, told: tuple[Told, ...], now: datetime, *, is_written: bool
    ) -> str | None:
        """Want what follows; the new intent in words, or None. is_written: its state is the first, or an older one.

        watched: None for what EC2 does not list as ours.
        """
        intent = _intent_after(watched, now) if watched is not None else None
        problems = watched.problems if watched is not None else known.problems
        if intent is not None:
            state = self.ledger.load(known.workstation)
            # What was judged by an older state than this waits for the next sweep.
            if state.version != known.version:
                raise ConflictError(known.workstation)
            return self._want(replace(state, problems=problems, told=told), intent, now)
        if is_written or (problems, told) != (known.problems, known.told):
            self._note(known.workstation, problems, told, is_written=is_written)
        due = known.look_at is None or known.look_at <= now
        house = known.housekeeping
        if (known.open_intent is not None and due) or (house is not None and house.due_at <= now):
            # Should every event and message have been lost, the sweep brings the reconciler back.
            self.queue.wake(known.workstation)
        return None

    def _note(
        self, workstation: WorkstationId, problems: tuple[str, ...], told: tuple[Told, ...], *, is_written: bool
    ) -> None:
        if is_written:
            self.ledger.save(replace(self.ledger.load(workstation), problems=problems, told=told))
        else:
            # What was unadopted meanwhile has no state any more.
            self.ledger.change(
                workstation, lambda state: replace(state, problems=problems, told=told) if state.version else state
            )

    def _want(self, state: State, intent: Intent, now: datetime) -> str:
        self.ledger.save(state.wanting(intent))
        said = f"{intent.wanted} is wanted: {intent.why}"
        self.ledger.record(state.workstation, Happened(now, intent.number, said, intent))
        self.queue.wake(state.workstation)
        return f"{intent.wanted}: {intent.why}"


def _intent_after(watched: Watched, now: datetime) -> Intent | None:
    """The new intent that follows; None when things stay as they are. Pure."""
    state = watched.state
    instance, policy, kept_awake_until = watched.instance, watched.policy, state.kept_awake_until
    known = (instance, state.intent, policy, kept_awake_until, now)
    wanted = (
        found_outside(instance, state.intent, kept_awake_until, now)
        or time_to_shelve(*known)
        or order_stop(watched.plan, *known)
        or end_of_keeping(instance, state.intent, policy, state.kept_since, now)
    )
    if wanted is None and state.intent is not None and state.hindered_since is not None and watched.record is not None:
        # Its next try may be an hour away, and would come without a warning.
        return take_back(watched.record.verdict, instance, state.intent, now)
    return wanted


def _judged(watched: Watched, now: datetime) -> Watched:
    """With what lies ahead, what the owner is to be told, and the record of it. Pure."""
    activity, before, policy = watched.activity, watched.before, watched.policy
    verdict, warned = verdict_on(watched, now), before.warned if before is not None else None
    kept_until, kept_from = activity.kept_awake_until, watched.state.kept_awake_from
    plan = plan_stop(verdict, policy, activity.begins_at, kept_until, warned, now, kept_from)
    if watched.is_being_stopped:
        # It was told before, or the owner asked for it.
        plan = StopPlan(warned=warned)
    notices = list(watched.notices)
    if plan.is_new and plan.warned is not None:
        notices.append(stops_soon(watched.instance, verdict, plan.warned, now, policy.time_zone))
    unknown_since = None
    if verdict.kind is VerdictKind.UNKNOWN:
        unknown_since = (before.unknown_since if before is not None else None) or now
    notices += of_running(watched.state, watched.instance, verdict, unknown_since, policy, now, watched.prices)
    record = replace(_record(watched, verdict, plan, now), unknown_since=unknown_since)
    # What was measured and what was recorded before have done their part, and need not be held any longer.
    watched = replace(watched.knowing(processor=(), network=None), before=None)
    return replace(watched, plan=plan, notices=tuple(notices), record=record)


def _unwarned(watched: Watched) -> Watched:
    """The workstation whose owner could not be told."""
    plan, record = watched.plan.untold(), watched.record
    if record is None or plan is watched.plan:
        return watched
    return replace(watched, plan=plan, record=replace(record, warned=None))


def _record(watched: Watched, verdict: Verdict, plan: StopPlan, now: datetime) -> SweepRecord:
    activity, before, asked = watched.activity, watched.before, watched.asked
    # A point may arrive late, so a little more is kept than what is new.
    lately = before.at - METRIC_DELAY - watched.policy.cpu_period if before is not None else activity.launched_at
    network = activity.network
    return SweepRecord(
        workstation=watched.id,
        at=now,
        launched_at=activity.launched_at,
        verdict=verdict,
        processor=tuple(each for each in activity.processor if each.at >= lately)[-_MOST_SAMPLES:],
        network=None if network is None else tuple(each for each in network if each.at >= lately)[-_MOST_SAMPLES:],
        answer=activity.answer,
        asked_command=asked.command if asked is not None else "",
        asked_at=asked.at if asked is not None else None,
        history=activity.history,
        worked_at=verdict.worked_at or activity.worked_at,
        kept_awake_from=watched.state.kept_awake_from,
        kept_awake_until=activity.kept_awake_until,
        started_at=activity.started_at,
        warned=plan.warned,
        stop_at=plan.stop_at,
        stop_cause=plan.cause,
    )
