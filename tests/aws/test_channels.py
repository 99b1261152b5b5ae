"""Notices on the event bus, and back from it."""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from moto import mock_aws

from autostop.aws.channels import EventBridgeAnnouncer, notice_in
from autostop.model import WorkstationId
from autostop.notice import Notice, NoticeKind
from tests.build import row

ID = WorkstationId("i-0123456789abcdef0")
AT = datetime(2026, 11, 23, 18, 20, tzinfo=UTC)
NOTICE = Notice(NoticeKind.STOPS_SOON, ID, "lab ä", AT, "idle", AT + timedelta(minutes=10), ("quiet", "quieter"))


@pytest.fixture
def bus(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[EventBridgeAnnouncer, Any, str]]:
    """The announcer, and a queue to which a rule for our events leads."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    with mock_aws():
        events = boto3.client("events", region_name="us-east-1")
        sqs = boto3.client("sqs", region_name="us-east-1")
        url = sqs.create_queue(QueueName="heard")["QueueUrl"]
        arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        events.put_rule(Name="ours", EventPattern=json.dumps({"source": ["autostop"]}))
        events.put_targets(Rule="ours", Targets=[{"Id": "heard", "Arn": arn}])
        yield EventBridgeAnnouncer(events), sqs, url


def heard(sqs: Any, url: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    while messages := sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages", []):
        found += [json.loads(message["Body"]) for message in messages]
    return found


def test_a_notice_comes_back_from_the_bus_as_it_was(bus: tuple[EventBridgeAnnouncer, Any, str]) -> None:
    announcer, sqs, url = bus

    announcer.announce([NOTICE])

    [event] = heard(sqs, url)
    assert (event["source"], event["detail-type"]) == ("autostop", "stops-soon")
    assert event["detail"]["title"] == "Sleeping at 18:30 UTC: lab ä"
    assert notice_in(event) == NOTICE


@pytest.mark.parametrize(("notices", "sizes"), [(0, []), (1, [1]), (10, [10]), (11, [10, 1]), (25, [10, 10, 5])])
def test_ten_notices_go_in_one_call(bus: tuple[EventBridgeAnnouncer, Any, str], notices: int, sizes: list[int]) -> None:
    announcer, sqs, url = bus
    calls: list[int] = []
    announcer.client.meta.events.register(
        "provide-client-params.events.PutEvents", lambda params, **_: calls.append(len(params["Entries"]))
    )

    announcer.announce([NOTICE] * notices)

    assert calls == sizes
    assert len(heard(sqs, url)) == notices


class Answering:
    """A client that gives these answers, one a call; an exception is raised."""

    def __init__(self, *answers: Any) -> None:
        self.answers, self.calls = list(answers), list[int]()

    def put_events(self, Entries: list[Any]) -> Any:  # noqa: N803 - AWS's name
        self.calls.append(len(Entries))
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


MANY = [replace(NOTICE, name=f"lab {number}") for number in range(11)]
TAKEN: dict[str, Any] = {"FailedEntryCount": 0, "Entries": [{"EventId": "1"}] * 10}
FAILED = {"ErrorCode": "InternalFailure", "ErrorMessage": "try again"}


def test_an_entry_that_is_refused_is_told_and_keeps_no_other_back() -> None:
    client = Answering({"FailedEntryCount": 1, "Entries": [{"EventId": "1"}, FAILED, *TAKEN["Entries"][2:]]}, TAKEN)

    refused = EventBridgeAnnouncer(client).announce(MANY)  # type: ignore[arg-type]  # all that it uses of a client

    assert refused == {MANY[1]: "EventBridge refused it: InternalFailure try again"}
    assert client.calls == [10, 1]


def test_of_a_refusal_that_does_not_say_of_what_all_of_the_call_count_as_refused() -> None:
    client = Answering({"FailedEntryCount": 1, "Entries": []}, TAKEN)

    refused = EventBridgeAnnouncer(client).announce(MANY)  # type: ignore[arg-type]  # all that it uses of a client

    assert set(refused) == set(MANY[:10])


@pytest.mark.parametrize("code", ["AccessDeniedException", "ThrottlingException"])
def test_a_call_that_fails_refuses_its_own_notices_only(code: str) -> None:
    client = Answering(ClientError({"Error": {"Code": code, "Message": "no"}}, "PutEvents"), TAKEN)

    refused = EventBridgeAnnouncer(client).announce(MANY)  # type: ignore[arg-type]  # all that it uses of a client

    assert set(refused) == set(MANY[:10])
    assert client.calls == [10, 1]


DETAIL: dict[str, Any] = {
    "kind": "stops-soon", "workstation": ID, "name": "lab", "at": "2026-11-23T18:20:00+00:00", "text": "idle",
    "stop_at": None, "reasons": [],
}  # fmt: skip


def test_what_a_later_version_adds_is_left_out() -> None:
    assert notice_in({"source": "autostop", "detail": {**DETAIL, "new": 1}}).name == "lab"


@pytest.mark.parametrize("event", [
    row("nothing", {}),
    row("no detail", {"source": "autostop"}),
    row("of another source", {"source": "aws.ec2", "detail": DETAIL}),
    row("another kind", {"source": "autostop", "detail": {**DETAIL, "kind": "sale"}}),
    row("no workstation", {"source": "autostop", "detail": {**DETAIL, "workstation": "i-1/../x"}}),
    row("no time zone", {"source": "autostop", "detail": {**DETAIL, "at": "2026-11-23T18:20:00"}}),
    row("no moment", {"source": "autostop", "detail": {**DETAIL, "stop_at": "soon"}}),
    row("reasons that are no text", {"source": "autostop", "detail": {**DETAIL, "reasons": [1]}}),
])  # fmt: skip
def test_what_is_no_notice_is_refused(event: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        notice_in(event)
