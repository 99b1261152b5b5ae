from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from autostop.aws.ebs import EbsDisks
from autostop.model import (
    AttachmentState,
    Observation,
    SnapshotState,
    VolumeId,
    VolumeState,
    WorkstationId,
    instance_of,
)
from autostop.ports import DeniedError, TransientError
from autostop.sleep.manifest import Manifest, VolumeRecord, write_manifest
from tests.app.autostop_at_work import AtWork

LEAVES_AT = datetime(2026, 11, 30, 18, 30, tzinfo=UTC)
SOME_TIME = timedelta(seconds=20)


@pytest.fixture
def workstation(lab: AtWork) -> WorkstationId:
    workstation = lab.workstation()
    lab.pass_time(SOME_TIME)
    lab.instances.stop(instance_of(workstation))
    lab.pass_time(SOME_TIME)
    return workstation


def manifest_of(lab: AtWork, workstation: WorkstationId) -> Manifest:
    instance = lab.instance(workstation)
    seen = Observation(workstation, instance, tuple(lab.disks.volumes(workstation)))
    return write_manifest(seen, instance, 1, lab.clock())


def snapshotted(lab: AtWork, workstation: WorkstationId) -> Manifest:
    manifest = manifest_of(lab, workstation)
    manifest = manifest.with_snapshots(lab.disks.create_snapshots(manifest))
    lab.clock.advance(timedelta(minutes=5))
    return manifest


def data(manifest: Manifest) -> VolumeRecord:
    return next(record for record in manifest.volumes if record.device == "/dev/sdf")


def volume(lab: AtWork, workstation: WorkstationId, volume_id: VolumeId) -> object:
    return next((each for each in lab.disks.volumes(workstation) if each.id == volume_id), None)


def test_volumes_are_found_attached_or_by_their_tag_each_once(lab: AtWork, workstation: WorkstationId) -> None:
    lab.neighbour()
    stranger = lab.ec2.create_volume(AvailabilityZone="us-east-1a", Size=5)["VolumeId"]
    lab.pass_time(SOME_TIME)
    lab.ec2.attach_volume(VolumeId=stranger, InstanceId=workstation, Device="/dev/sdh")
    found = lab.disks.volumes(workstation)
    assert len({each.id for each in found}) == len(found) == 4
    [root] = [each for each in found if each.device == "/dev/sda1"]
    assert (root.size_gib, root.type, root.iops, root.throughput) == (50, "gp3", 3000, 125)
    assert (root.attachment, root.delete_on_termination) == (AttachmentState.ATTACHED, True)
    lab.disks.detach(root.id, instance_of(workstation), "/dev/sda1")
    lab.pass_time(SOME_TIME)
    [root] = [each for each in lab.disks.volumes(workstation) if each.id == root.id]
    assert (root.state, root.attached_to, root.device) == (VolumeState.AVAILABLE, None, None)


def test_one_set_has_every_volume_and_its_tags(lab: AtWork, workstation: WorkstationId) -> None:
    manifest = snapshotted(lab, workstation)
    assert all(record.snapshot for record in manifest.volumes)
    found = lab.disks.snapshots(workstation)
    assert {each.volume for each in found} == {record.volume for record in manifest.volumes}
    assert all(each.state is SnapshotState.COMPLETED and each.progress == 100 for each in found)
    assert all(manifest.made(each) for each in found)
    assert len(lab.world.journal.calls("CreateSnapshots")) == 1


def test_progress_is_told_while_it_is_pending(lab: AtWork, workstation: WorkstationId) -> None:
    lab.disks.create_snapshots(manifest_of(lab, workstation))
    lab.clock.advance(timedelta(minutes=2))
    assert all(0 < each.progress < 100 for each in lab.disks.snapshots(workstation))


def test_tags_are_added_and_the_owners_stay(lab: AtWork, workstation: WorkstationId) -> None:
    manifest = snapshotted(lab, workstation)
    record = data(manifest)
    assert record.snapshot is not None
    lab.disks.tag_snapshot(record.snapshot, manifest.snapshot_tags(record))
    [snapshot] = [each for each in lab.disks.snapshots(workstation) if each.id == record.snapshot]
    assert snapshot.tags.items() >= manifest.snapshot_tags(record).items()
    assert snapshot.tags["Project"] == "genome"


def test_a_repeated_restore_makes_one_volume_like_the_old_one(lab: AtWork, workstation: WorkstationId) -> None:
    manifest = snapshotted(lab, workstation)
    for record in manifest.volumes:
        first = lab.disks.create(manifest, record)
        assert lab.disks.create(manifest, record) == first
        [made] = [each for each in lab.disks.volumes(workstation) if each.id == first]
        assert record.describes(made)
        assert manifest.is_restored(made, record)
        assert made.encrypted is record.encrypted
    assert len(lab.disks.volumes(workstation)) == 6


