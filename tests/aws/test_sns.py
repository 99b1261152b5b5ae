from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import boto3
import pytest
from moto import mock_aws
from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.sns.models import sns_backends

from autostop.aws.channels import SnsTopic
from autostop.aws.subscription import MailSubscription
from autostop.notice import Message, NoticeKind
from autostop.ports import DeniedError, TransientError
from autostop_local.world import VirtualClock
from tests.build import row

MESSAGE = Message(
    NoticeKind.STOPS_SOON, "Sleeping at 18:30 UTC: größe", "idle ä\n\nKeep it awake: https://x#y", "https://x#y"
)


START = datetime(2026, 3, 2, tzinfo=UTC)


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    with mock_aws():
        yield boto3.client("sns", region_name="us-east-1")


def test_the_title_is_the_subject_in_ascii_and_the_text_is_whole(client: Any) -> None:
    arn = client.create_topic(Name="notices")["TopicArn"]

    SnsTopic(client, arn).send(MESSAGE)

    [(_, text, subject, *_)] = sns_backends[DEFAULT_ACCOUNT_ID]["us-east-1"].topics[arn].sent_notifications
    assert (subject, text) == ("Sleeping at 18:30 UTC: gr??e", MESSAGE.text)


def test_a_topic_that_is_gone_is_an_error_of_ours(client: Any) -> None:
    with pytest.raises((DeniedError, TransientError), match="Publish"):
        SnsTopic(client, f"arn:aws:sns:us-east-1:{DEFAULT_ACCOUNT_ID}:gone").send(MESSAGE)


def test_who_never_confirmed_is_counted_apart() -> None:
    told = {"Attributes": {"SubscriptionsConfirmed": "2", "SubscriptionsPending": "1"}}
    client: Any = SimpleNamespace(get_topic_attributes=lambda **_: told)
    assert SnsTopic(client, "arn:aws:sns:us-east-1:1:notices").subscriptions() == (2, 1)


# --- whether the mail address is confirmed ----------------------------------------------------------------------------


@pytest.mark.parametrize(("told", "words"), [
    row("confirmed", (1, 0), None),
    row("not yet", (0, 1), "click the link in the mail that AWS sent to NoticeEmail"),
    row("not yet, though others subscribed", (2, 1), "do not arrive yet"),
    row("nobody any more", (0, 0), "NoticeEmail was not confirmed in time"),
])  # fmt: skip
def test_an_address_that_is_not_confirmed_is_told(told: tuple[int, int], words: str | None) -> None:
    problem = MailSubscription(lambda: told, lambda: START).problem()
    assert problem is None if words is None else words in (problem or "")


def test_the_topic_is_asked_every_ten_minutes_at_most() -> None:
    clock, told = VirtualClock(START), iter([(0, 1), (1, 0)])
    mail = MailSubscription(lambda: next(told), clock)
    problems = []
    for _ in range(4):
        problems.append(mail.problem() is not None)
        clock.advance(timedelta(minutes=5))
    assert problems == [True, True, False, False]


def test_who_may_not_ask_is_told_nothing(client: Any) -> None:
    gone = SnsTopic(client, f"arn:aws:sns:us-east-1:{DEFAULT_ACCOUNT_ID}:gone")
    assert MailSubscription(gone.subscriptions, lambda: START).problem() is None
