"""How a workstation stands, as the phone page and the command show it."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from itertools import zip_longest

from autostop.app.jupyter_address import Lab, lab_of
from autostop.clock import clock_time
from autostop.cost import Prices, cost_awake, cost_now, usd
from autostop.days import Days, Money
from autostop.idle.sweep_record import SweepRecord
from autostop.link import Scope
from autostop.model import Instance, InstanceState, Snapshot, Volume
from autostop.settings import Policy, policy_for, words
from autostop.sleep.intent import Wanted
from autostop.sleep.leftovers import alike, in_words
from autostop.sleep.own_type import fallback_in_words
from autostop.sleep.resize import not_in_effect, resize_in_words
from autostop.sleep.undo_of_a_stop import undo_until
from autostop.sleep.wake_progress import Part, Wake, usual_wake
from autostop.state import Happened, State
from autostop.tags import is_ours


class Phase(StrEnum):
    """One word for the page."""

    AWAKE = "awake"
    WAKING = "waking"
    FALLING_ASLEEP = "falling-asleep"
    ASLEEP = "asleep"
    BLOCKED = "blocked"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Status:
    """One workstation for a person. costs: USD a month for disks and snapshots, now and when awake; nan: unknown.

    hour: USD of the instance while it runs; nan: unknown, as of Spot. prices: by which all these are.
    now: by its owner's clock. billed: what is billed while it does not run, and why; empty while it runs.
    seen: what the newest sweep saw of it since its start; None when none did.
    keep_awake_for: what one tap on keep awake promises. usual: how long such a wake takes, while it wakes.
    undo_until: till then a start turns the stop back before EC2 hears of it; None when it is too late.
    lab: where JupyterLab answers. address, ssh_user: of this start, for a login.
    """

    state: State
    seen: SweepRecord | None
    name: str
    now: datetime
    phase: Phase
    headline: str
    steps: Sequence[Happened]
    lab: Lab | None
    address: str | None
    ssh_user: str
    undo_until: datetime | None
    cost_now: float
    cost_awake: float
    hour: float
    prices: Prices
    billed: str
    problems: Sequence[str]
    scopes: Sequence[Scope]
    keep_awake_for: timedelta
    usual: Wake | None

    @property
    def jupyter_url(self) -> str | None:
        """What opens JupyterLab without a tunnel; None where nothing does."""
        return None if self.lab is None else self.lab.direct

    def as_json(self) -> dict[str, object]:
        """The same as plain data for JSON; moments in ISO 8601, UTC."""
        intent = self.state.intent
        seen = self.seen
        return {
            "workstation": self.state.workstation,
            "name": self.name,
            "now": _iso(self.now),
            "phase": self.phase.value,
            "headline": self.headline,
            "intent": intent
            and {
                "number": intent.number,
                "wanted": intent.wanted.value,
                "by": intent.by.value,
                "at": _iso(intent.at),
                "why": intent.why,
                "settled_at": _iso(intent.settled_at),
                "tells": intent.tells,
            },
            "waiting_for": self.state.waiting_for,
            "hindered_since": _iso(self.state.hindered_since),
            "blocked": self.state.blocked,
            "verdict": verdict_as_json(seen) if seen is not None else None,
            "warned_at": _iso(seen.warned.at) if seen is not None and seen.warned is not None else None,
            "keep_awake_until": _iso(self.state.kept_awake_until),
            "keep_awake_for": self.keep_awake_for.total_seconds(),
            "undo_until": _iso(self.undo_until),
            "usual_seconds": self.usual and self.usual.seconds,
            "wake": self._wake() if self.phase is Phase.WAKING else None,
            "steps": [{"at": _iso(step.at), "text": step.text} for step in self.steps],
            "jupyter_url": self.jupyter_url,
            "jupyter": self.lab and {"url": self.lab.url, "port": self.lab.port, "reach": self.lab.reach.value},
            "address": self.address,
            "ssh_user": self.ssh_user,
            "cost": {"now": _known(self.cost_now), "awake": _known(self.cost_awake), "hour": _known(self.hour, 4)},
            "prices": prices_as_json(self.prices),
            "billed": self.billed,
            "problems": list(self.problems),
            "told": [{"kind": each.kind.value, "at": _iso(each.at), "text": each.text} for each in self.state.told],
            "scopes": [scope.value for scope in self.scopes],
        }

    def _wake(self) -> list[dict[str, object]]:
        """By part, when it began, and how long it usually takes; None of what is not known."""
        intent, usual = self.state.intent, self.usual.parts if self.usual else ()
        began = (intent.at, *self.state.begun) if intent else ()
        parts = zip_longest(Part, began, usual)
        return [{"part": each.name.lower(), "began_at": _iso(at), "usual_seconds": lasts} for each, at, lasts in parts]


def verdict_as_json(seen: SweepRecord) -> dict[str, object]:
    """What a sweep saw, as plain data for JSON; moments in ISO 8601, UTC.

    stop_at: the earliest stop in sight if nothing new is seen. stop_cause: `idle`, or `limit` for one that the owner
    set, which comes whoever works.
    """
    verdict = seen.verdict
    return {
        "kind": verdict.kind.value,
        "since": _iso(verdict.since),
        "at": _iso(verdict.at),
        "due_at": _iso(verdict.due_at),
        "stop_at": _iso(seen.stop_at),
        "stop_cause": seen.stop_cause and seen.stop_cause.value,
        "reasons": list(verdict.reasons),
        "signals": [
            {
                "name": sign.name,
                "effect": sign.effect.value,
                "value": sign.value,
                "threshold": sign.threshold,
                "at": _iso(sign.at),
            }
            for sign in verdict.signs
        ],
    }


def prices_as_json(prices: Prices) -> dict[str, object]:
    """Whose they are, and of when: None for those that Autostop brings along, of another Region as a rule."""
    return {"region": prices.region, "at": _iso(prices.at)}


def days_as_json(days: Days, prices: Prices) -> dict[str, object]:
    """The same as plain data for JSON; hours, USD, and moments in ISO 8601, UTC."""
    awake = days.awake.total_seconds() / 3600

    def money(some: Money) -> dict[str, object]:
        return {"instance": _known(some.instance), "disks": _known(some.disks)}

    return {
        "since": _iso(days.since),
        "now": _iso(days.now),
        "runs": [
            {
                "from": _iso(run.since),
                "until": _iso(run.until),
                "by": run.stop and run.stop.by.value,
                "why": run.stop and run.stop.why,
            }
            for run in days.runs
        ],
        "shelved": [{"from": _iso(begun), "until": _iso(end)} for begun, end in days.shelved],
        "hours": {
            "awake": round(awake, 2),
            "asleep": round((days.now - days.since).total_seconds() / 3600 - awake, 2),
        },
        "prices": prices_as_json(prices),
        "cost": money(days.cost),
        "saved": money(days.saved),
    }


def status_of(  # noqa: PLR0913, PLR0917 - all that is known of one, each thing once
    state: State,
    seen: SweepRecord | None,
    instance: Instance | None,
    volumes: Sequence[Volume],
    snapshots: Sequence[Snapshot],
    happened: Sequence[Happened],
    mail_problem: str | None,
    scopes: Sequence[Scope],
    defaults: Policy,
    by: Prices,
    now: datetime,
) -> Status:
    """Put together what is known. Pure."""
    if seen is not None and (instance is None or seen.launched_at != instance.launched_at):
        seen = None
    policy, problems = policy_for(defaults, instance.tags if instance else {})
    now = now.astimezone(policy.time_zone)
    phase = _phase(state, instance)
    return Status(
        state=state,
        seen=seen,
        name=instance.name if instance else state.workstation,
        now=now,
        phase=phase,
        headline=_headline(state, seen, phase, now),
        steps=happened,
        lab=lab_of((state.reading, seen.answer if seen is not None else None), instance, policy),
        address=instance.address if instance is not None and instance.state is InstanceState.RUNNING else None,
        ssh_user=policy.ssh_user,
        undo_until=undo_until(state.intent, instance, now) if state.intent is not None else None,
        cost_now=cost_now(volumes, snapshots, by),
        cost_awake=cost_awake(volumes, state.manifest.volumes if state.manifest else (), by),
        hour=by.hour(instance.type) if instance is not None and instance.spot is None else math.nan,
        prices=by,
        billed=_billed(state, instance, volumes, snapshots, policy, by, now),
        problems=(*problems, *_notes(state, instance, volumes), *([mail_problem] if mail_problem else [])),
        scopes=scopes,
        keep_awake_for=policy.keep_awake_for,
        usual=_usual(state, volumes) if phase is Phase.WAKING else None,
    )


def _notes(state: State, instance: Instance | None, volumes: Sequence[Volume]) -> Iterator[str]:
    attached = (each for each in volumes if instance is not None and each.attached_to == instance.id)
    if instance is not None and (resize := not_in_effect(state.resize, instance, state.fallback, attached)) is not None:
        yield resize_in_words(resize)
    if instance is not None and instance.is_up and (fallback := fallback_in_words(instance, state.fallback)):
        yield fallback
    yield from filter(None, (state.note, state.lost, state.binned))
    for some in alike(state.housekeeping.leftovers if state.housekeeping is not None else ()).values():
        yield in_words(some)


def _phase(state: State, instance: Instance | None) -> Phase:
    if instance is None:
        return Phase.BLOCKED if state.intent is not None else Phase.UNKNOWN
    if (intent := state.open_intent) is not None:
        if state.blocked:
            return Phase.BLOCKED
        return Phase.WAKING if intent.wanted is Wanted.RUN else Phase.FALLING_ASLEEP
    match instance.state:
        case InstanceState.RUNNING:
            return Phase.AWAKE
        case InstanceState.PENDING:
            return Phase.WAKING
        case InstanceState.STOPPING:
            return Phase.FALLING_ASLEEP
        case InstanceState.STOPPED:
            return Phase.ASLEEP
        case InstanceState.TERMINATED | InstanceState.SHUTTING_DOWN:
            return Phase.BLOCKED


def _usual(state: State, volumes: Sequence[Volume]) -> Wake | None:
    at_once = any(volume.attached_to is not None for volume in volumes) and not state.attempts.restored
    return usual_wake(state.wakes, restored=not at_once)


def _headline(state: State, seen: SweepRecord | None, phase: Phase, now: datetime) -> str:
    intent = state.intent
    match phase:
        case Phase.BLOCKED:
            return state.blocked or (
                "The instance is terminated or not there. Its snapshots are kept: "
                f"`autostop recover {state.workstation}` builds a new one from them."
            )
        case Phase.WAKING:
            return f"Waking up: {state.waiting_for or 'it begins'}"
        case Phase.FALLING_ASLEEP:
            why = intent.why if intent else "stopped outside Autostop"
            return f"Falling asleep ({why}): {state.waiting_for or 'it begins'}"
        case Phase.ASLEEP:
            since = f" since {clock_time(intent.settled_at, now.tzinfo, now)}" if intent and intent.settled_at else ""
            return f"Asleep{since}: {intent.why if intent else 'stopped outside Autostop'}"
        case Phase.AWAKE:
            return f"Awake: {seen.verdict.headline}" if seen is not None else "Awake"
        case Phase.UNKNOWN:
            return "Nothing is known of this workstation yet. Was it adopted?"


def _billed(
    state: State,
    instance: Instance | None,
    volumes: Sequence[Volume],
    snapshots: Sequence[Snapshot],
    policy: Policy,
    by: Prices,
    now: datetime,
) -> str:
    disks, kept = cost_now(volumes, (), by), cost_now((), snapshots, by)
    at_rest = instance is None or instance.is_gone or instance.state is InstanceState.STOPPED
    if not at_rest or not (disks or snapshots):
        return ""
    for_snapshots = f"at most {usd(kept)} a month for its snapshots"
    if not disks:
        return f"Billed now: {for_snapshots}."
    beside = f", and {for_snapshots}" if snapshots else ""
    why = _why_volumes_stay(state, instance, policy, now)
    return f"Billed now: {usd(disks)} a month for its volumes, because {why}{beside}."


def _why_volumes_stay(state: State, instance: Instance | None, policy: Policy, now: datetime) -> str:
    """Why a workstation that does not run has volumes, which are billed in full whether they are used or not."""
    intent, kept_until = state.intent, state.kept_awake_until
    if instance is None or instance.is_gone:
        return "the instance is gone; `autostop recover` shows what is left over"
    if not is_ours(instance.tags):
        return "it carries no tag `autostop = on`"
    if state.open_intent is not None:
        return "it is blocked" if state.blocked else "it is on its way"
    if instance.spot is not None:
        return "a Spot instance is only stopped"
    if policy.shelve_after is None:
        return "its shelve-after is off"
    if kept_until is not None and now < kept_until:
        return f"it was stopped outside Autostop and is kept awake until {clock_time(kept_until, now.tzinfo, now)}"
    if state.kept_since is not None:
        if policy.delete_after is None:
            return "its delete-after is off"
        until = clock_time(state.kept_since + policy.delete_after, now.tzinfo, now)
        return f"its delete-after keeps them until {until}, ready for a wake"
    if intent is not None and intent.wanted is Wanted.SHELVE:
        return "they came after it was shelved"
    return f"its shelve-after is {words(policy.shelve_after)}" if policy.shelve_after else "they become snapshots next"


def _known(cost: float, digits: int = 2) -> float | None:
    return None if math.isnan(cost) else round(cost, digits)


def _iso(moment: datetime | None) -> str | None:
    return moment.astimezone(UTC).isoformat() if moment else None
