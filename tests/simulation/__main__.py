"""`make simulate SEEDS=n`: runs histories on every core, prints what was tried, and keeps the numbers in build/."""

import argparse
import json
import sys
import time
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from tests.simulation.history import Told, run

KINDS = {
    "lost": "lost", "law": "broken laws", "stuck": "stuck", "left over": "left over", "error": "errors",
    "unjudged": "awake and unjudged", "untold": "blocked and untold", "left untold": "left over and untold",
}  # fmt: skip


def main() -> int:
    """Exit code 1 when any history went wrong; its seed runs it again."""
    parser = argparse.ArgumentParser(prog="make simulate", description=__doc__)
    parser.add_argument("seeds", type=int, help="how many histories")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--jobs", type=int, default=2, help="processes")
    parser.add_argument("--until-first", action="store_true", help="stop at the first history that goes wrong")
    parser.add_argument("--tell", action="store_true", help="tell the first history line by line, and no other")
    parser.add_argument("--report", type=Path, default=Path("build/simulate.json"))
    asked = parser.parse_args()
    if asked.tell:
        told = run(asked.first, print)
        print("\n".join(told.problems) or told.ended)
        return 1 if told.problems else 0
    began = time.monotonic()
    seeds = range(asked.first, asked.first + asked.seeds)
    with ProcessPoolExecutor(asked.jobs) as pool:
        all_told = []
        for each in _with_progress(pool.map(run, seeds, chunksize=1 if asked.until_first else 5), asked.seeds):
            all_told.append(each)
            if asked.until_first and each.problems:
                pool.shutdown(cancel_futures=True)
                break
    report = numbers(all_told) | {"first_seed": asked.first, "seconds": round(time.monotonic() - began, 1)}
    asked.report.parent.mkdir(parents=True, exist_ok=True)
    asked.report.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    print("\n".join(in_words(report)))
    return 1 if any(each.problems for each in all_told) else 0


def _with_progress(told: Iterable[Told], of: int) -> Iterable[Told]:
    for count, each in enumerate(told, 1):
        for problem in each.problems:
            print(f"seed {each.seed}: {problem}", flush=True)
        if count % 100 == 0:
            print(f"{count} of {of} histories", file=sys.stderr, flush=True)
        yield each


def numbers(told: list[Told]) -> dict[str, object]:
    """What all histories came to."""
    kinds = Counter(problem.partition(":")[0] for each in told for problem in each.problems)
    by_operation: Counter[str] = Counter()
    for each in told:
        by_operation.update(each.by_operation)
    return {
        "histories": len(told),
        "hours": round(sum(each.hours for each in told)),
        "calls": sum(each.calls for each in told),
        "checks": sum(each.checks for each in told),
        "crashes": sum(each.crashes for each in told),
        "faults": sum(each.faults for each in told),
        "taps": sum(each.taps for each in told),
        "console_actions": sum(each.console for each in told),
        "refused_for_good": sum(each.for_good for each in told),
        "forgiven": sum(each.forgiven for each in told),
        "ended": dict(Counter(each.ended for each in told if each.ended)),
        **{name.replace(" ", "_"): kinds[kind] for kind, name in KINDS.items()},
        "failing_seeds": [each.seed for each in told if each.problems],
        "calls_by_operation": dict(by_operation.most_common()),
    }


def in_words(report: dict[str, object]) -> list[str]:
    """The same for a person."""
    tried = (
        "histories", "hours", "calls", "checks", "crashes", "faults", "taps", "console_actions", "refused_for_good",
    )  # fmt: skip
    wrong = [name.replace(" ", "_") for name in KINDS.values()]
    return [
        ", ".join(f"{report[key]} {key.replace('_', ' ')}" for key in tried),
        "destroyed by the person at the console, and nobody else: " + str(report["forgiven"]),
        "ended: " + ", ".join(f"{count} {how}" for how, count in dict(report["ended"]).items()),  # type: ignore[call-overload]  # a dict of counts
        ", ".join(f"{report[key]} {key.replace('_', ' ')}" for key in wrong),
        f"in {report['seconds']} s",
    ]


if __name__ == "__main__":
    sys.exit(main())
