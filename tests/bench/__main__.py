"""`make bench`: times cold starts and counts the AWS calls of a sweep, beside others'; prints and keeps both."""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

from autostop_local.runtime import NoRuntimeError
from tests.bench import cold_start, look
from tests.bench.measure import measure
from tests.bench.report import BUDGET_FOR, LARGEST, broken, in_words, numbers


def main() -> int:
    """Exit code 1 when a budget is broken."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[500, BUDGET_FOR, LARGEST], help="workstations")
    parser.add_argument("--starts-only", action="store_true", help="cold starts and what a phone asks, no sweeps")
    parser.add_argument("--report", type=Path, default=Path("build/bench.json"))
    asked = parser.parse_args()
    began = time.monotonic()
    print("starting each function several times", file=sys.stderr, flush=True)
    starts, said = None, []
    try:
        starts = cold_start.measure()
    except NoRuntimeError as error:
        said = [f"NOT MEASURED: cold starts. {error}"]
    try:
        looked = look.measure()
        said.append(look.in_words(looked))
    except subprocess.CalledProcessError:
        looked = None
        said.append("NOT MEASURED: the probe, for which root is needed")
    measured = []
    for size in [] if asked.starts_only else asked.sizes:
        print(f"sweeping {size:,} workstations", file=sys.stderr, flush=True)
        measured.append(measure(size, beside_custodian=size == BUDGET_FOR))
    report = numbers(measured) | {
        "cold_starts": starts.numbers() if starts else None,
        "look": looked,
        "seconds": round(time.monotonic() - began, 1),
    }
    asked.report.parent.mkdir(parents=True, exist_ok=True)
    asked.report.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    over = starts.broken() if starts else []
    starting = starts.in_words() if starts else []
    print("\n".join([*starting, *said, *over, *(in_words(measured) if measured else [])]))
    return 1 if broken(measured) or over else 0


if __name__ == "__main__":
    sys.exit(main())
