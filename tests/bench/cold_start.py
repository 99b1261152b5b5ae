"""From nothing to a function's first answer, under Lambda's runtime, beside one that only makes an EC2 client."""

import base64
import gzip
import re
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

from autostop_local.runtime import python, runtime
from tests.handlers.account import ExampleAccount, example_account
from tests.handlers.built import built_layer, variables_in
from tests.handlers.functions import ROOT

BARE = "bare"
# Each function with the event that it first answers. What a sweep asks of the local cloud is in its time, too.
EVENTS = {"api": "api-page", "reconcile": "reconcile-wake", "notify": "notify-stops-soon", "sweep": "sweep-schedule"}
# How many times the bare function's first answer may take that of a function for which a person waits.
BUDGETS = {"api": 1.25}
_ROUNDS = 7
_STATUS_CALLS = 11
_STARTED = re.compile(r"INIT REPORT\(durationMs: ([0-9.]+)\)")


@dataclass(frozen=True, slots=True)
class ColdStart:
    """Medians of several cold starts, in milliseconds: until its handler was loaded, and until its first answer."""

    started_ms: float
    answered_ms: float


@dataclass(frozen=True, slots=True)
class Opened:
    """What a phone that opens a link costs. page_bytes: as it is written, and packed_bytes: by gzip.

    requests: until the page can be used: the page, what it loads before that, and one call. status_ms: the median of
    calls of a warm function to the local cloud; status_calls: of EC2's in each. status_bytes: of its body.
    """

    page_bytes: int
    packed_bytes: int
    requests: int
    status_ms: float
    status_calls: int
    status_bytes: int

    def in_words(self) -> str:
        """The same for a person."""
        return (
            f"api: {self.requests} requests until the page can be used, {self.page_bytes:,} bytes of it "
            f"({self.packed_bytes:,} packed); a warm status takes {self.status_ms:.0f} ms beside the local cloud, with "
            f"{self.status_calls} calls of EC2, and has {self.status_bytes:,} bytes"
        )


@dataclass(frozen=True, slots=True)
class ColdStarts:
    """By function, the bare one with them. on: what they were measured on."""

    functions: Mapping[str, ColdStart]
    on: str
    opened: Opened | None = None

    def ratio(self, name: str) -> float:
        """How many times the bare function's time until the first answer it takes."""
        return self.functions[name].answered_ms / self.functions[BARE].answered_ms

    def broken(self) -> list[str]:
        """The budgets that are not kept, in words."""
        return [
            f"cold start of {name}: {self.ratio(name):.2f} times the bare function's, more than {most}"
            for name, most in BUDGETS.items()
            if self.ratio(name) > most
        ]

    def numbers(self) -> dict[str, Any]:
        """Everything, as plain data."""
        return {
            "on": self.on,
            "functions": {
                name: {**asdict(each), "ratio": round(self.ratio(name), 3)} for name, each in self.functions.items()
            },
            "budgets": BUDGETS,
            "opened": asdict(self.opened) if self.opened else None,
        }

    def in_words(self) -> list[str]:
        """The same for a person."""
        rows = [f"{f'cold start ({self.on})':<66}{'loaded':>10}{'answered':>10}{'x bare':>10}"]
        for name, each in self.functions.items():
            what = "bare: one EC2 client" if name == BARE else f"{name}, first asked for {EVENTS[name]}"
            times = f"{each.started_ms:>7.0f} ms{each.answered_ms:>7.0f} ms"
            rows.append(f"  {what:<64}{times}{self.ratio(name):>10.2f}")
        return rows if self.opened is None else [*rows, self.opened.in_words()]


def measure(functions: Path = ROOT / "functions", layer: Path | None = None) -> ColdStarts:
    """Start every function anew several times, in turn, so that a busy machine is busy for all of them.

    layer: a built one; without it, it is built. Raises NoRuntimeError where Lambda's runtime does not run.
    """
    with tempfile.TemporaryDirectory() as directory, example_account(Path(directory) / "world") as account:
        layer = layer or built_layer(Path(directory) / "sam", lambda _: None)
        measured: dict[str, list[ColdStart]] = {BARE: [], **{name: [] for name in EVENTS}}
        for _ in range(_ROUNDS):
            for name, starts in measured.items():
                code = Path(__file__).parent / BARE if name == BARE else functions / name
                starts.append(_start(code, layer, account, EVENTS.get(name)))
        medians = {name: _median(starts) for name, starts in measured.items()}
        return ColdStarts(medians, _measured_on(layer), _opened(functions / "api", layer, account))


def _opened(code: Path, layer: Path, account: ExampleAccount) -> Opened:
    with runtime(code, [layer], variables_in(account.url)) as function:
        answer = function.invoke(account.event("api-page"))
        page = base64.b64decode(answer["body"])
        loads = re.findall(r"<script[^>]* src=|<link[^>]* rel=.?stylesheet", page.decode())
        seconds = []
        for _ in range(_STATUS_CALLS):
            account.world.journal.clear()
            began = time.perf_counter()
            status = function.invoke(account.event("api-status"))
            seconds.append(time.perf_counter() - began)
        calls, told = len(account.world.journal.calls()), len(status["body"].encode())
    packed = len(gzip.compress(page))
    return Opened(len(page), packed, 2 + len(loads), median(seconds[1:]) * 1000, calls, told)


def _start(code: Path, layer: Path, account: ExampleAccount, name: str | None) -> ColdStart:
    event = account.event(name) if name else {}
    with runtime(code, [layer], variables_in(account.url)) as function:
        began = time.perf_counter()
        function.invoke(event)
        answered = time.perf_counter() - began
        [started] = _STARTED.findall(function.log_file.read_text(encoding="utf-8"))
    return ColdStart(float(started), answered * 1000)


def _median(starts: Sequence[ColdStart]) -> ColdStart:
    return ColdStart(median(each.started_ms for each in starts), median(each.answered_ms for each in starts))


def _measured_on(layer: Path) -> str:
    said = subprocess.run([python(), "--version"], capture_output=True, text=True, check=True)
    version = said.stdout.strip()
    minor = "".join(version.removeprefix("Python ").split(".")[:2])
    holds = any(layer.glob(f"autostop/__pycache__/*.cpython-{minor}.pyc"))
    return f"{version}, layer {'with' if holds else 'WITHOUT'} bytecode"
