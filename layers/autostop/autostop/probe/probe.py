"""Look whether anybody works on this machine, and print one line of JSON.

Runs on the workstation, as root, as `python3 -I - [RUNTIME_DIR ...]`, sent by Run Command. So it is alone (standard
library, Python 3.8 or newer, no import of the package) and it must not hold two opening braces in a row, which Run
Command would take for a parameter. It reads and never writes, and asks Jupyter so that the question does not count as
activity. It is done in 5 seconds, whatever hangs.

    {"v":3, "at":<seconds since the epoch, this machine's clock>, "servers":[<server>, ...], "machine":<machine>,
     "errors":["<word>", ...]}

A server that answered is {"port", "status":"ok", "uid", "busy", "idle", "starting", "other", "kernel_at", "busy_at",
"together", "terminals", "terminal_at", "connections", "server_at", "saved_at"}: whose it is, left out of root's;
kernels by state; the newest `last_activity` of a kernel, of a busy one, of a terminal and of the server; 1 if the
kernels to which somebody is connected were all used in the same second, which is what a browser leaves behind that
reconnects; and when the newest file of an open notebook was saved. Moments are seconds or null. A server that did not
answer is {"port", "status"} with http<code>, timeout, refused, tls, bad, or nofile: a server process without a runtime
file that can be trusted, with its "user". Port 0 stands for a Unix socket or a port that is not known. "more":N marks
an entry that stands for N servers.

The machine is null when it could not be looked at, else {"boot", "cpu", "typed_at", "wrote_at", "jobs", "job", "gpu",
"logins", "editors", "edited_at", "muxes", "held", "visits", "doubts"}:
  boot       eight digits that change with each boot
  cpu        {<session>: processor seconds since the boot} of what runs under Jupyter servers, connections and
             terminals, of kernels without a server, of desktops and of jobs that were left behind; of what listens on
             the network under a name that begins with s, and of all that hold a GPU as g. Left out: Jupyter's servers
             themselves (a tab that polls is no work), viewers such as top, and editor servers with what they started,
             but for their terminals
  typed_at   the last keystroke on a terminal
  wrote_at   when a program last wrote to a terminal that it reads key by key, and that is no viewer or editor
  jobs, job  programs for which a terminal waits; the name of one
  gpu        percent, the busiest GPU in three samples; null without a GPU
  logins, editors, muxes    connections; servers of remote editors; tmux and screen
  edited_at  when a remote editor last saved a file
  visits     connections to what listens, but for those of the programs whose processor time counts
  held       1 while somebody holds a lock on the file .autostop-keep-awake in his home
  doubts     [[<word>, <name>], ...] of a person's programs that are there and may wait for the world, six at most: job
             in the background or left behind, prompt that waits for a person, server that listens, kernel without a
             Jupyter server, editor's child, desktop

How a terminal is set tells what its foreground does: a shell, a prompt and an editor read key by key; while a command
runs, the terminal reads lines. Then only who is in read() of the terminal waits for a person.

The line is shorter than 2,000 bytes, and has no secret and no word that a user chose but the names of programs, which
are left out if they are more than letters, digits and ._+-

Every user of the machine can write files, run processes and answer, and this runs as root. So what a user writes speaks
only of his own processes: a runtime file is believed if it is a regular file of the user whose process it names,
written after that process began, and if that very process listens on the socket. What contradicts itself, or is more
than a user may have, is unknown, told with his name, and takes nothing from others. Root connects to an address of this
machine in this network, or to a Unix socket of that user, while that very process listens there, and sends the token of
the file nowhere else. Root follows no link out of a home, and runs nothing but nvidia-smi of folders that only root
writes to.
"""

from __future__ import annotations

import fnmatch
import heapq
import http.client
import io
import itertools
import json
import math
import os
import pwd
import re
import shutil
import signal
import socket
import ssl
import stat
import struct
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple, cast

VERSION = 3
STEP_SECONDS = 2.0
DEADLINE_SECONDS = 4.5  # with the start of Python and the leaving, 5
LONGEST_BODY = 1_000_000
_LONGEST_ANSWER = LONGEST_BODY + 65_536  # with its headers
_LONGEST_FILE = 65_536
_LONGEST_LINE = 1_999
_MOST_PRINTED = 6
_MOST_FILES = 2_000
# What each user may have: who has more makes the answer unknown, and is named.
_MOST_OF_A_USER = {"processes": 4_096, "processes of servers": 64, "runtime files": 1_024, "servers": 32}
_MOST_DESCRIPTORS = 4_096  # of a process
_MOST_LINES = 20_000  # of a table of the kernel
_MOST_ENTRIES = 100_000  # of a directory
_MOST_BYTES = 8_192  # of the command line of a process
_MOST_ENVIRONMENT = 65_536
_MOST_WORDS = 128
_MOST_GROUPS = 24
_MOST_DOUBTS = 6
_MOST_NAMED = 3
_MOST_LOOKED_AT = 100_000  # descriptors, for what listens
# The kernel gives the time of boot in whole seconds, so the start of a process is known no better.
_START_SLACK_SECONDS = 2.0
# 2000 and 2100: a file that was unpacked without its time tells nothing of today.
_EARLIEST, _LATEST = 946_684_800.0, 4_102_444_800.0

_PROC = Path("/proc")
_PCI = Path("/sys/bus/pci/devices")
_ESTABLISHED, _LISTEN = "01", "0A"  # states in /proc/net/tcp
_MAPPED = "0000000000000000FFFF0000"  # before an address of IPv4 in /proc/net/tcp6
_SCRIPTS = {
    "jupyter-lab",
    "jupyter-labhub",
    "jupyter-nbclassic",
    "jupyter-notebook",
    "jupyter-server",
    "jupyter-singleuser",
    "jupyterhub-singleuser",
}
_MODULES = {"jupyter_server", "jupyterhub.singleuser", "jupyterlab", "jupyterlab.labhubapp", "nbclassic", "notebook"}
# What a person writes; programs write other things, again and again.
_SOURCES = {
    "c", "cc", "cfg", "cpp", "css", "go", "h", "html", "ini", "ipynb", "java", "jl", "js", "md", "py", "qmd", "r",
    "rmd", "rs", "rst", "scala", "sh", "sql", "tex", "toml", "ts", "tsx", "yaml", "yml",
}  # fmt: skip
_NOT_ONES_OWN = {"__pycache__", "node_modules", "site-packages"}
_USER = re.compile(r"[A-Za-z0-9_.-]{1,32}", re.ASCII)
_FILE_NAME = re.compile(r"(jp|nb)server-.+\.json", re.ASCII)
_PROGRAMS = "/usr/bin:/bin:/usr/local/bin:/usr/local/nvidia/bin"  # where nobody but root puts a program
_SENDABLE = re.compile(r"[\x21-\x7e]*", re.ASCII)  # nothing that could end a header or a request line


class Runtime(NamedTuple):
    """What a runtime file says of its server, and when and by whom it was written."""

    pid: int
    port: int
    unix_socket: str
    base_url: str
    token: str
    secure: bool
    uid: int
    written_at: float
    root: str = ""  # the directory under which its notebooks lie; empty when the file does not say


class Listener(NamedTuple):
    """A socket on which a process listens: at an address, or at a path when that is empty.

    place: its descriptor, in /proc. socket: what that shows.
    """

    address: str
    place: str
    socket: str


_ELSEWHERE = Listener("", "", "")  # where nobody gets to from here


class Task(NamedTuple):
    """A process.

    tty: the device number of its controlling terminal, 0 without. ticks: of processor, with those of its children that
    ended. group, session: of processes. front: the group in the foreground of its terminal.
    """

    pid: int
    parent: int
    name: str
    state: str
    tty: int
    ticks: int
    command: bytes = b""
    group: int = 0
    session: int = 0
    front: int = 0
    uid: int = 0

    @property
    def words(self) -> list[str]:
        """The command line."""
        return _words(self.command)


@lru_cache(maxsize=None)  # noqa: UP033 - cache came with Python 3.9
def _words(command: bytes) -> list[str]:
    return [os.fsdecode(word) for word in command.rstrip(b"\0").split(b"\0", _MOST_WORDS)]


# --- what the answers mean -------------------------------------------------------------------------------------------


