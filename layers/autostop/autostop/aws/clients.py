"""Makes boto3 clients: time limits and retries in one place."""

from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING

import boto3
import botocore.session
from botocore.config import Config
from botocore.utils import parse_timestamp

if TYPE_CHECKING:
    from mypy_boto3_cloudwatch import CloudWatchClient
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_events import EventBridgeClient
    from mypy_boto3_sns import SNSClient
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_ssm import SSMClient

# Standard mode retries throttling with jitter, after up to 1 and up to 2 seconds: a call that is throttled to the end
# costs 3 seconds at most, and what comes after that is a later look's. The reconciler reckons with it (`KEPT_BACK`).
_CONFIG = Config(connect_timeout=3, read_timeout=10, retries={"mode": "standard", "total_max_attempts": 3})


def moment(value: str | float) -> datetime:
    """A moment as AWS writes it: ISO 8601, or seconds since the epoch; anything else as botocore reads it. UTC.

    botocore itself asks dateutil and the local time zone, which is a third of the time of a large sweep.
    """
    try:
        if isinstance(value, str):
            at = datetime.fromisoformat(value)
            return at.astimezone(UTC) if at.tzinfo is not None else at.replace(tzinfo=UTC)
        return datetime.fromtimestamp(value, UTC)
    except (ValueError, OverflowError, OSError):
        return parse_timestamp(str(value)).astimezone(UTC)


@cache
def _session() -> boto3.Session:
    session = botocore.session.get_session()
    session.get_component("response_parser_factory").set_parser_defaults(timestamp_parser=moment)
    return boto3.Session(botocore_session=session)


def ec2() -> "EC2Client":
    """EC2 and EBS."""
    return _session().client("ec2", config=_CONFIG)


def cloudwatch() -> "CloudWatchClient":
    """CloudWatch."""
    return _session().client("cloudwatch", config=_CONFIG)


def ssm() -> "SSMClient":
    """Systems Manager."""
    return _session().client("ssm", config=_CONFIG)


def sqs() -> "SQSClient":
    """SQS."""
    return _session().client("sqs", config=_CONFIG)


def dynamodb() -> "DynamoDBClient":
    """DynamoDB."""
    return _session().client("dynamodb", config=_CONFIG)


def events() -> "EventBridgeClient":
    """EventBridge."""
    return _session().client("events", config=_CONFIG)


def sns() -> "SNSClient":
    """SNS."""
    return _session().client("sns", config=_CONFIG)
