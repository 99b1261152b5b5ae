"""How long things take in the world."""

from dataclasses import dataclass, fields
from datetime import timedelta
from typing import Self


@dataclass(slots=True)
class Timings:
    """Durations of AWS's states; may be changed while the world runs, and then hold for what begins afterwards.

    The defaults are the order of AWS's own, shortened so that a person who watches does not fall asleep.
    """

    pending: timedelta = timedelta(seconds=2)  # StartInstances and RunInstances until running
    stopping: timedelta = timedelta(seconds=2)  # at least; a real machine that takes longer to shut down is waited for
    shutting_down: timedelta = timedelta(seconds=1)
    checks: timedelta = timedelta(seconds=4)  # running until both status checks are ok
    agent: timedelta = timedelta(seconds=3)  # running until the SSM agent has registered
    creating: timedelta = timedelta(seconds=1)
    attaching: timedelta = timedelta(seconds=1)
    mapping: timedelta = timedelta(seconds=0)  # attached until ModifyInstanceAttribute knows of it
    detaching: timedelta = timedelta(seconds=1)
    device_freed: timedelta = timedelta(seconds=0)  # detached until another volume can be attached at the device
    deleting: timedelta = timedelta(seconds=1)
    snapshot: timedelta = timedelta(seconds=6)
    snapshot_spacing: timedelta = timedelta(seconds=15)  # AWS refuses another snapshot of one volume before
    command: timedelta = timedelta(seconds=1)  # a Run Command, at least
    metric_period: timedelta = timedelta(seconds=300)  # basic monitoring
    metric_sample: timedelta = timedelta(seconds=60)  # a point is of so many samples, and on Nitro grows with each
    metric_delay: timedelta = timedelta(seconds=60)  # end of a sample until it can be read
    terminated: timedelta = timedelta(hours=1)  # how long a terminated instance is still described

    @classmethod
    def none(cls) -> Self:
        """Everything at once, but for what is measured and how long a terminated instance is described."""
        kept = ("metric_period", "metric_sample", "terminated")
        return cls(**{field.name: timedelta(0) for field in fields(cls) if field.name not in kept})
