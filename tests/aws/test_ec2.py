from datetime import timedelta
from typing import Any

import pytest

from autostop import tags
from autostop.aws.ebs import _volume
from autostop.aws.ec2 import Ec2Instances, _checks, _instance, _other_type
from autostop.aws.launch_facts import launch_facts
from autostop.model import Checks, InstanceState, OtherType, SpotKind, WorkstationId, instance_of
from autostop.ports import DeniedError, TransientError
from autostop_local.world.instance_types import INSTANCE_TYPES
from tests.app.autostop_at_work import AtWork


def test_only_tagged_instances_are_listed_and_terminated_ones_are_not(lab: AtWork) -> None:
    lab.neighbour()
    ours, gone = lab.workstation(), lab.workstation()
    lab.ec2.terminate_instances(InstanceIds=[gone])
    lab.pass_time(timedelta(seconds=30))
    assert [instance.workstation for instance in lab.instances.tagged()] == [ours]


def test_an_instance_with_the_tag_off_is_not_listed(lab: AtWork) -> None:
    ours = lab.workstation()
    lab.ec2.create_tags(Resources=[ours], Tags=[{"Key": "autostop", "Value": "off"}])
    assert lab.instances.tagged() == []


def test_an_instance_as_it_is(lab: AtWork) -> None:
    workstation = lab.workstation()
    launched_at = lab.clock()
    lab.pass_time(timedelta(seconds=30))
    instance = lab.instance(workstation)
    assert (instance.state, instance.type, instance.vcpus) == (InstanceState.RUNNING, "t3.xlarge", 4)
    assert (instance.root_device, instance.zone, instance.name) == ("/dev/sda1", "us-east-1a", "lab")
    assert instance.launched_at == launched_at
    assert instance.spot is None
    assert not any((instance.stop_protected, instance.hibernation, instance.marketplace, instance.instance_store_gb))


@pytest.mark.parametrize("text", ["i-0123456789abcdef0", "i-nonsense"])
def test_an_unknown_instance_is_none(lab: AtWork, text: str) -> None:
    assert lab.instances.find(instance_of(WorkstationId(text))) is None


def test_start_and_stop_may_be_repeated_and_the_stop_has_its_moment(lab: AtWork) -> None:
    workstation = lab.workstation()
    lab.pass_time(timedelta(seconds=30))
    stopped_at = lab.clock()
    lab.instances.stop(instance_of(workstation))
    lab.instances.stop(instance_of(workstation))
    lab.pass_time(timedelta(seconds=30))
    instance = lab.instance(workstation)
    assert instance.state is InstanceState.STOPPED
    assert instance.stopped_at == stopped_at.replace(microsecond=0)
    lab.instances.stop(instance_of(workstation))
    lab.instances.start(instance_of(workstation))
    lab.instances.start(instance_of(workstation))
    assert lab.instance(workstation).launched_at > instance.launched_at


def test_a_start_while_it_stops_is_tried_later(lab: AtWork) -> None:
    workstation = lab.workstation()
    lab.pass_time(timedelta(seconds=30))
    lab.instances.stop(instance_of(workstation))
    with pytest.raises(TransientError):
        lab.instances.start(instance_of(workstation))


def test_the_checks_take_their_time(lab: AtWork) -> None:
    workstation = lab.workstation()
    lab.pass_time(timedelta(seconds=2))
    assert lab.instances.checks(instance_of(workstation)) is Checks.INITIALIZING
    lab.pass_time(timedelta(seconds=5))
    assert lab.instances.checks(instance_of(workstation)) is Checks.OK
    lab.instances.stop(instance_of(workstation))
    lab.pass_time(timedelta(seconds=30))
    assert lab.instances.checks(instance_of(workstation)) is Checks.UNKNOWN


@pytest.mark.parametrize(("system", "instance", "both"), [
    ("ok", "ok", Checks.OK), ("ok", "impaired", Checks.IMPAIRED), ("impaired", "initializing", Checks.IMPAIRED),
    ("ok", "initializing", Checks.INITIALIZING), ("insufficient-data", "ok", Checks.INITIALIZING),
])  # fmt: skip
def test_two_checks_are_told_as_one(system: Any, instance: Any, both: Checks) -> None:
    assert _checks([{"SystemStatus": {"Status": system}, "InstanceStatus": {"Status": instance}}]) is both


@pytest.mark.parametrize(("asked", "kind"), [("one-time", SpotKind.ONE_TIME), ("persistent", SpotKind.PERSISTENT)])
def test_spot_is_told_by_its_request(lab: AtWork, asked: str, kind: SpotKind) -> None:
    workstation = WorkstationId(lab.world.launch(spot=asked))
    assert lab.instance(workstation).spot is kind


def test_what_decides_whether_it_may_be_stopped_is_read(lab: AtWork) -> None:
    protected = WorkstationId(lab.world.launch(tags={"autostop": "on"}, DisableApiStop=True))
    marketplace = WorkstationId(lab.world.launch())
    lab.world.mark_marketplace(marketplace, "abc")
    lab.pass_time(timedelta(seconds=30))
    assert lab.instance(protected).stop_protected
    assert lab.instance(marketplace).marketplace


