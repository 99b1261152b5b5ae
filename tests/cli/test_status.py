"""`autostop status`: every workstation on a line, one in full, and nothing that a terminal obeys."""

import json
import os
import re
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

from autostop.idle.sweep_record import SweepRecord
from autostop.idle.verdict import Verdict, VerdictKind
from autostop.model import WorkstationId, instance_of
from autostop.notice import NoticeKind, Told
from autostop.sleep.intent import By, Intent, Wanted
from autostop.state import Happened, State
from tests.cli.desk import START, Desk, desk


def test_no_workstation_yet(at: Desk) -> None:
    result = at.run("status")
    assert result.exit_code == 0
    assert "autostop adopt" in result.output


def test_a_tag_that_only_looks_like_ours_is_told(at: Desk) -> None:
    typed = {
        at.launch(): tags for tags in ({"autostop": "On"}, {"AutoStop": "true"}, {"AUTOSTOP": "off"}, {"Auto": "on"})
    }
    for lab, tags in typed.items():
        at.world.tag(lab, tags)
    upper, camel, *_ = typed
    lines = at.run("status").output.splitlines()
    assert [line.partition(" = ")[0] for line in lines if line.startswith("problem")] == [
        f"problem: {upper}: tag 'autostop'",
        f"problem: {camel}: tag 'AutoStop'",
    ]
    assert "heed only autostop = on, in small letters" in at.run("status", upper).output
    assert f"Run `autostop adopt {upper}`" in at.run("link", upper).output


def test_all_in_a_table(at: Desk) -> None:
    second, first = at.adopted("zoo"), at.adopted("ant")
    at.launch()
    result = at.run("status")
    lines = result.output.splitlines()
    assert lines[0].split() == ["WORKSTATION", "NAME", "PHASE", "COST", "NOW", "HOW", "IT", "STANDS"]
    assert [line.split()[:3] for line in lines[1:]] == [[first, "ant", "awake"], [second, "zoo", "awake"]]


def test_one_in_full(at: Desk) -> None:
    lab = at.adopted()
    intent = Intent(1, Wanted.SHELVE, By.IDLE, START, "idle for 30 minutes")
    reasons = ("cpu: 0.02 cores",)
    verdict = Verdict(kind=VerdictKind.IDLE, at=START, since=START, reasons=reasons)
    instance = at.account.instances.find(instance_of(lab))
    assert instance is not None
    seen = SweepRecord(lab, START, instance.launched_at, verdict, stop_at=START + timedelta(minutes=10))
    at.account.ledger.write_journal([seen], START)
    at.account.ledger.save(State(lab, intent=intent, waiting_for="snapshots: 40 %"))
    at.account.ledger.record(lab, Happened(START, 1, "asked EC2 to stop the instance"))
    at.account.ledger.record(lab, Happened(START + timedelta(minutes=1), 1, "began snapshots"))
    output = at.run("status", lab).output
    for words in (
        f"{lab}  lab",
        "phase        falling-asleep",
        "waiting for  snapshots: 40 %",
        "idle for 30 minutes",
        "cpu: 0.02 cores",
        "idle, 2026-11-23 09:00:00 UTC, sleeps 2026-11-23 09:10:00 UTC if nothing happens",
        "2026-11-23 09:00:00 UTC  asked EC2 to stop the instance",
        "$8.64 a month now",
    ):
        assert words in output


def test_blocked_and_problems(at: Desk) -> None:
    lab = at.adopted()
    at.world.tag(lab, {"autostop:grace": "soon"})
    intent = Intent(1, Wanted.STOP, By.OWNER, START, "asked")
    at.account.ledger.save(State(lab, intent=intent, blocked="its stop protection is on."))
    output = at.run("status", lab).output
    assert "blocked  its stop protection is on." in output
    assert "autostop:grace = 'soon'" in output
    assert "see its problems" in at.run("status").output


def test_what_is_billed_while_it_sleeps(at: Desk) -> None:
    lab = at.adopted()
    at.account.instances.stop(instance_of(lab))
    at.clock.advance(timedelta(minutes=5))
    at.world.tag(lab, {"autostop:shelve-after": "off"})
    said = "Billed now: $8.64 a month for its volumes, because its shelve-after is off."
    assert re.search(rf"billed +{re.escape(said)}", at.run("status", lab).output)


