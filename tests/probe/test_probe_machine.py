"""What the probe sees of the machine beside its Jupyter servers: real terminals, programs, locks, and made-up GPUs."""

import contextlib
import json
import os
import pty
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Self

import psutil
import pytest
import websocket

from autostop.probe import probe
from tests.build import row
from tests.probe.jupyter_servers import FalseServer, RealServers, answering, wait_for

SOURCE = Path(probe.__file__).read_bytes()
HOUR = 3600.0
BUSY = f"#!{sys.executable} -S\nwhile True: pass\n"
HERE = Path(__file__).parent  # a directory in which no server writes


def tasks(*roots: int) -> list[probe.Task]:
    """These processes and all below them: what else runs on this machine is none of the tests' business."""
    mine = {pid for root in roots for pid in (root, *(each.pid for each in psutil.Process(root).children(True)))}
    return [task for task in probe._tasks()[0] if task.pid in mine]


def survey(*roots: int) -> dict[str, Any]:
    return probe.survey(tasks(*roots))


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


@pytest.fixture
def start() -> Iterator[Callable[..., int]]:
    """Starts a program without a terminal; gives its number."""
    with contextlib.ExitStack() as stack:

        def begin(command: Sequence[str | Path], executable: Path | None = None) -> int:
            process = subprocess.Popen(command, executable=executable, stdin=subprocess.DEVNULL, start_new_session=True)
            stack.callback(process.wait)
            stack.callback(lambda: os.killpg(process.pid, signal.SIGKILL))
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
    """What the whole probe says, within its 5 seconds."""
    began = time.monotonic()
    ended = subprocess.run(
        [sys.executable, "-I", "-", HERE], input=source, capture_output=True, check=True, env=os.environ | environment
    )
    assert time.monotonic() - began < 5
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
    assert probe._typed_at(tasks(terminal.pid)) == long_ago

    terminal.types("true\n")
    # The kernel keeps these times to 8 seconds.
    wait(lambda: time.time() - (probe._typed_at(tasks(terminal.pid)) or 0) < 12)


def test_a_terminal_that_only_waits_for_a_login_is_nobodys(terminal: Terminal) -> None:
    wait(lambda: terminal.reads("ready> "))
    (shell,) = tasks(terminal.pid)

    assert probe._typed_at([shell]) is not None
    assert probe._typed_at([shell._replace(name="agetty")]) is None
    assert probe._typed_at([shell._replace(tty=0)]) is None


def test_a_prompt_is_no_job_and_what_runs_there_is_one(terminal: Terminal) -> None:
    wait(lambda: terminal.reads("ready> "))
    assert (survey(terminal.pid)["jobs"], survey(terminal.pid)["job"]) == (0, "")

    terminal.runs("sleep 300")

    assert (survey(terminal.pid)["jobs"], survey(terminal.pid)["job"]) == (1, "sleep")


def test_a_job_in_the_background_is_one_and_a_stopped_one_is_none(terminal: Terminal) -> None:
    terminal.runs("sleep 300 &", "sleep")
    assert survey(terminal.pid)["jobs"] == 1

    (sleeping,) = [task.pid for task in tasks(terminal.pid) if task.name == "sleep"]
    os.kill(sleeping, signal.SIGSTOP)

    wait(lambda: survey(terminal.pid)["jobs"] == 0)


@pytest.mark.parametrize(("line", "name"), [
    ("top", "top"), ("tail -f /dev/null", "tail"), ("watch -n 600 sleep 500", "sleep"), ("python3", "python3"),
    ("python3 -q -X utf8", "python3"), ("python3 {glances}", "python3"), ("python3 {log}", "less"),
])  # fmt: skip
def test_what_only_shows_or_waits_is_no_job(terminal: Terminal, tmp_path: Path, line: str, name: str) -> None:
    glances = script(tmp_path / "glances", "import time; time.sleep(300)")
    pager = str(program(tmp_path / "less"))
    log = script(tmp_path / "log.py", f"import subprocess; subprocess.run([{pager!r}, '300'])")
    terminal.runs(line.format(glances=glances, log=log), name)

    assert survey(terminal.pid)["jobs"] == 0


