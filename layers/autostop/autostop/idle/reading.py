"""What a workstation answered when it was asked whether it is at work.

Pure: no clock, no network. The answer comes from a machine that its owner controls, so nothing of it is believed
before it is checked: what is cut, malformed or contradictory is `Unknown`, and `Unknown` is never idle.
"""

import json
import re
from collections.abc import Mapping, Sized
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, ClassVar, Final, TypeVar, cast

T = TypeVar("T")

# A workstation may still answer a question of the version before; what a newer one says is not understood.
VERSION: Final = 3
_VERSIONS: Final = (VERSION - 1, VERSION)

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
_HIGHEST_UID: Final = 2**32 - 1
# Processor seconds of a year on a thousand cores.
_MOST_CPU_SECONDS: Final = 4e10
_BOOT: Final = re.compile(r"[0-9a-f]{1,32}", re.ASCII)
_PROGRAM: Final = re.compile(r"[A-Za-z0-9._+-]{0,15}", re.ASCII)
_GROUP: Final = re.compile(r"[a-z0-9+]{1,12}", re.ASCII)
_MOST_SERVERS: Final = 16
_MOST_GROUPS: Final = 64
_MOST_DOUBTS: Final = 16
_USER: Final = re.compile(r"[A-Za-z0-9_.-]{1,32}", re.ASCII)
_BASE: Final = re.compile(r"/[\w.~%@/-]{0,99}", re.ASCII)
_HTTP: Final = re.compile(r"http([1-9][0-9]{2})", re.ASCII)

_UNKNOWN_ANSWER: Final = (
    "the workstation's answer was not understood; if it stays so, run the probe there by hand and look "
    "at what it prints"
)
# What went wrong with a server, by the probe's word for it, and what helps; after the server's name. Nothing of an
# answer is repeated in these texts but a port number and an HTTP status, so nothing hostile reaches a page or a log.
_SERVER_ERRORS: Final = {
    "http403": "refuses the question: set IdentityProvider.token beside the password",
    "http404": "does not know the question (HTTP 404): is another program listening there, or is its base_url wrong?",
    "timeout": "did not answer in time: it hangs or is overloaded; restart it if it stays so",
    "refused": "refuses or drops the connection: does it run in a container or a network namespace of its own?",
    "tls": "failed in the TLS handshake: look at its certificate and its log",
    "bad": "gave an answer of an unknown kind: a version of Jupyter that is not known yet, or another program",
}
# The same where Autostop asks over the network, and something else helps.
_SERVER_ERRORS_OVER_HTTPS: Final = _SERVER_ERRORS | {
    "http403": "refuses the token: set IdentityProvider.token (a password alone does not do) and put the same token "
    "into the SSM parameter /autostop/<instance-id>/jupyter-token",
    "http404": "does not know the question (HTTP 404): its base_url is another one, or it is another program",
    "timeout": "did not answer in time: it hangs, or a security group or firewall does not let Autostop reach it",
    "refused": "refuses or drops the connection: does it run, and does it listen on that address?",
    "tls": "failed in the TLS handshake: does it serve https? Look at its certificate and its log",
    "certificate": "was not asked: the certificate of the Jupyter server is not the pinned one; if you renewed it, "
    "run autostop adopt again",
}
_NO_RUNTIME_FILE: Final = (
    "a Jupyter server runs whose runtime file cannot be found or trusted: restart it, or name its runtime directory in "
    "the tag autostop:jupyter-runtime; a server in a container cannot be asked"
)
GPU_UNREAD: Final = "nvidia-smi fails or hangs, so nothing is known of the GPU: run it there and look at what it says"
# Why the probe as a whole could not look everywhere.
_PROBE_ERRORS: Final = {
    "notroot": "the probe may not look into every process: let the SSM agent run as root, with CAP_SYS_PTRACE",
    "denied": "the probe may not read a directory in which Jupyter keeps its runtime files; name a readable one in the "
    "tag autostop:jupyter-runtime",
    "missing": "the directory named in the tag autostop:jupyter-runtime is not there; correct the tag",
    "gpu": GPU_UNREAD,
    "many": "there is more than the probe reads of processes, Jupyter servers, their runtime files, listening sockets "
    "or locks; end or remove what is not needed",
    "deadline": "the probe did not finish in time: the workstation or one of its file systems hangs",
}
_UNKNOWN_PROBE_ERROR: Final = "the probe failed on the workstation; run it there by hand and look at what it prints"


