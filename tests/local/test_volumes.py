"""Volumes: their states, and the rules of attaching, detaching, deleting and creating."""

from datetime import timedelta
from typing import Any

import pytest

from tests.local.conftest import Desk, Refused


def attach(desk: Desk, volume_id: str, instance_id: str, device: str = "/dev/sdf") -> None:
    desk.ec2.attach_volume(VolumeId=volume_id, InstanceId=instance_id, Device=device)
    desk.wait(60)


def test_states_take_their_time(desk: Desk) -> None:
    timings = desk.world.timings
    timings.creating = timings.attaching = timings.detaching = timings.deleting = timedelta(seconds=10)
    instance_id = desk.launch()

    def state() -> tuple[str, list[str]]:
        told = desk.volume_told(volume_id)
        return told["State"], [one["State"] for one in told["Attachments"]]

    reply = desk.ec2.create_volume(Size=1, VolumeType="gp3", AvailabilityZone="us-east-1a")
    volume_id = reply["VolumeId"]
    assert (reply["State"], state()) == ("creating", ("creating", []))
    desk.wait(10)
    assert state() == ("available", [])

    assert desk.ec2.attach_volume(VolumeId=volume_id, InstanceId=instance_id, Device="/dev/sdf")["State"] == "attaching"
    assert state() == ("in-use", ["attaching"])
    desk.wait(10)
    assert state() == ("in-use", ["attached"])

    assert desk.ec2.detach_volume(VolumeId=volume_id)["State"] == "detaching"
    assert state() == ("in-use", ["detaching"])
    desk.wait(10)
    assert state() == ("available", [])

    desk.ec2.delete_volume(VolumeId=volume_id)
    assert state() == ("deleting", [])
    desk.wait(10)
    assert desk.ec2.describe_volumes(Filters=[{"Name": "volume-id", "Values": [volume_id]}])["Volumes"] == []


def test_attach_refuses_an_attached_volume(desk: Desk, refused: Refused) -> None:
    one, other, volume_id = desk.launch(), desk.launch(), desk.volume()
    attach(desk, volume_id, one)

    assert refused(desk.ec2.attach_volume, VolumeId=volume_id, InstanceId=other, Device="/dev/sdf") == (
        "VolumeInUse",
        f"{volume_id} is already attached to an instance",
    )


def test_attach_refuses_a_taken_device_until_it_is_really_free(desk: Desk, refused: Refused) -> None:
    instance_id, first, second = desk.launch(), desk.volume(), desk.volume()
    attach(desk, first, instance_id)
    asked = {"VolumeId": second, "InstanceId": instance_id, "Device": "/dev/sdf"}

    assert refused(desk.ec2.attach_volume, **asked) == (
        "InvalidParameterValue",
        "Invalid value '/dev/sdf' for unixDevice. Attachment point /dev/sdf is already in use",
    )
    desk.ec2.detach_volume(VolumeId=first)
    assert refused(desk.ec2.attach_volume, **asked)[0] == "InvalidParameterValue"
    desk.wait(60)
    attach(desk, second, instance_id)
    assert desk.disk(instance_id, "/dev/sdf") == second


def test_attach_refuses_another_zone(desk: Desk, refused: Refused) -> None:
    instance_id, volume_id = desk.launch(), desk.volume(AvailabilityZone="us-east-1b")

    code, _ = refused(desk.ec2.attach_volume, VolumeId=volume_id, InstanceId=instance_id, Device="/dev/sdf")

    assert code == "InvalidVolume.ZoneMismatch"


def test_attach_refuses_a_volume_that_is_still_created(desk: Desk, refused: Refused) -> None:
    instance_id = desk.launch()
    volume_id = desk.ec2.create_volume(Size=1, VolumeType="gp3", AvailabilityZone="us-east-1a")["VolumeId"]

    code, _ = refused(desk.ec2.attach_volume, VolumeId=volume_id, InstanceId=instance_id, Device="/dev/sdf")

    assert code == "IncorrectState"