def summarise(kernels: object, terminals: object, server: object) -> dict[str, int | float | None]:
    """Kernels by state, terminals, and when all was last used, of the answers to /api/kernels, /terminals and /status.

    Moments are seconds since the epoch by the server's clock, None without kernels, busy kernels, terminals.
    server: None when it does not know its status. saved_at is None: the answers do not tell it.
    Raises ValueError on a shape that it does not know: what is not understood must not look like nothing.
    """
    kernel_list, terminal_list = _objects(kernels), _objects(terminals)
    states = {"busy": 0, "idle": 0, "starting": 0, "other": 0}
    connections, busy_at, connected_at = 0, [], set()
    for kernel in kernel_list:
        state, connected = kernel.get("execution_state"), kernel.get("connections")
        if not isinstance(state, str) or not state:
            raise ValueError("a kernel without a state")
        if type(connected) is not int or connected < 0:
            raise ValueError("a kernel without its connections")
        states[state if state in states else "other"] += 1
        connections += connected
        if state == "busy":
            busy_at.append(_activity(kernel))
        if connected:
            connected_at.add(int(_activity(kernel)))
    counted: dict[str, int | float | None] = dict(states)
    counted["kernel_at"] = max(map(_activity, kernel_list), default=None)
    counted["busy_at"] = max(busy_at, default=None)
    counted["together"] = int(len(connected_at) == 1)
    counted["terminals"] = len(terminal_list)
    counted["terminal_at"] = max(map(_activity, terminal_list), default=None)
    counted["connections"] = connections
    counted["server_at"] = None if server is None else _activity(_objects([server])[0])
    counted["saved_at"] = None
    return counted


def notebooks(sessions: object) -> list[str]:
    """The paths of the open notebooks, those used last first, of the answer to /api/sessions. Raises ValueError."""
    found = []
    for session in _objects(sessions):
        path, kernel = session.get("path"), session.get("kernel")
        if isinstance(path, str) and isinstance(kernel, dict):
            found.append((-_activity(kernel), path))
    return [path for _, path in sorted(found, key=lambda each: each[0])]


def _objects(value: object) -> list[dict[str, object]]:
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise ValueError("not a list of objects")
    return value


def changed_at(file: object) -> float:
    """When a file was last changed, of the answer to /api/contents. Raises ValueError."""
    return _moment(_objects([file])[0].get("last_modified"))


def _activity(model: dict[str, object]) -> float:
    return _moment(model.get("last_activity"))


def _moment(stamp: object) -> float:
    if not isinstance(stamp, str):
        raise ValueError("no moment")  # noqa: TRY004 - a wrong shape is one kind of error, whatever is wrong
    # Python before 3.11 does not read the Z. The fraction is absent once in a million, which fromisoformat takes.
    at = datetime.fromisoformat(re.sub("Z$", "+00:00", stamp))
    if at.tzinfo is None:
        raise ValueError("a moment without its zone")
    return round(at.timestamp(), 3)


# --- asking ----------------------------------------------------------------------------------------------------------


class _Received:
    """What came over a socket, in the one way in which http.client reads it."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    def makefile(self, _mode: str) -> io.BytesIO:
        return io.BytesIO(self._content)


class Answer(NamedTuple):
    """What a server said. date: its clock when it answered, as HTTP writes it; None when it did not say."""

    status: int
    body: bytes
    date: str | None


def fetch(connection: socket.socket, host: str, target: str, token: str, until: float) -> Answer:
    """The answer to one GET over a connection that is made for it; no redirect is followed.

    until: by time.monotonic; no step takes longer than STEP_SECONDS. target: as it stands in the request line.
    Raises socket.timeout, other OSError, and ValueError or http.client.HTTPException for what is not HTTP or too long.
    """
    if not all(_SENDABLE.fullmatch(part) for part in (host, target, token)):
        raise ValueError("a character that no header may have")
    authorization = "Authorization: token " + token + "\r\n" if token else ""
    request = "GET {} HTTP/1.1\r\nHost: {}\r\n{}Accept: application/json\r\nConnection: close\r\n\r\n"
    connection.settimeout(remaining(until))
    connection.sendall(request.format(target, host, authorization).encode("ascii"))
    # Read here and not by http.client, which would let a server that sends a byte a second go on for ever.
    content = bytearray()
    while True:
        connection.settimeout(remaining(until))
        piece = connection.recv(65_536)
        if not piece:
            break
        content += piece
        if len(content) > _LONGEST_ANSWER:
            raise ValueError("the answer is too long")
    response = http.client.HTTPResponse(cast("socket.socket", _Received(bytes(content))))
    response.begin()
    body = response.read()
    if len(body) > LONGEST_BODY:
        raise ValueError("the answer is too long")
    return Answer(response.status, body, response.getheader("Date"))


def remaining(until: float) -> float:
    """Seconds that the next step may take. Raises TimeoutError when there are none."""
    left = min(STEP_SECONDS, until - time.monotonic())
    if left <= 0:
        raise socket.timeout  # noqa: UP041 - the two are one only since Python 3.10
    return left


def unverified_tls() -> ssl.SSLContext:
    """TLS that trusts anybody: who it is was checked, or is checked, before anything is sent."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _ask(runtime: Runtime, listener: Listener, until: float) -> tuple[dict[str, Any], list[str]]:
    """The entry of one server, and its open notebooks."""
    if listener == _ELSEWHERE:
        return {"port": 0, "status": "nofile", "user": _name_of(runtime.uid)}, []
    entry: dict[str, Any] = {"port": runtime.port, "status": "ok", **({"uid": runtime.uid} if runtime.uid else {})}
    try:
        answers = []
        for what, optional in (("kernels", False), ("terminals", True), ("status", True), ("sessions", True)):
            answer = _get(runtime, listener, "api/" + what, until)
            # A server whose terminals are switched off does not know the address.
            if answer.status != 200 and not (optional and answer.status == 404):
                return {"port": runtime.port, "status": f"http{answer.status}"}, []
            answers.append(json.loads(answer.body) if answer.status == 200 else None)
        kernels, terminals, server, sessions = answers
        entry.update(summarise(kernels, [] if terminals is None else terminals, server))
        opened = notebooks([] if sessions is None else sessions)
    except socket.timeout:  # noqa: UP041 - the two are one only since Python 3.10
        status = "timeout"
    except ssl.SSLError:
        status = "tls"
    except OSError:
        status = "refused"
    except Exception:  # noqa: BLE001 - whatever one server answers, the others are still asked, and it is not idle
        status = "bad"
    else:
        return entry, opened
    return {"port": runtime.port, "status": status}, []


def _get(runtime: Runtime, listener: Listener, what: str, until: float) -> Answer:
    target = "/" + "/".join(filter(None, [runtime.base_url.strip("/"), what])) + "?no_track_activity=1"
    connection = _connect(runtime, listener, until)
    try:
        # If it has listened all the while, nobody else has taken the connection.
        _insist(os.readlink(listener.place) == listener.socket)  # noqa: PTH115 - Path.readlink came with Python 3.9
        if runtime.secure:
            connection.settimeout(remaining(until))
            connection = unverified_tls().wrap_socket(connection)
        return fetch(connection, "localhost", target, runtime.token, until)
    finally:
        connection.close()


