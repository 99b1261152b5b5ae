"""What the probe sees of the machine beside its Jupyter servers: real terminals, programs, locks, and made-up GPUs."""

import contextlib
import json
import os
import pty
import select
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Self

import psutil
import pytest
import websocket

from autostop.probe import script as parts
from autostop.probe.files import edited_at, is_held, saved_at, source_saved_at
from autostop.probe.gpu import gpu_use
from autostop.probe.jobs_and_doubts import survey
from autostop.probe.limits import DEADLINE_SECONDS
from autostop.probe.process_details import _BEGUN_BY_A_PERSON, Looks, typed_at
from autostop.probe.processes import Task, _task
from autostop.probe.report import look
from tests.build import row
from tests.probe.jupyter_servers import FalseServer, RealServers, answering, wait_for
from tests.probe.parts import everywhere

SOURCE = parts.script().encode()
HOUR = 3600.0
BUSY = f"#!{sys.executable} -S\nwhile True: pass\n"
HERE = Path(__file__).parent  # a directory in which no server writes


def tasks(*roots: int) -> list[Task]:
    """These processes and all below them: what else runs on this machine is none of the tests' business."""
    found = []
    for root in roots:
        with contextlib.suppress(OSError):  # it ended while we looked
            task = _task(Path(f"/proc/{root}"), Path(f"/proc/{root}").stat().st_uid)
            # In the midst of an exec it has its new name, and its command line not yet.
            found += [task] if task.command or task.state == "Z" else []
            begun = " ".join(file.read_text() for file in Path(f"/proc/{root}/task").glob("*/children"))
            found += tasks(*map(int, begun.split()))
    return found


def seen_below(*roots: int) -> dict[str, Any]:
    return survey(tasks(*roots), Looks())


def doubts(*roots: int) -> list[list[str]]:
    said: list[list[str]] = seen_below(*roots)["doubts"]
    return said


def seconds(*roots: int) -> float:
    """Of all sessions together."""
    return float(sum(seen_below(*roots)["cpu"].values()))


def wait(condition: Callable[[], bool]) -> None:
    wait_for(condition, lambda: "it did not come so far")


class Terminal:
    """A real one, with a program as the leader of its session: a shell, when nothing else is said."""

    def __init__(self, command: tuple[str, ...] = ("/bin/sh", "-i"), **environment: str) -> None:
        self.pid, self._master = pty.fork()
        if self.pid == 0:
            try:
                # What is started in the background of a shell without job control ignores it, and hands that on.
                signal.signal(signal.SIGINT, signal.SIG_DFL)
                os.execvpe(  # noqa: S606 - a shell is what it is to be
                    command[0], command, {"PATH": os.environ["PATH"], "TERM": "xterm", "PS1": "ready> "} | environment
                )
            finally:
                os._exit(127)
        self.said = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(psutil.NoSuchProcess):
            family = [*psutil.Process(self.pid).children(recursive=True), psutil.Process(self.pid)]
            for process in family:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
        os.close(self._master)
        os.waitpid(self.pid, 0)

    def reads(self, text: str) -> bool:
        """Whether this came out of it."""
        while select.select([self._master], [], [], 0)[0]:
            self.said += os.read(self._master, 65_536)
        return text.encode() in self.said

    def types(self, text: str) -> None:
        os.write(self._master, text.encode())

    def runs(self, line: str, name: str = "") -> None:
        """Types this line, and waits until a program of this name stands there."""
        wait(lambda: self.reads("ready> "))
        self.types(line + "\n")
        wait(
            lambda: (name or line.partition(" ")[0]) in {task.name for task in tasks(self.pid) if task.pid != self.pid}
        )

    @property
    def path(self) -> str:
        return str(Path(f"/proc/{self.pid}/fd/0").readlink())


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    with Terminal() as opened:
        yield opened


def end(process: subprocess.Popen[bytes]) -> None:
    """With all that it began, in sessions of their own too: not each heeds that its terminal is gone."""
    for each in psutil.Process(process.pid).children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            each.kill()
    process.kill()
    process.wait()


@pytest.fixture
def start(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., int]]:
    """Starts a program without a terminal, as the system does; gives its number."""
    for variable in _BEGUN_BY_A_PERSON:
        monkeypatch.delenv(variable, raising=False)
    with contextlib.ExitStack() as stack:

        def begin(command: Sequence[str | Path], executable: Path | None = None) -> int:
            process = subprocess.Popen(command, executable=executable, stdin=subprocess.DEVNULL, start_new_session=True)
            stack.callback(end, process)
            return process.pid

        yield begin


