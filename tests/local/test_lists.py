import pytest

from tests.local.conftest import Desk, Refused


def test_every_page_of_the_tagged_instances(desk: Desk) -> None:
    wanted = [desk.world.launch(tags={"autostop": "on"}) for _ in range(12)]
    desk.world.launch()

    pages = list(
        desk.ec2.get_paginator("describe_instances").paginate(
            Filters=[{"Name": "tag:autostop", "Values": ["on"]}], PaginationConfig={"PageSize": 5}
        )
    )

    assert [len(page["Reservations"]) for page in pages] == [5, 5, 2]
    assert [one["Instances"][0]["InstanceId"] for page in pages for one in page["Reservations"]] == wanted


def test_a_list_goes_on_where_it_was_though_something_went(desk: Desk) -> None:
    volumes = [desk.volume() for _ in range(7)]
    first = desk.ec2.describe_volumes(MaxResults=5)
    desk.ec2.delete_volume(VolumeId=volumes[0])
    desk.wait(60)

    second = desk.ec2.describe_volumes(MaxResults=5, NextToken=first["NextToken"])

    assert [one["VolumeId"] for one in second["Volumes"]] == volumes[5:]
    assert "NextToken" not in second


def test_pages_have_their_limits(desk: Desk, refused: Refused) -> None:
    instance_id = desk.launch()

    for limit in (4, 1001):
        assert refused(desk.ec2.describe_instances, MaxResults=limit)[0] == "InvalidParameterValue"
    asked = {"MaxResults": 5, "InstanceIds": [instance_id]}
    assert refused(desk.ec2.describe_instances, **asked)[0] == "InvalidParameterCombination"


def test_filters_are_anded_and_their_values_ored(desk: Desk, refused: Refused) -> None:
    running, stopped = desk.launch(tags={"Name": "lab-1"}), desk.stopped(tags={"Name": "lab-2"})
    desk.launch(tags={"Name": "web"})

    def found(*filters: tuple[str, list[str]]) -> list[str]:
        asked = [{"Name": name, "Values": values} for name, values in filters]
        reply = desk.ec2.describe_instances(Filters=asked)  # type: ignore[arg-type]  # plain dicts
        return [one["Instances"][0]["InstanceId"] for one in reply["Reservations"]]

    assert found(("tag:Name", ["lab-*"])) == [running, stopped]
    assert found(("tag:Name", ["lab-?"]), ("instance-state-name", ["stopped", "stopping"])) == [stopped]
    assert found(("tag-key", ["Name"]), ("instance-id", [running])) == [running]
    assert found(("tag:name", ["lab-1"])) == []
    asked = [{"Name": "colour", "Values": ["blue"]}]
    assert refused(desk.ec2.describe_instances, Filters=asked)[1] == "The filter 'colour' is invalid"


def test_tags_are_set_changed_and_removed(desk: Desk) -> None:
    volume_id = desk.volume()
    desk.ec2.create_tags(Resources=[volume_id], Tags=[{"Key": "a", "Value": "1"}, {"Key": "b", "Value": "<&>"}])
    desk.ec2.create_tags(Resources=[volume_id], Tags=[{"Key": "a", "Value": "2"}])
    desk.ec2.delete_tags(Resources=[volume_id], Tags=[{"Key": "a", "Value": "1"}])
    assert desk.volume_told(volume_id)["Tags"] == [{"Key": "a", "Value": "2"}, {"Key": "b", "Value": "<&>"}]

    desk.ec2.delete_tags(Resources=[volume_id], Tags=[{"Key": "a"}])

    assert desk.volume_told(volume_id)["Tags"] == [{"Key": "b", "Value": "<&>"}]


def test_tags_have_their_limits(desk: Desk, refused: Refused) -> None:
    volume_id = desk.volume()
    desk.ec2.create_tags(Resources=[volume_id], Tags=[{"Key": f"k{n}", "Value": ""} for n in range(50)])

    def tag(key: str, value: str = "") -> str:
        return refused(desk.ec2.create_tags, Resources=[volume_id], Tags=[{"Key": key, "Value": value}])[0]

    assert tag("k50") == "TagLimitExceeded"
    assert tag("aws:mine") == "InvalidParameterValue"
    assert tag("k1", "x" * 257) == "InvalidParameterValue"
    asked = {"Resources": [volume_id, "vol-00000000000000000"], "Tags": [{"Key": "k1", "Value": "new"}]}
    assert refused(desk.ec2.create_tags, **asked)[0] == "InvalidVolume.NotFound"
    assert {"Key": "k1", "Value": ""} in desk.volume_told(volume_id)["Tags"]


@pytest.mark.parametrize("character", ["\x1b", "\x00", "\uffff"], ids=["escape", "null", "not a character"])
def test_what_no_answer_could_tell_is_refused(desk: Desk, refused: Refused, character: str) -> None:
    volume_id = desk.volume()
    tags = [{"Key": "autostop:owner", "Value": f"me{character}[31m"}]

    code, message = refused(desk.ec2.create_tags, Resources=[volume_id], Tags=tags)

    assert code == "InvalidParameterValue"
    assert message.startswith("Value (me?[31m) for parameter value is invalid.")
    specified = [{"ResourceType": "snapshot", "Tags": tags}]
    assert refused(desk.ec2.create_snapshot, VolumeId=volume_id, TagSpecifications=specified)[0] == code
    assert refused(desk.ec2.create_snapshot, VolumeId=volume_id, Description=character)[0] == code
    assert refused(desk.ec2.describe_volumes, VolumeIds=[f"vol-{character}"])[0] == "InvalidVolumeID.Malformed"
    assert desk.volume_told(volume_id)["Tags"] == []


def test_every_other_character_is_told_as_it_is(desk: Desk) -> None:
    value = "é \t ✓ 🌙 <&>"

    volume_id = desk.volume(TagSpecifications=[{"ResourceType": "volume", "Tags": [{"Key": "k", "Value": value}]}])

    assert desk.volume_told(volume_id)["Tags"] == [{"Key": "k", "Value": value}]
