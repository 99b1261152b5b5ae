"""Which workstations are asked, and how few calls that takes."""

from datetime import timedelta
from typing import Any

import pytest

from autostop.app import sweep
from autostop.idle.reading import Reading, Unknown
from autostop.idle.verdict import VerdictKind
from autostop.model import WorkstationId
from tests.app.autostop_at_work import AtWork


def asked(lab: AtWork) -> list[WorkstationId]:
    return [each for call in lab.world.journal.calls("SendCommand") for each in call.parameters["InstanceIds"]]


def test_only_quiet_workstations_that_may_be_asked_are_asked(lab: AtWork) -> None:
    quiet, busy, never = lab.workstation(), lab.workstation(), lab.workstation(settings={"probe": "none"})
    off = lab.workstation(settings={"idle-after": "off"})
    lab.machines.use_cores(busy, 2.0)
    lab.pass_time(timedelta(minutes=21))
    lab.world.journal.clear()
    lab.sweep()
    assert quiet in asked(lab)
    assert not {busy, never, off} & set(asked(lab))


def test_many_workstations_take_one_call_of_each_kind(lab: AtWork) -> None:
    many = [lab.workstation(disks={}) for _ in range(12)]
    lab.pass_time(timedelta(minutes=21))
    lab.world.journal.clear()
    lab.sweep()
    operations = [call.operation for call in lab.world.journal.calls()]
    # The processor of all, then the network of those that are quiet.
    measured = ["GetMetricData", "GetMetricData"]
    assert operations == ["DescribeInstances", *measured, "ListCommandInvocations", "SendCommand"]
    assert sorted(asked(lab)) == sorted(many)


def test_another_period_takes_a_call_of_its_own(lab: AtWork) -> None:
    lab.workstation(disks={})
    lab.workstation(disks={}, settings={"cpu-period": "1m"})
    lab.clock.advance(timedelta(minutes=1))
    lab.world.journal.clear()
    lab.sweep()
    periods = {
        query["MetricStat"]["Period"]
        for call in lab.world.journal.calls("GetMetricData")
        for query in call.parameters["MetricDataQueries"]
    }
    assert periods == {60, 300}
    assert len(lab.world.journal.calls("GetMetricData")) == 4


def test_an_answer_is_collected_at_the_next_look(lab: AtWork) -> None:
    workstation = lab.workstation(disks={})
    lab.pass_time(timedelta(minutes=16))
    first = lab.seen(workstation)
    assert first.asked_at is not None
    lab.pass_time(timedelta(minutes=5))
    then = lab.seen(workstation)
    assert isinstance(then.answer, Reading)
    # It speaks for the moment when it was asked, not for when it was collected.
    assert then.answer.at == first.asked_at
    assert then.asked_command not in ("", first.asked_command)


def test_stopped_workstations_are_neither_measured_nor_asked(lab: AtWork) -> None:
    workstation = lab.workstation(disks={}, settings={"shelve-after": "off"})
    lab.clock.advance(timedelta(minutes=1))
    lab.ec2.stop_instances(InstanceIds=[workstation])
    lab.pass_time(timedelta(minutes=20))
    lab.world.journal.clear()
    swept = lab.sweep()
    assert [call.operation for call in lab.world.journal.calls()] == ["DescribeInstances"]
    assert swept.verdicts == {}


def test_one_broken_agent_hides_no_other_workstation(lab: AtWork) -> None:
    many = [lab.workstation(disks={}) for _ in range(5)]
    lab.world.break_agent(many[2])
    lab.pass_time(timedelta(minutes=30))
    answers = {each: lab.seen(each).answer for each in many}
    assert all(isinstance(answers[each], Reading) for each in many if each != many[2])
    assert isinstance(answers[many[2]], Unknown)
    lab.pass_time(timedelta(hours=1))
    assert lab.verdict(many[2]).kind is VerdictKind.UNKNOWN


def test_a_damaged_item_is_skipped_and_the_others_are_judged(lab: AtWork) -> None:
    damaged, healthy = lab.workstation(disks={}), lab.workstation(disks={})
    key: dict[str, Any] = {"workstation": {"S": "states"}, "kind": {"S": damaged}}
    lab.ledger.client.put_item(TableName=lab.ledger.table, Item={**key, "version": {"N": "1"}, "document": {"S": "{"}})
    lab.clock.advance(timedelta(minutes=1))
    swept = lab.sweep()
    assert "the items of" in swept.skipped[damaged]
    assert "autostop recover" in swept.skipped[damaged]
    assert healthy in swept.verdicts


def test_many_that_were_adopted_at_once_are_written_by_and_by(lab: AtWork, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweep, "_MOST_NEW", 2)
    for _ in range(5):
        lab.workstation(disks={})
    lab.clock.advance(timedelta(minutes=1))

    written = []
    for _ in range(3):
        assert lab.sweep().skipped == {}
        written.append(len(lab.ledger.states()))

    assert written == [2, 4, 5]
