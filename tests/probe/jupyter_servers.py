"""Real Jupyter servers on loopback, and false ones that misbehave on purpose."""

import contextlib
import http.client
import json
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import psutil
from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_server.auth.security import passwd

from autostop_local.world import certificate

TOKEN = "a-token-of-the-tests-7f3e"
PASSWORD = "a-password-of-the-tests"


@dataclass(frozen=True)
class Certificate:
    """A self-signed one as a guide makes it: no names, for nobody in particular."""

    pem: Path
    sha256: str


def make_certificate(folder: Path) -> Certificate:
    """In one file with its key, as Jupyter takes it."""
    pem, key = folder / "certificate.pem", folder / "key.pem"
    certificate.make_certificate(pem, key, name="a workstation", for_localhost=False)
    sha256 = certificate.certificate_sha256(pem)
    pem.write_bytes(pem.read_bytes() + key.read_bytes())
    return Certificate(pem, sha256)


class RealServer:
    """One Jupyter server as a process of its own, with a runtime directory of its own."""

    def __init__(
        self, folder: Path, options: dict[str, object], *, token: str = TOKEN, within: Sequence[str] = ()
    ) -> None:
        """within: what to put before its command line, to start it elsewhere than here."""
        self.runtime = folder / "runtime"
        self.runtime.mkdir(parents=True)
        self.token = token
        self._clients: list[BlockingKernelClient] = []
        settings = {
            "config": Path(__file__).parent / "kernel_ports.py",
            "ServerApp.root_dir": folder,
            "ServerApp.open_browser": False,
            "ServerApp.allow_root": True,
            "ServerApp.jpserver_extensions": {
                "jupyter_server_terminals": True,
                "jupyterlab": False,
                "jupyter_lsp": False,
                "notebook_shim": False,
            },
        } | options
        self._log = (folder / "log").open("wb")
        self.process = subprocess.Popen(
            [*within, sys.executable, "-m", "jupyter_server", *(f"--{key}={value}" for key, value in settings.items())],
            env={
                "PATH": os.environ["PATH"], "HOME": str(folder), "IPYTHONDIR": str(folder / "ipython"),
                "JUPYTER_CONFIG_DIR": str(folder / "config"), "JUPYTER_RUNTIME_DIR": str(self.runtime),
                "SHELL": "/bin/sh",
            }
            | ({"JUPYTER_TOKEN": token} if token else {}),
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            cwd=folder,
        )  # fmt: skip

    @property
    def runtime_file(self) -> Path:
        return self.runtime / f"jpserver-{self.process.pid}.json"

    def told(self) -> dict[str, Any]:
        """What the runtime file says."""
        content: dict[str, Any] = json.loads(self.runtime_file.read_text())
        return content

    @property
    def port(self) -> int:
        return int(self.told()["port"])

    def wait(self) -> None:
        wait_for(lambda: self.process.poll() is not None or self._answers(), self._say)
        assert self.process.poll() is None, self._say()

    def _answers(self) -> bool:
        # It is there for a moment before it is written.
        return self.runtime_file.exists() and bool(self.runtime_file.read_text()) and self.call("GET", "") is not None

    def _say(self) -> str:
        return Path(self._log.name).read_text()

    def call(self, method: str, what: str, body: object = None) -> Any:
        """The decoded answer of its API; it does not count as activity. None when it takes no connection."""
        told = self.told()
        connection = http.client.HTTPConnection("localhost")
        try:
            connection.sock = _connected(told)
        except OSError:
            return None
        target = f"{told['base_url']}api/{what}?no_track_activity=1".replace("/?", "?")
        connection.request(method, target, json.dumps(body), {"Authorization": f"token {self.token}"})
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        assert answer.status < 300, (answer.status, self._say())
        return json.loads(content) if content else {}

    def open_notebook(self, path: str, kernel: str) -> None:
        """A session as a tab makes it, of a notebook and a kernel that is there."""
        session = {"path": path, "name": path, "type": "notebook", "kernel": {"id": kernel}}
        self.call("POST", "sessions", session)

    def start_kernel(self) -> str:
        """A kernel to which nobody connects: it stays `starting` for ever."""
        return str(self.call("POST", "kernels", {})["id"])

    def start_idle_kernel(self) -> BlockingKernelClient:
        """A kernel that ran one cell."""
        kernel = self.start_kernel()
        file = self.runtime / f"kernel-{kernel}.json"
        wait_for(file.exists, self._say)
        client = BlockingKernelClient(connection_file=str(file))
        client.load_connection_file()
        client.start_channels()
        self._clients.append(client)

        def ran_a_cell() -> bool:
            # What a kernel says before the server listens to it is lost: the server then knows it as `starting`.
            client.execute("1", reply=True, timeout=180)
            return self.states()[kernel] == "idle"

        wait_for(ran_a_cell, self._say)
        return client

    def start_busy_kernel(self) -> BlockingKernelClient:
        """A kernel in a cell that is silent and ends after the tests."""
        before = set(self.states())
        client = self.start_idle_kernel()
        client.execute("import time; time.sleep(3600)")
        wait_for(lambda: "busy" in {self.states()[kernel] for kernel in self.states().keys() - before}, self._say)
        return client

    def states(self) -> dict[str, str]:
        return {kernel["id"]: kernel["execution_state"] for kernel in self.call("GET", "kernels")}

    @contextlib.contextmanager
    def stopped(self) -> Iterator[None]:
        """While it is neither dead nor able to answer."""
        self.process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.process.send_signal(signal.SIGCONT)

    def end(self) -> None:
        """End it with its kernels and terminals, which are process groups of their own."""
        for client in self._clients:
            client.stop_channels()
        family = [psutil.Process(self.process.pid), *psutil.Process(self.process.pid).children(recursive=True)]
        for process in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        self.process.wait(60)
        psutil.wait_procs(family, 10)
        self._log.close()


