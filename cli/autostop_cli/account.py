"""The owner's AWS account, as the command reaches it."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config

from autostop.app.owner import Owner
from autostop.aws.channels import SnsTopic
from autostop.aws.ebs import EbsDisks
from autostop.aws.ec2 import Ec2Instances
from autostop.aws.environment import utc_now
from autostop.aws.errors import aws_errors
from autostop.aws.ledger import DynamoLedger
from autostop.aws.price_list import PriceList
from autostop.aws.queue import SqsQueue
from autostop.aws.subscription import MailSubscription
from autostop.model import Instance, WorkstationId, instance_of
from autostop.settings import Policy, policy_for
from autostop_cli import VERSION
from autostop_cli.create_plan import Plans
from autostop_cli.deployed_stack import Stack, find_stack, other_version
from autostop_cli.terminal import say
from autostop_cli.verify.scratch import EbsScratch

if TYPE_CHECKING:
    from mypy_boto3_cloudformation import CloudFormationClient
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_ssm import SSMClient

# A person waits: rather a clear error after half a minute than silence for several.
_CONFIG = Config(connect_timeout=5, read_timeout=20, retries={"mode": "standard", "total_max_attempts": 4})


@dataclass(frozen=True)
class Account:
    """One account and Region with the stack in it; nothing is asked of AWS before it is needed.

    session: where credentials and Region come from. clock: gives aware UTC moments. sleep: takes seconds.
    """

    session: boto3.Session
    stack_name: str = "autostop"
    clock: Callable[[], datetime] = utc_now
    sleep: Callable[[float], None] = time.sleep

    @cached_property
    def ec2(self) -> "EC2Client":
        return self.session.client("ec2", config=_CONFIG)

    @cached_property
    def ssm(self) -> "SSMClient":
        return self.session.client("ssm", config=_CONFIG)

    @cached_property
    def instances(self) -> Ec2Instances:
        return Ec2Instances(self.ec2)

    @cached_property
    def disks(self) -> EbsDisks:
        return EbsDisks(self.ec2)

    @cached_property
    def scratch(self) -> EbsScratch:
        return EbsScratch(self.ec2, self.session.client("ebs", config=_CONFIG))

    @cached_property
    def sqs(self) -> "SQSClient":
        return self.session.client("sqs", config=_CONFIG)

    @cached_property
    def queue(self) -> SqsQueue:
        return SqsQueue(self.sqs, self.stack.queue_url)

    @cached_property
    def cloudformation(self) -> "CloudFormationClient":
        return self.session.client("cloudformation", config=_CONFIG)

    @cached_property
    def dynamodb(self) -> "DynamoDBClient":
        return self.session.client("dynamodb", config=_CONFIG)

    @cached_property
    def price_list(self) -> PriceList:
        """What AWS charges; the Regions that can be asked tell of all."""
        return PriceList(lambda: self.session.client("pricing", region_name="us-east-1", config=_CONFIG))

    @cached_property
    def s3(self) -> Any:
        return self.session.client("s3", config=_CONFIG)

    @cached_property
    def number(self) -> str:
        """The account's own. Raises TransientError, DeniedError."""
        with aws_errors():
            return self.session.client("sts", config=_CONFIG).get_caller_identity()["Account"]

    @property
    def region(self) -> str:
        return self.ec2.meta.region_name

    @cached_property
    def stack(self) -> Stack:
        """The deployed stack. Raises DeniedError, InvalidSettingError, TransientError."""
        stack = find_stack(self.cloudformation, self.stack_name)
        if stack.version != VERSION:
            # On standard error, in the way of no JSON.
            say(other_version(stack), err=True)
        return stack

    @property
    def plans(self) -> Plans:
        """Those of `create`, in the stack's table."""
        return Plans(self.dynamodb, self.stack.table)

    @cached_property
    def ledger(self) -> DynamoLedger:
        return DynamoLedger(self.dynamodb, self.stack.table)

    def workstations(self) -> Sequence[Instance]:
        """All that are adopted, by name. Raises TransientError, DeniedError."""
        return sorted(self.instances.tagged(), key=lambda instance: (instance.name, instance.id))

    def find(self, workstation: WorkstationId) -> Instance | None:
        """Its instance; None when EC2 knows none. Raises TransientError, DeniedError."""
        return self.instances.find(instance_of(workstation))

    def policy(self, instance: Instance) -> Policy:
        """What the stack and the instance's tags say together."""
        return policy_for(self.stack.policy, instance.tags)[0]

    def now(self, instance: Instance | None = None) -> datetime:
        """The present moment, by the clock of an instance's owner."""
        policy = self.policy(instance) if instance else self.stack.policy
        return self.clock().astimezone(policy.time_zone)

    def now_of(self, workstation: WorkstationId) -> datetime:
        """Likewise."""
        return self.now(self.find(workstation))

    @cached_property
    def owner(self) -> Owner:
        mail = None
        if (topic := self.stack.mail_topic) is not None:
            sns = self.session.client("sns", config=_CONFIG)
            mail = MailSubscription(SnsTopic(sns, topic).subscriptions, self.clock)
        return Owner(self.instances, self.disks, self.ledger, self.queue, self.stack.policy, self.clock, mail)
