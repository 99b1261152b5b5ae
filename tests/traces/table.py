"""Our rule and the peers' rules over all traces, counted."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from tests.traces.judged import Judged, judged, resumes_at, window
from tests.traces.peers import PEERS, Rule, Seen
from tests.traces.trace import Document, Point, Trace

OURS: Final = "Autostop"


@dataclass(frozen=True, slots=True)
class Row:
    """One rule over many traces."""

    rule: str
    false_stops: int
    lost: int
    found: int
    all: int
    paid: int


def judge_all(trace: Trace, stops: Sequence[float]) -> dict[str, Judged]:
    """What each rule did to one trace. stops: of our own."""
    done = {OURS: judged(trace, stops)}
    seen = by_minute(trace)
    for name, rule in PEERS.items():
        done[name] = judged(trace, stops_of(rule, trace, *seen))
    return done


def by_minute(trace: Trace) -> tuple[list[Document], list[list[Point]]]:
    """What the probe would print at each minute, and CloudWatch's newest points that are visible then."""
    minutes = range(trace.minutes)
    visible = [[point for point in trace.points if point.visible <= minute][-60:] for minute in minutes]
    return [trace.document(minute) for minute in minutes], visible


def stops_of(
    rule: Rule, trace: Trace, documents: Sequence[Document], visible: Sequence[Sequence[Point]]
) -> list[float]:
    """When a peer's rule stops the machine, looked at each minute; after a stop it is started when the work goes on."""
    stops: list[float] = []
    launched: int | None = None
    minute = 0
    while minute < trace.minutes:
        run = trace.run_at(minute)
        if run is None:
            launched = None
        else:
            if launched is None or launched < run.first:
                launched = max(run.first, launched or 0)
            told = documents[launched : minute + 1]
            seen = Seen(minute, window(trace), trace.vcpus, trace.period, told, visible[minute])
            if rule(seen):
                stops.append(float(minute))
                again = resumes_at(trace, minute)
                if again is None:
                    break
                launched, minute = again, again
                continue
        minute += 1
    return stops


def rows(traces: Mapping[str, Mapping[str, Judged]]) -> list[Row]:
    """The table: each rule over all of these traces."""
    return [_row(rule, [done[rule] for done in traces.values()]) for rule in (OURS, *PEERS)]


def _row(rule: str, done: Iterable[Judged]) -> Row:
    each = list(done)
    return Row(
        rule,
        sum(len(one.false_stops) for one in each),
        sum(one.lost for one in each),
        sum(one.found for one in each),
        sum(one.all for one in each),
        sum(one.paid for one in each),
    )


def counted(traces: Sequence[Trace], done: Mapping[str, Mapping[str, Judged]]) -> str:
    """The table over all traces, and the one over the recorded ones, as text."""
    recorded = {trace.name: done[trace.name] for trace in traces if trace.made == "recorded"}
    generated = len(traces) - len(recorded)
    parts = [f"{len(traces)} traces, {len(recorded)} recorded and {generated} generated", _in_words(rows(done))]
    parts += [f"the {len(recorded)} recorded ones alone", _in_words(rows(recorded))]
    return "\n\n".join(parts)


def _in_words(table: Sequence[Row]) -> str:
    head = ("rule", "false stops", "min of work lost", "idle found", "idle min paid after the window")
    lines = [
        (row.rule, str(row.false_stops), str(row.lost), f"{row.found} of {row.all}", str(row.paid)) for row in table
    ]
    widths = [max(len(line[column]) for line in (head, *lines)) for column in range(len(head))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
                     for line in (head, *lines))  # fmt: skip