@dataclass(frozen=True, slots=True)
class Server:
    """One Jupyter server that answered: its kernels by state, its terminals, and when they were last used (UTC).

    port: 0 for a server on a Unix socket, and for several servers counted together.
    kernel_active_at, terminal_active_at: the newest of all; None exactly when there is no kernel, no terminal.
    busy_active_at: the newest of the busy kernels. together: all kernels to which somebody is connected were last used
    in the same second, which is what a browser that reconnects leaves behind. connections: to kernels.
    server_active_at: of the server itself, which an open tab keeps young. saved_at: newest change of an open notebook.
    uid: of the user whose it is; 0 also where that is not told. secure: whether it speaks TLS. base: under which it
    answers, with a slash at both ends. local: whether only the machine itself gets to it.
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
    uid: int = 0
    secure: bool = True
    base: str = "/"
    local: bool = False


class Waits(StrEnum):
    """What of a person's is alive on a workstation and may be waiting for the world, by the probe's word for it."""

    JOB = "job"
    PROMPT = "prompt"
    SERVER = "server"
    KERNEL = "kernel"
    EDITOR = "editor"
    DESKTOP = "desktop"

    @property
    def words(self) -> str:
        return _WAITS[self]


_WAITS: Final = {
    Waits.JOB: "a job runs in the background",
    Waits.PROMPT: "a program waits for somebody to type",
    Waits.SERVER: "a server of somebody's runs",
    Waits.KERNEL: "a kernel runs without a Jupyter server",
    Waits.EDITOR: "a program runs that an editor began",
    Waits.DESKTOP: "a desktop is open",
}


@dataclass(frozen=True, slots=True)
class Doubt:
    """Something of a person's that is alive and shows no work. name: the program's; empty where it is not told."""

    waits: Waits
    name: str = ""


@dataclass(frozen=True, slots=True)
class Machine:
    """What was seen on the workstation beside the answers of its Jupyter servers.

    boot: changes with each boot. cpu: processor seconds since then of each login, terminal, kernel and job left behind,
    by a name that stays; what serves others on the network, and polls, has one that begins with s. typed_at: the last
    keystroke on any terminal. wrote_at: when a program that has its terminal to itself last wrote there. jobs: programs
    that a terminal waits for; job: the name of one. gpu_percent: of the busiest GPU, None without one. logins: SSH
    connections. editors: servers of remote editors; edited_at: when one of them last saved a file. held: a program
    holds the keep-awake lock. visits: connections to what serves others there, from elsewhere. doubts: the first of
    those that there are.
    """

    boot: str
    typed_at: datetime | None
    jobs: int
    job: str
    gpu_percent: float | None
    logins: int
    editors: int
    edited_at: datetime | None
    multiplexers: int
    held: bool
    cpu: Mapping[str, float] = field(default_factory=dict)
    wrote_at: datetime | None = None
    doubts: tuple[Doubt, ...] = ()
    visits: int = 0


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
class Unknown:
    """It is not known whether anybody uses it. `reason`: why, and what to do, for the owner to read."""

    # Its name in stored items.
    STORED: ClassVar[str] = "Unread"

    at: datetime
    reason: str


def broken_server(port: int, error: str, *, over_https: bool = False) -> str:
    """Why a server gave no counts, and what helps. port: 0 for one on a Unix socket, or whose port is not known.

    error: the probe's word: `http` and the status, `timeout`, `refused`, `tls`, `bad`, `nofile`; over HTTPS also
    `certificate`.
    """
    if error == "nofile":
        return _NO_RUNTIME_FILE
    server = f"the Jupyter server on port {port}" if port else "a Jupyter server on a Unix socket"
    texts = _SERVER_ERRORS_OVER_HTTPS if over_https else _SERVER_ERRORS
    if error in texts:
        return f"{server} {texts[error]}"
    if status := _HTTP.fullmatch(error):
        return f"{server} answered with HTTP {status[1]}: look at its log"
    return f"{server} could not be asked, for a reason that this version does not know"


class _UnknownShapeError(Exception):
    """The answer has a shape that the probe never gives, or contradicts itself."""


class _RefusedError(Exception):
    """The answer is understood and says that something could not be read; the text is the reason."""


def parse_reading(text: str, received_at: datetime) -> Reading | Unknown:
    """The reading in what the probe printed; never raises for any text.

    received_at: aware, by our clock; the moment for which the answer speaks. When the answer is collected later than
    it was given, hand in the moment when the workstation was asked: a reading dated too late would claim to have seen
    minutes that nobody looked at.
    """
    if not text.strip():
        return Unknown(received_at, "the workstation printed no answer; is Python 3.8 or newer installed?")
    try:
        document = json.loads(_only_line(text), object_pairs_hook=_without_doubles)
    except (_UnknownShapeError, ValueError, RecursionError):
        return Unknown(received_at, _UNKNOWN_ANSWER)
    answer = read_document(document, received_at)
    # The probe always tells of the machine, or why not: without, keystrokes and jobs would look as if there were none.
    if isinstance(answer, Reading) and answer.machine is None and not answer.missing:
        return Unknown(received_at, _UNKNOWN_ANSWER)
    return answer


def read_document(document: object, received_at: datetime) -> Reading | Unknown:
    """The reading in a decoded answer of the probe's format; never raises for any value.

    The format is told in `autostop.probe.report`. received_at: as for `parse_reading`.
    """
    try:
        return _read(document, received_at)
    except _RefusedError as failed:
        return Unknown(received_at, str(failed))
    except _UnknownShapeError:
        return Unknown(received_at, _UNKNOWN_ANSWER)


def _only_line(text: str) -> str:
    line, _, rest = text.strip().partition("\n")
    if len(text) > _LONGEST_ANSWER or (rest.strip() and not rest.lstrip().startswith(_STANDARD_ERROR)):
        raise _UnknownShapeError
    return line


def _without_doubles(pairs: list[tuple[str, object]]) -> dict[str, object]:
    # Of two equal keys json keeps the last: a second, empty "servers" would hide the first.
    if len({key for key, _ in pairs}) != len(pairs):
        raise _UnknownShapeError
    return dict(pairs)


def _read(document: object, received_at: datetime) -> Reading:
    line = _a(dict, document)
    if _whole(line.get("v"), VERSION) not in _VERSIONS:
        raise _UnknownShapeError
    servers = [_a(dict, server) for server in _a(list, line.get("servers"))]
    if len(servers) > _MOST_SERVERS:
        raise _UnknownShapeError
    errors = [_a(str, error) for error in _a(list, line.get("errors"))]
    words = [error.partition(":") for error in errors]
    reasons = [_of(user, _PROBE_ERRORS.get(word, _UNKNOWN_PROBE_ERROR)) for word, _, user in words]
    broken = [server for server in servers if server.get("status") != "ok"]
    reasons += [_of(each.get("user"), broken_server(_port(each), _a(str, each.get("status")))) for each in broken]
    # A probe that could not look has no machine to tell of; and then nothing is known.
    if reasons and len(broken) == len(servers) and line.get("machine") is None:
        raise _RefusedError("; ".join(_few(reasons)))
    clock = _Clock(_stamp(line.get("at")), received_at)
    answered = tuple(_server(server, clock) for server in servers if server.get("status") == "ok")
    machine = _machine(_a(dict, line["machine"]), clock) if line.get("machine") is not None else None
    return Reading(clock.at, answered, machine, _few(reasons))


def _of(user: object, reason: str) -> str:
    """The reason with the name of the user that it is about, if that is one."""
    return f"{reason} (user {user})" if isinstance(user, str) and _USER.fullmatch(user) else reason


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


def _server(told: Mapping[str, object], clock: _Clock) -> Server:
    busy, idle, starting, other = (_count(told.get(state)) for state in ("busy", "idle", "starting", "other"))
    terminals = _count(told.get("terminals"))
    return Server(
        port=_port(told),
        busy=busy,
        idle=idle,
        starting=starting,
        other=other,
        kernel_active_at=_active_at(told.get("kernel_at"), busy + idle + starting + other, clock),
        terminals=terminals,
        terminal_active_at=_active_at(told.get("terminal_at"), terminals, clock),
        busy_active_at=_active_at(told.get("busy_at"), busy, clock),
        together=bool(_whole(told.get("together"), 1)),
        connections=_count(told.get("connections")),
        server_active_at=clock.moment(told.get("server_at")),
        saved_at=clock.moment(told.get("saved_at")),
        uid=_whole(told.get("uid", 0), _HIGHEST_UID),
        secure=not _whole(told.get("plain", 0), 1),
        base=_matching(told.get("base", "/"), _BASE),
        local=bool(_whole(told.get("local", 0), 1)),
    )


def _active_at(stamp: object, how_many: int, clock: _Clock) -> datetime | None:
    """When the newest of `how_many` kernels or terminals was used, on our clock."""
    # Kernels without a time would look as if they had never been used; a time without kernels, as if they had gone.
    if (stamp is None) != (how_many == 0):
        raise _UnknownShapeError
    return clock.moment(stamp)


def _machine(told: Mapping[str, object], clock: _Clock) -> Machine:
    cpu, doubts = told.get("cpu"), told.get("doubts", [])
    if "kernels" in told:
        # As the version before told it: one sum, and how many kernels there are without a server.
        cpu, doubts = {"all": cpu}, [[Waits.KERNEL.value, ""]] * min(_count(told["kernels"]), 1)
    return Machine(
        boot=_matching(told.get("boot"), _BOOT),
        cpu={
            _matching(name, _GROUP): _number(seconds, 0.0, _MOST_CPU_SECONDS)
            for name, seconds in _few_of(_a(dict, cpu), _MOST_GROUPS).items()
        },
        typed_at=clock.moment(told.get("typed_at")),
        wrote_at=clock.moment(told.get("wrote_at")),
        jobs=_count(told.get("jobs")),
        job=_matching(told.get("job"), _PROGRAM),
        gpu_percent=None if told.get("gpu") is None else _number(told.get("gpu"), 0.0, 100.0),
        logins=_count(told.get("logins")),
        editors=_count(told.get("editors")),
        edited_at=clock.moment(told.get("edited_at")),
        multiplexers=_count(told.get("muxes")),
        held=bool(_whole(told.get("held"), 1)),
        visits=_count(told.get("visits", 0)),
        doubts=tuple(_doubt(doubt) for doubt in _few_of(_a(list, doubts), _MOST_DOUBTS)),
    )


def _doubt(told: object) -> Doubt:
    word, name = _few_of(_a(list, told), 2, least=2)
    if word not in [*Waits]:
        raise _UnknownShapeError
    return Doubt(Waits(word), _matching(name, _PROGRAM))


# --- values of the line, each checked --------------------------------------------------------------------------------


def _a(kind: type[T], value: Any) -> T:
    # True is an int in Python, and would count as one.
    if not isinstance(value, kind) or isinstance(value, bool):
        raise _UnknownShapeError
    return value


def _few_of(values: T, most: int, least: int = 0) -> T:
    if not least <= len(cast("Sized", values)) <= most:
        raise _UnknownShapeError
    return values


def _matching(value: object, pattern: re.Pattern[str]) -> str:
    word = _a(str, value)
    if not pattern.fullmatch(word):
        raise _UnknownShapeError
    return word


def _number(value: object, lowest: float, highest: float) -> float:
    # Compared before it is converted: an integer of a thousand digits is no float. NaN is in no range.
    if not isinstance(value, int | float) or isinstance(value, bool) or not lowest <= value <= highest:
        raise _UnknownShapeError
    return float(value)


def _whole(value: object, highest: int) -> int:
    number = _a(int, value)
    if not 0 <= number <= highest:
        raise _UnknownShapeError
    return number


def _count(value: object) -> int:
    return _whole(value, _HIGHEST_COUNT)


def _port(server: Mapping[str, object]) -> int:
    return _whole(server.get("port"), 65535)


def _stamp(value: object) -> float:
    return _number(value, _EARLIEST, _LATEST)
