"""What rehearsals make, and how EBS compares it, in the world."""

from datetime import timedelta

import pytest

from autostop import tags
from autostop.model import Observation, SnapshotId, VolumeId, WorkstationId, instance_of
from autostop.ports import DeniedError
from autostop.sleep.manifest import write_manifest
from autostop_cli.rehearse.rehearsal import Rehearsal
from autostop_cli.rehearse.scratch import EbsScratch
from tests.app.autostop_at_work import SESSION, AtWork


@pytest.fixture
def scratch(lab: AtWork) -> EbsScratch:
    return EbsScratch(lab.ec2, SESSION.client("ebs"))


def rehearsal_of(lab: AtWork, workstation: WorkstationId) -> Rehearsal:
    instance = lab.instance(workstation)
    seen = Observation(workstation, instance, tuple(lab.disks.volumes(workstation)))
    return Rehearsal(write_manifest(seen, instance, 0, lab.clock()))


def test_what_it_makes_is_found_by_its_own_tag_and_by_no_other(lab: AtWork, scratch: EbsScratch) -> None:
    workstation, other = lab.workstation(), lab.workstation()
    rehearsal = rehearsal_of(lab, workstation)
    made = scratch.create_snapshots(rehearsal)
    scratch.create_snapshots(rehearsal_of(lab, other))
    lab.clock.advance(timedelta(minutes=5))
    volume = {each.id: each.volume for each in scratch.snapshots(workstation)}
    record = next(each for each in rehearsal.manifest.volumes if each.device == "/dev/sdf")
    [snapshot] = [each for each in made if volume[each] == record.volume]
    known = rehearsal.manifest.with_snapshots({record.volume: snapshot}).record_of(record.volume)
    assert known is not None
    created = scratch.create_volume(rehearsal, known)
    assert scratch.create_volume(rehearsal, known) == created
    assert {each.id for each in scratch.snapshots(workstation)} == {*made}
    assert [each.id for each in scratch.volumes(workstation)] == [created]
    assert scratch.volumes(workstation)[0].tags == {
        "Project": "genome",
        tags.AUTOSTOP: "on",
        tags.REHEARSAL: rehearsal.name,
    }
    assert lab.disks.snapshots(workstation) == []
    assert created not in {each.id for each in lab.disks.volumes(workstation)}
    assert lab.disks.workstations_of([created, *made]) == set()


def test_a_page_without_changed_blocks_is_not_the_last(lab: AtWork, scratch: EbsScratch) -> None:
    volume = VolumeId(lab.ec2.create_volume(AvailabilityZone="us-east-1a", Size=5)["VolumeId"])
    lab.clock.advance(timedelta(minutes=1))
    for number in range(150):
        (lab.world.volume_path(volume) / f"{number:03}").write_text("same", encoding="utf-8")
    snapshots = []
    for text in ("same", "other"):
        (lab.world.volume_path(volume) / "149").write_text(text, encoding="utf-8")
        snapshots.append(SnapshotId(lab.ec2.create_snapshot(VolumeId=volume)["SnapshotId"]))
        lab.clock.advance(timedelta(minutes=5))
    assert scratch.changed_blocks(snapshots[0], snapshots[1]) == 1
    assert scratch.changed_blocks(snapshots[0], snapshots[0]) == 0


@pytest.mark.parametrize(
    ("code", "words"),
    [("AccessDeniedException", "needs ebs:ListChangedBlocks"), ("ServiceQuotaExceededException", "was told to fail")],
)
def test_why_blocks_were_not_compared(lab: AtWork, scratch: EbsScratch, code: str, words: str) -> None:
    lab.world.fail_next("ListChangedBlocks", code, status=403)
    with pytest.raises(DeniedError, match=words):
        scratch.changed_blocks(SnapshotId("snap-0123456789abcdef0"), SnapshotId("snap-0123456789abcdef1"))


def test_the_mark_comes_and_goes(lab: AtWork, scratch: EbsScratch) -> None:
    workstation = lab.workstation()
    instance = lab.instance(workstation)
    scratch.mark_stopped(instance)
    marked = lab.instance(workstation)
    assert marked.tags[tags.REHEARSAL] == instance.launched_at.isoformat()
    for _ in range(2):
        scratch.unmark(workstation)
    assert lab.instances.find(instance_of(workstation)) == instance
