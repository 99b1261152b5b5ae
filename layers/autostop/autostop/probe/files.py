"""When somebody last saved something in an editor, a notebook or a source text, and the lock that keeps awake."""

from __future__ import annotations

import fnmatch
import heapq
import itertools
import os
import pwd
import stat
from collections.abc import Iterator

from autostop.probe.limits import MOST_ENTRIES, PROC, newest
from autostop.probe.process_kinds import is_editor_server
from autostop.probe.processes import Task, environment_of, rows_of

_MOST_FILES = 2_000
# What a person writes; programs write other things, again and again.
_SOURCES = {
    "c", "cc", "cfg", "cpp", "css", "go", "h", "html", "ini", "ipynb", "java", "jl", "js", "md", "py", "qmd", "r",
    "rmd", "rs", "rst", "scala", "sh", "sql", "tex", "toml", "ts", "tsx", "yaml", "yml",
}  # fmt: skip
_NOT_ONES_OWN = {"__pycache__", "node_modules", "site-packages"}


def saved_at(root: str, paths: list[str]) -> float | None:
    """The newest change of these files under the server's directory; of nothing else that a path could lead to."""
    stamps = []
    for path in paths[:_MOST_FILES] if root.startswith("/") else []:
        parts = path.strip("/").split("/")
        if ".." in parts or "\0" in path:
            continue
        try:
            status = os.lstat("/".join([root.rstrip("/"), *parts]))
        except (OSError, ValueError):
            continue  # a console has a path and no file
        if stat.S_ISREG(status.st_mode):
            stamps.append(status.st_mtime)
    return newest(stamps)


def source_saved_at(root: str) -> float | None:
    """When a source text under the server's directory was last changed: one without a kernel is in no session.

    Looked at are so many entries, of one folder half of that; nothing hidden, nothing that a path leads to from there.
    Jupyter keeps what was there beside a file while it saves, so a folder changes too: those that did last come first.
    """
    stamps, folders, seen = [], [(0.0, root)] if root.startswith("/") else [], 0
    while folders and seen < _MOST_FILES:
        _, folder = heapq.heappop(folders)
        try:
            entries = list(itertools.islice(os.scandir(folder), min(_MOST_FILES - seen, _MOST_FILES // 2)))
        except OSError:
            continue  # not ours to see, or gone
        seen += len(entries)
        for entry in entries:
            if entry.name.startswith(".") or entry.name in _NOT_ONES_OWN:
                continue
            try:
                changed = entry.stat(follow_symlinks=False).st_mtime
            except OSError:
                continue  # gone
            if entry.is_dir(follow_symlinks=False):
                heapq.heappush(folders, (-changed, entry.path))
            elif entry.name.rpartition(".")[2].lower() in _SOURCES and entry.is_file(follow_symlinks=False):
                stamps.append(changed)
    return newest(stamps)


def homes_of(tasks: list[Task], uids: set[int]) -> set[str]:
    """The homes of these users, and those in the containers in which an editor has its server."""
    homes = {home for task in tasks if is_editor_server(task) for home in _home_inside(task)}
    for uid in uids:
        try:
            homes.add(pwd.getpwuid(uid).pw_dir)
        except KeyError:
            continue  # a user of a container: its home is not here
    return homes


def _home_inside(task: Task) -> Iterator[str]:
    """The home of its user, seen from outside, of a process in a container: it is not that of a user of the machine."""
    root = f"/proc/{task.pid}/root"
    try:
        # Not by its root: a container may share that, and have another home below it.
        if os.readlink(f"/proc/{task.pid}/ns/mnt") != os.readlink("/proc/self/ns/mnt"):  # noqa: PTH115 - Path.readlink came with Python 3.9
            home = environment_of(PROC / str(task.pid)).get("HOME", "")
            yield from [root + home] if home.startswith("/") else []
    except OSError:
        return  # it ended while we looked


_HISTORIES = (
    ".*-server/data/User/History/*",
    ".*-server-insiders/data/User/History/*",
    ".*-server-oss/data/User/History/*",
    ".vscode/cli/*/data/User/History/*",
    ".local/share/code-server/User/History/*",
    ".cache/JetBrains/RemoteDev-*/LocalHistory/*",
    ".cache/JetBrains/RemoteDev-*/*/LocalHistory/*",
)
_KEEP_AWAKE = ".autostop-keep-awake"


def edited_at(homes: set[str]) -> float | None:
    """When a remote editor last put something into its local history, which it does at each save."""
    stamps: list[float] = []
    for home, below in itertools.product(sorted(homes), _HISTORIES):
        stamps += _changes_below(home, below.split("/"))
    return newest(stamps)


def _changes_below(folder: str, pattern: list[str]) -> Iterator[float]:
    """When what lies there by this pattern was changed; no link is followed, to what may be another's."""
    name, rest = pattern[0], pattern[1:]
    try:
        entries = list(itertools.islice(os.scandir(folder), MOST_ENTRIES)) if "*" in name else []
    except OSError:
        return  # it is not there
    if len(entries) == MOST_ENTRIES:
        raise OverflowError
    for each in fnmatch.filter([entry.name for entry in entries], name) if entries else [name]:
        try:
            status = os.lstat(f"{folder}/{each}")
        except OSError:
            continue  # removed while we looked
        if not rest:
            yield status.st_mtime
        elif stat.S_ISDIR(status.st_mode):
            yield from _changes_below(f"{folder}/{each}", rest)


def is_held(homes: set[str]) -> int:
    """1 if somebody holds a lock on the keep-awake file of any user."""
    locks = list(rows_of(PROC / "locks"))
    # "1: FLOCK ADVISORY WRITE <pid> <major>:<minor>:<inode> 0 EOF"; who only waits for it has an arrow.
    held = [(fields[4], fields[5].split(":")) for fields in locks if len(fields) > 5 and fields[1] != "->"]
    for home in homes:
        path = os.path.join(os.path.realpath(home), _KEEP_AWAKE)  # noqa: PTH118 - realpath gives text
        try:
            status = os.lstat(path)
        except OSError:
            continue
        if not stat.S_ISREG(status.st_mode):
            continue
        for pid, (major, minor, inode) in held:
            if int(inode) != status.st_ino:
                continue
            # Some file systems tell the lock another device than the file; then the holder shows what it has open.
            if (int(major, 16), int(minor, 16)) == (os.major(status.st_dev), os.minor(status.st_dev)):
                return 1
            if _has_open(pid, path):
                return 1
    return 0


def _has_open(pid: str, path: str) -> bool:
    """Whether this process has the file open, or, if the one that took the lock is gone, any process."""
    folder = PROC / pid
    folders = [folder] if folder.is_dir() else [each for each in PROC.iterdir() if each.name.isdigit()]
    for each in folders:
        try:
            # Compared as text: looking at what stands behind a descriptor may hang.
            if any(os.readlink(link) == path for link in (each / "fd").iterdir()):  # noqa: PTH115 - Path.readlink came with Python 3.9
                return True
        except OSError:
            continue
    return False
