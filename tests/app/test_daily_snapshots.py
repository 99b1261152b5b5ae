"""Once a day what sleepers are restored from is looked at, in a few calls, while it can still be had back."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from autostop.aws.ebs import EbsDisks
from autostop.model import WorkstationId
from autostop.notice import NoticeKind
from autostop_local.world.errors import AwsError
from tests.app.autostop_at_work import AtWork

DAY = timedelta(days=1)


def told(lab: AtWork, kind: NoticeKind = NoticeKind.SNAPSHOT_LOST) -> list[str]:
    return [notice.text for notice in lab.told.notices if notice.kind is kind]


def asleep(lab: AtWork) -> WorkstationId:
    workstation = lab.workstation()
    lab.asleep(workstation)
    return workstation


def test_a_deleted_snapshot_of_a_sleeper_is_told_within_a_day_and_once(lab: AtWork) -> None:
    workstation = asleep(lab)
    lab.pass_time(timedelta(minutes=10))
    lost = lab.state(workstation).restores_from[0]
    assert len(lab.state(workstation).restores_from) == 3
    lab.ec2.delete_snapshot(SnapshotId=lost)
    assert lab.pass_time(DAY + timedelta(minutes=10), lambda: bool(told(lab)))
    [text] = told(lab)
    assert lost in text
    assert "Recycle Bin" in text
    assert text in lab.owner.status(workstation).problems
    lab.pass_time(2 * DAY)
    assert len(told(lab)) == 1


def test_one_that_was_archived_is_told_and_not_restored_from(lab: AtWork, monkeypatch: pytest.MonkeyPatch) -> None:
    workstation = asleep(lab)
    real, lost = EbsDisks.find_snapshots, lab.state(workstation).restores_from[1]

    def archived(self: EbsDisks, filters: Any) -> object:
        return [replace(each, archived=each.id == lost) for each in real(self, filters)]

    monkeypatch.setattr(EbsDisks, "find_snapshots", archived)
    assert lab.pass_time(DAY + timedelta(minutes=10), lambda: bool(told(lab)))
    assert f"{lost}, which it sleeps in, was archived" in told(lab)[0]
    lab.owner.start(workstation, "the test")
    assert lab.pass_time(timedelta(minutes=30), lambda: lab.is_blocked(workstation))
    assert "Restore it from the archive" in str(lab.state(workstation).blocked)
    # By then it is restored.
    monkeypatch.undo()
    lab.wake(workstation)
    lab.pass_time(DAY)
    assert lab.state(workstation).lost == ""


def test_a_snapshot_that_only_lost_its_tags_is_not_lost(lab: AtWork) -> None:
    workstation = asleep(lab)
    lab.ec2.delete_tags(Resources=[lab.state(workstation).restores_from[0]], Tags=[{"Key": "autostop"}])
    lab.pass_time(2 * DAY)
    assert told(lab) == []


def test_the_look_is_one_call_a_day_however_many_sleep(lab: AtWork) -> None:
    for _ in range(3):
        asleep(lab)
    lab.pass_time(timedelta(hours=12))
    lab.world.journal.clear()
    lab.pass_time(4 * DAY)
    assert 3 <= len(lab.calls("DescribeSnapshots")) <= 5


def test_a_look_that_failed_is_tried_again_by_the_next_sweep(lab: AtWork) -> None:
    workstation = asleep(lab)
    lab.pass_time(timedelta(hours=1))
    lab.ec2.delete_snapshot(SnapshotId=lab.state(workstation).restores_from[0])
    lab.refusals["DescribeSnapshots"] = AwsError("RequestLimitExceeded", "slow down", 503)
    lab.pass_time(2 * DAY)
    assert told(lab) == []
    assert "could not be looked at" in str(lab.swept[-1].skipped)
    lab.refusals = {}
    assert lab.pass_time(timedelta(minutes=10), lambda: bool(told(lab)))


def test_what_the_recycle_bin_keeps_of_deleted_volumes_is_told_once_with_its_cost(lab: AtWork) -> None:
    workstation = lab.workstation()
    volumes = [volume.id for volume in lab.disks.volumes(workstation)]
    lab.world.cloud.keeps_deleted_for = timedelta(days=7)
    lab.asleep(workstation)
    assert lab.pass_time(DAY, lambda: bool(told(lab, NoticeKind.HOUSEKEEPING)))
    [text] = told(lab, NoticeKind.HOUSEKEEPING)
    assert all(volume in text for volume in volumes)
    assert "at $" in text
    lab.wake(workstation)
    lab.asleep(workstation)
    lab.pass_time(3 * DAY)
    assert len(told(lab, NoticeKind.HOUSEKEEPING)) == 1


def test_of_thousands_each_sweep_looks_at_as_many_as_it_has_time_for(
    lab: AtWork, monkeypatch: pytest.MonkeyPatch
) -> None:
    several = [asleep(lab) for _ in range(5)]
    lab.pass_time(DAY)
    monkeypatch.setattr("autostop.app.daily_snapshots._MOST_SLEEPERS", 2)
    for each in several:
        lab.ec2.delete_snapshot(SnapshotId=lab.state(each).restores_from[0])
    lab.world.journal.clear()
    lab.pass_time(DAY + timedelta(minutes=10))
    assert sorted(
        notice.workstation for notice in lab.told.notices if notice.kind is NoticeKind.SNAPSHOT_LOST
    ) == sorted(several)
    assert len(lab.calls("DescribeSnapshots")) <= 6


def test_who_asks_for_a_stop_while_it_sleeps_has_it_looked_after_all_the_same(lab: AtWork) -> None:
    workstation = asleep(lab)
    lab.world.tag(workstation, {"autostop:shelve-after": "off"})
    lost = lab.state(workstation).restores_from[0]
    lab.owner.stop(workstation, "the test")
    lab.ec2.delete_snapshot(SnapshotId=lost)
    assert lab.pass_time(2 * DAY, lambda: bool(told(lab)))
