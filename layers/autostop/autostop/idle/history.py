"""What consecutive answers of a workstation tell together, which no single one does.

Pure. Processor seconds only grow, so work shows between two answers; a job on a terminal that has ended leaves no
moment behind, so it was last at work when it was last seen.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from autostop.idle.reading import Machine, Reading, Server
from autostop.settings import Policy

# An idle kernel uses 0.01 processor seconds a minute, also with a tab open: this is a hundred times the noise.
CPU_SECONDS_A_MINUTE: Final = 1.0
# Two answers may lie seconds apart; of so short a time the noise would be divided by nearly nothing.
_SHORTEST: Final = timedelta(seconds=15)
# Between answers farther apart than this there was time for work that the average would hide.
_LONGEST_GAP: Final = timedelta(minutes=20)
_TAB_IS_OPEN: Final = timedelta(seconds=60)
# A person hardly uses a kernel within so short a time before every single answer.
_STEADY: Final = timedelta(seconds=20)
# A laptop that wakes in the night reconnects, and each time all kernels look as if they had just been used.
RECONNECTS_BELIEVED: Final = 2


@dataclass(frozen=True, slots=True)
class Trail:
    """A row of answers since one boot without a long gap.

    since: the first of the row; readings: how many. at, cpu_seconds, kernel_active_at: of the newest.
    cpu_rate: processor seconds a minute between the newest two, None for the first.
    The others: when such work was last seen; None if never in this row. job_since: since when every answer had a job.
    moved, polled: whether the newest answer found the kernels used since the one before, and a visible tab open.
    interrupted: nobody asked for a while, because the processor was seen at work.
    reconnects: how often only a browser's reconnect moved the kernels since a person was last seen.
    steady_since: since when every answer found kernels in use at that very moment, likewise with no other sign: a page
    that asks its kernel all the time, or a program that goes on writing.
    """

    boot: str
    since: datetime
    readings: int
    at: datetime
    cpu_seconds: float
    kernel_active_at: datetime | None = None
    cpu_rate: float | None = None
    cpu_at: datetime | None = None
    gpu_at: datetime | None = None
    busy_at: datetime | None = None
    job_at: datetime | None = None
    job_since: datetime | None = None
    held_at: datetime | None = None
    interrupted: bool = False
    moved: bool = False
    polled: bool = False
    reconnects: int = 0
    steady_since: datetime | None = None

    @property
    def only_reconnected(self) -> bool:
        """True when what moved the kernels was so often a reconnect that it is no sign of a person any more."""
        return self.reconnects > RECONNECTS_BELIEVED


def follow(trail: Trail | None, reading: Reading, policy: Policy) -> Trail | None:
    """The trail with one more answer; a new one after a boot or a long gap. The same when the answer is not newer.

    None without a machine to follow: over the network only Jupyter is seen.
    """
    machine = reading.machine
    if machine is None:
        return None
    if trail is not None and reading.at <= trail.at:
        return trail
    if trail is None or trail.boot != machine.boot or reading.at - trail.at > _LONGEST_GAP:
        # Somebody boots a machine; and what went on while it was silent is not known. After a time in which the
        # processor was at work, that tells more.
        unseen = trail is not None and (trail.boot != machine.boot or not trail.interrupted)
        cpu_at = reading.at if unseen else None
        begun = Trail(machine.boot, reading.at, 0, reading.at, machine.cpu_seconds, cpu_at=cpu_at)
        return _seen(begun, reading, machine, policy)
    minutes = max(reading.at - trail.at, _SHORTEST) / timedelta(minutes=1)
    moved = replace(trail, interrupted=False, cpu_rate=None)
    # What was used while the processor was seen at work is known already; it would count for the moment of the answer.
    if not trail.interrupted:
        # When a kernel goes away its seconds go too: a change, and not idleness.
        fell = machine.cpu_seconds < trail.cpu_seconds
        rate = (machine.cpu_seconds - trail.cpu_seconds) / minutes
        worked = fell or rate > CPU_SECONDS_A_MINUTE
        moved = replace(moved, cpu_rate=max(rate, 0.0), cpu_at=reading.at if worked else trail.cpu_at)
    person = _shows_a_person(moved, reading, machine)
    used, before = _kernels_used(reading), trail.kernel_active_at
    kernels_moved = used is not None and before is not None and used - before >= timedelta(seconds=1)
    polled = any(is_polled(server, reading) for server in reading.servers)
    steady = not person and used is not None and reading.at - used < _STEADY
    reconnects = trail.reconnects
    if person or (kernels_moved and not _is_reconnect(trail, reading, polled)):
        reconnects = 0
    elif kernels_moved:
        reconnects += 1
    counted = replace(
        moved,
        moved=kernels_moved,
        polled=polled,
        reconnects=reconnects,
        steady_since=(trail.steady_since or trail.at) if steady else None,
    )
    return _seen(counted, reading, machine, policy)


def _seen(trail: Trail, reading: Reading, machine: Machine, policy: Policy) -> Trail:
    at = reading.at
    gpu = machine.gpu_percent is not None and policy.gpu_percent is not None
    computes = gpu and (machine.gpu_percent or 0.0) > (policy.gpu_percent or 0.0)
    return replace(
        trail,
        readings=trail.readings + 1,
        at=at,
        cpu_seconds=machine.cpu_seconds,
        kernel_active_at=_kernels_used(reading),
        gpu_at=at if computes else trail.gpu_at,
        busy_at=at if any(server.busy for server in reading.servers) else trail.busy_at,
        job_at=at if machine.jobs else trail.job_at,
        job_since=(trail.job_since or at) if machine.jobs else None,
        held_at=at if machine.held else trail.held_at,
    )


def _shows_a_person(trail: Trail, reading: Reading, machine: Machine) -> bool:
    """Somebody types, saves or computes: whatever else moves then, a person may be behind it."""
    moments = (*signs_of_a_person(reading, machine), trail.cpu_at)
    return any(at is not None and at > trail.at for at in moments)


def _is_reconnect(trail: Trail, reading: Reading, polled: bool) -> bool:
    """Whether what moved the kernels looks like a browser on a laptop that woke for a minute, with nobody there."""
    # A cell that came to its end moves its kernel too.
    if trail.busy_at == trail.at:
        return False
    # Who works moves them again and again; a laptop wakes, and sleeps for longer than from one answer to the next.
    if trail.moved:
        return False
    # A tab that asks its server all the time is on a laptop that is awake: who sits there may well have moved them.
    if polled and trail.polled:
        return False
    return all(server.together for server in reading.servers if server.connections)


def is_polled(server: Server, reading: Reading) -> bool:
    """Whether a visible tab was open: it asks its server something every ten seconds."""
    at = server.server_active_at
    return at is not None and reading.at - at < _TAB_IS_OPEN


def signs_of_a_person(reading: Reading, machine: Machine | None) -> list[datetime]:
    """When somebody last typed in a terminal, or saved a notebook or a file in an editor."""
    moments = [server.saved_at for server in reading.servers]
    if machine is not None:
        moments += [machine.typed_at, machine.edited_at]
    return [at for at in moments if at is not None]


def _kernels_used(reading: Reading) -> datetime | None:
    return max((server.kernel_active_at for server in reading.servers if server.kernel_active_at), default=None)