def test_attach_wants_an_instance_that_runs_or_is_stopped(desk: Desk, refused: Refused) -> None:
    instance_id, volume_id = desk.launch(), desk.volume()
    desk.ec2.stop_instances(InstanceIds=[instance_id])

    assert refused(desk.ec2.attach_volume, VolumeId=volume_id, InstanceId=instance_id, Device="/dev/sdf") == (
        "IncorrectState",
        f"Instance '{instance_id}' is not 'running'.",
    )
    desk.wait(60)
    attach(desk, volume_id, instance_id)


@pytest.mark.parametrize("device", ["/dev/sdf1", "sdf", "/dev/nvme1n1"])
def test_attach_refuses_impossible_devices(desk: Desk, refused: Refused, device: str) -> None:
    instance_id, volume_id = desk.launch(), desk.volume()

    code, _ = refused(desk.ec2.attach_volume, VolumeId=volume_id, InstanceId=instance_id, Device=device)

    assert code == "InvalidParameterValue"


def test_a_root_is_detached_only_from_a_stopped_instance(desk: Desk, refused: Refused) -> None:
    instance_id = desk.launch(disks={"/dev/sdf": {"VolumeSize": 5}})
    root, data = desk.disk(instance_id), desk.disk(instance_id, "/dev/sdf")

    assert refused(desk.ec2.detach_volume, VolumeId=root) == (
        "IncorrectState",
        f"Unable to detach root volume '{root}' from instance '{instance_id}'",
    )
    desk.ec2.detach_volume(VolumeId=data)
    desk.ec2.stop_instances(InstanceIds=[instance_id])
    desk.wait(60)
    desk.ec2.detach_volume(VolumeId=root)
    desk.wait(60)
    assert desk.instance(instance_id)["BlockDeviceMappings"] == []


def test_detach_refuses_what_is_not_attached_so(desk: Desk, refused: Refused) -> None:
    instance_id, other, volume_id = desk.launch(), desk.launch(), desk.volume()
    detach = desk.ec2.detach_volume

    assert refused(detach, VolumeId=volume_id)[0] == "InvalidAttachment.NotFound"
    attach(desk, volume_id, instance_id)
    assert refused(detach, VolumeId=volume_id, InstanceId=other)[0] == "InvalidAttachment.NotFound"
    assert refused(detach, VolumeId=volume_id, Device="/dev/sdg")[0] == "InvalidAttachment.NotFound"
    detach(VolumeId=volume_id, InstanceId=instance_id, Device="/dev/sdf")
    assert refused(detach, VolumeId=volume_id)[0] == "IncorrectState"


def test_an_attached_volume_is_not_deleted(desk: Desk, refused: Refused) -> None:
    instance_id = desk.stopped()
    root = desk.disk(instance_id)

    assert refused(desk.ec2.delete_volume, VolumeId=root) == (
        "VolumeInUse",
        f"Volume {root} is currently attached to {instance_id}",
    )


def create(desk: Desk, **wishes: Any) -> dict[str, Any]:
    return dict(desk.ec2.create_volume(AvailabilityZone="us-east-1a", **wishes))


@pytest.mark.parametrize(("wishes", "type_", "iops", "throughput"), [
    ({"Size": 10}, "gp2", 100, None),
    ({"Size": 1000, "VolumeType": "gp2"}, "gp2", 3000, None),
    ({"Size": 10, "VolumeType": "gp3"}, "gp3", 3000, 125),
    ({"Size": 10, "VolumeType": "gp3", "Iops": 4000, "Throughput": 250}, "gp3", 4000, 250),
    ({"Size": 10, "VolumeType": "io2", "Iops": 500}, "io2", 500, None),
    ({"Size": 125, "VolumeType": "st1"}, "st1", None, None),
], ids=["no type", "gp2", "gp3", "gp3 faster", "io2", "st1"])  # fmt: skip
def test_types_have_their_performance(
    desk: Desk, wishes: dict[str, Any], type_: str, iops: int | None, throughput: int | None
) -> None:
    told = desk.volume_told(create(desk, **wishes)["VolumeId"])

    assert (told["VolumeType"], told.get("Iops"), told.get("Throughput")) == (type_, iops, throughput)


