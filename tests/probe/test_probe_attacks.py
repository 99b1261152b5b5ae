"""What another user of the machine writes, listens on or leaves about: it hides nothing and learns nothing."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from autostop.probe import probe
from tests.probe.jupyter_servers import TOKEN, FalseServer, answering
from tests.probe.test_probe import BUSY, IDLE, run, serve, statuses

__all__ = ["serve"]  # a fixture
SOMEBODY = 65534

# A server in a network of its own: it listens on the given port there, and nobody reaches it from here.
_ELSEWHERE = """
import socket, sys, time
listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))
print("listens", flush=True)
time.sleep(1000)
"""


@pytest.fixture
def elsewhere() -> Iterator[Callable[[int], int]]:
    """Starts a server in a network namespace of its own; gives its process."""
    processes: list[subprocess.Popen[str]] = []

    def start(port: int) -> int:
        inside = ["sh", "-c", 'ip link set lo up; exec "$@"', "sh", sys.executable, "-c", _ELSEWHERE, str(port)]
        process = subprocess.Popen(["unshare", "--net", *inside], stdout=subprocess.PIPE, text=True)
        processes.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "listens\n"
        return process.pid

    yield start
    for process in processes:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("name", ["jpserver-0.json", "jpserver-z.json"])
def test_a_file_that_another_user_writes_of_a_busy_server_hides_it_not(
    serve: Callable[..., FalseServer], tmp_path: Path, name: str
) -> None:
    busy = serve(answering([BUSY], []))
    theirs = busy.write_runtime_file(tmp_path, token="").rename(tmp_path / name)
    os.chown(theirs, SOMEBODY, SOMEBODY)
    busy.write_runtime_file(tmp_path)

    said, _ = run(tmp_path)

    assert statuses(said) == [(busy.port, "ok")]
    assert said["servers"][0]["busy"] == 1


def test_who_listens_on_the_port_of_a_server_in_another_network_gets_no_token(
    serve: Callable[..., FalseServer], elsewhere: Callable[[int], int], tmp_path: Path
) -> None:
    thief = serve(answering([IDLE], []))
    thief.write_runtime_file(tmp_path, pid=elsewhere(thief.port))

    said, _ = run(tmp_path)

    assert (said["servers"], thief.connections) == ([], 0)


def test_the_socket_of_another_process_is_not_even_connected_to(
    serve: Callable[..., FalseServer], tmp_path: Path
) -> None:
    # A socket file that this process does not listen on, whoever does.
    path = str(tmp_path / "theirs.sock")
    with FalseServer(answering([BUSY], []), path=path) as theirs:
        mine = probe.Runtime(os.getppid(), 0, path, "/", TOKEN, False, os.getuid(), time.time())
        assert list(probe._listening(mine)) == []
        assert list(probe._listening(mine._replace(pid=os.getpid()))) == [[]]
        assert theirs.connections == 0


def test_many_servers_counted_together_were_used_together_only_if_each_was() -> None:
    def server(port: int, together: int, connections: int = 1) -> dict[str, object]:
        counts = dict.fromkeys(probe._SUMS, 0) | dict.fromkeys(probe._LATEST_OF)
        return {"port": port, "status": "ok", **counts, "connections": connections, "together": together}

    def rest(*servers: dict[str, object]) -> object:
        line = json.loads(probe.report(0, [server(1, 1), *servers], None, []))
        return next(each["together"] for each in line["servers"] if "more" in each)

    many = [server(port, 1) for port in range(10, 20)]
    assert rest(*many) == 1
    assert rest(*many, server(30, 0)) == 0
    assert rest(*many, server(30, 0, connections=0)) == 1


def test_a_program_on_a_path_that_somebody_writes_to_is_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran = tmp_path / "ran"
    program = tmp_path / "nvidia-smi"
    program.write_text(f"#!/bin/sh\ntouch {ran}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")

    probe._gpu(time.monotonic() + probe.DEADLINE_SECONDS)

    assert not ran.exists()
