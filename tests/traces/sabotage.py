"""Each signal and each rule of idleness taken out in turn, and the trace by which it is noticed.

A signal is taken out of what the product is handed, as if nothing had told of it; a rule, by replacing the one thing
that it rests on. The trace is judged by its own labels and settings all the same.
"""

import copy
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final, TypeAlias
from unittest.mock import patch

from autostop.app import measure
from autostop.idle import reconnects, verdict
from autostop.idle.last_look import LastLook
from autostop.idle.measured import Effect, Sign
from autostop.idle.reading import Reading, Unknown, Waits, parse_reading
from autostop.model import Instance
from autostop.settings import Policy
from tests.traces import play as playing
from tests.traces.judged import Judged, judged
from tests.traces.play import play
from tests.traces.trace import Document, Point, Told, Trace

Alter: TypeAlias = Callable[[Trace], Trace]


@dataclass(frozen=True, slots=True)
class Sabotage:
    """What is taken out, by which trace it is noticed, and how: of the trace, or in the product while it plays."""

    signal: str
    trace: str
    alter: Alter = replace
    patched: tuple[Any, str, Any] | None = None

    def judged(self, trace: Trace) -> Judged:
        """What the product does to the trace without it."""
        altered = self.alter(trace)
        if self.patched is None:
            return judged(trace, play(altered).stops)
        target, name, instead = self.patched
        with patch.object(target, name, instead):
            return judged(trace, play(altered).stops)


def _without(*, of_server: Mapping[str, Any] | None = None, of_machine: Mapping[str, Any] | None = None) -> Alter:
    """Everywhere in the answers these values in place of what was told."""

    def altered(document: Document) -> Document:
        for server in document["servers"]:
            if server["status"] == "ok":
                server.update(of_server or {})
        if document["machine"] is not None:
            document["machine"] |= of_machine or {}
        return document

    return _documents(altered)


def _documents(change: Callable[[Document], Document]) -> Alter:
    def altered(trace: Trace) -> Trace:
        return replace(trace, told=tuple(map(told, trace.told)))

    def told(each: Told) -> Told:
        if each.document is None:
            return Told(each.minute, line=json.dumps(change(json.loads(each.line))))
        return Told(each.minute, change(copy.deepcopy(each.document)))

    return altered


def _points(**instead: Any) -> Alter:
    return lambda trace: replace(trace, points=tuple(replace(point, **instead) for point in trace.points))


def _settings(**instead: str | None) -> Alter:
    """Other settings; None takes one out."""

    def altered(trace: Trace) -> Trace:
        named = {name.replace("_", "-"): text for name, text in instead.items()}
        settings = {name: text for name, text in (dict(trace.settings) | named).items() if text is not None}
        return replace(trace, settings=settings)

    return altered


def _nobody_is_busy(document: Document) -> Document:
    for server in document["servers"]:
        server |= {"idle": server["idle"] + server["busy"], "busy": 0, "busy_at": None}
    return document


def _without_doubt(word: str) -> Alter:
    def altered(document: Document) -> Document:
        document["machine"]["doubts"] = [doubt for doubt in document["machine"]["doubts"] if doubt[0] != word]
        return document

    return _documents(altered)


def _without_seconds(of: Callable[[str], bool]) -> Alter:
    def altered(document: Document) -> Document:
        cpu = document["machine"]["cpu"]
        document["machine"]["cpu"] = {name: seconds for name, seconds in cpu.items() if not of(name)}
        return document

    return _documents(altered)


def _without_class(*effects: Effect) -> tuple[Any, str, Any]:
    in_window = verdict._in_window

    def left(read: Sequence[Sign], policy: Policy, now: datetime) -> tuple[Sign, ...]:
        told = in_window(read, policy, now)
        return tuple(replace(sign, effect=Effect.QUIET, at=None) if sign.effect in effects else sign for sign in told)

    return verdict, "_in_window", left


def _only_who_answers(document: Document) -> Document:
    return document | {"servers": [server for server in document["servers"] if server["status"] == "ok"], "errors": []}


def _gaps_are_quiet(trace: Trace) -> Trace:
    step = trace.period // 60
    known = {point.minute: point for point in trace.points}
    every = range(min(known), max(known) + step, step)
    quiet = [known.get(minute, Point(minute, 0.01, 500.0, minute + step + 2)) for minute in every]
    return replace(trace, points=tuple(quiet))


def _broken_is_quiet(text: str, received_at: datetime) -> Reading | Unknown:
    answer = parse_reading(text, received_at)
    return Reading(received_at, ()) if isinstance(answer, Unknown) else answer


_tagged = playing._Night.tagged


def _launched_yesterday(night: Any) -> list[Instance]:
    return [replace(each, launched_at=each.launched_at - timedelta(hours=14)) for each in _tagged(night)]


_NOBODY_PRESENT = {"connections": 0, "together": 0, "server_at": None}
_NOTHING_OPEN = {"logins": 0, "editors": 0, "muxes": 0, "kernels": 0}

_BY_UTC = "* 9-17 * * * UTC"

