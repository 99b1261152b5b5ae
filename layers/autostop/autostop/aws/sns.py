"""A topic that mail addresses and whatever else may subscribe to."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from autostop.aws.errors import aws_errors
from autostop.notice import Message

if TYPE_CHECKING:
    from mypy_boto3_sns import SNSClient


@dataclass(frozen=True, slots=True)
class SnsTopic:
    """The port `Channel` on an SNS topic. A topic takes every message, also while nobody has subscribed."""

    client: "SNSClient"
    arn: str
    name: Final = "topic"

    def send(self, message: Message) -> None:
        """Publish; the title is the subject of mails, which some of SNS's endpoints still want in ASCII."""
        subject = message.title.encode("ascii", "replace").decode()
        with aws_errors():
            self.client.publish(TopicArn=self.arn, Subject=subject, Message=message.text)
