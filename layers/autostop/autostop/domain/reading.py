"""What a workstation answered when it was asked about Jupyter.

Pure: no clock, no network. The answer comes from a machine that its owner controls, so nothing of it is believed
before it is checked: what is cut, malformed or contradictory is `Unread`, and `Unread` is never idle.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from autostop.domain.refused_answer import broken_server, probe_error

VERSION: Final = 1

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
_MOST_SERVERS: Final = 16

_UNKNOWN_ANSWER: Final = (
    "the workstation's answer about Jupyter was not understood; if it stays so, run the probe there by hand and look "
    "at what it prints"
)


@dataclass(frozen=True, slots=True)
class Server:
    """One Jupyter server that answered: its kernels by state, its terminals, and when they were last used (UTC).

    port: 0 for a server on a Unix socket, and for several servers counted together.
    kernel_active_at, terminal_active_at: the newest of all; None exactly when there is no kernel, no terminal.
    """

    port: int
    busy: int
    idle: int
    starting: int
    other: int
    kernel_active_at: datetime | None
    terminals: int
    terminal_active_at: datetime | None


@dataclass(frozen=True, slots=True)
class Reading:
    """Every Jupyter server of the workstation answered. `at`: when they were asked, on our clock."""

    at: datetime
    servers: tuple[Server, ...]


@dataclass(frozen=True, slots=True)
class Unread:
    """It is not known whether somebody uses Jupyter. `reason`: why, and what to do, for the owner to read."""

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
        return Unread(received_at, "the workstation printed no answer about Jupyter; is Python 3.8 or newer installed?")
    try:
        document = json.loads(_only_line(text), object_pairs_hook=_without_doubles)
    except (_UnknownShapeError, ValueError, RecursionError):
        return Unread(received_at, _UNKNOWN_ANSWER)
    return read_document(document, received_at)


def read_document(document: object, received_at: datetime) -> Reading | Unread:
    """The reading in a decoded answer of the probe's format; never raises for any value.

    The format is told in `autostop.probe`. received_at: as for `parse_reading`.
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
    if reasons:
        raise _RefusedError(_joined(reasons))
    measured_at = _stamp(fields.get("at"))
    at = datetime.fromtimestamp(measured_at, UTC)
    if abs(at - received_at) > _CLOCK_TOLERANCE:
        at = received_at.astimezone(UTC)
    return Reading(at, tuple(_server(server, measured_at, at) for server in servers))


def _joined(reasons: list[str]) -> str:
    """One sentence for the page: the same reason once, and not more than two of them."""
    different = list(dict.fromkeys(reasons))
    more = len(different) - 2
    return "; ".join(different[:2]) + (f"; and {more} more" if more > 0 else "")


def _server(entry: Mapping[str, object], measured_at: float, at: datetime) -> Server:
    busy, idle, starting, other = (_count(entry.get(state)) for state in ("busy", "idle", "starting", "other"))
    terminals = _count(entry.get("terminals"))
    return Server(
        port=_port(entry),
        busy=busy,
        idle=idle,
        starting=starting,
        other=other,
        kernel_active_at=_active_at(entry.get("kernel_at"), busy + idle + starting + other, measured_at, at),
        terminals=terminals,
        terminal_active_at=_active_at(entry.get("terminal_at"), terminals, measured_at, at),
    )


def _active_at(stamp: object, how_many: int, measured_at: float, at: datetime) -> datetime | None:
    """When the newest of `how_many` kernels or terminals was used, on our clock."""
    # Kernels without a time would look as if they had never been used; a time without kernels, as if they had gone.
    if (stamp is None) != (how_many == 0):
        raise _UnknownShapeError
    if stamp is None:
        return None
    age = measured_at - _stamp(stamp)
    if age < -_FUTURE_SECONDS:
        raise _RefusedError(
            "Jupyter says that it was last used in the future: set the workstation's clock (chronyc makestep), then "
            "restart the kernels"
        )
    # Before zero: the clock was set back since, or the stamp was taken while we asked. Either way it counts as now.
    return at - timedelta(seconds=max(age, 0.0))


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
