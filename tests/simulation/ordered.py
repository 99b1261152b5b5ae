"""Weather by order: what goes wrong with the next call of an operation."""

from dataclasses import dataclass, field
from datetime import timedelta

from autostop_local.world.errors import AwsError
from tests.simulation.account import ATTEMPTS, Call
from tests.simulation.weather import Weather

# How a call ends, and in how many attempts running: the SDK makes four.
ENDS = {"refused": ATTEMPTS, "answer lost": 1, "no answer": ATTEMPTS, "dies before": 1, "dies after": 1}
# What EC2 says when the step is not to be had now; of any other call, that the service is not there.
REFUSALS = {
    "CreateSnapshots": "PendingSnapshotLimitExceeded",
    "CreateVolume": "VolumeLimitExceeded",
    "AttachVolume": "IncorrectState",
    "DetachVolume": "IncorrectState",
    "StartInstances": "InstanceLimitExceeded",
    "PutItem": "ThrottlingException",
    "DeleteItem": "ThrottlingException",
    "TransactWriteItems": "ThrottlingException",
}


@dataclass
class Ordered(Weather):
    """Nothing goes wrong but what was ordered. orders: by operation, how its next attempts end."""

    orders: dict[str, list[str]] = field(default_factory=dict)

    def order(self, operation: str, end: str) -> None:
        """Let the next call of an operation end like one of ENDS; after those that were ordered before."""
        self.orders.setdefault(operation, []).extend([end] * ENDS[end])

    def clear_up(self) -> None:
        super().clear_up()
        self.orders.clear()

    def latency(self) -> timedelta:
        return timedelta(milliseconds=40)

    def refusal(self, call: Call) -> AwsError | None:
        code = REFUSALS.get(call.operation, "ServiceUnavailable")
        return AwsError(code, "not now", 503) if self._takes(call, "refused") else None

    def loses_the_answer(self, call: Call) -> bool:
        return self._takes(call, "answer lost") or self._takes(call, "no answer")

    def kills(self, call: Call, when: str) -> bool:
        return self._takes(call, f"dies {when}")

    def _takes(self, call: Call, end: str) -> bool:
        orders = self.orders.get(call.operation)
        if not orders or orders[0] != end:
            return False
        del orders[0]
        return True
