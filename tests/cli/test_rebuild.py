"""An instance is terminated while it is shelved: a new one is built in its place, whatever dies in between."""

import itertools
from base64 import b64encode
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from autostop import tags
from autostop.model import WorkstationId
from autostop.ports import DeniedError, TransientError
from autostop.sleep.from_tags import UnreadableError
from autostop_cli.repair.command import SHOWN, recover_one
from autostop_cli.repair.leftovers import delete_leftovers, find_leftovers
from autostop_cli.repair.rebuild import Rebuild
from tests.app.autostop_at_work import Answers, AtWork, CrashedError, at_work
from tests.cli.desk import Desk, account_of

DEVICES = {"/dev/sda1", "/dev/sdf", "/dev/sdg"}
LIKE: dict[str, Any] = {
    "KeyName": "ada", "SubnetId": "subnet-0000beef", "SecurityGroupIds": ["sg-1", "sg-2"],
    "IamInstanceProfile": {"Arn": "arn:aws:iam::123456789012:instance-profile/lab/role"}, "EbsOptimized": True,
    "Monitoring": {"Enabled": True},
    "MetadataOptions": {"HttpTokens": "required", "HttpPutResponseHopLimit": 2, "InstanceMetadataTags": "enabled"},
}  # fmt: skip
# The boot script of the machine reads the second and the third, each wake the last.
SETTINGS = {
    "idle-after": "40m", "certificate": "letsencrypt", "bucket": "adas-bucket", "initialization-rate": "300",
}  # fmt: skip


def rebuild(lab: AtWork, gone: WorkstationId) -> Rebuild:
    return Rebuild(account_of(lab), gone)


def terminated(lab: AtWork, **parameters: Any) -> tuple[WorkstationId, dict[str, tuple[object, ...]]]:
    """A workstation that was shelved and then terminated, and the shape of its disks."""
    workstation = lab.workstation(settings=SETTINGS, **{**LIKE, **parameters})
    lab.write(workstation, "monday")
    shape = lab.shape(workstation)
    lab.asleep(workstation)
    lab.ec2.terminate_instances(InstanceIds=[workstation])
    lab.pass_time(timedelta(minutes=2))
    return workstation, shape


def build(lab: AtWork, gone: WorkstationId) -> WorkstationId:
    new = rebuild(lab, gone).build()
    lab.answers[new] = Answers(lab.clock())
    lab.machines.use_cores(new, 0.05)
    return new


def told(lab: AtWork, instance: str) -> dict[str, Any]:
    (reservation,) = lab.ec2.describe_instances(InstanceIds=[instance])["Reservations"]
    return dict(reservation["Instances"][0])


def check(lab: AtWork, gone: WorkstationId, new: WorkstationId, shape: dict[str, tuple[object, ...]]) -> None:
    """One new workstation in the old one's place, and nothing left over."""
    lab.awake(new)
    assert lab.content(new) == {device: f"monday {device}" for device in DEVICES}
    assert lab.shape(new) == shape
    assert lab.disks.snapshots(gone) == []
    assert {snapshot.cycle for snapshot in lab.disks.snapshots(new)} == {1}
    assert lab.ec2.describe_images(Owners=["self"])["Images"] == []
    alive = [each.workstation for each in lab.instances.tagged()]
    assert alive == [new]
    assert len(lab.world.cloud.volumes) == len(DEVICES)


def test_a_new_instance_has_everything_that_can_come_back(lab: AtWork) -> None:
    gone, shape = terminated(lab)

    new = build(lab, gone)

    check(lab, gone, new, shape)
    now = told(lab, new)
    assert now["SubnetId"] == LIKE["SubnetId"]
    assert [group["GroupId"] for group in now["SecurityGroups"]] == LIKE["SecurityGroupIds"]
    assert now["IamInstanceProfile"]["Arn"].endswith("/role")
    assert (now["KeyName"], now["EbsOptimized"], now["Monitoring"]["State"]) == ("ada", True, "enabled")
    assert now["MetadataOptions"].items() >= LIKE["MetadataOptions"].items()
    carried = {tag["Key"]: tag["Value"] for tag in now["Tags"]}
    assert carried == {
        "Name": "lab", "autostop": "on", **{f"autostop:{name}": value for name, value in SETTINGS.items()},
        "autostop:recovered-from": gone, "autostop:recovered-cycle": "1",
    }  # fmt: skip
    assert lab.owner.status(gone).headline == f"It is gone; {new} was built in its place."


