"""A day painted minute by minute, from which a trace is made; deterministic, for its chance is seeded by its name.

Verbs such as `works_in_notebook` paint everything that such work leaves behind: the label, processor and network, what
Jupyter and `/proc` would show. The figures are those that real servers showed when they were measured: a visible tab
keeps its server young, an idle kernel costs 0.01 processor seconds a minute, an autosave comes within two minutes of
the typing, a connection is still counted for two minutes after its laptop fell asleep.
"""

import random
import zlib
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final, TypeAlias

from tests.traces.trace import MINUTE, Document, Point, Span, Told, Trace, utc

When: TypeAlias = str | int

KERNEL_SECONDS: Final = 0.01
TAB_BYTES: Final = 1_500.0


class Lane:
    """What one thing (a Jupyter server, or the machine) shows by the minute: levels, and when things were last used."""

    def __init__(self, minutes: int, levels: Mapping[str, Any]) -> None:
        self.levels = {name: [value] * minutes for name, value in levels.items()}
        self._touches: dict[str, list[float]] = {}
        self._always: dict[str, list[tuple[int, int]]] = {}

    def set(self, first: int, end: int, **levels: Any) -> None:
        for name, value in levels.items():
            row = self.levels[name]
            row[first:end] = [value] * len(row[first:end])

    def add(self, first: int, end: int, **levels: float) -> None:
        for name, value in levels.items():
            row = self.levels[name]
            row[first:end] = [each + value for each in row[first:end]]

    def touch(self, name: str, *minutes: float) -> None:
        """It was used at these minutes."""
        self._touches.setdefault(name, []).extend(minutes)

    def keep_touching(self, name: str, first: int, end: int) -> None:
        """It was used every few seconds from one minute up to another."""
        self._always.setdefault(name, []).append((first, end))

    def last(self, name: str, minute: int, since: float) -> float | str | None:
        """When it was last used, as seen at a minute; None if not since then."""
        spans = self._always.get(name, [])
        if any(first <= minute < end for first, end in spans):
            return "now"
        moments = [*self._touches.get(name, []), *(end for _, end in spans)]
        return max((moment for moment in moments if since <= moment <= minute), default=None)


SERVER: Final = {"up": False, "port": 8888, "status": "ok", "kernels": 0, "busy": 0, "starting": 0, "other": 0,
                 "terminals": 0, "connections": 0, "together": 0}  # fmt: skip
MACHINE: Final = {"cores": 0.0, "network": 0.0, "cpu": 0.0, "late": 2.0, "missing": False, "jobs": 0, "job": "",
                  "gpu": None, "logins": 0, "editors": 0, "muxes": 0, "kernels": 0, "held": 0,
                  "errors": (), "doubts": ()}  # fmt: skip