def test_a_mail_address_that_nobody_confirmed_is_a_problem(tmp_path: Path) -> None:
    with desk(tmp_path / "world", NoticeEmail="ada@example.com") as at:
        assert "NoticeEmail was not confirmed in time" in at.run("status", at.adopted()).output


def test_without_a_mail_address_nobody_asks(at: Desk) -> None:
    assert "NoticeEmail" not in at.run("status", at.adopted()).output


def test_what_the_owner_was_told(at: Desk) -> None:
    lab = at.adopted()
    told = Told(NoticeKind.SNAPSHOT_LOST, "snap-1", START, "snap-1 of /dev/sdf is gone \x1b")
    at.account.ledger.save(State(lab, told=(told,), lost="snap-1 is gone"))
    output = at.run("status", lab).output
    assert "told you  2026-11-23 09:00:00 UTC  snapshot-lost: snap-1 of /dev/sdf is gone \\x1b" in output
    assert "problem   snap-1 is gone" in output


def test_json_is_the_body_of_the_api(at: Desk) -> None:
    lab = at.adopted()
    body = json.loads(at.run("status", lab, "--json").output)
    assert body == at.account.owner.status(lab).as_json()
    assert json.loads(at.run("status", "--json").output) == [body]


def test_json_without_workstations_is_an_empty_list(at: Desk) -> None:
    assert json.loads(at.run("status", "--json").output) == []


def test_damaged_item_hides_no_other(at: Desk) -> None:
    damaged, sound = at.adopted("ant"), at.adopted("zoo")
    at.account.session.client("dynamodb").put_item(
        TableName=at.account.stack.table,
        Item={"workstation": {"S": "states"}, "kind": {"S": damaged}, "version": {"N": "1"}, "document": {"S": "{"}},
    )
    result = at.run("status")
    assert result.exit_code == 1
    assert sound in result.stdout
    assert f"{damaged}: the items of {damaged} in the table are damaged" in result.stderr


def test_unadopted_and_unknown_are_told(at: Desk) -> None:
    for words, workstation in (("is not adopted", at.launch()), ("EC2 knows no instance", "i-0123456789abcdef0")):
        result = at.run("status", workstation)
        assert result.exit_code == 1
        assert words in result.output


def test_terminated_workstation_with_a_history_is_shown(at: Desk) -> None:
    lost = WorkstationId("i-0123456789abcdef0")
    at.account.ledger.save(State(lost, intent=Intent(3, Wanted.SHELVE, By.IDLE, START, "idle")))
    result = at.run("status", lost)
    assert result.exit_code == 0
    assert "Its snapshots are kept" in result.output


def test_transient_error_says_to_try_again(at: Desk) -> None:
    at.world.fail_next("DescribeInstances", "RequestLimitExceeded", "Request limit exceeded.", times=9)
    result = at.run("status")
    assert result.exit_code == 1
    assert result.output.startswith("Error: AWS refused DescribeInstances (RequestLimitExceeded)")
    assert "Try again in a moment." in result.output


def test_as_a_program_without_region_or_profile() -> None:
    here = {"PYTHONPATH": os.pathsep.join(sys.path), "PATH": os.environ["PATH"], "AWS_EC2_METADATA_DISABLED": "true"}
    here |= {"AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull}

    def ended(*words: str) -> tuple[int, str]:
        command = [sys.executable, "-m", "autostop_cli", *words]
        done = subprocess.run(command, env=here, capture_output=True, text=True, check=False, timeout=60)
        return done.returncode, done.stderr

    assert ended("status") == (1, "Error: You must specify a region. Name the Region with --region.\n")
    code, said = ended("--profile", "nobody", "status")
    assert code == 1
    assert "Name another profile" in said
    code, said = ended("--region", "us-east-1", "status")
    assert code == 1
    assert "Log in to AWS" in said
    code, _ = ended("stutus")
    assert code == 2