def test_the_new_workstation_sleeps_and_wakes_and_lets_the_old_ones_snapshots_go(lab: AtWork) -> None:
    gone, shape = terminated(lab)
    new = build(lab, gone)
    lab.awake(new)
    lab.write(new, "tuesday")
    lab.asleep(new)
    assert {snapshot.cycle for snapshot in lab.disks.snapshots(new)} == {1, 2}
    lab.wake(new)
    assert lab.shape(new) == shape
    assert lab.content(new) == {device: f"tuesday {device}" for device in DEVICES}
    assert {snapshot.cycle for snapshot in lab.disks.snapshots(new)} == {2}


def test_built_twice_it_is_the_same(lab: AtWork) -> None:
    gone, shape = terminated(lab)
    new = build(lab, gone)
    assert rebuild(lab, gone).is_finished()
    assert build(lab, gone) == new
    check(lab, gone, new, shape)


@pytest.mark.parametrize("before", [True, False])
def test_whatever_call_it_dies_at_the_next_time_finishes_it_and_leaves_nothing_over(
    tmp_path: Path, before: bool
) -> None:
    for nth in itertools.count(1):
        with at_work(tmp_path / str(nth), over_http=False) as lab:
            gone, shape = terminated(lab)
            lab.dies_at(nth, before=before)
            with suppress(CrashedError):
                build(lab, gone)
            crashed = lab.crashes > 0
            lab.dies_at(0)
            check(lab, gone, build(lab, gone), shape)
        if not crashed:
            break
    assert nth > 20


@pytest.mark.parametrize("operation", ["RegisterImage", "RunInstances", "ModifyInstanceAttribute", "CreateTags"])
def test_what_is_not_listed_yet_is_not_made_twice(lab: AtWork, operation: str) -> None:
    gone, shape = terminated(lab)
    lab.world.lag = lambda: timedelta(seconds=20)
    lab.after(operation, lab.crash)
    with pytest.raises(CrashedError):
        build(lab, gone)
    for _ in range(5):
        with suppress(TransientError):
            new = build(lab, gone)
            break
        lab.clock.advance(timedelta(seconds=15))
    lab.world.lag = None
    check(lab, gone, new, shape)


def test_a_set_that_is_not_whole_builds_nothing(lab: AtWork) -> None:
    gone, _ = terminated(lab)
    victim = next(each for each in lab.disks.snapshots(gone) if each.tags[tags.DEVICE] == "/dev/sdf")
    lab.ec2.delete_snapshot(SnapshotId=victim.id)
    lab.world.journal.clear()

    with pytest.raises(UnreadableError, match="no snapshot of sdf"):
        rebuild(lab, gone).plan()
    with pytest.raises(DeniedError, match="no snapshot of sdf"):
        build(lab, gone)
    assert lab.calls("RegisterImage", "RunInstances", "CreateTags") == []


def test_a_launch_that_ec2_ends_again_leaves_no_image_and_can_be_repeated(lab: AtWork) -> None:
    gone, shape = terminated(lab)

    def end_it() -> None:
        new = rebuild(lab, gone).built()
        assert new is not None
        lab.ec2.terminate_instances(InstanceIds=[new])

    lab.after("RunInstances", end_it)
    with pytest.raises(DeniedError, match="terminated it again"):
        build(lab, gone)
    assert lab.ec2.describe_images(Owners=["self"])["Images"] == []
    lab.pass_time(timedelta(minutes=2))
    check(lab, gone, build(lab, gone), shape)


def test_a_launch_that_was_ended_while_nobody_looked_is_made_from_another_image(lab: AtWork) -> None:
    gone, shape = terminated(lab)
    lab.after("RunInstances", lab.crash)
    with pytest.raises(CrashedError):
        build(lab, gone)
    lab.pass_time(timedelta(minutes=2))
    lab.ec2.terminate_instances(InstanceIds=[str(rebuild(lab, gone).built())])
    lab.pass_time(timedelta(minutes=2))
    with pytest.raises(TransientError, match="before is gone, and now the image is"):
        build(lab, gone)
    check(lab, gone, build(lab, gone), shape)


