"""One Jupyter server: how it is asked, and what its answers mean."""

from __future__ import annotations

import io
import json
import os
import re
import socket
import ssl
import struct
from datetime import datetime
from typing import Any, NamedTuple, cast

from autostop.probe.limits import insist, remaining, user_name
from autostop.probe.listeners import ELSEWHERE, Listener, is_socket_of

LONGEST_BODY = 1_000_000
_LONGEST_ANSWER = LONGEST_BODY + 65_536  # with its headers
_LINKED = re.compile(r"/[\w.~%@/-]{0,99}", re.ASCII)
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
    import http.client  # noqa: PLC0415 - a fourth of all that it takes to begin, and only where a server has answered

    response = http.client.HTTPResponse(cast("socket.socket", _Received(bytes(content))))
    response.begin()
    body = response.read()
    if len(body) > LONGEST_BODY:
        raise ValueError("the answer is too long")
    return Answer(response.status, body, response.getheader("Date"))


def unverified_tls() -> ssl.SSLContext:
    """TLS that trusts anybody: who it is was checked, or is checked, before anything is sent."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def ask_server(runtime: Runtime, listener: Listener, until: float) -> tuple[dict[str, Any], list[str]]:
    """The entry of one server, and its open notebooks."""
    if listener == ELSEWHERE:
        return {"port": 0, "status": "nofile", "user": user_name(runtime.uid)}, []
    base = runtime.base_url if _LINKED.fullmatch(runtime.base_url) else "/"
    entry: dict[str, Any] = {
        "port": runtime.port,
        "status": "ok",
        "base": base,
        **({"uid": runtime.uid} if runtime.uid else {}),
    }
    entry.update(plain=int(not runtime.secure), local=int(listener.local))
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
        insist(os.readlink(listener.place) == listener.socket)  # noqa: PTH115 - Path.readlink came with Python 3.9
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
        insist(is_socket_of(os.fstat(handle), runtime.uid))
        connection.connect(f"/proc/self/fd/{handle}")
        peer = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
        insist(struct.unpack("3i", peer)[:2] == (runtime.pid, runtime.uid))
    except BaseException:
        connection.close()
        raise
    finally:
        os.close(handle)
    return connection
