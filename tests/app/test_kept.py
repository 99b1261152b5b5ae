"""Volumes that are kept detached for a while: a wake takes them back, and nothing that was written to them is lost."""

from datetime import timedelta
from pathlib import Path

import pytest

from autostop.model import SnapshotState, VolumeState, WorkstationId
from autostop.sleep.intent import Wanted
from tests.app.autostop_at_work import AtWork

HOUR = timedelta(hours=1)


def asleep(lab: AtWork, delete_after: str) -> WorkstationId:
    workstation = lab.workstation(settings={"delete-after": delete_after})
    lab.write(workstation, "monday")
    lab.asleep(workstation)
    lab.world.journal.clear()
    return workstation


def volumes(lab: AtWork, workstation: WorkstationId) -> dict[str, VolumeState]:
    return {each.id: each.state for each in lab.disks.volumes(workstation)}


def gone(lab: AtWork, workstation: WorkstationId) -> bool:
    return lab.reached(workstation, Wanted.SHELVE) and not lab.disks.volumes(workstation)


def file_on(lab: AtWork, volume: str) -> Path:
    return lab.world.volume_path(volume) / "notes.txt"


def test_a_wake_takes_them_back_as_they_are(lab: AtWork) -> None:
    workstation = asleep(lab, "7d")
    kept = volumes(lab, workstation)
    assert set(kept.values()) == {VolumeState.AVAILABLE}
    lab.pass_time(timedelta(days=2))
    assert volumes(lab, workstation) == kept
    lab.wake(workstation)
    assert volumes(lab, workstation).keys() == kept.keys()
    assert lab.content(workstation)["/dev/sdf"] == "monday /dev/sdf"
    assert "CreateVolume" not in lab.calls()


def test_it_says_what_they_cost_and_until_when_they_are_kept(lab: AtWork) -> None:
    workstation = asleep(lab, "7d")
    status = lab.owner.status(workstation)
    assert status.headline.startswith("Asleep since ")
    assert "for its volumes, because its delete-after keeps them until 2026-11-30 " in status.billed
    lab.world.tag(workstation, {"autostop:delete-after": "off"})
    assert "because its delete-after is off" in lab.owner.status(workstation).billed


def test_night_after_night_the_snapshots_of_one_are_kept(lab: AtWork) -> None:
    workstation = asleep(lab, "7d")
    for _ in range(3):
        lab.wake(workstation)
        lab.pass_time(timedelta(minutes=15))
        assert len(lab.disks.snapshots(workstation)) == 3
        lab.asleep(workstation)
    assert lab.told.notices == [each for each in lab.told.notices if each.kind.value != "housekeeping"]


def test_when_their_time_is_over_they_are_snapshotted_once_more_and_go(lab: AtWork) -> None:
    workstation = asleep(lab, "3h")
    before = {each.id for each in lab.disks.snapshots(workstation)}
    assert not lab.pass_time(2.5 * HOUR, lambda: gone(lab, workstation))
    assert lab.pass_time(HOUR, lambda: gone(lab, workstation))
    assert lab.calls("AttachVolume", "CreateSnapshots", "DetachVolume", "DeleteVolume") == [
        *["AttachVolume"] * 3, "CreateSnapshots", *["DetachVolume"] * 3, *["DeleteVolume"] * 3,
    ]  # fmt: skip
    assert "its volumes stood detached for 3 h" in lab.owner.status(workstation).headline
    lab.wake(workstation)
    lab.pass_time(timedelta(minutes=15))
    left = {each.id for each in lab.disks.snapshots(workstation)}
    assert len(left) == 3
    assert not left & before
    assert lab.content(workstation)["/dev/sdf"] == "monday /dev/sdf"