def program(path: Path, of: str = "sleep") -> Path:
    """A real program under another name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(shutil.which(of) or of, path)
    return path


def script(path: Path, text: str = BUSY) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


def run(source: bytes = SOURCE, **environment: str) -> dict[str, Any]:
    """What the whole probe says, in its 5 seconds, or as many more as a busy machine takes to start a Python."""
    began = time.monotonic()
    ended = subprocess.run(
        [sys.executable, "-I", "-", HERE], input=source, capture_output=True, check=True, env=os.environ | environment
    )
    assert time.monotonic() - began < 15  # what hangs in these tests hangs for longer
    assert ended.stderr == b""
    assert len(ended.stdout) < 2000
    said: dict[str, Any] = json.loads(ended.stdout)
    return said


# --- terminals -------------------------------------------------------------------------------------------------------


def test_typing_is_told_and_output_is_not(terminal: Terminal) -> None:
    wait(lambda: terminal.reads("ready> "))
    terminal.types("(sleep 1; echo a''bc) & sleep 0.1\n")
    wait(lambda: terminal.reads("sleep 0.1"))
    time.sleep(0.3)
    long_ago = round(time.time() - HOUR)
    os.utime(terminal.path, (long_ago, long_ago))

    wait(lambda: terminal.reads("abc"))
    assert typed_at(tasks(terminal.pid)) == long_ago

    terminal.types("true\n")
    # The kernel keeps these times to 8 seconds.
    wait(lambda: time.time() - (typed_at(tasks(terminal.pid)) or 0) < 12)


def test_a_terminal_that_only_waits_for_a_login_is_nobodys(terminal: Terminal) -> None:
    wait(lambda: terminal.reads("ready> "))
    (shell,) = tasks(terminal.pid)

    assert typed_at([shell]) is not None
    assert typed_at([shell._replace(name="agetty")]) is None
    assert typed_at([shell._replace(tty=0)]) is None


def test_a_prompt_is_no_job_and_what_runs_there_is_one(terminal: Terminal) -> None:
    wait(lambda: terminal.reads("ready> "))
    assert (seen_below(terminal.pid)["jobs"], seen_below(terminal.pid)["job"]) == (0, "")

    terminal.runs("sleep 300")

    assert (seen_below(terminal.pid)["jobs"], seen_below(terminal.pid)["job"]) == (1, "sleep")


def test_a_job_in_the_background_may_wait_for_the_world_and_a_stopped_one_does_not(terminal: Terminal) -> None:
    terminal.runs("sleep 300 &", "sleep")
    assert (seen_below(terminal.pid)["jobs"], doubts(terminal.pid)) == (0, [["job", "sleep"]])

    (sleeping,) = [task.pid for task in tasks(terminal.pid) if task.name == "sleep"]
    os.kill(sleeping, signal.SIGSTOP)

    wait(lambda: doubts(terminal.pid) == [])


def test_a_shell_that_waits_for_what_it_began_has_a_job(terminal: Terminal) -> None:
    with Terminal(("bash", "--norc")) as opened:
        opened.types("sleep 300 & wait\n")
        wait(lambda: (seen_below(opened.pid)["jobs"], seen_below(opened.pid)["job"]) == (1, "sleep"))
    terminal.runs("sleep 300 &", "sleep")
    wait(lambda: (seen_below(terminal.pid)["jobs"], doubts(terminal.pid)) == (0, [["job", "sleep"]]))


@pytest.mark.parametrize(("line", "name"), [
    ("top", "top"), ("tail -f /dev/null", "tail"), ("watch -n 600 sleep 500", "sleep"),
    ("python3 {glances}", "python3"), ("python3 {log}", "less"),
])  # fmt: skip
def test_what_only_shows_is_no_job(terminal: Terminal, tmp_path: Path, line: str, name: str) -> None:
    glances = script(tmp_path / "glances", "import time; time.sleep(300)")
    pager = str(program(tmp_path / "less"))
    # A pager reads key by key.
    log = script(tmp_path / "log.py", f"import subprocess, tty; tty.setcbreak(0); subprocess.run([{pager!r}, '300'])")
    terminal.runs(line.format(glances=glances, log=log), name)

    wait(lambda: (seen_below(terminal.pid)["jobs"], doubts(terminal.pid)) == (0, []))


@pytest.mark.parametrize(("line", "name"), [
    row("Python", "python3", "python3"),
    row("with options", "python3 -q -X utf8", "python3"),
    row("after a command", "python3 -i -c 'x = 1'", "python3"),
    row("a debugger", "python3 -m pdb {train}", "python3"),
    row("a program asks", "python3 -c 'input()'", "python3"),
    row("and nobody edits the line", "python3 {asks}", "python3"),
    row("cat", "cat", "cat"),
    row("a database", "sqlite3", "sqlite3"),
])  # fmt: skip
def test_what_waits_for_a_person_is_a_prompt(terminal: Terminal, tmp_path: Path, line: str, name: str) -> None:
    train = script(tmp_path / "train.py", "import time; time.sleep(300)")
    asks = script(tmp_path / "asks.py", "import sys; sys.stdin.readline()")
    terminal.runs(line.format(train=train, asks=asks), name)

    wait(lambda: (seen_below(terminal.pid)["jobs"], doubts(terminal.pid)) == (0, [["prompt", name]]))


@pytest.mark.parametrize(("line", "command"), [
    row("Python", "python3", "import time; time.sleep(300)"),
    row("a database", "sqlite3",
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n) SELECT max(i) FROM n;"),
    row("a shell", "bash", "sleep 300"),
])  # fmt: skip
def test_a_prompt_that_carries_something_out_is_a_job(terminal: Terminal, line: str, command: str) -> None:
    """A silent query of two hours: the terminal reads lines while it runs."""
    terminal.runs(line)
    wait(lambda: line == "bash" or doubts(terminal.pid) == [["prompt", line]])
    terminal.types(f"{command}\n")

    wait(lambda: (seen_below(terminal.pid)["jobs"], doubts(terminal.pid)) == (1, []))


def test_a_program_that_reads_key_by_key_is_at_work_as_long_as_it_writes(terminal: Terminal, tmp_path: Path) -> None:
    """An agent that thinks keeps its terminal moving; at its prompt it does not."""
    agent = script(
        tmp_path / "agent.py",
        "import time, tty\ntty.setraw(0)\nwhile True: print(end='.', flush=True); time.sleep(0.1)",
    )
    terminal.runs(f"python3 {agent}", "python3")
    wait(lambda: doubts(terminal.pid) == [["prompt", "python3"]])
    long_ago = time.time() - HOUR
    os.utime(terminal.path, (long_ago, long_ago))

    # The kernel keeps these times to 8 seconds.
    wait(lambda: terminal.reads("..") and time.time() - (seen_below(terminal.pid)["wrote_at"] or 0) < 12)


def test_nothing_is_told_of_a_terminal_at_which_a_shell_waits(terminal: Terminal) -> None:
    wait(lambda: terminal.reads("ready> "))
    assert (doubts(terminal.pid), seen_below(terminal.pid)["wrote_at"]) == ([], None)


@pytest.mark.parametrize("name", ["vi.py", "view-results.py", "micro-batch.sh", "ed.sh", "less.py"])
def test_a_program_that_is_called_like_an_editor_is_a_job(terminal: Terminal, tmp_path: Path, name: str) -> None:
    terminal.runs(f"{program(tmp_path / name)} 300", name)

    assert (seen_below(terminal.pid)["jobs"], seen_below(terminal.pid)["job"]) == (1, name)


@pytest.mark.parametrize("viewer", ["tail -f /dev/null", "vmstat 100"])
def test_who_began_a_viewer_on_the_way_is_a_job(terminal: Terminal, tmp_path: Path, viewer: str) -> None:
    began = script(
        tmp_path / "train.py",
        f"import subprocess, time; subprocess.Popen({viewer.split()!r}, stdin=-3, stdout=-3)\ntime.sleep(300)",
    )
    terminal.runs(f"python3 {began}", viewer.split(maxsplit=1)[0])

    assert (seen_below(terminal.pid)["jobs"], seen_below(terminal.pid)["job"]) == (1, "python3")


def test_what_serves_a_file_system_is_a_server(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    """`rclone mount` or `sshfs -f`, in the foreground."""
    terminal.runs("sleep 300", "sleep")
    everywhere(monkeypatch, opened_by=lambda _: {"/dev/fuse": "/proc/1/fd/3"})

    assert (seen_below(terminal.pid)["jobs"], doubts(terminal.pid)) == (0, [["server", "sleep"]])


def test_what_sifts_a_log_waits_for_more_of_it(terminal: Terminal) -> None:
    terminal.runs("tail -f /dev/null | grep x | cat", "cat")

    wait(lambda: (seen_below(terminal.pid)["jobs"], doubts(terminal.pid)) == (0, [["job", "grep"], ["job", "cat"]]))


def test_who_serves_others_and_does_nothing_else_is_a_server(terminal: Terminal) -> None:
    terminal.runs("python3 -m http.server --bind 127.0.0.1 0", "python3")

    wait(lambda: (seen_below(terminal.pid)["jobs"], doubts(terminal.pid)) == (0, [["server", "python3"]]))
    assert all(name.startswith("p") for name, used in seen_below(terminal.pid)["cpu"].items() if used > 0.05)

    (server,) = [task for task in tasks(terminal.pid) if Looks().listens(task)]
    port = next(each.laddr.port for each in psutil.Process(server.pid).net_connections())
    assert seen_below(terminal.pid)["visits"] == 0
    with socket.create_connection(("127.0.0.1", port)):
        wait(lambda: seen_below(terminal.pid)["visits"] == 1)
        # What counts itself is a worker of a cluster, and no visitor.
        looks = Looks()
        assert looks.listens(server)
        assert looks.visits([server], tasks(os.getpid())) == 0


@pytest.mark.parametrize("name", ["htop", "less", "vim.basic", "emacs-nox", "nano", "code", "sudo", "gitstatusd-linu"])
def test_what_is_called_a_viewer_an_editor_a_wrapper_or_a_shell_is_no_job(
    terminal: Terminal, tmp_path: Path, name: str
) -> None:
    terminal.runs(f"{program(tmp_path / name)} 300", name)

    assert seen_below(terminal.pid)["jobs"] == 0


@pytest.mark.parametrize("name", ["scp", "rsync", "ssh"])
def test_what_goes_on_with_another_machine_is_a_job(terminal: Terminal, tmp_path: Path, name: str) -> None:
    terminal.runs(f"{program(tmp_path / name)} 300", name)

    assert (seen_below(terminal.pid)["jobs"], seen_below(terminal.pid)["job"]) == (1, name)


@pytest.mark.parametrize("line", ["python3 {}", "python3 -u < {}", "python3 -c 'import time; time.sleep(300)'"])
def test_python_at_work_is_a_job(terminal: Terminal, tmp_path: Path, line: str) -> None:
    train = script(tmp_path / "train.py", "import time; time.sleep(300)")
    terminal.runs(line.format(train), "python3")

    assert (seen_below(terminal.pid)["jobs"], seen_below(terminal.pid)["job"]) == (1, "python3")


@pytest.mark.parametrize(
    ("name", "said"), [("a b", ""), ("c\u00e9", ""), ('"},{', ""), ("train-2.1_x+y", "train-2.1_x+y")]
)
def test_a_name_that_could_be_anything_is_not_told(terminal: Terminal, tmp_path: Path, name: str, said: str) -> None:
    program(tmp_path / name)
    terminal.runs(f"cd {tmp_path}; exec 3>&1; ./'{name}' 300", name)

    assert (seen_below(terminal.pid)["jobs"], seen_below(terminal.pid)["job"]) == (1, said)


def test_the_job_at_work_is_the_one_that_is_named(terminal: Terminal, tmp_path: Path) -> None:
    terminal.runs(f"sleep 300 | {script(tmp_path / 'train')}", "train")

    wait(lambda: (seen_below(terminal.pid)["jobs"], seen_below(terminal.pid)["job"]) == (2, "train"))


# --- processor time --------------------------------------------------------------------------------------------------


def cpu_rises(*roots: int) -> float:
    """How much came to `cpu` of each second that its processes used, looked at for a fifth of one."""
    before, used = seconds(*roots), used_by(*roots)
    wait(lambda: used_by(*roots) - used > 0.2)
    rose = used_by(*roots) - used
    return (seconds(*roots) - before) / rose


def used_by(*roots: int) -> float:
    return sum(task.ticks for task in tasks(*roots)) / os.sysconf("SC_CLK_TCK")


def test_a_job_uses_the_processor_and_a_viewer_does_not_count(terminal: Terminal, tmp_path: Path) -> None:
    terminal.runs(f"{script(tmp_path / 'htop')}", "htop")
    assert cpu_rises(terminal.pid) < 0.1

    # What is typed before the shell asks anew goes with the interrupt.
    terminal.said = b""
    terminal.types("\x03")
    terminal.runs(f"{script(tmp_path / 'train')}", "train")
    wait(lambda: seen_below(terminal.pid)["job"] == "train")
    assert cpu_rises(terminal.pid) > 0.9


def test_a_silent_thread_after_its_cell_shows_while_the_api_says_idle(jupyters: RealServers) -> None:
    server = jupyters.unix
    before = set(server.states())
    client = server.start_idle_kernel()
    (kernel,) = server.states().keys() - before
    try:
        assert doubts(server.process.pid) == []  # a server owns it
        client.execute(
            "import threading; threading.Thread(target=lambda: [0 for _ in iter(int, 1)]).start()", reply=True
        )
        wait(lambda: server.states()[kernel] == "idle")

        assert cpu_rises(server.process.pid) > 0.9
        assert server.states()[kernel] == "idle"
    finally:
        server.call("DELETE", f"kernels/{kernel}")


def test_a_tab_that_polls_is_no_work(jupyters: RealServers) -> None:
    server = jupyters.password
    used, before = used_by(server.process.pid), seconds(server.process.pid)

    while used_by(server.process.pid) - used < 0.5:
        server.call("GET", "")

    assert seconds(server.process.pid) - before < 0.1


def test_a_job_in_a_terminal_of_jupyter_is_one(jupyters: RealServers) -> None:
    server = jupyters.plain
    name = server.call("POST", "terminals", {})["name"]
    tab = websocket.create_connection(
        f"ws://127.0.0.1:{server.port}/terminals/websocket/{name}", header=[f"Authorization: token {server.token}"]
    )
    try:
        wait(lambda: any(task.tty for task in tasks(server.process.pid)))
        assert seen_below(server.process.pid)["jobs"] == 0

        tab.send(json.dumps(["stdin", "sleep 300\r"]))

        wait(lambda: seen_below(server.process.pid)["job"] == "sleep")
        assert seen_below(server.process.pid)["jobs"] == 1
        assert time.time() - (typed_at(tasks(server.process.pid)) or 0) < 60
    finally:
        tab.close()
        server.call("DELETE", f"terminals/{name}")


# --- connections, editors, multiplexers, kernels ---------------------------------------------------------------------


@pytest.mark.parametrize(("name", "title", "logins"), [
    ("sshd", "sshd: ubuntu@pts/3", 1),
    ("sshd", "sshd: ubuntu@pts/3,pts/4", 1),
    ("sshd", "sshd: ubuntu@notty", 1),
    ("sshd", "sshd: ubuntu", 1),
    ("sshd-session", "sshd-session: ubuntu@pts/3", 1),
    ("sshd", "sshd: ubuntu [priv]", 0),
    ("sshd", "sshd: [accepted]", 0),
    ("sshd-session", "sshd-session: root [preauth]", 0),
    ("sshd", "sshd: /usr/sbin/sshd -D [listener] 0 of 10-100 startups", 0),
    ("ssm-session-worker", "/usr/bin/ssm-session-worker", 1),
    ("vim", "sshd: ubuntu@pts/3", 0),
])  # fmt: skip
def test_a_connection_is_known_by_its_title(
    start: Callable[..., int], tmp_path: Path, name: str, title: str, logins: int
) -> None:
    pid = start([title, "300"], executable=program(tmp_path / name))
    wait(lambda: [task.name for task in tasks(pid)] == [name[:15]])

    assert seen_below(pid)["logins"] == logins


def test_what_a_connection_began_counts_and_is_no_second_one(start: Callable[..., int], tmp_path: Path) -> None:
    sshd, train = program(tmp_path / "sshd", "bash"), script(tmp_path / "train")
    pid = start(["sshd: ubuntu@notty", "-c", f"{train} & wait"], executable=sshd)
    wait(lambda: "train" in {task.name for task in tasks(pid)})

    assert cpu_rises(pid) > 0.9
    assert (seen_below(pid)["logins"], seen_below(pid)["jobs"]) == (1, 0)
    (login,) = [task for task in tasks(pid) if task.pid == pid]
    forked = login._replace(pid=1_000_000_000, parent=pid)
    assert survey([login, forked], Looks())["logins"] == 1
    assert doubts(pid) == [["job", "train"]]


def test_what_no_person_began_does_not_count(start: Callable[..., int], tmp_path: Path) -> None:
    pid = start([script(tmp_path / "unattended-upgrade")])

    assert cpu_rises(pid) < 0.1
    assert (seen_below(pid)["jobs"], doubts(pid)) == (0, [])


@pytest.mark.parametrize("variable", ["SSH_TTY", "SSH_CONNECTION", "TERM", "TMUX", "STY", "JPY_PARENT_PID", "DISPLAY"])
def test_what_a_person_left_behind_counts_and_may_wait_for_the_world(
    start: Callable[..., int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    """`nohup python job.py &` over SSH, then the logout: nothing of the login is above it any more."""
    monkeypatch.setenv(variable, "something")
    pid = start([script(tmp_path / "job")])

    assert cpu_rises(pid) > 0.9
    assert doubts(pid) == [["job", "job"]]


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
    assert Looks().is_of_a_person(made(5, 1, "python3 job.py")) is left


@pytest.mark.parametrize("place", [
    ".vscode-server/bin/0123abcd/node", ".vscode-server-insiders/cli/servers/Insiders-0123abcd/server/node",
    ".cursor-server/bin/0123abcd/node", ".windsurf-server/bin/0123abcd/node", "usr/lib/code-server/lib/node",
    ".vscode/cli/servers/Stable-0123abcd/server/node", ".vscode/cli/serve-web/0123abcd/node",
    ".local/lib/code-server-4.96.2/lib/node", "openvscode-server-v1.95.3-linux-x64/node", "opt/theia-ide/node",
    "vscode/vscode-server/bin/node", ".zed_server/zed-remote-server-stable-0.170.1",
    ".cache/JetBrains/RemoteDev/dist/0123_ideaIU/jbr/bin/java",
])  # fmt: skip
def test_an_editor_is_one_whatever_it_begins_and_does_not_count(
    start: Callable[..., int], tmp_path: Path, place: str
) -> None:
    node, indexer = program(tmp_path / place, "bash"), script(tmp_path / "indexer")
    pid = start([node, "-c", f"{node} -c '{indexer}' & wait"])
    wait(lambda: "indexer" in {task.name for task in tasks(pid)})

    assert cpu_rises(pid) < 0.1
    assert (seen_below(pid)["editors"], seen_below(pid)["jobs"], doubts(pid)) == (1, 0, [["editor", "indexer"]])


def test_a_terminal_in_an_editor_is_a_terminal(start: Callable[..., int], tmp_path: Path) -> None:
    node, train = program(tmp_path / ".vscode-server/bin/0123abcd/node", "bash"), script(tmp_path / "train")
    pid = start([node, "-c", f"script -qc {train} /dev/null & wait"])
    wait(lambda: "train" in {task.name for task in tasks(pid)})

    assert (seen_below(pid)["editors"], seen_below(pid)["jobs"], seen_below(pid)["job"]) == (1, 1, "train")
    assert cpu_rises(pid) > 0.9


def test_an_editor_that_was_begun_on_a_terminal_makes_no_job_of_it(terminal: Terminal, tmp_path: Path) -> None:
    node = program(tmp_path / ".vscode-server/bin/0123abcd/node", "bash")
    launcher = script(
        tmp_path / "launcher.py", f"import subprocess; subprocess.run([{str(node)!r}, '-c', 'sleep 300 & wait'])"
    )
    terminal.runs(f"python3 {launcher}", "sleep")

    assert (seen_below(terminal.pid)["editors"], seen_below(terminal.pid)["jobs"]) == (1, 0)


def test_tmux_is_one_and_its_job_too_after_everybody_left(tmp_path: Path) -> None:
    tmux = ["tmux", "-S", str(tmp_path / "socket"), "-f", "/dev/null"]
    environment = {"PATH": os.environ["PATH"], "SHELL": "/bin/sh"}
    subprocess.run([*tmux, "new-session", "-d", f"exec {script(tmp_path / 'train')}"], check=True, env=environment)
    try:
        said = subprocess.run([*tmux, "display", "-p", "#{pid}"], check=True, env=environment, capture_output=True)
        server = int(said.stdout)
        wait(lambda: seen_below(server)["job"] == "train")

        assert (seen_below(server)["muxes"], seen_below(server)["jobs"]) == (1, 1)
        assert cpu_rises(server) > 0.9
    finally:
        subprocess.run([*tmux, "kill-server"], check=True, env=environment)


def test_a_kernel_without_a_server_is_told_and_its_work_counts(start: Callable[..., int], tmp_path: Path) -> None:
    busy = "import os, runpy; os.fork(); [0 for _ in iter(int, 1)]"
    script(tmp_path / "ipykernel_launcher.py", busy)
    code = f"cd {tmp_path}; exec {sys.executable} -m ipykernel_launcher -f connection.json"
    pid = start(["/bin/sh", "-c", code])
    wait(lambda: len(tasks(pid)) == 2)

    assert [word for word, _ in doubts(pid)] == ["kernel"]
    assert cpu_rises(pid) > 0.9


def test_workers_that_serve_each_other_are_told_apart_from_what_computes(
    start: Callable[..., int], tmp_path: Path
) -> None:
    works = "import socket; s = socket.create_server(('127.0.0.1', 0))\nwhile True: pass"
    kernel = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {works!r}])"
    script(tmp_path / "ipykernel_launcher.py", kernel)
    pid = start(["/bin/sh", "-c", f"cd {tmp_path}; exec {sys.executable} -m ipykernel_launcher -f connection.json"])

    wait(lambda: len(tasks(pid)) == 2 and any(name.startswith("p") for name in seen_below(pid)["cpu"]))
    before = seen_below(pid)["cpu"]
    wait(lambda: any(used > before[name] + 1 for name, used in seen_below(pid)["cpu"].items() if name.startswith("p")))
    assert all(used < before[name] + 0.2 for name, used in seen_below(pid)["cpu"].items() if not name.startswith("p"))


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
    row("a query", (Seen(), [made(2, 0, "psql mine", TTY)]), {"jobs": 1}),
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


# --- files -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("entry", [
    ".vscode-server/data/User/History/-1f2e3d", ".vscode-server-insiders/data/User/History/-1f2e3d",
    ".cursor-server/data/User/History/-1f2e3d", ".local/share/code-server/User/History/-1f2e3d",
    ".cache/JetBrains/RemoteDev-PY/_home_u_work/LocalHistory/changes.storageData",
])  # fmt: skip
def test_what_a_remote_editor_saved_is_told(tmp_path: Path, entry: str) -> None:
    assert edited_at({str(tmp_path)}) is None
    saved_at = round(time.time() - HOUR)
    for name, age in ((entry, 0), (f"{entry}-older", 60)):
        (tmp_path / name).mkdir(parents=True)
        os.utime(tmp_path / name, (0, saved_at - age))

    assert edited_at({str(tmp_path), "/nowhere"}) == saved_at


def test_a_file_without_a_time_tells_nothing(tmp_path: Path) -> None:
    entry = tmp_path / ".vscode-server/data/User/History/-1f2e3d"
    entry.mkdir(parents=True)
    for never in (0, 315_532_800, 5_000_000_000):
        os.utime(entry, (never, never))

        assert edited_at({str(tmp_path)}) is None


def test_a_save_is_not_missed_among_thousands(tmp_path: Path) -> None:
    histories, at = tmp_path / ".vscode-server/data/User/History", round(time.time() - HOUR)
    histories.mkdir(parents=True)
    for number in range(5_000):
        (histories / f"{number:x}").mkdir()
        os.utime(histories / f"{number:x}", (0, at - number))
    assert edited_at({str(tmp_path)}) == at


def test_a_source_text_that_is_in_no_session_is_told(tmp_path: Path) -> None:
    """A `.py` that is edited in JupyterLab, with no notebook open: only its file changes."""
    at = round(time.time() - HOUR)
    for name, age in (
        ("deep/er/model.py", 60), ("notes.md", 120), ("run.log", 0), (".hidden/x.py", 0), ("node_modules/a/b.js", 0),
        ("deep/data.csv", 0), ("model.pyc", 0),
    ):  # fmt: skip
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
        os.utime(tmp_path / name, (at, at - age))
    (tmp_path / "elsewhere.py").symlink_to("/etc/hostname")
    (tmp_path / "outside").symlink_to("/usr/lib/python3")
    assert source_saved_at(str(tmp_path)) == at - 60
    assert source_saved_at("relative") is None
    assert source_saved_at("") is None
    assert source_saved_at(str(tmp_path / "nowhere")) is None


def test_a_save_is_seen_among_very_many_files_by_the_folder_that_changed(tmp_path: Path) -> None:
    for folder in range(12):
        (tmp_path / f"images{folder}").mkdir()
        for number in range(300):
            (tmp_path / f"images{folder}" / f"{number}.png").touch()
        os.utime(tmp_path / f"images{folder}", (1e9, 1e9))
    (tmp_path / "project").mkdir()
    (tmp_path / "project/model.py").touch()

    assert time.time() - (source_saved_at(str(tmp_path)) or 0) < 60


def test_the_newest_notebook_of_a_session_is_told(tmp_path: Path) -> None:
    at = round(time.time() - HOUR)
    (tmp_path / "deep").mkdir()
    for name, age in (("a.ipynb", 60), ("deep/b.ipynb", 0), ("other.ipynb", -60)):
        (tmp_path / name).write_text("{}")
        os.utime(tmp_path / name, (at, at - age))
    opened = ["a.ipynb", "/deep/b.ipynb", "gone.ipynb", "console-1-0123", "x\0y", ""]

    assert saved_at(str(tmp_path), opened) == at
    assert saved_at(f"{tmp_path}/", opened) == at
    assert saved_at("", opened) is None
    assert saved_at("relative", opened) is None


def test_no_path_leads_out_of_the_servers_files(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("")
    (tmp_path / "served").mkdir()
    (tmp_path / "served/link.ipynb").symlink_to(tmp_path / "secret")
    os.mkfifo(tmp_path / "served/pipe.ipynb")

    for path in ("../secret", "link.ipynb", "pipe.ipynb", "/served/../../secret", "/../secret", "."):
        assert saved_at(str(tmp_path / "served"), [path]) is None


def test_the_saves_of_a_real_server_are_told(jupyters: RealServers) -> None:
    server = jupyters.tls
    notebook = server.runtime.parent / "thought.ipynb"
    saved_at = round(time.time() - HOUR)
    for each in server.runtime.parent.rglob("*.*"):
        if each.suffix != ".json":
            os.utime(each, (saved_at - HOUR, saved_at - HOUR))
    os.utime(notebook, (saved_at, saved_at))

    (entry,), _, errors = look([str(server.runtime)], time.monotonic() + DEADLINE_SECONDS)

    assert (entry["saved_at"], errors) == (saved_at, [])


def test_a_file_system_that_hangs_hides_no_busy_server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    stamp = "2026-11-23T09:00:00Z"
    kernel = {"execution_state": "busy", "connections": 0, "last_activity": stamp}
    everywhere(monkeypatch, source_saved_at=lambda *_: time.sleep(30))
    began = time.monotonic()

    with FalseServer(answering([kernel], [], sessions=[{"path": "a.ipynb", "kernel": kernel}])) as server:
        server.write_runtime_file(tmp_path)
        (entry,), machine, errors = look([str(tmp_path)], began + 5)

    assert time.monotonic() - began < 25  # and not for the 30 s that it hangs
    assert (entry["status"], entry["busy"], entry["saved_at"]) == ("ok", 1, None)
    assert errors == ["deadline"]
    assert machine is not None


@pytest.mark.parametrize("part", ["edited_at", "is_held", "gpu_use"])
@pytest.mark.parametrize(("outcome", "error"), [("hangs", "deadline"), ("fails", "failed")])
def test_a_part_that_cannot_be_read_is_an_error_and_the_rest_is_read(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, part: str, outcome: str, error: str
) -> None:
    def spoiled(*_: object) -> None:
        if outcome == "fails":
            raise RuntimeError("a secret")
        time.sleep(30)

    everywhere(monkeypatch, **{part: spoiled})

    _, machine, errors = look([str(tmp_path)], time.monotonic() + 1.5)

    assert errors == [error]
    assert machine is not None
    assert machine["boot"] == Path("/proc/sys/kernel/random/boot_id").read_text()[:8]


# --- the keep-awake lock ---------------------------------------------------------------------------------------------


@contextlib.contextmanager
def locked(file: Path, *options: str) -> Iterator[subprocess.Popen[bytes]]:
    """While `flock` runs a program as its users do."""
    process = subprocess.Popen(["flock", *options, file, "sleep", "300"], start_new_session=True)
    try:
        yield process
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def test_the_keep_awake_lock_is_told_while_its_program_runs(tmp_path: Path) -> None:
    file = tmp_path / ".autostop-keep-awake"
    homes = {"/nowhere", str(tmp_path)}
    assert is_held(homes) == 0
    file.touch()
    assert is_held(homes) == 0

    with locked(file):
        wait(lambda: is_held(homes) == 1)
        assert is_held({"/nowhere"}) == 0

    wait(lambda: is_held(homes) == 0)


def test_a_lock_that_a_script_holds_itself_is_told(start: Callable[..., int], tmp_path: Path) -> None:
    file = tmp_path / ".autostop-keep-awake"

    start(["/bin/sh", "-c", f"exec 9>{file}; flock 9; sleep 300"])

    wait(lambda: is_held({str(tmp_path)}) == 1)


def test_a_lock_on_another_file_is_none(tmp_path: Path) -> None:
    real, file = tmp_path / "anything", tmp_path / ".autostop-keep-awake"
    real.touch()
    file.symlink_to(real)

    with locked(real):
        wait(lambda: str(real.stat().st_ino) in Path("/proc/locks").read_text())
        assert is_held({str(tmp_path)}) == 0
        file.unlink()
        file.mkdir()
        assert is_held({str(tmp_path)}) == 0


@pytest.mark.parametrize("holder", ["777", "778"])
def test_a_file_system_with_two_device_numbers_is_seen_through_its_holder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, holder: str
) -> None:
    file = tmp_path / ".autostop-keep-awake"
    file.touch()
    proc = tmp_path / "proc"
    (proc / "777/fd").mkdir(parents=True)
    (proc / "locks").write_text(f"1: FLOCK  ADVISORY  WRITE {holder} ff:ff:{file.stat().st_ino} 0 EOF\n")
    everywhere(monkeypatch, PROC=proc)
    assert is_held({str(tmp_path)}) == 0

    (proc / "777/fd/9").symlink_to(file)
    assert is_held({str(tmp_path)}) == 1

    (proc / "locks").write_text(f"1: -> FLOCK  ADVISORY  WRITE 777 ff:ff:{file.stat().st_ino} 0 EOF\n")
    assert is_held({str(tmp_path)}) == 0


def test_a_lock_is_known_by_the_file_even_if_its_holder_shows_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / ".autostop-keep-awake"
    file.touch()
    (tmp_path / "proc/777").mkdir(parents=True)
    device, inode = file.stat().st_dev, file.stat().st_ino
    place = f"{os.major(device):02x}:{os.minor(device):02x}:{inode}"
    (tmp_path / "proc/locks").write_text(f"1: FLOCK  ADVISORY  WRITE 777 {place} 0 EOF\n")
    everywhere(monkeypatch, PROC=tmp_path / "proc")

    assert is_held({str(tmp_path)}) == 1


# --- the GPU ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def with_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A made-up machine: its devices, and a folder for what nvidia-smi is to be."""
    for name, vendor, kind in (("0000:00:03.0", "0x1d0f", "0x030000"), ("0000:00:1e.0", "0x10de", "0x030200")):
        (tmp_path / "pci" / name).mkdir(parents=True)
        (tmp_path / "pci" / name / "vendor").write_text(f"{vendor}\n")
        (tmp_path / "pci" / name / "class").write_text(f"{kind}\n")
    (tmp_path / "bin").mkdir()
    everywhere(monkeypatch, _PCI=tmp_path / "pci", _PROGRAMS=str(tmp_path / "bin"))
    return tmp_path


