"""Instances: their states, what each allows, and what is told of them."""

from datetime import timedelta
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from tests.local.conftest import START, Desk, Refused


def test_states_take_their_time(desk: Desk) -> None:
    desk.world.timings.pending = timedelta(seconds=30)
    desk.world.timings.stopping = timedelta(seconds=40)
    instance_id = desk.world.launch()

    assert desk.state(instance_id) == "pending"
    desk.wait(29)
    assert desk.state(instance_id) == "pending"
    desk.wait(1)
    assert desk.state(instance_id) == "running"

    reply = desk.ec2.stop_instances(InstanceIds=[instance_id])["StoppingInstances"][0]
    assert (reply["PreviousState"]["Name"], reply["CurrentState"]["Name"]) == ("running", "stopping")
    desk.wait(39)
    assert desk.state(instance_id) == "stopping"
    desk.wait(1)
    assert desk.state(instance_id) == "stopped"


def test_without_timings_a_reply_still_tells_the_state_on_the_way(desk: Desk) -> None:
    desk.world.timings.stopping = timedelta(0)
    instance_id = desk.launch()

    reply = desk.ec2.stop_instances(InstanceIds=[instance_id])["StoppingInstances"][0]

    assert reply["CurrentState"] == {"Code": 64, "Name": "stopping"}
    assert desk.state(instance_id) == "stopped"


def in_state(desk: Desk, state: str) -> str:
    instance_id = desk.world.launch()
    if state == "pending":
        return instance_id
    desk.wait(60)
    if state in ("stopping", "stopped"):
        desk.ec2.stop_instances(InstanceIds=[instance_id])
    if state in ("shutting-down", "terminated"):
        desk.ec2.terminate_instances(InstanceIds=[instance_id])
    if state in ("stopped", "terminated"):
        desk.wait(60)
    assert desk.state(instance_id) == state
    return instance_id


@pytest.mark.parametrize(("call", "state"), [
    ("stop_instances", "pending"),
    ("stop_instances", "shutting-down"),
    ("stop_instances", "terminated"),
    ("start_instances", "stopping"),
    ("start_instances", "shutting-down"),
    ("start_instances", "terminated"),
])  # fmt: skip
def test_wrong_states_are_refused(desk: Desk, refused: Refused, call: str, state: str) -> None:
    instance_id = in_state(desk, state)
    done = "stopped" if call == "stop_instances" else "started"

    code, message = refused(getattr(desk.ec2, call), InstanceIds=[instance_id])

    assert code == "IncorrectInstanceState"
    assert message == f"The instance '{instance_id}' is not in a state from which it can be {done}."
    assert desk.state(instance_id) == state


@pytest.mark.parametrize(("call", "state"), [
    ("stop_instances", "stopped"),
    ("stop_instances", "stopping"),
    ("start_instances", "running"),
    ("start_instances", "pending"),
])  # fmt: skip
def test_repeated_calls_succeed_and_change_nothing(desk: Desk, call: str, state: str) -> None:
    instance_id = in_state(desk, state)
    launched_at = desk.instance(instance_id)["LaunchTime"]
    desk.clock.advance(timedelta(milliseconds=1))

    getattr(desk.ec2, call)(InstanceIds=[instance_id])

    assert desk.state(instance_id) == state
    assert desk.instance(instance_id)["LaunchTime"] == launched_at


def test_one_bad_id_fails_the_whole_batch(desk: Desk, refused: Refused) -> None:
    running, pending = desk.launch(), desk.world.launch()

    assert refused(desk.ec2.stop_instances, InstanceIds=[running, pending])[0] == "IncorrectInstanceState"

    assert desk.state(running) == "running"


def test_a_start_needs_the_root_volume(desk: Desk, refused: Refused) -> None:
    instance_id = desk.stopped()
    desk.ec2.detach_volume(VolumeId=desk.disk(instance_id))
    desk.wait(60)

    assert refused(desk.ec2.start_instances, InstanceIds=[instance_id]) == (
        "InvalidParameterValue",
        f"Invalid value '{instance_id}' for instanceId. Instance does not have a volume attached at root (/dev/sda1)",
    )


def test_a_root_under_another_name_is_no_root(desk: Desk, refused: Refused) -> None:
    desk.world.root_device("ami-0debian0000000000", "/dev/xvda")
    instance_id = desk.stopped(ImageId="ami-0debian0000000000")
    root = desk.disk(instance_id, "/dev/xvda")
    desk.ec2.detach_volume(VolumeId=root)
    desk.wait(60)
    desk.ec2.attach_volume(VolumeId=root, InstanceId=instance_id, Device="/dev/sda1")
    desk.wait(60)

    assert "at root (/dev/xvda)" in refused(desk.ec2.start_instances, InstanceIds=[instance_id])[1]


