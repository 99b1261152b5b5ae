"""What the reconciler failed on five times, in a queue of its own: read, shown, and tried again."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from autostop.aws.errors import aws_errors
from autostop.ports import DeniedError, TransientError
from autostop.queue_messages import workstations_in
from autostop_cli.account import Account
from autostop_cli.errors import sentence
from autostop_cli.terminal import dated, say, table

_OLDER_STACK = "The stack does not say where its dead letters are. Deploy the present version to see them."
_MOST = 100
_MOST_AT_ONCE = 10
# While a person reads them nobody else takes them; then they are there again.
_HELD_SECONDS = 30


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One message. sent_at: when it was first sent, UTC. receipt: by which it can be taken away while it is held."""

    body: str
    sent_at: datetime
    receipt: str


def tell_of_letters(account: Account) -> None:
    """Where there are any, or they cannot be counted; on standard error, in the way of no JSON."""
    try:
        count = _count(account, account.stack.dead_letter_url) if account.stack.dead_letter_url else 0
    except (TransientError, DeniedError) as error:
        say(f"problem: Whether there are dead letters is not known: {sentence(error)}", err=True)
        return
    if count:
        say(f"problem: The reconciler failed on {count} messages for good. See them: autostop recover", err=True)


def show_letters(account: Account) -> Sequence[DeadLetter]:
    """Print them, and give them. Raises TransientError, DeniedError."""
    if not account.stack.dead_letter_url:
        say("", _OLDER_STACK)
        return ()
    letters = _read(account, account.stack.dead_letter_url)
    if not letters:
        return letters
    say("", f"{len(letters)} messages on which the reconciler failed five times:")
    rows = [(dated(letter.sent_at, account.now().tzinfo), _subject(account, letter)) for letter in letters]
    say(*(f"  {line}" for line in table(rows)))
    say("The function's log says why. Once that is mended: autostop recover --retry-dead-letters")
    return letters


def put_back_letters(account: Account, letters: Sequence[DeadLetter]) -> None:
    """Send them to the reconciler again, then take each away here: at worst one is there twice, which harms nothing.

    Raises TransientError, DeniedError.
    """
    for letter in letters:
        with aws_errors():
            account.sqs.send_message(QueueUrl=account.stack.queue_url, MessageBody=letter.body)
            account.sqs.delete_message(QueueUrl=account.stack.dead_letter_url or "", ReceiptHandle=letter.receipt)
    say(f"{len(letters)} messages were put back into the queue.")


def _count(account: Account, url: str) -> int:
    """About how many there are; those that somebody just looks at are there too."""
    with aws_errors():
        attributes = account.sqs.get_queue_attributes(
            QueueUrl=url, AttributeNames=["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        )["Attributes"]
    return sum(map(int, attributes.values()))


def _read(account: Account, url: str) -> Sequence[DeadLetter]:
    """Those that can be had now, each once, oldest first; they stay where they are."""
    letters: dict[str, DeadLetter] = {}
    while len(letters) < _MOST:
        with aws_errors():
            answer = account.sqs.receive_message(
                QueueUrl=url,
                MaxNumberOfMessages=_MOST_AT_ONCE,
                VisibilityTimeout=_HELD_SECONDS,
                MessageSystemAttributeNames=["SentTimestamp"],
            )
        messages = answer.get("Messages", [])
        if not messages:
            break
        for message in messages:
            sent_at = datetime.fromtimestamp(int(message.get("Attributes", {}).get("SentTimestamp", 0)) / 1000, UTC)
            letter = DeadLetter(message.get("Body", ""), sent_at, message.get("ReceiptHandle", ""))
            letters[message.get("MessageId", "")] = letter
    return sorted(letters.values(), key=lambda letter: letter.sent_at)


def _subject(account: Account, letter: DeadLetter) -> str:
    """The workstations that a message is about; the message itself when it says none that can be read."""
    try:
        workstations = sorted(workstations_in(letter.body, account.disks.workstations_of))
    except (ValueError, RecursionError):
        workstations = []
    return ", ".join(workstations) or f"unreadable: {letter.body[:80]}"
