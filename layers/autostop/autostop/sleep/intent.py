"""What is wanted of a workstation now, by whom, and why."""

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum


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
