"""What a rule's stops did to the people of a trace: false stops, work lost, idleness found, idleness paid.

After a stop the machine is off until the work goes on: then its owner starts it again, and the rule begins anew.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from autostop.idle.cloudwatch_metrics import METRIC_DELAY
from tests.traces.trace import MINUTE, Document, Span, Trace

# An open page asks its server every ten seconds, and a reading may be a minute old.
_TAB_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class Judged:
    """One rule on one trace. false_stops, late: in words. lost, paid: minutes. found, all: idle stretches."""

    stops: tuple[float, ...]
    false_stops: tuple[str, ...]
    lost: int
    found: int
    all: int
    late: tuple[str, ...]
    paid: int

    @property
    def faults(self) -> tuple[str, ...]:
        """Everything that must not be, in words."""
        return (*self.false_stops, *self.late)


def judged(trace: Trace, stops: Sequence[float]) -> Judged:
    """What these stops (minutes of the trace) did."""
    false, lost = [], 0
    for stop in stops:
        stretch = stretch_around(trace, int(stop))
        if trace.works[int(stop)]:
            left = stretch.end - int(stop)
            false.append(f"stopped at {_clock(trace, stop)} while {_label(trace, int(stop))}: {left} min lost")
            lost += left
        elif stretch.end - stretch.first < window(trace) and not _ends_with_its_run(trace, stretch):
            false.append(f"stopped at {_clock(trace, stop)} in a break of {stretch.end - stretch.first} min")
    due = [(stretch, due_by(trace, stretch)) for stretch in idle_stretches(trace)]
    to_find = [(stretch, by) for stretch, by in due if by is not None and by < stretch.end]
    offs = off_spans(trace, stops)
    late = []
    found = 0
    for stretch, by in to_find:
        off_at = min((off.first for off in offs if off.first < stretch.end and off.end > stretch.first), default=None)
        found += off_at is not None
        if off_at is None or off_at > by:
            said = "never found" if off_at is None else f"found at {_clock(trace, off_at)}"
            late.append(f"idle from {_clock(trace, stretch.first)}, due by {_clock(trace, by)}, {said}")
    paid = sum(_paid(trace, stretch, offs) for stretch in idle_stretches(trace))
    return Judged(tuple(stops), tuple(false), lost, found, len(to_find), tuple(late), paid)


def window(trace: Trace) -> int:
    """The window of idleness in minutes."""
    assert trace.policy.idle_after is not None
    return round(trace.policy.idle_after.total_seconds() / 60)


def metric_delay(trace: Trace) -> float:
    """How many minutes after something happened the point that tells of it is visible: its period and its delay.

    No less than the delay that the product plans for, in proportion to the period.
    """
    step = trace.period / 60
    planned = METRIC_DELAY / MINUTE * min(1.0, step / 5)
    return max(planned, max((point.visible - point.minute for point in trace.points), default=0.0))


def idle_stretches(trace: Trace) -> Iterator[Span]:
    """Stretches without work, each within one run of the machine."""
    for run in trace.runs:
        first = None
        for minute in range(run.first, run.end + 1):
            idle = minute < run.end and not trace.works[minute]
            if idle and first is None:
                first = minute
            elif not idle and first is not None:
                yield Span(first, minute, "")
                first = None


def stretch_around(trace: Trace, minute: int) -> Span:
    """The minutes around one that are labelled alike, within its run."""
    run = trace.run_at(minute) or Span(0, trace.minutes, "")
    first = end = minute
    while first > run.first and trace.works[first - 1] == trace.works[minute]:
        first -= 1
    while end < run.end and trace.works[end] == trace.works[minute]:
        end += 1
    return Span(first, end, "")


def due_by(trace: Trace, stretch: Span) -> float | None:
    """By which minute a stretch must be found: window, weak signals or doubts if any, one sweep, one metric delay.

    Nothing is due before the grace after a launch, nor while nobody could know. None when it is not due in its run.
    """
    grace = trace.policy.grace.total_seconds() / 60
    starts = [run.first for run in trace.runs] + [round(tap) for tap in trace.run_taps]
    begin = max([stretch.first, *(start + grace for start in starts if start <= stretch.first + window(trace))])
    slack = trace.sweep_every / 60 + metric_delay(trace)
    by = _with_weak(trace, begin) + slack
    for span in trace.excused:
        if span.first < by and span.end > begin:
            begin = max(begin, span.end)
            by = _with_weak(trace, begin) + slack
    return by if by < stretch.end else None


def _with_weak(trace: Trace, begin: float) -> float:
    end = begin + window(trace)
    minute = int(end)
    if minute < trace.minutes and trace.run_at(minute):
        document = trace.document(minute)
        end += trace.policy.weak_signals / MINUTE if is_weak(document) else 0
        return max(end, begin + trace.policy.doubt_for / MINUTE) if is_doubted(document) else end
    return end


def is_doubted(document: Document) -> bool:
    """True when something of a person's is alive there that may be waiting; a kernel is told by the version before."""
    machine = document["machine"]
    return machine is not None and bool(machine.get("doubts") or machine.get("kernels"))


def is_weak(document: Document) -> bool:
    """True when something is open there that may mean a person: a tab, a connection, an editor, a multiplexer."""
    machine = document["machine"]
    if machine is not None and (machine["logins"] or machine["editors"] or machine["muxes"]):
        return True
    return any(
        server["connections"]
        or _lately(document, server["server_at"])
        or _lately(document, server["terminal_at"])
        for server in document["servers"]
        if server["status"] == "ok"
    )  # fmt: skip


def _lately(document: Document, stamp: float | None) -> bool:
    return stamp is not None and document["at"] - stamp < _TAB_SECONDS


def resumes_at(trace: Trace, stop: float) -> int | None:
    """When it is started again after a stop: when the work goes on, or with the next launch; None if never."""
    run = trace.run_at(stop)
    assert run is not None
    after = stretch_around(trace, int(stop)).end if trace.works[int(stop)] else int(stop)
    at_work = next((minute for minute in range(after, run.end) if trace.works[minute]), None)
    if at_work is not None:
        return at_work
    return min((other.first for other in trace.runs if other.first >= run.end), default=None)


def off_spans(trace: Trace, stops: Sequence[float]) -> list[Span]:
    """When the machine was off by these stops."""
    return [Span(int(stop), resumes_at(trace, stop) or trace.minutes, "") for stop in stops]


def _paid(trace: Trace, stretch: Span, offs: Sequence[Span]) -> int:
    from_then = stretch.first + window(trace)
    return sum(1 for minute in range(from_then, stretch.end) if not any(minute in off for off in offs))


def _ends_with_its_run(trace: Trace, stretch: Span) -> bool:
    """Nobody came back to it: what came after was a shutdown, or the trace's end."""
    run = trace.run_at(stretch.first)
    return run is not None and stretch.end == run.end


def _label(trace: Trace, minute: int) -> str:
    return next((span.what for span in trace.working if minute in span), "idle")


def _clock(trace: Trace, minute: float) -> str:
    return f"{trace.moment(minute):%d %H:%M}"
