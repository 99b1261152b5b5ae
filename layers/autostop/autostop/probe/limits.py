"""What holds for every look: until when, how much of each user, and what may be opened at all."""

from __future__ import annotations

import os
import pwd
import re
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

STEP_SECONDS = 2.0
DEADLINE_SECONDS = 4.5  # with the start of Python and the leaving, 5
# What each user may have: who has more makes the answer unknown, and is named.
_MOST_OF_A_USER = {"processes": 4_096, "processes of servers": 64, "runtime files": 1_024, "servers": 32}
MOST_LINES = 20_000  # of a table of the kernel
MOST_ENTRIES = 100_000  # of a directory
# 2000 and 2100: a file that was unpacked without its time tells nothing of today.
_EARLIEST, _LATEST = 946_684_800.0, 4_102_444_800.0
PROC = Path("/proc")
_USER = re.compile(r"[A-Za-z0-9_.-]{1,32}", re.ASCII)


def remaining(until: float) -> float:
    """Seconds that the next step may take. Raises TimeoutError when there are none."""
    left = min(STEP_SECONDS, until - time.monotonic())
    if left <= 0:
        raise socket.timeout  # noqa: UP041 - the two are one only since Python 3.10
    return left


def open_if(is_right: Callable[[os.stat_result], bool], name: str, directory: int | None = None) -> int:
    """A handle to read what has this name, if it is right. Raises OSError.

    Nothing else is opened: some devices act on that alone, and a user can have one there in a namespace of his own.
    """
    place = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
    try:
        insist(is_right(os.fstat(place)))
        return os.open(f"/proc/self/fd/{place}", os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    finally:
        os.close(place)


def insist(holds: bool) -> None:
    """Raises ConnectionRefusedError, an OSError, where it does not."""
    if not holds:
        raise ConnectionRefusedError


class Limits:
    """What each user has had of this look, so that nobody takes it from another. over: who has more than he may."""

    def __init__(self) -> None:
        self._had: dict[tuple[str, int], int] = {}
        self.over: set[int] = set()

    def allow(self, what: str, uid: int) -> bool:
        """Whether the user may have one more."""
        had = self._had[what, uid] = self._had.get((what, uid), 0) + 1
        if had > _MOST_OF_A_USER[what]:
            self.over.add(uid)
        return had <= _MOST_OF_A_USER[what]


def user_name(uid: int) -> str:
    """What a user is told by: his name, or his number where that could be anything."""
    try:
        name = pwd.getpwuid(uid).pw_name
    except KeyError:
        name = ""
    return name if _USER.fullmatch(name) else str(uid)


class Aside:
    """Something that is looked at in a thread of its own, because it may never come back."""

    def __init__(self, work: Callable[[], Any]) -> None:
        self._outcome: list[tuple[Any, str]] = []
        self._work = work
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._outcome.append((self._work(), ""))
        except Exception:  # noqa: BLE001 - a traceback says less to the one who asked than "it failed", and may say too much
            self._outcome.append((None, "failed"))

    def result(self, until: float, otherwise: Any, errors: list[str]) -> Any:
        """What came of it by then; else `otherwise`, and a word for it in `errors`."""
        self._thread.join(max(0.0, until - time.monotonic()))
        value, error = self._outcome[0] if self._outcome else (None, "deadline")
        if error:
            errors.append(error)
        return otherwise if error else value


def newest(stamps: list[float]) -> float | None:
    """The newest of these moments that can be one of a file that is in use; None without any."""
    return max((round(stamp, 3) for stamp in stamps if _EARLIEST < stamp < _LATEST), default=None)