@pytest.mark.parametrize(("wishes", "code"), [
    ({"Size": 10, "Iops": 3000}, "InvalidParameterCombination"),
    ({"Size": 10, "VolumeType": "gp2", "Throughput": 125}, "InvalidParameterCombination"),
    ({"Size": 125, "VolumeType": "st1", "Iops": 100}, "InvalidParameterCombination"),
    ({"Size": 10, "VolumeType": "io1"}, "MissingParameter"),
    ({"Size": 10, "VolumeType": "io2"}, "MissingParameter"),
    ({"Size": 10, "VolumeType": "io2", "Iops": 500, "Throughput": 125}, "InvalidParameterCombination"),
    ({"Size": 10, "VolumeType": "gp3", "Iops": 2999}, "InvalidParameterValue"),
    ({"Size": 20, "VolumeType": "gp3", "Iops": 15000}, "InvalidParameterValue"),
    ({"Size": 10, "VolumeType": "io1", "Iops": 501}, "InvalidParameterValue"),
    ({"Size": 100, "VolumeType": "gp3", "Iops": 3000, "Throughput": 751}, "InvalidParameterValue"),
    ({"Size": 124, "VolumeType": "st1"}, "InvalidParameterValue"),
    ({"Size": 16385, "VolumeType": "gp2"}, "InvalidParameterValue"),
    ({"VolumeType": "gp3"}, "MissingParameter"),
    ({"Size": 10, "KmsKeyId": "alias/mine"}, "InvalidParameterDependency"),
    ({"Size": 10, "VolumeType": "gp3", "MultiAttachEnabled": True}, "InvalidParameterCombination"),
], ids=lambda value: str(value) if isinstance(value, dict) else "")  # fmt: skip
def test_what_does_not_fit_the_type_is_refused(desk: Desk, refused: Refused, wishes: dict[str, Any], code: str) -> None:
    assert refused(desk.ec2.create_volume, AvailabilityZone="us-east-1a", **wishes)[0] == code
    assert desk.ec2.describe_volumes()["Volumes"] == []


def test_ratios_are_refused_in_their_words_and_the_least_goes_with_any_size(desk: Desk, refused: Refused) -> None:
    create(desk, Size=1, VolumeType="gp3", Iops=3000, Throughput=125)
    create(desk, Size=30, VolumeType="gp3", Iops=15000, Throughput=750)
    create(desk, Size=4, VolumeType="io2", Iops=4000)

    assert refused(create, desk=desk, Size=20, VolumeType="gp3", Iops=15000)[1] == (
        "Iops to volume size ratio of 750.000000 is too high; maximum is 500"
    )
    assert refused(create, desk=desk, Size=20, VolumeType="gp3", Throughput=1000)[1] == (
        "Throughput (MiBps) to iops ratio of 0.333333 is too high; maximum is 0.250000 MiBps per iops"
    )


def test_an_account_may_encrypt_whatever_is_new(desk: Desk) -> None:
    plain = desk.snapshot(desk.volume())
    own = "arn:aws:kms:us-east-1:123456789012:key/own"
    desk.world.encrypt_by_default()

    keys = [
        desk.volume_told(desk.volume(**asked)).get("KmsKeyId")
        for asked in ({"SnapshotId": plain}, {"Encrypted": False}, {"Encrypted": True, "KmsKeyId": own})
    ]
    assert keys == [desk.world.cloud.default_key(), desk.world.cloud.default_key(), own]
    desk.world.encrypt_by_default(on=False)
    assert desk.volume_told(desk.volume())["Encrypted"] is False


def test_a_device_without_its_directory_is_told_as_it_was_given(desk: Desk) -> None:
    instance_id, volume_id = desk.launch(), desk.volume()
    attach(desk, volume_id, instance_id, "xvdh")

    assert desk.volume_told(volume_id)["Attachments"][0]["Device"] == "xvdh"
    assert "xvdh" in [one["DeviceName"] for one in desk.instance(instance_id)["BlockDeviceMappings"]]


