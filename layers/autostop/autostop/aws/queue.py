"""The reconciler's queue."""

import json
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from autostop.aws.errors import aws_errors
from autostop.model import WorkstationId

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

# The longest delay of a message (botocore, `SendMessage`).
_LONGEST_DELAY_SECONDS = 900


@dataclass(frozen=True, slots=True)
class SqsQueue:
    """The reconciler's queue, on SQS."""

    client: "SQSClient"
    url: str

    def wake(self, workstation: WorkstationId, after: timedelta = timedelta(0)) -> None:
        delay = min(_LONGEST_DELAY_SECONDS, max(0, round(after.total_seconds())))
        with aws_errors():
            self.client.send_message(
                QueueUrl=self.url, MessageBody=json.dumps({"workstation": workstation}), DelaySeconds=delay
            )
