import json
from datetime import timedelta
from typing import Any

import boto3
import pytest

from autostop.aws.queue import SqsQueue
from autostop.model import WorkstationId
from autostop.ports import DeniedError, TransientError
from tests.app.autostop_at_work import AtWork

ID = WorkstationId("i-0123456789abcdef0")


@pytest.mark.parametrize(
    ("after", "delay"),
    [(timedelta(0), 0), (timedelta(seconds=-3), 0), (timedelta(seconds=59.6), 60), (timedelta(hours=2), 900)],
)
def test_a_message_names_the_workstation_and_waits_at_most_a_quarter_of_an_hour(
    lab: AtWork, after: timedelta, delay: int
) -> None:
    client = boto3.client("sqs")
    url = client.create_queue(QueueName="reconcile")["QueueUrl"]
    sent: list[dict[str, Any]] = []
    client.meta.events.register("provide-client-params.sqs.SendMessage", lambda params, **_: sent.append(params))
    SqsQueue(client, url).wake(ID, after)
    assert [message["DelaySeconds"] for message in sent] == [delay]
    if not delay:
        [message] = client.receive_message(QueueUrl=url)["Messages"]
        assert json.loads(message["Body"]) == {"workstation": ID}


def test_a_queue_that_is_not_there_is_an_error_of_ours(lab: AtWork) -> None:
    with pytest.raises((DeniedError, TransientError)):
        SqsQueue(boto3.client("sqs"), "https://sqs.us-east-1.amazonaws.com/123456789012/none").wake(ID)
