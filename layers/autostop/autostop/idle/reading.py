"""What a workstation answered when it was asked whether it is at work.

Pure: no clock, no network. The answer comes from a machine that its owner controls, so nothing of it is believed
before it is checked: what is cut, malformed or contradictory is `Unread`, and `Unread` is never idle.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from autostop.idle.refused_answer import broken_server, probe_error

VERSION: Final = 2

# The probe prints less than 2,000 bytes and Run Command hands on at most 2,500 characters.
_LONGEST_ANSWER: Final = 4096
# Run Command appends what the program said on its standard error under this line; the shell may have complained there.
_STANDARD_ERROR: Final = "----------ERROR-------"
# Up to here the workstation's clock is taken for right; beyond, only the ages it measured are used.
_CLOCK_TOLERANCE: Final = timedelta(minutes=2)
# An activity "in the future" is a corrected clock, and counts as now. Further ahead it would count for days.
_FUTURE_SECONDS: Final = 24 * 3600.0
# Seconds since the epoch for 2000 and 2100: a clock outside has never been set.
_EARLIEST: Final = 946_684_800.0
_LATEST: Final = 4_102_444_800.0
_HIGHEST_COUNT: Final = 1_000_000
# Processor seconds of a year on a thousand cores.
_MOST_CPU_SECONDS: Final = 4e10
_BOOT: Final = re.compile(r"[0-9a-f]{1,32}", re.ASCII)
_PROGRAM: Final = re.compile(r"[A-Za-z0-9._+-]{0,15}", re.ASCII)
_MOST_SERVERS: Final = 16

_UNKNOWN_ANSWER: Final = (
    "the workstation's answer was not understood; if it stays so, run the probe there by hand and look "
    "at what it prints"
)


@dataclass(frozen=True, slots=True)
class Server:
    """One Jupyter server that answered: its kernels by state, its terminals, and when they were last used (UTC).

    port: 0 for a server on a Unix socket, and for several servers counted together.
    kernel_active_at, terminal_active_at: the newest of all; None exactly when there is no kernel, no terminal.
    busy_active_at: the newest of the busy kernels. together: all kernels to which somebody is connected were last used
    in the same second, which is what a browser that reconnects leaves behind. connections: to kernels.
    server_active_at: of the server itself, which an open tab keeps young. saved_at: newest change of an open notebook.
    """

    port: int
    busy: int
    idle: int
    starting: int
    other: int
    kernel_active_at: datetime | None
    terminals: int
    terminal_active_at: datetime | None
    busy_active_at: datetime | None = None
    together: bool = False
    connections: int = 0
    server_active_at: datetime | None = None
    saved_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Machine:
    """What was seen on the workstation beside the answers of its Jupyter servers.

    boot: changes with each boot. cpu_seconds: used since then by everything under Jupyter servers, logins and
    terminal multiplexers. typed_at: the last keystroke on any terminal. jobs: programs on terminals that are neither
    shell, viewer nor editor; job: the name of one. gpu_percent: of the busiest GPU, None without one. logins: SSH
    connections. editors: servers of remote editors; edited_at: when one of them last saved a file. kernels: those
    that belong to no server. held: a program holds the keep-awake lock.
    """

    boot: str
    cpu_seconds: float
    typed_at: datetime | None
    jobs: int
    job: str
    gpu_percent: float | None
    logins: int
    editors: int
    edited_at: datetime | None
    multiplexers: int
    kernels: int
    held: bool


@dataclass(frozen=True, slots=True)
class Reading:
    """What the workstation answered. `at`: when it was asked, on our clock.

    machine: None when only Jupyter was asked, over the network. missing: what could not be read, in words, while
    other servers did answer; work that was seen all the same is work.
    """

    at: datetime
    servers: tuple[Server, ...]
    machine: Machine | None = None
    missing: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Unread:
    """It is not known whether anybody uses it. `reason`: why, and what to do, for the owner to read."""

    at: datetime
    reason: str


class _UnknownShapeError(Exception):
    """The answer has a shape that the probe never gives, or contradicts itself."""


class _RefusedError(Exception):
    """The answer is understood and says that something could not be read; the text is the reason."""


def parse_reading(text: str, received_at: datetime) -> Reading | Unread:
    """The reading in what the probe printed; never raises for any text.

    received_at: aware, by our clock; the moment for which the answer speaks. When the answer is collected later than
    it was given, hand in the moment when the workstation was asked: a reading dated too late would claim to have seen
    minutes that nobody looked at.
    """
    if not text.strip():
        return Unread(received_at, "the workstation printed no answer; is Python 3.8 or newer installed?")
    try:
        document = json.loads(_only_line(text), object_pairs_hook=_without_doubles)
    except (_UnknownShapeError, ValueError, RecursionError):
        return Unread(received_at, _UNKNOWN_ANSWER)
    answer = read_document(document, received_at)
    # The probe always tells of the machine, or why not: without, keystrokes and jobs would look as if there were none.
    if isinstance(answer, Reading) and answer.machine is None and not answer.missing:
        return Unread(received_at, _UNKNOWN_ANSWER)
    return answer


def read_document(document: object, received_at: datetime) -> Reading | Unread:
    """The reading in a decoded answer of the probe's format; never raises for any value.

    The format is told in `autostop.probe.probe`. received_at: as for `parse_reading`.
    """
    try:
        return _read(document, received_at)
    except _RefusedError as failed:
        return Unread(received_at, str(failed))
    except _UnknownShapeError:
        return Unread(received_at, _UNKNOWN_ANSWER)


def _only_line(text: str) -> str:
    if len(text) > _LONGEST_ANSWER:
        raise _UnknownShapeError
    line, _, rest = text.strip().partition("\n")
    if rest.strip() and not rest.lstrip().startswith(_STANDARD_ERROR):
        raise _UnknownShapeError
    return line


def _without_doubles(pairs: list[tuple[str, object]]) -> dict[str, object]:
    # Of two equal keys json keeps the last: a second, empty "servers" would hide the first.
    if len({key for key, _ in pairs}) != len(pairs):
        raise _UnknownShapeError
    return dict(pairs)


def _read(document: object, received_at: datetime) -> Reading:
    fields = _object(document)
    if _whole(fields.get("v"), VERSION) != VERSION:
        raise _UnknownShapeError
    entries, errors = _list(fields.get("servers")), _list(fields.get("errors"))
    if len(entries) > _MOST_SERVERS:
        raise _UnknownShapeError
    reasons = [probe_error(_word(error)) for error in errors]
    servers = [_object(entry) for entry in entries]
    reasons += [broken_server(_port(server), _word(server.get("status"))) for server in servers if not _ok(server)]
    answered = [server for server in servers if _ok(server)]
    # A probe that could not look has no machine to tell of; and then nothing is known.
    if reasons and (not answered and fields.get("machine") is None):
        raise _RefusedError("; ".join(_few(reasons)))
    clock = _Clock(_stamp(fields.get("at")), received_at)
    return Reading(
        clock.at,
        tuple(_server(server, clock) for server in answered),
        _machine(fields.get("machine"), clock),
        _few(reasons),
    )


class _Clock:
    """Turns moments on the workstation's clock into moments on ours, by the ages that it measured."""

    def __init__(self, measured_at: float, received_at: datetime) -> None:
        at = datetime.fromtimestamp(measured_at, UTC)
        self.at = received_at.astimezone(UTC) if abs(at - received_at) > _CLOCK_TOLERANCE else at
        self._measured_at = measured_at

    def moment(self, stamp: object) -> datetime | None:
        if stamp is None:
            return None
        age = self._measured_at - _stamp(stamp)
        if age < -_FUTURE_SECONDS:
            raise _RefusedError(
                "something on it was last used in the future: set the workstation's clock (chronyc makestep), then "
                "restart the kernels"
            )
        # Before zero: the clock was set back since, or the stamp was taken while we asked. Either way it is now.
        return self.at - timedelta(seconds=max(age, 0.0))


