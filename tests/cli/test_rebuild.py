"""An instance is terminated while it is shelved: a new one is built in its place, whatever dies in between."""

import itertools
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from autostop import tags
from autostop.model import WorkstationId
from autostop.ports import DeniedError, TransientError
from autostop.sleep.from_tags import Unreadable
from autostop_cli.repair.collect import Orphans
from autostop_cli.repair.images import Ec2Builder, Ec2Estate
from autostop_cli.repair.rebuild import Replacer
from tests.app.autostop_at_work import Answers, AtWork, CrashedError, at_work

DEVICES = {"/dev/sda1", "/dev/sdf", "/dev/sdg"}
LIKE = {
    "KeyName": "ada",
    "SubnetId": "subnet-0000beef",
    "SecurityGroupIds": ["sg-1", "sg-2"],
    "IamInstanceProfile": {"Arn": "arn:aws:iam::123456789012:instance-profile/lab/role"},
    "EbsOptimized": True,
    "Monitoring": {"Enabled": True},
    "MetadataOptions": {"HttpTokens": "required", "HttpPutResponseHopLimit": 2},
}


def replacer(lab: AtWork) -> Replacer:
    def sleep(seconds: float) -> None:
        lab.clock.advance(timedelta(seconds=seconds))
        lab.world.tick()

    builder = Ec2Builder(lab.ec2)
    return Replacer(lab.instances, lab.disks, builder, lab.ledger, lab.queue, lab.defaults, lab.ticking, sleep)


def terminated(lab: AtWork, **parameters: Any) -> tuple[WorkstationId, dict[str, tuple[object, ...]]]:
    """A workstation that was shelved and then terminated, and the shape of its disks."""
    workstation = lab.workstation(settings={"idle-after": "40m"}, **{**LIKE, **parameters})
    lab.write(workstation, "monday")
    shape = lab.shape(workstation)
    lab.asleep(workstation)
    lab.ec2.terminate_instances(InstanceIds=[workstation])
    lab.pass_time(timedelta(minutes=2))
    return workstation, shape


def build(lab: AtWork, gone: WorkstationId) -> WorkstationId:
    new = replacer(lab).build(gone, lambda _: None)
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
    alive = [each.id for each in lab.instances.tagged()]
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
    assert now["MetadataOptions"]["HttpTokens"] == "required"
    assert now["MetadataOptions"]["HttpPutResponseHopLimit"] == 2
    carried = {tag["Key"]: tag["Value"] for tag in now["Tags"]}
    assert carried == {
        "Name": "lab",
        "autostop": "on",
        "autostop:idle-after": "40m",
        "autostop:recovered-from": gone,
        "autostop:recovered-cycle": "1",
    }
    assert lab.owner.status(gone).headline == f"It is gone; {new} was built in its place."


def test_the_new_workstation_sleeps_and_wakes_and_lets_the_old_ones_snapshots_go(lab: AtWork) -> None:
    gone, shape = terminated(lab)
    new = build(lab, gone)
    lab.awake(new)
    lab.write(new, "tuesday")
    lab.asleep(new)
    assert {snapshot.cycle for snapshot in lab.disks.snapshots(new)} == {1, 2}
    lab.owner.start(new, "the test")
    lab.awake(new)
    assert lab.shape(new) == shape
    assert lab.content(new) == {device: f"tuesday {device}" for device in DEVICES}
    assert {snapshot.cycle for snapshot in lab.disks.snapshots(new)} == {2}


def test_built_twice_it_is_the_same(lab: AtWork) -> None:
    gone, shape = terminated(lab)
    new = build(lab, gone)
    assert replacer(lab).is_finished(gone)
    assert build(lab, gone) == new
    check(lab, gone, new, shape)


@contextmanager
def dying(lab: AtWork, nth: int, when: str) -> Iterator[None]:
    """The command dies before or after the nth call to AWS, of whatever service."""
    seen = itertools.count(1)

    def die(**_: object) -> None:
        if next(seen) == nth:
            lab.crash()

    clients = [lab.ec2, lab.ledger.client]
    for client in clients:
        client.meta.events.register(when, die)
    try:
        yield
    finally:
        for client in clients:
            client.meta.events.unregister(when, die)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("when", ["before-call", "after-call"])
def test_whatever_call_it_dies_at_the_next_time_finishes_it_and_leaves_nothing_over(tmp_path: Path, when: str) -> None:
    for nth in itertools.count(1):
        with at_work(tmp_path / str(nth)) as lab:
            gone, shape = terminated(lab)
            with dying(lab, nth, when), suppress(CrashedError):
                build(lab, gone)
            crashed = lab.crashes > 0
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

    plan = replacer(lab).plan(gone)
    assert isinstance(plan, Unreadable)
    assert "no snapshot of sdf" in plan.reason
    with pytest.raises(DeniedError, match="no snapshot of sdf"):
        build(lab, gone)
    assert lab.calls("RegisterImage", "RunInstances", "CreateTags") == []


def test_a_launch_that_ec2_ends_again_leaves_no_image_and_can_be_repeated(lab: AtWork) -> None:
    gone, shape = terminated(lab)
    builder = Ec2Builder(lab.ec2)

    def end_it() -> None:
        new = builder.built(gone)
        assert new is not None
        lab.ec2.terminate_instances(InstanceIds=[new])

    lab.after("RunInstances", end_it)
    with pytest.raises(DeniedError, match="terminated it again"):
        build(lab, gone)
    assert lab.ec2.describe_images(Owners=["self"])["Images"] == []
    lab.pass_time(timedelta(minutes=2))
    check(lab, gone, build(lab, gone), shape)


def test_what_is_left_over_is_deleted_and_the_last_copies_stay(lab: AtWork) -> None:
    gone, _ = terminated(lab)
    before = list(lab.disks.snapshots(gone))
    orphans = Orphans(lab.instances, lab.disks, Ec2Estate(lab.ec2), Ec2Builder(lab.ec2), lab.ledger)
    assert {each.precious for each in orphans.find()} == {True}
    assert orphans.delete(orphans.find()) == []
    replacer(lab).builder.register(_plan(lab, gone))

    (image,) = [each for each in orphans.find() if not each.precious]
    assert orphans.delete([image]) == [image]

    assert lab.ec2.describe_images(Owners=["self"])["Images"] == []
    assert list(lab.disks.snapshots(gone)) == before


def _plan(lab: AtWork, gone: WorkstationId) -> Any:
    plan = replacer(lab).plan(gone)
    assert not isinstance(plan, Unreadable)
    return plan
