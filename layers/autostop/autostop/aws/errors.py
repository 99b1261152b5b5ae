"""Turns AWS's errors into ours, by what can be done about them."""

from collections.abc import Generator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from autostop.ports import DeniedError, NoCapacityError, TransientError

# Not there yet, or not any more: EC2's lists lag behind its writes, and the next observation tells which.
_LATER = frozenset(
    {
        "ConcurrentSnapshotLimitExceeded",
        "IncorrectInstanceState",
        "IncorrectModificationState",
        "IncorrectState",
        "InternalError",
        "InternalFailure",
        "InvalidAttachment.NotFound",
        "InvalidSnapshot.NotFound",
        "InvalidVolume.NotFound",
        "PendingSnapshotLimitExceeded",
        "ProvisionedThroughputExceeded",
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "ServiceUnavailable",
        "SnapshotCreationPerVolumeRateExceeded",
        "Throttling",
        "ThrottlingError",
        "ThrottlingException",
        "TransactionConflict",
        "TransactionConflictException",
        "TransactionInProgressException",
        "Unavailable",
        "VolumeInUse",
    }
)
# Only time helps, and not seconds of it.
_MUCH_LATER = frozenset(
    {
        "InstanceLimitExceeded",
        "InsufficientVolumeCapacity",
        "SnapshotLimitExceeded",
        "VcpuLimitExceeded",
        "VolumeLimitExceeded",
    }
)
_NO_CAPACITY = "InsufficientInstanceCapacity"
_SOME_MINUTES = timedelta(minutes=2)


@contextmanager
def aws_errors() -> Generator[None, None, None]:
    """Raise TransientError (or its kin NoCapacityError) or DeniedError for what AWS refuses."""
    try:
        yield
    except ClientError as error:
        code = _code(error)
        text = f"AWS refused {error.operation_name} ({code}): {error.response.get('Error', {}).get('Message', '')}"
        if code == _NO_CAPACITY:
            raise NoCapacityError(text, _SOME_MINUTES) from error
        if code in _MUCH_LATER:
            raise TransientError(text, _SOME_MINUTES) from error
        if code in _LATER:
            raise TransientError(text) from error
        raise DeniedError(text) from error
    except BotoCoreError as error:
        raise TransientError(f"AWS could not be reached: {error}") from error


class AlreadySo:
    """Ends its block without error on codes which say that what was asked for is so already."""

    def __init__(self, *codes: str) -> None:
        self._codes = codes

    def __enter__(self) -> None:
        """Nothing to set up."""

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> bool:
        """True, for these codes only."""
        return isinstance(error, ClientError) and _code(error) in self._codes


def _code(error: ClientError) -> str:
    """AWS's code; of a cancelled transaction, that of the first of its parts for which it was cancelled."""
    code = error.response.get("Error", {}).get("Code", "")
    reasons: Any = error.response.get("CancellationReasons", ())
    return next((reason["Code"] for reason in reasons if reason.get("Code", "None") != "None"), code)
