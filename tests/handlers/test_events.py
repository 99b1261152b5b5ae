"""Every example event through the real handler, in the world and on the clock of the wall."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import boto3
import pytest

from autostop import tags
from autostop.aws.table import DynamoLedger
from autostop.aws.tell import EventBridgeAnnouncer, notice_in
from autostop.link import Link, Scope, digest_of
from autostop.model import WorkstationId
from autostop.ports import State
from autostop.sleep.intent import By, Wanted, following
from autostop_local.world import Timings, WallClock, World
from tests.aws.receiver import Receiver, receiving
from tests.handlers.functions import CONTEXT, EXAMPLE_SECRET, ROOT, event, load
from tests.handlers.table import TABLE, make_table

EVENTS = {path.stem for path in (ROOT / "events").glob("*.json")}
RECONCILED = {name for name in EVENTS if name.startswith("reconcile-")}
TAPPED = {
    "api-start": (Wanted.RUN, By.OWNER),
    "api-stop": (Wanted.STOP, By.OWNER),
}


@dataclass
class Deployed:
    world: World
    workstation: WorkstationId
    ledger: DynamoLedger
    sqs: Any
    queue_url: str
    ids: dict[str, str]

    def call(self, name: str, example: Any = None) -> Any:
        return load(name.split("-", maxsplit=1)[0]).handler(example or event(name, **self.ids), CONTEXT)

    def woken(self) -> list[str]:
        messages = self.sqs.receive_message(QueueUrl=self.queue_url, MaxNumberOfMessages=10).get("Messages", [])
        return [json.loads(message["Body"])["workstation"] for message in messages]


@pytest.fixture
def deployed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Deployed]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    with World(tmp_path / "world", clock=WallClock(), timings=Timings.none()) as world:
        table, sqs = make_table(boto3.client("dynamodb")), boto3.client("sqs")
        queue_url = sqs.create_queue(QueueName="reconcile")["QueueUrl"]
        for name, value in {
            "TABLE_NAME": TABLE,
            "QUEUE_URL": queue_url,
            "IDLE_AFTER": "30m",
            "PROBE": "none",
            "POWERTOOLS_SERVICE_NAME": "autostop",
        }.items():
            monkeypatch.setenv(name, value)
        workstation = WorkstationId(world.launch(tags={tags.AUTOSTOP: tags.ON}))
        ours = {tags.AUTOSTOP: tags.ON, tags.WORKSTATION: workstation, tags.DEVICE: "/dev/sda1"}
        [volume] = boto3.client("ec2").describe_volumes()["Volumes"]
        world.tag(volume["VolumeId"], ours)
        snapshot = boto3.client("ec2").create_snapshot(VolumeId=volume["VolumeId"])["SnapshotId"]
        world.tag(snapshot, ours)
        ids = {
            "i_0123456789abcdef0": str(workstation),
            "vol_0123456789abcdef0": volume["VolumeId"],
            "snap_0123456789abcdef0": snapshot,
        }
        ledger = DynamoLedger(table, TABLE)
        ledger.put_link(
            Link(workstation, digest_of(EXAMPLE_SECRET), "phone", tuple(Scope), created_at=datetime.now(UTC))
        )
        world.journal.clear()
        yield Deployed(world, workstation, ledger, sqs, queue_url, ids)


def test_every_example_event_has_a_test() -> None:
    assert {
        *RECONCILED,
        *TAPPED,
        "api-keep-awake",
        "api-page",
        "api-status",
        "notify-stops-soon",
        "sweep-schedule",
    } == EVENTS
    assert len(RECONCILED) == 5


def test_the_schedule_sweeps(deployed: Deployed) -> None:
    swept = deployed.call("sweep-schedule")
    assert swept["verdicts"].keys() == {deployed.workstation}
    assert deployed.ledger.latest_sweep(datetime.now(UTC)).keys() == {deployed.workstation}


@pytest.fixture
def phone(deployed: Deployed, monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    """Where notices of the deployed function arrive."""
    monkeypatch.setenv("API_URL", "https://api.example")
    monkeypatch.setenv("TOPIC_ARN", boto3.client("sns").create_topic(Name="notices")["TopicArn"])
    with receiving() as receiver:
        monkeypatch.setenv("NOTICE_URL", receiver.url)
        yield receiver


def warning(deployed: Deployed, stops_in: timedelta) -> Any:
    """The example of a warning, with a stop so far from now."""
    example = event("notify-stops-soon", **deployed.ids)
    example["detail"]["stop_at"] = (datetime.now(UTC) + stops_in).isoformat()
    return example


def test_a_warning_reaches_the_phone_with_a_link_that_keeps_awake(deployed: Deployed, phone: Receiver) -> None:
    told = deployed.call("notify", warning(deployed, timedelta(minutes=10)))

    assert told == {"late": False, "sent": ["topic", "url"], "failed": {}}
    [posted] = phone.posted
    assert posted.headers["Title"].startswith("Sleeping at ")
    url, _, secret = posted.headers["Click"].partition("#")
    assert url == f"https://api.example/w/{deployed.workstation}"
    link = deployed.ledger.find_link(deployed.workstation, secret)
    assert link is not None
    assert link.scopes == (Scope.STATUS, Scope.KEEP_AWAKE)


def test_a_warning_that_is_late_reaches_nobody(deployed: Deployed, phone: Receiver) -> None:
    assert deployed.call("notify", warning(deployed, timedelta(seconds=-1)))["late"]
    assert phone.posted == []


def test_a_phone_that_cannot_be_reached_is_an_error_in_the_log_without_its_address(
    deployed: Deployed, phone: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    phone.answers = [403]

    told = deployed.call("notify", warning(deployed, timedelta(minutes=10)))

    assert (told["sent"], list(told["failed"])) == (["topic"], ["url"])
    [logged] = [vars(record) for record in caplog.records if record.name != "urllib3"]
    assert logged["levelname"] == "ERROR"
    secret = phone.posted[0].headers["Click"].partition("#")[2]
    assert "secret-topic" not in str(logged)
    assert secret not in str(logged)


def test_the_example_of_a_notice_is_what_the_announcer_puts_on_the_bus() -> None:
    example = event("notify-stops-soon")
    sent: list[Any] = []

    def put_events(Entries: list[Any]) -> dict[str, Any]:  # noqa: N803 - AWS's name
        sent.extend(Entries)
        return {"FailedEntryCount": 0, "Entries": [{"EventId": "1"}]}

    client = cast("Any", SimpleNamespace(put_events=put_events))
    EventBridgeAnnouncer(client).announce([notice_in(example)])

    [entry] = sent
    assert json.loads(entry["Detail"]) == example["detail"]
    assert (entry["Source"], entry["DetailType"]) == (example["source"], example["detail-type"])


@pytest.mark.parametrize("name", sorted(RECONCILED))
def test_a_message_or_an_event_of_aws_brings_the_reconciler(deployed: Deployed, name: str) -> None:
    intent = following(None, Wanted.STOP, By.OWNER, "the test", datetime.now(UTC))
    deployed.ledger.save(State(deployed.workstation).wanting(intent))
    assert deployed.call(name) == {"batchItemFailures": []}
    state = deployed.ledger.load(deployed.workstation)
    assert state.intent is not None
    assert state.intent.settled
    assert [call.parameters["InstanceIds"] for call in deployed.world.journal.calls("StopInstances")] == [
        [deployed.workstation]
    ]


def test_a_message_that_cannot_be_read_goes_back_and_keeps_no_other_from_its_work(deployed: Deployed) -> None:
    intent = following(None, Wanted.STOP, By.OWNER, "the test", datetime.now(UTC))
    deployed.ledger.save(State(deployed.workstation).wanting(intent))
    batch = event("reconcile-wake", **deployed.ids)
    batch["Records"].insert(0, {**batch["Records"][0], "messageId": "bad", "body": "{"})
    assert deployed.call("reconcile", batch) == {"batchItemFailures": [{"itemIdentifier": "bad"}]}
    assert deployed.world.journal.calls("StopInstances")


def test_an_event_about_somebody_elses_things_is_done_with_at_once(deployed: Deployed) -> None:
    assert deployed.call("reconcile", event("reconcile-snapshot")) == {"batchItemFailures": []}
    assert {call.operation for call in deployed.world.journal.calls()} <= {"DescribeVolumes", "DescribeSnapshots"}


@pytest.mark.parametrize("name", sorted(TAPPED))
def test_a_tap_changes_the_intent_and_wakes_the_reconciler(deployed: Deployed, name: str) -> None:
    answer = deployed.call(name)
    assert answer["statusCode"] == 202
    intent = deployed.ledger.load(deployed.workstation).intent
    assert intent is not None
    assert (intent.wanted, intent.by) == TAPPED[name]
    assert "phone" in intent.why
    assert deployed.woken() == [deployed.workstation]


def test_a_tap_on_keep_awake_is_kept(deployed: Deployed) -> None:
    assert deployed.call("api-keep-awake")["statusCode"] == 202
    assert deployed.ledger.load(deployed.workstation).kept_awake_until is not None


def test_the_status_is_told(deployed: Deployed) -> None:
    answer = deployed.call("api-status")
    assert answer["statusCode"] == 200
    assert json.loads(answer["body"])["phase"] == "awake"


def test_the_page_is_the_file(deployed: Deployed) -> None:
    answer = deployed.call("api-page")
    assert answer["statusCode"] == 200
    assert answer["body"] == (ROOT / "functions/api/page/index.html").read_text(encoding="utf-8")


def test_no_log_line_holds_the_secret(deployed: Deployed, caplog: pytest.LogCaptureFixture) -> None:
    for name in (*TAPPED, "api-status"):
        deployed.call(name)
    logged = str([vars(record) for record in caplog.records])
    assert logged.count("answered") >= 3
    assert EXAMPLE_SECRET not in logged
