"""Asking workstations by Run Command, in the world."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import pytest
from botocore.exceptions import ClientError

from autostop.aws.https_jupyter import HttpsJupyter
from autostop.aws.probes import Askers
from autostop.idle.reading import Reading, Unknown
from autostop.model import Instance, WorkstationId
from autostop.settings import Policy, Probe
from autostop.state import Asked
from autostop.tags import JUPYTER_CERTIFICATE
from tests.app.autostop_at_work import AtWork


def instances(lab: AtWork, count: int) -> list[Instance]:
    for _ in range(count):
        lab.workstation(disks={})
    lab.clock.advance(timedelta(minutes=1))
    return list(lab.instances.tagged())


def ask(
    lab: AtWork, many: Sequence[Instance], probe: Probe = Probe.SSM
) -> dict[WorkstationId, Asked | Reading | Unknown]:
    return dict(lab.asker.ask([(each, Policy(probe=probe)) for each in many], lab.clock()))


def under_way(answers: dict[WorkstationId, Asked | Reading | Unknown]) -> dict[WorkstationId, Asked]:
    return {workstation: each for workstation, each in answers.items() if isinstance(each, Asked)}


def test_one_command_asks_fifty(lab: AtWork) -> None:
    many = instances(lab, 51)
    answers = ask(lab, many)
    assert len(under_way(answers)) == 51
    sizes = [len(call.parameters["InstanceIds"]) for call in lab.world.journal.calls("SendCommand")]
    assert sizes == [50, 1]
    [first, _] = lab.world.journal.calls("SendCommand")
    assert first.parameters["TimeoutSeconds"] <= 60


def test_ten_of_fifty_without_agent_cost_two_more_calls(lab: AtWork) -> None:
    many = instances(lab, 50)
    for each in many[::5]:
        lab.world.break_agent(each.id)
    answers = ask(lab, many)
    assert len(under_way(answers)) == 40
    assert {str(answers[each.workstation].reason) for each in many[::5]} == {  # type: ignore[union-attr]  # all Unknown
        "Run Command does not reach it: is the SSM agent running, with a role that lets it register?"
    }
    calls = lab.calls("SendCommand", "DescribeInstanceInformation")
    assert calls == ["SendCommand", "DescribeInstanceInformation", "SendCommand"]


def test_none_with_an_agent_is_not_asked_again(lab: AtWork) -> None:
    many = instances(lab, 3)
    for each in many:
        lab.world.break_agent(each.id)
    assert under_way(ask(lab, many)) == {}
    assert lab.calls("SendCommand") == ["SendCommand"]


def test_where_ssm_does_not_say_it_the_one_without_agent_is_found_by_halving(lab: AtWork) -> None:
    many = instances(lab, 8)
    lab.world.break_agent(many[3].id)
    lab.world.fail_next("DescribeInstanceInformation", "AccessDeniedException", times=10)
    answers = ask(lab, many)
    lost = answers[many[3].workstation]
    assert isinstance(lost, Unknown)
    assert "SSM agent" in lost.reason
    assert len(under_way(answers)) == 7
    assert len(lab.world.journal.calls("SendCommand")) == 7


@pytest.mark.parametrize(
    ("code", "words"), [("UnsupportedPlatformType", "only Linux"), ("AccessDeniedException", "autostop = on")]
)
def test_one_that_may_not_or_cannot_be_asked_hides_no_other(lab: AtWork, code: str, words: str) -> None:
    many = instances(lab, 4)
    send = lab.ssm.send_command

    def refusing(**asked: Any) -> Any:
        if many[2].id in asked["InstanceIds"]:
            raise ClientError({"Error": {"Code": code, "Message": "no"}}, "SendCommand")
        return send(**asked)

    with patch.object(lab.ssm, "send_command", refusing):
        answers = ask(lab, many)

    refused = answers[many[2].workstation]
    assert isinstance(refused, Unknown)
    assert words in refused.reason
    assert len(under_way(answers)) == 3


def test_answers_are_collected_with_one_call_for_one_command(lab: AtWork) -> None:
    many = instances(lab, 3)
    lab.answers[many[1].workstation].busy = True
    lab.answers[many[2].workstation].fails = True
    asked_at = lab.clock()
    answers = ask(lab, many)
    assert lab.asker.collect(under_way(answers), lab.clock()) == {}
    lab.clock.advance(timedelta(seconds=5))
    lab.world.journal.clear()
    collected = lab.asker.collect(under_way(answers), lab.clock())
    assert len(lab.world.journal.calls("ListCommandInvocations")) == 1
    quiet, busy, failed = (collected[each.workstation] for each in many)
    assert isinstance(quiet, Reading)
    assert isinstance(busy, Reading)
    assert (quiet.servers[0].busy, busy.servers[0].busy) == (0, 1)
    assert quiet.at == asked_at
    assert isinstance(failed, Unknown)
    assert "Failed" in failed.reason


@pytest.mark.parametrize(("invocation", "words"), [
    ({"StatusDetails": "Undeliverable"}, "is the SSM agent running"),
    ({"StatusDetails": "Delivery Timed Out"}, "has it a way out"),
    ({"StatusDetails": "DeliveryTimedOut"}, "has it a way out"),
    ({"StatusDetails": "Execution Timed Out"}, "did not end within 20 s"),
    ({"StatusDetails": "Failed", "CommandPlugins": [{"ResponseCode": 127}]}, "install Python 3.8"),
    ({"StatusDetails": "Failed", "CommandPlugins": [{"ResponseCode": 1}]}, "the probe ended as Failed"),
    ({"StatusDetails": "Terminated"}, "the probe ended as Terminated"),
    ({"Status": "Cancelled"}, "the probe ended as Cancelled"),
])  # fmt: skip
def test_a_command_that_came_to_nothing_says_what_helps(invocation: Any, words: str) -> None:
    told = {"InstanceId": "i-0123456789abcdef0", "Status": "Failed", **invocation}
    pages = SimpleNamespace(paginate=lambda **_: [{"CommandInvocations": [told]}])
    client: Any = SimpleNamespace(get_paginator=lambda _: pages)
    one, now = WorkstationId("i-0123456789abcdef0"), datetime(2026, 11, 28, 18, tzinfo=UTC)
    answer = Askers(client, HttpsJupyter(lambda: now)).collect({one: Asked("command", now)}, now)[one]
    assert isinstance(answer, Unknown)
    assert words in answer.reason


def test_more_than_a_page_of_answers_is_collected(lab: AtWork) -> None:
    many = instances(lab, 50)
    answers = ask(lab, many)
    lab.clock.advance(timedelta(seconds=5))
    assert len(lab.asker.collect(under_way(answers), lab.clock())) == 50


def test_an_answer_that_never_comes_is_given_up(lab: AtWork) -> None:
    lab.world.timings.command = timedelta(hours=1)
    [one] = instances(lab, 1)
    answers = under_way(ask(lab, [one]))
    lab.clock.advance(timedelta(minutes=2, seconds=59))
    assert lab.asker.collect(answers, lab.clock()) == {}
    lab.clock.advance(timedelta(seconds=1))
    given_up = lab.asker.collect(answers, lab.clock())[one.workstation]
    assert isinstance(given_up, Unknown)
    assert given_up.at == lab.clock()


def test_a_list_that_cannot_be_read_is_no_answer_yet(lab: AtWork) -> None:
    [one] = instances(lab, 1)
    answers = under_way(ask(lab, [one]))
    lab.clock.advance(timedelta(seconds=5))
    lab.world.fail_next("ListCommandInvocations", "ThrottlingException", times=10)
    assert lab.asker.collect(answers, lab.clock()) == {}


@pytest.mark.parametrize("code", ["AccessDeniedException", "ThrottlingException", "InvalidDocument"])
def test_a_command_that_is_refused_is_unread_for_all(lab: AtWork, code: str) -> None:
    many = instances(lab, 2)
    lab.world.fail_next("SendCommand", code, times=10)
    answers = ask(lab, many)
    assert all(isinstance(answer, Unknown) for answer in answers.values())
    assert len(answers) == 2


@pytest.mark.parametrize("said", ["", "bash: python3: not found", "{}", json.dumps({"v": 2}), "x" * 5000])
def test_whatever_a_workstation_says_is_no_exception(lab: AtWork, said: str) -> None:
    [one] = instances(lab, 1)
    lab.machines.respond = lambda _instance, _script: said
    answers = under_way(ask(lab, [one]))
    lab.clock.advance(timedelta(seconds=5))
    assert isinstance(lab.asker.collect(answers, lab.clock())[one.workstation], Unknown)


def test_https_without_certificate_or_token_says_what_is_missing(lab: AtWork) -> None:
    [one] = instances(lab, 1)
    answer = ask(lab, [one], Probe.HTTPS)[one.workstation]
    assert isinstance(answer, Unknown)
    assert "no pinned certificate" in answer.reason
    lab.ec2.create_tags(Resources=[one.workstation], Tags=[{"Key": JUPYTER_CERTIFICATE, "Value": "ab" * 32}])
    answer = ask(lab, list(lab.instances.tagged()), Probe.HTTPS)[one.workstation]
    assert isinstance(answer, Unknown)
    assert f"/autostop/{one.id}/jupyter-token" in answer.reason


def test_nobody_is_asked_who_is_not_to_be(lab: AtWork) -> None:
    many = instances(lab, 2)
    assert ask(lab, many, Probe.NONE) == {}
    assert lab.world.journal.calls("SendCommand") == []
