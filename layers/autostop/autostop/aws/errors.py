"""Turns AWS's errors into ours, by what can be done about them."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from botocore.exceptions import BotoCoreError, ClientError

from autostop.ports import DeniedError, TransientError

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
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "ServiceUnavailable",
        "SnapshotCreationPerVolumeRateExceeded",
        "Throttling",
        "ThrottlingException",
        "Unavailable",
        "VolumeInUse",
    }
)
# Only time helps, and not seconds of it.
_MUCH_LATER = frozenset(
    {
        "InstanceLimitExceeded",
        "InsufficientInstanceCapacity",
        "InsufficientVolumeCapacity",
        "SnapshotLimitExceeded",
        "VcpuLimitExceeded",
        "VolumeLimitExceeded",
    }
)
_SOME_MINUTES = timedelta(minutes=2)


@contextmanager
def aws_errors(*done: str) -> Iterator[None]:
    """Raise TransientError or DeniedError for what AWS refuses.

    done: error codes which say that what was asked for is so already; they are no errors.
    """
    try:
        yield
    except ClientError as error:
        code = error.response.get("Error", {}).get("Code", "")
        if code in done:
            return
        text = f"AWS refused {error.operation_name} ({code}): {error.response.get('Error', {}).get('Message', '')}"
        if code in _MUCH_LATER:
            raise TransientError(text, _SOME_MINUTES) from error
        if code in _LATER:
            raise TransientError(text) from error
        raise DeniedError(text) from error
    except BotoCoreError as error:
        raise TransientError(f"AWS could not be reached: {error}") from error
