"""`autostop recover`: shows first, changes nothing without the owner's word, and names what comes next."""

import json
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest

from autostop import tags
from autostop.model import InstanceState, Observation, WorkstationId, instance_of
from autostop.sleep.intent import By, Intent, Wanted
from autostop.sleep.manifest import write_manifest
from autostop.sleep.own_type import Fallback
from autostop.state import State
from autostop_cli.repair.command import recover_all, recover_one
from tests.cli.desk import START, Desk


def shelved(at: Desk) -> WorkstationId:
    """A workstation that was shelved, and of which the table knows nothing."""
    lab, account = at.adopted(), at.account
    account.instances.stop(instance_of(lab))
    at.clock.advance(timedelta(minutes=5))
    instance = account.instances.find(instance_of(lab))
    assert instance is not None
    volumes = tuple(account.disks.volumes(lab))
    manifest = write_manifest(Observation(lab, instance, volumes), instance, 4, at.clock())
    manifest = manifest.with_snapshots(account.disks.create_snapshots(manifest))
    for record in manifest.volumes:
        assert record.snapshot is not None
        account.disks.tag_snapshot(record.snapshot, manifest.snapshot_tags(record))
        account.disks.detach(record.volume, instance_of(lab), record.device)
    at.clock.advance(timedelta(hours=1))
    for record in manifest.volumes:
        account.disks.delete(record.volume)
    at.clock.advance(timedelta(minutes=5))
    return lab


def stored(at: Desk) -> Sequence[Any]:
    return at.account.session.client("dynamodb").scan(TableName=at.account.stack.table)["Items"]


def says(word: str) -> Any:
    return lambda _question, _word: _word == word


def test_a_dry_run_by_default(at: Desk) -> None:
    lab = shelved(at)
    result = at.run("recover", lab)
    assert result.exit_code == 0, result.output
    assert "the table knows nothing of it" in result.output
    assert "intent 5, shelve (reached)" in result.output
    assert "/dev/sdf: vol-" in result.output
    assert "Nothing was changed" in result.output
    assert stored(at) == []


def test_yes_writes_it_and_names_what_comes_next(at: Desk) -> None:
    lab = shelved(at)
    result = at.run("recover", lab, "--yes")
    assert result.exit_code == 0, result.output
    assert f"autostop link {lab}" in result.output
    state = at.account.ledger.load(lab)
    assert state.intent is not None
    assert (state.intent.wanted, state.intent.settled) == (Wanted.SHELVE, True)
    assert state.manifest is not None
    again = at.run("recover", lab)
    assert "all is well" in again.output
    assert "Nothing was changed" not in again.output


def test_the_owner_says_no_or_yes(at: Desk) -> None:
    lab = shelved(at)
    recover_one(at.account, lab, ask=says("no"))
    assert stored(at) == []
    recover_one(at.account, lab, ask=says("yes"))
    assert at.account.ledger.load(lab).version == 1


def test_the_own_type_comes_from_the_tag_only_by_the_owners_word(at: Desk) -> None:
    lab = at.adopted()
    at.account.ledger.save(State(lab, intent=Intent(1, Wanted.RUN, By.FOUND, START, "it was started", START)))
    present = at.account.ec2.describe_instances(InstanceIds=[lab])["Reservations"][0]["Instances"][0]["InstanceType"]
    at.world.tag(lab, {tags.INSTANCE_TYPE: f"m5.4xlarge {present}"})
    shown = at.run("recover", lab).output
    assert f"the table does not know that it is {present} for want of capacity, as its tag says" in shown
    assert "its next start changes its type to m5.4xlarge, which is its own by its tag autostop:instance-type" in shown
    assert at.account.ledger.load(lab).fallback is None
    recover_one(at.account, lab, ask=says("yes"))
    assert at.account.ledger.load(lab).fallback == Fallback("m5.4xlarge", present)
    assert "all is well" in at.run("recover", lab).output


