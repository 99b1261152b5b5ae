import boto3
import pytest
from botocore.exceptions import ClientError

from tests.local.conftest import Desk


def snapshot_of(desk: Desk, volume: str) -> str:
    made = desk.ec2.create_snapshot(VolumeId=volume)["SnapshotId"]
    desk.wait(60)
    return made


def changed(first: str, second: str) -> list[list[int]]:
    """The indexes, page by page."""
    client = boto3.client("ebs")
    asked = {"FirstSnapshotId": first, "SecondSnapshotId": second}
    pages = []
    while True:
        answer = client.list_changed_blocks(**asked)
        pages.append([each["BlockIndex"] for each in answer["ChangedBlocks"]])
        if "NextToken" not in answer:
            return pages
        asked["NextToken"] = answer["NextToken"]


def test_a_page_can_be_empty_and_not_the_last(desk: Desk) -> None:
    volume = desk.volume()
    for number in range(250):
        (desk.world.volume_path(volume) / f"{number:03}").write_text("same", encoding="utf-8")
    first = snapshot_of(desk, volume)
    (desk.world.volume_path(volume) / "249").write_text("other", encoding="utf-8")
    second = snapshot_of(desk, volume)
    assert changed(first, second) == [[], [], [249]]
    assert changed(first, first) == [[], [], []]


def test_a_volume_is_compared_with_what_it_was_made_from_if_the_world_does_that(desk: Desk) -> None:
    volume = desk.volume()
    first = snapshot_of(desk, volume)
    second = snapshot_of(desk, desk.volume(SnapshotId=first))
    assert changed(first, second) == [[]]
    desk.world.compare_no_lineage()
    with pytest.raises(ClientError) as refused:
        changed(first, second)
    assert refused.value.response["Reason"] == "UNRELATED_SNAPSHOTS"  # type: ignore[typeddict-item]  # of this service


def test_others_are_not_related(desk: Desk) -> None:
    with pytest.raises(ClientError, match="not related"):
        changed(snapshot_of(desk, desk.volume()), snapshot_of(desk, desk.volume()))


def test_only_complete_snapshots_can_be_read(desk: Desk) -> None:
    volume = desk.volume()
    first = snapshot_of(desk, volume)
    pending = desk.ec2.create_snapshot(VolumeId=volume)["SnapshotId"]
    with pytest.raises(ClientError, match="does not exist"):
        changed(first, pending)