@pytest.mark.parametrize(
    "name", ["htop", "less", "vim.basic", "emacs-nox", "nano", "ssh", "sudo", "zsh", "gitstatusd-linu"]
)
def test_what_is_called_a_viewer_an_editor_a_wrapper_or_a_shell_is_no_job(
    terminal: Terminal, tmp_path: Path, name: str
) -> None:
    terminal.runs(f"{program(tmp_path / name)} 300", name)

    assert survey(terminal.pid)["jobs"] == 0


@pytest.mark.parametrize("line", ["python3 {}", "python3 -u < {}", "python3 -c 'import time; time.sleep(300)'"])
def test_python_at_work_is_a_job(terminal: Terminal, tmp_path: Path, line: str) -> None:
    train = script(tmp_path / "train.py", "import time; time.sleep(300)")
    terminal.runs(line.format(train), "python3")

    assert (survey(terminal.pid)["jobs"], survey(terminal.pid)["job"]) == (1, "python3")


@pytest.mark.parametrize(
    ("name", "said"), [("a b", ""), ("c\u00e9", ""), ('"},{', ""), ("train-2.1_x+y", "train-2.1_x+y")]
)
def test_a_name_that_could_be_anything_is_not_told(terminal: Terminal, tmp_path: Path, name: str, said: str) -> None:
    program(tmp_path / name)
    terminal.runs(f"cd {tmp_path}; exec 3>&1; ./'{name}' 300", name)

    assert (survey(terminal.pid)["jobs"], survey(terminal.pid)["job"]) == (1, said)


def test_the_job_at_work_is_the_one_that_is_named(terminal: Terminal, tmp_path: Path) -> None:
    terminal.runs("sleep 300 &", "sleep")
    train = script(tmp_path / "train")
    terminal.types(f"{train} &\n")

    wait(lambda: (survey(terminal.pid)["jobs"], survey(terminal.pid)["job"]) == (2, "train"))


# --- processor time --------------------------------------------------------------------------------------------------


def cpu_rises(*roots: int) -> float:
    """Seconds that came to `cpu` while its processes used at least one."""
    before, used = survey(*roots)["cpu"], used_by(*roots)
    wait(lambda: used_by(*roots) - used > 1)
    return float(survey(*roots)["cpu"] - before)


def used_by(*roots: int) -> float:
    return sum(task.ticks for task in tasks(*roots)) / os.sysconf("SC_CLK_TCK")


def test_a_job_uses_the_processor_and_a_viewer_does_not_count(terminal: Terminal, tmp_path: Path) -> None:
    terminal.runs(f"{script(tmp_path / 'htop')}", "htop")
    assert cpu_rises(terminal.pid) < 0.1

    # What is typed before the shell asks anew goes with the interrupt.
    terminal.said = b""
    terminal.types("\x03")
    terminal.runs(f"{script(tmp_path / 'train')}", "train")
    wait(lambda: survey(terminal.pid)["job"] == "train")
    assert cpu_rises(terminal.pid) > 0.9


def test_a_silent_thread_after_its_cell_shows_while_the_api_says_idle(jupyters: RealServers) -> None:
    server = jupyters.unix
    before = set(server.states())
    client = server.start_idle_kernel()
    (kernel,) = server.states().keys() - before
    try:
        assert survey(server.process.pid)["kernels"] == 0  # a server owns it
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
    used, before = used_by(server.process.pid), survey(server.process.pid)["cpu"]

    while used_by(server.process.pid) - used < 0.5:
        server.call("GET", "")

    assert survey(server.process.pid)["cpu"] - before < 0.1


def test_a_job_in_a_terminal_of_jupyter_is_one(jupyters: RealServers) -> None:
    server = jupyters.plain
    name = server.call("POST", "terminals", {})["name"]
    tab = websocket.create_connection(
        f"ws://127.0.0.1:{server.port}/terminals/websocket/{name}", header=[f"Authorization: token {server.token}"]
    )
    try:
        wait(lambda: any(task.tty for task in tasks(server.process.pid)))
        assert survey(server.process.pid)["jobs"] == 0

        tab.send(json.dumps(["stdin", "sleep 300\r"]))

        wait(lambda: survey(server.process.pid)["job"] == "sleep")
        assert survey(server.process.pid)["jobs"] == 1
        assert time.time() - (probe._typed_at(tasks(server.process.pid)) or 0) < 60
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

    assert survey(pid)["logins"] == logins


