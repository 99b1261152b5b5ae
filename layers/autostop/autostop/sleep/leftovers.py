"""What is yet to be tidied up of a workstation, and what stays because AWS does not let it go."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from autostop.model import VolumeId

# A state holds so many, each with so much of its reason: what may never be deleted would outgrow an item of the table.
MOST_LEFT: Final = 50
_LONGEST_WHY: Final = 300
_MOST_NAMED: Final = 5
# What differs between two that stay for one reason.
_OWN: Final = re.compile(r"\b(?:snap|vol)-\w+|\bcycle \d+")


@dataclass(frozen=True, slots=True)
class Leftover:
    """What stays though nothing needs it, and why.

    since: UTC. usd_a_month: at most; None: it is free.
    """

    id: str
    why: str
    since: datetime
    usd_a_month: float | None = None


def alike(leftovers: Iterable[Leftover]) -> Mapping[str, Sequence[Leftover]]:
    """Those that stay for one reason together, by that reason without their own names."""
    groups: dict[str, list[Leftover]] = {}
    for each in leftovers:
        groups.setdefault(_OWN.sub("", each.why), []).append(each)
    return groups


def usd_a_month(some: Iterable[Leftover]) -> float | None:
    """At most, of all together; None: they are free."""
    costs = [each.usd_a_month for each in some if each.usd_a_month is not None]
    return sum(costs) if costs else None


def in_words(some: Sequence[Leftover]) -> str:
    """Of those that stay for one reason, in one sentence, with what they cost."""
    names = ", ".join(each.id for each in some[:_MOST_NAMED])
    more = f" and {len(some) - _MOST_NAMED} more" if len(some) > _MOST_NAMED else ""
    stay, they = ("stays", "It costs") if len(some) == 1 else ("stay", "They cost")
    usd = usd_a_month(some)
    cost = "" if usd is None else f" {they} at most ${max(0.01, usd):.2f} a month."
    return f"{names}{more} {stay}: {some[-1].why.rstrip('.')}.{cost}"


@dataclass(frozen=True, slots=True)
class Housekeeping:
    """What is yet to be tidied up.

    due_at: when it is looked at next, UTC. started_with: the volumes of our own start, and launched_at: the launch that
    came of it. rounds: how many are over. done: what was tried in this one, for what went is listed for some minutes.
    """

    due_at: datetime
    started_with: tuple[VolumeId, ...] = ()
    leftovers: tuple[Leftover, ...] = ()
    rounds: int = 0
    launched_at: datetime | None = None
    done: tuple[str, ...] = ()

    def has_room_for(self, id_: str) -> bool:
        """False for one that could not be remembered, should AWS refuse it: it would be tried again at once."""
        return len(self.leftovers) < MOST_LEFT or any(each.id == id_ for each in self.leftovers)

    def keeping(self, id_: str, why: str, usd_a_month: float | None, now: datetime) -> "Housekeeping":
        """The same with a leftover; one that is known stays one since the same moment. A new one needs room."""
        since = next((each.since for each in self.leftovers if each.id == id_), now)
        others = tuple(each for each in self.leftovers if each.id != id_)
        if not self.has_room_for(id_):
            return self
        left = Leftover(id_, why[:_LONGEST_WHY], since, usd_a_month)
        return replace(self, leftovers=(*others, left))
