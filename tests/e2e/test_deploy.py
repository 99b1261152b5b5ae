"""The repository's own template, deployed into the emulator by sam, with IAM enforced."""

import json
import os
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from autostop.app.links import make_link
from autostop.aws.channels import SOURCE, EventBridgeAnnouncer
from autostop.aws.codec import to_plain
from autostop.aws.ledger import DynamoLedger
from autostop.link import Scope
from autostop.model import WorkstationId
from autostop.notice import Notice, NoticeKind
from autostop_local.deploy import deploy
from autostop_local.emulator import emulator
from autostop_local.event_bus import events_sink
from autostop_local.stack import FunctionFailedError, Stack
from tests.aws.receiver import receiving

pytestmark = pytest.mark.e2e

WORKSTATION = "i-0123456789abcdef0"
OTHER = "i-0fedcba9876543210"
EVENTS = Path(__file__).parents[2] / "events"
API = schemathesis.openapi.from_path(Path(__file__).parents[2] / "docs" / "openapi.yaml")
CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with emulator(tmp_path_factory.mktemp("emulator")) as running:
        # The emulator's own EC2 has no instances: there is nothing to put to sleep, and nobody to ask.
        yield deploy(running, say=print, parameters={"SweepEvery": "rate(1 day)", "IdleAfter": "45m"})


@pytest.fixture(scope="module")
def secret(stack: Stack) -> str:
    """Of a link that may do everything."""
    now = datetime.now(UTC)
    new = make_link(ledger(stack), stack.api_url, WorkstationId(OTHER), "phone", tuple(Scope), None, now)
    return new.url.partition("#")[2]


def variables(stack: Stack, function: str) -> dict[str, str]:
    lambda_ = stack.emulator.session.client("lambda", **stack.emulator.reach)
    configuration = lambda_.get_function_configuration(FunctionName=stack.functions[function])
    return dict(configuration["Environment"]["Variables"])


def test_a_parameter_reaches_the_functions(stack: Stack) -> None:
    assert variables(stack, "sweep")["IDLE_AFTER"] == "45m"


def test_wiring_changes_where_the_functions_find_ec2_and_nothing_else(stack: Stack) -> None:
    before = variables(stack, "reconcile")

    stack.wire({"ec2": stack.emulator.url})

    assert variables(stack, "reconcile") == before | {"AWS_ENDPOINT_URL_EC2": stack.emulator.url}


def test_the_page_is_public_and_the_rest_is_not(stack: Stack) -> None:
    assert stack.api.page(WORKSTATION).status == 200
    assert stack.api.status(WORKSTATION, "wrong").status == 403
    assert stack.api.post(WORKSTATION, "start", "wrong").status == 403
    assert stack.api.call("GET", "/elsewhere").status == 404


def ledger(stack: Stack) -> DynamoLedger:
    return DynamoLedger(stack.emulator.session.client("dynamodb", **stack.emulator.reach), stack.table_name)


def ask(stack: Stack, case: schemathesis.Case[Any], secret: str) -> int:
    """The status of the answer to what was thought up for one workstation. Fails where it is not documented."""
    case.path_parameters["id"] = OTHER
    api = stack.api
    headers = {"Host": api.host, "Authorization": f"Bearer {secret}"}
    answer = case.call(base_url=f"http://{api.address}:{api.port}", headers=headers)
    case.validate_response(answer, checks=CHECKS)
    return answer.status_code


def wanted(stack: Stack) -> tuple[int, datetime | None]:
    state = ledger(stack).load(WorkstationId(OTHER))
    return state.intent.number if state.intent else 0, state.kept_awake_until


thought_up = settings(
    max_examples=5, deadline=None, derandomize=True, database=None, phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)  # fmt: skip


@API.parametrize()
@thought_up
def test_whoever_has_a_link_gets_what_is_documented(case: schemathesis.Case[Any], stack: Stack, secret: str) -> None:
    assert ask(stack, case, secret) in (200, 202, 400, 409)


@API.parametrize()
@thought_up
def test_whoever_has_none_changes_nothing(case: schemathesis.Case[Any], stack: Stack) -> None:
    before = wanted(stack)
    assert ask(stack, case, "c" * 43) in ((200,) if case.path.startswith("/w/") else (403, 429))
    assert wanted(stack) == before


