"""A real JupyterLab that lives by what the boot script made, and a client that trusts nothing but its certificate."""

import contextlib
import http.client
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.probe.jupyter_servers import wait_for
from tests.workstation.machine import ADDRESS, REPOSITORY, Machine

KEPT = Path("var/lib/autostop")


def read(machine: Machine, file: str) -> str:
    return (machine.root / KEPT / file).read_text()


@contextlib.contextmanager
def jupyterlab(machine: Machine, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """With the configuration of the machine, but for the port and for root, who runs it here.

    It does not ask whether a client is there still: ours answers only while it reads.
    """
    command = [
        "env", "HOME=/tmp", f"JUPYTER_TOKEN_FILE=/{KEPT}/token", sys.executable, "-m", "jupyterlab", "--allow-root",
        f"--config={REPOSITORY / 'workstation/boot/jupyter_server_config.json'}",
        "--ServerApp.ip=127.0.0.1", f"--ServerApp.port={port}", "--ServerApp.root_dir=/tmp",
        "--ServerApp.tornado_settings={'ws_ping_interval': 0}",
    ]  # fmt: skip
    log = machine.root / "tmp" / f"log-of-jupyter-{port}"
    with log.open("ab") as output:
        process = subprocess.Popen(
            machine.entering(*command), env=machine.environment(), stdout=output, stderr=subprocess.STDOUT
        )
    try:
        wait_for(lambda: process.poll() is not None or takes_connections(port), log.read_text)
        assert process.poll() is None, log.read_text()
        yield process
    finally:
        process.kill()
        process.wait()


def takes_connections(port: int) -> bool:
    with contextlib.suppress(OSError):
        ssl.get_server_certificate(("127.0.0.1", port), timeout=30)
        return True
    return False


def ask(machine: Machine, port: int, path: str, address: str = ADDRESS, **headers: str) -> tuple[int, str]:
    """Status, and the cookies that were set. The client trusts the machine's present certificate, and nothing else."""
    pinned = ssl.create_default_context(cadata=read(machine, "workstation.pem"))
    pinned.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    connection = http.client.HTTPSConnection("127.0.0.1", port, context=pinned, timeout=60)
    plain = socket.create_connection(("127.0.0.1", port), timeout=60)
    connection.sock = pinned.wrap_socket(plain, server_hostname=address)
    with contextlib.closing(connection):
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        answer.read()
        cookies = [value.partition(";")[0] for value in answer.headers.get_all("Set-Cookie") or []]
        return answer.status, "; ".join(cookies)
