"""Whose processor time counts, and what may wait for the world: real processes, and made-up trees."""

import os
import sys
from pathlib import Path

import pytest

from autostop.probe.process_details import Looks
from autostop.probe.process_tree import survey
from autostop.probe.processes import Task
from tests.build import row
from tests.probe.jupyter_servers import wait_for
from tests.probe.machine import (
    Start,
    Terminal,
    cpu_rises,
    jobs,
    jobs_and_doubts,
    names,
    program,
    script,
    seen_below,
    tasks,
)


def test_a_job_uses_the_processor_and_a_viewer_does_not_count(terminal: Terminal, tmp_path: Path) -> None:
    terminal.runs(f"{script(tmp_path / 'htop')}", "htop")
    assert cpu_rises(terminal.pid) < 0.1

    # What is typed before the shell asks anew goes with the interrupt.
    terminal.said = b""
    terminal.types("\x03")
    terminal.runs(f"{script(tmp_path / 'train')}", "train")
    wait_for(lambda: jobs(terminal.pid) == (1, "train"))
    assert cpu_rises(terminal.pid) > 0.9


def test_what_a_connection_began_counts_and_is_no_second_one(start: Start, tmp_path: Path) -> None:
    sshd, train = program(tmp_path / "sshd", "bash"), script(tmp_path / "train")
    pid = start(["sshd: ubuntu@notty", "-c", f"{train} & wait"], executable=sshd)
    wait_for(lambda: "train" in names(pid))

    assert cpu_rises(pid) > 0.9
    assert (seen_below(pid)["logins"], jobs_and_doubts(pid)) == (1, (0, [["job", "train"]]))
    (login,) = [task for task in tasks(pid) if task.pid == pid]
    forked = login._replace(pid=1_000_000_000, parent=pid)
    assert survey([login, forked], Looks())["logins"] == 1


def test_what_no_person_began_does_not_count(start: Start, tmp_path: Path) -> None:
    pid = start([script(tmp_path / "unattended-upgrade")])

    assert cpu_rises(pid) < 0.1
    assert jobs_and_doubts(pid) == (0, [])


def kernel(start: Start, folder: Path, text: str) -> int:
    """One that no server began."""
    script(folder / "ipykernel_launcher.py", text)
    return start(["/bin/sh", "-c", f"cd {folder}; exec {sys.executable} -m ipykernel_launcher -f connection.json"])


def test_a_kernel_without_a_server_is_told_and_its_work_counts(start: Start, tmp_path: Path) -> None:
    pid = kernel(start, tmp_path, "import os; os.fork(); [0 for _ in iter(int, 1)]")
    wait_for(lambda: len(tasks(pid)) == 2)

    assert [word for word, _ in seen_below(pid)["doubts"]] == ["kernel"]
    assert cpu_rises(pid) > 0.9


def test_workers_that_serve_each_other_are_told_apart_from_what_computes(start: Start, tmp_path: Path) -> None:
    works = "import socket; s = socket.create_server(('127.0.0.1', 0))\nwhile True: pass"
    pid = kernel(start, tmp_path, f"import subprocess, sys; subprocess.run([sys.executable, '-c', {works!r}])")

    wait_for(lambda: len(tasks(pid)) == 2 and any(name.startswith("p") for name in seen_below(pid)["cpu"]))
    before: dict[str, float] = seen_below(pid)["cpu"]

    def rose(serves: bool) -> float:
        cpu: dict[str, float] = seen_below(pid)["cpu"]
        return max(used - before[name] for name, used in cpu.items() if name.startswith("p") is serves)

    wait_for(lambda: rose(serves=True) > 1)
    assert rose(serves=False) < 0.2


# --- trees that nothing real stands for ------------------------------------------------------------------------------

TTY = os.makedev(136, 5)


def made(pid: int, parent: int, command: str, tty: int = 0, front: bool = True) -> Task:
    """On a terminal each is a group of its own, in the foreground if so said."""
    words, name = command.split(" "), command.split(" ", maxsplit=1)[0].rpartition("/")[2][:15]
    group = 900 if front else pid
    return Task(pid, parent, name, "S", tty, 100, "\0".join(words).encode(), group, tty or pid, 900)


