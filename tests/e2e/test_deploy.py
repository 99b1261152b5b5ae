"""The repository's own template, deployed into the emulator by sam, with IAM enforced."""

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from autostop_local.deploy import deploy
from autostop_local.emulator import emulator
from autostop_local.event_bus import events_sink
from autostop_local.stack import FunctionFailedError, Stack

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

WORKSTATION = "i-0123456789abcdef0"
EVENTS = Path(__file__).parents[2] / "events"


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with emulator(tmp_path_factory.mktemp("emulator")) as running:
        # The emulator's own EC2 has no instances: there is nothing to put to sleep, and nobody to ask.
        yield deploy(running, say=print, parameters={"SweepEvery": "rate(1 day)", "IdleAfter": "45m"})


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


def test_the_deployed_sweep_runs(stack: Stack) -> None:
    assert stack.invoke_sweep()["verdicts"] == {}


def test_a_function_that_fails_is_not_taken_for_an_answer(stack: Stack) -> None:
    with pytest.raises(FunctionFailedError, match="KeyError"):
        stack.invoke("reconcile", {"no": "records"})


def test_an_event_of_ec2_wakes_the_reconciler_by_the_templates_rule(stack: Stack) -> None:
    batch = json.loads((EVENTS / "reconcile-instance-state.json").read_text(encoding="utf-8"))
    event = json.loads(batch["Records"][0]["body"])

    assert events_sink(stack.emulator)(event) == 1

    give_up = time.monotonic() + 30
    while not any(WORKSTATION in line.text for line in stack.function_logs("reconcile")):
        assert time.monotonic() < give_up, "the reconciler was not woken"
        time.sleep(0.1)
    assert stack.dead_letters() == []
