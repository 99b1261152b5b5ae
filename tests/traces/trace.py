"""One trace: a workstation's hours, minute by minute, with what AWS and the probe would have told of them.

A trace says two things apart. What was true: whether anybody worked (`working`), when the machine ran, and what its
Jupyter and its processes would have answered at any minute. And what could be seen of it from outside: CloudWatch's
points with the moment each became visible, and the minutes at which no answer, or a broken one, came.
"""

import json
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any, Final, TypeAlias

from autostop.settings import Policy, policy_for

MINUTE: Final = timedelta(minutes=1)
# What happens "now" was a few seconds ago when the probe tells of it.
_JUST_NOW: Final = 5.0
_MOMENTS: Final = ("kernel_at", "busy_at", "terminal_at", "server_at", "saved_at", "typed_at", "edited_at")

Document: TypeAlias = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Span:
    """From one minute up to another, and what is said of it."""

    first: int
    end: int
    what: str

    def __contains__(self, minute: int) -> bool:
        return self.first <= minute < self.end


@dataclass(frozen=True, slots=True)
class Point:
    """One CloudWatch period that began at `minute`: cores and bytes a second on average, visible from `visible` on."""

    minute: int
    cores: float
    network: float
    visible: float


@dataclass(frozen=True, slots=True)
class Told:
    """What the workstation would say from `minute` on: a document, or a line word for word as it was recorded.

    In a document moments are minutes of the trace, or "now"; `cpu` is [seconds, seconds a minute since, the minute].
    """

    minute: int
    document: Document | None = None
    line: str = ""


@dataclass(frozen=True)
class Trace:
    """A day, or some hours, in the life of a workstation. Minutes count from `begins`.

    made: "generated" or "recorded"; how: by what, from what. settings: the tags of its policy. runs: when it was on;
    each began with a launch. period, sweep_every, sweep_first, clock_off: seconds; the last by how much the machine's
    own clock is ahead. excused: minutes that no rule can be blamed for, because nothing could be known or the
    owner's settings say so. kept_awake: taps, at and until. run_taps: when the owner asked for it to run.
    """

    name: str
    tells: str
    made: str
    how: str
    begins: datetime
    minutes: int
    vcpus: int
    runs: tuple[Span, ...]
    working: tuple[Span, ...]
    points: tuple[Point, ...]
    told: tuple[Told, ...]
    settings: Mapping[str, str] = field(default_factory=dict)
    period: int = 300
    sweep_every: int = 300
    sweep_first: int = 0
    clock_off: float = 0.0
    excused: tuple[Span, ...] = ()
    failures: tuple[Span, ...] = ()
    kept_awake: tuple[tuple[float, float], ...] = ()
    run_taps: tuple[float, ...] = ()

    def moment(self, minute: float) -> datetime:
        return self.begins + minute * MINUTE

    def minute_of(self, moment: datetime) -> float:
        return (moment - self.begins) / MINUTE

    def run_at(self, minute: float) -> Span | None:
        """The run that goes on at this minute; None while the machine is off."""
        return next((run for run in self.runs if int(minute) in run), None)

    @cached_property
    def policy(self) -> Policy:
        policy, problems = policy_for(Policy(), {f"autostop:{name}": text for name, text in self.settings.items()})
        assert not problems, problems
        return policy

    @cached_property
    def works(self) -> tuple[bool, ...]:
        """By minute: whether somebody, or something for somebody, works."""
        labels = [False] * self.minutes
        for span in self.working:
            labels[span.first : span.end] = [True] * (span.end - span.first)
        return tuple(labels)

    @cached_property
    def _told_from(self) -> list[int]:
        return [told.minute for told in self.told]

    def document(self, minute: float) -> Document:
        """What the probe would print at this minute, decoded, by the machine's own clock."""
        told = self.told[max(0, bisect_right(self._told_from, minute) - 1)]
        if told.document is None:
            document: Document = json.loads(told.line)
            return document
        now = self.moment(minute).timestamp() + self.clock_off
        began = self.begins.timestamp() + self.clock_off

        def at(value: float | str | None) -> float | None:
            if value is None:
                return None
            return round(now - _JUST_NOW if isinstance(value, str) else began + value * 60, 1)

        servers = [
            {key: at(value) if key in _MOMENTS else value for key, value in server.items()}
            for server in told.document["servers"]
        ]
        machine, version = told.document["machine"], 2
        if machine is not None:
            seconds, rate, since = machine["cpu"]
            moved = {"cpu": round(seconds + rate * (minute - since), 2)}
            machine = {key: at(value) if key in _MOMENTS else value for key, value in machine.items()} | moved
            if "doubts" in machine:
                version, machine = 3, machine | {"cpu": {"1": machine["cpu"]}, "wrote_at": None}
                del machine["kernels"]
        return {
            "v": version, "at": round(now, 1), "servers": servers, "machine": machine, "errors": told.document["errors"]
        }  # fmt: skip

    def failure_at(self, minute: float) -> str | None:
        """Why no whole answer comes at this minute; None when one comes."""
        return next((span.what for span in self.failures if int(minute) in span), None)


def utc(text: str) -> datetime:
    """The moment in an ISO text."""
    return datetime.fromisoformat(text).astimezone(UTC)
