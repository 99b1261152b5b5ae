"""All processes together: whose processor time counts, which are jobs, and which may wait for the world."""

from __future__ import annotations

import os
from typing import Any, NamedTuple

from autostop.probe.limits import newest
from autostop.probe.process_details import Looks
from autostop.probe.process_kinds import (
    AGENTS,
    EDITOR_SERVER,
    EDITORS,
    SHELLS,
    TOOLS,
    is_any,
    is_wrapper,
    kind_of,
    names_of,
)
from autostop.probe.processes import Task
from autostop.probe.terminals import Terminals, doubt, printable

_MOST_GROUPS = 24
_MOST_DOUBTS = 6


class _Under(NamedTuple):
    """What is above a process.

    counts: whether its processor time does. owned: by a Jupyter server. tty: the terminal on which nothing is a job,
    because it is that of a server, an editor or a viewer which has begun it.
    """

    kind: str = ""
    counts: bool = False
    owned: bool = False
    tty: int = 0


def survey(tasks: list[Task], looks: Looks) -> dict[str, Any]:
    """Processor time, jobs, doubts, and how many there are of what else keeps a machine in use. Pure but for looks."""
    seen: dict[str, Any] = {
        "boot": "", "cpu": {}, "typed_at": None, "wrote_at": None, "jobs": 0, "job": "", "gpu": None, "logins": 0,
        "editors": 0, "edited_at": None, "muxes": 0, "held": 0, "visits": 0, "doubts": [],
    }  # fmt: skip
    children: dict[int, list[Task]] = {}
    known = {task.pid for task in tasks}
    for task in tasks:
        children.setdefault(task.parent if task.parent in known else 0, []).append(task)
    found = _Found()
    open_ends = [(task, _Under()) for task in children.get(0, [])]
    while open_ends:
        task, above = open_ends.pop()
        kind = kind_of(task)
        if kind == "" and above.kind in ("", "init") and not task.tty:
            kind = _of_nobody_else(task, looks)
        below = _below(task, kind, above)
        if kind in ("logins", "editors", "muxes") and above.kind != kind:
            seen[kind] += 1
        found.note(task, kind, above, below, looks)
        open_ends += [(child, below) for child in children.get(task.pid, []) if child.pid != task.pid]
    jobs = found.terminals.jobs(looks)
    seen["jobs"] = len(jobs)
    seen["job"] = printable(max(jobs, key=lambda task: (task.ticks, task.pid)).name) if jobs else ""
    seen["cpu"], seen["wrote_at"] = found.seconds(), newest(found.terminals.wrote)
    seen["visits"] = looks.visits(found.servers, found.counted) if found.servers else 0
    doubts = dict.fromkeys([*found.doubts, *found.terminals.doubts])
    seen["doubts"] = [list(each) for each in list(doubts)[:_MOST_DOUBTS]]
    return seen


class _Found:
    """What is gathered on the way through the tree of processes."""

    def __init__(self) -> None:
        self.ticks: dict[str, int] = {}
        self.counted: list[Task] = []
        self.servers: list[Task] = []
        self.doubts: list[tuple[str, str]] = []
        self.terminals = Terminals()

    def note(self, task: Task, kind: str, above: _Under, below: _Under, looks: Looks) -> None:
        if kind in ("kernels", "desktops", "left", "") and below.counts:
            # A kernel listens for its Jupyter server.
            serves = kind != "kernels" and looks.listens(task)
            self.counted.append(task)
            self.servers += [task] if serves else []
            group = "p" + format(task.pid, "x") if serves else format(task.session, "x")
            self.ticks[group] = self.ticks.get(group, 0) + task.ticks
        if task.tty:
            self.terminals.add(task, kind, kind == "" and task.tty != above.tty)
        if kind == "kernels" and not above.owned and above.kind != kind:
            self.doubts.append(doubt("kernel", task))
        elif kind == "desktops":
            self.doubts.append(doubt("desktop", task))
        elif kind == "left" or (kind == "" and above.kind in ("left", "logins", "kernels", "editors") and not task.tty):
            self._doubt_below(task, above, looks)

    def _doubt_below(self, task: Task, above: _Under, looks: Looks) -> None:
        """One that no terminal waits for: left behind, begun by a cell, over a connection without one, by an editor."""
        names, command = names_of(task), " ".join(task.words)
        helps = "multiprocessing." in command or EDITOR_SERVER.search(command)
        kinds = (SHELLS, AGENTS, EDITORS, *([TOOLS] if above.kind == "editors" else []))
        none = helps or is_wrapper(task) or any(is_any(kind, names) for kind in kinds)
        if task.state not in "ZT" and not none:
            word = "editor" if above.kind == "editors" else "server" if looks.listens(task) else "job"
            self.doubts.append(doubt(word, task))

    def seconds(self) -> dict[str, float]:
        """Of each session and of each that serves, the busiest alone, the rest of both kinds together."""
        told: dict[str, int] = {}
        for number, (group, ticks) in enumerate(sorted(self.ticks.items(), key=lambda each: -each[1])):
            name = group if number < _MOST_GROUPS else "prest" if group[0] == "p" else "rest"
            told[name] = told.get(name, 0) + ticks
        return {name: seconds_of(ticks) for name, ticks in told.items()}


def seconds_of(ticks: int) -> float:
    """Of processor time, as the line tells it."""
    return round(ticks / os.sysconf("SC_CLK_TCK"), 2)


def _of_nobody_else(task: Task, looks: Looks) -> str:
    """`left` for a program without a terminal that somebody began and left behind, `init` for what may begin such."""
    if task.pid == 1 or task.name in ("systemd", "atd", "slurmstepd"):
        return "init"
    return "left" if looks.is_of_a_person(task) and not is_any(AGENTS, names_of(task)) else ""


def _below(task: Task, kind: str, above: _Under) -> _Under:
    if kind == "init":
        return _Under(kind)
    if kind == "server":
        return _Under(kind, counts=True, owned=True, tty=task.tty)
    if kind == "kernels":
        return _Under(kind, counts=True, owned=above.owned, tty=task.tty)
    if kind in ("logins", "muxes", "desktops", "left"):
        return _Under(kind, counts=True)
    if kind in ("editors", "viewer"):
        return _Under(kind, counts=False, tty=task.tty)
    # A terminal in an editor is a terminal.
    own = task.tty not in (0, above.tty)
    kept = above.kind if above.kind in ("kernels", "editors", "logins", "left") and not own else "other"
    return _Under(kept, counts=above.counts or own, owned=above.owned, tty=0 if own else above.tty)
