"""`autostop list`, `start`, `stop` and `open`, and an instance by its name in every command."""

import json
import socket
from dataclasses import replace
from datetime import timedelta

import click
import pytest

from autostop.model import WorkstationId
from autostop_cli.__main__ import cli
from autostop_cli.start_stop_open import answers
from tests.cli.desk import Desk, account_of

MINUTE = timedelta(minutes=1)


def following(at: Desk) -> Desk:
    """While a command waits, Autostop is at work."""
    return replace(at, account=account_of(at.lab, lambda seconds: void(at.lab.pass_time(timedelta(seconds=seconds)))))


def void(_answer: object) -> None: ...


def asleep(at: Desk) -> WorkstationId:
    lab = at.lab.workstation()
    at.lab.asleep(lab)
    return lab


def test_every_workstation_in_a_list_also_for_programs(at: Desk) -> None:
    lab = at.adopted("lab")
    assert lab in at.run("list").output
    (only,) = json.loads(at.run("list", "--json").stdout)
    assert (only["workstation"], only["name"], only["phase"]) == (lab, "lab", "awake")


def test_a_name_will_do_wherever_an_id_does(at: Desk) -> None:
    lab = at.adopted("big lab")
    at.adopted("big labs")
    assert at.run("status", "big lab").output.startswith(f"{lab}  big lab\n")
    assert at.run("keep-awake", "big lab").exit_code == 0
    unadopted = at.launch(tags={"Name": "new"})
    assert unadopted in at.run("adopt", "new", "--dry-run").output


def test_a_name_is_no_pattern(at: Desk) -> None:
    at.adopted("lab")
    starred = at.adopted("l*b")
    assert at.run("status", "l*b").output.startswith(starred)
    for pattern in ("l?b", "*", "l\\*b", "LAB", ""):
        assert at.run("status", pattern).exit_code == 2


def test_an_unknown_name_says_which_there_are(at: Desk) -> None:
    lab = at.adopted("lab")
    result = at.run("start", "labb")
    assert result.exit_code == 2
    assert f"'labb' is no instance's id or name here. The workstations: lab ({lab})" in result.output


def test_one_name_of_several_is_no_guess_but_for_the_adopted_one(at: Desk) -> None:
    first = at.launch(tags={"Name": "lab"})
    second = at.launch(tags={"Name": "lab"})
    result = at.run("adopt", "lab", "--dry-run")
    assert result.exit_code == 2
    assert first in result.output
    assert second in result.output
    at.lab.adopt(second)
    assert at.run("status", "lab").output.startswith(second)


def test_a_start_is_followed_until_it_is_ready(near: Desk) -> None:
    lab = asleep(near)
    result = following(near).run("start", "lab")
    assert result.exit_code == 0, result.output
    assert near.world.instance(lab).state == "running"
    assert "Waking up" in result.stderr
    assert "Awake" in result.stderr


def test_without_waiting_it_is_only_asked_for(near: Desk) -> None:
    asleep(near)
    result = near.run("start", "lab", "--no-wait", "--json")
    assert json.loads(result.stdout)["phase"] == "waking"


def test_a_stop_ends_a_promise_and_can_be_waited_for(near: Desk) -> None:
    lab = near.lab.workstation()
    near.lab.pass_time(5 * MINUTE)
    near.run("keep-awake", "lab")
    result = following(near).run("stop", "lab", "--wait")
    assert result.exit_code == 0, result.output
    assert near.world.instance(lab).state == "stopped"
    assert "the command autostop asked for it" in result.output


def test_what_is_not_adopted_is_not_started(near: Desk) -> None:
    lab = asleep(near)
    near.world.tag(lab, {"autostop": "off"})
    result = following(near).run("start", lab)
    assert result.exit_code == 1
    assert "is not adopted" in result.output


def test_ctrl_c_ends_the_telling_only(near: Desk) -> None:
    asleep(near)

    def interrupt(_seconds: float) -> None:
        raise KeyboardInterrupt

    result = replace(near, account=account_of(near.lab, interrupt)).run("start", "lab")
    assert result.exit_code == 1
    assert "It goes on without you" in result.output


def test_a_start_that_is_a_persons_turn_ends_in_why(near: Desk) -> None:
    lab = asleep(near)
    for snapshot in near.account.disks.snapshots(lab):
        near.world.cloud.snapshots.pop(snapshot.id)
    result = following(near).run("start", "lab")
    assert result.exit_code == 1
    assert "is gone" in result.output


@pytest.mark.parametrize("reached", [True, False])
def test_it_opens_what_answers_from_here_and_a_tunnel_to_what_does_not(
    near: Desk, monkeypatch: pytest.MonkeyPatch, *, reached: bool
) -> None:
    lab = near.lab.workstation()
    asked: list[tuple[str, int]] = []

    def answered(host: str, port: int) -> bool:
        asked.append((host, port))
        return reached

    monkeypatch.setattr("autostop_cli.start_stop_open.answers", answered)
    near.lab.pass_time(11 * MINUTE)
    url = f"https://{near.world.instance(lab).public_ip}:8888/lab"

    printed = near.run("open", "lab", "--print").output
    told = json.loads(near.run("open", "lab", "--json").output)

    assert asked[0] == (near.world.instance(lab).public_ip, 8888)
    command = (
        f"aws ssm start-session --target {lab} --document-name AWS-StartPortForwardingSession "
        "--parameters portNumber=8888,localPortNumber=8888 --region us-east-1"
    )
    if reached:
        assert printed == f"{url}\n"
        assert told == {"url": url, "tunnel": None}
    else:
        assert "It does not answer from here" in printed
        assert f"  {command}\n" in printed
        assert told == {"url": "https://localhost:8888/lab", "tunnel": command}


def test_what_sleeps_is_not_opened_but_how_to_wake_it_is_said(near: Desk) -> None:
    lab = asleep(near)
    result = near.run("open", "lab")
    assert result.exit_code == 1
    assert f"autostop start {lab}" in result.output


def test_a_port_answers_while_somebody_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert answers("127.0.0.1", port)
    assert not answers("127.0.0.1", port)


@pytest.mark.parametrize("command", sorted(cli.commands))
def test_the_help_of_every_command_has_an_example(command: str) -> None:
    shown = cli.commands[command].get_help(click.Context(cli.commands[command], info_name=command))
    assert f"autostop {command} " in shown.partition("Example")[2]
