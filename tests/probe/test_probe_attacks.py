"""What another user of the machine writes, listens on or leaves about: it hides nothing and learns nothing."""

import json
import os
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from autostop.probe.believed_servers import _listening, _runtimes, jupyter_servers
from autostop.probe.files import edited_at, is_held
from autostop.probe.gpu import gpu_use
from autostop.probe.jupyter import Runtime, ask_server
from autostop.probe.limits import _MOST_OF_A_USER, MOST_LINES, Limits
from autostop.probe.listeners import _MOST_DESCRIPTORS, Listener, opened_by
from autostop.probe.process_details import Looks
from autostop.probe.process_kinds import kind_of
from autostop.probe.processes import _MOST_BYTES, Task, _task
from autostop.probe.report import _LATEST_OF, _SUMS, report
from tests.probe.jupyter_servers import TOKEN, FalseServer, answering
from tests.probe.parts import everywhere
from tests.probe.test_probe import BUSY, IDLE
from tests.probe.whole import PATIENCE_SECONDS, SOURCE, missing, run, statuses

SOMEBODY = 65534

# A server in a network of its own: it listens on the given port there, and nobody reaches it from here.
_ELSEWHERE = """
import socket, sys, time
listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))
print("listens", flush=True)
time.sleep(1000)
"""


def listening(runtime: Runtime) -> list[Listener]:
    return list(_listening(runtime, Limits()))


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

    assert said["servers"] == [{"port": 0, "status": "nofile", "user": "root"}]
    assert thief.connections == 0


def test_the_socket_of_another_process_is_not_even_connected_to(
    serve: Callable[..., FalseServer], tmp_path: Path
) -> None:
    # A socket file that this process does not listen on, whoever does.
    path = str(tmp_path / "theirs.sock")
    with FalseServer(answering([BUSY], []), path=path) as theirs:
        mine = Runtime(os.getppid(), 0, path, "/", TOKEN, False, os.getuid(), time.time())
        assert listening(mine) == []
        assert [each.address for each in listening(mine._replace(pid=os.getpid()))] == [""]
        assert theirs.connections == 0


def test_many_servers_counted_together_were_used_together_only_if_each_was() -> None:
    def server(port: int, together: int, connections: int = 1) -> dict[str, object]:
        counts = dict.fromkeys(_SUMS, 0) | dict.fromkeys(_LATEST_OF)
        return {"port": port, "status": "ok", **counts, "connections": connections, "together": together}

    def rest(*servers: dict[str, object]) -> object:
        line = json.loads(report(0, [server(1, 1), *servers], None, []))
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

    gpu_use(time.monotonic() + PATIENCE_SECONDS)

    assert not ran.exists()


def test_root_is_sent_to_no_address_that_is_not_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    went: list[object] = []

    class Socket(socket.socket):
        def connect(self, address: Any) -> None:
            went.append(address)
            super().connect(address)

    # Whoever likes may listen at an address of somebody else: IP_FREEBIND, 15, takes no privilege.
    listener = socket.socket()
    listener.setsockopt(socket.IPPROTO_IP, 15, 1)
    listener.bind(("192.0.2.1", 0))
    listener.listen()
    port = listener.getsockname()[1]
    runtime = Runtime(os.getpid(), port, "", "/", TOKEN, False, os.getuid(), time.time())
    monkeypatch.setattr(socket, "socket", Socket)
    with listener:
        entry, _ = ask_server(runtime, listening(runtime)[0], time.monotonic() + PATIENCE_SECONDS)

    assert (entry["status"], went) == ("refused", [])


def test_who_takes_the_port_between_the_look_and_the_connection_gets_no_token() -> None:
    with FalseServer(answering([BUSY], [])) as mine:
        runtime = Runtime(os.getpid(), mine.port, "", "/", TOKEN, False, os.getuid(), time.time())
        (seen,) = listening(runtime)
    with FalseServer(answering([IDLE], []), port=mine.port) as thief:
        entry, _ = ask_server(runtime, seen, time.monotonic() + PATIENCE_SECONDS)

    assert entry["status"] == "refused"
    assert b"".join(thief.received) == b""


def test_a_path_that_is_pointed_to_anothers_socket_after_the_look_is_not_connected_to(tmp_path: Path) -> None:
    path, aside = tmp_path / "mine.sock", tmp_path / "theirs.sock"
    mine, theirs = (
        FalseServer(answering([BUSY], []), path=str(path)),
        FalseServer(answering([IDLE], []), path=str(aside)),
    )
    os.chown(aside, SOMEBODY, SOMEBODY)
    runtime = Runtime(os.getpid(), 0, str(path), "/", TOKEN, False, os.getuid(), time.time())
    with mine, theirs:
        (seen,) = listening(runtime)
        path.rename(tmp_path / "gone.sock")
        path.symlink_to(aside)
        by_link, _ = ask_server(runtime, seen, time.monotonic() + PATIENCE_SECONDS)
        path.unlink()
        aside.rename(path)
        by_name, _ = ask_server(runtime, seen, time.monotonic() + PATIENCE_SECONDS)

        assert (by_link["status"], by_name["status"], theirs.connections) == ("refused", "refused", 0)


