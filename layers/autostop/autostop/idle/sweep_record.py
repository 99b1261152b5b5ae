"""What one sweep saw of one running workstation: enough to explain the verdict later, and to judge anew otherwise."""

from dataclasses import dataclass, field
from datetime import datetime

from autostop.idle.history import History
from autostop.idle.measured import Sample, Traffic
from autostop.idle.reading import Reading, Unknown
from autostop.idle.stop_plan import Warned
from autostop.idle.verdict import Verdict
from autostop.model import WorkstationId
from autostop.sleep.intent import By


@dataclass(frozen=True, slots=True)
class SweepRecord:
    """One record of the journal; the newest one is also the sweep's memory.

    processor, network: only the samples that the record before did not have yet. network: None when not measured.
    answer: the newest then. asked_command, asked_at: the question that was under way when the sweep ended.
    history: of the answers up to then. worked_at: the last moment of work seen since the launch.
    warned: the warning that held. stop_at, stop_cause: the earliest stop in sight, and what for.
    unknown_since: since when every verdict was unknown.
    """

    workstation: WorkstationId
    at: datetime
    launched_at: datetime
    verdict: Verdict
    processor: tuple[Sample, ...] = ()
    network: tuple[Traffic, ...] | None = None
    answer: Reading | Unknown | None = None
    asked_command: str = ""
    asked_at: datetime | None = None
    history: History | None = field(default=None, metadata={"stored": "trail"})
    kept_awake_until: datetime | None = None
    started_at: datetime | None = None
    warned: Warned | None = None
    stop_at: datetime | None = None
    unknown_since: datetime | None = None
    worked_at: datetime | None = None
    kept_awake_from: datetime | None = None
    stop_cause: By | None = None