def test_each_recipe_of_curl_does_what_it_says(stack: Stack, secret: str, tmp_path: Path) -> None:
    recipes = re.findall(r"```sh\n(.*?)```", (EVENTS.parent / "docs" / "phone.md").read_text("utf-8"), re.DOTALL)
    # Many machines do not resolve names under localhost.
    (tmp_path / ".curlrc").write_text(f'connect-to = "::{stack.api.address}:{stack.api.port}"\n', "utf-8")
    asks = {"LINK": f"{stack.api_url}/w/{OTHER}#{secret}", "HOME": str(tmp_path), "PATH": os.environ["PATH"]}
    before, _ = wanted(stack)

    ran = subprocess.run(
        ["sh", "-eu"], input="\n".join(recipes), env=asks, cwd=tmp_path, capture_output=True, text=True, timeout=120,
        check=False,
    )  # fmt: skip

    assert (ran.returncode, ran.stderr) == (0, "")
    assert len(re.findall('"phase"', ran.stdout)) == 6
    assert '"saved": {"instance"' in ran.stdout
    assert json.loads((tmp_path / "status.json").read_text("utf-8"))["workstation"] == OTHER
    number, kept_until = wanted(stack)
    assert number == before + 2
    assert kept_until is not None
    assert kept_until <= datetime.now(UTC)


def test_the_deployed_sweep_runs(stack: Stack) -> None:
    assert stack.invoke_sweep()["verdicts"] == {}


def test_a_function_that_fails_is_not_taken_for_an_answer(stack: Stack) -> None:
    with pytest.raises(FunctionFailedError, match="KeyError"):
        stack.invoke("reconcile", {"no": "records"})


def test_an_event_of_ec2_wakes_the_reconciler_by_the_templates_rule(stack: Stack) -> None:
    batch = json.loads((EVENTS / "reconcile-instance-state.json").read_text(encoding="utf-8"))
    event = json.loads(batch["Records"][0]["body"])

    assert events_sink(stack.emulator)(event) == 1

    wait(
        lambda: any(WORKSTATION in line.text for line in stack.function_logs("reconcile")),
        "the reconciler was not woken",
    )
    assert stack.dead_letters() == []


def wait(until: Callable[[], object], for_what: str) -> None:
    give_up = time.monotonic() + 300
    while not until():
        assert time.monotonic() < give_up, for_what
        time.sleep(0.1)


def subscribed(stack: Stack) -> Callable[[], list[Any]]:
    """What comes by the topic of notices."""
    session, reach = stack.emulator.session, stack.emulator.reach
    sqs, sns = session.client("sqs", **reach), session.client("sns", **reach)
    url = sqs.create_queue(QueueName="mails")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    policy = {"Effect": "Allow", "Principal": "*", "Action": "sqs:SendMessage", "Resource": arn}
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": json.dumps({"Statement": [policy]})})
    sns.subscribe(TopicArn=variables(stack, "notify")["TOPIC_ARN"], Protocol="sqs", Endpoint=arn)

    def received() -> list[Any]:
        messages = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages", [])
        return [json.loads(each["Body"]) for each in messages]

    return received


def test_a_warning_goes_from_the_bus_to_the_phone_and_its_link_keeps_awake(stack: Stack) -> None:
    now = datetime.now(UTC)
    notice = Notice(
        NoticeKind.STOPS_SOON, WorkstationId(WORKSTATION), "lab ä", now, "idle", now + timedelta(minutes=10)
    )
    with receiving() as phone:
        stack.send_notices_to(phone.url)

        topic = subscribed(stack)
        EventBridgeAnnouncer(stack.emulator.session.client("events", **stack.emulator.reach)).announce([notice])
        wait(lambda: phone.posted, "the notice did not arrive")
        # EventBridge may deliver an event twice. The emulator loses a log line that comes a blink after its answer.
        again = stack.invoke("notify", {"source": SOURCE, "detail": to_plain(notice)})
    assert (again["again"], again["sent"]) == (True, [])
    [posted] = phone.posted
    [mail] = topic()
    assert posted.text == mail["Message"]
    url, _, secret = posted.headers["Click"].partition("#")
    assert url == f"{stack.api_url}/w/{WORKSTATION}"
    assert f"Keep it awake: {url}#{secret}" in posted.text
    assert stack.api.post(WORKSTATION, "start", secret).status == 403
    assert stack.api.post(WORKSTATION, "stop", secret).status == 403
    assert stack.api.post(WORKSTATION, "keep-awake", secret).status == 202
    button = posted.headers["Actions"]
    locked = button.partition("Bearer ")[2].partition(",")[0]
    assert button.startswith(
        f"http, Keep awake, {stack.api_url}/api/workstations/{WORKSTATION}/keep-awake, method=POST"
    )
    assert stack.api.status(WORKSTATION, locked).status == 403
    assert stack.api.post(WORKSTATION, "keep-awake", locked).status == 204
    logged = [line.text for line in stack.function_logs("notify")]
    assert not any(each in f"{again}{logged}" for each in (secret, locked))