def test_a_user_with_very_many_directories_hides_no_server(serve: Callable[..., FalseServer], tmp_path: Path) -> None:
    busy, few = serve(answering([BUSY], [])), 64
    (last := tmp_path / "z").mkdir()
    busy.write_runtime_file(last)
    named = [tmp_path / f"{number:04}" for number in range(few)]
    for folder in named:
        folder.mkdir()
    limited = ["sh", "-c", f'ulimit -n {few}; exec "$@"', "sh", sys.executable, "-", *map(str, [*named, last])]
    ended = subprocess.run(limited, input=SOURCE, capture_output=True, timeout=60, check=True)

    assert statuses(json.loads(ended.stdout)) == [(busy.port, "ok")]


def waiting(*words: str, do: str = "") -> subprocess.Popen[bytes]:
    """A process that has done something and waits, with this command line."""
    code = f"import os, resource, time\n{do}\nprint(flush=True)\ntime.sleep(1000)"
    process = subprocess.Popen([sys.executable, "-c", code, *words], stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    return process


def test_a_server_of_very_many_descriptors_takes_no_time_from_others() -> None:
    many = "resource.setrlimit(resource.RLIMIT_NOFILE, (9_000, 9_000)); [os.dup(1) for _ in range(8_000)]"
    with waiting(do=many) as one:
        seen = opened_by(Path(f"/proc/{one.pid}"))
        listed = len([*Path(f"/proc/{one.pid}/fd").iterdir()])
        one.kill()

    assert listed > _MOST_DESCRIPTORS
    assert len(seen) <= _MOST_DESCRIPTORS


def test_very_long_arguments_take_no_time_from_others() -> None:
    with waiting(*["kernel-" * 18_000] * 9, *["x"] * 9_000) as one:
        task = _task(Path(f"/proc/{one.pid}"), SOMEBODY)
        one.kill()
    hostile = task._replace(command=b"python3\0-m\0x\0" + b"kernel-" * 1_000 + b".json x\0" + b"a\0" * 9_000)
    began = time.process_time()
    for each in (task, hostile):
        for _ in range(100):
            kind_of(each)

    assert len(task.command) <= _MOST_BYTES
    assert time.process_time() - began < 1


def test_a_user_of_many_servers_takes_none_from_another_and_is_named(
    serve: Callable[..., FalseServer], tmp_path: Path
) -> None:
    busy = serve(answering([BUSY], []))
    busy.write_runtime_file(tmp_path)
    for number in range(_MOST_OF_A_USER["runtime files"] + 9):
        file = tmp_path / f"jpserver-a{number}.json"
        file.write_text(json.dumps({"pid": 1, "port": number + 1, "base_url": "/", "token": "", "secure": False}))
        os.chown(file, SOMEBODY, SOMEBODY)

    said, line = run(tmp_path)

    assert statuses(said) == [(busy.port, "ok")]
    assert said["errors"] == ["many:nobody"]
    assert "(user nobody)" in missing(line)


def test_a_user_of_many_processes_like_servers_is_named_once() -> None:
    task = Task(9, 1, "python3", "S", 0, 0, b"python3\0-m\0jupyterlab", uid=SOMEBODY)
    tasks = [task._replace(pid=4_000_000 + number) for number in range(300)]
    limits, errors = Limits(), list[str]()

    entries = jupyter_servers([], tasks, set(), time.monotonic() + PATIENCE_SECONDS, errors, limits)

    assert (len(entries), entries[0]["user"], limits.over) == (
        _MOST_OF_A_USER["processes of servers"],
        "nobody",
        {SOMEBODY},
    )


def test_more_locks_than_are_read_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "locks").write_text("1: FLOCK ADVISORY WRITE 1 00:00:1 0 EOF\n" * (MOST_LINES + 1))
    everywhere(monkeypatch, PROC=tmp_path)

    with pytest.raises(OverflowError):
        is_held({str(tmp_path)})


def test_the_history_of_an_editor_is_followed_into_no_other_home(tmp_path: Path) -> None:
    theirs, mine = tmp_path / "theirs", tmp_path / "mine"
    for home in (theirs, mine):
        (home / ".vscode-server/data/User/History/1").mkdir(parents=True)
    os.utime(theirs / ".vscode-server/data/User/History/1", (4e9, 4e9))
    os.utime(mine / ".vscode-server/data/User/History/1", (1e9, 1e9))
    (mine / ".cursor-server").symlink_to(theirs / ".vscode-server")

    assert edited_at({str(mine)}) == 1e9


def test_a_device_in_the_place_of_a_file_or_a_terminal_is_not_even_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Some act when they are opened, as a watchdog does; a user may have one there in a namespace of his own.
    os.mknod(tmp_path / "jpserver-1.json", 0o644 | stat.S_IFCHR, os.makedev(1, 5))
    (tmp_path / "jpserver-2.json").symlink_to("/dev/zero")
    task = _task(Path(f"/proc/{os.getpid()}"), 0)._replace(tty=os.makedev(136, 0))
    directory, opened, really = os.open(tmp_path, os.O_RDONLY), list[object](), os.open

    def see(name: str, flags: int, *rest: Any, **more: Any) -> int:
        opened.extend([] if flags & os.O_PATH else [name])
        return really(name, flags, *rest, **more)

    monkeypatch.setattr(os, "open", see)
    everywhere(monkeypatch, _terminal=lambda _: "/dev/zero")
    found, lines = list(_runtimes(directory, [], Limits())), Looks().reads_lines(task)
    os.close(directory)

    assert (found, lines, opened) == ([], None, [])
