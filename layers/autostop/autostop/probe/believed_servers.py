"""The Jupyter servers of the machine: which files and processes tell of them, and which of these are believed."""

from __future__ import annotations

import itertools
import json
import os
import re
import stat
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from autostop.probe.files import saved_at, source_saved_at
from autostop.probe.jupyter import Runtime, ask_server
from autostop.probe.limits import MOST_ENTRIES, PROC, Limits, newest, open_if, user_name
from autostop.probe.listeners import ELSEWHERE, Listener, listeners_at, listeners_on
from autostop.probe.process_kinds import is_server
from autostop.probe.processes import Task, environment_of, state_of

_LONGEST_FILE = 65_536
# The kernel gives the time of boot in whole seconds, so the start of a process is known no better.
_START_SLACK_SECONDS = 2.0
_FILE_NAME = re.compile(r"(jp|nb)server-.+\.json", re.ASCII)


def jupyter_servers(
    named: list[str], tasks: list[Task], homes: set[str], until: float, errors: list[str], limits: Limits
) -> list[dict[str, Any]]:
    """An entry for each server, and for each process of one that no believable file tells about."""
    running = [task for task in tasks if task.state != "Z" and is_server(task.words)]
    processes = {task.pid: task for task in running if limits.allow("processes of servers", task.uid)}
    places = {pid: _directories_of(PROC / str(pid)) for pid in processes}
    everywhere = {home + "/.local/share/jupyter/runtime" for home in homes}.union(*places.values())
    runtimes, looked_at, missing = _runtimes_in(named or sorted(everywhere), errors, limits)
    # Jupyter makes its directory when it starts. But with servers on the machine, the name may be a slip.
    if named and missing and processes:
        errors.append("missing")
    if named:
        processes = {pid: task for pid, task in processes.items() if _writes_to(places[pid], looked_at)}
    try:
        servers = [(runtime, listener) for runtime in runtimes for listener in _listening(runtime, limits)]
    except OverflowError:
        errors.append("many")
        servers = []
    entries = _ask_all(servers, until, errors)
    return entries + _without_file(list(processes.values()), {runtime.pid for runtime, _ in servers})


def _runtimes_in(
    paths: list[str], errors: list[str], limits: Limits
) -> tuple[list[Runtime], set[tuple[int, int]], bool]:
    """What the runtime files in these directories say, which ones those are, and whether one was not there."""
    found: dict[tuple[int, int, int, str], Runtime] = {}
    looked_at: set[tuple[int, int]] = set()
    missing = False
    for path in paths:
        try:
            handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except PermissionError:
            errors.append("denied")
            continue
        except OSError:
            missing = True
            continue
        # Closed before the next is opened: there may be more of them than a process may have open.
        identity = _identity(os.fstat(handle))
        for runtime in () if identity in looked_at else _runtimes(handle, errors, limits):
            # What one user writes hides no server of another.
            found[runtime.uid, runtime.pid, runtime.port, runtime.unix_socket] = runtime
        looked_at.add(identity)
        os.close(handle)
    return list(found.values()), looked_at, missing


def _without_file(processes: list[Task], known: set[int]) -> list[dict[str, Any]]:
    """An entry for each server process that no believable file tells about: it may be at work."""
    commands = {process.pid: process.command for process in processes}
    entries: list[dict[str, Any]] = []
    for process in processes:
        # A server that forks shows itself twice.
        forked = process.parent in known and commands.get(process.parent) == process.command
        if process.pid not in known and not forked:
            entries.append({"port": 0, "status": "nofile", "user": user_name(process.uid)})
    return entries


def _ask_all(servers: list[tuple[Runtime, Listener]], until: float, errors: list[str]) -> list[dict[str, Any]]:
    # An entry stands from the beginning: a thread that does not come back is a server that did not answer.
    entries: list[dict[str, Any]] = [{"port": runtime.port, "status": "timeout"} for runtime, _ in servers]

    def ask(index: int) -> None:
        runtime, listener = servers[index]
        entries[index], opened = ask_server(runtime, listener, until)
        if entries[index]["status"] == "ok":
            # What it answered stands already: its file system may hang, and this thread with it.
            saved = [at for at in (saved_at(runtime.root, opened), source_saved_at(runtime.root)) if at is not None]
            entries[index] = dict(entries[index], saved_at=newest(saved))

    threads = [threading.Thread(target=ask, args=(index,), daemon=True) for index in range(len(servers))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, until - time.monotonic()))
    said = list(entries)
    if any(said[index]["status"] == "ok" and threads[index].is_alive() for index in range(len(said))):
        errors.append("deadline")
    return said


