"""How a workstation stands, as the phone page and the command show it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from autostop.domain.capacity import fallback_in_words
from autostop.domain.cost import cost_awake, cost_now
from autostop.domain.intent import Wanted
from autostop.domain.link import Scope
from autostop.domain.settings import Policy, policy_for
from autostop.domain.workstation import Instance, InstanceState, Snapshot, Volume
from autostop.ports import Happened, State


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
    """One workstation for a person. costs: USD a month for disks and snapshots, now and when awake."""

    state: State
    name: str
    now: datetime
    phase: Phase
    headline: str
    steps: Sequence[Happened]
    jupyter_url: str | None
    cost_now: float
    cost_awake: float
    problems: Sequence[str]
    scopes: Sequence[Scope]

    def as_json(self) -> dict[str, object]:
        """The same as plain data for JSON; moments in ISO 8601, UTC."""
        intent, verdict = self.state.intent, self.state.verdict
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
            },
            "waiting_for": self.state.waiting_for,
            "blocked": self.state.blocked,
            "verdict": verdict
            and {
                "kind": verdict.kind.value,
                "since": _iso(verdict.since),
                "at": _iso(verdict.at),
                "due_at": _iso(verdict.due_at),
                "reasons": list(verdict.reasons),
            },
            "keep_awake_until": _iso(self.state.kept_awake_until),
            "steps": [{"at": _iso(step.at), "text": step.text} for step in self.steps],
            "jupyter_url": self.jupyter_url,
            "cost": {"now": round(self.cost_now, 2), "awake": round(self.cost_awake, 2)},
            "problems": list(self.problems),
            "scopes": [scope.value for scope in self.scopes],
        }


def status_of(
    state: State,
    instance: Instance | None,
    volumes: Sequence[Volume],
    snapshots: Sequence[Snapshot],
    happened: Sequence[Happened],
    scopes: Sequence[Scope],
    defaults: Policy,
    now: datetime,
) -> Status:
    """Put together what is known. Pure."""
    policy, problems = policy_for(defaults, instance.tags if instance else {})
    phase = _phase(state, instance)
    return Status(
        state=state,
        name=instance.name if instance else state.workstation,
        now=now,
        phase=phase,
        headline=_headline(state, instance, phase),
        steps=happened,
        jupyter_url=_jupyter_url(state, instance, policy),
        cost_now=cost_now(volumes, snapshots),
        cost_awake=cost_awake(volumes, state.manifest),
        problems=(*problems, *_notes(state, instance)),
        scopes=scopes,
    )


def _notes(state: State, instance: Instance | None) -> Iterator[str]:
    awake = instance is not None and instance.state in (InstanceState.PENDING, InstanceState.RUNNING)
    if instance is not None and awake and (fallback := fallback_in_words(instance)):
        yield fallback
    if state.note:
        yield state.note


def _phase(state: State, instance: Instance | None) -> Phase:
    intent = state.intent
    if instance is None:
        return Phase.BLOCKED if intent is not None else Phase.UNKNOWN
    if intent is not None and not intent.settled:
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


def _headline(state: State, instance: Instance | None, phase: Phase) -> str:
    intent, verdict = state.intent, state.verdict
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
            since = f" since {intent.settled_at:%H:%M} UTC" if intent and intent.settled_at else ""
            return f"Asleep{since}: {intent.why if intent else 'stopped outside Autostop'}"
        case Phase.AWAKE:
            judged = f": {verdict.headline}" if verdict and instance and verdict.at >= instance.launched_at else ""
            return f"Awake{judged}"
        case Phase.UNKNOWN:
            return "Nothing is known of this workstation yet. Was it adopted?"


def _jupyter_url(state: State, instance: Instance | None, policy: Policy) -> str | None:
    """Where Jupyter answered since the launch; None when it did not."""
    if instance is None or instance.state is not InstanceState.RUNNING or instance.address is None:
        return None
    reading = state.reading
    if reading is None or not reading.servers or reading.at < instance.launched_at:
        return None
    ports = [server.port for server in reading.servers if server.port]
    return f"https://{instance.address}:{ports[0] if ports else policy.jupyter_port}/lab"


def _iso(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment else None
