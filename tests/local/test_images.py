"""Images that are registered from snapshots, and the instances that are launched from them."""

from datetime import timedelta
from typing import Any

import pytest

from tests.local.conftest import Desk, Refused

MODERN = {"Architecture": "x86_64", "VirtualizationType": "hvm", "EnaSupport": True}


def rooted(snapshot_id: str, **ebs: Any) -> dict[str, Any]:
    """The parameters of an image with this root."""
    return {
        "RootDeviceName": "/dev/xvda",
        "BlockDeviceMappings": [{"DeviceName": "/dev/xvda", "Ebs": {"SnapshotId": snapshot_id, **ebs}}],
    }


def register(desk: Desk, snapshot_id: str, *, name: str = "from the night", **wishes: Any) -> str:
    asked: dict[str, Any] = {"Name": name, **MODERN, **rooted(snapshot_id), **wishes}
    return desk.ec2.register_image(**asked)["ImageId"]


def written_snapshot(desk: Desk, text: str, **wishes: Any) -> str:
    volume_id = desk.volume(**wishes)
    (desk.world.volume_path(volume_id) / "file").write_text(text)
    return desk.snapshot(volume_id)


def run(desk: Desk, image_id: str, **wishes: Any) -> str:
    asked: dict[str, Any] = {"ImageId": image_id, "InstanceType": "t3.medium", "MinCount": 1, "MaxCount": 1, **wishes}
    return desk.ec2.run_instances(**asked)["Instances"][0]["InstanceId"]


def test_an_instance_is_built_from_snapshots(desk: Desk) -> None:
    root, data = written_snapshot(desk, "the system"), written_snapshot(desk, "the work", Size=20)
    image_id = register(desk, root, BootMode="uefi-preferred")

    instance_id = run(
        desk,
        image_id,
        BlockDeviceMappings=[
            {"DeviceName": "/dev/xvda", "Ebs": {"VolumeType": "gp3", "Iops": 4000, "Throughput": 200}},
            {"DeviceName": "/dev/sdf", "Ebs": {"SnapshotId": data, "VolumeType": "io2", "Iops": 500}},
        ],
        SubnetId="subnet-0000000b",
        SecurityGroupIds=["sg-0123456789abcdef0"],
        KeyName="mine",
        IamInstanceProfile={"Arn": "arn:aws:iam::123456789012:instance-profile/lab"},
        InstanceInitiatedShutdownBehavior="stop",
        MetadataOptions={"HttpTokens": "required"},
        TagSpecifications=[
            {"ResourceType": "instance", "Tags": [{"Key": "autostop", "Value": "on"}]},
            {"ResourceType": "volume", "Tags": [{"Key": "team", "Value": "blue"}]},
        ],
    )
    desk.wait(60)

    told = desk.instance(instance_id)
    assert (told["State"]["Name"], told["ImageId"], told["Architecture"]) == ("running", image_id, "x86_64")
    assert (told["EnaSupport"], told["BootMode"], told["VirtualizationType"]) == (True, "uefi-preferred", "hvm")
    assert (told["SubnetId"], told["Placement"]["AvailabilityZone"]) == ("subnet-0000000b", "us-east-1b")
    assert [one["GroupId"] for one in told["SecurityGroups"]] == ["sg-0123456789abcdef0"]
    assert (told["KeyName"], told["EbsOptimized"]) == ("mine", False)
    assert told["IamInstanceProfile"]["Arn"].endswith("instance-profile/lab")
    assert (told["MetadataOptions"]["HttpTokens"], told["MetadataOptions"]["HttpPutResponseHopLimit"]) == (
        "required",
        1,
    )
    assert told["Tags"] == [{"Key": "autostop", "Value": "on"}]
    of_root = desk.volume_told(desk.disk(instance_id, "/dev/xvda"))
    of_data = desk.volume_told(desk.disk(instance_id, "/dev/sdf"))
    assert (of_root["SnapshotId"], of_root["VolumeType"], of_root["Iops"]) == (root, "gp3", 4000)
    assert (of_data["SnapshotId"], of_data["VolumeType"], of_data["Size"]) == (data, "io2", 20)
    assert of_root["Tags"] == of_data["Tags"] == [{"Key": "team", "Value": "blue"}]
    assert (desk.world.disk_path(instance_id, "/dev/xvda") / "file").read_text() == "the system"
    assert (desk.world.disk_path(instance_id, "/dev/sdf") / "file").read_text() == "the work"