def _connected(told: dict[str, Any]) -> socket.socket:
    if told["sock"]:
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(20)
        connection.connect(told["sock"])
        return connection
    connection = socket.create_connection(("127.0.0.1", told["port"]), timeout=60)
    if not told["secure"]:
        return connection
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context.wrap_socket(connection)


@dataclass(frozen=True)
class RealServers:
    """`plain` has an idle and a busy kernel; `tls` an open notebook whose kernel starts for ever, and a terminal."""

    plain: RealServer
    tls: RealServer
    password: RealServer
    unix: RealServer
    certificate: Certificate


def on_loopback() -> dict[str, object]:
    # Should another process take the port first, Jupyter tries the next ones, and its runtime file says which.
    return {"ServerApp.ip": "127.0.0.1", "ServerApp.port": free_port()}


@contextlib.contextmanager
def real_servers(folder: Path) -> Iterator[RealServers]:
    certificate = make_certificate(folder)
    secure = {"ServerApp.certfile": certificate.pem}
    hashed = {"PasswordIdentityProvider.hashed_password": passwd(PASSWORD, "sha256")}  # type: ignore[no-untyped-call] # it has no types
    with contextlib.ExitStack() as stack:

        def start(name: str, options: dict[str, object], token: str = TOKEN) -> RealServer:
            server = RealServer(folder / name, options, token=token)
            stack.callback(server.end)
            return server

        servers = RealServers(
            plain=start("plain", on_loopback()),
            tls=start("tls", on_loopback() | secure | {"ServerApp.base_url": "/my/base/"}),
            password=start("password", on_loopback() | secure | hashed, token=""),
            unix=start("unix", {"ServerApp.sock": folder / "jupyter.sock"}),
            certificate=certificate,
        )
        for server in (servers.plain, servers.tls, servers.password, servers.unix):
            server.wait()
        (folder / "tls" / "thought.ipynb").write_text("{}")
        servers.tls.open_notebook("thought.ipynb", servers.tls.start_kernel())
        servers.tls.call("POST", "terminals", {})
        servers.plain.start_idle_kernel()
        servers.plain.start_busy_kernel()
        yield servers


def wait_for(condition: Callable[[], bool], log: Callable[[], str] = lambda: "it did not come so far") -> None:
    until = time.monotonic() + 180
    while not condition():
        assert time.monotonic() < until, log()
        time.sleep(0.05)


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


class FalseServer:
    """A listener in this very process that gives every request the answer of a function, and remembers what came.

    reply: gets the connection (TLS is done) and the request; when it returns, the connection ends.
    """

    def __init__(
        self,
        reply: Callable[[socket.socket, bytes], None],
        certificate: Certificate | None = None,
        path: str = "",
        port: int = 0,
    ) -> None:
        self.received: list[bytes] = []
        self.connections = 0
        self._reply = reply
        self._path = path
        self._tls = None
        if certificate:
            self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._tls.load_cert_chain(certificate.pem)
        self._listener = socket.socket(socket.AF_UNIX if path else socket.AF_INET)
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._listener.bind(path or ("127.0.0.1", port))
        self._listener.listen(50)
        self.port = 0 if path else int(self._listener.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        # close() alone would leave the thread in accept(), and the port with it.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, plain: socket.socket) -> None:
        plain.settimeout(10)
        with contextlib.suppress(OSError), plain:
            connection = self._tls.wrap_socket(plain, server_side=True) if self._tls else plain
            with connection:
                request = connection.recv(65_536)
                self.received.append(request)
                if request:
                    self._reply(connection, request)

    def write_runtime_file(self, folder: Path, **changes: object) -> Path:
        """A runtime file as Jupyter writes it, which names this process."""
        content = {
            "base_url": "/", "hostname": "localhost", "password": False, "pid": os.getpid(), "port": self.port,
            "root_dir": "/", "secure": self._tls is not None, "sock": self._path, "token": TOKEN,
            "url": f"http://localhost:{self.port}/", "version": "2.21.1",
        } | changes  # fmt: skip
        file = folder / f"jpserver-{self.port}.json"
        file.write_text(json.dumps(content))
        return file


STATUS = {"connections": 0, "kernels": 0, "last_activity": "2026-11-23T09:00:30Z", "started": "2026-11-23T08:00:00Z"}


def answering(
    kernels: object,
    terminals: object,
    *,
    status: int = 200,
    head: str = "",
    server: object = STATUS,
    sessions: object = (),
    files: Mapping[str, object] | None = None,
) -> Callable[..., None]:
    """A reply with these lists, JSON or raw bytes. files: what the API says of each, by the name in the request."""

    def reply(connection: socket.socket, request: bytes) -> None:
        asked = re.search(rb"/api/([^ ?]+)", request)
        said = {"kernels": kernels, "terminals": terminals, "status": server, "sessions": sessions}
        said |= {f"contents/{name}": model for name, model in (files or {}).items()}
        content = said[asked[1].decode()] if asked else b""  # the first bytes of a TLS handshake ask nothing
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        connection.sendall(
            f"HTTP/1.1 {status} Whatever\r\nContent-Length: {len(body)}\r\n{head}Connection: close\r\n\r\n".encode()
            + body
        )

    return reply


def silent(connection: socket.socket, _: bytes) -> None:
    """Takes the request and says nothing for as long as the other side waits."""
    connection.recv(1)


def trickling(connection: socket.socket, _: bytes) -> None:
    """A byte every third of a second, so that no single wait is long."""
    for letter in b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n[]":
        connection.sendall(bytes([letter]))
        time.sleep(0.33)
