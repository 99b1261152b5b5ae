"""What can go wrong, and the ports: what something else than the adapter stands in for.

A use case names the other adapters by their own types, which it is given and never makes.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Protocol

from autostop.idle.measured import Sample, Traffic
from autostop.idle.reading import Reading, Unknown
from autostop.model import Instance, WorkstationId
from autostop.notice import Message
from autostop.settings import Policy
from autostop.state import Asked


class TransientError(Exception):
    """It may work later: throttling, a state that has not arrived yet, no capacity. The text is for the owner.

    refused: AWS said that it did nothing; otherwise that is not known.
    """

    def __init__(self, text: str, retry_after: timedelta = timedelta(seconds=10), *, refused: bool = False) -> None:
        super().__init__(text)
        self.retry_after, self.refused = retry_after, refused


class NoCapacityError(TransientError):
    """EC2 has no capacity for the instance's type in its zone now."""


class DeniedError(Exception):
    """It will not work until a person changes something. The text is for the owner."""


class BurnedTokenError(DeniedError):
    """What was asked for under this client token came to nothing, or is another thing: only another token helps."""


class DamagedError(DeniedError):
    """A stored state cannot be read; `autostop recover` writes it anew from the tags."""


class ConflictError(Exception):
    """The state was written by another meanwhile: read it again and decide again."""


class Metrics(Protocol):
    """CloudWatch."""

    def processor(
        self, instances: Sequence[Instance], since: Mapping[WorkstationId, datetime], period: timedelta, now: datetime
    ) -> Mapping[WorkstationId, Sequence[Sample]]:
        """Cores in use per period, oldest first; a workstation without data has no samples. Raises TransientError."""

    def network(
        self, instances: Sequence[Instance], since: Mapping[WorkstationId, datetime], period: timedelta, now: datetime
    ) -> Mapping[WorkstationId, Sequence[Traffic]]:
        """Bytes a second in and out per period, likewise."""


class Asker(Protocol):
    """The ways to ask workstations whether they are at work. An answer that fails is Unknown, never an exception."""

    def ask(
        self, asked: Sequence[tuple[Instance, Policy]], now: datetime
    ) -> Mapping[WorkstationId, Asked | Reading | Unknown]:
        """Ask many at once; what cannot answer at once is `Asked`."""

    def collect(self, asked: Mapping[WorkstationId, Asked], now: datetime) -> Mapping[WorkstationId, Reading | Unknown]:
        """The answers that have come by now; those that have not are left out."""


class Channel(Protocol):
    """One way by which a message reaches people."""

    @property
    def name(self) -> str:
        """What the log calls it."""

    def send(self, message: Message) -> None:
        """Send it. Raises TransientError or DeniedError; their text repeats no secret."""
