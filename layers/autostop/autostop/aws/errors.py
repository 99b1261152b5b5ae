"""Turns AWS's errors into ours, by what can be done about them."""

import re
from collections.abc import Generator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError
from botocore.retries.standard import RetryContext, ThrottledRetryableChecker

from autostop.ports import BurnedTokenError, DeniedError, NoCapacityError, TransientError

# Not there yet, not any more, or another's call is in the way: EC2's lists lag behind its writes, and the next
# observation tells which. The code alone says it: the status of each is 400. What was signed long ago is among them:
# Lambda had frozen the function in between, and another try is signed anew.
_LATER = frozenset({
    "ConcurrentAccess", "ConcurrentModificationException", "ConcurrentSnapshotLimitExceeded", "ConcurrentTagAccess",
    "IncorrectInstanceState", "IncorrectModificationState", "IncorrectState", "InvalidAMIID.Unavailable",
    "InvalidAttachment.NotFound", "InvalidInstanceID.NotFound", "InvalidInstanceState", "InvalidNextToken",
    "InvalidPaginationToken", "InvalidSecurity.RequestHasExpired", "InvalidSnapshot.NotFound", "InvalidState",
    "InvalidVolume.NotFound", "InvocationDoesNotExist", "OverLimit", "PendingSnapshotLimitExceeded",
    "ProvisionedThroughputExceeded", "ReplicatedWriteConflictException", "RequestExpired",
    "RequestResourceCountExceeded", "RetryableError", "SnapshotCreationPerVolumeRateExceeded", "StaleTag",
    "TooManyUpdates", "TransactionConflict", "TransactionConflictException", "VolumeInUse",
})  # fmt: skip
# The same of EC2's codes that mean other things too, by their texts: right after a detach, and right after an attach.
_LATER_BY_TEXT = re.compile("Attachment point .* is already in use|No device is currently mapped")
# Only time helps, or a larger quota, and not seconds of it.
_MUCH_LATER = frozenset({
    "CreditSpecificationUpdateInProgress", "IncorrectSpotRequestState", "InstanceLimitExceeded",
    "InsufficientAddressCapacity", "InsufficientFreeAddressesInSubnet", "InsufficientVolumeCapacity",
    "MaxIOPSLimitExceeded", "MaxSpotInstanceCountExceeded", "PendingVerification", "ResourceLimitExceeded",
    "SnapshotLimitExceeded", "SpotMaxPriceTooLow", "VcpuLimitExceeded", "VolumeLimitExceeded",
    "VolumeModificationSizeLimitExceeded",
})  # fmt: skip
# Of the Region, of a Dedicated Host, of a Capacity Reservation: for the instance's type all of them mean "not now".
_NO_CAPACITY = frozenset({
    "IncompatibleHostRequirements", "InsufficientCapacity", "InsufficientCapacityOnHost", "InsufficientHostCapacity",
    "InsufficientInstanceCapacity", "InsufficientReservedInstanceCapacity", "InsufficientReservedInstancesCapacity",
    "ReservationCapacityExceeded", "UnavailableHostRequirements", "UnfulfillableCapacity",
})  # fmt: skip
_BURNED = frozenset({"IdempotentInstanceTerminated", "IdempotentParameterMismatch"})
_SOME_MINUTES = timedelta(minutes=2)


@contextmanager
def aws_errors() -> Generator[None, None, None]:
    """Raise TransientError or DeniedError, or their kin, for what AWS refuses."""
    try:
        yield
    except ClientError as error:
        raise _ours(error) from error
    except (BotoCoreError, ResponseParserError) as error:  # the latter is none of the former
        raise TransientError(f"AWS could not be reached: {error}") from error


def _ours(error: ClientError) -> TransientError | DeniedError:
    # What follows is another each time, so that one cause would look like many, and says nothing to its owner.
    code, said = _code(error), error.response.get("Error", {}).get("Message", "").partition(" Encoded authorization")[0]
    refused = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 500) < 500
    text = f"AWS refused {error.operation_name} ({code}): {said}"
    if code in _NO_CAPACITY:
        return NoCapacityError(text, _SOME_MINUTES, refused=refused)
    if code in _MUCH_LATER:
        return TransientError(text, _SOME_MINUTES, refused=refused)
    if code in _BURNED:
        return BurnedTokenError(text)
    if code in _LATER or _LATER_BY_TEXT.search(said) or _is_overloaded(error, code):
        return TransientError(text, refused=refused)
    return DeniedError(text)


def _is_overloaded(error: ClientError, code: str) -> bool:
    """True when AWS failed, or asks for fewer calls: by its status, botocore's own list of codes, or its like."""
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    throttled = ThrottledRetryableChecker().is_retryable(RetryContext(1, parsed_response={"Error": {"Code": code}}))
    return status >= 500 or status == 429 or throttled or "throttl" in code.lower()


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
