"""What is read of single processes: how their terminal is used, who began them, and whom they serve."""

import os
import socket
import time
from pathlib import Path

import psutil
import pytest

from autostop.probe.process_details import Looks, typed_at
from autostop.probe.processes import Task
from tests.probe.jupyter_servers import wait_for
from tests.probe.machine import HOUR, Start, Terminal, cpu_rises, jobs_and_doubts, script, seen_below, tasks
from tests.probe.parts import everywhere


def test_typing_is_told_and_output_is_not(terminal: Terminal) -> None:
    terminal.types("(sleep 1; echo a''bc) & echo be''gun\n")
    # The shell has read the whole line by then.
    wait_for(lambda: terminal.reads("begun"))
    long_ago = round(time.time() - HOUR)
    os.utime(terminal.path, (long_ago, long_ago))

    wait_for(lambda: terminal.reads("abc"))
    assert typed_at(tasks(terminal.pid)) == long_ago

    terminal.types("true\n")
    # The kernel keeps these times to 8 seconds.
    wait_for(lambda: time.time() - (typed_at(tasks(terminal.pid)) or 0) < 12)


def test_a_terminal_that_only_waits_for_a_login_is_nobodys(terminal: Terminal) -> None:
    (shell,) = tasks(terminal.pid)

    assert typed_at([shell]) is not None
    assert typed_at([shell._replace(name="agetty")]) is None
    assert typed_at([shell._replace(tty=0)]) is None


@pytest.mark.parametrize("variable", ["SSH_TTY", "SSH_CONNECTION", "TERM", "TMUX", "STY", "JPY_PARENT_PID", "DISPLAY"])
def test_what_a_person_left_behind_counts_and_may_wait_for_the_world(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    """`nohup python job.py &` over SSH, then the logout: nothing of the login is above it any more."""
    monkeypatch.setenv(variable, "something")
    pid = start([script(tmp_path / "job")])

    assert cpu_rises(pid) > 0.9
    assert jobs_and_doubts(pid) == (0, [["job", "job"]])


@pytest.mark.parametrize(("place", "left"), [
    ("0::/user.slice/user-1000.slice/session-3.scope", True), ("0::/system.slice/session-manager.service", False),
    ("0::/user.slice/user-1000.slice/user@1000.service/app.slice/syncthing.service", False), ("0::/", False),
])  # fmt: skip
def test_where_systemd_keeps_it_tells_whether_a_person_left_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str, left: bool
) -> None:
    (tmp_path / "5").mkdir()
    (tmp_path / "5/cgroup").write_text(f"{place}\n")
    (tmp_path / "5/environ").write_bytes(b"PATH=/bin\0")
    everywhere(monkeypatch, PROC=tmp_path)
    assert Looks().is_of_a_person(Task(5, 1, "python3", "S", 0, 0)) is left


def test_what_serves_a_file_system_is_a_server(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    """`rclone mount` or `sshfs -f`, in the foreground."""
    terminal.runs("sleep 300", "sleep")
    everywhere(monkeypatch, opened_by=lambda _: {"/dev/fuse": "/proc/1/fd/3"})

    assert jobs_and_doubts(terminal.pid) == (0, [["server", "sleep"]])


def test_who_serves_others_and_does_nothing_else_is_a_server(terminal: Terminal) -> None:
    terminal.runs("python3 -m http.server --bind 127.0.0.1 0", "python3")

    wait_for(lambda: jobs_and_doubts(terminal.pid) == (0, [["server", "python3"]]))
    assert all(name.startswith("p") for name, used in seen_below(terminal.pid)["cpu"].items() if used > 0.05)

    (server,) = [task for task in tasks(terminal.pid) if Looks().listens(task)]
    port = next(each.laddr.port for each in psutil.Process(server.pid).net_connections())
    assert seen_below(terminal.pid)["visits"] == 0
    with socket.create_connection(("127.0.0.1", port)):
        wait_for(lambda: seen_below(terminal.pid)["visits"] == 1)
        # What counts itself is a worker of a cluster, and no visitor.
        looks = Looks()
        assert looks.listens(server)
        assert looks.visits([server], tasks(os.getpid())) == 0
