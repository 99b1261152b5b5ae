"""AWS's errors, by what can be done about them."""

from datetime import timedelta

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from autostop.aws.errors import AlreadySo, aws_errors
from autostop.ports import DeniedError, NoCapacityError, TransientError


def refused(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "so it is"}}, "StopInstances")


@pytest.mark.parametrize("code", ["RequestLimitExceeded", "Throttling", "IncorrectState", "InvalidVolume.NotFound"])
def test_later_it_may_work(code: str) -> None:
    with pytest.raises(TransientError, match=rf"StopInstances \({code}\): so it is") as raised, aws_errors():
        raise refused(code)
    assert raised.value.retry_after <= timedelta(seconds=10)


def test_want_of_capacity_is_an_error_of_its_own() -> None:
    with pytest.raises(NoCapacityError, match="InsufficientInstanceCapacity"), aws_errors():
        raise refused("InsufficientInstanceCapacity")


@pytest.mark.parametrize("code", ["InsufficientInstanceCapacity", "VcpuLimitExceeded", "SnapshotLimitExceeded"])
def test_some_need_minutes(code: str) -> None:
    with pytest.raises(TransientError) as raised, aws_errors():
        raise refused(code)
    assert raised.value.retry_after >= timedelta(minutes=1)


@pytest.mark.parametrize("code", ["UnauthorizedOperation", "AccessDeniedException", "InvalidParameterValue", ""])
def test_what_no_time_mends_is_denied(code: str) -> None:
    with pytest.raises(DeniedError), aws_errors():
        raise refused(code)


def test_what_is_so_already_is_no_error() -> None:
    done = False
    with aws_errors():
        with AlreadySo("InvalidVolume.NotFound"):
            raise refused("InvalidVolume.NotFound")
        done = True
    assert done


def test_every_other_error_is_one_all_the_same() -> None:
    with pytest.raises(DeniedError), aws_errors(), AlreadySo("InvalidVolume.NotFound"):
        raise refused("UnauthorizedOperation")


def test_no_way_to_aws_may_be_mended() -> None:
    with pytest.raises(TransientError, match="could not be reached"), aws_errors():
        raise EndpointConnectionError(endpoint_url="https://ec2")


def test_other_errors_pass() -> None:
    with pytest.raises(ZeroDivisionError), aws_errors():
        raise ZeroDivisionError
