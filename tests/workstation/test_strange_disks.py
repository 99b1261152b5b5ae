"""Disks that hold something, with systemd as the first process: whatever is there stays, boot after boot."""

import os
import stat
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from autostop_local.machine.machine import ROOT, Machine, make_root, make_volume, write_seed
from tests.build import row
from tests.workstation.machine import MIB, Disk
from tests.workstation.test_real_boots import is_up, wait_until
from workstation.boot import superblock
from workstation.user_data import user_data


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """That never had a data volume."""
    folder = tmp_path_factory.mktemp("machine")
    write_seed(folder / "seed", user_data({"wait_for_disk": 0}), "i-0123456789abcdef0")
    make_volume(folder / "root", 512)
    make_root(folder / "root")
    with Machine(folder, {ROOT: folder / "root"}, connected=False) as running:
        wait_until(running, is_up)
        yield running


@pytest.fixture
def attach(machine: Machine, tmp_path: Path) -> Iterator[Callable[[Disk, str], None]]:
    """A disk, by its name, until the end of the test."""
    with ExitStack() as stack:

        def attached(disk: Disk, name: str) -> None:
            node = machine.root / "dev" / name
            os.mknod(node, stat.S_IFBLK | 0o600, disk.loop.stat().st_rdev)
            stack.callback(disk.end)
            stack.callback(node.unlink)

        yield attached


def boot(machine: Machine) -> list[str]:
    """Lines of its log."""
    machine.run("systemctl", "reset-failed", "autostop-boot")  # of its starts, which are too many in ten seconds
    machine.run("systemctl", "restart", "autostop-boot")
    machine.run("journalctl", "--sync")
    invocation = machine.run("systemctl", "show", "autostop-boot", "--property=InvocationID", "--value").stdout.strip()
    shown = machine.run("journalctl", "--output=cat", f"_SYSTEMD_INVOCATION_ID={invocation}", "_COMM=python3")
    return shown.stdout.splitlines()


def is_mounted(machine: Machine) -> bool:
    return " /data " in machine.run("cat", "/proc/mounts").stdout


def mbr(disk: Disk) -> None:
    entry = bytes([0, 0, 2, 0, 0x83, 0, 0, 0]) + (2048).to_bytes(4, "little") + (4096).to_bytes(4, "little")
    disk.write(446, entry.ljust(64, b"\0") + b"\x55\xaa")


def made(*command: str) -> Callable[[Disk], None]:
    return lambda disk: disk.make(*command)


def raw(at: int) -> Callable[[Disk], None]:
    return lambda disk: disk.write(at, b"all that I know" * 8192)


def beheaded(length: int) -> Callable[[Disk], None]:
    def write(disk: Disk) -> None:
        disk.make("mkfs.xfs", "-q", "-L", "autostop")
        disk.write(0, bytes(length))

    return write


CONTENTS = [
    row("ext4", made("mkfs.ext4", "-q"), "there is ext4 on it"),
    row("ext4 with our label", made("mkfs.ext4", "-q", "-L", "autostop"), "there is ext4 labelled autostop on it"),
    row("swap", made("mkswap"), "there is swap on it"),
    row("a partition table", mbr, "there is a partition table (dos) on it"),
    row("XFS of another label", made("mkfs.xfs", "-q", "-L", "photos"), "there is xfs labelled photos on it"),
    row("XFS without its first sector", beheaded(512), "there is something unknown on it"),
    row("XFS without its first 64 KB", beheaded(65_536), "there is something unknown on it"),
    row("bytes at the beginning", raw(0), "there is something unknown on it"),
    row("bytes in the middle", raw(200 * MIB), "there is something unknown on it"),
    row("bytes at the end", raw(400 * MIB - 15 * 8192), "there is something unknown on it"),
]


@pytest.mark.parametrize(("fill", "reason"), CONTENTS)
def test_a_disk_with_anything_on_it_is_left_as_it_is(
    machine: Machine, attach: Callable[[Disk, str], None], tmp_path: Path, fill: Callable[[Disk], None], reason: str
) -> None:
    disk = Disk.new(tmp_path / "disk")
    fill(disk)
    before = disk.written()
    attach(disk, "sdf")

    for _ in range(2):
        assert boot(machine) == [f"NOT DONE: /dev/sdf is not formatted: {reason}"]

    assert disk.written() == before
    assert not is_mounted(machine)


def test_between_two_volumes_at_unknown_names_nobody_guesses(
    machine: Machine, attach: Callable[[Disk, str], None], tmp_path: Path
) -> None:
    disk = Disk.new(tmp_path / "disk")
    disk.make("mkfs.xfs", "-q", "-L", "autostop")
    attach(disk, "sdb")
    attach(disk.restored(tmp_path / "twin"), "sdc")
    xfs = superblock.parse(disk.read(0, 512))
    assert xfs
    both = f"/dev/sdb (UUID {xfs.uuid}), /dev/sdc (UUID {xfs.uuid})"

    for _ in range(2):
        (said,) = boot(machine)
        assert said == f"NOT DONE: 2 volumes carry the label autostop, and none is surely the one: {both}"

    assert not is_mounted(machine)


def test_a_full_root_volume_formats_nothing_and_the_next_boot_does(
    machine: Machine, attach: Callable[[Disk, str], None], tmp_path: Path
) -> None:
    disk = Disk.new(tmp_path / "disk")
    attach(disk, "sdf")
    machine.run("dd", "if=/dev/zero", "of=/filler", "bs=4k", check=False)

    for _ in range(2):
        assert boot(machine)[-1] == "NOT DONE: [Errno 28] No space left on device"
        assert disk.written() == {}

    (machine.root / "filler").unlink()
    assert "/dev/sdf is mounted at /data" in boot(machine)
    assert is_mounted(machine)
    machine.run("umount", "/data")