def test_what_cannot_be_recovered_says_why_and_what_to_do(at: Desk) -> None:
    lab = shelved(at)
    victim = at.account.disks.snapshots(lab)[0]
    at.account.disks.delete_snapshot(victim.id)
    result = at.run("recover", lab, "--yes")
    assert result.exit_code == 1
    assert "is not whole" in result.output
    assert "start it in the EC2 console" in result.output
    assert stored(at) == []


def test_one_that_cannot_be_recovered_hides_no_other(at: Desk) -> None:
    broken, sound = shelved(at), shelved(at)
    at.account.disks.delete_snapshot(at.account.disks.snapshots(broken)[0].id)
    result = at.run("recover", "--yes")
    assert result.exit_code == 1
    assert f"{sound} is recovered" in result.output
    assert f"{broken} cannot be recovered" in result.output
    assert "Nothing is left over." in result.output


def test_a_damaged_item_is_told_and_kept(at: Desk) -> None:
    lab = shelved(at)
    at.account.session.client("dynamodb").put_item(
        TableName=at.account.stack.table,
        Item={"workstation": {"S": "states"}, "kind": {"S": lab}, "version": {"N": "1"}, "document": {"S": "{"}},
    )
    assert f"autostop recover {lab}" in at.run("status").output
    result = at.run("recover", lab, "--yes")
    assert result.exit_code == 0, result.output
    assert "its item in the table is damaged" in result.output
    assert any(item["kind"]["S"].startswith("damaged#") for item in stored(at))
    assert at.run("status", lab).exit_code == 0


def terminated(at: Desk) -> WorkstationId:
    lab = shelved(at)
    at.account.ec2.terminate_instances(InstanceIds=[lab])
    at.clock.advance(timedelta(hours=2))
    return lab


def test_a_new_instance_is_shown_first(at: Desk) -> None:
    lab = terminated(at)
    result = at.run("recover", lab)
    assert result.exit_code == 0, result.output
    for words in ("t3.medium", "/dev/sdf", "gp3, 100 GiB, from snap-", "Name = lab", "the instance id", "Nothing was"):
        assert words in result.output
    assert at.calls("RegisterImage") == at.calls("RunInstances") == []


def test_a_new_instance_is_built_and_the_way_to_a_new_link_told(at: Desk) -> None:
    lab = terminated(at)
    result = at.run("recover", lab, "--yes")
    assert result.exit_code == 0, result.output
    (new,) = [each.id for each in at.account.instances.tagged()]
    assert f"autostop link {new}" in result.output
    assert at.account.disks.snapshots(lab) == []
    assert at.run("link", new).exit_code == 0
    again = at.run("recover", lab, "--yes")
    assert f"{new} was built in its place. Nothing is left to do." in again.output
    assert len(at.calls("RunInstances")) == 1


def test_nothing_to_build_from_is_told(at: Desk) -> None:
    result = at.run("recover", "i-0123456789abcdef0", "--yes")
    assert result.exit_code == 1
    assert "no snapshot of it carries Autostop's tags" in result.output


def test_the_last_copies_of_a_workstation_that_is_gone_are_shown_with_a_warning_and_kept(at: Desk) -> None:
    lab = terminated(at)
    shown = at.run("recover")
    assert shown.exit_code == 0, shown.output
    assert "WARNING" in shown.output
    assert f"`autostop recover {lab}`" in shown.output
    recover_all(at.account, delete=True, ask=says("delete"))
    assert len(at.account.disks.snapshots(lab)) == 2


def left_image(at: Desk) -> str:
    """An image that an unfinished recovery left."""
    lab = terminated(at)
    root = at.account.disks.snapshots(lab)[0]
    answer = at.account.ec2.register_image(
        Name="autostop-left",
        RootDeviceName="/dev/sda1",
        BlockDeviceMappings=[{"DeviceName": "/dev/sda1", "Ebs": {"SnapshotId": root.id}}],
        TagSpecifications=[
            {
                "ResourceType": "image",
                "Tags": [{"Key": "autostop", "Value": "on"}, {"Key": "autostop:workstation", "Value": lab}],
            }
        ],
    )
    return str(answer["ImageId"])


