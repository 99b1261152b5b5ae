"""Where a trace is recorded: a workstation of its own, what is labelled there, and what is measured of it."""

import contextlib
import math
import subprocess
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import psutil

from tests.person.workstation import Workstation
from tests.traces.trace import MINUTE, Point, Span, Told, Trace

MINUTES: Final = 24
SETTINGS: Final = {
    "idle-after": "5m", "grace": "2m", "weak-signals": "5m", "doubt-for": "10m", "warn-before": "2m",
    "cpu-period": "1m",
}  # fmt: skip
_LATE_MINUTES: Final = 2.0
_PROCESSOR_EVERY: Final = 10.0
_HOW: Final = "make record: real programs and the real probe every minute; processor by psutil; network not measured"


class Stage:
    """Where one scene is played. letting_go: what is to be let go of when its workstation has ended."""

    def __init__(  # each of them is a fact of the trace's first line
        self,
        name: str,
        folder: Path,
        stack: contextlib.ExitStack,
        minutes: int = MINUTES,
        settings: Mapping[str, str] = SETTINGS,
    ) -> None:
        self.name, self.folder, self.stack, self.minutes, self.settings = name, folder, stack, minutes, settings
        self.letting_go = stack.enter_context(contextlib.ExitStack())
        self.workstation = Workstation(folder / "workstation")
        stack.callback(self.workstation.end)
        self.begins = datetime.now(UTC).replace(microsecond=0)
        self.working: list[Span] = []
        self.excused: list[Span] = []
        self._failures: list[Span] = []
        self._told: list[Told] = []
        self._cores: list[float] = []

    @property
    def minute(self) -> float:
        return (datetime.now(UTC) - self.begins) / MINUTE

    @contextlib.contextmanager
    def works(self, what: str) -> Iterator[None]:
        """Somebody, or something for somebody, works from here to there."""
        first = int(self.minute)
        yield
        self.working.append(Span(first, min(self.minutes, math.ceil(self.minute)), what))

    def excuse(self, until: float, why: str) -> None:
        """No rule can be blamed from the end of the work up to that minute."""
        self.excused.append(Span(max(span.end for span in self.working), math.ceil(until), why))

    def wait_until(self, minute: float) -> None:
        time.sleep(max(0.0, (minute - self.minute) * 60))

    def measure(self) -> None:
        """Look at it every minute, to the end."""
        processor = _Processor(self.workstation)
        before = processor.seconds()
        for minute in range(self.minutes):
            while self.minute < minute:
                processor.seconds()
                time.sleep(max(0.0, min(_PROCESSOR_EVERY, (minute - self.minute) * 60)))
            if minute:
                used = processor.seconds()
                self._cores.append(round((used - before) / 60, 3))
                before = used
            try:
                self._told.append(Told(minute, line=self.workstation.probe().strip()))
            except (subprocess.SubprocessError, AssertionError):
                self._failures.append(Span(minute, minute + 1, "no answer"))

    def trace(self, tells: str) -> Trace:
        late = 1 + _LATE_MINUTES
        return Trace(
            name=self.name,
            tells=tells,
            made="recorded",
            how=_HOW,
            begins=self.begins,
            minutes=self.minutes,
            vcpus=psutil.cpu_count() or 1,
            runs=(Span(0, self.minutes, ""),),
            working=tuple(sorted(self.working, key=lambda span: span.first)),
            points=tuple(Point(minute, cores, 0.0, minute + late) for minute, cores in enumerate(self._cores)),
            told=tuple(self._told),
            settings=self.settings,
            period=60,
            sweep_every=60,
            sweep_first=10,
            excused=tuple(self.excused),
            failures=tuple(self._failures),
        )


class _Processor:
    """Processor seconds of everything that runs or ran in a workstation, by its namespace."""

    def __init__(self, workstation: Workstation) -> None:
        self._there = Path(f"/proc/{workstation._pid}/ns/pid").readlink()
        self._seen: dict[tuple[int, float], float] = {}

    def seconds(self) -> float:
        for process in psutil.process_iter():
            try:
                if Path(f"/proc/{process.pid}/ns/pid").readlink() == self._there:
                    times = process.cpu_times()
                    self._seen[process.pid, process.create_time()] = times.user + times.system
            except (psutil.Error, OSError):
                continue  # it ended while we looked
        return sum(self._seen.values())
