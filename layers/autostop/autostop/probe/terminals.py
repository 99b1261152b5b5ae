"""What stands on a terminal: a job that it waits for, a doubt, or what only shows something."""

from __future__ import annotations

import re

from autostop.probe.process_details import Looks
from autostop.probe.process_kinds import (
    EDITORS,
    REMOTES,
    TOOLS,
    is_any,
    is_program,
    is_prompt,
    is_script,
    is_wrapper,
    keeps_up,
    names_of,
)
from autostop.probe.processes import Task

_PRINTABLE = re.compile(r"[A-Za-z0-9._+-]{1,15}", re.ASCII)


def printable(name: str) -> str:
    """A process may call itself anything."""
    return name if _PRINTABLE.fullmatch(name) else ""


def doubt(word: str, task: Task) -> tuple[str, str]:
    """What may wait for the world, and how."""
    return word, printable(task.name)


class Terminals:
    """All of them. doubts, wrote: known once `jobs` was asked."""

    def __init__(self) -> None:
        self.doubts: list[tuple[str, str]] = []
        self.wrote: list[float] = []
        self._members: dict[tuple[int, int], list[tuple[Task, str, bool]]] = {}

    def add(self, task: Task, kind: str, own: bool) -> None:
        """A process of a terminal. own: whether it may be a job of it."""
        self._members.setdefault((task.tty, task.session), []).append((task, kind, own))

    def jobs(self, looks: Looks) -> list[Task]:
        """The programs that terminals wait for; the others on them are doubts, or nothing."""
        jobs = []
        for members in self._members.values():
            present = [(task, kind, own) for task, kind, own in members if task.state not in "ZT"]
            front = [each for each in present if each[0].group == each[0].front]
            # `timeout` makes a group of its own, and what began it waits for it all the same. Parents come first.
            waiting = {task.pid for task, _, _ in front if is_wrapper(task) or is_script(task)}
            if len(front) == 1 < len(present) and looks.is_busy(front[0][0]):
                waiting.add(front[0][0].pid)
            for each in present:
                if each[0].parent in waiting and each not in front:
                    front.append(each)
                    waiting.add(each[0].pid)
            behind = [task for task, _, own in present if own and task not in [task for task, _, _ in front]]
            programs = [task for task, _, own in front if own and is_program(task)]
            if programs and not any(kind in ("server", "editors") for _, kind, _ in front):
                jobs += self._foreground(front, programs, looks)
            for task in behind:
                if is_program(task) and not is_any(TOOLS, names_of(task)):
                    self.doubts.append(doubt("server" if looks.listens(task) else "job", task))
        return jobs

    def _foreground(self, front: list[tuple[Task, str, bool]], programs: list[Task], looks: Looks) -> list[Task]:
        """Its programs, if they are at work."""
        viewers = [task for task, kind, _ in front if kind == "viewer"]
        lines = looks.reads_lines(programs[0])
        programs = self._beside(viewers, programs, lines, looks) if viewers else programs
        if not programs:
            return []
        if any(keeps_up(task) for task in programs):
            self.doubts.append(doubt("server", programs[0]))
            return []
        if lines is False:
            if not any(is_any(EDITORS, names_of(task)) for task, _, _ in front):
                # What another machine shows is not known to be work.
                if not any(is_any(REMOTES, names_of(task)) for task in programs):
                    self.wrote += [at for at in [looks.wrote_at(programs[0])] if at is not None]
                self.doubts.append(doubt("prompt", programs[0]))
            return []
        if lines and any(looks.waits_for_a_line(task) for task, _, _ in front):
            self.doubts.append(doubt("prompt", programs[0]))
            return []
        asked = any(map(is_prompt, programs))
        serving = [] if asked else [task for task in programs if looks.listens(task)]
        for task in serving[:1]:
            self.doubts.append(doubt("server", task))
        return [] if serving else programs

    def _beside(self, viewers: list[Task], programs: list[Task], lines: bool | None, looks: Looks) -> list[Task]:
        """The programs that neither wait for a viewer nor are shown by one, which are doubts."""
        if lines is False:
            # A pager: what is piped into it goes on behind it, and who began it waits until it is left.
            began = {task.parent for task in viewers}
            for task in programs:
                if task.pid not in began:
                    self.doubts.append(doubt("job", task))
            return []
        # What sifts a log that grows waits for more of it.
        fed, own = {looks.output(task) for task in viewers}, []
        for task in sorted(programs, key=lambda task: task.pid):
            if looks.input(task) in fed - {""}:
                fed.add(looks.output(task))
                self.doubts.append(doubt("job", task))
            else:
                own.append(task)
        return own
