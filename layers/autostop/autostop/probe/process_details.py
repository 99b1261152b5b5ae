"""What is read of single processes: how their terminal is set, what they wait for, and who began them."""

from __future__ import annotations

import os
import re
import stat
import termios

from autostop.probe.limits import PROC, newest, open_if
from autostop.probe.listeners import opened_by, port_of, tcp_connections, tcp_listeners
from autostop.probe.processes import Task, environment_of

_MOST_LOOKED_AT = 100_000  # descriptors, for what listens
# In the environment of what somebody began from a login, a terminal, a desktop, or Jupyter.
_BEGUN_BY_A_PERSON = {
    "DISPLAY", "JPY_PARENT_PID", "JPY_SESSION_NAME", "SSH_CLIENT", "SSH_CONNECTION", "SSH_TTY", "STY", "TERM",
    "TMUX",
}  # fmt: skip


class Looks:
    """What is read of single processes only, because it takes long: of most nothing more need be known."""

    def __init__(self) -> None:
        self._listening: dict[str, dict[str, str]] = {}
        self._ports: dict[int, set[str]] = {}
        self._left = _MOST_LOOKED_AT

    def reads_lines(self, task: Task) -> bool | None:
        """Whether its terminal reads lines, as while a command runs; None when that cannot be told."""
        try:
            handle = open_if(lambda status: _is_terminal_of(task, status), _terminal(task))
        except OSError:
            return None
        try:
            return bool(termios.tcgetattr(handle)[3] & termios.ICANON)
        except termios.error:
            return None
        finally:
            os.close(handle)

    def is_busy(self, shell: Task) -> bool:
        """Whether a shell waits for what it began, as in `wait`: at its prompt it would edit a line, or read one."""
        return bool(self.reads_lines(shell)) and not self.waits_for_a_line(shell)

    def wrote_at(self, task: Task) -> float | None:
        """When something was last written to its terminal."""
        try:
            return os.lstat(_terminal(task)).st_mtime
        except OSError:
            return None

    def waits_for_a_line(self, task: Task) -> bool:
        """Whether it is inside read() of a terminal: system call 0 of x86-64, 63 of arm64."""
        folder = PROC / str(task.pid)
        try:
            call, what = (folder / "syscall").read_text().split()[:2]
            place = os.readlink(folder / "fd" / str(int(what, 16)))  # noqa: PTH115 - Path.readlink came with Python 3.9
        except (OSError, ValueError):
            return False
        return call in ("0", "63") and place.startswith(("/dev/pts/", "/dev/tty"))

    def input(self, task: Task) -> str:
        """The pipe from which it reads; empty where it reads from none."""
        return self._pipe(task, 0)

    def output(self, task: Task) -> str:
        """The pipe into which it writes, likewise."""
        return self._pipe(task, 1)

    def _pipe(self, task: Task, number: int) -> str:
        try:
            place = os.readlink(PROC / str(task.pid) / "fd" / str(number))  # noqa: PTH115 - Path.readlink came with Python 3.9
        except OSError:
            return ""
        return place if place.startswith("pipe:") else ""

    def listens(self, task: Task) -> bool:
        """Whether it listens on the network, or serves a file system that it has mounted."""
        if task.pid not in self._ports:
            self._ports[task.pid] = self._listens_on(task)
        return bool(self._ports[task.pid])

    def _listens_on(self, task: Task) -> set[str]:
        folder = PROC / str(task.pid)
        try:
            place = os.readlink(folder / "ns" / "net")  # noqa: PTH115 - Path.readlink came with Python 3.9
            if place not in self._listening:
                self._listening[place] = {shown: port_of(local) for local, shown in tcp_listeners(folder)}
            # Of more than can be looked at nothing listens: then it is a job, and less of its work is enough.
            opened = self._opened(task)
            ports = {port for shown, port in self._listening[place].items() if shown in opened}
            return ports | ({"fuse"} if "/dev/fuse" in opened else set())
        except (OSError, OverflowError):
            return set()

    def _opened(self, task: Task) -> dict[str, str]:
        try:
            opened = opened_by(PROC / str(task.pid)) if self._left > 0 else {}
        except OSError:
            return {}  # it ended while we looked
        self._left -= len(opened)
        return opened

    def visits(self, servers: list[Task], own: list[Task]) -> int:
        """How many connections there are to these servers, but for those from these programs: workers of a cluster."""
        ports = set().union(*(self._ports.get(task.pid, set()) for task in servers))
        try:
            every = list(tcp_connections(PROC / "self"))
        except (OSError, OverflowError):
            return 1  # of more than can be looked at one is a visitor's: then less of its work is enough
        other_end = {local: shown for local, _, shown in every}
        ends = [other_end.get(remote, "") for local, remote, _ in every if port_of(local) in ports]
        insiders: set[str] = set().union(*map(self._opened, own)) if any(ends) else set()
        return sum(end not in insiders for end in ends)

    def is_of_a_person(self, task: Task) -> bool:
        """Whether somebody began it who may have gone, and not the system."""
        folder = PROC / str(task.pid)
        try:
            place = (folder / "cgroup").read_text()
        except OSError:
            return False  # it ended while we looked
        return bool(re.search(r"/session-[^/]+\.scope", place)) or not _BEGUN_BY_A_PERSON.isdisjoint(
            environment_of(folder)
        )


def _terminal(task: Task) -> str:
    """The path of its controlling terminal, also of one in a container; empty when there is none of that number."""
    major, minor = os.major(task.tty), os.minor(task.tty)
    if 136 <= major <= 143:
        path = f"/dev/pts/{(major - 136) * 256 + minor}"
    elif major == 4:
        path = f"/dev/tty{minor}" if minor < 64 else f"/dev/ttyS{minor - 64}"
    else:
        return ""
    # The terminals of a container have numbers of their own.
    for place in (f"/proc/{task.pid}/root{path}", path):
        try:
            status = os.lstat(place)
        except OSError:
            continue  # it was closed, or we may not look
        if _is_terminal_of(task, status):
            return place
    return ""


def _is_terminal_of(task: Task, status: os.stat_result) -> bool:
    return stat.S_ISCHR(status.st_mode) and status.st_rdev == task.tty


def typed_at(tasks: list[Task]) -> float | None:
    """When a key was last pressed on a terminal that somebody uses: reading what was typed moves its access time."""
    used = [task for task in tasks if task.tty and task.name not in ("agetty", "getty", "login")]
    stamps = []
    for path in filter(None, {_terminal(task) for task in {(task.tty, task.session): task for task in used}.values()}):
        try:
            stamps.append(os.lstat(path).st_atime)
        except OSError:
            continue  # it was closed while we looked
    return newest(stamps)