def test_what_is_left_over_is_deleted_and_the_last_copies_stay(lab: AtWork) -> None:
    gone, _ = terminated(lab)
    before, account = list(lab.disks.snapshots(gone)), account_of(lab)
    assert {each.precious for each in find_leftovers(account)} == {True}
    lab.ec2.register_image(**rebuild(lab, gone).plan().register_image())

    delete_leftovers(account, find_leftovers(account), ask=lambda _question, word: word == "delete")

    assert lab.ec2.describe_images(Owners=["self"])["Images"] == []
    assert list(lab.disks.snapshots(gone)) == before


@pytest.mark.parametrize("forgotten", [False, True])
def test_its_user_data_and_credits_come_back_while_ec2_still_tells_them(at: Desk, forgotten: bool) -> None:
    lab = at.lab
    encoded = b64encode(b"#!/bin/sh\ntouch /booted").decode()
    wished: dict[str, Any] = {**LIKE, "UserData": encoded, "CreditSpecification": {"CpuCredits": "standard"}}
    gone = lab.workstation(**wished)
    lab.asleep(gone)
    lab.ec2.terminate_instances(InstanceIds=[gone])
    lab.pass_time(timedelta(hours=2 if forgotten else 0, minutes=2))
    if forgotten:
        with pytest.raises(ClientError, match=r"InvalidInstanceID\.NotFound"):
            lab.ec2.get_launch_template_data(InstanceId=gone)

    new = build(lab, gone)

    data = lab.ec2.get_launch_template_data(InstanceId=new)["LaunchTemplateData"]
    assert data.get("UserData") == (None if forgotten else encoded)
    assert data["CreditSpecification"]["CpuCredits"] == ("unlimited" if forgotten else "standard")
    # Of a terminated instance EC2 tells neither network nor profile: they come from the tags all the same.
    assert data["NetworkInterfaces"][0]["SubnetId"] == LIKE["SubnetId"]
    assert data["NetworkInterfaces"][0]["Groups"] == LIKE["SecurityGroupIds"]
    assert data["IamInstanceProfile"]["Arn"].endswith("/role")
    assert data["MetadataOptions"].items() >= LIKE["MetadataOptions"].items()


def test_whoever_may_only_tag_chooses_no_role_of_a_new_instance(
    lab: AtWork, capsys: pytest.CaptureFixture[str]
) -> None:
    gone, _ = terminated(lab, IamInstanceProfile={"Name": "small"})
    for snapshot in lab.disks.snapshots(gone):
        pieces = {key: value for key, value in snapshot.tags.items() if key.startswith(tags.INSTANCE_PIECE)}
        lied = {key: value.replace("small", "admin") for key, value in pieces.items()}
        lab.world.tag(snapshot.id, lied)
    asked: list[str] = []

    def ask(_question: str, word: str) -> bool:
        asked.append(word)
        return word == "yes"

    recover_one(account_of(lab), gone, ask=ask)
    recover_one(account_of(lab), gone, yes=True, ask=ask)
    recover_one(account_of(lab), gone, yes=True, profile="small", ask=ask)

    said = capsys.readouterr().out
    assert asked == ["admin"] * 3
    assert "profile" in said
    assert "Nothing was changed" in said
    assert rebuild(lab, gone).built() is None
    recover_one(account_of(lab), gone, yes=True, profile="admin", ask=ask)
    new = rebuild(lab, gone).built()
    assert new is not None
    assert told(lab, new)["IamInstanceProfile"]["Arn"].endswith("/admin")
    assert asked == ["admin"] * 3


def test_all_that_a_new_instance_gets_is_shown(lab: AtWork, capsys: pytest.CaptureFixture[str]) -> None:
    gone, _ = terminated(lab, UserData=b64encode(b"#!/bin/sh").decode())
    plan = rebuild(lab, gone).plan()

    recover_one(account_of(lab), gone, ask=lambda _question, _word: False)

    said = capsys.readouterr().out
    assert {"MetadataOptions", "Monitoring", "EbsOptimized", "UserData"} <= plan.parameters.keys()
    for shown in ("InstanceType", "KeyName", "SubnetId"):
        assert plan.parameters.get(shown, "the default") in said
    for name in plan.parameters.keys() - SHOWN:
        assert f"  {name}  " in said
