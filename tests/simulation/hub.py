"""Runs many functions at once on one virtual clock, each stopping only where it says so: the same way every time.

Every function runs in a greenlet of its own. It gives way in `pause`, which is called around each AWS call; what is due
first goes on first, so two functions on one workstation interleave call by call, by nothing but the seed.
"""

import heapq
import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

from greenlet import GreenletExit, getcurrent, greenlet

from autostop_local.world import VirtualClock


class Nature(Protocol):
    """What happens by itself while time goes by."""

    def tick(self) -> None: ...

    def next_due(self) -> datetime | None: ...


@dataclass(eq=False)
class Task:
    """One function that runs, since `began`. skew: how far its clock is off. dead: it does nothing any more."""

    name: str
    began: datetime
    skew: timedelta = timedelta(0)
    dead: bool = False
    runner: greenlet | None = field(default=None, repr=False)


@dataclass
class Hub:
    """The scheduler."""

    clock: VirtualClock
    nature: Nature

    def __post_init__(self) -> None:
        self._due: list[tuple[datetime, int, Callable[[], object]]] = []
        self._order = itertools.count()
        self._main = getcurrent()
        self._tasks: dict[greenlet, Task] = {}
        self._killed: list[Task] = []
        self.failure: BaseException | None = None

    @property
    def current(self) -> Task | None:
        """The task that runs; None outside of any."""
        return self._tasks.get(getcurrent())

    def at(self, due: datetime, act: Callable[[], object]) -> None:
        """Do something at a moment; it must not pause."""
        heapq.heappush(self._due, (due, next(self._order), act))

    def spawn(self, name: str, work: Callable[[], object], due: datetime, skew: timedelta = timedelta(0)) -> Task:
        """Begin a task at a moment. An exception that leaves it ends the whole run."""
        task = Task(name, due, skew)

        def body() -> None:
            try:
                work()
            except GreenletExit:
                pass
            except BaseException as error:  # noqa: BLE001 - handed on to whoever runs the hub
                self.failure = error
            finally:
                self._tasks.pop(getcurrent(), None)

        task.runner = greenlet(body, self._main)
        self._tasks[task.runner] = task
        self.at(due, lambda: self._resume(task))
        return task

    def pause(self, how_long: timedelta) -> None:
        """Let others go on for a while. Outside of a task, time goes by with all that is due in it."""
        task = self.current
        if task is None:
            self.run(self.clock.now() + how_long)
            return
        self._still_alive(task)
        self.at(self.clock.now() + how_long, lambda: self._resume(task))
        self._main.switch()
        self._still_alive(task)

    def die(self) -> None:
        """The running task ends at once, and not even its `finally` has any effect. It never returns."""
        task = self.current
        if task is not None:
            self.kill(task)
            self._main.switch()
        raise GreenletExit

    def kill(self, task: Task) -> None:
        """A task is never resumed again."""
        if task.runner is not None and not task.runner.dead:
            task.dead = True
            self._killed.append(task)

    def run(self, until: datetime, enough: Callable[[], bool] = lambda: False) -> bool:
        """Let time go by; True as soon as `enough` holds."""
        while not enough():
            by_nature = self.nature.next_due()
            by_us = self._due[0][0] if self._due else None
            due = min((moment for moment in (by_nature, by_us) if moment is not None), default=until)
            if due > until:
                self.clock.advance(max(timedelta(0), until - self.clock.now()))
                return False
            self.clock.advance(max(timedelta(0), due - self.clock.now()))
            if by_nature is not None and by_nature <= due:
                self.nature.tick()
            elif self._due:
                heapq.heappop(self._due)[2]()
            else:
                return False
            if self.failure is not None:
                failure, self.failure = self.failure, None
                raise failure
        return True

    def close(self) -> None:
        """Let go of every task; those under way end as if killed."""
        for task in [*self._tasks.values(), *self._killed]:
            task.dead = True
        for runner in list(self._tasks):
            runner.throw(GreenletExit)
        self._killed.clear()

    def _resume(self, task: Task) -> None:
        if not task.dead and task.runner is not None and not task.runner.dead:
            task.runner.switch()

    @staticmethod
    def _still_alive(task: Task) -> None:
        if task.dead:
            raise GreenletExit
