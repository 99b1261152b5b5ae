"""How a function starts: all of it while Lambda initializes it, and nothing of it over the network."""

import json
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from autostop.aws import clients
from autostop.settings import InvalidSettingError
from tests.handlers.functions import CONTEXT, ROOT, event, load

FUNCTIONS = sorted(path.parent.name for path in ROOT.glob("functions/*/app.py"))
GIVEN = {
    "AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing", "AWS_DEFAULT_REGION": "us-east-1",
    "TABLE_NAME": "autostop", "QUEUE_URL": "https://sqs.us-east-1.amazonaws.com/123456789012/reconcile",
    "TOPIC_ARN": "arn:aws:sns:us-east-1:123456789012:notices", "API_URL": "https://api.example",
    "NOTICE_URL": "https://ntfy.example/secret-topic",
}  # fmt: skip
NEEDED = [(name, "TABLE_NAME") for name in FUNCTIONS]
NEEDED += [(name, "QUEUE_URL") for name in ("api", "reconcile", "sweep")]
NEEDED += [("notify", "TOPIC_ARN"), ("notify", "API_URL")]


@pytest.fixture
def reached(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """The hosts that anybody tried to reach; none of them answers."""
    tried: list[Any] = []

    def refuse(*asked: Any, **_: Any) -> Any:
        tried.append(asked[-1] if isinstance(asked[0], socket.socket) else asked[0])
        raise OSError("there is no network")

    for name, value in GIVEN.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    clients.session.cache_clear()
    yield tried
    clients.session.cache_clear()


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_is_wired_when_it_is_imported_without_network(name: str, reached: list[Any]) -> None:
    made: list[str] = []
    clients.session().register("creating-client-class.*", lambda **told: made.append(told["event_name"]))

    load(name)

    assert made
    assert reached == []


@pytest.mark.parametrize(("name", "variable"), NEEDED)
def test_a_variable_that_is_missing_is_named_when_a_function_is_imported(
    name: str, variable: str, reached: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(variable)
    with pytest.raises(InvalidSettingError, match=variable):
        load(name)


def test_the_page_waits_for_no_client(reached: list[Any]) -> None:
    api = load("api")
    assert api.handler(event("api-page"), CONTEXT)["statusCode"] == 200
    assert reached == []


def test_what_is_logged_has_moments_that_lambda_can_read_and_the_request_they_are_about(
    reached: list[Any], capsys: pytest.CaptureFixture[str]
) -> None:
    api = load("api")
    asked = event("api-page")
    for _ in range(2):  # the second is a warm start, whose logger was cleared
        api.handler(asked, CONTEXT)

    for text in capsys.readouterr().out.splitlines():
        line = json.loads(text)
        # Lambda reads the level of lines with RFC 3339's moments only: without them an ERROR is filed as INFO.
        assert line["timestamp"][10] == "T"
        assert line["timestamp"][-6:] == "+00:00"
        assert line["correlation_id"] == asked["requestContext"]["requestId"]
        assert line["function_request_id"] == CONTEXT.aws_request_id
