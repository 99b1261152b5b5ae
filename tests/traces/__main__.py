"""`make traces`: our rule and the peers' on the same traces, as a table (in the docs too) and as build/traces.json."""

import json
import re
import sys
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Final

from tests.traces import week
from tests.traces.files import all_traces
from tests.traces.judged import Judged, judged
from tests.traces.play import play
from tests.traces.table import OURS, counted, judge_all, rows
from tests.traces.trace import Trace

PHASES: Final = 6
_ROOT: Final = Path(__file__).resolve().parents[2]
_BUILD, _DOCS = _ROOT / "build", _ROOT / "docs" / "verdicts.md"
# The first two blocks of the page.
_TABLES: Final = re.compile(r"```\n.*?\n```", re.DOTALL)


def main() -> int:
    traces = all_traces()
    done = {trace.name: judge_all(trace, play(trace).stops) for trace in traces}
    table = counted(traces, done)
    print(table)
    tables = iter([table, week.table()])
    _DOCS.write_text(_TABLES.sub(lambda _: f"```\n{next(tables)}\n```", _DOCS.read_text(), count=2))
    _BUILD.mkdir(exist_ok=True)
    document = {
        "rules": [asdict(row) for row in rows(done)],
        "traces": [_told(trace, done[trace.name]) for trace in traces],
    }
    (_BUILD / "traces.json").write_text(json.dumps(document, indent=1) + "\n")
    faults = [f"{name}: {fault}" for name, each in done.items() for fault in each[OURS].faults]
    for trace in traces:
        faults += [f"{trace.name}: {fault}" for fault in at_other_phases(trace)]
    for fault in faults:
        print(f"\n{fault}", file=sys.stderr)
    return 1 if faults else 0


def at_other_phases(trace: Trace) -> Iterator[str]:
    """What our rule does wrong when its sweeps come at other seconds of their period.

    A recorded answer is of one moment a minute, so only generated traces can be asked at any other.
    """
    if trace.made == "recorded":
        return
    for first in range(0, trace.sweep_every, trace.sweep_every // PHASES):
        other = replace(trace, sweep_first=first)
        for fault in judged(other, play(other).stops).faults:
            yield f"with sweeps {first} s later: {fault}"


def _told(trace: Trace, done: dict[str, Judged]) -> dict[str, object]:
    return {
        "name": trace.name,
        "tells": trace.tells,
        "made": trace.made,
        "rules": {rule: asdict(result) for rule, result in done.items()},
    }


if __name__ == "__main__":
    sys.exit(main())
