"""What is refused because the world was told so: the next calls of an operation, or every one until it is lifted."""

from collections import deque

from autostop_local.world.errors import AwsError
from autostop_local.world.wire import Asked

# By service, how it says that a policy denies a call: code and status. EC2's differs from all others'.
_DENIALS = {"ec2": ("UnauthorizedOperation", 403), "cloudwatch": ("AccessDenied", 403), "sqs": ("AccessDenied", 403)}
_DENIAL = ("AccessDeniedException", 400)


class Refusals:
    """Those of one world, for any service that calls it or asks it."""

    def __init__(self) -> None:
        self._next: dict[str, deque[tuple[AwsError, bool]]] = {}
        self._lasting: dict[str, AwsError] = {}

    def refuse_next(self, operation: str, error: AwsError, times: int, *, after: bool) -> None:
        """`after`: though the call has had its effect."""
        self._next.setdefault(operation, deque()).extend([(error, after)] * times)

    def refuse(self, operation: str, error: AwsError) -> None:
        self._lasting[operation] = error

    def lift(self, operation: str | None) -> None:
        """None: of every operation."""
        for each in [operation] if operation else list(self._lasting):
            self._lasting.pop(each, None)

    def lasting(self, asked: Asked) -> AwsError | None:
        """What this call is refused with until that is lifted."""
        return self._lasting.get(asked.operation)

    def check(self, asked: Asked) -> AwsError | None:
        """Raise what is refused, or give what is to be raised once the call has had its effect."""
        lasting = self.lasting(asked)
        if lasting is not None:
            raise lasting
        ordered = self._next.get(asked.operation)
        if not ordered:
            return None
        error, after = ordered.popleft()
        if not after:
            raise error
        return error


def denial(service: str, operation: str, account: str) -> AwsError:
    """As a policy of the account's organisation makes it (aws/karpenter-provider-aws, issue 8190)."""
    code, status = _DENIALS.get(service, _DENIAL)
    who = f"User: arn:aws:sts::{account}:assumed-role/autostop/autostop is not authorized to perform"
    why = f"{who}: {service}:{operation} with an explicit deny in a service control policy"
    if service == "ec2":
        why = f"You are not authorized to perform this operation. {why}. Encoded authorization failure message: 4Zx9"
    return AwsError(code, why, status)