def _connect(runtime: Runtime, listener: Listener, until: float) -> socket.socket:
    """Raises OSError."""
    if listener.address:
        # From the same address, which therefore is one of this machine: to listen elsewhere takes no privilege.
        there, here = (listener.address, runtime.port), (listener.address, 0)
        return socket.create_connection(there, remaining(until), here)
    handle = os.open(runtime.unix_socket, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.settimeout(remaining(until))
        # By the handle: the path may lead elsewhere by now.
        _insist(_is_socket_of(os.fstat(handle), runtime.uid))
        connection.connect(f"/proc/self/fd/{handle}")
        peer = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
        _insist(struct.unpack("3i", peer)[:2] == (runtime.pid, runtime.uid))
    except BaseException:
        connection.close()
        raise
    finally:
        os.close(handle)
    return connection


def _open_if(is_right: Callable[[os.stat_result], bool], name: str, directory: int | None = None) -> int:
    """A handle to read what has this name, if it is right. Raises OSError.

    Nothing else is opened: some devices act on that alone, and a user can have one there in a namespace of his own.
    """
    place = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
    try:
        _insist(is_right(os.fstat(place)))
        return os.open(f"/proc/self/fd/{place}", os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    finally:
        os.close(place)


def _insist(holds: bool) -> None:
    if not holds:
        raise ConnectionRefusedError


def _is_socket_of(status: os.stat_result, uid: int) -> bool:
    return stat.S_ISSOCK(status.st_mode) and status.st_uid == uid


# --- finding the servers ---------------------------------------------------------------------------------------------


def look(named: list[str], until: float) -> tuple[list[dict[str, Any]], dict[str, Any] | None, list[str]]:
    """The entries of all servers, what the machine does, and words for what could not be looked at.

    named: the only directories to look for servers at; empty for those of every user of the machine.
    """
    limits = _Limits()
    tasks, homes = _tasks(limits)
    errors = [] if named or os.geteuid() == 0 else ["notroot"]
    # Each by itself: what hangs, hangs alone.
    edited = _Aside(lambda: _edited_at(homes))
    held = _Aside(lambda: _held(homes))
    gpu = _Aside(lambda: _gpu(until))
    entries = _servers(named, tasks, homes, until, errors, limits)
    machine = dict(survey(tasks, Looks()), boot=(_PROC / "sys/kernel/random/boot_id").read_text()[:8])
    machine["typed_at"] = _typed_at(tasks)
    machine["edited_at"] = edited.result(until, None, errors)
    machine["held"] = held.result(until, 0, errors)
    machine["gpu"], failed, holders = gpu.result(until, (None, [], set()), errors)
    holding = [task.ticks for task in tasks if task.pid in holders]
    if holding:
        machine["cpu"]["g"] = _seconds(sum(holding))
    crowds = [f"many:{_name_of(uid)}" for uid in sorted(limits.over)[:_MOST_NAMED]]
    return entries, machine, sorted(set(errors + failed + crowds))


class _Limits:
    """What each user has had of this look, so that nobody takes it from another. over: who has more than he may."""

    def __init__(self) -> None:
        self._had: dict[tuple[str, int], int] = {}
        self.over: set[int] = set()

    def allow(self, what: str, uid: int) -> bool:
        """Whether the user may have one more."""
        had = self._had[what, uid] = self._had.get((what, uid), 0) + 1
        if had > _MOST_OF_A_USER[what]:
            self.over.add(uid)
        return had <= _MOST_OF_A_USER[what]


def _name_of(uid: int) -> str:
    try:
        name = pwd.getpwuid(uid).pw_name
    except KeyError:
        name = ""
    return name if _USER.fullmatch(name) else str(uid)


class _Aside:
    """Something that is looked at in a thread of its own, because it may never come back."""

    def __init__(self, work: Callable[[], Any]) -> None:
        self._outcome: list[tuple[Any, str]] = []
        self._work = work
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._outcome.append((self._work(), ""))
        except Exception:  # noqa: BLE001 - a traceback says less to the one who asked than "it failed", and may say too much
            self._outcome.append((None, "failed"))

    def result(self, until: float, otherwise: Any, errors: list[str]) -> Any:
        """What came of it by then; else `otherwise`, and a word for it in `errors`."""
        self._thread.join(max(0.0, until - time.monotonic()))
        value, error = self._outcome[0] if self._outcome else (None, "deadline")
        if error:
            errors.append(error)
        return otherwise if error else value


def _servers(
    named: list[str], tasks: list[Task], homes: set[str], until: float, errors: list[str], limits: _Limits
) -> list[dict[str, Any]]:
    running = [task for task in tasks if task.state != "Z" and _is_server(task.words)]
    processes = {task.pid: task for task in running if limits.allow("processes of servers", task.uid)}
    places = {pid: _directories_of(_PROC / str(pid)) for pid in processes}
    everywhere = {home + "/.local/share/jupyter/runtime" for home in homes}.union(*places.values())
    runtimes, looked_at, missing = _runtimes_in(named or sorted(everywhere), errors, limits)
    # Jupyter makes its directory when it starts. But with servers on the machine, the name may be a slip.
    if named and missing and processes:
        errors.append("missing")
    if named:
        processes = {pid: task for pid, task in processes.items() if _writes_to(places[pid], looked_at)}
    try:
        servers = [(runtime, listener) for runtime in runtimes for listener in _listening(runtime, limits)]
    except OverflowError:
        errors.append("many")
        servers = []
    entries = _ask_all(servers, until, errors)
    return entries + _without_file(list(processes.values()), {runtime.pid for runtime, _ in servers})


def _runtimes_in(
    paths: list[str], errors: list[str], limits: _Limits
) -> tuple[list[Runtime], set[tuple[int, int]], bool]:
    """What the runtime files in these directories say, which ones those are, and whether one was not there."""
    found: dict[tuple[int, int, int, str], Runtime] = {}
    looked_at: set[tuple[int, int]] = set()
    missing = False
    for path in paths:
        try:
            handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except PermissionError:
            errors.append("denied")
            continue
        except OSError:
            missing = True
            continue
        # Closed before the next is opened: there may be more of them than a process may have open.
        identity = _identity(os.fstat(handle))
        for runtime in () if identity in looked_at else _runtimes(handle, errors, limits):
            # What one user writes hides no server of another.
            found[runtime.uid, runtime.pid, runtime.port, runtime.unix_socket] = runtime
        looked_at.add(identity)
        os.close(handle)
    return list(found.values()), looked_at, missing


def _without_file(processes: list[Task], known: set[int]) -> list[dict[str, Any]]:
    """An entry for each server process that no believable file tells about: it may be at work."""
    commands = {process.pid: process.command for process in processes}
    entries: list[dict[str, Any]] = []
    for process in processes:
        # A server that forks shows itself twice.
        forked = process.parent in known and commands.get(process.parent) == process.command
        if process.pid not in known and not forked:
            entries.append({"port": 0, "status": "nofile", "user": _name_of(process.uid)})
    return entries


def _ask_all(servers: list[tuple[Runtime, Listener]], until: float, errors: list[str]) -> list[dict[str, Any]]:
    # An entry stands from the beginning: a thread that does not come back is a server that did not answer.
    entries: list[dict[str, Any]] = [{"port": runtime.port, "status": "timeout"} for runtime, _ in servers]

    def ask(index: int) -> None:
        runtime, listener = servers[index]
        entries[index], opened = _ask(runtime, listener, until)
        if entries[index]["status"] == "ok":
            # What it answered stands already: its file system may hang, and this thread with it.
            saved = [at for at in (_saved_at(runtime.root, opened), _source_saved_at(runtime.root)) if at is not None]
            entries[index] = dict(entries[index], saved_at=newest(saved))

    threads = [threading.Thread(target=ask, args=(index,), daemon=True) for index in range(len(servers))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, until - time.monotonic()))
    said = list(entries)
    if any(said[index]["status"] == "ok" and threads[index].is_alive() for index in range(len(said))):
        errors.append("deadline")
    return said


def _saved_at(root: str, paths: list[str]) -> float | None:
    """The newest change of these files under the server's directory; of nothing else that a path could lead to."""
    stamps = []
    for path in paths[:_MOST_FILES] if root.startswith("/") else []:
        parts = path.strip("/").split("/")
        if ".." in parts or "\0" in path:
            continue
        try:
            status = os.lstat("/".join([root.rstrip("/"), *parts]))
        except (OSError, ValueError):
            continue  # a console has a path and no file
        if stat.S_ISREG(status.st_mode):
            stamps.append(status.st_mtime)
    return newest(stamps)


def _source_saved_at(root: str) -> float | None:
    """When a source text under the server's directory was last changed: one without a kernel is in no session.

    Looked at are so many entries, of one folder half of that; nothing hidden, nothing that a path leads to from there.
    Jupyter keeps what was there beside a file while it saves, so a folder changes too: those that did last come first.
    """
    stamps, folders, seen = [], [(0.0, root)] if root.startswith("/") else [], 0
    while folders and seen < _MOST_FILES:
        _, folder = heapq.heappop(folders)
        try:
            entries = list(itertools.islice(os.scandir(folder), min(_MOST_FILES - seen, _MOST_FILES // 2)))
        except OSError:
            continue  # not ours to see, or gone
        seen += len(entries)
        for entry in entries:
            if entry.name.startswith(".") or entry.name in _NOT_ONES_OWN:
                continue
            try:
                changed = entry.stat(follow_symlinks=False).st_mtime
            except OSError:
                continue  # gone
            if entry.is_dir(follow_symlinks=False):
                heapq.heappush(folders, (-changed, entry.path))
            elif entry.name.rpartition(".")[2].lower() in _SOURCES and entry.is_file(follow_symlinks=False):
                stamps.append(changed)
    return newest(stamps)


def newest(stamps: list[float]) -> float | None:
    """The newest of these moments that can be one of a file that is in use; None without any."""
    return max((round(stamp, 3) for stamp in stamps if _EARLIEST < stamp < _LATEST), default=None)


def _tasks(limits: _Limits) -> tuple[list[Task], set[str]]:
    """Every process, and the home of every user who runs one."""
    found, uids = [], set()
    for folder in _PROC.iterdir():
        if not folder.name.isdigit():
            continue
        try:
            uid = folder.stat().st_uid
            uids.add(uid)
            # Of root are the kernel's own, on large machines some thousands.
            if uid == 0 or limits.allow("processes", uid):
                found.append(_task(folder, uid))
        except (OSError, ValueError, IndexError):
            continue  # it ended while we looked
    homes = {home for task in found if _is_editor_server(task) for home in _home_inside(task)}
    for uid in uids:
        try:
            homes.add(pwd.getpwuid(uid).pw_dir)
        except KeyError:
            continue  # a user of a container: its home is not here
    return found, homes


def _task(folder: Path, uid: int) -> Task:
    before, _, after = (folder / "stat").read_bytes().rpartition(b")")
    fields = after.split()
    return Task(
        pid=int(folder.name),
        parent=int(fields[1]),
        name=os.fsdecode(before.partition(b"(")[2]),
        state=fields[0].decode(),
        tty=int(fields[4]),
        ticks=sum(map(int, fields[11:15])),
        command=_begin(folder / "cmdline", _MOST_BYTES),
        group=int(fields[2]),
        session=int(fields[3]),
        front=int(fields[5]),
        uid=uid,
    )


def _begin(path: Path, most: int) -> bytes:
    """The beginning of what may be as long as its user likes. Raises OSError."""
    with path.open("rb") as file:
        return file.read(most)


def _lines(path: Path) -> Iterator[list[str]]:
    """The words of each line of a table of the kernel. Raises OSError, OverflowError."""
    with path.open("rb") as file:
        for number, line in enumerate(file):
            if number >= _MOST_LINES:
                raise OverflowError
            yield os.fsdecode(line).split()


def _home_inside(task: Task) -> Iterator[str]:
    """The home of its user, seen from outside, of a process in a container: it is not that of a user of the machine."""
    root = f"/proc/{task.pid}/root"
    try:
        # Not by its root: a container may share that, and have another home below it.
        if os.readlink(f"/proc/{task.pid}/ns/mnt") != os.readlink("/proc/self/ns/mnt"):  # noqa: PTH115 - Path.readlink came with Python 3.9
            home = _environment(_PROC / str(task.pid)).get("HOME", "")
            yield from [root + home] if home.startswith("/") else []
    except OSError:
        return  # it ended while we looked


def _is_server(words: list[str]) -> bool:
    """Whether this is the command line of Python that runs a Jupyter server."""
    how, what = _python(words)
    return what in _MODULES if how == "module" else how == "file" and Path(what).name in _SCRIPTS


def _python(words: list[str]) -> tuple[str, str]:
    """What this command line lets Python run: `module`, `file`, `code` or `prompt`; "" when it is not Python."""
    if not re.match(r"(python|pypy)[0-9.]*$", Path(words[0]).name.lstrip("-")):
        return "", ""
    rest = iter(words[1:])
    for word in rest:
        if word == "-m":
            return "module", next(rest, "")
        if word in ("-W", "-X"):
            next(rest, "")
        elif word == "-c":
            return "code", ""
        elif word == "-" or not word.startswith("-"):
            return "file", word
    return "prompt", ""


def _directories_of(folder: Path) -> list[str]:
    """Where the environment of this process lets Jupyter put runtime files, the place that wins first."""
    environment = _environment(folder)
    places = (
        ("JUPYTER_RUNTIME_DIR", ""),
        ("JUPYTER_DATA_DIR", "/runtime"),
        ("XDG_DATA_HOME", "/jupyter/runtime"),
        ("HOME", "/.local/share/jupyter/runtime"),
    )
    paths = [environment[variable] + below for variable, below in places if variable in environment]
    return [path for path in paths if path.startswith("/")]


def _environment(folder: Path) -> dict[str, str]:
    """That of a process, without what is empty; nothing when it may not be read or the process is gone."""
    try:
        pairs = [entry.partition(b"=") for entry in _begin(folder / "environ", _MOST_ENVIRONMENT).split(b"\0")]
    except OSError:
        return {}
    return {os.fsdecode(key): os.fsdecode(value) for key, _, value in pairs if value}


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


def _writes_to(directories: list[str], looked_at: set[tuple[int, int]]) -> bool:
    for path in directories[:1]:
        try:
            return _identity(Path(path).stat()) in looked_at
        except OSError:
            return False
    return False


def _runtimes(directory: int, errors: list[str], limits: _Limits) -> Iterator[Runtime]:
    names = [entry.name for entry in itertools.islice(os.scandir(directory), _MOST_ENTRIES)]
    if len(names) == _MOST_ENTRIES:
        limits.over.add(os.fstat(directory).st_uid)
    for name in sorted(filter(_FILE_NAME.fullmatch, names)):
        try:
            # A link could lead to anybody's file, and a pipe would hold us for ever.
            handle = _open_if(lambda status: stat.S_ISREG(status.st_mode), name, directory)
        except PermissionError:
            errors.append("denied")
            continue
        except OSError:
            continue
        try:
            status = os.fstat(handle)
            if status.st_size <= _LONGEST_FILE and limits.allow("runtime files", status.st_uid):
                yield _runtime(json.loads(os.read(handle, _LONGEST_FILE)), status)
        except (OSError, ValueError, RecursionError, AttributeError):
            continue  # if a server runs all the same, its process is reported as one without a file
        finally:
            os.close(handle)


def _runtime(content: Any, status: os.stat_result) -> Runtime:
    """The file as a value. Raises ValueError, AttributeError."""
    types = {"pid": int, "port": int, "base_url": str, "token": str, "secure": bool}
    # `type` and not isinstance: True would be a port.
    if any(type(content.get(key)) is not kind for key, kind in types.items()):
        raise ValueError("not a runtime file")
    unix_socket = content.get("sock", "")
    root = content.get("root_dir", content.get("notebook_dir", ""))
    if not isinstance(unix_socket, str) or content["pid"] < 1 or not 0 <= content["port"] <= 65535:
        raise ValueError("not a runtime file")
    return Runtime(
        content["pid"],
        0 if unix_socket else content["port"],
        unix_socket,
        content["base_url"],
        content["token"],
        content["secure"],
        status.st_uid,
        status.st_mtime,
        root if isinstance(root, str) else "",
    )


def _state(folder: Path) -> tuple[str, int, float]:
    """State letter, parent, and start (seconds since the epoch) of a process.

    folder: that of the process in /proc. Raises OSError, ValueError, IndexError when it is gone.
    """
    fields = (folder / "stat").read_bytes().rpartition(b")")[2].split()  # the name before it may hold anything
    booted_at = int((_PROC / "stat").read_bytes().partition(b"\nbtime ")[2].split()[0])
    return fields[0].decode(), int(fields[1]), booted_at + int(fields[19]) / os.sysconf("SC_CLK_TCK")


def _listening(runtime: Runtime, limits: _Limits) -> Iterator[Listener]:
    """Where the process of this file listens, once; nothing when the file is not believed. Raises OverflowError."""
    folder = _PROC / str(runtime.pid)
    try:
        state, _, started_at = _state(folder)
        # A process has its number from one that is gone, or belongs to somebody else than the file.
        if state == "Z" or started_at > runtime.written_at + _START_SLACK_SECONDS:
            return
        if folder.stat().st_uid != runtime.uid or not limits.allow("servers", runtime.uid):
            return
        if runtime.unix_socket:
            found = _listeners_at(folder, runtime.unix_socket, runtime.uid)
        else:
            found = _listeners_on(folder, runtime.port)
            # What listens on this port here is another where the process has a network of its own.
            if found and os.readlink(folder / "ns/net") != os.readlink(_PROC / "self/ns/net"):  # noqa: PTH115 - as above
                found = [_ELSEWHERE]
    except (OSError, ValueError, IndexError):
        return
    yield from found[:1]


def _opened(folder: Path) -> dict[str, str]:
    """What stands behind the descriptors of a process, and where. Raises OSError when it may not be read or is gone."""
    own = {}
    for entry in itertools.islice(os.scandir(folder / "fd"), _MOST_DESCRIPTORS):
        try:
            own[os.readlink(entry.path)] = entry.path  # noqa: PTH115 - Path.readlink came with Python 3.9
        except OSError:
            continue  # closed while we looked
    return own


def _listeners_at(folder: Path, path: str, uid: int) -> list[Listener]:
    """The socket of this name, if it is the user's and this process itself listens on it. Raises OSError."""
    if not _is_socket_of(os.lstat(path), uid):
        return []
    own = _opened(folder)
    # "Num: RefCount Protocol Flags Type St Inode Path"; the flag is that of listen().
    lines = (line for line in _lines(folder / "net/unix") if line[3] == "00010000" and line[7:] == path.split())
    sockets = [f"socket:[{line[6]}]" for line in lines]
    return [Listener("", own[each], each) for each in sockets if each in own]


def _listeners_on(folder: Path, port: int) -> list[Listener]:
    """Where this process itself listens on this port; what listens everywhere is asked on the loopback interface."""
    own = _opened(folder)
    everywhere = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - not bound to, only recognised
    found = []
    for local, shown in _tcp_listeners(folder):
        address, _, number = local.partition(":")
        if int(number, 16) == port and shown in own:
            groups = [int(address[start : start + 8], 16) for start in range(0, len(address), 8)]
            family = socket.AF_INET if len(groups) == 1 else socket.AF_INET6
            text = socket.inet_ntop(family, struct.pack(f"={len(groups)}I", *groups))
            found.append(Listener(everywhere.get(text, text), own[shown], shown))
    return found


def _tcp_listeners(folder: Path) -> Iterator[tuple[str, str]]:
    """Address and port as the kernel writes them, what a descriptor of each shows. Raises OSError, OverflowError."""
    for table in ("tcp", "tcp6"):
        try:
            lines = _lines(folder / "net" / table)
            # Those that listen come first (Linux, Documentation/networking/proc_net_tcp.rst).
            for line in itertools.takewhile(lambda line: line[3] == _LISTEN, itertools.islice(lines, 1, None)):
                yield line[1], f"socket:[{line[9]}]"
        except FileNotFoundError:
            continue  # no IPv6 here


def _tcp_connections(folder: Path) -> Iterator[tuple[str, str, str]]:
    """The two ends of each, and what a descriptor of it shows; likewise."""
    for table in ("tcp", "tcp6"):
        try:
            for line in itertools.islice(_lines(folder / "net" / table), 1, None):
                if line[3] == _ESTABLISHED:
                    # Of the two ends of one connection one may be written as IPv6.
                    local, remote = (word.replace(_MAPPED, "") for word in line[1:3])
                    yield local, remote, f"socket:[{line[9]}]"
        except FileNotFoundError:
            continue  # no IPv6 here


def _port_of(address: str) -> str:
    return address.rpartition(":")[2]


# --- what else runs here ---------------------------------------------------------------------------------------------

_SHELLS = re.compile(r"ash|bash|busybox|csh|dash|elvish|fish|ksh|mksh|nu|pwsh|rbash|sh|tcsh|xonsh|zsh")
# They show something, for as long as they are left open.
_VIEWERS = re.compile(
    r"atop|bat|bmon|bpytop|btm|btop|dmesg|dstat|glances|gpustat|htop|iftop|iostat|iotop|journalctl|k9s|lazygit|less|lf|"
    r"man|mc|more|most|mpstat|nethogs|nload|nnn|nvidia-smi|nvitop|nvtop|pidstat|powertop|ranger|sar|tail|tig|top|vifm|"
    r"vmstat|watch"
)
# By their names and no others that begin like them: `vi.py` and `micro-batch.sh` are somebody's programs.
_EDITORS = re.compile(
    r"ed|emacs(-(gtk|lucid|nox|pgtk|x|[0-9.]+))?|emacsclient|helix|hx|jed|joe|kak|mcedit|micro|nano|ne|nvim|pico|rnano|"
    r"rvim|vi|view|vim?(\.(athena|basic|gtk|gtk3|motif|nox|tiny))?|vimdiff"
)
# They wait for what they started, which is looked at itself, or for the other end; or they belong to a prompt.
_WRAPPERS = re.compile(
    r"abduco|agetty|autossh|chrt|cloudflared|code|code-insiders|doas|dtach|dumb-init|env|fakeroot|flock|fzf|getty|gitstatusd.*|gpg-agent|ionice|login|mosh|"
    r"mosh-client|nice|nohup|numactl|proot|sftp-server|ssh|ssh-agent|sshd|sshd-session|screen|script|setsid|"
    r"stdbuf|su|sudo|taskset|time|timeout|tini|tmux|unshare|zellij"
)
# ssh that carries nothing out, and hands on what comes to a port.
_ONLY_HANDS_ON = re.compile(r"-[A-Za-z0-9]*N[A-Za-z0-9]*")
# Clients of containers: they show what runs elsewhere, or keep it up.
_CLIENTS = re.compile(r"docker|docker-compose|kubectl|nerdctl|oc|podman|podman-compose")
_SHOWS = {"events", "logs", "stats"}
# What a login or a desktop leaves behind by itself.
_AGENTS = re.compile(
    r"\(sd-pam\)|at-spi.*|dbus-.*|dconf-.*|dirmngr|eternalterm.*|etserver|evolution-.*|fcitx.*|gnome-keyring.*|goa-.*|"
    r"gpg-agent|gvfs.*|ibus-.*|keyboxd|pipewire.*|pulseaudio|scdaemon|snap|snapd.*|ssh-agent|systemd|tracker-.*|"
    r"watchman|wireplumber|xdg-.*"
)
# Named in 15 characters, which is all that the kernel keeps. Of sshd, the title tells whether anybody is in.
_CONNECTIONS = re.compile(r"ssm-session-wor|mosh-server|etterminal")
_LOGIN = re.compile(r"sshd(-session)?: [^\s\[]+\s*")
_MULTIPLEXERS = re.compile(r"tmux|screen|SCREEN|zellij|dtach|abduco")
_DESKTOPS = re.compile(r"Xvnc|Xtigervnc|Xtightvnc|Xkasmvnc|Xdcv|dcvagent|nxagent|nxnode\.bin|xpra|xrdp-chansrv")
# Programs that are kernels by themselves: R of RStudio, and marimo, whose notebooks run inside it.
_KERNELS = re.compile(r"rsession|marimo")
_INTERPRETERS = re.compile(_SHELLS.pattern + "|node|java")
# VS Code and its relatives keep themselves in ~/.vscode-server, ~/.cursor-server and so on, and where `code tunnel` or
# `serve-web` began them, in ~/.vscode/cli; code-server and openvscode-server have their version in their folder.
_EDITOR_SERVER = re.compile(
    r"/\.[a-z]+-server(-insiders|-oss)?/|/vscode-server/|/\.vscode(-insiders)?/cli/|/(code-server|openvscode-server)[^/]*/|"
    r"/server-main\.js$|/\.zed_server/|/zed-remote-server|/theia[^/]*/|/JetBrains/(RemoteDev|Fleet)|remote-dev-server"
)
# What an editor begins for itself.
_TOOLS = re.compile(
    r".*[-_]?language[-_]?server.*|.*lsp.*|ccls|clangd|copilot.*|fd|git|git-.*|gopls|jdtls|pyright.*|rg|ruff|"
    r"rust-analyzer.*|tsserver|watchman"
)
_HISTORIES = (
    ".*-server/data/User/History/*",
    ".*-server-insiders/data/User/History/*",
    ".*-server-oss/data/User/History/*",
    ".vscode/cli/*/data/User/History/*",
    ".local/share/code-server/User/History/*",
    ".cache/JetBrains/RemoteDev-*/LocalHistory/*",
    ".cache/JetBrains/RemoteDev-*/*/LocalHistory/*",
)
# In the environment of what somebody began from a login, a terminal, a desktop, or Jupyter.
_BEGUN_BY_A_PERSON = {
    "DISPLAY", "JPY_PARENT_PID", "JPY_SESSION_NAME", "SSH_CLIENT", "SSH_CONNECTION", "SSH_TTY", "STY", "TERM",
    "TMUX",
}  # fmt: skip
_KEEP_AWAKE = ".autostop-keep-awake"
_PRINTABLE = re.compile(r"[A-Za-z0-9._+-]{1,15}", re.ASCII)


class Looks:
    """What is read of single processes only, because it takes long: of most nothing more need be known."""

    def __init__(self) -> None:
        self._listening: dict[str, dict[str, str]] = {}
        self._ports: dict[int, set[str]] = {}
        self._left = _MOST_LOOKED_AT

    def reads_lines(self, task: Task) -> bool | None:
        """Whether its terminal reads lines, as while a command runs; None when that cannot be told."""
        try:
            handle = _open_if(lambda status: _is_terminal_of(task, status), _terminal(task))
        except OSError:
            return None
        try:
            return bool(termios.tcgetattr(handle)[3] & termios.ICANON)
        except termios.error:
            return None
        finally:
            os.close(handle)

    def is_busy(self, shell: Task) -> bool:
        """Whether a shell waits for what it began, as in `wait`: at its prompt it would edit a line, or read one."""
        return bool(self.reads_lines(shell)) and not self.waits_for_a_line(shell)

    def wrote_at(self, task: Task) -> float | None:
        """When something was last written to its terminal."""
        try:
            return os.lstat(_terminal(task)).st_mtime
        except OSError:
            return None

    def waits_for_a_line(self, task: Task) -> bool:
        """Whether it is inside read() of a terminal: system call 0 of x86-64, 63 of arm64."""
        folder = _PROC / str(task.pid)
        try:
            call, what = (folder / "syscall").read_text().split()[:2]
            place = os.readlink(folder / "fd" / str(int(what, 16)))  # noqa: PTH115 - Path.readlink came with Python 3.9
        except (OSError, ValueError):
            return False
        return call in ("0", "63") and place.startswith(("/dev/pts/", "/dev/tty"))

    def input(self, task: Task) -> str:
        """The pipe from which it reads; empty where it reads from none."""
        return self._pipe(task, 0)

    def output(self, task: Task) -> str:
        """The pipe into which it writes, likewise."""
        return self._pipe(task, 1)

    def _pipe(self, task: Task, number: int) -> str:
        try:
            place = os.readlink(_PROC / str(task.pid) / "fd" / str(number))  # noqa: PTH115 - Path.readlink came with Python 3.9
        except OSError:
            return ""
        return place if place.startswith("pipe:") else ""

    def listens(self, task: Task) -> bool:
        """Whether it listens on the network, or serves a file system that it has mounted."""
        if task.pid not in self._ports:
            self._ports[task.pid] = self._listens_on(task)
        return bool(self._ports[task.pid])

    def _listens_on(self, task: Task) -> set[str]:
        folder = _PROC / str(task.pid)
        try:
            place = os.readlink(folder / "ns" / "net")  # noqa: PTH115 - Path.readlink came with Python 3.9
            if place not in self._listening:
                self._listening[place] = {shown: _port_of(local) for local, shown in _tcp_listeners(folder)}
            # Of more than can be looked at nothing listens: then it is a job, and less of its work is enough.
            opened = self._opened(task)
            ports = {port for shown, port in self._listening[place].items() if shown in opened}
            return ports | ({"fuse"} if "/dev/fuse" in opened else set())
        except (OSError, OverflowError):
            return set()

    def _opened(self, task: Task) -> dict[str, str]:
        try:
            opened = _opened(_PROC / str(task.pid)) if self._left > 0 else {}
        except OSError:
            return {}  # it ended while we looked
        self._left -= len(opened)
        return opened

    def visits(self, servers: list[Task], own: list[Task]) -> int:
        """How many connections there are to these servers, but for those from these programs: workers of a cluster."""
        ports = set().union(*(self._ports.get(task.pid, set()) for task in servers))
        try:
            every = list(_tcp_connections(_PROC / "self"))
        except (OSError, OverflowError):
            return 1  # of more than can be looked at one is a visitor's: then less of its work is enough
        other_end = {local: shown for local, _, shown in every}
        ends = [other_end.get(remote, "") for local, remote, _ in every if _port_of(local) in ports]
        insiders: set[str] = set().union(*map(self._opened, own)) if any(ends) else set()
        return sum(end not in insiders for end in ends)

    def is_of_a_person(self, task: Task) -> bool:
        """Whether somebody began it who may have gone, and not the system."""
        folder = _PROC / str(task.pid)
        try:
            place = (folder / "cgroup").read_text()
        except OSError:
            return False  # it ended while we looked
        return bool(re.search(r"/session-[^/]+\.scope", place)) or not _BEGUN_BY_A_PERSON.isdisjoint(
            _environment(folder)
        )


def _terminal(task: Task) -> str:
    """The path of its controlling terminal, also of one in a container; empty when there is none of that number."""
    major, minor = os.major(task.tty), os.minor(task.tty)
    if 136 <= major <= 143:
        path = f"/dev/pts/{(major - 136) * 256 + minor}"
    elif major == 4:
        path = f"/dev/tty{minor}" if minor < 64 else f"/dev/ttyS{minor - 64}"
    else:
        return ""
    # The terminals of a container have numbers of their own.
    for place in (f"/proc/{task.pid}/root{path}", path):
        try:
            status = os.lstat(place)
        except OSError:
            continue  # it was closed, or we may not look
        if _is_terminal_of(task, status):
            return place
    return ""


def _is_terminal_of(task: Task, status: os.stat_result) -> bool:
    return stat.S_ISCHR(status.st_mode) and status.st_rdev == task.tty


class _Under(NamedTuple):
    """What is above a process.

    counts: whether its processor time does. owned: by a Jupyter server. tty: the terminal on which nothing is a job,
    because it is that of a server, an editor or a viewer which has begun it.
    """

    kind: str = ""
    counts: bool = False
    owned: bool = False
    tty: int = 0


def survey(tasks: list[Task], looks: Looks) -> dict[str, Any]:
    """Processor time, jobs, doubts, and how many there are of what else keeps a machine in use. Pure but for looks."""
    seen: dict[str, Any] = {
        "boot": "",
        "cpu": {},
        "typed_at": None,
        "wrote_at": None,
        "jobs": 0,
        "job": "",
        "gpu": None,
    }
    seen.update({"logins": 0, "editors": 0, "edited_at": None, "muxes": 0, "held": 0, "visits": 0, "doubts": []})
    children: dict[int, list[Task]] = {}
    known = {task.pid for task in tasks}
    for task in tasks:
        children.setdefault(task.parent if task.parent in known else 0, []).append(task)
    found = _Found()
    open_ends = [(task, _Under()) for task in children.get(0, [])]
    while open_ends:
        task, above = open_ends.pop()
        kind = _kind(task)
        if kind == "" and above.kind in ("", "init") and not task.tty:
            kind = _of_nobody_else(task, looks)
        below = _below(task, kind, above)
        if kind in ("logins", "editors", "muxes") and above.kind != kind:
            seen[kind] += 1
        found.note(task, kind, above, below, looks)
        open_ends += [(child, below) for child in children.get(task.pid, []) if child.pid != task.pid]
    jobs = found.judge_terminals(looks)
    seen["jobs"] = len(jobs)
    seen["job"] = _printable(max(jobs, key=lambda task: (task.ticks, task.pid)).name) if jobs else ""
    seen["cpu"], seen["wrote_at"] = found.seconds(), newest(found.wrote)
    seen["visits"] = looks.visits(found.servers, found.counted) if found.servers else 0
    seen["doubts"] = [list(doubt) for doubt in list(dict.fromkeys(found.doubts))[:_MOST_DOUBTS]]
    return seen


class _Found:
    """What is gathered on the way through the tree of processes."""

    def __init__(self) -> None:
        self.ticks: dict[str, int] = {}
        self.counted: list[Task] = []
        self.servers: list[Task] = []
        self.doubts: list[tuple[str, str]] = []
        self.wrote: list[float] = []
        self.terminals: dict[tuple[int, int], list[tuple[Task, str, bool]]] = {}

    def note(self, task: Task, kind: str, above: _Under, below: _Under, looks: Looks) -> None:
        if kind in ("kernels", "desktops", "left", "") and below.counts:
            # A kernel listens for its Jupyter server.
            serves = kind != "kernels" and looks.listens(task)
            self.counted.append(task)
            self.servers += [task] if serves else []
            group = ("s" if serves else "") + format(task.session, "x")
            self.ticks[group] = self.ticks.get(group, 0) + task.ticks
        if task.tty:
            own = kind == "" and task.tty != above.tty
            self.terminals.setdefault((task.tty, task.session), []).append((task, kind, own))
        if kind == "kernels" and not above.owned and above.kind != kind:
            self._doubt("kernel", task)
        elif kind == "desktops":
            self._doubt("desktop", task)
        elif kind == "left" or (kind == "" and above.kind in ("left", "logins", "kernels", "editors") and not task.tty):
            self._doubt_below(task, above, looks)

    def _doubt_below(self, task: Task, above: _Under, looks: Looks) -> None:
        """One that no terminal waits for: left behind, begun by a cell, over a connection without one, by an editor."""
        names, command = _names(task), " ".join(task.words)
        helps = "multiprocessing." in command or _EDITOR_SERVER.search(command)
        kinds = (_SHELLS, _AGENTS, _EDITORS, *([_TOOLS] if above.kind == "editors" else []))
        none = helps or _is_wrapper(task) or any(_any(kind, names) for kind in kinds)
        if task.state not in "ZT" and not none:
            self._doubt("editor" if above.kind == "editors" else "server" if looks.listens(task) else "job", task)

    def _doubt(self, word: str, task: Task) -> None:
        self.doubts.append((word, _printable(task.name)))

    def judge_terminals(self, looks: Looks) -> list[Task]:
        """The programs that terminals wait for; the others on them are doubts, or nothing."""
        jobs = []
        for members in self.terminals.values():
            present = [(task, kind, own) for task, kind, own in members if task.state not in "ZT"]
            front = [each for each in present if each[0].group == each[0].front]
            # `timeout` makes a group of its own, and what began it waits for it all the same. Parents come first.
            waiting = {task.pid for task, _, _ in front if _is_wrapper(task) or _is_script(task)}
            if len(front) == 1 < len(present) and looks.is_busy(front[0][0]):
                waiting.add(front[0][0].pid)
            for each in present:
                if each[0].parent in waiting and each not in front:
                    front.append(each)
                    waiting.add(each[0].pid)
            behind = [task for task, _, own in present if own and task not in [task for task, _, _ in front]]
            programs = [task for task, _, own in front if own and _is_program(task)]
            if programs and not any(kind in ("server", "editors") for _, kind, _ in front):
                jobs += self._foreground(front, programs, looks)
            for task in behind:
                if _is_program(task) and not _any(_TOOLS, _names(task)):
                    self._doubt("server" if looks.listens(task) else "job", task)
        return jobs

    def _foreground(self, front: list[tuple[Task, str, bool]], programs: list[Task], looks: Looks) -> list[Task]:
        """Its programs, if they are at work."""
        viewers = [task for task, kind, _ in front if kind == "viewer"]
        lines = looks.reads_lines(programs[0])
        programs = self._beside(viewers, programs, lines, looks) if viewers else programs
        if not programs:
            return []
        if any(_keeps_up(task) for task in programs):
            self._doubt("server", programs[0])
            return []
        if lines is False:
            if not any(_any(_EDITORS, _names(task)) for task, _, _ in front):
                # What another machine shows is not known to be work.
                if not any(_any(_WRAPPERS, _names(task)) for task in programs):
                    self.wrote += [at for at in [looks.wrote_at(programs[0])] if at is not None]
                self._doubt("prompt", programs[0])
            return []
        if lines and any(looks.waits_for_a_line(task) for task, _, _ in front):
            self._doubt("prompt", programs[0])
            return []
        serving = [task for task in programs if looks.listens(task)]
        for task in serving[:1]:
            self._doubt("server", task)
        return [] if serving else programs

    def _beside(self, viewers: list[Task], programs: list[Task], lines: bool | None, looks: Looks) -> list[Task]:
        """The programs that neither wait for a viewer nor are shown by one, which are doubts."""
        if lines is False:
            # A pager: what is piped into it goes on behind it, and who began it waits until it is left.
            began = {task.parent for task in viewers}
            for task in programs:
                if task.pid not in began:
                    self._doubt("job", task)
            return []
        # What sifts a log that grows waits for more of it.
        fed, own = {looks.output(task) for task in viewers}, []
        for task in sorted(programs, key=lambda task: task.pid):
            if looks.input(task) in fed - {""}:
                fed.add(looks.output(task))
                self._doubt("job", task)
            else:
                own.append(task)
        return own

    def seconds(self) -> dict[str, float]:
        """Of each session, the busiest alone and the rest together."""
        ordered = sorted(self.ticks.items(), key=lambda each: -each[1])
        alone, rest = ordered[:_MOST_GROUPS], sum(ticks for _, ticks in ordered[_MOST_GROUPS:])
        return {name: _seconds(ticks) for name, ticks in [*alone, *([("rest", rest)] if rest else [])]}


def _seconds(ticks: int) -> float:
    return round(ticks / os.sysconf("SC_CLK_TCK"), 2)


def _printable(name: str) -> str:
    return name if _PRINTABLE.fullmatch(name) else ""


def _of_nobody_else(task: Task, looks: Looks) -> str:
    """`left` for a program without a terminal that somebody began and left behind, `init` for what may begin such."""
    if task.pid == 1 or task.name == "systemd":
        return "init"
    return "left" if looks.is_of_a_person(task) and not _any(_AGENTS, _names(task)) else ""


def _below(task: Task, kind: str, above: _Under) -> _Under:
    if kind == "init":
        return _Under(kind)
    if kind == "server":
        return _Under(kind, counts=True, owned=True, tty=task.tty)
    if kind == "kernels":
        return _Under(kind, counts=True, owned=above.owned, tty=task.tty)
    if kind in ("logins", "muxes", "desktops", "left"):
        return _Under(kind, counts=True)
    if kind in ("editors", "viewer"):
        return _Under(kind, counts=False, tty=task.tty)
    # A terminal in an editor is a terminal.
    own = task.tty not in (0, above.tty)
    kept = above.kind if above.kind in ("kernels", "editors", "logins", "left") and not own else "other"
    return _Under(kept, counts=above.counts or own, owned=above.owned, tty=0 if own else above.tty)


def _kind(task: Task) -> str:
    """`server`, `viewer`, the word under which it is counted, or "" for anything else."""
    words = task.words
    names = _names(task)
    if task.pid == os.getpid() or _any(_VIEWERS, names) or (_any(_CLIENTS, names) and _SHOWS & set(words[1:4])):
        return "viewer"
    if _is_server(words):
        return "server"
    if _is_kernel(task):
        return "kernels"
    title = _LOGIN.fullmatch(words[0]) if task.name in ("sshd", "sshd-session") else None
    if title or _CONNECTIONS.fullmatch(task.name):
        return "logins"
    if _any(_MULTIPLEXERS, names) and not task.tty:
        return "muxes"
    if _any(_DESKTOPS, names):
        return "desktops"
    return "editors" if _is_editor_server(task) else ""


def _is_editor_server(task: Task) -> bool:
    # A script that is debugged comes after a path of the editor; so only what the editor itself is run by.
    words = task.words
    hosts = words[:2] if _any(_INTERPRETERS, _names(task)) else words[:1]
    return any(_EDITOR_SERVER.search(word) for word in hosts)


def _any(pattern: re.Pattern[str], names: set[str]) -> bool:
    return any(map(pattern.fullmatch, names))


def _names(task: Task) -> set[str]:
    """What the program is called: by itself, by who began it, and for a script of Python by the script."""
    words = task.words
    names = {task.name.partition(":")[0], Path(words[0].partition(": ")[0]).name.lstrip("-")}
    how, what = _python(words)
    if how in ("file", "module"):
        names.add(Path(what).name.lower() if how == "module" else Path(what).name)
    return names


def _is_kernel(task: Task) -> bool:
    how, what = _python(task.words)
    if how == "module" and what in ("ipykernel", "ipykernel_launcher", "ipykernel.kernelapp"):
        return True
    if _any(_KERNELS, _names(task)):
        return True
    # Those of other languages are known by the file that Jupyter writes for each.
    files = [word.rpartition("/")[2] for word in task.words[1:] if word.endswith(".json")]
    return not task.tty and any(name.startswith("kernel-") or "=kernel-" in name for name in files)


def _is_program(task: Task) -> bool:
    """Whether a terminal that waits for it waits for more than a shell, a wrapper, a viewer or an editor."""
    names = _names(task)
    if _any(_SHELLS, names):
        return _is_script(task) and task.pid != task.session
    return not _is_wrapper(task) and not _any(_EDITORS, names)


def _is_wrapper(task: Task) -> bool:
    """Whether it only waits for another program, or for whoever connects; ssh waits for another machine's."""
    if Path(task.words[0]).name == "ssh":
        return any(map(_ONLY_HANDS_ON.fullmatch, task.words))
    return _any(_WRAPPERS, _names(task))


def _keeps_up(task: Task) -> bool:
    """Whether it runs containers, or looks whether somebody saves, for as long as nobody ends it."""
    return "--watch" in task.words or (_any(_CLIENTS, _names(task)) and "up" in task.words)


def _is_script(task: Task) -> bool:
    """Whether it is a shell that waits for what it began, and not for a person."""
    words = iter(task.words[1:])
    # An editor gives the shells of its terminals a file to begin with.
    given = [word for word in words if not (word in ("--init-file", "--rcfile") and next(words, ""))]
    return _any(_SHELLS, _names(task)) and any(not word.startswith("-") for word in given)


def _typed_at(tasks: list[Task]) -> float | None:
    """When a key was last pressed on a terminal that somebody uses: reading what was typed moves its access time."""
    used = [task for task in tasks if task.tty and task.name not in ("agetty", "getty", "login")]
    stamps = []
    for path in filter(None, {_terminal(task) for task in {(task.tty, task.session): task for task in used}.values()}):
        try:
            stamps.append(os.lstat(path).st_atime)
        except OSError:
            continue  # it was closed while we looked
    return newest(stamps)


def _edited_at(homes: set[str]) -> float | None:
    """When a remote editor last put something into its local history, which it does at each save."""
    stamps: list[float] = []
    for home, below in itertools.product(sorted(homes), _HISTORIES):
        stamps += _changes_below(home, below.split("/"))
    return newest(stamps)


def _changes_below(folder: str, pattern: list[str]) -> Iterator[float]:
    """When what lies there by this pattern was changed; no link is followed, to what may be another's."""
    name, rest = pattern[0], pattern[1:]
    try:
        entries = list(itertools.islice(os.scandir(folder), _MOST_ENTRIES)) if "*" in name else []
    except OSError:
        return  # it is not there
    if len(entries) == _MOST_ENTRIES:
        raise OverflowError
    for each in fnmatch.filter([entry.name for entry in entries], name) if entries else [name]:
        try:
            status = os.lstat(f"{folder}/{each}")
        except OSError:
            continue  # removed while we looked
        if not rest:
            yield status.st_mtime
        elif stat.S_ISDIR(status.st_mode):
            yield from _changes_below(f"{folder}/{each}", rest)


def _held(homes: set[str]) -> int:
    """1 if somebody holds a lock on the keep-awake file of any user."""
    locks = list(_lines(_PROC / "locks"))
    # "1: FLOCK ADVISORY WRITE <pid> <major>:<minor>:<inode> 0 EOF"; who only waits for it has an arrow.
    held = [(fields[4], fields[5].split(":")) for fields in locks if len(fields) > 5 and fields[1] != "->"]
    for home in homes:
        path = os.path.join(os.path.realpath(home), _KEEP_AWAKE)  # noqa: PTH118 - realpath gives text
        try:
            status = os.lstat(path)
        except OSError:
            continue
        if not stat.S_ISREG(status.st_mode):
            continue
        for pid, (major, minor, inode) in held:
            if int(inode) != status.st_ino:
                continue
            # Some file systems tell the lock another device than the file; then the holder shows what it has open.
            if (int(major, 16), int(minor, 16)) == (os.major(status.st_dev), os.minor(status.st_dev)):
                return 1
            if _has_open(pid, path):
                return 1
    return 0


def _has_open(pid: str, path: str) -> bool:
    """Whether this process has the file open, or, if the one that took the lock is gone, any process."""
    folder = _PROC / pid
    folders = [folder] if folder.is_dir() else [each for each in _PROC.iterdir() if each.name.isdigit()]
    for each in folders:
        try:
            # Compared as text: looking at what stands behind a descriptor may hang.
            if any(os.readlink(link) == path for link in (each / "fd").iterdir()):  # noqa: PTH115 - Path.readlink came with Python 3.9
                return True
        except OSError:
            continue
    return False


def _gpu(until: float) -> tuple[float | None, list[str], set[int]]:
    """The highest utilisation of all GPUs, percent, `gpu` if it could not be read, and which processes hold one.

    None, nothing and nobody without a GPU. A sample speaks for less than a second, so there are three. Each is a
    process: in a loop of its own, nvidia-smi may keep what it read for itself for as long as its output is no terminal.
    """
    program = shutil.which("nvidia-smi", path=_PROGRAMS)
    if not program:
        return None, [], set()

    def asked(what: str) -> _Aside:
        return _Aside(lambda: _gpu_values(program, what, min(until, time.monotonic() + 3.0) - 0.3))

    samples = []
    holders = asked("--query-compute-apps=pid")
    for start in range(3):
        samples.append(asked("--query-gpu=utilization.gpu"))
        if start < 2:
            time.sleep(0.4)  # between two batches a GPU rests for less than that
    errors: list[str] = []
    values = [max(sample.result(until, [math.nan], errors), default=math.nan) for sample in samples]
    if not errors and all(0 <= value <= 100 for value in values):
        # Who they are only adds to that: some GPUs do not tell it.
        return max(values), [], {int(pid) for pid in holders.result(until, [], []) if pid > 0}
    # An image that is made for GPUs has the program on machines without one too.
    return None, ["gpu"] if any(map(_is_gpu, _PCI.glob("*"))) else [], set()


def _gpu_values(program: str, what: str, until: float) -> list[float]:
    """Raises ValueError on anything but numbers, subprocess.TimeoutExpired, OSError."""
    command = [program, what, "--format=csv,noheader,nounits"]
    process = subprocess.Popen(  # noqa: S603 - a program of the machine's own path, and no word from outside
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True
    )
    try:
        said, _ = process.communicate(timeout=max(0.0, until - time.monotonic()))
    except BaseException:
        os.killpg(process.pid, signal.SIGKILL)
        raise
    values = [float(line) for line in said.decode().split("\n") if line.strip()]
    if process.returncode or not all(map(math.isfinite, values)):
        raise ValueError("no numbers")
    return values


def _is_gpu(device: Path) -> bool:
    """Whether this is an NVIDIA display or 3D controller."""
    try:
        vendor, kind = (device / "vendor").read_text().strip(), (device / "class").read_text().strip()
    except OSError:
        return False
    return vendor == "0x10de" and kind.startswith("0x03")


# --- the line --------------------------------------------------------------------------------------------------------

_SUMS = ("busy", "idle", "starting", "other", "terminals", "connections")
_LATEST_OF = ("kernel_at", "busy_at", "terminal_at", "server_at", "saved_at")


def report(at: float, servers: list[dict[str, Any]], machine: dict[str, Any] | None, errors: list[str]) -> str:
    """The line to print. Of many servers the first stand alone, the rest together: nothing busy or failed is lost."""
    failed = [server for server in servers if server["status"] != "ok"]
    answered = [server for server in servers if server["status"] == "ok"]
    failed.sort(key=lambda server: (server["status"], server["port"]))
    answered.sort(key=lambda server: (-server["busy"], server["port"]))
    text = ""
    for most in range(_MOST_PRINTED, 1, -1):
        failures = _shortened(failed, most // 2 if answered else most)
        printed = failures + _shortened(answered, most - len(failures))
        line = {"v": VERSION, "at": round(at, 3), "servers": printed, "machine": machine, "errors": errors}
        text = json.dumps(line, separators=(",", ":"))
        if len(text) <= _LONGEST_LINE:
            break
    return text


def _shortened(servers: list[dict[str, Any]], most: int) -> list[dict[str, Any]]:
    if len(servers) <= most:
        return servers
    alone, rest = servers[: most - 1], servers[most - 1 :]
    together = dict(rest[0], port=0, more=len(rest))
    if together["status"] == "ok":
        for key in _SUMS:
            together[key] = sum(server[key] for server in rest)
        for key in _LATEST_OF:
            together[key] = max((server[key] for server in rest if server[key] is not None), default=None)
        together["together"] = min((server["together"] for server in rest if server["connections"]), default=0)
    return [*alone, together]


def main(arguments: list[str]) -> None:
    """Look, print, and leave, whatever hangs."""
    at, until = time.time(), time.monotonic() + DEADLINE_SECONDS
    errors: list[str] = []
    # Aside, because a dead network file system holds whoever looks into a home on it.
    looking = _Aside(lambda: look(arguments, until))
    servers, machine, seen = looking.result(until + 0.2, ([], None, []), errors)
    sys.stdout.write(report(at, servers, machine, errors + seen) + "\n")
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1:])