def test_stop_protection(desk: Desk, refused: Refused) -> None:
    instance_id = desk.launch()
    desk.ec2.modify_instance_attribute(InstanceId=instance_id, DisableApiStop={"Value": True})
    told = desk.ec2.describe_instance_attribute(InstanceId=instance_id, Attribute="disableApiStop")

    assert told["DisableApiStop"] == {"Value": True}
    code, message = refused(desk.ec2.stop_instances, InstanceIds=[instance_id])
    assert code == "OperationNotPermitted"
    assert message.startswith(f"The instance '{instance_id}' may not be stopped. Modify its 'disableApiStop'")


def test_one_time_spot_cannot_be_stopped(desk: Desk, refused: Refused) -> None:
    instance_id = desk.launch(spot="one-time")

    assert refused(desk.ec2.stop_instances, InstanceIds=[instance_id])[0] == "UnsupportedOperation"


def test_persistent_spot_is_disabled_while_it_is_stopped(desk: Desk) -> None:
    instance_id = desk.stopped(spot="persistent")
    told = desk.instance(instance_id)

    def request() -> dict[str, Any]:
        asked = desk.ec2.describe_spot_instance_requests(SpotInstanceRequestIds=[told["SpotInstanceRequestId"]])
        return dict(asked["SpotInstanceRequests"][0])

    assert told["InstanceLifecycle"] == "spot"
    assert (request()["Type"], request()["State"]) == ("persistent", "disabled")
    desk.ec2.start_instances(InstanceIds=[instance_id])
    assert request()["State"] == "active"


def test_a_start_is_a_new_launch_time_and_a_new_address(desk: Desk) -> None:
    instance_id = desk.launch()
    before = desk.instance(instance_id)
    desk.ec2.stop_instances(InstanceIds=[instance_id])
    desk.wait(3600)
    assert "PublicIpAddress" not in desk.instance(instance_id)

    desk.ec2.start_instances(InstanceIds=[instance_id])
    after = desk.instance(instance_id)

    assert before["LaunchTime"] == START
    assert after["LaunchTime"] == desk.clock.now()
    assert after["PublicIpAddress"] != before["PublicIpAddress"]
    assert after["PrivateIpAddress"] == before["PrivateIpAddress"]


def test_why_it_stopped_is_told(desk: Desk) -> None:
    by_user, by_itself = desk.launch(), desk.launch()
    stopped_at = desk.clock.now()

    desk.ec2.stop_instances(InstanceIds=[by_user])
    desk.world.power_off(by_itself)
    desk.wait(60)

    told = desk.instance(by_user)
    assert told["StateTransitionReason"] == f"User initiated ({stopped_at:%Y-%m-%d %H:%M:%S} GMT)"
    assert told["StateReason"]["Code"] == "Client.UserInitiatedShutdown"
    assert desk.instance(by_itself)["StateReason"]["Code"] == "Client.InstanceInitiatedShutdown"
    desk.ec2.start_instances(InstanceIds=[by_user])
    assert desk.instance(by_user)["StateTransitionReason"] == ""


def test_a_start_can_fail_after_the_call_succeeded(desk: Desk) -> None:
    instance_id = desk.stopped()
    desk.world.fail_next_boots()

    desk.ec2.start_instances(InstanceIds=[instance_id])
    desk.wait(60)

    assert desk.state(instance_id) == "stopped"
    assert desk.instance(instance_id)["StateReason"]["Code"] == "Client.InternalError"
    told = [one["detail"]["state"] for one in desk.events if "instance-id" in one["detail"]]
    assert told[-2:] == ["pending", "stopped"]


