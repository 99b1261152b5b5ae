"""Which part of a wake is under way, and how long each usually takes. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum
from itertools import pairwise
from statistics import median

from autostop.model import Checks, InstanceState, Jupyter, Observation
from autostop.sleep.calls import Call


class Part(IntEnum):
    """The parts of a wake, in their order; one that has nothing to do takes no time.

    Disks are made from snapshots (or an instance that still stops is waited for), then attached; EC2 starts the
    instance; it boots; and last come whichever of Jupyter and EC2's status checks is later.
    """

    DISKS = 0
    ATTACH = 1
    START = 2
    BOOT = 3
    SERVER = 4


@dataclass(frozen=True, slots=True)
class Wake:
    """One that met no obstacle. restored: whether its disks were made from snapshots; seconds: until it was ready.

    parts: seconds of each; fewer than there are where not all were seen to begin.
    """

    restored: bool
    seconds: float
    parts: tuple[float, ...] = ()


def part_of(seen: Observation, call: Call | None) -> Part:
    """Which part what is seen, and what is done next, belong to."""
    match seen.instance and seen.instance.state:
        case InstanceState.RUNNING:
            is_nearly_there = seen.checks is Checks.OK or seen.jupyter is Jupyter.SERVES
            return Part.SERVER if is_nearly_there else Part.BOOT
        case InstanceState.PENDING:
            return Part.START
        case InstanceState.STOPPED:
            if call is Call.START:
                return Part.START
            return Part.ATTACH if call is Call.ATTACH or seen.attached() else Part.DISKS
        case _:
            return Part.DISKS


def reaching(begun: tuple[datetime, ...], part: Part, now: datetime) -> tuple[datetime, ...]:
    """When each part after the first began, once this one is under way; none begins twice."""
    return (*begun, *(now for _ in range(part - len(begun))))


def seconds_of(asked_at: datetime, begun: Sequence[datetime], now: datetime) -> tuple[float, ...]:
    """How long each part took that has begun: the last of them until now."""
    return tuple((later - earlier).total_seconds() for earlier, later in pairwise([asked_at, *begun, now]))


def usual_wake(wakes: Sequence[Wake], *, restored: bool) -> Wake | None:
    """As those of its kind usually are, each number the middle one of the latest; None before the first."""
    alike = [each for each in wakes if each.restored is restored]
    if not alike:
        return None
    parts = zip(*(each.parts for each in alike if len(each.parts) == len(Part)), strict=True)
    return Wake(restored, median(each.seconds for each in alike), tuple(median(each) for each in parts))