def test_what_a_connection_began_counts_and_is_no_second_one(start: Callable[..., int], tmp_path: Path) -> None:
    sshd, train = program(tmp_path / "sshd", "bash"), script(tmp_path / "train")
    pid = start(["sshd: ubuntu@notty", "-c", f"{train} & wait"], executable=sshd)
    wait(lambda: "train" in {task.name for task in tasks(pid)})

    assert cpu_rises(pid) > 0.9
    assert (survey(pid)["logins"], survey(pid)["jobs"]) == (1, 0)
    (login,) = [task for task in tasks(pid) if task.pid == pid]
    forked = login._replace(pid=1_000_000_000, parent=pid)
    assert probe.survey([login, forked])["logins"] == 1


def test_what_no_person_began_does_not_count(start: Callable[..., int], tmp_path: Path) -> None:
    pid = start([script(tmp_path / "unattended-upgrade")])

    assert cpu_rises(pid) < 0.1
    assert survey(pid)["jobs"] == 0


@pytest.mark.parametrize("place", [
    ".vscode-server/bin/0123abcd/node", ".vscode-server-insiders/cli/servers/Insiders-0123abcd/server/node",
    ".cursor-server/bin/0123abcd/node", ".windsurf-server/bin/0123abcd/node", "usr/lib/code-server/lib/node",
    ".cache/JetBrains/RemoteDev/dist/0123_ideaIU/jbr/bin/java",
])  # fmt: skip
def test_an_editor_is_one_whatever_it_begins_and_does_not_count(
    start: Callable[..., int], tmp_path: Path, place: str
) -> None:
    node, indexer = program(tmp_path / place, "bash"), script(tmp_path / "indexer")
    pid = start([node, "-c", f"{node} -c '{indexer}' & wait"])
    wait(lambda: "indexer" in {task.name for task in tasks(pid)})

    assert cpu_rises(pid) < 0.1
    assert (survey(pid)["editors"], survey(pid)["jobs"]) == (1, 0)


def test_a_terminal_in_an_editor_is_a_terminal(start: Callable[..., int], tmp_path: Path) -> None:
    node, train = program(tmp_path / ".vscode-server/bin/0123abcd/node", "bash"), script(tmp_path / "train")
    pid = start([node, "-c", f"script -qc {train} /dev/null & wait"])
    wait(lambda: "train" in {task.name for task in tasks(pid)})

    assert (survey(pid)["editors"], survey(pid)["jobs"], survey(pid)["job"]) == (1, 1, "train")
    assert cpu_rises(pid) > 0.9


def test_an_editor_that_was_begun_on_a_terminal_makes_no_job_of_it(terminal: Terminal, tmp_path: Path) -> None:
    node = program(tmp_path / ".vscode-server/bin/0123abcd/node", "bash")
    launcher = script(
        tmp_path / "launcher.py", f"import subprocess; subprocess.run([{str(node)!r}, '-c', 'sleep 300 & wait'])"
    )
    terminal.runs(f"python3 {launcher}", "sleep")

    assert (survey(terminal.pid)["editors"], survey(terminal.pid)["jobs"]) == (1, 0)


def test_tmux_is_one_and_its_job_too_after_everybody_left(tmp_path: Path) -> None:
    tmux = ["tmux", "-S", str(tmp_path / "socket"), "-f", "/dev/null"]
    environment = {"PATH": os.environ["PATH"], "SHELL": "/bin/sh"}
    subprocess.run([*tmux, "new-session", "-d", f"exec {script(tmp_path / 'train')}"], check=True, env=environment)
    try:
        said = subprocess.run([*tmux, "display", "-p", "#{pid}"], check=True, env=environment, capture_output=True)
        server = int(said.stdout)
        wait(lambda: survey(server)["job"] == "train")

        assert (survey(server)["muxes"], survey(server)["jobs"]) == (1, 1)
        assert cpu_rises(server) > 0.9
    finally:
        subprocess.run([*tmux, "kill-server"], check=True, env=environment)


def test_a_kernel_without_a_server_is_told_and_its_work_counts(start: Callable[..., int], tmp_path: Path) -> None:
    busy = "import os, runpy; os.fork(); [0 for _ in iter(int, 1)]"
    script(tmp_path / "ipykernel_launcher.py", busy)
    code = f"cd {tmp_path}; exec {sys.executable} -m ipykernel_launcher -f connection.json"
    pid = start(["/bin/sh", "-c", code])
    wait(lambda: len(tasks(pid)) == 2)

    assert survey(pid)["kernels"] == 1
    assert cpu_rises(pid) > 0.9