def test_a_client_token_makes_one_volume(desk: Desk, refused: Refused) -> None:
    asked = {"Size": 10, "VolumeType": "gp3", "ClientToken": "cycle-7-sdf"}

    first = create(desk, **asked)
    again = create(desk, **asked)
    elsewhere = desk.ec2.create_volume(**asked, AvailabilityZone="us-east-1b")  # type: ignore[arg-type]  # a plain dict

    assert again["VolumeId"] == first["VolumeId"] == elsewhere["VolumeId"]
    assert len(desk.ec2.describe_volumes()["Volumes"]) == 1
    different = {**asked, "AvailabilityZone": "us-east-1a", "Size": 11}
    assert refused(desk.ec2.create_volume, **different)[0] == "IdempotentParameterMismatch"
    assert create(desk, Size=10, VolumeType="gp3")["VolumeId"] != first["VolumeId"]


def test_a_volume_can_end_in_error(desk: Desk) -> None:
    desk.world.fail_next_volumes()

    volume_id = desk.volume()

    assert desk.volume_told(volume_id)["State"] == "error"
    desk.ec2.delete_volume(VolumeId=volume_id)


def test_a_client_token_is_burned_with_its_volume(desk: Desk, refused: Refused) -> None:
    """While the volume is there it is told as it is; then nothing comes of the token any more."""
    desk.world.fail_next_volumes()
    asked = {"Size": 10, "VolumeType": "gp3", "ClientToken": "cycle-7-sdf"}
    volume_id = create(desk, **asked)["VolumeId"]
    desk.wait(60)

    again = create(desk, **asked)
    assert (again["VolumeId"], again["State"]) == (volume_id, "error")
    desk.ec2.delete_volume(VolumeId=volume_id)
    for _ in range(2):  # it is being deleted; it is gone
        code, message = refused(create, desk=desk, **asked)
        assert (code, message.partition(".")[0]) == (
            "IdempotentParameterMismatch",
            "The client token you have provided is associated with a resource that is already deleted",
        )
        desk.wait(60)
    assert desk.ec2.describe_volumes()["Volumes"] == []
    assert create(desk, **{**asked, "ClientToken": "cycle-7-sdf-2"})["VolumeId"] != volume_id


def test_a_volume_whose_key_may_not_be_used_vanishes_and_burns_its_token(desk: Desk, refused: Refused) -> None:
    asked = {"Size": 10, "VolumeType": "gp3", "AvailabilityZone": "us-east-1a", "Encrypted": True, "ClientToken": "a"}
    desk.world.forbid_key()

    told = desk.ec2.create_volume(**asked)  # type: ignore[arg-type]  # a plain dict
    assert told["State"] == desk.volume_told(told["VolumeId"])["State"] == "creating"
    desk.wait(60)

    assert refused(desk.ec2.describe_volumes, VolumeIds=[told["VolumeId"]])[0] == "InvalidVolume.NotFound"
    [event] = [one["detail"] for one in desk.events if one["detail"].get("event") == "createVolume"]
    assert (event["result"], event["cause"]) == ("failed", f"{desk.world.cloud.default_key()} is disabled.")
    code, message = refused(desk.ec2.create_volume, **asked)
    assert (code, "already deleted" in message) == ("IdempotentParameterMismatch", True)
    desk.world.allow_keys()
    assert refused(desk.ec2.create_volume, **asked)[0] == "IdempotentParameterMismatch"
    assert desk.volume_told(desk.volume(**{**asked, "ClientToken": "b"}))["State"] == "available"


def test_a_start_with_a_disk_whose_key_may_not_be_used_falls_back(desk: Desk) -> None:
    instance_id = desk.stopped(disks={"/dev/sdf": {"VolumeSize": 1, "Encrypted": True}})
    other = desk.stopped()
    desk.world.forbid_key()

    desk.ec2.start_instances(InstanceIds=[instance_id, other])
    desk.wait(60)

    assert (desk.state(instance_id), desk.state(other)) == ("stopped", "running")
    assert desk.instance(instance_id)["StateReason"]["Code"] == "Client.InternalError"


