"""In an account that encrypts every new volume, whatever was asked for."""

from datetime import timedelta

from autostop.model import WorkstationId
from tests.app.autostop_at_work import AtWork

DEVICES = {"/dev/sda1", "/dev/sdf", "/dev/sdg"}


def asleep(lab: AtWork) -> WorkstationId:
    """Its disks were there before the account began to encrypt."""
    workstation = lab.workstation()
    lab.write(workstation, "monday")
    lab.world.encrypt_by_default()
    lab.asleep(workstation)
    return workstation


def test_disks_come_back_encrypted_and_sleep_again(lab: AtWork) -> None:
    workstation = asleep(lab)
    for _ in range(2):
        lab.wake(workstation)
        assert {volume.device for volume in lab.disks.volumes(workstation) if volume.encrypted} == DEVICES
        assert set(lab.content(workstation).values()) == {f"monday {device}" for device in DEVICES}
        lab.asleep(workstation)
    assert {snapshot.cycle for snapshot in lab.disks.snapshots(workstation)} == {2, 3}


def test_with_a_key_that_may_not_be_used_it_says_so_and_wakes_once_it_may(lab: AtWork) -> None:
    workstation = asleep(lab)
    lab.world.forbid_key()
    lab.owner.start(workstation, "the test")
    assert lab.pass_time(timedelta(hours=2), lambda: lab.is_blocked(workstation)), lab.state(workstation)
    assert "KMS key" in str(lab.state(workstation).blocked)
    lab.world.allow_keys()
    lab.wake(workstation)
    assert set(lab.content(workstation).values()) == {f"monday {device}" for device in DEVICES}
