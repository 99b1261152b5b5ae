"""What consecutive answers of a workstation tell together, which no single one does.

Pure. Processor seconds only grow, so work shows between two answers; a job on a terminal that has ended leaves no
moment behind, so it was last at work when it was last seen.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final

from autostop.idle.processor_use import used_since
from autostop.idle.reading import Machine, Reading, Server
from autostop.settings import Policy

# Between answers farther apart than this there was time for work that the average would hide.
_LONGEST_GAP: Final = timedelta(minutes=20)
# A connection is gone two minutes after its laptop fell asleep; of one that wakes every few, some answer has none.
_STAYS_CONNECTED: Final = timedelta(minutes=10)
_TAB_IS_OPEN: Final = timedelta(seconds=60)
# A person hardly uses a kernel within so short a time before every single answer.
_STEADY: Final = timedelta(seconds=20)
# A laptop that wakes in the night reconnects, and each time all kernels look as if they had just been used.
RECONNECTS_BELIEVED: Final = 2


@dataclass(frozen=True, slots=True)
class History:
    """A row of answers since one boot without a long gap.

    since: the first of the row; readings: how many. at, cpu, kernel_active_at: of the newest. connected_since: since
    when each found somebody connected to a kernel. quietest: of each that serves others the lowest rate so far.
    cpu_rate: processor seconds a minute between the newest two, as `ProcessorUse.rate`; None for the first.
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
    cpu: Mapping[str, float] = field(default_factory=dict)
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
    connected_since: datetime | None = None
    quietest: Mapping[str, float] = field(default_factory=dict)

    @property
    def only_reconnected(self) -> bool:
        """True when what moved the kernels was so often a reconnect that it is no sign of a person any more."""
        return self.reconnects > RECONNECTS_BELIEVED


def follow(history: History | None, reading: Reading, policy: Policy) -> History | None:
    """The history with one more answer; a new one after a boot or a long gap. The same when the answer is not newer.

    None without a machine to follow: over the network only Jupyter is seen.
    """
    machine = reading.machine
    if machine is None:
        return None
    if history is not None and reading.at <= history.at:
        return history
    if history is None or history.boot != machine.boot or reading.at - history.at > _LONGEST_GAP:
        going_on = _begun(history, reading, machine)
    else:
        going_on = _with_kernels(_with_processor(history, reading, machine, policy), reading, machine)
    return _with_what_is_there(going_on, reading, machine, policy)


def _begun(before: History | None, reading: Reading, machine: Machine) -> History:
    # Somebody boots a machine; and what went on while it was silent is not known. After a time in which the processor
    # was at work, that tells more.
    unseen = before is not None and (before.boot != machine.boot or not before.interrupted)
    return History(machine.boot, reading.at, 0, reading.at, machine.cpu, cpu_at=reading.at if unseen else None)


def _with_processor(history: History, reading: Reading, machine: Machine, policy: Policy) -> History:
    # What was used while the processor was seen at work is known already; it would count for the moment of the answer.
    if history.interrupted:
        return replace(history, interrupted=False, cpu_rate=None)
    use = used_since(history.cpu, history.quietest, machine, reading.at - history.at)
    worked = use.something_ended or use.rate > policy.cpu_seconds
    cpu_at = reading.at if worked else history.cpu_at
    return replace(history, cpu_rate=max(use.rate, 0.0), cpu_at=cpu_at, quietest=use.quietest)


def _with_kernels(history: History, reading: Reading, machine: Machine) -> History:
    """Whether kernels were used since the answer before, and whether that takes a person."""
    # Somebody types, saves or computes: whatever else moves then, a person may be behind it.
    moments = (
        history.cpu_at,
        machine.typed_at,
        machine.edited_at,
        machine.wrote_at,
        *(server.saved_at for server in reading.servers),
    )
    person = any(at is not None and at > history.at for at in moments)
    used, before = _kernels_used(reading), history.kernel_active_at
    moved = used is not None and before is not None and used - before >= timedelta(seconds=1)
    polled = any(is_polled(server, reading) for server in reading.servers)
    steady = not person and used is not None and reading.at - used < _STEADY
    reconnects = history.reconnects
    if person or (moved and not _is_reconnect(history, reading, polled)):
        reconnects = 0
    elif moved:
        reconnects += 1
    steady_since = (history.steady_since or history.at) if steady else None
    return replace(history, moved=moved, polled=polled, reconnects=reconnects, steady_since=steady_since)


def _with_what_is_there(history: History, reading: Reading, machine: Machine, policy: Policy) -> History:
    at, gpu, limit = reading.at, machine.gpu_percent, policy.gpu_percent
    computes = gpu is not None and limit is not None and gpu > limit
    return replace(
        history,
        readings=history.readings + 1,
        at=at,
        cpu=machine.cpu,
        kernel_active_at=_kernels_used(reading),
        connected_since=(history.connected_since or at) if _is_connected(reading) else None,
        gpu_at=at if computes else history.gpu_at,
        busy_at=at if any(server.busy for server in reading.servers) else history.busy_at,
        job_at=at if machine.jobs else history.job_at,
        job_since=(history.job_since or at) if machine.jobs else None,
        held_at=at if machine.held else history.held_at,
    )


def _is_reconnect(history: History, reading: Reading, polled: bool) -> bool:
    """Whether what moved the kernels looks like a browser on a laptop that woke for a minute, with nobody there."""
    # A cell that came to its end moves its kernel too.
    if history.busy_at == history.at:
        return False
    # Who stayed connected did not reconnect.
    since = history.connected_since
    if since is not None and reading.at - since >= _STAYS_CONNECTED and _is_connected(reading):
        return False
    # Who works moves them again and again; a laptop wakes, and sleeps for longer than from one answer to the next.
    if history.moved:
        return False
    # A tab that asks its server all the time is on a laptop that is awake: who sits there may well have moved them.
    if polled and history.polled:
        return False
    return all(server.together for server in reading.servers if server.connections)


def is_polled(server: Server, reading: Reading) -> bool:
    """Whether a visible tab was open: it asks its server something every ten seconds."""
    at = server.server_active_at
    return at is not None and reading.at - at < _TAB_IS_OPEN


def _is_connected(reading: Reading) -> bool:
    return any(server.connections for server in reading.servers)


def _kernels_used(reading: Reading) -> datetime | None:
    return max((server.kernel_active_at for server in reading.servers if server.kernel_active_at), default=None)