def test_images_are_found_by_id_owner_name_and_tag(desk: Desk, refused: Refused) -> None:
    snapshot_id = desk.snapshot(desk.volume(Size=12))
    tags = [{"ResourceType": "image", "Tags": [{"Key": "autostop:workstation", "Value": "i-1"}]}]
    image_id = register(desk, snapshot_id, TagSpecifications=tags)
    other = register(desk, snapshot_id, name="other")

    def found(**asked: Any) -> list[str]:
        return [one["ImageId"] for one in desk.ec2.describe_images(**asked)["Images"]]

    assert found(Owners=["self"]) == [image_id, other]
    assert found(Owners=["self"], Filters=[{"Name": "tag:autostop:workstation", "Values": ["i-1"]}]) == [image_id]
    assert found(Owners=["self"], Filters=[{"Name": "name", "Values": ["oth*"]}]) == [other]
    (told,) = desk.ec2.describe_images(ImageIds=[image_id])["Images"]
    assert (told["Name"], told["State"], told["Architecture"]) == ("from the night", "available", "x86_64")
    assert told["BlockDeviceMappings"][0]["Ebs"] == {
        "SnapshotId": snapshot_id,
        "VolumeSize": 12,
        "VolumeType": "gp2",
        "DeleteOnTermination": True,
        "Encrypted": False,
    }
    desk.ec2.deregister_image(ImageId=image_id)
    assert found(Owners=["self"]) == [other]
    assert refused(desk.ec2.describe_images, ImageIds=[image_id])[0] == "InvalidAMIID.NotFound"


