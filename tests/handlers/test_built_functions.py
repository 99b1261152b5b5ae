"""Every example event, answered by its built function under Lambda's runtime; each function starts once."""

import base64
import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from autostop.static_files import files_in
from autostop_local.runtime import Runtime
from tests.handlers.account import VARIABLES, ExampleAccount, example_account
from tests.handlers.built import built_layer, function
from tests.handlers.functions import EXAMPLE_SECRET, ROOT
from tests.handlers.template import load

# Backwards, so that the sweep finds the workstation running: further on it is stopped, and started again.
EVENTS = sorted((path.stem for path in (ROOT / "events").glob("*-*.json")), reverse=True)
ANSWERS = {"api-page": 200, "api-status": 200, "api-start": 202, "api-stop": 202, "api-keep-awake": 202}


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ExampleAccount]:
    with example_account(tmp_path_factory.mktemp("account") / "world") as account:
        yield account


@pytest.fixture(scope="module")
def started(account: ExampleAccount, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Runtime]]:
    """A function by its name; it is started when it is first asked for, and stays."""
    layer = built_layer(tmp_path_factory.mktemp("sam"), lambda _: None)
    running: dict[str, Runtime] = {}
    with ExitStack() as stack:

        def started(name: str) -> Runtime:
            if name not in running:
                running[name] = stack.enter_context(function(name, layer, account.url))
            return running[name]

        yield started


@pytest.mark.parametrize("name", EVENTS)
def test_an_example_event_is_answered(name: str, account: ExampleAccount, started: Callable[[str], Runtime]) -> None:
    running = started(name.partition("-")[0])
    returned = running.invoke(account.event(name))

    match name.partition("-")[0]:
        case "api":
            assert returned["statusCode"] == ANSWERS[name]
        case "reconcile":
            assert returned == {"batchItemFailures": []}
        case "sweep":
            assert returned["verdicts"].keys() == {account.workstation}
        case "notify":
            # The example's stop was due long ago.
            assert returned == {"late": True, "again": False, "sent": [], "failed": {}}
        case other:
            pytest.fail(f"nobody knows what {other} should answer")
    assert EXAMPLE_SECRET not in running.log_file.read_text(encoding="utf-8")


def test_the_page_comes_whole_through_the_runtime(account: ExampleAccount, started: Callable[[str], Runtime]) -> None:
    returned = started("api").invoke(account.event("api-page"))
    assert base64.b64decode(returned["body"]) == files_in(ROOT / "functions/api/page")["index.html"].content


def test_the_variables_are_those_that_sam_cannot_know_and_hands_on() -> None:
    template = load()
    functions = template.of_type("AWS::Serverless::Function").values()
    everywhere = template.body["Globals"]["Function"]["Environment"]["Variables"]
    own = [function["Properties"].get("Environment", {}).get("Variables", {}) for function in functions]
    declared: dict[str, Any] = {name: value for part in (everywhere, *own) for name, value in part.items()}
    # sam leaves out what the template does not declare, and knows the parameters' defaults itself.
    known = {name for name, value in declared.items() if isinstance(value, str) or _has_default(value)}
    assert VARIABLES.keys() == declared.keys() - known
    assert json.loads((ROOT / "events/env.json").read_text(encoding="utf-8")).keys() == {"Parameters"}


def _has_default(value: Any) -> bool:
    return "Default" in load().parameters.get(value.get("Ref", ""), {})
