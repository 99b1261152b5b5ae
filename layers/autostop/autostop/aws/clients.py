"""Makes boto3's clients: time limits and retries in one place.

By botocore alone, as boto3 does: importing boto3 itself takes a tenth of a function's cold start, for nothing.
"""

from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING, Any, cast

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

# For what a page can be shown without: its function has 10 seconds.
BRIEF = Config(connect_timeout=1, read_timeout=2, retries={"mode": "standard", "total_max_attempts": 1})


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
def session() -> botocore.session.Session:
    """The one session of all clients."""
    made = botocore.session.get_session()
    made.get_component("response_parser_factory").set_parser_defaults(timestamp_parser=moment)
    return made


def ec2() -> "EC2Client":
    """EC2 and EBS."""
    return cast("EC2Client", session().create_client("ec2", config=_CONFIG))


def cloudwatch() -> "CloudWatchClient":
    """CloudWatch."""
    return cast("CloudWatchClient", session().create_client("cloudwatch", config=_CONFIG))


def ssm() -> "SSMClient":
    """Systems Manager."""
    return cast("SSMClient", session().create_client("ssm", config=_CONFIG))


def sqs() -> "SQSClient":
    """SQS."""
    return cast("SQSClient", session().create_client("sqs", config=_CONFIG))


def dynamodb() -> "DynamoDBClient":
    """DynamoDB."""
    return cast("DynamoDBClient", session().create_client("dynamodb", config=_CONFIG))


def events() -> "EventBridgeClient":
    """EventBridge."""
    return cast("EventBridgeClient", session().create_client("events", config=_CONFIG))


def pricing() -> Any:
    """The Price List, which is in few Regions and tells of all. One that is not of AWS's own partition has another."""
    return session().create_client("pricing", region_name="us-east-1", config=_CONFIG)


def sns(config: Config = _CONFIG) -> "SNSClient":
    """SNS."""
    return cast("SNSClient", session().create_client("sns", config=config))
