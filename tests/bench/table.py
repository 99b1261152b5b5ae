"""The simulation's table over HTTP: moto's DynamoDB takes seconds for what DynamoDB does in milliseconds."""

import base64
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from autostop_local.world.errors import AwsError
from tests.simulation.table import CancelledError, Table


@contextmanager
def serve_table(table: Table) -> Iterator[str]:
    """Serve a table on the loopback by DynamoDB's JSON protocol, and give the endpoint's URL."""
    one_at_a_time = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1  # head and body in one packet: in two, the second waits for the first to be acknowledged
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            operation = self.headers["X-Amz-Target"].partition(".")[2]
            try:
                with one_at_a_time:
                    status, reply = 200, table.operations[operation](_with_bytes(asked))
            except AwsError as error:
                status, reply = error.status, {"__type": error.code, "message": error.message}
                if isinstance(error, CancelledError):
                    reply["CancellationReasons"] = error.reasons
            body = json.dumps(reply, default=_as_base64).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/x-amz-json-1.0")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None: ...  # noqa: A002 - the base class's name

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.1,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _with_bytes(value: Any) -> Any:
    """Binary attributes travel as text."""
    if isinstance(value, dict):
        if value.keys() == {"B"} and isinstance(value["B"], str):
            return {"B": base64.b64decode(value["B"])}
        return {key: _with_bytes(each) for key, each in value.items()}
    return [_with_bytes(each) for each in value] if isinstance(value, list) else value


def _as_base64(value: bytes) -> str:
    return base64.b64encode(value).decode()
