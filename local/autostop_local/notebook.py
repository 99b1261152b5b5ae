"""A person at a notebook: opens it and runs cells through Jupyter's own API, over TLS with the certificate pinned."""

import http.client
import json
import ssl
import uuid
from dataclasses import dataclass
from typing import Any

import websocket

from autostop_local.world import JupyterServer

# A server begins a kernel before it answers, which takes long on a machine that is at work.
_PATIENCE_SECONDS = 60.0
_LOOK_SECONDS = 15.0


class NotebookError(Exception):
    """Jupyter refused, or a cell raised; the text says what."""


@dataclass(frozen=True, slots=True)
class Notebook:
    """An open notebook with its kernel."""

    server: JupyterServer
    session: str
    kernel: str

    def run(self, code: str, within_seconds: float = _PATIENCE_SECONDS) -> None:
        """Run a cell and wait for its end. Raises NotebookError when it raises."""
        channels = _connect(self.server, self.kernel, within_seconds)
        try:
            message = _request(code)
            channels.send(json.dumps(message))
            wanted = message["header"]["msg_id"]
            while True:
                answer = json.loads(channels.recv())
                if answer.get("parent_header", {}).get("msg_id") != wanted:
                    continue
                if answer["msg_type"] == "error":
                    raise NotebookError("\n".join(answer["content"]["traceback"]))
                if answer["msg_type"] == "status" and answer["content"]["execution_state"] == "idle":
                    return
        finally:
            channels.close()

    def begin(self, code: str) -> None:
        """Run a cell and go away, as one who closes the laptop."""
        channels = _connect(self.server, self.kernel, _PATIENCE_SECONDS)
        channels.send(json.dumps(_request(code)))
        # The kernel takes it up before the connection goes, or it might never have come.
        while json.loads(channels.recv()).get("msg_type") != "execute_input":
            pass
        channels.close()


def answers(server: JupyterServer) -> bool:
    """True when the server answers."""
    try:
        return bool(call(server, "GET", "/api", within_seconds=_LOOK_SECONDS)["version"])
    except (OSError, NotebookError, http.client.HTTPException):
        return False


def open_notebook(server: JupyterServer, name: str) -> Notebook:
    """Make a notebook on the data volume and open it, with a kernel. Raises NotebookError, OSError."""
    name = f"{server.data}{name}"
    empty = {"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
    call(server, "PUT", f"/api/contents/{name}", {"type": "notebook", "content": empty})
    wanted = {"path": name, "name": name, "type": "notebook", "kernel": {"name": "python3"}}
    session = call(server, "POST", "/api/sessions", wanted)
    return Notebook(server, session["id"], session["kernel"]["id"])


def call(
    server: JupyterServer, method: str, path: str, body: Any = None, within_seconds: float = _PATIENCE_SECONDS
) -> Any:
    """One call of Jupyter's REST API; gives the decoded answer."""
    connection = http.client.HTTPSConnection(server.host, server.port, timeout=within_seconds, context=_pinned(server))
    try:
        headers = {"Authorization": f"token {server.token}"}
        connection.request(method, path, json.dumps(body) if body is not None else None, headers)
        answer = connection.getresponse()
        text = answer.read()
        if answer.status >= 400:
            raise NotebookError(f"{method} {path}: {answer.status} {text[:200]!r}")
        return json.loads(text)
    finally:
        connection.close()


def _pinned(server: JupyterServer) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(server.certificate))
    context.check_hostname = False
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return context


def _connect(server: JupyterServer, kernel: str, within_seconds: float) -> websocket.WebSocket:
    return websocket.create_connection(
        f"wss://{server.host}:{server.port}/api/kernels/{kernel}/channels",
        timeout=within_seconds,
        header=[f"Authorization: token {server.token}"],
        sslopt={"context": _pinned(server)},
        http_no_proxy=[server.host],
    )


def _request(code: str) -> dict[str, Any]:
    header = {"msg_id": uuid.uuid4().hex, "msg_type": "execute_request", "username": "", "session": uuid.uuid4().hex}
    content = {"code": code, "silent": False, "store_history": True, "allow_stdin": False, "user_expressions": {}}
    return {
        "header": header | {"version": "5.3"},
        "parent_header": {},
        "metadata": {},
        "content": content,
        "channel": "shell",
    }