def _few(reasons: list[str]) -> tuple[str, ...]:
    """For the page: the same reason once, and not more than two of them."""
    different = list(dict.fromkeys(reasons))
    more = len(different) - 2
    return (*different[:2], *([f"and {more} more"] if more > 0 else []))


def _server(entry: Mapping[str, object], clock: _Clock) -> Server:
    busy, idle, starting, other = (_count(entry.get(state)) for state in ("busy", "idle", "starting", "other"))
    terminals = _count(entry.get("terminals"))
    return Server(
        port=_port(entry),
        busy=busy,
        idle=idle,
        starting=starting,
        other=other,
        kernel_active_at=_active_at(entry.get("kernel_at"), busy + idle + starting + other, clock),
        terminals=terminals,
        terminal_active_at=_active_at(entry.get("terminal_at"), terminals, clock),
        busy_active_at=_active_at(entry.get("busy_at"), busy, clock),
        together=bool(_whole(entry.get("together"), 1)),
        connections=_count(entry.get("connections")),
        server_active_at=clock.moment(entry.get("server_at")),
        saved_at=clock.moment(entry.get("saved_at")),
    )


def _active_at(stamp: object, how_many: int, clock: _Clock) -> datetime | None:
    """When the newest of `how_many` kernels or terminals was used, on our clock."""
    # Kernels without a time would look as if they had never been used; a time without kernels, as if they had gone.
    if (stamp is None) != (how_many == 0):
        raise _UnknownShapeError
    return clock.moment(stamp)