class Seen(Looks):
    """What would be seen of all of them."""

    def __init__(self, *, lines: bool = True, waits: bool = False, listens: bool = False, left: bool = False) -> None:
        self.lines, self.waits, self.serves, self.left = lines, waits, listens, left

    def reads_lines(self, _: Task) -> bool:
        return self.lines

    def wrote_at(self, _: Task) -> float:
        return 1e9

    def waits_for_a_line(self, _: Task) -> bool:
        return self.waits

    def _pipe(self, _: Task, __: int) -> str:
        return ""

    def visits(self, _: list[Task], __: list[Task]) -> int:
        return 0

    def listens(self, _: Task) -> bool:
        return self.serves

    def is_of_a_person(self, _: Task) -> bool:
        return self.left


KERNEL = "python3 -m ipykernel_launcher -f k"
LAB = "/opt/conda/bin/python3.12 /opt/conda/bin/jupyter-lab"
NODE = "/h/.vscode-server/bin/1/node x"
RAW, LEFT, SERVES = Seen(lines=False), Seen(left=True), Seen(listens=True)
NO_DOUBT: list[list[str]] = []


@pytest.mark.parametrize(("who", "expected"), [
    row("uv waits", (Seen(), [made(1, 0, "uv run jupyter", TTY), made(2, 1, LAB, TTY)]),
        {"jobs": 0, "doubts": NO_DOUBT}),
    row("a helper", (Seen(), [made(2, 0, LAB, TTY), made(3, 2, "node lsp.js", TTY)]), {"jobs": 0, "doubts": NO_DOUBT}),
    row("its terminal", (Seen(), [made(2, 0, LAB, TTY), made(3, 2, "cc x.c", TTY + 1)]), {"jobs": 1, "job": "cc"}),
    row("a server that forks", (Seen(), [made(2, 0, LAB), made(3, 2, LAB), made(4, 3, "cc x.c")]), {"cpu": {"4": 1.0}}),
    row("the prompt of R", (RAW, [made(2, 0, "R --no-save", TTY)]), {"jobs": 0, "doubts": [["prompt", "R"]]}),
    row("R at work", (Seen(), [made(2, 0, "R --no-save", TTY)]), {"jobs": 1, "doubts": NO_DOUBT}),
    row("a container's shell", (RAW, [made(2, 0, "docker exec -it x bash", TTY)]), {"doubts": [["prompt", "docker"]]}),
    row("a login elsewhere", (RAW, [made(2, 0, "ssh elsewhere", TTY)]),
        {"jobs": 0, "doubts": [["prompt", "ssh"]], "wrote_at": None}),
    row("a tunnel", (Seen(), [made(2, 0, "ssh -fNL 1:here:2 elsewhere", TTY)]), {"jobs": 0, "doubts": NO_DOUBT}),
    row("a connection that is shared", (LEFT, [made(1, 0, "/sbin/init"), made(2, 1, "ssh: /h/mux [mux]")]),
        {"doubts": NO_DOUBT}),
    row("containers are kept up", (RAW, [made(2, 0, "docker compose -f x up", TTY)]),
        {"jobs": 0, "doubts": [["server", "docker"]], "wrote_at": None}),
    row("their log", (Seen(), [made(2, 0, "docker compose logs -f", TTY)]), {"jobs": 0, "doubts": NO_DOUBT}),
    row("piped into a viewer", (RAW, [made(2, 0, "train", TTY), made(3, 0, "less", TTY)]),
        {"jobs": 0, "doubts": [["job", "train"]]}),
    row("an editor", (RAW, [made(2, 0, "vim.basic x", TTY), made(3, 2, "pyright-langserver", TTY, False)]),
        {"jobs": 0, "doubts": NO_DOUBT}),
    row("git waits for its pager", (RAW, [made(2, 0, "git log", TTY), made(3, 2, "less", TTY)]),
        {"jobs": 0, "doubts": NO_DOUBT}),
    row("a pipe into tail", (Seen(), [made(2, 0, "train", TTY), made(3, 0, "tail -1", TTY)]),
        {"jobs": 1, "job": "train"}),
    row("a time limit", (Seen(), [made(2, 0, "sh -c x", TTY), made(3, 2, "timeout 9 train", TTY, False),
        made(4, 3, "train", TTY, False)]), {"job": "train", "doubts": NO_DOUBT}),
    row("beside the shell of an editor's terminal", (RAW, [made(2, 0, "bash --init-file x", TTY),
        made(3, 2, "train", TTY, False)]), {"jobs": 0, "doubts": [["job", "train"]]}),
    row("who saves is watched", (Seen(), [made(2, 0, "node tsc --watch", TTY)]),
        {"jobs": 0, "doubts": [["server", "node"]]}),
    row("a script of a shell", (Seen(), [made(2, 0, "bash train.sh", TTY)]), {"jobs": 1, "job": "bash"}),
    row("a shell", (Seen(), [made(2, 0, "-bash", TTY)]), {"jobs": 0, "doubts": NO_DOUBT}),
    row("a kernel of an editor", (Seen(), [made(2, 0, NODE), made(3, 2, KERNEL)]),
        {"editors": 1, "doubts": [["kernel", "python3"]], "cpu": {"3": 1.0}}),
    row("an editor's tools", (Seen(), [made(2, 0, NODE), made(3, 2, "git fetch"), made(4, 2, "clangd"),
        made(5, 2, "sh -c x")]),
        {"editors": 1, "doubts": NO_DOUBT, "cpu": {}}),
    row("what an IDE runs", (Seen(), [made(2, 0, NODE), made(3, 2, "python3 train.py")]),
        {"doubts": [["editor", "python3"]]}),
    row("a program that an editor debugs",
        (Seen(), [made(2, 0, "python3 /h/.vscode-server/extensions/debugpy/launcher x.py", TTY)]),
        {"editors": 0, "jobs": 1}),
    row("a kernel of R", (Seen(), [made(2, 0, "R --slave --args /h/kernel-1.json")]),
        {"doubts": [["kernel", "R"]], "cpu": {"2": 1.0}}),
    row("owned", (Seen(), [made(2, 0, LAB), made(3, 2, "R -e x kernel-1.json")]),
        {"doubts": NO_DOUBT, "cpu": {"3": 1.0}}),
    row("what a cell began", (Seen(), [made(2, 0, LAB), made(3, 2, KERNEL), made(4, 3, "sync")]),
        {"doubts": [["job", "sync"]], "cpu": {"3": 1.0, "4": 1.0}}),
    row("a kernel's own helpers", (Seen(), [made(2, 0, LAB), made(3, 2, KERNEL),
            made(4, 3, "python3 -c from_multiprocessing.resource_tracker_import_main")]), {"doubts": NO_DOUBT}),
    row("RStudio", (Seen(), [made(2, 0, "/usr/lib/rstudio-server/bin/rsession -u x")]),
        {"doubts": [["kernel", "rsession"]], "cpu": {"2": 1.0}}),
    row("marimo", (SERVES, [made(2, 0, "python3 /h/bin/marimo edit", TTY)]),
        {"jobs": 0, "doubts": [["kernel", "python3"]]}),
    row("tensorboard in tmux", (SERVES, [made(2, 0, "tensorboard --logdir x", TTY)]),
        {"jobs": 0, "doubts": [["server", "tensorboard"]], "cpu": {"p2": 1.0}}),
    row("each that serves", (SERVES, [made(2, 0, "dask worker", TTY), made(3, 2, "dask worker", TTY)]),
        {"cpu": {"p2": 1.0, "p3": 1.0}}),
    row("a prompt whose line waits", (SERVES, [made(2, 0, "python3", TTY), made(3, 2, "java x", TTY)]),
        {"jobs": 2, "doubts": NO_DOUBT}),
    row("top in a container", (RAW, [made(2, 0, "docker exec -it x top", TTY)]),
        {"doubts": [["prompt", "docker"]], "wrote_at": None}),
    row("a login by Session Manager", (RAW, [made(2, 0, "aws ssm start-session", TTY),
        made(3, 2, "session-manager-plugin x", TTY)]), {"doubts": [["prompt", "aws"]], "wrote_at": None}),
    row("ping", (Seen(), [made(2, 0, "ping elsewhere", TTY)]), {"jobs": 0, "doubts": NO_DOUBT}),
    row("a test run at each save", (Seen(), [made(2, 0, "entr make", TTY)]), {"doubts": [["server", "entr"]]}),
    row("a worker without a task", (Seen(), [made(2, 0, "python3 /h/bin/celery -A app worker", TTY)]),
        {"jobs": 0, "doubts": [["server", "python3"]]}),
    row("a way in from outside", (RAW, [made(2, 0, "ngrok http 8888", TTY)]),
        {"jobs": 0, "doubts": NO_DOUBT, "wrote_at": None}),
    row("pods are watched", (Seen(), [made(2, 0, "kubectl get pods -w", TTY)]), {"doubts": [["server", "kubectl"]]}),
    row("handed to at", (LEFT, [made(1, 0, "/sbin/init"), made(2, 1, "atd"), made(3, 2, "sh"), made(4, 3, "job")]),
        {"doubts": [["job", "job"]], "cpu": {"3": 1.0, "4": 1.0}}),
    row("a desktop", (Seen(), [made(2, 0, "/usr/bin/Xvnc :1")]), {"doubts": [["desktop", "Xvnc"]], "cpu": {"2": 1.0}}),
    row("left behind", (LEFT, [made(1, 0, "/sbin/init"), made(2, 1, "python3 job.py"), made(3, 2, "curl x")]),
        {"doubts": [["job", "python3"], ["job", "curl"]], "cpu": {"2": 1.0, "3": 1.0}}),
    row("a server left behind", (Seen(left=True, listens=True), [made(1, 0, "/sbin/init"), made(2, 1, "mlflow ui")]),
        {"doubts": [["server", "mlflow"]], "cpu": {"p2": 1.0}}),
    row("what a login leaves by itself", (LEFT, [made(1, 0, "/sbin/init"), made(2, 1, "ssh-agent"),
        made(3, 1, "dbus-daemon")]),
        {"doubts": NO_DOUBT, "cpu": {}}),
    row("screen", (Seen(), [made(2, 0, "SCREEN -S x"), made(3, 2, "-bash", TTY)]),
        {"muxes": 1, "cpu": {f"{TTY:x}": 1.0}}),
    row("who looks at tmux", (RAW, [made(2, 0, "tmux attach", TTY)]), {"muxes": 0, "jobs": 0, "doubts": NO_DOUBT}),
    row("a circle that cannot be", (Seen(), [made(2, 2, "cc x.c", TTY)]), {"jobs": 0}),
    row("the probe itself", (Seen(), [made(os.getpid(), 0, "python3 -I -", TTY)]), {"jobs": 0, "cpu": {}}),
])  # fmt: skip
def test_a_tree_of_processes(who: tuple[Looks, list[Task]], expected: dict[str, object]) -> None:
    looks, tree = who
    said = survey(tree, looks)

    assert {key: said[key] for key in expected} == expected


def test_of_many_sessions_the_quiet_ones_are_told_together() -> None:
    tree = [made(2, 0, LAB), *(made(pid, 2, "python3 -m ipykernel_launcher -f k") for pid in range(3, 103))]

    said = survey(tree, Seen())
    assert len(said["cpu"]) == 25
    assert round(sum(said["cpu"].values())) == 100
    both = survey([made(2, 0, LAB), *(made(pid, 2, "worker") for pid in range(3, 103))], SERVES)["cpu"]
    assert (len(both), both["prest"]) == (25, 76)
    many = [made(2, 0, "ssm-session-worker"), *(made(pid, 2, f"job{pid}") for pid in range(3, 103))]
    assert len(survey(many, Seen())["doubts"]) == 6
