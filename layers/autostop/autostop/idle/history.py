"""What the answers of a workstation since its boot told, as far as the next one is compared with it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, slots=True)
class History:
    """A row of answers since one boot without a long gap.

    since: the first of the row; readings: how many. at, cpu, kernel_active_at: of the newest. connected_since: since
    when each found somebody connected to a kernel. quietest: of each that serves others the lowest rate so far.
    cpu_rate: processor seconds a minute between the newest two, as `ProcessorUse.rate`; None for the first.
    The others: when such work was last seen; None if never in this row. job_since: since when every answer had a job.
    moved, polled: whether the newest answer found the kernels used since the one before, and a visible tab open.
    interrupted: nobody asked for a while, because the processor was seen at work.
    reconnects: how often only a browser's reconnect moved the kernels since a person was last seen.
    steady_since: since when every answer found kernels in use at that very moment, likewise with no other sign: a page
    that asks its kernel all the time, or a program that goes on writing.
    """

    boot: str
    since: datetime
    readings: int
    at: datetime
    cpu: Mapping[str, float] = field(default_factory=dict)
    kernel_active_at: datetime | None = None
    cpu_rate: float | None = None
    cpu_at: datetime | None = None
    gpu_at: datetime | None = None
    busy_at: datetime | None = None
    job_at: datetime | None = None
    job_since: datetime | None = None
    held_at: datetime | None = None
    interrupted: bool = False
    moved: bool = False
    polled: bool = False
    reconnects: int = 0
    steady_since: datetime | None = None
    connected_since: datetime | None = None
    quietest: Mapping[str, float] = field(default_factory=dict)