def sourced(with_gpu: Path) -> bytes:
    """The probe's source, on that machine."""
    programs = f'_PROGRAMS = "{with_gpu / "bin"}:'.encode()
    return SOURCE.replace(b'_PROGRAMS = "', programs).replace(b"/sys/bus/pci/devices", bytes(with_gpu / "pci"))


def gpu() -> tuple[float | None, list[str]]:
    percent, errors, _ = gpu_use(time.monotonic() + DEADLINE_SECONDS)
    return percent, errors


def test_the_busiest_gpu_of_three_samples_is_told(with_gpu: Path) -> None:
    each = 'echo x >> "$0.asked"; n=$(wc -l < "$0.asked"); [ "$n" -ge 2 ] && echo 37; echo 5; echo 0'
    script(with_gpu / "bin/nvidia-smi", f'#!/bin/sh\ncase "$1" in *compute-apps*) exit 9;; esac\n{each}\n')

    assert gpu() == (37.0, [])
    assert (with_gpu / "bin/nvidia-smi.asked").read_text().count("x") >= 3


def test_who_holds_a_gpu_is_told_and_need_not_be(with_gpu: Path) -> None:
    smi = with_gpu / "bin/nvidia-smi"
    script(smi, '#!/bin/sh\ncase "$1" in *compute-apps*) echo 4711; echo 42;; *) echo 3;; esac\n')
    assert gpu_use(time.monotonic() + DEADLINE_SECONDS) == (3.0, [], {42, 4711})
    for says in ("exit 9", "echo '[N/A]'", "true"):
        script(smi, f'#!/bin/sh\ncase "$1" in *compute-apps*) {says};; *) echo 3;; esac\n')
        assert gpu_use(time.monotonic() + DEADLINE_SECONDS) == (3.0, [], set())


