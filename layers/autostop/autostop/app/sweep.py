"""On a schedule: find all workstations, judge those that run, warn their owners, and want what follows."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from autostop.app.measure import Watched, measure, verdict_on, watch
from autostop.idle.record import SweepRecord
from autostop.idle.signs import METRIC_DELAY
from autostop.idle.stop import StopPlan, order_stop, plan_stop
from autostop.idle.verdict import Verdict, VerdictKind
from autostop.model import Instance, WorkstationId
from autostop.notice import NoticeKind, stops_soon, unknown_for_long
from autostop.ports import Asker, ConflictError, DeniedError, Happened, Metrics, Outline, State, TransientError
from autostop.settings import Policy, policy_for
from autostop.sleep.intent import By, Intent, Wanted, reconsider

if TYPE_CHECKING:
    from autostop.aws.ec2 import Ec2Instances
    from autostop.aws.queue import SqsQueue
    from autostop.aws.table import DynamoLedger
    from autostop.aws.tell import EventBridgeAnnouncer

# First states, and those that the version before wrote, are written by so many a sweep: each takes two calls, and
# somebody may adopt thousands at once.
_MOST_NEW = 50
_TURNED_BACK_LATELY = timedelta(hours=1)
# Of the first record of a run: as many as fit into an item of the table, whatever the window.
_MOST_SAMPLES = 500


@dataclass(frozen=True, slots=True)
class Swept:
    """What a sweep saw and changed, in words, by workstation. told: what owners were told of."""

    verdicts: Mapping[WorkstationId, str]
    intents: Mapping[WorkstationId, str]
    skipped: Mapping[WorkstationId, str]
    told: Mapping[WorkstationId, str]

    def as_log(self) -> dict[str, dict[str, str]]:
        """The same as plain data."""
        return {name: {str(key): text for key, text in texts.items()} for name, texts in asdict(self).items()}


@dataclass(frozen=True, slots=True)
class Sweeper:
    """A sweep, with its ports."""

    instances: "Ec2Instances"
    metrics: Metrics
    asker: Asker
    ledger: "DynamoLedger"
    queue: "SqsQueue"
    announcer: "EventBridgeAnnouncer"
    defaults: Policy

    def sweep(self, now: datetime) -> Swept:
        """Look at every workstation once. One that cannot be handled hides no other: it is in `skipped`, and why.

        What is known of all is read in a few calls. If the owner taps while the sweep judges, what it wants is given up
        and the next sweep judges anew.
        """
        watched, new = self._watch_all(now)
        judged, refused = self._tell(self._judge_all(watched.values(), now))
        watched |= judged
        records = [each.record for each in judged.values() if each.record is not None]
        if records:
            self.ledger.write_journal(records, now)
        intents, skipped = {}, {key: f"its owner could not be told: {why}" for key, why in refused.items()}
        for each in watched.values():
            try:
                wanted = self._conclude(each, now, is_written=each.id in new)
            except ConflictError:
                skipped[each.id] = "its state was changed meanwhile"
            except (TransientError, DeniedError) as error:
                skipped[each.id] = str(error)
            else:
                if wanted:
                    intents[each.id] = wanted
        return Swept(
            {each.workstation: f"{each.verdict.kind}: {each.verdict.headline}" for each in records},
            intents,
            skipped,
            {key: "; ".join(notice.text for notice in each.notices) for key, each in judged.items() if each.notices},
        )

    def _watch_all(self, now: datetime) -> tuple[dict[WorkstationId, Watched], frozenset[WorkstationId]]:
        """All workstations as they are known, and those whose first state, or an older one, is to be written now."""
        states, before = self.ledger.states(), self.ledger.latest_sweep(now)
        instances = {each.workstation: each for each in self.instances.tagged()}
        new = [each for each in instances if each not in states]
        older = self.ledger.older_states(new) if new else {}
        known = {each: states.get(each) or older.get(each) or Outline(each) for each in instances}
        watched = {each: self._watch(one, known[each], before.get(each), now) for each, one in instances.items()}
        return watched, frozenset(new[:_MOST_NEW])

    def _watch(self, instance: Instance, state: Outline, before: SweepRecord | None, now: datetime) -> Watched:
        policy, problems = policy_for(self.defaults, instance.tags)
        if before is None and _turned_back(state, now):
            # While it was being stopped no sweep judged it; what it was told before still holds.
            records = self.ledger.sweep_records(instance.workstation, now - _TURNED_BACK_LATELY, now)
            before = records[-1] if records else None
        return replace(watch(instance, policy, state, before), problems=problems)

    def _judge_all(self, watched: Iterable[Watched], now: datetime) -> list[Watched]:
        """Those that are to be judged, measured and judged."""
        measured = measure([each for each in watched if each.is_judged], self.metrics, self.asker, now)
        measured.reverse()
        # Each is let go as soon as it is judged: the samples of 10,000 workstations are 40 MB.
        return [_judged(measured.pop(), now) for _ in range(len(measured))]

    def _tell(self, judged: Sequence[Watched]) -> tuple[Mapping[WorkstationId, Watched], Mapping[WorkstationId, str]]:
        """Announce all notices at once; the workstations after it, and of whom the owner could not be told, and why."""
        notices = [notice for each in judged for notice in each.notices]
        refused = self.announcer.announce(notices) if notices else {}
        untold = {notice.workstation: why for notice, why in refused.items()}
        return {each.id: _untold(each) if each.id in untold else each for each in judged}, untold

    def _conclude(self, watched: Watched, now: datetime, *, is_written: bool) -> str | None:
        """Want what follows; the new intent in words, or None. is_written: its state is the first, or an older one."""
        known, intent = watched.state, _intent_after(watched, now)
        if is_written or intent is not None or known.problems != watched.problems:
            state = self.ledger.load(watched.id)
            # What was judged by an older state than this waits for the next sweep.
            if state.version != known.version:
                raise ConflictError(watched.id)
            state = replace(state, problems=watched.problems)
            if intent is not None:
                return self._want(state, intent, now)
            self.ledger.save(state)
        if known.intent is not None and not known.intent.settled:
            # Should every event and message have been lost, the sweep brings the reconciler back.
            self.queue.wake(watched.id)
        return None

    def _want(self, state: State, intent: Intent, now: datetime) -> str:
        self.ledger.save(state.wanting(intent))
        said = f"{intent.wanted} is wanted: {intent.why}"
        self.ledger.record(state.workstation, Happened(now, intent.number, said))
        self.queue.wake(state.workstation)
        return f"{intent.wanted}: {intent.why}"


def _intent_after(watched: Watched, now: datetime) -> Intent | None:
    """The new intent that follows; None when things stay as they are. Pure."""
    state = watched.state
    known = (watched.instance, state.intent, watched.policy, state.kept_awake_until, now)
    return reconsider(*known) or order_stop(watched.plan, *known)


def _judged(watched: Watched, now: datetime) -> Watched:
    """With what lies ahead, what the owner is to be told, and the record of it. Pure."""
    activity, before, policy = watched.activity, watched.before, watched.policy
    verdict, warned = verdict_on(watched, now), before.warned if before is not None else None
    kept_until, kept_from = activity.kept_awake_until, watched.state.kept_awake_from
    plan = plan_stop(verdict, policy, activity.begins_at, kept_until, warned, now, kept_from)
    notices = []
    if plan.is_new and plan.warned is not None:
        notices.append(stops_soon(watched.instance, verdict, plan.warned, now))
    unknown_since, told_unknown = None, False
    if verdict.kind is VerdictKind.UNKNOWN:
        unknown_since = (before.unknown_since if before is not None else None) or now
        told_unknown = before is not None and before.told_unknown and before.unknown_since is not None
        limit = policy.report_unknown_after
        if not told_unknown and limit is not None and now - unknown_since >= limit:
            notices.append(unknown_for_long(watched.instance, verdict, unknown_since, now))
            told_unknown = True
    record = replace(_record(watched, verdict, plan, now), unknown_since=unknown_since, told_unknown=told_unknown)
    # What was measured and what was recorded before have done their part, and need not be held any longer.
    watched = replace(watched.knowing(processor=(), network=None), before=None)
    return replace(watched, plan=plan, notices=tuple(notices), record=record)


def _untold(watched: Watched) -> Watched:
    """The workstation whose owner could not be told: nothing of it counts as told."""
    plan, record = watched.plan, watched.record
    if record is None:
        return watched
    plan = replace(plan, warned=None, due=False) if plan.is_new else plan
    tried = any(notice.kind is NoticeKind.UNKNOWN_FOR_LONG for notice in watched.notices)
    record = replace(record, warned=plan.warned, told_unknown=record.told_unknown and not tried)
    return replace(watched, plan=plan, notices=(), record=record)


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


def _turned_back(state: Outline, now: datetime) -> bool:
    intent = state.intent
    if intent is None or intent.wanted is not Wanted.RUN or intent.by not in (By.FOUND, By.PROMISE):
        return False
    return intent.settled and now - intent.at < _TURNED_BACK_LATELY