# By which day each kind of doubt is missed.
_DOUBTED: Final = {
    Waits.JOB: "recorded-left-behind-with-nohup",
    Waits.PROMPT: "thinks-at-a-prompt",
    Waits.SERVER: "shows-a-dashboard",
    Waits.KERNEL: "waits-in-an-editor",
    Waits.EDITOR: "waits-in-an-editor",
    Waits.DESKTOP: "recorded-desktop-with-a-session",
}

SABOTAGES: Final = (
    *(Sabotage(f"doubt: {waits}", _DOUBTED[waits], _without_doubt(waits)) for waits in Waits),
    Sabotage("doubts' limit", "recorded-left-python-prompt", _settings(doubt_for="30d")),
    Sabotage("all work", "recorded-copies-slowly", patched=_without_class(Effect.WORK, Effect.RECENT)),
    Sabotage("all doubts", "recorded-left-behind-with-nohup", patched=_without_class(Effect.DOUBT)),
    Sabotage("all weak signs", "reads-with-open-tab", patched=_without_class(Effect.WEAK)),
    Sabotage("output of an agent", "recorded-agent-works", _without(of_machine={"wrote_at": None})),
    Sabotage("clicks", "recorded-clicks-through-a-dashboard", _without(of_machine={"visits": 0})),
    Sabotage("who holds a GPU", "recorded-feeds-a-gpu-in-bursts", _without_seconds("g".__eq__)),
    Sabotage("who holds one and listens", "recorded-trains-in-bursts-with-a-port", _without_seconds("pg".__eq__)),
    Sabotage("who listens and computes", "recorded-trains-with-a-port", _without_seconds(lambda name: name[0] == "p")),
    Sabotage("saved texts", "recorded-edits-text-in-jupyterlab", _without(of_server={"saved_at": None})),
    Sabotage("processor", "two-cores-of-ninety-six", _points(cores=0.01)),
    Sabotage("processor of one core", "one-core-of-sixteen", _points(cores=0.01)),
    Sabotage("network", "download", _points(network=900.0)),
    Sabotage("kernels that are busy", "silent-cell-of-three-hours", _documents(_nobody_is_busy)),
    Sabotage("kernel activity", "short-cells-not-saved", _without(of_server={"kernel_at": 0})),
    Sabotage("processor seconds", "light-cell-shown-as-idle", _without(of_machine={"cpu": [4.0, 0.0, 0]})),
    Sabotage("keystrokes", "edits-in-terminal", _without(of_machine={"typed_at": None})),
    Sabotage("saved notebooks", "types-without-running", _without(of_server={"saved_at": None})),
    Sabotage("files saved in an editor", "vscode-in-use", _without(of_machine={"edited_at": None})),
    Sabotage("jobs on terminals", "tmux-job-after-logout", _without(of_machine={"jobs": 0, "job": ""})),
    Sabotage("GPU", "gpu-job-of-nobody", _without(of_machine={"gpu": None})),
    Sabotage("keep-awake promise", "kept-awake-by-tap", lambda trace: replace(trace, kept_awake=())),
    Sabotage("keep-awake lock", "kept-awake-from-inside", _without(of_machine={"held": 0})),
    Sabotage("protected hours", "protected-hours-in-spring", _settings(protected_hours=None)),
    Sabotage("protected hours by local time", "protected-hours-in-autumn", _settings(protected_hours=_BY_UTC)),
    Sabotage("stop-at", "stop-at-in-spring", _settings(stop_at=None)),
    Sabotage("stop-at by local time", "stop-at-in-autumn", _settings(stop_at="30 17 * * * UTC")),
    Sabotage("max-run", "runs-longer-than-allowed", _settings(max_run=None)),
    Sabotage("weak signals", "reads-with-open-tab", _without(of_server=_NOBODY_PRESENT, of_machine=_NOTHING_OPEN)),
    Sabotage("weak signals' limit", "tab-left-open", _settings(weak_signals="30d")),
    Sabotage("ignored old kernels", "input-left-waiting", _settings(ignore_kernels_older_than=None)),
    Sabotage("grace", "started-long-before-its-owner-comes", _settings(grace="0")),
    Sabotage(
        "a launch begins a new history",
        "started-long-before-its-owner-comes",
        _settings(grace="0"),
        (playing._Night, "tagged", _launched_yesterday),
    ),
    Sabotage("the owner's wish to run", "asked-to-run-while-running", lambda trace: replace(trace, run_taps=())),
    Sabotage("missing points are unknown", "metrics-come-and-go", _gaps_are_quiet),
    Sabotage("broken answers are unknown", "broken-answers", replace, (playing, "parse_reading", _broken_is_quiet)),
    Sabotage("a server that does not answer is unknown", "jupyter-hangs", _documents(_only_who_answers)),
    Sabotage("a GPU that cannot be read is unknown", "gpu-cannot-be-read", _documents(_only_who_answers)),
    Sabotage("reconnects", "laptop-asleep-wakes-and-reconnects", replace, (reconnects, "RECONNECTS_BELIEVED", 10**6)),
    Sabotage(
        "the last look before a stop",
        "back-a-minute-before-the-stop",
        replace,
        (measure, "last_look", lambda *_, **__: LastLook.STOP),
    ),
)