def test_orphans_go_only_by_the_word_delete(at: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    image = left_image(at)
    assert at.run("recover", "--yes", "--delete-orphans").exit_code == 0
    recover_all(at.account, yes=True, delete=True, ask=says("yes"))
    assert at.calls("DeregisterImage") == []
    assert "Nothing was deleted" in capsys.readouterr().out
    recover_all(at.account, delete=True, ask=says("delete"))
    assert f"{image} is deleted." in capsys.readouterr().out
    assert len(at.calls("DeregisterImage")) == 1


def test_a_volume_that_another_snapshotted_and_deleted_is_found_by_its_id(at: Desk) -> None:
    lab, account = at.adopted(), at.account
    account.instances.stop(instance_of(lab))
    at.clock.advance(timedelta(minutes=5))
    instance = account.instances.find(instance_of(lab))
    assert instance is not None
    manifest = write_manifest(Observation(lab, instance, tuple(account.disks.volumes(lab))), instance, 1, at.clock())
    settled = Intent(1, Wanted.STOP, By.OWNER, at.clock(), "so it is", settled_at=at.clock())
    account.ledger.save(State(lab, intent=settled, manifest=manifest))
    assert "all is well" in at.run("recover", lab).output

    record = next(each for each in manifest.volumes if each.device == "/dev/sdf")
    copy = account.ec2.create_snapshot(VolumeId=record.volume)["SnapshotId"]
    account.disks.detach(record.volume, instance_of(lab), record.device)
    at.clock.advance(timedelta(hours=1))
    account.disks.delete(record.volume)
    at.clock.advance(timedelta(minutes=10))

    said = at.run("recover", lab).output
    assert f"the volume of /dev/sdf is gone, and Autostop has no snapshot of it, but {copy} is one" in said
    assert "all is well" not in said


def dead_letter_url(at: Desk) -> str:
    return at.account.stack.dead_letter_url or ""


def test_dead_letters_are_shown_and_put_back(at: Desk) -> None:
    lab = at.adopted()
    sqs, url = at.account.sqs, dead_letter_url(at)
    assert "dead" not in at.run("status").output
    sqs.send_message(QueueUrl=url, MessageBody=json.dumps({"workstation": lab}))
    sqs.send_message(QueueUrl=url, MessageBody="\x1bnonsense")
    status = at.run("status")
    assert status.exit_code == 0
    assert "problem: The reconciler failed on 2 messages for good. See them: autostop recover" in status.stderr
    assert json.loads(at.run("status", "--json").stdout)

    shown = at.run("recover", "--retry-dead-letters")

    assert shown.exit_code == 0, shown.output
    assert lab in shown.output
    assert "unreadable" in shown.output
    assert "\x1b" not in shown.output
    assert "2 messages were put back" in shown.output
    assert "dead" not in at.run("status").output
    received = sqs.receive_message(QueueUrl=at.account.stack.queue_url, MaxNumberOfMessages=10)["Messages"]
    assert json.dumps({"workstation": lab}) in [message["Body"] for message in received]


def test_dead_letters_that_cannot_be_counted_are_a_problem_and_no_failure(at: Desk) -> None:
    at.adopted()
    at.account.sqs.delete_queue(QueueUrl=dead_letter_url(at))
    result = at.run("status")
    assert result.exit_code == 0
    assert "Whether there are dead letters is not known" in result.stderr


def test_what_was_never_adopted_is_left_alone(at: Desk) -> None:
    result = at.run("recover", at.launch(), "--yes")
    assert result.exit_code == 1
    assert "is not adopted" in result.output


def test_options_for_all_do_not_go_with_one(at: Desk) -> None:
    result = at.run("recover", "i-0123456789abcdef0", "--delete-orphans")
    assert result.exit_code == 2


def test_nothing_is_changed_of_a_workstation_that_is_well(at: Desk) -> None:
    lab = at.adopted()
    assert at.run("recover", "--yes").exit_code == 0
    before = at.account.ledger.load(lab)
    assert "all is well" in at.run("recover", "--yes").output
    assert at.account.ledger.load(lab) == before
    instance = at.account.instances.find(instance_of(lab))
    assert instance is not None
    assert instance.state is InstanceState.RUNNING