@pytest.mark.parametrize(("listens", "name"), [
    ("", "g"), ("import socket; s = socket.create_server(('127.0.0.1', 0))\n", "pg"),
])  # fmt: skip
def test_the_seconds_of_who_holds_a_gpu_are_told(
    with_gpu: Path, start: Callable[..., int], listens: str, name: str
) -> None:
    pid = start([script(with_gpu / "trainer", BUSY.replace("while", f"{listens}while"))])
    script(with_gpu / "bin/nvidia-smi", f'#!/bin/sh\ncase "$1" in *compute-apps*) echo {pid};; *) echo 3;; esac\n')
    wait(lambda: used_by(pid) > 0.5)
    assert run(sourced(with_gpu))["machine"]["cpu"][name] >= 0.5


def test_without_the_program_there_is_no_gpu(with_gpu: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda *_, **__: None)

    assert gpu() == (None, [])


@pytest.mark.parametrize("says", [
    "echo 0; exit 9", "echo '[N/A]'", "echo 5; echo '[Not Supported]'", "true", "echo 101", "echo nan", "echo -1",
    "exec no",
])  # fmt: skip
def test_a_gpu_that_cannot_be_read_is_an_error(with_gpu: Path, says: str) -> None:
    script(with_gpu / "bin/nvidia-smi", f"#!/bin/sh\n{says} 2> /dev/null\n")

    assert gpu() == (None, ["gpu"])


