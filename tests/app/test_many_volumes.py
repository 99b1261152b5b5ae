"""A night of a workstation with twenty volumes of every kind, some of them under the owner's own key."""

import string
from datetime import timedelta
from typing import Any

from tests.app.autostop_at_work import AtWork

KEY = "arn:aws:kms:us-east-1:123456789012:key/11111111-2222-4333-8444-555555555555"
KINDS: list[dict[str, Any]] = [
    {"VolumeType": "gp3", "VolumeSize": 20, "Iops": 3500, "Throughput": 200, "Encrypted": True, "KmsKeyId": KEY},
    {"VolumeType": "gp2", "VolumeSize": 30},
    {"VolumeType": "io2", "VolumeSize": 40, "Iops": 900, "Encrypted": True, "KmsKeyId": KEY},
    {"VolumeType": "st1", "VolumeSize": 500, "Encrypted": True},
    {"VolumeType": "sc1", "VolumeSize": 500, "DeleteOnTermination": True},
]
# 19 data volumes and the root.
DISKS = {f"/dev/sd{letter}": KINDS[number % len(KINDS)] for number, letter in enumerate(string.ascii_lowercase[1:20])}


def test_two_nights_bring_all_of_them_back_through_a_crash(lab: AtWork) -> None:
    workstation = lab.workstation(disks=DISKS)
    before = lab.shape(workstation)
    assert len(before) == 20
    assert sum(shape[5] == KEY for shape in before.values()) == 8
    lab.after("DeleteVolume", lab.crash, nth=7)
    for day in ("monday", "tuesday"):
        lab.write(workstation, day)
        lab.asleep(workstation, within=timedelta(hours=4))
        assert lab.disks.volumes(workstation) == []
        lab.wake(workstation)
        assert lab.shape(workstation) == before
        assert lab.content(workstation) == {device: f"{day} {device}" for device in before}
    assert lab.crashes == 1
    assert len(lab.disks.snapshots(workstation)) == 20
    assert lab.calls("CreateSnapshots") == ["CreateSnapshots"] * 2
