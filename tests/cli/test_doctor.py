"""`autostop doctor`: what the machine says of itself, and what to do about it."""

import re
from datetime import timedelta

import pytest

from autostop_cli.doctor import findings
from tests.build import row
from tests.cli.desk import Desk

WELL = {"ours": "workstation", "boot": "active", "data": "/dev/nvme1n1", "environments": "inactive", "made": "made"}
WELL |= {"jupyterlab": "active", "answer": '{"version": "2.21.1"}'}
FAILURE = '{"address": "203.0.113.7", "at": "2026-11-29T09:00:00+00:00", "reason": "certbot: Timeout during connect"}'


@pytest.mark.parametrize(("told", "about", "how", "then"), [
    row("of another", {"ours": ""}, "machine", "not made by", "nothing of Autostop"),
    row("data", {"data": ""}, "data volume", "not mounted", "--unit autostop-boot"),
    row("boot", {"boot": "failed"}, "boot", "failed", "--unit autostop-boot"),
    row("first boot", {"made": "", "environments": "activating"}, "JupyterLab", "not installed yet", "some minutes"),
    row("no environment", {"made": "", "environments": "failed"}, "JupyterLab", "not", "--unit autostop-environments"),
    row("silent", {"answer": ""}, "JupyterLab", "active, and does not answer", "--unit autostop-jupyterlab"),
    row("certificate", {"public": FAILURE}, "public certificate", "since 2026-11-29.*Timeout", "Its own one is served"),
    row("nonsense", {"public": "[]"}, "public certificate", "cannot be read", "Its own one is served"),
])  # fmt: skip
def test_what_is_not_well_has_a_next_step(told: dict[str, str], about: str, how: str, then: str) -> None:
    [(_, said, next_step)] = [each for each in findings(WELL | told) if each[2]]
    assert about in {each[0] for each in findings(WELL | told)}
    assert re.search(how, said)
    assert then in next_step
    assert not any(each[2] for each in findings(WELL))


def test_the_machine_is_asked_by_run_command(at: Desk) -> None:
    lab = at.adopted()
    at.lab.machines.respond = lambda _instance, _script: "\n".join(f"{key}={value}" for key, value in WELL.items())
    assert "JupyterLab   answers" in at.run("doctor", "lab").output
    at.world.break_agent(lab)
    assert "The SSM agent of" in at.run("doctor", "lab").output
    at.account.ec2.stop_instances(InstanceIds=[lab])
    at.clock.advance(timedelta(minutes=9))
    assert f"autostop start {lab}" in at.run("doctor", "lab").output