def test_the_program_may_fail_where_there_is_no_gpu(with_gpu: Path) -> None:
    script(with_gpu / "bin/nvidia-smi", "#!/bin/sh\nexit 9\n")
    (with_gpu / "pci/0000:00:1e.0/vendor").write_text("0x1d0f\n")

    assert gpu() == (None, [])


def test_a_program_that_hangs_is_ended_with_all_that_it_began(with_gpu: Path) -> None:
    script(with_gpu / "bin/nvidia-smi", '#!/bin/sh\nsleep 300 &\necho $! >> "$0.began"; echo $$ >> "$0.began"; wait\n')
    said = run(sourced(with_gpu))

    assert (said["machine"]["gpu"], said["errors"]) == (None, ["gpu"])
    began = [int(pid) for pid in (with_gpu / "bin/nvidia-smi.began").read_text().split()]
    assert len(began) == 8
    wait(lambda: not any(map(alive, began)))


def alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


# --- the whole -------------------------------------------------------------------------------------------------------


def test_the_machine_is_in_the_line(terminal: Terminal, tmp_path: Path) -> None:
    terminal.runs("sleep 300")

    said = run()

    machine = said["machine"]
    assert list(machine) == [
        "boot", "cpu", "typed_at", "wrote_at", "jobs", "job", "gpu", "logins", "editors", "edited_at", "muxes", "held",
        "visits", "doubts",
    ]  # fmt: skip
    assert machine["boot"] == Path("/proc/sys/kernel/random/boot_id").read_text()[:8]
    assert machine["jobs"] >= 1
    assert 0 <= said["at"] - machine["typed_at"] < 60
    assert said["errors"] == []
