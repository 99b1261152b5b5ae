"""The ways by which people are told: our own events, a topic, and the URL of an owner."""

import http.client
import json
import ssl
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from autostop.aws.codec import from_plain, to_plain
from autostop.aws.errors import AlreadySo, aws_errors
from autostop.aws.webhooks import Posting, posting
from autostop.link import parse_workstation
from autostop.model import WorkstationId
from autostop.notice import Message, Notice
from autostop.ports import DeniedError, TransientError
from autostop.schedule import zone_named

if TYPE_CHECKING:
    from mypy_boto3_events import EventBridgeClient
    from mypy_boto3_events.type_defs import PutEventsRequestEntryTypeDef
    from mypy_boto3_sns import SNSClient
    from mypy_boto3_ssm import SSMClient

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


_LIMIT_SECONDS: Final = 5.0
_PAUSE: Final = timedelta(seconds=1)
_TRIES: Final = 2
_LATER: Final = frozenset({408, 425, 429})


def notice_name(workstation: WorkstationId) -> str:
    """The SSM parameter (SecureString) that holds the URL for the notices of one workstation."""
    return f"/autostop/{workstation}/notice-url"


def notice_url(ssm: "SSMClient", workstation: WorkstationId, of_stack: str | None) -> str | None:
    """Where its notices go: the name of its own parameter where there is one, else what the stack says.

    Of what cannot be read it is the name too: the channel says what is wrong with it, and hides no other.
    """
    own = notice_name(workstation)
    try:
        with aws_errors(), AlreadySo("ParameterNotFound"):
            ssm.get_parameter(Name=own)
            return own
    except (TransientError, DeniedError):
        return own
    return of_stack


@dataclass(frozen=True, slots=True)
class OwnersUrl:
    """The port `Channel` on a URL of the owner's, which `postings` knows how to post to.

    The URL is a secret, for who knows an ntfy topic can read it: no error repeats it. No redirect is followed: the
    message holds a link, which goes to the host that the owner named and to no other. sleep: takes seconds.
    """

    url: str = field(repr=False)  # or the name of the SSM parameter that holds it
    sleep: Callable[[float], None]
    limit_seconds: float = _LIMIT_SECONDS
    tls: ssl.SSLContext | None = None
    ssm: "SSMClient | None" = None
    name: Final = "url"

    def send(self, message: Message) -> None:
        """POST it, at most twice. A first one whose answer was lost may have arrived: then it arrives twice."""
        post = posting(self._address(), message)
        for tries_left in reversed(range(_TRIES)):
            try:
                return self._post(post)
            except TransientError:
                if not tries_left:
                    raise
                self.sleep(_PAUSE.total_seconds())
        return None

    def _address(self) -> str:
        """Read anew each time: notices are few, and the owner may have changed it."""
        if self.ssm is None or not self.url.startswith("/"):
            return self.url
        with aws_errors():
            return self.ssm.get_parameter(Name=self.url, WithDecryption=True)["Parameter"].get("Value", "").strip()

    def _post(self, posting: Posting) -> None:
        """One POST within the limit, in a thread: no limit of a socket holds for looking up a name too."""
        outcome: list[int | Exception] = []
        host = posting.to.hostname

        def post() -> None:
            try:
                outcome.append(self._status(posting))
            except Exception as error:  # noqa: BLE001 - carried over to the thread that waits
                outcome.append(error)

        worker = threading.Thread(target=post, daemon=True)
        worker.start()
        worker.join(self.limit_seconds)
        if not outcome or isinstance(outcome[0], TimeoutError):
            raise TransientError(f"{host} did not answer within {self.limit_seconds:g} s")
        [status] = outcome
        if isinstance(status, Exception):
            raise TransientError(f"{host} could not be reached: {type(status).__name__}") from None
        _judge(status, str(host))

    def _status(self, posting: Posting) -> int:
        parts = posting.to
        host, port = str(parts.hostname), parts.port
        connection = http.client.HTTPConnection(host, port, timeout=self.limit_seconds)
        if parts.scheme == "https":
            tls = self.tls or ssl.create_default_context()
            connection = http.client.HTTPSConnection(host, port, timeout=self.limit_seconds, context=tls)
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        try:
            connection.request("POST", target, posting.body, dict(posting.headers))
            return connection.getresponse().status
        finally:
            connection.close()


def _judge(status: int, host: str) -> None:
    """Raises for every answer but success."""
    if 200 <= status < 300:
        return
    if status >= 500 or status in _LATER:
        raise TransientError(f"{host} answered {status}")
    if 300 <= status < 400:
        raise DeniedError(
            f"{host} sends elsewhere ({status}), which is not followed: set NoticeUrl to the final address"
        )
    raise DeniedError(f"{host} refused it ({status}): look at NoticeUrl, and at who may publish there")