class Day:
    """One trace in the making. Times are minutes of it, or "HH:MM" by its clock (UTC), or "+1 HH:MM" a day on."""

    def __init__(  # each of them is a fact of the trace's first line
        self, name: str, tells: str, hours: float, begins: str, vcpus: int, settings: Mapping[str, str]
    ) -> None:
        self.name, self.tells, self.vcpus, self.settings = name, tells, vcpus, dict(settings)
        self.minutes = round(hours * 60)
        self.begins = utc(begins)
        self.chance = random.Random(name)  # noqa: S311 - the same days each time, and no secret
        self.machine = Lane(self.minutes, MACHINE)
        self.servers: list[Lane] = []
        self.runs = [Span(0, self.minutes, "")]
        self.reboots: list[int] = []
        self.working: list[Span] = []
        self.excused: list[Span] = []
        self.failures: list[Span] = []
        self.kept_awake: list[tuple[float, float]] = []
        self.run_taps: list[float] = []
        self.yesterday: list[Point] = []
        self.period = 300
        self.sweep_every, self.sweep_first = 300, self.chance.randrange(0, 300, 10)
        self.clock_off = 0.0
        self.network_only = False

    def at(self, when: When) -> int:
        """The minute of the trace at a time of its clock; before the time it begins means the day after."""
        if isinstance(when, int):
            return when
        days, _, clock = when.rpartition(" ")
        hour, minute = clock.split(":")
        moment = self.begins.replace(hour=int(hour), minute=int(minute), second=0) + timedelta(days=int(days or 0))
        if moment < self.begins:
            moment += timedelta(days=1)
        return round((moment - self.begins) / MINUTE)

    # What is said of minutes.

    def label(self, first: When, end: When, what: str) -> tuple[int, int]:
        """Somebody, or something for somebody, works from one time to another."""
        begin, stop = self.at(first), self.at(end)
        self.working.append(Span(begin, stop, what))
        return begin, stop

    def excuse(self, first: When, end: When, why: str) -> None:
        self.excused.append(Span(self.at(first), self.at(end), why))

    def no_answer(self, first: When, end: When, how: str) -> None:
        self.failures.append(Span(self.at(first), self.at(end), how))

    def runs_only(self, *spans: tuple[When, When]) -> None:
        """The machine was on only then; each began with a launch."""
        self.runs = [Span(self.at(first), self.at(end), "") for first, end in spans]

    # What stands there.

    def jupyter(self, first: When = 0, end: When | None = None, kernels: int = 1, port: int = 8888) -> Lane:
        """A Jupyter server with kernels nobody uses yet, from one time to another (to the end of the trace)."""
        begin, stop = self.at(first), self.minutes if end is None else self.at(end)
        server = Lane(self.minutes, SERVER | {"port": port})
        server.set(begin, stop, up=True, kernels=kernels)
        server.touch("server", begin)
        server.touch("kernel", begin)
        self.machine.add(begin, stop, cpu=KERNEL_SECONDS * kernels)
        self.servers.append(server)
        return server

    def tab(self, server: Lane, first: When, end: When, *, visible: bool = True, kernels: int = 1) -> None:
        """A browser's tab on the server; a hidden one only keeps its connection."""
        begin, stop = self.at(first), self.at(end)
        server.set(begin, stop, connections=kernels, together=1 if kernels else 0)
        if visible:
            server.keep_touching("server", begin, stop)
            self.machine.add(begin, stop, network=TAB_BYTES)
        else:
            server.touch("server", begin)

    def login(self, first: When, end: When) -> None:
        """An SSH connection, kept alive."""
        self.machine.add(self.at(first), self.at(end), logins=1, network=120.0)

    def editor(self, first: When, end: When) -> None:
        """A remote editor's server with its window open: its connection carries no terminal."""
        self.machine.add(self.at(first), self.at(end), logins=1, editors=1, network=900.0, cores=0.02)

    # What people and programs do.

    def load(self, first: When, end: When, *, cores: float = 0.0, network: float = 0.0, seconds: float = 0.0) -> None:
        """Processor and network in use; seconds: of it a minute, under Jupyter, logins and multiplexers."""
        self.machine.add(self.at(first), self.at(end), cores=cores, network=network, cpu=seconds)

    def works_in_notebook(
        self, server: Lane, first: When, end: When, *, saves: bool = True, heavy: bool = True, what: str = ""
    ) -> None:
        """Somebody runs short cells and edits between; everything is saved within two minutes."""
        begin, stop = self.label(first, end, what or "works in a notebook")
        minute = begin
        while minute < stop:
            server.touch("kernel", minute + 0.5)
            if heavy:
                self.machine.add(minute, minute + 1, cores=round(self.chance.uniform(0.3, 1.6), 1), cpu=20.0)
            if saves and minute + 1 < stop:
                server.touch("saved", minute + 1)
            minute += self.chance.randint(3, 8)
        server.touch("kernel", stop - 1)

    def edits_notebook(self, server: Lane, first: When, end: When, what: str) -> None:
        """Somebody types without running anything: only the autosave shows it."""
        begin, stop = self.label(first, end, what)
        minute = begin + 2
        while minute < stop:
            server.touch("saved", minute)
            minute += self.chance.randint(2, 6)
        server.touch("saved", stop)

    def cell(
        self, server: Lane, first: When, end: When, what: str, *, cores: float = 0.0, shows_busy: bool = True
    ) -> None:
        """One cell runs; `last_activity` moves at its start and its end only."""
        begin, stop = self.label(first, end, what)
        self.load(begin, stop, cores=cores, seconds=cores * 60)
        server.touch("kernel", begin)
        if shows_busy:
            server.set(begin, stop, busy=1)
            server.touch("busy", begin)
            if stop < self.minutes:
                server.touch("kernel", stop)

    def types(self, first: When, end: When, what: str, *, pause: int = 2) -> None:
        """Somebody types in a terminal; at most `pause` minutes between two keystrokes."""
        begin, stop = self.label(first, end, what)
        minute = begin
        while minute < stop:
            self.machine.touch("typed", minute)
            minute += self.chance.randint(1, pause)
        self.machine.touch("typed", stop)

    def job(self, first: When, end: When, name: str, what: str, *, cores: float = 0.0) -> None:
        """A program on a terminal."""
        begin, stop = self.label(first, end, what)
        self.machine.set(begin, stop, jobs=1, job=name)
        self.load(begin, stop, cores=cores, seconds=cores * 60)

    def waits(self, first: When, end: When, word: str, name: str, what: str = "") -> None:
        """Something of a person's is alive that may wait for the world; and does, if it is said for what."""
        begin, stop = self.label(first, end, what) if what else (self.at(first), self.at(end))
        for minute in range(begin, stop):
            self.machine.levels["doubts"][minute] += ((word, name),)

    def orphan(self, first: When, end: When, what: str, *, cores: float = 0.0, network: float = 0.0) -> None:
        """A program that nothing owns any more (nohup, setsid, a service): the probe does not see it."""
        begin, stop = self.label(first, end, what)
        self.load(begin, stop, cores=cores, network=network)

    # The trace.

    def trace(self) -> Trace:
        told = list(self._told())
        return Trace(
            name=self.name, tells=self.tells, made="generated", how="tests/traces/generate.py", begins=self.begins,
            minutes=self.minutes, vcpus=self.vcpus, runs=tuple(self.runs), working=tuple(sorted_spans(self.working)),
            points=(*self.yesterday, *self._points()), told=tuple(told), settings=self.settings, period=self.period,
            sweep_every=self.sweep_every, sweep_first=self.sweep_first, clock_off=self.clock_off,
            excused=tuple(sorted_spans(self.excused)), failures=tuple(sorted_spans(self.failures)),
            kept_awake=tuple(self.kept_awake), run_taps=tuple(self.run_taps),
        )  # fmt: skip

    def quiet_yesterday(self, hours: int) -> None:
        """Points of a quiet machine from before the trace began, still in CloudWatch."""
        step = self.period // 60
        self.yesterday = [
            Point(
                minute, round(self.chance.uniform(0.008, 0.03), 3), float(self.chance.randint(400, 2500)), minute + step
            )
            for minute in range(-hours * 60, 0, step)
        ]

    def _points(self) -> Iterable[Point]:
        step = self.period // 60
        for minute in range(0, self.minutes - self.minutes % step, step):
            on = [each for each in range(minute, minute + step) if any(each in run for run in self.runs)]
            noise = self.chance.uniform(0.008, 0.03), self.chance.randint(400, 2500)
            if not on or any(self.machine.levels["missing"][each] for each in on):
                continue
            cores = sum(self.machine.levels["cores"][each] for each in on) / len(on) + noise[0]
            network = sum(self.machine.levels["network"][each] for each in on) / len(on) + noise[1]
            visible = minute + step + self.machine.levels["late"][minute]
            yield Point(minute, round(min(cores, self.vcpus), 3), float(round(network)), visible)

    def _told(self) -> Iterable[Told]:
        before: Document | None = None
        for index, run in enumerate(self.runs):
            boot = self._boot(index, run.first)
            # The first seconds are of the boot itself; told anew where their rate changes.
            seconds, since, rate = 4.0, run.first, 0.0
            for minute in range(run.first, run.end):
                if minute in self.reboots:
                    boot, seconds, since = self._boot(index, minute), 4.0, minute
                if self.machine.levels["cpu"][minute] != rate:
                    seconds, since = seconds + rate * (minute - since), minute
                    rate = self.machine.levels["cpu"][minute]
                document = self._document(minute, run, boot)
                if document["machine"] is not None:
                    document["machine"]["cpu"] = [round(seconds, 2), round(rate, 3), since]
                if document != before:
                    yield Told(minute, document)
                    before = document

    def _boot(self, run: int, minute: int) -> str:
        return f"{zlib.crc32(f'{self.name} {run} {minute}'.encode()):08x}"

    def _document(self, minute: int, run: Span, boot: str) -> Document:
        machine = {name: row[minute] for name, row in self.machine.levels.items()}
        # The probe before this one told of kernels alone.
        doubts = {"doubts": [*map(list, machine["doubts"])]} if any(self.machine.levels["doubts"]) else {}
        return {
            "servers": [_server(server, minute, run) for server in self.servers if server.levels["up"][minute]],
            "machine": None if self.network_only else {
                "boot": boot, "cpu": [], "typed_at": self.machine.last("typed", minute, run.first),
                "jobs": machine["jobs"], "job": machine["job"], "gpu": machine["gpu"], "logins": machine["logins"],
                "editors": machine["editors"], "edited_at": self.machine.last("edited", minute, run.first),
                "muxes": machine["muxes"], "kernels": machine["kernels"], "held": machine["held"],
            } | doubts,
            "errors": list(machine["errors"]),
        }  # fmt: skip


def _server(server: Lane, minute: int, run: Span) -> Document:
    level = {name: row[minute] for name, row in server.levels.items()}
    if level["status"] != "ok":
        return {"port": level["port"], "status": level["status"]}
    kernels, busy, starting, other = level["kernels"], level["busy"], level["starting"], level["other"]

    def last(name: str) -> float | str:
        used = server.last(name, minute, run.first)
        return run.first if used is None else used

    return {
        "port": level["port"], "status": "ok", "busy": busy, "idle": kernels - busy - starting - other,
        "starting": starting, "other": other,
        "kernel_at": last("kernel") if kernels else None,
        "busy_at": last("busy") if busy else None,
        "together": level["together"] if level["connections"] else 0,
        "terminals": level["terminals"],
        "terminal_at": last("terminal") if level["terminals"] else None,
        "connections": level["connections"], "server_at": server.last("server", minute, run.first),
        "saved_at": server.last("saved", minute, -1e9) if kernels else None,
    }  # fmt: skip


def sorted_spans(spans: Iterable[Span]) -> list[Span]:
    return sorted(spans, key=lambda span: (span.first, span.end))


BEGINS: Final = datetime(2026, 3, 10, 8, tzinfo=UTC).isoformat()