def _machine(value: object, clock: _Clock) -> Machine | None:
    if value is None:
        return None
    fields = _object(value)
    return Machine(
        boot=_matching(fields.get("boot"), _BOOT),
        cpu_seconds=_number(fields.get("cpu"), _MOST_CPU_SECONDS),
        typed_at=clock.moment(fields.get("typed_at")),
        jobs=_count(fields.get("jobs")),
        job=_matching(fields.get("job"), _PROGRAM),
        gpu_percent=None if fields.get("gpu") is None else _number(fields.get("gpu"), 100.0),
        logins=_count(fields.get("logins")),
        editors=_count(fields.get("editors")),
        edited_at=clock.moment(fields.get("edited_at")),
        multiplexers=_count(fields.get("muxes")),
        kernels=_count(fields.get("kernels")),
        held=bool(_whole(fields.get("held"), 1)),
    )


def _object(value: object) -> dict[str, object]:
    if not isinstance(value, dict):
        raise _UnknownShapeError
    return value


def _list(value: object) -> list[object]:
    if not isinstance(value, list):
        raise _UnknownShapeError
    return value


def _word(value: object) -> str:
    if not isinstance(value, str):
        raise _UnknownShapeError
    return value


def _matching(value: object, pattern: re.Pattern[str]) -> str:
    word = _word(value)
    if not pattern.fullmatch(word):
        raise _UnknownShapeError
    return word


def _number(value: object, highest: float) -> float:
    # NaN is in no range; True is a number in Python.
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value <= highest:
        raise _UnknownShapeError
    return float(value)


def _whole(value: object, highest: int) -> int:
    # True is an int in Python, and would count as one.
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= highest:
        raise _UnknownShapeError
    return value


def _count(value: object) -> int:
    return _whole(value, _HIGHEST_COUNT)


def _port(entry: Mapping[str, object]) -> int:
    return _whole(entry.get("port"), 65535)


def _ok(entry: Mapping[str, object]) -> bool:
    return entry.get("status") == "ok"


def _stamp(value: object) -> float:
    # Compared before it is converted: an integer of a thousand digits is no float. NaN is in no range, and True is 1.
    if not isinstance(value, int | float) or not _EARLIEST <= value <= _LATEST:
        raise _UnknownShapeError
    return float(value)