@pytest.mark.parametrize("woken", [True, False], ids=["woken in time", "woken after they went"])
def test_what_was_written_to_one_on_another_machine_is_not_lost(lab: AtWork, woken: bool) -> None:
    workstation, neighbour = asleep(lab, "3h"), lab.neighbour()
    lab.pass_time(HOUR)
    [volume] = [each.id for each in lab.disks.volumes(workstation) if each.size_gib == 200]
    lab.ec2.attach_volume(VolumeId=volume, InstanceId=neighbour, Device="/dev/sdp")
    lab.pass_time(timedelta(minutes=5))
    file_on(lab, volume).write_text("tuesday", encoding="utf-8")
    lab.ec2.detach_volume(VolumeId=volume, InstanceId=neighbour)
    lab.pass_time(timedelta(minutes=5))
    if not woken:
        assert lab.pass_time(4 * HOUR, lambda: gone(lab, workstation))
    lab.wake(workstation)
    assert lab.content(workstation)["/dev/sdf"] == "tuesday"


def test_one_that_is_elsewhere_when_its_time_is_over_is_waited_for_and_told(lab: AtWork) -> None:
    workstation, neighbour = asleep(lab, "3h"), lab.neighbour()
    lab.pass_time(timedelta(minutes=5))
    [volume] = [each.id for each in lab.disks.volumes(workstation) if each.size_gib == 200]
    lab.ec2.attach_volume(VolumeId=volume, InstanceId=neighbour, Device="/dev/sdp")
    lab.pass_time(5 * HOUR)
    assert f"{volume} is attached to {neighbour}" in str(lab.state(workstation).blocked)
    assert any(volume in each.text for each in lab.told.notices)
    assert len(lab.disks.volumes(workstation)) == 3
    lab.ec2.detach_volume(VolumeId=volume, InstanceId=neighbour)
    assert lab.pass_time(4 * HOUR, lambda: gone(lab, workstation))


def test_one_whose_tags_were_taken_away_is_not_restored_beside_it(lab: AtWork) -> None:
    workstation = asleep(lab, "7d")
    [volume] = [each.id for each in lab.disks.volumes(workstation) if each.size_gib == 200]
    lab.world.tag(volume, {"autostop:workstation": "mine now"})
    lab.owner.start(workstation, "the test")
    lab.pass_time(timedelta(minutes=20))
    assert f"{volume} does not carry this workstation's tags any more" in str(lab.state(workstation).blocked)
    assert "CreateVolume" not in lab.calls()
    lab.world.tag(volume, {"autostop:workstation": workstation})
    lab.awake(workstation, within=2 * HOUR)
    assert lab.content(workstation)["/dev/sdf"] == "monday /dev/sdf"


def test_once_its_owner_wants_them_kept_no_more_they_go(lab: AtWork) -> None:
    workstation = asleep(lab, "off")
    lab.pass_time(timedelta(days=2))
    assert len(volumes(lab, workstation)) == 3
    lab.world.tag(workstation, {"autostop:delete-after": "0"})
    assert lab.pass_time(HOUR, lambda: gone(lab, workstation))
    lab.wake(workstation)
    assert lab.content(workstation)["/dev/sdf"] == "monday /dev/sdf"


def test_a_setting_that_cannot_be_read_deletes_nothing(lab: AtWork) -> None:
    workstation = asleep(lab, "1h")
    lab.world.tag(workstation, {"autostop:delete-after": "a while"})
    lab.pass_time(timedelta(days=1))
    assert len(volumes(lab, workstation)) == 3


def test_a_tap_in_the_middle_of_letting_them_go_wakes_it(lab: AtWork) -> None:
    workstation = asleep(lab, "2h")

    def pending() -> bool:
        return any(each.state is SnapshotState.PENDING for each in lab.disks.snapshots(workstation))

    assert lab.pass_time(3 * HOUR, pending)
    lab.wake(workstation)
    assert lab.content(workstation)["/dev/sdf"] == "monday /dev/sdf"
    assert "DeleteVolume" not in lab.calls()


def test_one_that_was_just_restored_is_not_restored_twice_for_want_of_its_tags(lab: AtWork) -> None:
    workstation = asleep(lab, "0")

    def untag() -> None:
        for each in lab.world.cloud.volumes.values():
            each.tags.pop("autostop:workstation", None)

    lab.after("CreateVolume", untag)
    lab.owner.start(workstation, "the test")
    lab.pass_time(timedelta(minutes=20))
    assert lab.calls("CreateVolume") == ["CreateVolume"] * 3
    assert "does not carry this workstation's tags any more" in str(lab.state(workstation).blocked)
