"""The ways to tell people that AWS has: our own events, and a topic."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from autostop.aws.codec import from_plain, to_plain
from autostop.aws.errors import aws_errors
from autostop.link import parse_workstation
from autostop.notice import Message, Notice
from autostop.ports import DeniedError, TransientError
from autostop.schedule import zone_named

if TYPE_CHECKING:
    from mypy_boto3_events import EventBridgeClient
    from mypy_boto3_events.type_defs import PutEventsRequestEntryTypeDef
    from mypy_boto3_sns import SNSClient

SOURCE = "autostop"
# PutEvents takes 10 entries a call (botocore, `PutEvents`).
_MOST_ENTRIES = 10


@dataclass(frozen=True, slots=True)
class EventBridgeAnnouncer:
    """The bus of our own events: the account's default one, where anybody may hang own targets on them."""

    client: "EventBridgeClient"

    def announce(self, notices: Sequence[Notice]) -> Mapping[Notice, str]:
        """PutEvents, ten notices a call; what is refused, alone or with its call, keeps no other from being sent."""
        refused: dict[Notice, str] = {}
        for start in range(0, len(notices), _MOST_ENTRIES):
            some = notices[start : start + _MOST_ENTRIES]
            try:
                with aws_errors():
                    answer = self.client.put_events(Entries=[_entry(notice) for notice in some])
            except (TransientError, DeniedError) as error:
                refused |= dict.fromkeys(some, str(error))
                continue
            # It answers 200 all the same when it refuses some of them, and tells of each in their order.
            named = {
                notice: f"EventBridge refused it: {entry.get('ErrorCode')} {entry.get('ErrorMessage')}"
                for notice, entry in zip(some, answer["Entries"], strict=False)
                if "ErrorCode" in entry
            }
            if answer["FailedEntryCount"] and not named:
                named = dict.fromkeys(some, "EventBridge refused some, and does not say which")
            refused |= named
        return refused


def notice_in(event: Mapping[str, Any]) -> Notice:
    """The notice that an event brings. Raises ValueError when it is none: others may write to the bus too."""
    if event.get("source") != SOURCE:
        raise ValueError("not an event of autostop")
    notice = from_plain(Notice, event.get("detail"))
    if parse_workstation(notice.workstation) is None:
        raise ValueError("an event about no workstation")
    if any(moment is not None and moment.tzinfo is None for moment in (notice.at, notice.stop_at)):
        raise ValueError("an event with a moment of no time zone")
    zone_named(notice.time_zone)
    return notice


def _entry(notice: Notice) -> "PutEventsRequestEntryTypeDef":
    # The title is for the targets of others; it is made anew on the way to ours.
    detail = {**to_plain(notice), "title": notice.title}
    return {"Source": SOURCE, "DetailType": notice.kind.value, "Detail": json.dumps(detail), "Time": notice.at}


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

    def subscriptions(self) -> tuple[int, int]:
        """How many get its messages, and how many never clicked the link of the mail that asks them to confirm."""
        with aws_errors():
            told = self.client.get_topic_attributes(TopicArn=self.arn)["Attributes"]
        return int(told.get("SubscriptionsConfirmed", 0)), int(told.get("SubscriptionsPending", 0))
