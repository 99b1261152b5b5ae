"""What is wanted of a workstation now, by whom, and why; and what follows from what is found."""

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from autostop.model import Instance, InstanceState
from autostop.settings import Policy, words


class Wanted(StrEnum):
    """The three things that can be wanted."""

    RUN = "run"
    STOP = "stop"
    SHELVE = "shelve"


class By(StrEnum):
    """Who wanted it.

    The owner, by start or stop; a promise to keep it awake; the idle verdict; a limit that was set; or what was found
    done by others.
    """

    OWNER = "owner"
    PROMISE = "promise"
    IDLE = "idle"
    LIMIT = "limit"
    FOUND = "found"


@dataclass(frozen=True, slots=True)
class Intent:
    """What is wanted now.

    number: grows with each intent of the workstation. at: when it was asked for, UTC.
    settled_at: when it was reached; from then on it is history, not a standing order. tells: its owner wants to hear of
    that.
    """

    number: int
    wanted: Wanted
    by: By
    at: datetime
    why: str
    settled_at: datetime | None = None
    tells: bool = False

    @property
    def settled(self) -> bool:
        return self.settled_at is not None

    def settle(self, now: datetime) -> "Intent":
        return replace(self, settled_at=now)


def following(intent: Intent | None, wanted: Wanted, by: By, why: str, now: datetime) -> Intent:
    """The next intent of a workstation after the present one, or its first."""
    return Intent(number=intent.number + 1 if intent else 1, wanted=wanted, by=by, at=now, why=why)


def reconsider(
    instance: Instance, intent: Intent | None, policy: Policy, kept_awake_until: datetime | None, now: datetime
) -> Intent | None:
    """The new intent that follows from what an instance is found in, or from the time; None for none. Pure."""
    # What is asked for and not yet reached is the reconciler's business; a sweep never overrules it.
    if intent is not None and not intent.settled:
        return None
    if instance.state is InstanceState.RUNNING:
        if intent is None or intent.wanted is Wanted.RUN:
            return None
        return following(intent, Wanted.RUN, By.FOUND, "it was found running: started outside Autostop", now)
    kept_awake = kept_awake_until is not None and now < kept_awake_until
    if instance.state is InstanceState.STOPPED and not kept_awake:
        return _while_stopped(intent, policy, now)
    return None


def end_of_keeping(
    instance: Instance, intent: Intent | None, policy: Policy, kept_since: datetime | None, now: datetime
) -> Intent | None:
    """The new intent once its detached volumes were kept for long enough; None for none. Pure."""
    if intent is None or not intent.settled or intent.wanted is not Wanted.SHELVE or kept_since is None:
        return None
    keep = policy.delete_after
    if instance.state is not InstanceState.STOPPED or keep is None or now < kept_since + keep:
        return None
    why = f"its volumes stood detached for {words(now - kept_since)} ({intent.why})"
    return following(intent, Wanted.SHELVE, intent.by, why, now)


def _while_stopped(intent: Intent | None, policy: Policy, now: datetime) -> Intent | None:
    if intent is None or intent.wanted is Wanted.RUN:
        return following(intent, Wanted.STOP, By.FOUND, "it was found stopped: stopped outside Autostop", now)
    if intent.wanted is not Wanted.STOP or intent.settled_at is None or policy.shelve_after is None:
        return None
    if now < intent.settled_at + policy.shelve_after:
        return None
    why = f"it was stopped for {words(policy.shelve_after)} ({intent.why})" if policy.shelve_after else intent.why
    return following(intent, Wanted.SHELVE, intent.by, why, now)