def test_types_can_be_lacking_until_they_are_there_again(desk: Desk, refused: Refused) -> None:
    instance_id = desk.stopped(type="m5.xlarge")
    desk.world.lack_capacity({"m5.xlarge"})
    desk.ec2 = boto3.client("ec2", config=Config(retries={"total_max_attempts": 1}))
    launch = {"ImageId": "ami-00000000000000001", "InstanceType": "m5.xlarge", "MinCount": 1, "MaxCount": 1}

    with pytest.raises(ClientError) as caught:
        desk.ec2.start_instances(InstanceIds=[instance_id])

    told = caught.value.response
    assert (told["Error"]["Code"], told["ResponseMetadata"]["HTTPStatusCode"]) == ("InsufficientInstanceCapacity", 500)
    assert told["Error"]["Message"].startswith(
        "We currently do not have sufficient m5.xlarge capacity in the Availability Zone you"
    )
    assert refused(desk.ec2.run_instances, **launch)[0] == "InsufficientInstanceCapacity"
    assert desk.state(instance_id) == "stopped"
    assert len(desk.ec2.describe_volumes()["Volumes"]) == 1
    desk.ec2.modify_instance_attribute(InstanceId=instance_id, InstanceType={"Value": "m5.2xlarge"})
    desk.ec2.start_instances(InstanceIds=[instance_id])
    desk.world.lack_capacity(())
    desk.ec2.run_instances(**launch)  # type: ignore[arg-type]  # a plain dict


@pytest.mark.parametrize("kind", ["m6g.xlarge", "m5.gigantic"], ids=["other architecture", "unknown"])
def test_a_type_that_does_not_fit_is_refused(desk: Desk, refused: Refused, kind: str) -> None:
    instance_id = desk.stopped()

    code, _ = refused(desk.ec2.modify_instance_attribute, InstanceId=instance_id, InstanceType={"Value": kind})

    assert code == "InvalidInstanceAttributeValue"
    assert desk.instance(instance_id)["InstanceType"] == "t3.medium"


def test_status_checks_begin_with_the_run(desk: Desk) -> None:
    desk.world.timings.checks = timedelta(seconds=100)
    instance_id = desk.world.launch()

    def check(**more: Any) -> list[str]:
        reply = desk.ec2.describe_instance_status(InstanceIds=[instance_id], **more)
        return [one["InstanceStatus"]["Status"] for one in reply["InstanceStatuses"]]

    assert check() == []
    assert check(IncludeAllInstances=True) == ["not-applicable"]
    desk.wait(2)
    assert check() == ["initializing"]
    desk.wait(100)
    assert check() == ["ok"]


def test_termination_deletes_what_dies_with_the_instance(desk: Desk) -> None:
    instance_id = desk.launch(
        disks={"/dev/sdf": {"VolumeSize": 5, "DeleteOnTermination": False}, "/dev/sdg": {"VolumeSize": 6}}
    )
    kept = desk.disk(instance_id, "/dev/sdf")

    desk.ec2.terminate_instances(InstanceIds=[instance_id])
    desk.wait(60)

    assert desk.state(instance_id) == "terminated"
    assert [(one["VolumeId"], one["State"]) for one in desk.ec2.describe_volumes()["Volumes"]] == [(kept, "available")]
    desk.wait(3600)
    assert desk.ec2.describe_instances()["Reservations"] == []


def test_delete_on_termination_is_put_back_by_the_block_device_mapping(desk: Desk, refused: Refused) -> None:
    instance_id = desk.stopped()
    root = desk.disk(instance_id)
    assert desk.instance(instance_id)["BlockDeviceMappings"][0]["Ebs"]["DeleteOnTermination"] is True
    desk.ec2.detach_volume(VolumeId=root)
    desk.wait(60)
    desk.ec2.attach_volume(VolumeId=root, InstanceId=instance_id, Device="/dev/sda1")
    desk.wait(60)
    mapping = desk.instance(instance_id)["BlockDeviceMappings"][0]
    assert (mapping["DeviceName"], mapping["Ebs"]["VolumeId"]) == ("/dev/sda1", root)
    assert (mapping["Ebs"]["Status"], mapping["Ebs"]["DeleteOnTermination"]) == ("attached", False)

    # An omitted value counts as true.
    desk.ec2.modify_instance_attribute(
        InstanceId=instance_id, BlockDeviceMappings=[{"DeviceName": "/dev/sda1", "Ebs": {"VolumeId": root}}]
    )

    assert desk.volume_told(root)["Attachments"][0]["DeleteOnTermination"] is True
    assert refused(
        desk.ec2.modify_instance_attribute,
        InstanceId=instance_id,
        BlockDeviceMappings=[{"DeviceName": "/dev/sdz", "Ebs": {"DeleteOnTermination": True}}],
    ) == ("InvalidInstanceAttributeValue", "No device is currently mapped at /dev/sdz")