# --- trees that nothing real stands for ------------------------------------------------------------------------------

TTY = os.makedev(136, 5)


def made(pid: int, parent: int, command: str, tty: int = 0) -> probe.Task:
    words = command.split(" ")
    return probe.Task(
        pid, parent, words[0].rpartition("/")[2][:15], "S", tty, 100, "\0".join(words).encode(), bool(tty)
    )


LAB = "/opt/conda/bin/python3.12 /opt/conda/bin/jupyter-lab"


@pytest.mark.parametrize(("tree", "expected"), [
    row("uv waits", [made(1, 0, "uv run jupyter", TTY), made(2, 1, LAB, TTY)], {"jobs": 0, "cpu": 1.0}),
    row("a helper", [made(2, 0, LAB, TTY), made(3, 2, "node lsp.js", TTY)], {"jobs": 0, "cpu": 1.0}),
    row("its terminal", [made(2, 0, LAB, TTY), made(3, 2, "cc x.c", TTY + 1)], {"jobs": 1, "job": "cc"}),
    row("a server that forks", [made(2, 0, LAB), made(3, 2, LAB), made(4, 3, "cc x.c")], {"cpu": 1.0}),
    row("the prompt of R", [made(2, 0, "R --no-save", TTY)], {"jobs": 0}),
    row("R with a file", [made(2, 0, "R --file=x.R", TTY)], {"jobs": 1}),
    row("the prompt of IPython", [made(2, 0, "python3 /usr/bin/ipython --pylab", TTY)], {"jobs": 0}),
    row("the same as a module", [made(2, 0, "python3 -m IPython", TTY)], {"jobs": 0}),
    row("IPython with a file", [made(2, 0, "python3 /usr/bin/ipython x.py", TTY)], {"jobs": 1}),
    row("the prompt of a database", [made(2, 0, "psql mine", TTY)], {"jobs": 0}),
    row("a database that loads", [made(2, 0, "psql mine -f load.sql", TTY)], {"jobs": 1}),
    row("a kernel of an editor", [made(2, 0, "/h/.vscode-server/bin/1/node x"),
            made(3, 2, "python3 -m ipykernel_launcher -f k")], {"editors": 1, "kernels": 1, "cpu": 1.0}),
    row("a program that an editor debugs",
        [made(2, 0, f"python3 /h/.vscode-server/extensions/debugpy/launcher {TTY} x.py", TTY)],
        {"editors": 0, "jobs": 1}),
    row("a kernel of R", [made(2, 0, "R --slave --args /h/kernel-1.json")], {"kernels": 1, "cpu": 1.0}),
    row("owned", [made(2, 0, LAB), made(3, 2, "R -e x kernel-1.json")], {"kernels": 0, "cpu": 1.0}),
    row("screen", [made(2, 0, "SCREEN -S x"), made(3, 2, "-bash", TTY)], {"muxes": 1, "cpu": 1.0}),
    row("who looks at tmux", [made(2, 0, "tmux attach", TTY)], {"muxes": 0, "jobs": 0}),
    row("a circle that cannot be", [made(2, 2, "cc x.c", TTY)], {"jobs": 0}),
    row("the probe itself", [made(os.getpid(), 0, "python3 -I -", TTY)], {"jobs": 0, "cpu": 0.0}),
])  # fmt: skip
def test_a_tree_of_processes(tree: list[probe.Task], expected: dict[str, object]) -> None:
    said = probe.survey(tree)

    assert {key: said[key] for key in expected} == expected


# --- files -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("entry", [
    ".vscode-server/data/User/History/-1f2e3d", ".vscode-server-insiders/data/User/History/-1f2e3d",
    ".cursor-server/data/User/History/-1f2e3d", ".local/share/code-server/User/History/-1f2e3d",
    ".cache/JetBrains/RemoteDev-PY/_home_u_work/LocalHistory/changes.storageData",
])  # fmt: skip
def test_what_a_remote_editor_saved_is_told(tmp_path: Path, entry: str) -> None:
    assert probe._edited_at({str(tmp_path)}) is None
    saved_at = round(time.time() - HOUR)
    for name, age in ((entry, 0), (f"{entry}-older", 60)):
        (tmp_path / name).mkdir(parents=True)
        os.utime(tmp_path / name, (0, saved_at - age))

    assert probe._edited_at({str(tmp_path), "/nowhere"}) == saved_at


