"""A small HTTP server on the loopback that takes notices as ntfy would, and answers as a test says."""

import ssl
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass(frozen=True, slots=True)
class Posted:
    """One request as it came. headers: as they stood on the wire."""

    method: str
    path: str
    headers: Mapping[str, str]
    text: str


@dataclass
class Receiver:
    """url: of a topic. answers: status codes in turn, 200 when there is none left; 0 never answers."""

    url: str
    posted: list[Posted] = field(default_factory=list)
    answers: list[int] = field(default_factory=list)
    elsewhere: str = ""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    receiver: Receiver
    closing = False


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def do_POST(self) -> None:
        self._take()

    def do_GET(self) -> None:
        self._take()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is the base class's
        """Say nothing."""

    def _take(self) -> None:
        receiver = self.server.receiver
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
        receiver.posted.append(Posted(self.command, self.path, dict(self.headers.items()), body))
        status = receiver.answers.pop(0) if receiver.answers else 200
        while status == 0 and not self.server.closing:
            time.sleep(0.02)  # a server that never answers, until the test ends
        self.send_response(status or 200)
        if receiver.elsewhere:
            self.send_header("Location", receiver.elsewhere)
        self.send_header("Content-Length", "0")
        self.end_headers()


@contextmanager
def receiving(tls: ssl.SSLContext | None = None) -> Iterator[Receiver]:
    """Take what comes until the block ends."""
    server = _Server(("127.0.0.1", 0), _Handler)
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    scheme = "https" if tls else "http"
    server.receiver = Receiver(f"{scheme}://127.0.0.1:{server.server_port}/secret-topic?auth=key")
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    try:
        yield server.receiver
    finally:
        server.closing = True
        server.shutdown()
        server.server_close()
