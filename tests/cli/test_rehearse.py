"""`autostop rehearse`: what it shows and asks, what it refuses, what it reports, and its exit code."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import click
import pytest

from autostop import tags
from autostop.model import WorkstationId, instance_of
from autostop.sleep.intent import Wanted
from autostop_cli.rehearse.command import rehearse
from tests.cli.desk import Desk

CHANGES = ("Create", "Delete", "Start", "Stop", "Modify", "Attach", "Detach", "Put")


def workstation(at: Desk, **parameters: Any) -> WorkstationId:
    """A running workstation, adopted with the journal cleared after."""
    lab = at.launch(**parameters)
    at.clock.advance(timedelta(minutes=5))
    at.lab.adopt(lab)
    at.world.journal.clear()
    return lab


def stopped(at: Desk) -> WorkstationId:
    lab = workstation(at)
    at.account.instances.stop(instance_of(lab))
    at.clock.advance(timedelta(minutes=5))
    at.world.journal.clear()
    return lab


def changes(at: Desk) -> list[str]:
    return [each.operation for each in at.world.journal.calls() if each.operation.startswith(CHANGES)]


def state(at: Desk, lab: WorkstationId) -> str:
    return at.world.instance(lab).state


def nothing_is_left(at: Desk, lab: WorkstationId) -> bool:
    at.clock.advance(timedelta(minutes=1))
    at.world.tick()
    assert tags.REHEARSAL not in at.tags(lab)
    assert at.world.cloud.snapshots == {}
    return {each.attachment.instance_id for each in at.world.cloud.volumes.values() if each.attachment} == {lab}


def test_it_shows_the_plan_and_reports_what_it_found(at: Desk) -> None:
    lab = workstation(at)
    result = at.run("rehearse", lab, "--yes", "--stop")
    assert result.exit_code == 0, result.output
    plan, _, report = result.output.partition("DEVICE")
    assert "/dev/sdf" in plan
    assert "100 GiB" in plan
    assert "costs at most $0.03 an hour" in plan
    assert "snapshots: " in plan
    rows = [line.split()[0:1] + line.split()[-1:] for line in report.splitlines() if line.startswith("/dev/")]
    assert rows == [["/dev/sda1", "yes"], ["/dev/sdf", "yes"]]
    assert "own tags, content" in report
    assert "Shelving it takes about" in report
    assert "Waking it takes about" in report
    assert "$8.64 a month awake" in report
    assert "nothing is left over" in report
    assert state(at, lab) == "running"
    assert nothing_is_left(at, lab)


def test_a_stopped_one_stays_stopped(at: Desk) -> None:
    lab = stopped(at)
    result = at.run("rehearse", lab, "--yes")
    assert result.exit_code == 0, result.output
    assert "without the stop" in result.output
    assert state(at, lab) == "stopped"
    assert "StartInstances" not in changes(at)
    assert nothing_is_left(at, lab)


def test_a_dry_run_changes_nothing(at: Desk) -> None:
    lab = workstation(at)
    result = at.run("rehearse", lab, "--dry-run", "--yes", "--stop")
    assert result.exit_code == 0
    assert "It runs: it is stopped for some minutes" in result.output
    assert "this was a dry run" in result.output
    assert changes(at) == []
    assert at.account.ledger.load(lab).version == 0


def test_one_that_runs_is_stopped_only_when_that_was_said(at: Desk) -> None:
    lab = workstation(at)
    result = at.run("rehearse", lab, "--yes")
    assert result.exit_code == 1
    assert "Give --stop too" in result.output
    assert changes(at) == []


@pytest.mark.parametrize(("make", "words"), [(workstation, "Stop it now"), (stopped, "Rehearse i-")])
def test_the_owner_is_asked_and_a_no_changes_nothing(
    at: Desk, make: Callable[[Desk], WorkstationId], words: str
) -> None:
    asked: list[str] = []

    def no(question: str) -> None:
        asked.append(question)
        raise click.Abort

    lab = make(at)
    with pytest.raises(click.Abort):
        rehearse(at.account, lab, confirm=no)
    assert words in asked[0]
    assert changes(at) == []


def test_nobody_to_ask_changes_nothing(at: Desk) -> None:
    result = at.run("rehearse", workstation(at))
    assert result.exit_code == 1
    assert "Give --yes" in result.output
    assert changes(at) == []


def test_what_was_never_adopted_is_refused_with_what_to_do(at: Desk) -> None:
    lab = at.launch()
    at.clock.advance(timedelta(minutes=5))
    result = at.run("rehearse", lab, "--yes", "--stop")
    assert result.exit_code == 1
    assert f"autostop adopt {lab} --shelve-after off" in " ".join(result.output.split())
    assert changes(at) == []


def test_an_unknown_instance_is_one_sentence(at: Desk) -> None:
    result = at.run("rehearse", "i-0123456789abcdef0", "--yes")
    assert result.exit_code == 1
    assert "not there. Check the id" in result.output


def test_the_controller_is_told_to_start_it_before_it_is_stopped(at: Desk) -> None:
    lab = workstation(at)
    assert at.run("rehearse", lab, "--yes", "--stop").exit_code == 0
    intent = at.account.ledger.load(lab).intent
    assert intent is not None
    assert intent.wanted is Wanted.RUN
    assert at.account.ledger.take_lease(lab, "x", at.clock(), at.clock() + timedelta(minutes=1))


def test_without_a_stack_it_says_so_and_works_by_the_tags(at: Desk) -> None:
    lab = workstation(at)
    at.account.session.client("cloudformation").delete_stack(StackName="autostop")
    result = at.run("rehearse", lab, "--yes", "--stop")
    assert result.exit_code == 0, result.output
    assert "there is no stack autostop in us-east-1" in result.output
    assert state(at, lab) == "running"
    assert nothing_is_left(at, lab)


def test_what_fails_ends_with_exit_code_1_and_the_reason(at: Desk) -> None:
    lab = workstation(at)
    at.world.fail_next_volumes()
    result = at.run("rehearse", lab, "--yes", "--stop")
    assert result.exit_code == 1
    assert "/dev/sda1: EBS could not make a volume of its snapshot. May you use its KMS key?" in result.output
    assert "Your volumes are as they were" in result.output
    assert nothing_is_left(at, lab)


def test_content_that_could_not_be_compared_is_said(at: Desk) -> None:
    lab = workstation(at)
    at.world.fail_next("ListChangedBlocks", "AccessDeniedException", times=9, status=403)
    result = at.run("rehearse", lab, "--yes", "--stop")
    assert result.exit_code == 0
    assert "Content not compared: needs ebs:ListChangedBlocks" in result.output
    assert "own tags, content" not in result.output


def interrupted(at: Desk, lab: WorkstationId) -> None:
    """A rehearsal whose process was killed while the snapshots were pending, the instance stopped."""
    name = f"{lab}/2026-11-23T09:05:00Z"
    at.account.instances.stop(instance_of(lab))
    at.clock.advance(timedelta(minutes=1))
    at.world.tag(lab, {tags.REHEARSAL: at.world.instance(lab).launched_at.isoformat()})
    ours: Any = [{"Key": tags.AUTOSTOP, "Value": "on"}, {"Key": tags.REHEARSAL, "Value": name}]
    at.account.ec2.create_snapshots(
        InstanceSpecification={"InstanceId": lab}, TagSpecifications=[{"ResourceType": "snapshot", "Tags": ours}]
    )
    at.clock.advance(timedelta(minutes=1))
    at.world.journal.clear()


def test_what_an_interrupted_one_left_is_shown_and_put_right_first(at: Desk) -> None:
    lab = workstation(at)
    interrupted(at, lab)
    shown = at.run("rehearse", lab, "--dry-run")
    assert shown.exit_code == 0
    assert "A rehearsal that did not end left this behind" in shown.output
    assert "begun 2026-11-23T09:05:00Z" in shown.output
    assert changes(at) == []
    result = at.run("rehearse", lab, "--yes", "--stop")
    assert result.exit_code == 0, result.output
    assert "That is put right" in result.output
    assert state(at, lab) == "running"
    assert nothing_is_left(at, lab)


def test_what_was_left_is_not_removed_without_a_word(at: Desk) -> None:
    lab = workstation(at)
    interrupted(at, lab)
    assert at.run("rehearse", lab).exit_code == 1
    assert changes(at) == []


def test_ctrl_c_says_how_to_go_on(at: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    lab = workstation(at)
    sleep = at.account.sleep
    naps: list[float] = []

    def nap(seconds: float) -> None:
        naps.append(seconds)
        if len(naps) == 3:
            raise KeyboardInterrupt
        sleep(seconds)

    # `Desk.run` hands it on to the account of each call.
    monkeypatch.setitem(at.account.__dict__, "sleep", nap)
    result = at.run("rehearse", lab, "--yes", "--stop")
    assert result.exit_code == 130
    assert f"Interrupted. Your volumes are as they were. `autostop rehearse {lab}`" in result.output
    assert state(at, lab) == "running"
    assert nothing_is_left(at, lab)
