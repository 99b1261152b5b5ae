"""What goes wrong with single calls, by chance and by seed; and what exactly one test wants to go wrong."""

import random
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from autostop_local.world.errors import AwsError
from tests.simulation.account import Call
from tests.simulation.table import CancelledError

_ANY_TIME = {
    "ec2": ("RequestLimitExceeded", "InternalError", "Unavailable", "ServiceUnavailable"),
    "dynamodb": ("ProvisionedThroughputExceededException", "ThrottlingException", "InternalServerError"),
    "sqs": ("ThrottlingException", "ServiceUnavailable"),
    "events": ("ThrottlingException", "InternalException"),
    "cloudwatch": ("Throttling", "InternalServiceFault"),
    "ssm": ("ThrottlingException", "InternalServerError"),
}
# What EC2 and EBS say when a quota is used up or a thing is not ready (EC2 API Reference, errors-overview).
_SOME_CALLS = {
    "StartInstances": ("InstanceLimitExceeded", "VcpuLimitExceeded", "InsufficientInstanceCapacity"),
    "CreateSnapshots": (
        "ConcurrentSnapshotLimitExceeded",
        "PendingSnapshotLimitExceeded",
        "SnapshotCreationPerVolumeRateExceeded",
        "SnapshotLimitExceeded",
    ),
    "CreateVolume": (
        "CustomerKeyHasBeenRevoked",
        "InsufficientVolumeCapacity",
        "MaxIOPSLimitExceeded",
        "VolumeIOPSLimit",
        "VolumeLimitExceeded",
        "VolumeTypeNotAvailableInZone",
    ),
    "AttachVolume": ("AttachmentLimitExceeded", "IncorrectState"),
    "DetachVolume": ("IncorrectState",),
    "DeleteSnapshot": ("InvalidSnapshot.InUse",),
    # Another's call on the same item is under way (DynamoDB, "Transaction conflict handling").
    "TransactGetItems": ("TransactionConflict",),
    "TransactWriteItems": ("TransactionConflict",),
}


@dataclass
class Weather:
    """Probabilities for each call; storms are times in which most calls are throttled."""

    chance: random.Random
    clock: Callable[[], datetime]
    refused: float = 0.0
    lost: float = 0.0
    slow: float = 0.0
    crash: float = 0.0
    storms: list[tuple[datetime, datetime]] = field(default_factory=list)

    def clear_up(self) -> None:
        """From now on nothing goes wrong any more."""
        self.refused = self.lost = self.slow = self.crash = 0.0
        self.storms.clear()

    def latency(self) -> timedelta:
        if self.chance.random() < self.slow:
            return timedelta(seconds=self.chance.uniform(0.5, 12))
        return timedelta(milliseconds=self.chance.uniform(10, 90))

    def refusal(self, call: Call) -> AwsError | None:
        now = self.clock()
        if self.storms and any(begin <= now < end for begin, end in self.storms) and self.chance.random() < 0.6:
            return _error(_ANY_TIME[call.service][0])
        if self.chance.random() >= self.refused:
            return None
        codes = _ANY_TIME[call.service] + _SOME_CALLS.get(call.operation, ())
        return _error(self.chance.choice(codes))

    def loses_the_answer(self, call: Call) -> bool:
        return self.chance.random() < self.lost

    def kills(self, call: Call, when: str) -> bool:
        return self.crash > 0 and self.chance.random() < self.crash / 2


@dataclass
class Planned:
    """Nothing goes wrong but this: the function dies at these moments, each a call's number and `before` or `after`.

    again_after: it dies once more, after so many further calls that change EC2.
    """

    deaths: Collection[tuple[int, str]] = ()
    again_after: int | None = None
    _died: bool = False

    def clear_up(self) -> None:
        self.deaths = ()

    def latency(self) -> timedelta:
        return timedelta(milliseconds=40)

    def refusal(self, call: Call) -> AwsError | None:
        return None

    def loses_the_answer(self, call: Call) -> bool:
        return False

    def kills(self, call: Call, when: str) -> bool:
        if self._died and self.again_after is not None and when == "after" and call.changes and call.service == "ec2":
            self.again_after -= 1
            if self.again_after == 0:
                self.again_after = None
                return True
        if (call.number, when) in self.deaths:
            self._died = True
            return True
        return False


def _error(code: str) -> AwsError:
    if code == "TransactionConflict":
        return CancelledError([code])
    server = code in {
        "InternalError",
        "InternalServerError",
        "InternalServiceFault",
        "ServiceUnavailable",
        "Unavailable",
    }
    return AwsError(code, "the weather is bad", 500 if server else 400)
