"""Why a workstation is up, why it was stopped, when it stops; and what another policy would have made of its days."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from autostop.app.status import verdict_as_json
from autostop.idle.record import SweepRecord
from autostop.idle.signs import Effect
from autostop.idle.verdict import VerdictKind
from autostop.model import Instance, InstanceState, WorkstationId
from autostop.ports import Instances, Ledger, State
from autostop.settings import Policy, policy_for, words
from autostop.sleep.intent import By, Intent, Wanted
from autostop.tags import PREFIX
from autostop_cli.what_if.replay import Replay, as_it_was, replay

# A verdict speaks for the time until the next sweep; three may have failed.
_SPEAKS_FOR: Final = timedelta(minutes=15)
# How far around a moment without a record the nearest ones are looked for: a weekend and a day.
_LOOK_AROUND: Final = timedelta(days=3)
# The last look before a stop: EC2 notes the stop minutes after the sweep that wanted it.
_BEFORE_A_STOP: Final = timedelta(hours=2)

# What a record cannot be judged by anew, and why.
NOT_REPLAYED: Final[Mapping[str, str]] = {
    "cpu-period": "the record was measured with the period that it has",
    "jupyter-port": "the record has only what was asked then",
    "instance-types": "it changes no stop",
    "keep-awake-for": "the record has the promises that were made",
    "report-unknown-after": "it changes no stop",
    "shelve-after": "it changes what follows a stop, and not when one comes",
}

_BY_WHOM: Final[Mapping[By, str]] = {
    By.OWNER: "its owner",
    By.PROMISE: "its owner, who keeps it awake",
    By.IDLE: "the idle verdict",
    By.LIMIT: "a limit of its owner",
    By.FOUND: "others",
}


@dataclass(frozen=True, slots=True)
class Explanation:
    """One answer. at: the moment that it is about; seen: the record that it rests on, None without one.

    intent: what is wanted now; None when the question is about another moment.
    """

    workstation: WorkstationId
    name: str
    at: datetime
    sentence: str
    seen: SweepRecord | None = None
    intent: Intent | None = None

    def as_json(self) -> dict[str, object]:
        """The same as plain data for JSON; moments in ISO 8601, UTC."""
        intent, seen = self.intent, self.seen
        return {
            "workstation": self.workstation,
            "name": self.name,
            "at": self.at.isoformat(),
            "sentence": self.sentence,
            "verdict": verdict_as_json(seen) if seen is not None else None,
            "warned_at": seen.warned.at.isoformat() if seen is not None and seen.warned is not None else None,
            "intent": intent
            and {"wanted": intent.wanted.value, "by": intent.by.value, "at": intent.at.isoformat(), "why": intent.why},
        }


@dataclass(frozen=True, slots=True)
class WhatIf:
    """A recorded time under other settings, beside what it was."""

    workstation: WorkstationId
    name: str
    since: datetime
    until: datetime
    settings: Mapping[str, str]
    was: Replay
    would: Replay

    def as_json(self) -> dict[str, object]:
        """The same as plain data for JSON; moments in ISO 8601, UTC; durations in hours."""
        return {
            "workstation": self.workstation,
            "name": self.name,
            "since": self.since.isoformat(),
            "until": self.until.isoformat(),
            "settings": dict(self.settings),
            "as_it_was": _replay_as_json(self.was),
            "what_if": _replay_as_json(self.would),
        }


@dataclass(frozen=True, slots=True)
class Why:
    """What answers. clock: gives aware UTC moments. written: a moment in words, as its reader wants it."""

    instances: Instances
    ledger: Ledger
    defaults: Policy
    clock: Callable[[], datetime]
    written: Callable[[datetime], str]

    def now(self, workstation: WorkstationId) -> Explanation:
        """Why it is up, or why it is not. Raises TransientError, DeniedError."""
        state, instance, now = self.ledger.load(workstation), self.instances.find(workstation), self.clock()
        name = instance.name if instance is not None else workstation
        intent = state.intent
        if intent is not None and not intent.settled:
            return Explanation(workstation, name, now, self._moving(state, intent), None, intent)
        if instance is not None and instance.state is InstanceState.RUNNING:
            seen = self.ledger.latest_sweep(now).get(workstation)
            if seen is None or seen.launched_at != instance.launched_at:
                sentence = "unknown: it is up, but no sweep of the last hour has looked at it yet since its start"
                return Explanation(workstation, name, now, sentence, None, intent)
            return Explanation(workstation, name, now, self._up(seen, now, was=False), seen, intent)
        stopped_at = _stopped_at(instance, intent)
        seen = self._last(workstation, stopped_at - _BEFORE_A_STOP, stopped_at) if stopped_at is not None else None
        return Explanation(workstation, name, now, self._asleep(instance, intent, stopped_at), seen, intent)

    def at(self, workstation: WorkstationId, moment: datetime) -> Explanation:
        """Why it was up then, by the record of the last sweep before. Raises TransientError, DeniedError."""
        instance = self.instances.find(workstation)
        name = instance.name if instance is not None else workstation
        seen = self._last(workstation, moment - _SPEAKS_FOR, moment)
        if seen is not None:
            return Explanation(workstation, name, moment, self._up(seen, moment, was=True), seen)
        return Explanation(workstation, name, moment, self._without_record(workstation, moment))

    def what_if(self, workstation: WorkstationId, settings: Mapping[str, str], days: int) -> WhatIf:
        """The last days under other settings, valid ones. Raises TransientError, DeniedError."""
        instance, now = self.instances.find(workstation), self.clock()
        in_force, _ = policy_for(self.defaults, instance.tags if instance is not None else {})
        policy, _ = policy_for(in_force, {f"{PREFIX}{name}": text for name, text in settings.items()})
        since = now - timedelta(days=days)
        record = self.ledger.seen(workstation, since, now)
        return WhatIf(
            workstation,
            instance.name if instance is not None else workstation,
            since,
            now,
            settings,
            as_it_was(record, in_force),
            replay(record, policy, in_force),
        )

    def _last(self, workstation: WorkstationId, since: datetime, until: datetime) -> SweepRecord | None:
        return max(self.ledger.seen(workstation, since, until), key=lambda seen: seen.at, default=None)

    def _up(self, seen: SweepRecord, moment: datetime, *, was: bool) -> str:
        """Why it is up at a moment, or was, by the record that speaks for it."""
        verdict, at = seen.verdict, self.written
        said = _plain(verdict.headline)
        past, present = ("was", "was to sleep", "was seen", "stayed up"), ("is", "sleeps", "is seen", "stays up")
        is_, sleeps, sees, stays = past if was else present
        stop = seen.stop_at
        match verdict.kind:
            case VerdictKind.UNKNOWN:
                until = f", until {at(stop)} at most" if stop is not None else ""
                return f"unknown: {said}. Not knowing is not idle, so it {stays}{until}."
            case VerdictKind.IDLE:
                if stop is None or stop <= moment:
                    return f"It {is_} {said}; the stop {is_} due."
                unless = "worked on it or kept it awake" if was else "works on it or keeps it awake"
                return f"It {is_} {said}; it {sleeps} at {at(stop)} unless somebody {unless}."
            case VerdictKind.ACTIVE:
                if stop is not None and seen.stop_cause is By.LIMIT:
                    ahead = f"a limit is set: it {sleeps} at {at(stop)}, whoever works"
                elif stop is not None:
                    late = stop <= moment and not was
                    ahead = "it is to sleep now" if late else f"if nothing new happens it {sleeps} at {at(stop)}"
                elif verdict.due_at is not None and verdict.due_at > moment:
                    ahead = f"idleness {'could stop' if was else 'stops'} nothing before {at(verdict.due_at)}"
                else:
                    ahead = f"it {stays} while that {'lasted' if was else 'lasts'}"
                return f"It {is_} up because {_cause(seen, said, sees)}; {ahead}."

    def _moving(self, state: State, intent: Intent) -> str:
        at = self.written(intent.at)
        doing = "waking up" if intent.wanted is Wanted.RUN else "falling asleep"
        how = f"blocked: {state.blocked}" if state.blocked else f"waiting for {state.waiting_for or 'its first step'}"
        return f"It is {doing} because {_plain(intent.why)} (wanted by {_BY_WHOM[intent.by]} at {at}); {how}."

    def _asleep(self, instance: Instance | None, intent: Intent | None, stopped_at: datetime | None) -> str:
        when = f" at {self.written(stopped_at)}" if stopped_at is not None else ""
        if instance is None or instance.is_gone:
            return "The instance is terminated or not there."
        if intent is None or intent.wanted is Wanted.RUN:
            return f"unknown: it was stopped{when} outside Autostop, and nobody wrote down why."
        by, why = _BY_WHOM[intent.by], _plain(intent.why)
        why = f"it was {why}" if intent.by is By.IDLE and why.startswith("idle") else why
        return f"It was stopped{when} because {why} (wanted by {by})."

    def _without_record(self, workstation: WorkstationId, moment: datetime) -> str:
        now = self.clock()
        before = self._last(workstation, moment - _LOOK_AROUND, moment)
        later = self.ledger.seen(workstation, moment, min(moment + _LOOK_AROUND, now))
        near = [f"the one before is of {self._brief(before)}"] if before is not None else []
        near += [f"the one after is of {self._brief(later[0])}"] if later else []
        told = " and ".join(near) or f"there is none within {words(_LOOK_AROUND)} of it"
        return (
            f"unknown: no sweep recorded it at {self.written(moment)}; {told}. "
            "Nothing is recorded while it is stopped, wakes up or falls asleep."
        )

    def _brief(self, seen: SweepRecord) -> str:
        return f"{self.written(seen.at)} ({seen.verdict.kind}: {seen.verdict.headline})"


def _stopped_at(instance: Instance | None, intent: Intent | None) -> datetime | None:
    if instance is not None and instance.stopped_at is not None:
        return instance.stopped_at
    return intent.at if intent is not None and intent.wanted is not Wanted.RUN else None


def _cause(seen: SweepRecord, said: str, sees: str) -> str:
    effects = {sign.effect for sign in seen.verdict.signs}
    if Effect.WORK in effects:
        return f"work {sees} on it ({said})"
    return f"its window is not over ({said})" if effects else said


def _plain(text: str) -> str:
    """A reason as a part of a sentence."""
    return text.removesuffix(".")


def _replay_as_json(told: Replay) -> dict[str, object]:
    return {
        "hours_up": _hours(told.up),
        "hours_saved": _hours(told.saved),
        "hours_longer": _hours(told.longer),
        "hours_unknown": _hours(told.unknown),
        "runs_of_unknown_length": told.open_ended,
        "stopped_at_work": told.at_work,
        "stops": [
            {
                "at": stop.at.isoformat(),
                "cause": stop.cause.value,
                "why": stop.why,
                "until": stop.until.isoformat(),
                "work_at": stop.work_at.isoformat() if stop.work_at is not None else None,
                "at_work": stop.at_work,
            }
            for stop in told.stops
        ],
    }


def _hours(time: timedelta) -> float:
    return round(time / timedelta(hours=1), 2)
