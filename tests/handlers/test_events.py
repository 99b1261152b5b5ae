"""Every example event through the real handler, in the world and on the clock of the wall."""

import base64
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import boto3
import pytest
import yaml
from botocore.exceptions import ClientError

from autostop.aws import clients
from autostop.aws.channels import EventBridgeAnnouncer, notice_in
from autostop.aws.owners_url import notice_name
from autostop.link import Scope
from autostop.notice import NoticeKind
from autostop.sleep.intent import By, Wanted, following
from autostop.state import State
from autostop.static_files import files_in
from tests.aws.receiver import Receiver, receiving
from tests.handlers.account import VARIABLES, ExampleAccount, example_account
from tests.handlers.functions import CONTEXT, EXAMPLE, EXAMPLE_SECRET, ROOT, event, load

EVENTS = {path.stem for path in (ROOT / "events").glob("*-*.json")}
RECONCILED = {name for name in EVENTS if name.startswith("reconcile-")}
TAPPED = {"api-start": (Wanted.RUN, By.OWNER), "api-stop": (Wanted.STOP, By.OWNER)}


@pytest.fixture
def account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ExampleAccount]:
    monkeypatch.setenv("PROBE", "none")
    with example_account(tmp_path / "world") as account:
        yield account


def call(account: ExampleAccount, name: str, example: Any = None) -> Any:
    """What the handler answers to an example, or to another event."""
    return load(name.partition("-")[0]).handler(example or account.event(name), CONTEXT)


def test_every_example_event_has_a_test() -> None:
    assert {
        *RECONCILED, *TAPPED, "api-keep-awake", "api-page", "api-status", "notify-stops-soon", "sweep-schedule",
    } == EVENTS  # fmt: skip
    assert len(RECONCILED) == 5


def test_the_schedule_sweeps(account: ExampleAccount) -> None:
    swept = call(account, "sweep-schedule")
    assert swept["verdicts"].keys() == {account.workstation}
    assert account.ledger.latest_sweep(datetime.now(UTC)).keys() == {account.workstation}


