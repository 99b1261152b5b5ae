"""What consecutive answers of a workstation tell together, which no single one does.

Pure. Processor seconds only grow, so work shows between two answers; a job on a terminal that has ended leaves no
moment behind, so it was last at work when it was last seen.
"""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from autostop.idle.history import History
from autostop.idle.programs_at_work import gpu_computes, used_since
from autostop.idle.reading import Machine, Reading
from autostop.idle.reconnects import is_connected, is_polled, is_reconnect
from autostop.settings import Policy

# Between answers farther apart than this there was time for work that the average would hide.
_LONGEST_GAP: Final = timedelta(minutes=20)
# A person hardly uses a kernel within so short a time before every single answer.
_STEADY: Final = timedelta(seconds=20)


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
    cpu_at = reading.at if use.is_work(policy) else history.cpu_at
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
    if person or (moved and not is_reconnect(history, reading, polled)):
        reconnects = 0
    elif moved:
        reconnects += 1
    steady_since = (history.steady_since or history.at) if steady else None
    return replace(history, moved=moved, polled=polled, reconnects=reconnects, steady_since=steady_since)


def _with_what_is_there(history: History, reading: Reading, machine: Machine, policy: Policy) -> History:
    at = reading.at
    return replace(
        history,
        readings=history.readings + 1,
        at=at,
        cpu=machine.cpu,
        kernel_active_at=_kernels_used(reading),
        connected_since=(history.connected_since or at) if is_connected(reading) else None,
        gpu_at=at if gpu_computes(machine, policy) else history.gpu_at,
        busy_at=at if any(server.busy for server in reading.servers) else history.busy_at,
        job_at=at if machine.jobs else history.job_at,
        job_since=(history.job_since or at) if machine.jobs else None,
        held_at=at if machine.held else history.held_at,
    )


def _kernels_used(reading: Reading) -> datetime | None:
    return max((server.kernel_active_at for server in reading.servers if server.kernel_active_at), default=None)