def _directories_of(folder: Path) -> list[str]:
    """Where the environment of this process lets Jupyter put runtime files, the place that wins first."""
    environment = environment_of(folder)
    places = (
        ("JUPYTER_RUNTIME_DIR", ""),
        ("JUPYTER_DATA_DIR", "/runtime"),
        ("XDG_DATA_HOME", "/jupyter/runtime"),
        ("HOME", "/.local/share/jupyter/runtime"),
    )
    paths = [environment[variable] + below for variable, below in places if variable in environment]
    return [path for path in paths if path.startswith("/")]


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


def _writes_to(directories: list[str], looked_at: set[tuple[int, int]]) -> bool:
    for path in directories[:1]:
        try:
            return _identity(Path(path).stat()) in looked_at
        except OSError:
            return False
    return False


def _runtimes(directory: int, errors: list[str], limits: Limits) -> Iterator[Runtime]:
    names = [entry.name for entry in itertools.islice(os.scandir(directory), MOST_ENTRIES)]
    if len(names) == MOST_ENTRIES:
        limits.over.add(os.fstat(directory).st_uid)
    for name in sorted(filter(_FILE_NAME.fullmatch, names)):
        try:
            # A link could lead to anybody's file, and a pipe would hold us for ever.
            handle = open_if(lambda status: stat.S_ISREG(status.st_mode), name, directory)
        except PermissionError:
            errors.append("denied")
            continue
        except OSError:
            continue
        try:
            status = os.fstat(handle)
            if status.st_size <= _LONGEST_FILE and limits.allow("runtime files", status.st_uid):
                yield _runtime(json.loads(os.read(handle, _LONGEST_FILE)), status)
        except (OSError, ValueError, RecursionError, AttributeError):
            continue  # if a server runs all the same, its process is reported as one without a file
        finally:
            os.close(handle)


def _runtime(content: Any, status: os.stat_result) -> Runtime:
    """The file as a value. Raises ValueError, AttributeError."""
    types = {"pid": int, "port": int, "base_url": str, "token": str, "secure": bool}
    # `type` and not isinstance: True would be a port.
    if any(type(content.get(key)) is not kind for key, kind in types.items()):
        raise ValueError("not a runtime file")
    unix_socket = content.get("sock", "")
    root = content.get("root_dir", content.get("notebook_dir", ""))
    if not isinstance(unix_socket, str) or content["pid"] < 1 or not 0 <= content["port"] <= 65535:
        raise ValueError("not a runtime file")
    return Runtime(
        content["pid"],
        0 if unix_socket else content["port"],
        unix_socket,
        content["base_url"],
        content["token"],
        content["secure"],
        status.st_uid,
        status.st_mtime,
        root if isinstance(root, str) else "",
    )


def _listening(runtime: Runtime, limits: Limits) -> Iterator[Listener]:
    """Where the process of this file listens, once; nothing when the file is not believed. Raises OverflowError."""
    folder = PROC / str(runtime.pid)
    try:
        state, _, started_at = state_of(folder)
        # A process has its number from one that is gone, or belongs to somebody else than the file.
        if state == "Z" or started_at > runtime.written_at + _START_SLACK_SECONDS:
            return
        if folder.stat().st_uid != runtime.uid or not limits.allow("servers", runtime.uid):
            return
        if runtime.unix_socket:
            found = listeners_at(folder, runtime.unix_socket, runtime.uid)
        else:
            found = listeners_on(folder, runtime.port)
            # What listens on this port here is another where the process has a network of its own.
            if found and os.readlink(folder / "ns/net") != os.readlink(PROC / "self/ns/net"):  # noqa: PTH115 - as above
                found = [ELSEWHERE]
    except (OSError, ValueError, IndexError):
        return
    yield from (each._replace(local=all(one.local for one in found)) for each in found[:1])