def test_a_file_without_a_time_tells_nothing(tmp_path: Path) -> None:
    entry = tmp_path / ".vscode-server/data/User/History/-1f2e3d"
    entry.mkdir(parents=True)
    for never in (0, 315_532_800, 5_000_000_000):
        os.utime(entry, (never, never))

        assert probe._edited_at({str(tmp_path)}) is None


def test_the_newest_notebook_of_a_session_is_told(tmp_path: Path) -> None:
    at = round(time.time() - HOUR)
    (tmp_path / "deep").mkdir()
    for name, age in (("a.ipynb", 60), ("deep/b.ipynb", 0), ("other.ipynb", -60)):
        (tmp_path / name).write_text("{}")
        os.utime(tmp_path / name, (at, at - age))
    opened = ["a.ipynb", "/deep/b.ipynb", "gone.ipynb", "console-1-0123", "x\0y", ""]

    assert probe._saved_at(str(tmp_path), opened) == at
    assert probe._saved_at(f"{tmp_path}/", opened) == at
    assert probe._saved_at("", opened) is None
    assert probe._saved_at("relative", opened) is None


def test_no_path_leads_out_of_the_servers_files(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("")
    (tmp_path / "served").mkdir()
    (tmp_path / "served/link.ipynb").symlink_to(tmp_path / "secret")
    os.mkfifo(tmp_path / "served/pipe.ipynb")

    for path in ("../secret", "link.ipynb", "pipe.ipynb", "/served/../../secret", "/../secret", "."):
        assert probe._saved_at(str(tmp_path / "served"), [path]) is None


def test_the_saves_of_a_real_server_are_told(jupyters: RealServers) -> None:
    server = jupyters.tls
    notebook = server.runtime.parent / "thought.ipynb"
    saved_at = round(time.time() - HOUR)
    os.utime(notebook, (saved_at, saved_at))

    (entry,), _, errors = probe.look([str(server.runtime)], time.monotonic() + probe.DEADLINE_SECONDS)

    assert (entry["saved_at"], errors) == (saved_at, [])


def test_a_file_system_that_hangs_hides_no_busy_server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    stamp = "2026-11-23T09:00:00Z"
    kernel = {"execution_state": "busy", "connections": 0, "last_activity": stamp}
    monkeypatch.setattr(probe, "_saved_at", lambda *_: time.sleep(30))
    began = time.monotonic()

    with FalseServer(answering([kernel], [], sessions=[{"path": "a.ipynb", "kernel": kernel}])) as server:
        server.write_runtime_file(tmp_path)
        (entry,), machine, errors = probe.look([str(tmp_path)], began + 1.5)

    assert time.monotonic() - began < 15  # and not for the 30 s that it hangs
    assert (entry["status"], entry["busy"], entry["saved_at"]) == ("ok", 1, None)
    assert errors == ["deadline"]
    assert machine is not None


@pytest.mark.parametrize("part", ["_edited_at", "_held", "_gpu"])
@pytest.mark.parametrize(("outcome", "error"), [("hangs", "deadline"), ("fails", "failed")])
def test_a_part_that_cannot_be_read_is_an_error_and_the_rest_is_read(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, part: str, outcome: str, error: str
) -> None:
    def spoiled(*_: object) -> None:
        if outcome == "fails":
            raise RuntimeError("a secret")
        time.sleep(30)

    monkeypatch.setattr(probe, part, spoiled)

    _, machine, errors = probe.look([str(tmp_path)], time.monotonic() + 1.5)

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
    assert probe._held(homes) == 0
    file.touch()
    assert probe._held(homes) == 0

    with locked(file):
        wait(lambda: probe._held(homes) == 1)
        assert probe._held({"/nowhere"}) == 0

    wait(lambda: probe._held(homes) == 0)


def test_a_lock_that_a_script_holds_itself_is_told(start: Callable[..., int], tmp_path: Path) -> None:
    file = tmp_path / ".autostop-keep-awake"

    start(["/bin/sh", "-c", f"exec 9>{file}; flock 9; sleep 300"])

    wait(lambda: probe._held({str(tmp_path)}) == 1)


def test_a_lock_on_another_file_is_none(tmp_path: Path) -> None:
    real, file = tmp_path / "anything", tmp_path / ".autostop-keep-awake"
    real.touch()
    file.symlink_to(real)

    with locked(real):
        wait(lambda: str(real.stat().st_ino) in Path("/proc/locks").read_text())
        assert probe._held({str(tmp_path)}) == 0
        file.unlink()
        file.mkdir()
        assert probe._held({str(tmp_path)}) == 0


@pytest.mark.parametrize("holder", ["777", "778"])
def test_a_file_system_with_two_device_numbers_is_seen_through_its_holder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, holder: str
) -> None:
    file = tmp_path / ".autostop-keep-awake"
    file.touch()
    proc = tmp_path / "proc"
    (proc / "777/fd").mkdir(parents=True)
    (proc / "locks").write_text(f"1: FLOCK  ADVISORY  WRITE {holder} ff:ff:{file.stat().st_ino} 0 EOF\n")
    monkeypatch.setattr(probe, "_PROC", proc)
    assert probe._held({str(tmp_path)}) == 0

    (proc / "777/fd/9").symlink_to(file)
    assert probe._held({str(tmp_path)}) == 1

    (proc / "locks").write_text(f"1: -> FLOCK  ADVISORY  WRITE 777 ff:ff:{file.stat().st_ino} 0 EOF\n")
    assert probe._held({str(tmp_path)}) == 0


