"""What the tests begin on this machine, and what the probe sees of it: of all else that runs here, nothing."""

import contextlib
import os
import pty
import select
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import psutil

from autostop.probe.process_details import Looks
from autostop.probe.process_tree import survey
from autostop.probe.processes import Task, _task
from tests.probe.jupyter_servers import wait_for

HOUR = 3600.0
BUSY = f"#!{sys.executable} -S\nwhile True: pass\n"

Start = Callable[..., int]


def tasks(*roots: int) -> list[Task]:
    """These processes and all below them."""
    found = []
    for root in roots:
        with contextlib.suppress(OSError):  # it ended while we looked
            task = _task(Path(f"/proc/{root}"), Path(f"/proc/{root}").stat().st_uid)
            # In the midst of an exec it has its new name, and its command line not yet.
            found += [task] if task.command or task.state == "Z" else []
            begun = " ".join(file.read_text() for file in Path(f"/proc/{root}/task").glob("*/children"))
            found += tasks(*map(int, begun.split()))
    return found


def names(*roots: int) -> set[str]:
    return {task.name for task in tasks(*roots)}


def seen_below(*roots: int) -> dict[str, Any]:
    return survey(tasks(*roots), Looks())


def jobs(*roots: int) -> tuple[int, str]:
    """How many, and the name that is told."""
    said = seen_below(*roots)
    return said["jobs"], said["job"]


def jobs_and_doubts(*roots: int) -> tuple[int, list[list[str]]]:
    said = seen_below(*roots)
    return said["jobs"], said["doubts"]


def seconds(*roots: int) -> float:
    """Of processor time that the probe counts, of all sessions together."""
    return float(sum(seen_below(*roots)["cpu"].values()))


def used_by(*roots: int) -> float:
    """Seconds of processor time, counted or not."""
    return sum(task.ticks for task in tasks(*roots)) / os.sysconf("SC_CLK_TCK")


def cpu_rises(*roots: int) -> float:
    """How much came to `cpu` of each second that its processes used, looked at for a fifth of one."""
    before, used = seconds(*roots), used_by(*roots)
    wait_for(lambda: used_by(*roots) - used > 0.2)
    rose = used_by(*roots) - used
    return (seconds(*roots) - before) / rose


def end(pid: int) -> None:
    """With all that it began, in sessions of their own too: not each heeds that its terminal is gone."""
    with contextlib.suppress(psutil.NoSuchProcess):
        for process in [*psutil.Process(pid).children(recursive=True), psutil.Process(pid)]:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()


class Terminal:
    """A real one, with a program as the leader of its session: a shell, when nothing else is said."""

    def __init__(self, command: tuple[str, ...] = ("/bin/sh", "-i")) -> None:
        self.pid, self._master = pty.fork()
        if self.pid == 0:
            try:
                # What is started in the background of a shell without job control ignores it, and hands that on.
                signal.signal(signal.SIGINT, signal.SIG_DFL)
                os.execvpe(  # noqa: S606 - a shell is what it is to be
                    command[0], command, {"PATH": os.environ["PATH"], "TERM": "xterm", "PS1": "ready> "}
                )
            finally:
                os._exit(127)
        self.said = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        end(self.pid)
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
        """Types this line at its prompt, and waits until a program of this name stands there."""
        wait_for(lambda: self.reads("ready> "))
        self.types(line + "\n")
        name = name or line.partition(" ")[0]
        wait_for(lambda: name in {task.name for task in tasks(self.pid) if task.pid != self.pid})

    @property
    def path(self) -> str:
        return str(Path(f"/proc/{self.pid}/fd/0").readlink())


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