def test_another_attempt_at_a_restore_makes_another_volume(lab: AtWork, workstation: WorkstationId) -> None:
    manifest = snapshotted(lab, workstation)
    first = lab.disks.create(manifest, data(manifest))
    anew = manifest.restoring_anew(data(manifest), 1)
    second = lab.disks.create(anew, data(anew))
    assert second != first
    assert lab.disks.create(anew, data(anew)) == second
    [made] = [each for each in lab.disks.volumes(workstation) if each.id == second]
    assert made.tags["autostop:restore"] == "2"
    assert anew.is_restored(made, data(anew))


def test_a_detach_and_a_delete_may_be_repeated(lab: AtWork, workstation: WorkstationId) -> None:
    record = data(manifest_of(lab, workstation))
    with pytest.raises(TransientError):
        lab.disks.delete(record.volume)
    lab.disks.detach(record.volume, instance_of(workstation), record.device)
    lab.pass_time(SOME_TIME)
    lab.disks.detach(record.volume, instance_of(workstation), record.device)
    lab.disks.delete(record.volume)
    lab.disks.delete(record.volume)
    lab.pass_time(SOME_TIME)
    lab.disks.delete(record.volume)
    assert volume(lab, workstation, record.volume) is None


def test_an_attach_may_be_repeated(lab: AtWork, workstation: WorkstationId) -> None:
    record = data(manifest_of(lab, workstation))
    lab.disks.attach(record.volume, instance_of(workstation), record.device)


def test_a_snapshots_deletion_may_be_repeated(lab: AtWork, workstation: WorkstationId) -> None:
    snapshot = data(snapshotted(lab, workstation)).snapshot
    assert snapshot is not None
    lab.disks.delete_snapshot(snapshot)
    lab.disks.delete_snapshot(snapshot)
    assert len(lab.disks.snapshots(workstation)) == 2


def test_whose_volumes_and_snapshots_these_are(lab: AtWork, workstation: WorkstationId) -> None:
    manifest = snapshotted(lab, workstation)
    record = data(manifest)
    neighbour = lab.neighbour()
    theirs = [each.id for each in lab.disks.volumes(neighbour)]
    assert theirs
    gone = ["vol-0123456789abcdef0", "snap-0123456789abcdef0"]
    assert lab.disks.workstations_of([record.volume, *theirs, *gone]) == {workstation}
    assert lab.disks.workstations_of([str(record.snapshot), *gone]) == {workstation}
    assert lab.disks.workstations_of([*theirs, *gone]) == set()
    assert lab.disks.workstations_of([]) == set()


def test_a_tag_that_names_a_workstation_without_being_ours_is_not_believed(lab: AtWork) -> None:
    volume_id = lab.ec2.create_volume(
        AvailabilityZone="us-east-1a",
        Size=5,
        TagSpecifications=[
            {"ResourceType": "volume", "Tags": [{"Key": "autostop:workstation", "Value": "i-0123456789abcdef0"}]}
        ],
    )["VolumeId"]
    assert lab.disks.workstations_of([volume_id]) == set()


@pytest.mark.parametrize(
    ("code", "error"), [("UnauthorizedOperation", DeniedError), ("RequestLimitExceeded", TransientError)]
)
def test_a_refusal_is_an_error_of_ours(lab: AtWork, code: str, error: type[Exception]) -> None:
    lab.world.fail_next("DescribeSnapshots", code, times=10)
    with pytest.raises(error):
        lab.disks.snapshots(WorkstationId("i-0123456789abcdef0"))


def test_a_volume_is_filled_at_the_rate_that_its_owner_wants(lab: AtWork, workstation: WorkstationId) -> None:
    manifest = snapshotted(lab, workstation)
    made = lab.disks.create(manifest, data(manifest), 300)
    [call] = lab.world.journal.calls("CreateVolume")
    assert call.parameters["VolumeInitializationRate"] == 300
    # Without the rate it is another request, and the same one with it.
    assert lab.disks.create(manifest, data(manifest), 300) == made
    assert lab.disks.create(manifest, data(manifest)) != made


def test_every_page_of_the_recycle_bin_is_read() -> None:
    pages = {
        None: {"Volumes": [{"VolumeId": "vol-1", "RecycleBinExitTime": LEAVES_AT}], "NextToken": "more"},
        "more": {"Volumes": [{"VolumeId": "vol-2", "RecycleBinExitTime": LEAVES_AT}]},
    }
    client: Any = SimpleNamespace(list_volumes_in_recycle_bin=lambda **asked: pages[asked.get("NextToken")])
    assert EbsDisks(client).volumes_in_recycle_bin() == {VolumeId("vol-1"): LEAVES_AT, VolumeId("vol-2"): LEAVES_AT}


def test_a_botocore_that_knows_no_bin_of_volumes_knows_of_none_in_it() -> None:
    client: Any = SimpleNamespace()
    assert EbsDisks(client).volumes_in_recycle_bin() == {}
