"""A small real HTTP server that serves the page under its strict policy, and an API that answers as a test says."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from autostop.static_files import files_in

PAGE = Path(__file__).parents[2] / "functions" / "api" / "page" / "index.html"
WORKSTATION = "i-0abc1234def567890"
SECRET = "Zk3v_NOT-a-real~secret.0123456789abcdefXYZ"

Status = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Request:
    """One request as it reached the server."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer: `code` 0 means that the connection breaks; a str body is sent as it is."""

    code: int
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class ScriptedApi:
    """What the server answers, which a test may change at any time, and what it was asked."""

    origin: str
    status: Status
    answers: dict[str, list[Answer]] = field(default_factory=dict)  # by "GET" or action: used up first
    always: dict[str, Answer] = field(default_factory=dict)  # by "GET" or action: then this
    after: dict[str, Status] = field(default_factory=dict)  # by action: how a press changes the status
    gates: dict[str, threading.Event] = field(default_factory=dict)  # by "GET" or action: answer only when set
    requests: list[Request] = field(default_factory=list)

    @property
    def url(self) -> str:
        """The link that the owner taps."""
        return f"{self.origin}/w/{WORKSTATION}#{SECRET}"

    @property
    def looks(self) -> int:
        """How often the status was read."""
        return sum(
            request.method == "GET" and request.path.endswith(f"/api/workstations/{WORKSTATION}")
            for request in self.requests
        )

    @property
    def presses(self) -> list[str]:
        """The actions asked for, oldest first."""
        return [request.path.rsplit("/", 1)[1] for request in self.requests if request.method == "POST"]

    def answer(self, method: str, action: str) -> Answer:
        """What this call gets."""
        key = action or "GET"
        if action == "days" and key not in self.always:
            return Answer(404, {"title": "none here", "status": 404, "detail": "none"})
        if key in self.gates:
            self.gates[key].wait(10)
        if self.answers.get(key):
            return self.answers[key].pop(0)
        if key in self.always:
            return self.always[key]
        if method == "POST":
            self.status = {**self.status, **self.after.get(action, {})}
        return Answer(202 if method == "POST" else 200, self.status)


class Server(ThreadingHTTPServer):
    """Serves the page as it was at the start, and the scripted answers."""

    daemon_threads = True

    def __init__(self, status: Status) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.api = ScriptedApi(f"http://127.0.0.1:{self.server_port}", status)
        self.files = files_in(PAGE.parent)

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: a browser that closes a connection is no news here."""


class Handler(BaseHTTPRequestHandler):
    """One connection of the browser."""

    protocol_version = "HTTP/1.1"
    server: Server

    def do_GET(self) -> None:
        self._serve("GET")

    def do_POST(self) -> None:
        self._serve("POST")

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  (the name is the base class's)
        """Say nothing, for the test's output is read by people."""

    def _serve(self, method: str) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.server.api.requests.append(Request(method, self.path, dict(self.headers.items()), body))
        if "/api/" in self.path:
            last = self.path.rsplit("/", 1)[1]
            self._send(self.server.api.answer(method, "" if last == WORKSTATION else last))
        elif "/w/" in self.path:
            files = self.server.files
            file = files.get(self.path.rsplit("/", 1)[1]) or files["index.html"]
            answer = file.answer({name.lower(): value for name, value in self.headers.items()})
            self._write(answer["statusCode"], base64.b64decode(answer["body"]), answer["headers"])
        elif self.path == "/elsewhere":
            self._write(200, b"<!doctype html><title>elsewhere</title>", {"Content-Type": "text/html"})
        else:
            self._write(404, b"", {})

    def _send(self, answer: Answer) -> None:
        if answer.code == 0:
            # Not simply closed: a browser takes that for a connection that grew old, and asks a second time.
            self.wfile.write(b"\0" * 16)
            self.close_connection = True
            return
        text = answer.body if isinstance(answer.body, str) else json.dumps(answer.body)
        self._write(answer.code, text.encode(), {"Content-Type": "application/json", **answer.headers})

    def _write(self, code: int, content: bytes, headers: Mapping[str, str]) -> None:
        self.send_response(code)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


@contextmanager
def serving(status: Status) -> Iterator[ScriptedApi]:
    """Serve on a free loopback port until the block ends."""
    server = Server(status)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    try:
        yield server.api
    finally:
        for gate in server.api.gates.values():
            gate.set()
        server.shutdown()
        server.server_close()
