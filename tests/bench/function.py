"""The sweep function in a process of its own, as Lambda keeps it: loaded once, invoked many times.

It is functions/sweep/app.py itself with its real clients; only its clock is the emulated account's. As a program it
reads one moment a line, sweeps at that moment, and writes one line of JSON about it.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from unittest.mock import patch

from autostop.aws import clients
from tests.handlers.functions import CONTEXT, load

_STATUS = Path("/proc/self/status")
# The key of the table under which the states of all workstations are.
STATES = "states"


@dataclass(frozen=True, slots=True)
class Invoked:
    """One sweep. calls: requests sent, by service and operation; seconds: on the wall; processor_seconds: its own.

    state_pages: those of the calls that read the states of all workstations.
    peak_mib: the most memory its process ever held, before_mib: that of the function loaded and not yet invoked;
    kinds: how many workstations got which kind of verdict; intents, skipped: how many.
    """

    calls: Mapping[str, int]
    seconds: float
    processor_seconds: float
    peak_mib: float
    before_mib: float
    kinds: Mapping[str, int]
    intents: int
    skipped: int
    state_pages: int

    @property
    def total(self) -> int:
        return sum(self.calls.values())


@contextmanager
def function(environment: Mapping[str, str]) -> Iterator[Callable[[datetime], Invoked]]:
    """A running function; calling what is given sweeps at that moment. Raises RuntimeError with what it said last."""
    with tempfile.TemporaryFile("w+") as said:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.bench.function"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=said,
            text=True,
            env={**environment, "PYTHONPATH": os.pathsep.join(sys.path)},
        )

        def invoke(now: datetime) -> Invoked:
            if process.stdin is None or process.stdout is None:
                raise RuntimeError("the function has no pipes")
            process.stdin.write(now.isoformat() + "\n")
            process.stdin.flush()
            line = process.stdout.readline()
            if not line:
                process.wait()
                said.seek(0)
                raise RuntimeError(f"the sweep failed:\n{said.read()[-4000:]}")
            return Invoked(**json.loads(line))

        try:
            yield invoke
        finally:
            process.communicate()


def main() -> None:
    """Stdout is for the answers; what the function logs goes to stderr."""
    answers, sys.stdout = sys.stdout, sys.stderr
    calls: Counter[str] = Counter()
    state_pages: list[str] = []

    def count_states(**told: Any) -> None:
        if {"S": STATES} in told["params"].get("ExpressionAttributeValues", {}).values():
            state_pages.append(told["event_name"])

    def count(**told: Any) -> None:
        service, operation = told["event_name"].split(".")[1:]
        calls[f"{service.replace('monitoring', 'cloudwatch')} {operation}"] += 1

    clients.session().register("before-send", count)
    clients.session().register("before-parameter-build.dynamodb.Query", count_states)
    app, moments = load("sweep"), deque[datetime](maxlen=1)
    with patch.object(app, "utc_now", lambda: moments[0]):
        before = _peak_mib()
        for line in sys.stdin:
            moments.append(datetime.fromisoformat(line.strip()))
            calls.clear()
            state_pages.clear()
            began, used = time.perf_counter(), time.process_time()
            swept = app.handler({}, CONTEXT)
            told = {
                "calls": dict(calls),
                "seconds": time.perf_counter() - began,
                "processor_seconds": time.process_time() - used,
                "peak_mib": _peak_mib(),
                "before_mib": before,
                "kinds": Counter(said.partition(":")[0] for said in swept["verdicts"].values()),
                "intents": len(swept["intents"]),
                "skipped": len(swept["skipped"]),
                "state_pages": len(state_pages),
            }
            print(json.dumps(told), file=answers, flush=True)


def _peak_mib() -> float:
    """Of this process alone; getrusage's would be that of the process that started it, if it was larger."""
    line = next(line for line in _STATUS.read_text(encoding="utf-8").splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


if __name__ == "__main__":
    main()
