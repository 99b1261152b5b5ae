"""`make bench`: counts the AWS calls of a sweep, beside Cloud Custodian's, prints a table and keeps it in build/."""

import argparse
import json
import sys
import time
from pathlib import Path

from tests.bench.measure import measure
from tests.bench.report import BUDGET_FOR, LARGEST, broken, in_words, numbers


def main() -> int:
    """Exit code 1 when a budget is broken."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[500, BUDGET_FOR, LARGEST], help="workstations")
    parser.add_argument("--report", type=Path, default=Path("build/bench.json"))
    asked = parser.parse_args()
    began = time.monotonic()
    measured = []
    for size in asked.sizes:
        print(f"sweeping {size:,} workstations", file=sys.stderr, flush=True)
        measured.append(measure(size, beside_custodian=size == BUDGET_FOR))
    report = numbers(measured) | {"seconds": round(time.monotonic() - began, 1)}
    asked.report.parent.mkdir(parents=True, exist_ok=True)
    asked.report.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    print("\n".join(in_words(measured)))
    return 1 if broken(measured) else 0


if __name__ == "__main__":
    sys.exit(main())
