"""Makes boto3 clients: time limits and retries in one place."""

from typing import TYPE_CHECKING

import boto3
from botocore.config import Config

if TYPE_CHECKING:
    from mypy_boto3_cloudwatch import CloudWatchClient
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_ssm import SSMClient

# Standard mode retries throttling with jitter, after up to 1 and up to 2 seconds: a call that is throttled to the end
# costs 3 seconds at most, and what comes after that is a later look's. The reconciler reckons with it (`KEPT_BACK`).
_CONFIG = Config(connect_timeout=3, read_timeout=10, retries={"mode": "standard", "total_max_attempts": 3})


def ec2() -> "EC2Client":
    """EC2 and EBS."""
    return boto3.client("ec2", config=_CONFIG)


def cloudwatch() -> "CloudWatchClient":
    """CloudWatch."""
    return boto3.client("cloudwatch", config=_CONFIG)


def ssm() -> "SSMClient":
    """Systems Manager."""
    return boto3.client("ssm", config=_CONFIG)


def sqs() -> "SQSClient":
    """SQS."""
    return boto3.client("sqs", config=_CONFIG)


def dynamodb() -> "DynamoDBClient":
    """DynamoDB."""
    return boto3.client("dynamodb", config=_CONFIG)