def test_a_device_may_stay_taken_after_its_volume_has_left(desk: Desk, refused: Refused) -> None:
    instance_id, first, second = desk.stopped(), desk.volume(), desk.volume()
    attach(desk, first, instance_id)
    desk.world.timings.device_freed = timedelta(seconds=20)
    asked = {"VolumeId": second, "InstanceId": instance_id, "Device": "/dev/sdf"}
    desk.ec2.detach_volume(VolumeId=first)
    desk.wait(15)

    assert desk.volume_told(first)["State"] == "available"
    code, message = refused(desk.ec2.attach_volume, **asked)
    assert (code, message.endswith("Attachment point /dev/sdf is already in use")) == ("InvalidParameterValue", True)
    desk.wait(7)
    desk.ec2.attach_volume(**asked)  # type: ignore[arg-type]  # a plain dict


def test_an_instance_may_not_know_yet_what_is_attached_to_it(desk: Desk, refused: Refused) -> None:
    instance_id, volume_id = desk.stopped(), desk.volume()
    desk.world.timings.mapping = timedelta(seconds=20)
    desk.ec2.attach_volume(VolumeId=volume_id, InstanceId=instance_id, Device="/dev/sdf")
    desk.wait(15)
    asked = {
        "InstanceId": instance_id,
        "BlockDeviceMappings": [
            {"DeviceName": "/dev/sdf", "Ebs": {"VolumeId": volume_id, "DeleteOnTermination": True}}
        ],
    }

    assert desk.volume_told(volume_id)["Attachments"][0]["State"] == "attached"
    assert refused(desk.ec2.modify_instance_attribute, **asked) == (
        "InvalidInstanceAttributeValue",
        "No device is currently mapped at /dev/sdf",
    )
    desk.wait(7)
    desk.ec2.modify_instance_attribute(**asked)  # type: ignore[arg-type]  # a plain dict
    assert desk.volume_told(volume_id)["Attachments"][0]["DeleteOnTermination"] is True


def test_a_deletion_may_take_minutes(desk: Desk, refused: Refused) -> None:
    instance_id, volume_id = desk.stopped(), desk.volume()
    desk.world.timings.deleting = timedelta(minutes=7)
    desk.ec2.delete_volume(VolumeId=volume_id)

    desk.wait(6 * 60)
    assert desk.volume_told(volume_id)["State"] == "deleting"
    assert volume_id in {one["VolumeId"] for one in desk.ec2.describe_volumes()["Volumes"]}
    assert not desk.world.volume_path(volume_id).exists()
    assert refused(desk.ec2.delete_volume, VolumeId=volume_id)[0] == "InvalidVolume.NotFound"
    assert refused(desk.ec2.create_snapshot, VolumeId=volume_id)[0] == "IncorrectState"
    asked = {"VolumeId": volume_id, "InstanceId": instance_id, "Device": "/dev/sdf"}
    assert refused(desk.ec2.attach_volume, **asked)[0] == "IncorrectState"
    desk.wait(60)
    assert refused(desk.ec2.describe_volumes, VolumeIds=[volume_id])[0] == "InvalidVolume.NotFound"


def test_encryption_is_inherited_by_snapshot_and_volume(desk: Desk) -> None:
    key = "arn:aws:kms:us-east-1:123456789012:key/1234"
    snapshot_id = desk.snapshot(desk.volume(Encrypted=True, KmsKeyId=key))

    told = desk.snapshot_told(snapshot_id)
    made = desk.volume_told(desk.volume(SnapshotId=snapshot_id))

    assert (told["Encrypted"], told["KmsKeyId"]) == (True, key)
    assert (made["Encrypted"], made["KmsKeyId"]) == (True, key)
    assert "KmsKeyId" not in desk.volume_told(desk.volume())


def test_volumes_are_found_by_instance_and_tag(desk: Desk) -> None:
    instance_id = desk.launch(disks={"/dev/sdf": {"VolumeSize": 5}}, volume_tags={"autostop:workstation": "me"})
    desk.volume()

    def found(name: str, value: str) -> set[str]:
        reply = desk.ec2.describe_volumes(Filters=[{"Name": name, "Values": [value]}])
        return {one["VolumeId"] for one in reply["Volumes"]}

    disks = {desk.disk(instance_id), desk.disk(instance_id, "/dev/sdf")}
    assert found("attachment.instance-id", instance_id) == disks
    assert found("tag:autostop:workstation", "me") == disks
    assert found("status", "available").isdisjoint(disks)
