"""Whatever others wrote into tags, the table, the queue or an error: no command lets it speak to the terminal."""

from datetime import timedelta

import pytest

from autostop.idle.measured import Effect, Sign
from autostop.idle.sweep_record import SweepRecord
from autostop.idle.verdict import Verdict, VerdictKind
from autostop.model import WorkstationId
from autostop.notice import NoticeKind, Told
from autostop.sleep.intent import By, Intent, Wanted
from autostop.state import Happened, State
from tests.cli.desk import START, Desk
from tests.cli.test_recover import shelved
from tests.hostile import HOSTILE, IN_TAGS, obeyed

ALL = " ".join(HOSTILE)
TAG = " ".join(IN_TAGS)
COMMANDS = (
    "list", "list --json", "status LAB", "status LAB --json", "why LAB", "why LAB --at 09:00", "why LAB --json",
    "why LAB --what-if idle-after=15m", "adopt LAB --dry-run", "verify LAB --dry-run", "link LAB",
    "start LAB --no-wait", "stop LAB", "open LAB --print", "links LAB", "keep-awake LAB", "recover", "recover LAB",
    "status NAME", "status nobody", "unadopt LAB --dry-run", "resize LAB --size /dev/sdf=300",
    "resize LAB --size NAME=300",
    "uninstall --all --dry-run",
)  # fmt: skip


@pytest.fixture
def lab(at: Desk) -> WorkstationId:
    """One that runs, of which everything that others may write is hostile."""
    lab = at.adopted(TAG)
    at.world.tag(lab, {"Project": TAG, "autostop:idle-after": TAG, "autostop:shelve_after": TAG})
    for volume in at.account.disks.volumes(lab):
        at.world.tag(volume.id, {"Name": TAG, "Owner": TAG})
    intent = Intent(1, Wanted.RUN, By.OWNER, START, ALL, START)
    told = (Told(NoticeKind.BLOCKED, ALL, START, ALL),)
    at.account.ledger.save(State(lab, intent=intent, note=ALL, lost=ALL, binned=ALL, told=told, waiting_for=ALL))
    at.account.ledger.record(lab, Happened(START, 1, ALL))
    signs = (Sign(ALL, Effect.UNKNOWN, ALL, ALL, None),)
    launched_at = at.lab.instance(lab).launched_at
    seen = SweepRecord(lab, START, launched_at, Verdict(VerdictKind.UNKNOWN, START, (f"{ALL}: {ALL}",), signs=signs))
    at.account.ledger.write_journal([seen], START)
    at.account.sqs.send_message(QueueUrl=at.account.stack.dead_letter_url or "", MessageBody=TAG.replace("\x7f", ""))
    return lab


@pytest.mark.parametrize("command", COMMANDS)
def test_no_command_lets_it_speak(at: Desk, lab: WorkstationId, command: str) -> None:
    words = [{"LAB": str(lab), "NAME": TAG}.get(word, word) for word in command.split()]

    result = at.run(*words)

    assert result.output
    assert obeyed(result.output) == ""
    assert not [line for line in result.output.splitlines() if line.startswith(("owned", "Subject:", "two", "three"))]


@pytest.mark.parametrize("command", ["status LAB", "recover LAB", "adopt LAB --dry-run"])
def test_nor_does_what_aws_says(at: Desk, lab: WorkstationId, command: str) -> None:
    at.world.fail_next("DescribeInstances", "UnauthorizedOperation", TAG, times=9)

    result = at.run(*command.replace("LAB", lab).split())

    assert result.exit_code == 1
    assert obeyed(result.output) == ""
    assert "UnauthorizedOperation" in result.output


def test_nor_what_a_lost_shelving_left_in_tags(at: Desk) -> None:
    lab = shelved(at)
    for snapshot in at.account.disks.snapshots(lab):
        at.world.tag(snapshot.id, {"autostop:kms-key": TAG, "autostop:type": "gp3\r\x9b2J\u202e"})
    at.world.tag(lab, {"Name": TAG})

    result = at.run("recover", lab)

    assert "gp3" in result.output
    assert obeyed(result.output) == ""


def test_nor_what_is_built_anew(at: Desk) -> None:
    lab = shelved(at)
    at.account.ec2.terminate_instances(InstanceIds=[lab])
    at.clock.advance(timedelta(hours=2))

    result = at.run("recover", lab)

    assert result.output
    assert obeyed(result.output) == ""