def test_a_type_is_asked_about_once(lab: AtWork) -> None:
    first, second = lab.workstation(), lab.workstation()
    lab.pass_time(timedelta(seconds=30))
    lab.world.journal.clear()
    for workstation in (first, second, first):
        lab.instance(workstation)
    assert len(lab.world.journal.calls("DescribeInstanceTypes")) == 1


def test_delete_on_termination_is_set_for_the_named_device(lab: AtWork) -> None:
    workstation = lab.workstation()
    [volume] = [each for each in lab.disks.volumes(workstation) if each.device == "/dev/sdf"]
    assert volume.delete_on_termination is False
    lab.instances.set_delete_on_termination(instance_of(workstation), "/dev/sdf", volume.id, flag=True)
    [volume] = [each for each in lab.disks.volumes(workstation) if each.device == "/dev/sdf"]
    assert volume.delete_on_termination is True


def test_types_are_told_in_their_order_with_unknown_ones_among_them(lab: AtWork) -> None:
    names = ["c6gd.large", "c7z.large", "t3.large"]
    lab.world.journal.clear()
    for _ in range(2):
        assert lab.instances.types(names) == [
            OtherType("c6gd.large", ("arm64",), instance_store_gb=118),
            OtherType("c7z.large"),
            OtherType("t3.large", ("x86_64",)),
        ]
    assert len(lab.world.journal.calls("DescribeInstanceTypes")) == 1


def test_the_type_is_noted_and_changed_while_it_is_stopped(lab: AtWork) -> None:
    workstation = lab.workstation()
    lab.pass_time(timedelta(seconds=30))
    assert lab.instance(workstation).architecture == "x86_64"
    with pytest.raises(TransientError, match="IncorrectInstanceState"):
        lab.instances.change_type(instance_of(workstation), "m5.xlarge")
    lab.instances.stop(instance_of(workstation))
    lab.pass_time(timedelta(seconds=30))
    lab.instances.note_type(instance_of(workstation), "t3.xlarge m5.xlarge")
    lab.instances.change_type(instance_of(workstation), "m5.xlarge")
    instance = lab.instance(workstation)
    assert (instance.type, instance.tags[tags.INSTANCE_TYPE]) == ("m5.xlarge", "t3.xlarge m5.xlarge")
    with pytest.raises(DeniedError):
        lab.instances.change_type(instance_of(workstation), "c7z.large")


def test_what_may_not_be_done_is_denied(lab: AtWork) -> None:
    workstation = lab.workstation()
    lab.world.fail_next("StopInstances", "UnauthorizedOperation")
    with pytest.raises(DeniedError, match="UnauthorizedOperation"):
        lab.instances.stop(instance_of(workstation))


def test_a_list_that_fails_on_a_later_page_is_an_error_and_no_short_list(lab: AtWork) -> None:
    lab.workstation()
    lab.world.fail_next("DescribeInstances", "RequestLimitExceeded", times=10)
    with pytest.raises(TransientError):
        Ec2Instances(lab.ec2).tagged()


def test_the_moment_of_a_stop_by_others_is_read_too() -> None:
    shape: Any = {
        "InstanceId": "i-1", "State": {"Name": "stopped"}, "StateTransitionReason": "Server.ScheduledStop: (oh) stopped"
    }  # fmt: skip
    assert _instance(shape).stopped_at is None
    shape["StateTransitionReason"] = "User initiated (2026-11-23 18:30:05 UTC)"
    stopped_at = _instance(shape).stopped_at
    assert stopped_at is not None
    assert stopped_at.isoformat() == "2026-11-23T18:30:05+00:00"


@pytest.mark.parametrize(("operator", "told"), [
    ({}, ""),
    ({"Operator": {"Managed": False}}, ""),
    ({"Operator": {"Managed": True, "Principal": "eks.amazonaws.com"}}, "eks.amazonaws.com"),
    ({"Operator": {"Managed": True}}, "AWS"),
])  # fmt: skip
def test_who_manages_it_is_told(operator: Any, told: str) -> None:
    instance: Any = {"InstanceId": "i-1", "State": {"Name": "running"}, **operator}
    volume: Any = {"VolumeId": "vol-1", "State": "in-use", **operator}
    assert (_instance(instance).operator, _volume(volume).operator) == (told, told)


@pytest.mark.parametrize("partition", ["aws", "aws-cn", "aws-us-gov"])
def test_a_profile_is_known_by_its_name_in_every_partition(partition: str) -> None:
    arn = f"arn:{partition}:iam::123456789012:instance-profile/lab/role"
    assert launch_facts({"IamInstanceProfile": {"Arn": arn}}).profile == "role"


def test_every_type_with_disks_that_a_stop_empties_is_known_by_their_size() -> None:
    known = {name: _other_type(shape).instance_store_gb for name, shape in INSTANCE_TYPES.items()}  # type: ignore[arg-type]  # as EC2 tells them
    assert {name for name, size in known.items() if size} == {
        name for name, shape in INSTANCE_TYPES.items() if shape["InstanceStorageSupported"]
    }
    assert (known["g5.xlarge"], known["g5g.xlarge"]) == (250, 0)
