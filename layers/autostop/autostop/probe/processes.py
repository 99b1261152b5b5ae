"""The processes of the machine, and what the kernel tells of each."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from autostop.probe.limits import MOST_LINES, PROC, Limits

_MOST_BYTES = 8_192  # of the command line of a process
_MOST_ENVIRONMENT = 65_536
_MOST_WORDS = 128


class Task(NamedTuple):
    """A process.

    tty: the device number of its controlling terminal, 0 without. ticks: of processor, with those of its children that
    ended. group, session: of processes. front: the group in the foreground of its terminal.
    """

    pid: int
    parent: int
    name: str
    state: str
    tty: int
    ticks: int
    command: bytes = b""
    group: int = 0
    session: int = 0
    front: int = 0
    uid: int = 0

    @property
    def words(self) -> list[str]:
        """The command line."""
        return _words(self.command)


@lru_cache(maxsize=None)  # noqa: UP033 - cache came with Python 3.9
def _words(command: bytes) -> list[str]:
    return [os.fsdecode(word) for word in command.rstrip(b"\0").split(b"\0", _MOST_WORDS)]


def every_task(limits: Limits) -> tuple[list[Task], set[int]]:
    """Every process, and every user who runs one."""
    found, uids = [], set()
    for folder in PROC.iterdir():
        if not folder.name.isdigit():
            continue
        try:
            uid = folder.stat().st_uid
            uids.add(uid)
            # Of root are the kernel's own, on large machines some thousands.
            if uid == 0 or limits.allow("processes", uid):
                found.append(_task(folder, uid))
        except (OSError, ValueError, IndexError):
            continue  # it ended while we looked
    return found, uids


def _task(folder: Path, uid: int) -> Task:
    before, _, after = (folder / "stat").read_bytes().rpartition(b")")
    fields = after.split()
    return Task(
        pid=int(folder.name),
        parent=int(fields[1]),
        name=os.fsdecode(before.partition(b"(")[2]),
        state=fields[0].decode(),
        tty=int(fields[4]),
        ticks=sum(map(int, fields[11:15])),
        command=_begin(folder / "cmdline", _MOST_BYTES),
        group=int(fields[2]),
        session=int(fields[3]),
        front=int(fields[5]),
        uid=uid,
    )


def _begin(path: Path, most: int) -> bytes:
    """The beginning of what may be as long as its user likes. Raises OSError."""
    with path.open("rb") as file:
        return file.read(most)


def rows_of(path: Path) -> Iterator[list[str]]:
    """The words of each line of a table of the kernel. Raises OSError, OverflowError."""
    with path.open("rb") as file:
        for number, line in enumerate(file):
            if number >= MOST_LINES:
                raise OverflowError
            yield os.fsdecode(line).split()


def environment_of(folder: Path) -> dict[str, str]:
    """That of a process, without what is empty; nothing when it may not be read or the process is gone."""
    try:
        pairs = [entry.partition(b"=") for entry in _begin(folder / "environ", _MOST_ENVIRONMENT).split(b"\0")]
    except OSError:
        return {}
    return {os.fsdecode(key): os.fsdecode(value) for key, _, value in pairs if value}


def state_of(folder: Path) -> tuple[str, int, float]:
    """State letter, parent, and start (seconds since the epoch) of a process.

    folder: that of the process in /proc. Raises OSError, ValueError, IndexError when it is gone.
    """
    fields = (folder / "stat").read_bytes().rpartition(b")")[2].split()  # the name before it may hold anything
    booted_at = int((PROC / "stat").read_bytes().partition(b"\nbtime ")[2].split()[0])
    return fields[0].decode(), int(fields[1]), booted_at + int(fields[19]) / os.sysconf("SC_CLK_TCK")