def test_a_lock_is_known_by_the_file_even_if_its_holder_shows_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / ".autostop-keep-awake"
    file.touch()
    (tmp_path / "proc/777").mkdir(parents=True)
    device, inode = file.stat().st_dev, file.stat().st_ino
    place = f"{os.major(device):02x}:{os.minor(device):02x}:{inode}"
    (tmp_path / "proc/locks").write_text(f"1: FLOCK  ADVISORY  WRITE 777 {place} 0 EOF\n")
    monkeypatch.setattr(probe, "_PROC", tmp_path / "proc")

    assert probe._held({str(tmp_path)}) == 1


# --- the GPU ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def with_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A made-up machine: its devices, and a folder on PATH for what nvidia-smi is to be."""
    for name, vendor, kind in (("0000:00:03.0", "0x1d0f", "0x030000"), ("0000:00:1e.0", "0x10de", "0x030200")):
        (tmp_path / "pci" / name).mkdir(parents=True)
        (tmp_path / "pci" / name / "vendor").write_text(f"{vendor}\n")
        (tmp_path / "pci" / name / "class").write_text(f"{kind}\n")
    monkeypatch.setattr(probe, "_PCI", tmp_path / "pci")
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    return tmp_path


def gpu() -> tuple[float | None, list[str]]:
    return probe._gpu(time.monotonic() + probe.DEADLINE_SECONDS)


def test_the_busiest_gpu_of_three_samples_is_told(with_gpu: Path) -> None:
    each = 'echo x >> "$0.asked"; n=$(wc -l < "$0.asked"); [ "$n" = 2 ] && echo 37; echo 5; echo 0'
    script(with_gpu / "bin/nvidia-smi", f"#!/bin/sh\n{each}\n")

    assert gpu() == (37.0, [])
    assert (with_gpu / "bin/nvidia-smi.asked").read_text().count("x") >= 3


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
    source = SOURCE.replace(b"/sys/bus/pci/devices", str(with_gpu / "pci").encode())

    said = run(source, PATH=os.environ["PATH"])

    assert (said["machine"]["gpu"], said["errors"]) == (None, ["gpu"])
    began = [int(pid) for pid in (with_gpu / "bin/nvidia-smi.began").read_text().split()]
    assert len(began) == 6
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
        "boot", "cpu", "typed_at", "jobs", "job", "gpu", "logins", "editors", "edited_at", "muxes", "kernels", "held",
    ]  # fmt: skip
    assert machine["boot"] == Path("/proc/sys/kernel/random/boot_id").read_text()[:8]
    assert machine["jobs"] >= 1
    assert 0 <= said["at"] - machine["typed_at"] < 60
    assert said["errors"] == []
