from pathlib import Path

import pytest

from autostop_local.world import MemoryContent, Timings, VirtualClock, World
from tests.local.conftest import START, Clients, Desk


def test_a_night_gives_the_same_content_at_the_same_place(desk: Desk) -> None:
    instance_id = desk.launch(disks={"/dev/sdf": {"VolumeSize": 5, "VolumeType": "gp3"}})
    for device, text in (("/dev/sda1", "the system"), ("/dev/sdf", "the work")):
        path = desk.world.disk_path(instance_id, device)
        (path / "deep" / "er").mkdir(parents=True)
        (path / "deep" / "er" / "file").write_text(text)
        (path / "link").symlink_to("deep/er/file")
    desk.ec2.stop_instances(InstanceIds=[instance_id])
    desk.wait(60)
    volumes = {device: desk.disk(instance_id, device) for device in ("/dev/sda1", "/dev/sdf")}

    made = desk.ec2.create_snapshots(InstanceSpecification={"InstanceId": instance_id})["Snapshots"]
    desk.wait(60)
    for volume_id in volumes.values():
        desk.ec2.detach_volume(VolumeId=volume_id)
    desk.wait(60)
    for volume_id in volumes.values():
        desk.ec2.delete_volume(VolumeId=volume_id)
        assert not desk.world.volume_path(volume_id).exists()
    desk.wait(60)
    by_volume = {one["VolumeId"]: one["SnapshotId"] for one in made}
    for device, volume_id in volumes.items():
        restored = desk.volume(SnapshotId=by_volume[volume_id])
        assert restored != volume_id
        desk.ec2.attach_volume(VolumeId=restored, InstanceId=instance_id, Device=device)
    desk.wait(60)
    desk.ec2.start_instances(InstanceIds=[instance_id])

    assert (desk.world.instance_path(instance_id) / "root" / "link").read_text() == "the system"
    assert (desk.world.instance_path(instance_id) / "data-sdf" / "link").read_text() == "the work"


def test_a_snapshot_holds_what_was_there_when_it_was_asked_for(desk: Desk) -> None:
    volume_id = desk.volume()
    path = desk.world.volume_path(volume_id)
    (path / "notes").write_text("before")

    snapshot_id = desk.ec2.create_snapshot(VolumeId=volume_id)["SnapshotId"]
    (path / "notes").write_text("after, while the snapshot is pending")
    (path / "more").write_text("new")
    desk.wait(60)

    restored = desk.world.volume_path(desk.volume(SnapshotId=snapshot_id))
    assert {one.name: one.read_text() for one in restored.iterdir()} == {"notes": "before"}
    assert desk.snapshot_told(snapshot_id)["FullSnapshotSizeInBytes"] == len("before")


def test_a_new_volume_is_blank(desk: Desk) -> None:
    assert list(desk.world.volume_path(desk.volume()).iterdir()) == []


def test_a_volume_made_from_a_snapshot_is_a_copy(desk: Desk) -> None:
    volume_id = desk.volume()
    (desk.world.volume_path(volume_id) / "file").write_text("old")
    snapshot_id = desk.snapshot(volume_id)
    one, other = desk.volume(SnapshotId=snapshot_id), desk.volume(SnapshotId=snapshot_id)

    (desk.world.volume_path(one) / "file").write_text("new")

    assert (desk.world.volume_path(other) / "file").read_text() == "old"
    assert (desk.world.cloud.content.snapshot(snapshot_id) / "file").read_text() == "old"


def test_a_deleted_snapshot_takes_no_room_and_its_volumes_stay(desk: Desk) -> None:
    volume_id = desk.volume()
    (desk.world.volume_path(volume_id) / "file").write_text("kept")
    snapshot_id = desk.snapshot(volume_id)
    made = desk.volume(SnapshotId=snapshot_id)

    desk.ec2.delete_snapshot(SnapshotId=snapshot_id)

    assert not desk.world.cloud.content.snapshot(snapshot_id).exists()
    assert (desk.world.volume_path(made) / "file").read_text() == "kept"


def test_a_detached_disk_is_not_under_the_instance(desk: Desk) -> None:
    instance_id = desk.stopped()
    desk.ec2.detach_volume(VolumeId=desk.disk(instance_id))
    desk.wait(60)

    assert list(desk.world.instance_path(instance_id).iterdir()) == []


def test_a_directory_that_is_somebody_elses_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "volumes").mkdir()
    (tmp_path / "volumes" / "thesis.tex").touch()

    with pytest.raises(ValueError, match="neither empty nor"), World(tmp_path, clock=VirtualClock(START)):
        pass

    assert (tmp_path / "volumes" / "thesis.tex").exists()


def test_content_in_memory_goes_from_volume_to_snapshot_to_volume(clients: Clients) -> None:
    content, clock = MemoryContent(), VirtualClock(START)
    with World(content=content, clock=clock, timings=Timings.none()) as world:
        instance_id = world.launch()
        volume_id = world.instance(instance_id).volumes["/dev/sda1"]
        assert content.of_volume(volume_id) == 0
        content.write(volume_id, 7)
        snapshot_id = clients.ec2.create_snapshot(VolumeId=volume_id)["SnapshotId"]
        content.write(volume_id, 8)

        made = clients.ec2.create_volume(SnapshotId=snapshot_id, AvailabilityZone="us-east-1a")["VolumeId"]
        clients.ec2.delete_snapshot(SnapshotId=snapshot_id)
        clients.ec2.terminate_instances(InstanceIds=[instance_id])
        world.tick()

        assert content.of_volume(made) == 7
        assert (content.of_snapshot(snapshot_id), content.of_volume(volume_id)) == (None, None)
        with pytest.raises(KeyError):
            content.write(volume_id, 9)

    with World(content=content, clock=clock):
        assert content.of_volume(made) is None


def test_content_in_memory_has_no_files(clients: Clients) -> None:
    with World(content=MemoryContent(), clock=VirtualClock(START)) as world:
        path = world.volume_path(world.instance(world.launch()).volumes["/dev/sda1"])

        assert not path.exists()
        with pytest.raises(OSError, match="Not a directory"):
            path.mkdir(parents=True)


def test_a_world_keeps_its_content_in_one_place(tmp_path: Path) -> None:
    for wrong in ({}, {"root": tmp_path, "content": MemoryContent()}):
        with pytest.raises(ValueError, match="either a root directory or a content"):
            World(**wrong, clock=VirtualClock(START))  # type: ignore[arg-type]  # plain dicts