def test_only_one_attribute_is_modified_at_a_time_and_the_type_only_when_stopped(desk: Desk, refused: Refused) -> None:
    instance_id = desk.launch()
    modify = desk.ec2.modify_instance_attribute

    assert (
        refused(modify, InstanceId=instance_id, DisableApiStop={"Value": True}, EbsOptimized={"Value": True})[0]
        == "InvalidParameterCombination"
    )
    assert refused(modify, InstanceId=instance_id, InstanceType={"Value": "m5.large"})[0] == "IncorrectInstanceState"
    desk.ec2.stop_instances(InstanceIds=[instance_id])
    desk.wait(60)
    modify(InstanceId=instance_id, InstanceType={"Value": "m5.large"})
    assert desk.instance(instance_id)["InstanceType"] == "m5.large"


@pytest.mark.parametrize(
    ("instance_id", "code"),
    [("i-0123456789abcdef0", "InvalidInstanceID.NotFound"), ("i-nonsense", "InvalidInstanceID.Malformed")],
)
def test_unknown_instances(desk: Desk, refused: Refused, instance_id: str, code: str) -> None:
    for call in (desk.ec2.describe_instances, desk.ec2.start_instances, desk.ec2.stop_instances):
        assert refused(call, InstanceIds=[instance_id])[0] == code


def test_a_dry_run_changes_nothing(desk: Desk, refused: Refused) -> None:
    instance_id = desk.launch()

    assert refused(desk.ec2.stop_instances, InstanceIds=[instance_id], DryRun=True)[0] == "DryRunOperation"
    assert desk.state(instance_id) == "running"


def test_what_refusals_rest_on_is_told(desk: Desk) -> None:
    instance_id = desk.launch(type="m5d.large", HibernationOptions={"Configured": True}, KeyName="mine")
    desk.world.mark_marketplace(instance_id, "abc123")
    desk.world.tag(instance_id, {"aws:autoscaling:groupName": "fleet"})

    told = desk.instance(instance_id)

    assert told["HibernationOptions"] == {"Configured": True}
    assert told["ProductCodes"] == [{"ProductCodeId": "abc123", "ProductCodeType": "marketplace"}]
    assert told["Tags"] == [{"Key": "aws:autoscaling:groupName", "Value": "fleet"}]
    assert (told["RootDeviceType"], told["RootDeviceName"], told["KeyName"]) == ("ebs", "/dev/sda1", "mine")


def test_instance_types_are_known_without_a_network(desk: Desk, refused: Refused) -> None:
    asked = ["t3.medium", "c6i.2xlarge", "m5.xlarge", "m5.2xlarge", "m6g.xlarge", "m5d.xlarge"]
    kinds = desk.ec2.describe_instance_types(InstanceTypes=asked)["InstanceTypes"]  # type: ignore[arg-type]  # text

    assert {one["InstanceType"] for one in kinds if one["InstanceStorageSupported"]} == {"m5d.xlarge"}
    vcpus: dict[str, int] = {one["InstanceType"]: one["VCpuInfo"]["DefaultVCpus"] for one in kinds}
    assert [vcpus[kind] for kind in asked] == [2, 8, 4, 8, 4, 4]
    assert {one["InstanceType"] for one in kinds if one["ProcessorInfo"]["SupportedArchitectures"] != ["x86_64"]} == {
        "m6g.xlarge"
    }
    assert refused(desk.ec2.describe_instance_types, InstanceTypes=["t3.huge"])[0] == "InvalidInstanceType"


@pytest.mark.parametrize("status", ["impaired", "insufficient-data"])
def test_status_checks_may_come_to_something_else(desk: Desk, status: str) -> None:
    desk.world.timings.checks = timedelta(minutes=1)
    instance_id = desk.world.launch()
    desk.world.fail_checks(instance_id, status)

    def told() -> tuple[str, str]:
        [one] = desk.ec2.describe_instance_status(InstanceIds=[instance_id])["InstanceStatuses"]
        return one["InstanceStatus"]["Status"], one["SystemStatus"]["Status"]

    desk.wait(30)
    assert told() == ("initializing", "initializing")
    desk.wait(3600)
    assert told() == (status, status)
    desk.world.fail_checks(instance_id, "ok")
    assert told() == ("ok", "ok")


def test_a_stop_may_hang(desk: Desk) -> None:
    instance_id = desk.launch()
    desk.world.hang_stops(instance_id)
    desk.ec2.stop_instances(InstanceIds=[instance_id])

    desk.wait(24 * 3600)
    assert desk.state(instance_id) == "stopping"
    desk.world.hang_stops(instance_id, hang=False)
    desk.wait(60)
    assert desk.state(instance_id) == "stopped"
