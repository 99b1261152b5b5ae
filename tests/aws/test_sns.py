"""Messages to the topic."""

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import boto3
import pytest
from moto import mock_aws
from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.sns.models import sns_backends

from autostop.aws.tell import SnsTopic
from autostop.notice import Message, NoticeKind
from autostop.ports import DeniedError, TransientError

MESSAGE = Message(
    NoticeKind.STOPS_SOON, "Sleeping at 18:30 UTC: größe", "idle ä\n\nKeep it awake: https://x#y", "https://x#y"
)


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