@pytest.fixture
def phone(account: ExampleAccount, monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    """Where notices of the deployed function arrive."""
    with receiving() as receiver:
        monkeypatch.setenv("NOTICE_URL", receiver.url)
        yield receiver


def warning(account: ExampleAccount, stops_in: timedelta) -> Any:
    """The example of a warning, with a stop so far from now."""
    example = account.event("notify-stops-soon")
    example["detail"]["stop_at"] = (datetime.now(UTC) + stops_in).isoformat()
    return example


def test_a_warning_reaches_the_phone_with_a_link_that_keeps_awake(account: ExampleAccount, phone: Receiver) -> None:
    told = call(account, "notify", warning(account, timedelta(minutes=10)))

    assert told == {"late": False, "again": False, "sent": ["topic", "url"], "failed": {}}
    [posted] = phone.posted
    assert posted.headers["Title"].startswith("Sleeping at ")
    url, _, secret = posted.headers["Click"].partition("#")
    assert url == f"{VARIABLES['API_URL']}/w/{account.workstation}"
    link = account.ledger.find_link(account.workstation, secret)
    assert link is not None
    assert link.scopes == (Scope.STATUS, Scope.KEEP_AWAKE)


def test_a_warning_that_is_late_reaches_nobody(account: ExampleAccount, phone: Receiver) -> None:
    assert call(account, "notify", warning(account, timedelta(seconds=-1)))["late"]
    assert phone.posted == []


def test_the_address_of_the_phone_may_be_kept_where_no_variable_shows_it_for_all_or_for_one(
    account: ExampleAccount, phone: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    ssm, name = boto3.client("ssm"), "/autostop/notice-url"
    ssm.put_parameter(Name=name, Value=phone.url, Type="SecureString")
    monkeypatch.setenv("NOTICE_URL", name)
    call(account, "notify-stops-soon", warning(account, timedelta(minutes=10)))
    assert len(phone.posted) == 1

    with receiving() as own:
        ssm.put_parameter(Name=notice_name(account.workstation), Value=own.url, Type="SecureString")
        call(account, "notify-stops-soon", warning(account, timedelta(minutes=10)))
        assert (len(own.posted), len(phone.posted)) == (1, 1)

    def refused(**_: object) -> None:
        raise ClientError({"Error": {"Code": "AccessDeniedException", "Message": "No"}}, "GetParameter")

    monkeypatch.setattr(clients, "ssm", lambda: SimpleNamespace(get_parameter=refused))
    told = call(account, "notify", warning(account, timedelta(minutes=10)))
    assert (told["sent"], list(told["failed"])) == (["topic"], ["url"])


def test_a_phone_that_cannot_be_reached_is_an_error_in_the_log_without_its_address(
    account: ExampleAccount, phone: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    phone.answers = [403]

    told = call(account, "notify", warning(account, timedelta(minutes=10)))

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
    documented = yaml.safe_load((ROOT / "docs" / "openapi.yaml").read_text(encoding="utf-8"))["components"]["schemas"]
    assert documented["Notice"]["properties"].keys() == example["detail"].keys() == {*documented["Notice"]["required"]}
    assert documented["Notice"]["properties"]["kind"]["enum"] == [*NoticeKind]


@pytest.mark.parametrize("name", sorted(RECONCILED))
def test_a_message_or_an_event_of_aws_brings_the_reconciler(account: ExampleAccount, name: str) -> None:
    intent = following(None, Wanted.STOP, By.OWNER, "the test", datetime.now(UTC) - timedelta(minutes=1))
    account.ledger.save(State(account.workstation).wanting(intent))
    assert call(account, name) == {"batchItemFailures": []}
    state = account.ledger.load(account.workstation)
    assert state.intent is not None
    assert state.intent.settled
    assert [call.parameters["InstanceIds"] for call in account.world.journal.calls("StopInstances")] == [
        [account.workstation]
    ]


def test_a_message_that_cannot_be_read_goes_back_and_keeps_no_other_from_its_work(account: ExampleAccount) -> None:
    intent = following(None, Wanted.STOP, By.OWNER, "the test", datetime.now(UTC) - timedelta(minutes=1))
    account.ledger.save(State(account.workstation).wanting(intent))
    batch = account.event("reconcile-wake")
    batch["Records"].insert(0, {**batch["Records"][0], "messageId": "bad", "body": "{"})
    assert call(account, "reconcile", batch) == {"batchItemFailures": [{"itemIdentifier": "bad"}]}
    assert account.world.journal.calls("StopInstances")


def test_an_event_about_somebody_elses_things_is_done_with_at_once(account: ExampleAccount) -> None:
    assert call(account, "reconcile", event("reconcile-snapshot")) == {"batchItemFailures": []}
    assert {call.operation for call in account.world.journal.calls()} <= {"DescribeVolumes", "DescribeSnapshots"}


@pytest.mark.parametrize("name", sorted(TAPPED))
def test_a_tap_changes_the_intent_and_wakes_the_reconciler(account: ExampleAccount, name: str) -> None:
    answer = call(account, name)
    assert answer["statusCode"] == 202
    intent = account.ledger.load(account.workstation).intent
    assert intent is not None
    assert (intent.wanted, intent.by) == TAPPED[name]
    assert "phone" in intent.why
    assert account.woken() == [account.workstation]


def test_a_tap_on_keep_awake_is_kept(account: ExampleAccount) -> None:
    assert call(account, "api-keep-awake")["statusCode"] == 202
    assert account.ledger.load(account.workstation).kept_awake_until is not None


def test_the_status_is_told(account: ExampleAccount) -> None:
    answer = call(account, "api-status")
    assert answer["statusCode"] == 200
    assert json.loads(answer["body"])["phase"] == "awake"


def test_the_page_is_the_file(account: ExampleAccount) -> None:
    answer = call(account, "api-page")
    assert answer["statusCode"] == 200
    assert base64.b64decode(answer["body"]) == files_in(ROOT / "functions/api/page")["index.html"].content


# Some messengers write the # of a link as %23, follow what they make of it, and send on where they came from.
_SPELLED = ("#", "%23", "%2523", "/", "%2F", "?", "&look=", "\r\n")
_HEADERS = ("authorization", "cookie", "referer", "user-agent", "x-amzn-trace-id", "x-forwarded-for", "origin", "host")


def misled(example: Any, secret: str) -> Iterator[Any]:
    """The request with the secret where it does not belong, in one place after another."""
    for between in _SPELLED:
        yield example | {"rawPath": f"{example['rawPath']}{between}{secret}"}
        yield example | {"rawPath": f"/w/{between}{secret}/start"}
    yield example | {"rawQueryString": f"secret={secret}", "queryStringParameters": {"secret": secret}}
    yield example | {"body": json.dumps({"secret": secret}), "cookies": [f"secret={secret}"]}
    yield example | {"pathParameters": {"id": secret}, "routeKey": f"GET /w/{secret}"}
    for header in _HEADERS:
        for value in (secret, f"Bearer {secret}", f"Bearer {secret} {secret}", f"https://x/w/{EXAMPLE}%23{secret}"):
            yield example | {"headers": {**example["headers"], header: value}}


@pytest.mark.parametrize("secret", [EXAMPLE_SECRET, EXAMPLE_SECRET[::-1]], ids=["right", "wrong"])
def test_no_log_line_and_no_answer_holds_a_secret_wherever_a_messenger_put_it(
    account: ExampleAccount, secret: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # A logger of its own: one of this name, made before, writes to where another test looked.
    monkeypatch.setenv("POWERTOOLS_SERVICE_NAME", f"read-{id(capsys)}")
    handler, asked, answers = load("api").handler, 0, []
    for name in sorted(EVENTS):
        for request in misled(account.event(name), secret) if name.startswith("api-") else ():
            asked += 1
            answers.append(handler(request, CONTEXT))
    logged = "".join(capsys.readouterr())
    assert logged.count('"answered"') >= asked > 200
    assert EXAMPLE_SECRET not in logged + str(answers)
    assert secret not in logged + str(answers)
