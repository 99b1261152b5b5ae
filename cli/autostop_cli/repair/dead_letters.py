"""What the reconciler failed on five times, in a queue of its own."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from autostop.aws.errors import aws_errors

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

_MOST_AT_ONCE = 10
# While a person reads them nobody else takes them; then they are there again.
_HELD_SECONDS = 30


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One message. sent_at: when it was first sent, UTC. receipt: by which it can be taken away while it is held."""

    id: str
    body: str
    sent_at: datetime
    receipt: str


@dataclass(frozen=True, slots=True)
class DeadLetters:
    """The dead-letter queue. queue_url: of the reconciler's queue, where they came from."""

    client: "SQSClient"
    url: str
    queue_url: str

    def count(self) -> int:
        """About how many there are. Raises TransientError, DeniedError."""
        with aws_errors():
            attributes = self.client.get_queue_attributes(
                QueueUrl=self.url,
                AttributeNames=["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"],
            )["Attributes"]
        # Those that somebody just looks at are there too.
        return int(attributes.get("ApproximateNumberOfMessages", 0)) + int(
            attributes.get("ApproximateNumberOfMessagesNotVisible", 0)
        )

    def read(self, most: int = 100) -> Sequence[DeadLetter]:
        """Those that can be had now, each once, oldest first; they stay where they are. Raises TransientError."""
        found: dict[str, DeadLetter] = {}
        while len(found) < most:
            with aws_errors():
                answer = self.client.receive_message(
                    QueueUrl=self.url,
                    MaxNumberOfMessages=_MOST_AT_ONCE,
                    VisibilityTimeout=_HELD_SECONDS,
                    MessageSystemAttributeNames=["SentTimestamp"],
                )
            messages = answer.get("Messages", [])
            if not messages:
                break
            for message in messages:
                sent = int(message.get("Attributes", {}).get("SentTimestamp", 0)) / 1000
                letter = DeadLetter(
                    message.get("MessageId", ""),
                    message.get("Body", ""),
                    datetime.fromtimestamp(sent, UTC),
                    message.get("ReceiptHandle", ""),
                )
                found[letter.id] = letter
        return sorted(found.values(), key=lambda each: each.sent_at)

    def put_back(self, letter: DeadLetter) -> None:
        """Send it to the reconciler again, then take it away here: at worst it is there twice, which harms nothing.

        Raises TransientError, DeniedError.
        """
        with aws_errors():
            self.client.send_message(QueueUrl=self.queue_url, MessageBody=letter.body)
            self.client.delete_message(QueueUrl=self.url, ReceiptHandle=letter.receipt)