def test_the_images_of_others_are_motos(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MOTO_EC2_LOAD_DEFAULT_AMIS")
    assert desk.ec2.describe_images(Owners=["amazon"])["Images"]
    assert [call.operation for call in desk.world.journal.calls()] == ["DescribeImages"]


def test_a_snapshot_behind_an_image_is_not_deleted(desk: Desk, refused: Refused) -> None:
    snapshot_id = desk.snapshot(desk.volume())
    image_id = register(desk, snapshot_id)

    assert refused(desk.ec2.delete_snapshot, SnapshotId=snapshot_id) == (
        "InvalidSnapshot.InUse",
        f"The snapshot {snapshot_id} is currently in use by {image_id}",
    )
    desk.ec2.deregister_image(ImageId=image_id)
    desk.ec2.delete_snapshot(SnapshotId=snapshot_id)


def test_an_instance_outlives_its_image_of_which_no_other_comes(desk: Desk, refused: Refused) -> None:
    image_id = register(desk, desk.snapshot(desk.volume()))
    instance_id = run(desk, image_id)
    desk.ec2.deregister_image(ImageId=image_id)
    desk.wait(60)

    assert desk.state(instance_id) == "running"
    asked = {"ImageId": image_id, "InstanceType": "t3.medium", "MinCount": 1, "MaxCount": 1}
    assert refused(desk.ec2.run_instances, **asked)[0] == "InvalidAMIID.NotFound"


def test_the_root_is_that_of_the_image(desk: Desk, refused: Refused) -> None:
    image_id, other = register(desk, desk.snapshot(desk.volume())), desk.snapshot(desk.volume())
    before = {one["VolumeId"] for one in desk.ec2.describe_volumes()["Volumes"]}

    def refusal(**ebs: Any) -> tuple[str, str]:
        mappings = [{"DeviceName": "/dev/sdf", "Ebs": {"VolumeSize": 5}}, {"DeviceName": "/dev/xvda", "Ebs": ebs}]
        asked = {"ImageId": image_id, "InstanceType": "t3.medium", "MinCount": 1, "MaxCount": 1}
        return refused(desk.ec2.run_instances, **asked, BlockDeviceMappings=mappings)

    assert refusal(SnapshotId=other) == ("InvalidBlockDeviceMapping", "snapshotId cannot be modified on root device")
    assert refusal(VolumeSize=9)[0] == "InvalidParameterValue"  # smaller than the snapshot
    assert {one["VolumeId"] for one in desk.ec2.describe_volumes()["Volumes"]} == before
    assert desk.ec2.describe_instances()["Reservations"] == []


@pytest.mark.parametrize(("wishes", "kind", "code", "words"), [
    ({"Architecture": "arm64"}, "t3.medium", "InvalidParameterValue", "The architecture 'x86_64' of the specified"),
    ({}, "m6g.xlarge", "InvalidParameterValue", "does not match the architecture 'x86_64'"),
    ({"EnaSupport": False}, "t3.medium", "InvalidParameterCombination", "(ENA) is required for the 't3.medium'"),
    ({"VirtualizationType": "paravirtual"}, "t3.medium", "InvalidParameterCombination", "paravirtual"),
], ids=["arm image", "arm type", "no ENA", "paravirtual"])  # fmt: skip
def test_a_type_runs_only_images_that_fit_it(
    desk: Desk, refused: Refused, wishes: dict[str, Any], kind: str, code: str, words: str
) -> None:
    image_id = register(desk, desk.snapshot(desk.volume()), **wishes)

    got = refused(desk.ec2.run_instances, ImageId=image_id, InstanceType=kind, MinCount=1, MaxCount=1)

    assert got[0] == code
    assert words in got[1]


def test_an_image_of_which_only_the_root_is_told_runs_on_nothing_new(desk: Desk, refused: Refused) -> None:
    asked: Any = rooted(desk.snapshot(desk.volume()))
    image_id = desk.ec2.register_image(Name="bare", **asked)["ImageId"]

    (told,) = desk.ec2.describe_images(ImageIds=[image_id])["Images"]

    assert (told["Architecture"], told["VirtualizationType"], told["EnaSupport"]) == ("i386", "paravirtual", False)
    run_it = {"ImageId": image_id, "InstanceType": "t3.medium", "MinCount": 1, "MaxCount": 1}
    assert refused(desk.ec2.run_instances, **run_it)[0] == "InvalidParameterValue"


def test_what_does_not_make_an_image_is_refused(desk: Desk, refused: Refused) -> None:
    snapshot_id = desk.snapshot(desk.volume())
    register(desk, snapshot_id)

    def code(**asked: Any) -> str:
        return refused(desk.ec2.register_image, **{"Name": "new", **rooted(snapshot_id), **asked})[0]

    assert code(Name="from the night") == "InvalidAMIName.Duplicate"
    assert code(Name="no; such") == "InvalidAMIName.Malformed"
    assert code(RootDeviceName="/dev/sda1") == "InvalidBlockDeviceMapping"
    assert code(**rooted(snapshot_id, Encrypted=True)) == "InvalidBlockDeviceMapping"
    assert code(**rooted("snap-00000000000000000")) == "InvalidSnapshot.NotFound"
    desk.world.timings.snapshot = timedelta(hours=1)
    pending = desk.ec2.create_snapshot(VolumeId=desk.volume())["SnapshotId"]
    assert code(**rooted(pending)) == "IncorrectState"


def test_a_client_token_makes_one_instance(desk: Desk, refused: Refused) -> None:
    image_id = register(desk, desk.snapshot(desk.volume()))
    first = run(desk, image_id, ClientToken="recover-7")
    desk.wait(60)

    assert run(desk, image_id, ClientToken="recover-7") == first
    different = {"ImageId": image_id, "InstanceType": "m5.large", "MinCount": 1, "MaxCount": 1}
    assert refused(desk.ec2.run_instances, **different, ClientToken="recover-7")[0] == "IdempotentParameterMismatch"
    assert len(desk.ec2.describe_instances()["Reservations"]) == 1
    desk.ec2.terminate_instances(InstanceIds=[first])
    desk.wait(60)
    same = different | {"InstanceType": "t3.medium"}
    assert refused(desk.ec2.run_instances, **same, ClientToken="recover-7")[0] == "IdempotentInstanceTerminated"
    assert run(desk, image_id, ClientToken="recover-8") != first


def test_a_client_token_holds_in_the_zone_that_the_request_says(desk: Desk) -> None:
    """As the EC2 Developer Guide has it (ec2-api-idempotency): the same in another zone launches a second machine."""
    image_id = register(desk, desk.snapshot(desk.volume()))
    subnets = [desk.instance(desk.launch(zone=f"us-east-1{letter}"))["SubnetId"] for letter in "ab"]

    here, there = (run(desk, image_id, ClientToken="one", SubnetId=subnet) for subnet in subnets)

    assert here != there
    assert run(desk, image_id, ClientToken="one", SubnetId=subnets[0]) == here
    zone = {"Placement": {"AvailabilityZone": "us-east-1c"}}
    assert run(desk, image_id, ClientToken="one", **zone) not in (here, there)


def test_the_key_of_an_encrypted_snapshot_is_kept_or_changed_at_the_launch(desk: Desk) -> None:
    key, other = (f"arn:aws:kms:us-east-1:123456789012:key/{name}" for name in ("mine", "other"))
    image_id = register(desk, desk.snapshot(desk.volume(Encrypted=True, KmsKeyId=key)))
    data = desk.snapshot(desk.volume())

    instance_id = run(
        desk,
        image_id,
        BlockDeviceMappings=[
            {"DeviceName": "/dev/sdf", "Ebs": {"SnapshotId": data, "Encrypted": True, "KmsKeyId": other}},
            {"DeviceName": "/dev/sdg", "Ebs": {"SnapshotId": data, "DeleteOnTermination": False}},
        ],
    )

    keys = {
        device: desk.volume_told(volume_id).get("KmsKeyId")
        for device, volume_id in desk.world.instance(instance_id).volumes.items()
    }
    assert keys == {"/dev/xvda": key, "/dev/sdf": other, "/dev/sdg": None}
    kept = [
        one["DeviceName"]
        for one in desk.instance(instance_id)["BlockDeviceMappings"]
        if not one["Ebs"]["DeleteOnTermination"]
    ]
    assert kept == ["/dev/sdg"]


def test_a_subnet_decides_the_zone(desk: Desk, refused: Refused) -> None:
    here = desk.launch(zone="us-east-1c")
    subnet = desk.instance(here)["SubnetId"]

    there = run(desk, "ami-00000000000000001", SubnetId=subnet)

    assert desk.instance(there)["Placement"]["AvailabilityZone"] == "us-east-1c"
    asked = {"ImageId": "ami-00000000000000001", "InstanceType": "t3.medium", "MinCount": 1, "MaxCount": 1}
    elsewhere = {"SubnetId": subnet, "Placement": {"AvailabilityZone": "us-east-1a"}}
    assert refused(desk.ec2.run_instances, **asked, **elsewhere)[0] == "InvalidParameterValue"
    both = {"SubnetId": subnet, "NetworkInterfaces": [{"DeviceIndex": 0, "SubnetId": subnet}]}
    assert refused(desk.ec2.run_instances, **asked, **both)[0] == "InvalidParameterCombination"
