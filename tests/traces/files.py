"""Traces as files: JSON Lines, one line per fact that changes, short enough to be read.

The first line says what the trace is; each further line is told by its first key:
    working     [[first, end, what]]: the minutes at which somebody, or something for somebody, works
    excused     [[first, end, why]]: minutes that no rule can be blamed for
    kept_awake  [[at, until]]: taps on "keep awake";  run_taps  [at]: taps on "start"
    fails       [[first, end, how]]: minutes at which no whole answer comes
    points_from CloudWatch's periods from that minute on: cores and bytes a second (null: never published), and how many
                minutes after its end each period became visible (one number for all, or a list)
    told_at     what the probe would print from that minute on, whole; or, with `change`, what differs from before;
                or, with `line`, word for word as it was recorded
"""

import copy
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from tests.traces.trace import Document, Point, Span, Told, Trace, utc

DATA: Final = Path(__file__).parent / "data"
_POINTS_A_LINE: Final = 12


def text_of(trace: Trace) -> str:
    """The trace as a file holds it."""
    return "".join(json.dumps(line, separators=(", ", ": ")) + "\n" for line in _lines(trace))


def read(path: Path) -> Trace:
    """The trace of a file. Raises KeyError or ValueError when it is none."""
    return trace_of(path.read_text())


def all_traces() -> list[Trace]:
    """Every trace of the corpus, by name."""
    return [read(path) for path in sorted(DATA.glob("*.jsonl"))]


def trace_of(text: str) -> Trace:
    """The trace that a text tells."""
    head, *lines = [json.loads(line) for line in text.splitlines()]
    parts: dict[str, Any] = {"working": (), "excused": (), "failures": (), "kept_awake": (), "run_taps": ()}
    points: list[Point] = []
    told: list[Told] = []
    for line in lines:
        match next(iter(line)):
            case "working" | "excused" as key:
                parts[key] = _spans(line[key])
            case "fails":
                parts["failures"] = _spans(line["fails"])
            case "kept_awake":
                parts["kept_awake"] = tuple((at, until) for at, until in line["kept_awake"])
            case "run_taps":
                parts["run_taps"] = tuple(line["run_taps"])
            case "points_from":
                points += _points(line, head["period"])
            case "told_at":
                told.append(_told(line, told))
            case unknown:
                raise ValueError(f"a trace has no lines of {unknown!r}")
    return Trace(
        name=head["trace"],
        tells=head["tells"],
        made=head["made"],
        how=head["how"],
        begins=utc(head["begins"]),
        minutes=head["minutes"],
        vcpus=head["vcpus"],
        runs=tuple(Span(first, end, "") for first, end in head["runs"]),
        settings=head["settings"],
        period=head["period"],
        sweep_every=head["sweep"][0],
        sweep_first=head["sweep"][1],
        clock_off=head["clock_off"],
        points=tuple(points),
        told=tuple(told),
        **parts,
    )


def _spans(rows: Sequence[Sequence[Any]]) -> tuple[Span, ...]:
    return tuple(Span(first, end, what) for first, end, what in rows)


def _points(line: dict[str, Any], period: int) -> Iterator[Point]:
    step = period // 60
    late = line["visible_after"]
    for index, (cores, network) in enumerate(zip(line["cores"], line["network"], strict=True)):
        if cores is not None:
            begun = line["points_from"] + index * step
            yield Point(begun, cores, network, begun + step + (late[index] if isinstance(late, list) else late))


def _told(line: dict[str, Any], before: Sequence[Told]) -> Told:
    if "line" in line:
        return Told(line["told_at"], line=line["line"])
    if "change" not in line:
        return Told(line["told_at"], {key: line[key] for key in ("servers", "machine", "errors")})
    document: Document = copy.deepcopy(before[-1].document or {})
    for path, value in line["change"].items():
        place: Any = document
        *parents, last = path.split(".")
        for name in parents:
            place = place[int(name)] if isinstance(place, list) else place[name]
        place[last] = value
    return Told(line["told_at"], document)


def _lines(trace: Trace) -> Iterator[dict[str, Any]]:
    yield {
        "trace": trace.name,
        "tells": trace.tells,
        "made": trace.made,
        "how": trace.how,
        "begins": trace.begins.isoformat(),
        "minutes": trace.minutes,
        "vcpus": trace.vcpus,
        "settings": dict(trace.settings),
        "runs": [[run.first, run.end] for run in trace.runs],
        "period": trace.period,
        "sweep": [trace.sweep_every, trace.sweep_first],
        "clock_off": trace.clock_off,
    }
    yield {"working": [[span.first, span.end, span.what] for span in trace.working]}
    for key, spans in (("excused", trace.excused), ("fails", trace.failures)):
        if spans:
            yield {key: [[span.first, span.end, span.what] for span in spans]}
    if trace.kept_awake:
        yield {"kept_awake": [list(tap) for tap in trace.kept_awake]}
    if trace.run_taps:
        yield {"run_taps": list(trace.run_taps)}
    yield from _point_lines(trace)
    yield from _told_lines(trace)


def _point_lines(trace: Trace) -> Iterator[dict[str, Any]]:
    step = trace.period // 60
    by_minute = {point.minute: point for point in trace.points}
    if not by_minute:
        return
    minutes = range(min(by_minute), max(by_minute) + 1, step)
    for first in range(0, len(minutes), _POINTS_A_LINE):
        row = [by_minute.get(minute) for minute in minutes[first : first + _POINTS_A_LINE]]
        if not any(row):
            continue
        late = [round(point.visible - point.minute - step, 2) if point else 0 for point in row]
        alike = {each for each, point in zip(late, row, strict=True) if point}
        yield {
            "points_from": minutes[first],
            "visible_after": late if len(alike) > 1 else alike.pop(),
            "cores": [point.cores if point else None for point in row],
            "network": [point.network if point else None for point in row],
        }


def _told_lines(trace: Trace) -> Iterator[dict[str, Any]]:
    before: Document | None = None
    for told in trace.told:
        if told.document is None:
            yield {"told_at": told.minute, "line": told.line}
        elif before is None or _shape(before) != _shape(told.document):
            yield {"told_at": told.minute} | told.document
        else:
            yield {"told_at": told.minute, "change": dict(_changes("", before, told.document))}
        before = told.document


def _shape(document: Document) -> tuple[int, bool, tuple[tuple[str, ...], ...]]:
    """Documents of one shape can be told as a change."""
    servers = document["servers"]
    return len(servers), document["machine"] is None, tuple(tuple(server) for server in servers)


def _changes(path: str, before: Any, after: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(after, dict) and isinstance(before, dict):
        for key, value in after.items():
            yield from _changes(f"{path}{key}.", before.get(key), value)
    elif isinstance(after, list) and isinstance(before, list) and after and isinstance(after[0], dict):
        for index, value in enumerate(after):
            yield from _changes(f"{path}{index}.", before[index], value)
    elif before != after:
        yield path[:-1], after
