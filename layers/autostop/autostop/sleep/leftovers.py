"""What is yet to be tidied up of a workstation, and what stays because AWS does not let it go."""

from dataclasses import dataclass, replace
from datetime import datetime

from autostop.model import VolumeId


@dataclass(frozen=True, slots=True)
class Leftover:
    """What stays though nothing needs it, and why.

    since, tried_at: UTC; None: nobody tried yet. usd_a_month: at most; None: it is free.
    """

    id: str
    why: str
    since: datetime
    tried_at: datetime | None = None
    usd_a_month: float | None = None

    def in_words(self) -> str:
        """One sentence, with what it costs."""
        cost = "" if self.usd_a_month is None else f" It costs at most ${max(0.01, self.usd_a_month):.2f} a month."
        return f"{self.id} stays: {self.why.rstrip('.')}.{cost}"


@dataclass(frozen=True, slots=True)
class Housekeeping:
    """What is yet to be tidied up.

    due_at: when it is looked at next, UTC. started_with: the volumes of our own start. rounds: how many are over.
    """

    due_at: datetime
    started_with: tuple[VolumeId, ...] = ()
    leftovers: tuple[Leftover, ...] = ()
    rounds: int = 0

    def keeping(self, id_: str, why: str, usd_a_month: float | None, now: datetime, *, tried: bool) -> "Housekeeping":
        """The same with a leftover; one that is known stays one since the same moment."""
        since = next((each.since for each in self.leftovers if each.id == id_), now)
        others = tuple(each for each in self.leftovers if each.id != id_)
        return replace(self, leftovers=(*others, Leftover(id_, why, since, now if tried else None, usd_a_month)))
