from datetime import timedelta
from typing import Any

import pytest

from autostop_local.world import Outcome
from tests.local.conftest import Desk, Refused


def ask(instance_ids: list[str], *commands: str, **parameters: list[str]) -> dict[str, Any]:
    return {
        "InstanceIds": instance_ids,
        "DocumentName": "AWS-RunShellScript",
        "Parameters": {"commands": list(commands) or ["true"], **parameters},
    }


def send(desk: Desk, instance_ids: list[str], *commands: str, **parameters: list[str]) -> str:
    return desk.ssm.send_command(**ask(instance_ids, *commands, **parameters))["Command"]["CommandId"]


def listed(desk: Desk, command_id: str) -> list[dict[str, Any]]:
    reply = desk.ssm.list_command_invocations(CommandId=command_id, Details=True)
    return [dict(one) for one in reply["CommandInvocations"]]


def test_a_command_is_pending_in_progress_and_then_a_success_with_its_output(desk: Desk) -> None:
    desk.world.timings.command = timedelta(seconds=5)
    desk.machines.respond = lambda instance_id, script: f"{instance_id} ran {script!r}"
    one, other = desk.launch(), desk.launch()

    command_id = send(desk, [one, other], "set -e", "uptime")

    assert [invocation["Status"] for invocation in listed(desk, command_id)] == ["Pending", "Pending"]
    desk.wait(1)
    assert [invocation["Status"] for invocation in listed(desk, command_id)] == ["InProgress", "InProgress"]
    assert listed(desk, command_id)[0]["CommandPlugins"][0]["Output"] == ""
    desk.wait(4)
    told = listed(desk, command_id)
    assert [invocation["Status"] for invocation in told] == ["Success", "Success"]
    assert [invocation["InstanceId"] for invocation in told] == [one, other]
    assert told[0]["CommandPlugins"][0]["Output"] == f"{one} ran 'set -e\\nuptime\\n'"
    assert told[0]["CommandPlugins"][0]["ResponseCode"] == 0


@pytest.mark.parametrize(("outcome", "status", "details", "code", "errors"), [
    (Outcome(0, "fine"), "Success", "Success", 0, ""),
    (Outcome(3, "out", "err"), "Failed", "Failed", 3, "errfailed to run commands: exit status 3"),
    (Outcome(-9, timed_out=True), "TimedOut", "Execution Timed Out", -9, ""),
], ids=["success", "failure", "time out"])  # fmt: skip
def test_ends(desk: Desk, outcome: Outcome, status: str, details: str, code: int, errors: str) -> None:
    desk.machines.respond = lambda _instance_id, _script: outcome
    instance_id = desk.launch()
    command_id = send(desk, [instance_id])
    desk.wait(10)

    told = desk.ssm.get_command_invocation(CommandId=command_id, InstanceId=instance_id)

    assert (told["Status"], told["StatusDetails"], told["ResponseCode"]) == (status, details, code)
    assert (told["StandardOutputContent"], told["StandardErrorContent"]) == (outcome.stdout, errors)
    assert listed(desk, command_id)[0]["Status"] == status


def test_output_is_cut(desk: Desk) -> None:
    desk.machines.respond = lambda _instance_id, _script: Outcome(0, "x" * 30_000, "y" * 9_000)
    instance_id = desk.launch()
    command_id = send(desk, [instance_id])
    desk.wait(10)

    told = desk.ssm.get_command_invocation(CommandId=command_id, InstanceId=instance_id)

    assert len(listed(desk, command_id)[0]["CommandPlugins"][0]["Output"]) == 2_500
    assert (len(told["StandardOutputContent"]), len(told["StandardErrorContent"])) == (24_000, 8_000)


def test_one_unreachable_instance_refuses_the_whole_call(desk: Desk, refused: Refused) -> None:
    good, stopped, broken = desk.launch(), desk.stopped(), desk.launch()
    desk.world.break_agent(broken)
    booting = desk.world.launch()
    desk.wait(3)  # running for a second: the agent comes two later

    for bad in (stopped, broken, booting, "i-0123456789abcdef0"):
        assert refused(desk.ssm.send_command, **ask([good, bad]))[0] == "InvalidInstanceId"
    desk.wait(2)
    desk.world.break_agent(broken, broken=False)
    assert len(listed(desk, send(desk, [good, booting, broken]))) == 3
    pings = desk.ssm.describe_instance_information()["InstanceInformationList"]
    assert {one["InstanceId"]: one["PingStatus"] for one in pings}[stopped] == "ConnectionLost"


def test_at_most_fifty_instances(desk: Desk, refused: Refused) -> None:
    instances = [desk.world.launch() for _ in range(51)]
    desk.wait(60)

    assert refused(desk.ssm.send_command, **ask(instances))[0] == "ValidationException"
    assert len(listed(desk, send(desk, instances[:50]))) == 50


def test_what_is_no_shell_script_is_refused(desk: Desk, refused: Refused) -> None:
    instance_id = desk.launch()
    document = {**ask([instance_id]), "DocumentName": "AWS-Nonsense"}

    assert refused(desk.ssm.send_command, **document)[0] == "InvalidDocument"
    asked = ask([instance_id], executionTimeout=["soon"])
    assert refused(desk.ssm.send_command, **asked)[0] == "InvalidParameters"


def test_what_is_not_delivered_ends_after_its_time(desk: Desk) -> None:
    late, never, well = desk.launch(), desk.launch(), desk.launch()
    desk.world.lose_commands(late, "DeliveryTimedOut")
    desk.world.lose_commands(never, "Undeliverable")
    asked = {"DocumentName": "AWS-RunShellScript", "Parameters": {"commands": ["true"]}, "TimeoutSeconds": 60}
    command_id = desk.ssm.send_command(InstanceIds=[late, never, well], **asked)["Command"]["CommandId"]  # type: ignore[arg-type]  # a plain dict

    def ends() -> list[tuple[str, str]]:
        told = desk.ssm.list_command_invocations(CommandId=command_id, Details=True)["CommandInvocations"]
        return [(one["Status"], one["StatusDetails"]) for one in told]

    desk.wait(59)
    assert ends() == [("Pending", "Delayed"), ("Failed", "Undeliverable"), ("Success", "Success")]
    desk.wait(1)
    assert ends()[0] == ("TimedOut", "DeliveryTimedOut")
    desk.world.lose_commands(late, None)
    command_id = desk.ssm.send_command(InstanceIds=[late], **asked)["Command"]["CommandId"]  # type: ignore[arg-type]  # a plain dict
    desk.wait(10)
    assert ends() == [("Success", "Success")]
