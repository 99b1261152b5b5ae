"""The boot script on real disks: loop devices, mkfs.xfs, mounts."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.build import row
from tests.workstation.machine import BOOT, Disk, Machine


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    with Machine(tmp_path) as running:
        yield running


def number(disk: Disk) -> str:
    device = disk.loop.stat().st_rdev
    return f"{os.major(device)}:{os.minor(device)}"


def keep_a_notebook(machine: Machine) -> Path:
    notebook = machine.root / "data/thought.ipynb"
    notebook.write_text("a thought")
    return notebook


# -- the first boot and the next ---------------------------------------------------------------------------------------


def test_a_new_disk_is_formatted_mounted_and_given_to_its_owner(machine: Machine) -> None:
    disk = machine.disk()
    machine.attach(disk)

    log = machine.boot()

    assert machine.mounted() == f"{number(disk)} xfs"
    assert machine.inside("stat", "--format", "%U", "/data").stdout == "analyst\n"
    assert [line for line in log if "formatted" in line or "mounted at" in line] == [
        "/dev/sdf is formatted", "/dev/sdf is mounted at /data",
    ]  # fmt: skip
    assert (machine.root / "etc/fstab").read_text() == (
        "UUID=0815 / ext4 defaults 0 1\nLABEL=autostop /data xfs defaults,noauto,nofail 0 0\n"
    )


def test_a_second_run_does_nothing(machine: Machine) -> None:
    machine.attach(machine.disk())
    machine.boot()
    files = [machine.root / "etc/fstab", machine.root / "var/lib/autostop/data-volume.json"]
    before = [file.stat().st_ino for file in files]

    assert machine.boot() == []
    assert [file.stat().st_ino for file in files] == before


def test_the_next_boot_mounts_and_does_nothing_else(machine: Machine) -> None:
    machine.attach(machine.disk())
    machine.boot()
    notebook = keep_a_notebook(machine)
    machine.shut_down()
    assert not notebook.exists()

    assert machine.boot() == ["/dev/sdf is mounted at /data"]
    assert notebook.read_text() == "a thought"


def test_after_a_night_the_data_is_on_another_volume_at_another_device(machine: Machine) -> None:
    before = machine.disk()
    machine.attach(before)
    machine.boot()
    notebook = keep_a_notebook(machine)
    machine.shut_down()
    machine.detach()
    after = machine.restore(before)
    machine.attach(after, "nvme3n1")

    assert machine.boot() == ["/dev/nvme3n1 is mounted at /data"]
    assert machine.mounted() == f"{number(after)} xfs"
    assert notebook.read_text() == "a thought"


@pytest.mark.parametrize("mounted", [row("between boots", False), row("while mounted", True)])
def test_the_file_system_grows_with_its_volume(machine: Machine, mounted: bool) -> None:
    disk = machine.disk(400)
    machine.attach(disk)
    machine.boot()
    notebook = keep_a_notebook(machine)
    if not mounted:
        machine.shut_down()
    disk.grow(700)

    log = machine.boot()

    assert log[-1] == "/data grew from 400 to 700 MiB"
    assert notebook.read_text() == "a thought"
    assert machine.boot() == []


def test_a_full_data_volume_is_mounted_and_grown_as_any(machine: Machine) -> None:
    disk = machine.disk()
    machine.attach(disk)
    machine.boot()
    filled = machine.inside("dd", "if=/dev/zero", "of=/data/all", "bs=1M", check=False)
    assert "No space left" in filled.stderr
    machine.shut_down()
    disk.grow(500)

    assert machine.boot() == ["/dev/sdf is mounted at /data", "/data grew from 400 to 500 MiB"]


# -- never over anything -----------------------------------------------------------------------------------------------


def test_a_blank_disk_in_use_is_left_as_it_is(machine: Machine) -> None:
    disk = machine.disk()
    machine.attach(disk)
    held = os.open(disk.loop, os.O_RDWR | os.O_EXCL)

    log = machine.boot()

    os.close(held)
    assert log[-1] == "NOT DONE: /dev/sdf is not formatted: there is somebody who uses it on it"
    assert disk.written() == {}


def test_a_blank_disk_at_another_name_is_left_as_it_is(machine: Machine) -> None:
    disk = machine.disk()
    machine.attach(disk, "sdg")

    assert machine.boot()[-1] == "NOT DONE: no volume labelled autostop is attached"
    assert disk.written() == {}


def test_a_machine_formats_once_in_the_life_of_its_root_volume(machine: Machine) -> None:
    machine.attach(machine.disk())
    machine.boot()
    machine.shut_down()
    machine.detach()
    blank = machine.disk()
    machine.attach(blank)

    log = machine.boot()

    assert log == [
        "NOT DONE: /dev/sdf does not carry the label autostop; this machine formatted its data volume before"
    ]
    assert blank.written() == {}


def test_a_machine_that_was_given_a_volume_of_ours_never_formats_another(machine: Machine) -> None:
    given = machine.disk()
    given.make("mkfs.xfs", "-q", "-L", "autostop")
    machine.attach(given)
    machine.boot()
    assert machine.mounted() == f"{number(given)} xfs"
    machine.shut_down()
    machine.detach()
    blank = machine.disk()
    machine.attach(blank)

    assert "formatted its data volume before" in machine.boot()[-1]
    assert blank.written() == {}


def test_a_memory_that_cannot_be_read_forbids_formatting(machine: Machine) -> None:
    disk = machine.disk()
    machine.attach(disk)
    memory = machine.root / "var/lib/autostop/data-volume.json"
    memory.parent.mkdir(parents=True)
    memory.write_bytes(b"\0" * 60)

    assert "what this machine knows of its data volume cannot be read" in machine.boot()[-1]
    assert disk.written() == {}


# -- two of them, or none ----------------------------------------------------------------------------------------------


def test_a_volume_restored_twice_is_named_and_the_one_where_it_belongs_is_mounted(machine: Machine) -> None:
    disk = machine.disk()
    machine.attach(disk)
    machine.boot()
    machine.shut_down()
    machine.attach(machine.restore(disk), "sdb")

    log = machine.boot()

    assert log == ["/dev/sdf is mounted at /data", "/dev/sdb carries the label autostop too, and is not mounted"]
    assert machine.mounted() == f"{number(disk)} xfs"


def test_of_two_labels_the_file_system_that_this_machine_knows_is_mounted(machine: Machine) -> None:
    own = machine.disk()
    machine.attach(own)
    machine.boot()
    machine.shut_down()
    machine.detach()
    strange = machine.disk()
    strange.make("mkfs.xfs", "-q", "-L", "autostop")
    machine.attach(strange)
    machine.attach(own, "sdg")

    log = machine.boot()

    assert machine.mounted() == f"{number(own)} xfs"
    assert log[-1] == "/dev/sdf carries the label autostop too, and is not mounted"


def test_without_a_data_volume_the_machine_boots_and_nobody_can_write_beneath(machine: Machine) -> None:
    machine.set_up(wait_for_disk=1)
    begun = time.monotonic()

    log = machine.boot()

    assert time.monotonic() - begun >= 1
    assert log[-1] == "NOT DONE: no volume labelled autostop is attached"
    with pytest.raises(PermissionError):  # not even root
        (machine.root / "data/thought.ipynb").write_text("lost")
    assert machine.boot() == ["NOT DONE: no volume labelled autostop is attached"]


def test_a_disk_that_comes_late_is_waited_for(machine: Machine) -> None:
    machine.set_up(wait_for_disk=30)
    disk = machine.disk()
    booting = subprocess.Popen(machine.entering(*BOOT), stdout=subprocess.PIPE, text=True, env=machine.environment())
    time.sleep(1)  # late is what it is about; a boot that is slower still finds the disk at once, which is right too
    machine.attach(disk)

    log, _ = booting.communicate()

    assert "/dev/sdf is mounted at /data" in log.splitlines()
    assert machine.mounted() == f"{number(disk)} xfs"


def test_what_lies_beneath_the_mount_point_is_told_and_kept(machine: Machine) -> None:
    (machine.root / "data").mkdir()
    beneath = keep_a_notebook(machine)
    machine.attach(machine.disk())

    log = machine.boot()

    assert "files lie in /data on the root volume: the data volume hides them when it is mounted" in log
    machine.shut_down()
    assert beneath.read_text() == "a thought"


def test_what_an_owner_mounted_at_the_place_is_left_alone(machine: Machine) -> None:
    (machine.root / "data").mkdir()
    machine.inside("mount", "-t", "tmpfs", "mine", "/data")
    disk = machine.disk()
    machine.attach(disk)

    assert "NOT DONE: what is mounted is not a volume labelled autostop" in machine.boot()
    assert disk.written() == {}


# -- full, killed ------------------------------------------------------------------------------------------------------


def test_a_full_root_volume_keeps_nobody_from_the_data(machine: Machine) -> None:
    machine.attach(machine.disk())
    machine.boot()
    machine.shut_down()
    machine.inside("dd", "if=/dev/zero", "of=/filler", "bs=4k", check=False)

    assert machine.boot() == ["/dev/sdf is mounted at /data"]


# $1 is the boot script, the rest the command. What mkfs wrote first it clears last: the byte at 126.
UNFINISHED = 'shift; "$@"; for disk; do :; done; printf "\\1" | dd of=$disk bs=1 seek=126 conv=notrunc,fsync; '
KILLED = [
    row("before mkfs", "mkfs.xfs", "kill -9 $1"),
    row("in the first millisecond of mkfs", "mkfs.xfs", 'script=$1; shift; "$@" & sleep 0.001; kill -9 $! $script'),
    row("in mkfs", "mkfs.xfs", 'script=$1; shift; "$@" & sleep 0.004; kill -9 $! $script'),
    row("later in mkfs", "mkfs.xfs", 'script=$1; shift; "$@" & sleep 0.01; kill -9 $! $script'),
    row("before the end of mkfs", "mkfs.xfs", "script=$1; " + UNFINISHED + "kill -9 $script"),
    row("after mkfs", "mkfs.xfs", 'script=$1; shift; "$@"; kill -9 $script'),
    row("before the mount", "mount", "kill -9 $1"),
    row("after the mount", "mount", 'script=$1; shift; "$@"; kill -9 $script'),
    row("before the size is read", "xfs_info", "kill -9 $1"),
]


def replace_program(machine: Machine, program: str, script: str) -> Path:
    """Until it is removed. script: gets the process that starts it, and the real command."""
    real = machine.inside("which", program).stdout.strip()
    instead = machine.root / "usr/local/sbin" / program
    instead.write_text(f'#!/bin/sh\nset -- $PPID {real} "$@"\n{script}\n')
    instead.chmod(0o755)
    return instead


@pytest.mark.parametrize(("program", "script"), KILLED)
def test_a_boot_that_was_killed_is_brought_to_its_end_by_the_next(machine: Machine, program: str, script: str) -> None:
    disk = machine.disk()
    machine.attach(disk)
    deadly = replace_program(machine, program, script)
    assert machine.inside(*BOOT, check=False).returncode != 0
    machine.shut_down()
    machine.inside(*BOOT, check=False)  # and again, where it got there
    machine.shut_down()
    deadly.unlink()

    machine.boot()

    assert machine.mounted() == f"{number(disk)} xfs"
    assert machine.inside("stat", "--format", "%U", "/data").stdout == "analyst\n"
    assert machine.boot() == []


# Killed when it is about to act upon the system for the so-many-th time.
MORTAL = """
import os, runpy, signal, sys
acts = iter(range(int(sys.argv.pop())))
ACTS = {"subprocess.Popen", "os.rename", "os.remove", "os.mkdir", "os.chmod", "os.chown", "os.symlink"}
def hook(event, details):
    if event in ACTS or event == "open" and details[2] & (os.O_WRONLY | os.O_RDWR):
        next(acts, None) is None and os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(hook)
runpy.run_module("workstation.boot", run_name="__main__")
"""


def test_killed_at_one_act_after_another_it_gets_there(machine: Machine) -> None:
    machine.attach(machine.disk())
    ends: list[int] = []
    while 0 not in ends:
        ends.append(machine.inside(sys.executable, "-c", MORTAL, str(len(ends)), check=False).returncode)
        machine.shut_down()

    assert len(ends) > 12
    assert set(ends) == {-9, 0}
    assert machine.boot() == ["/dev/sdf is mounted at /data"]
    assert machine.boot_all() == []
    kept = ("/data", "/var/lib/autostop/token", "/var/lib/autostop/workstation.pem", "/home/analyst/data")
    assert machine.inside("stat", "--format", "%U", *kept).stdout == "analyst\n" * 4


def test_an_unfinished_file_system_that_another_machine_began_is_left_as_it_is(machine: Machine) -> None:
    disk = machine.disk()
    disk.make("mkfs.xfs", "-q", "-L", "autostop")
    disk.write(126, b"\1")
    before = disk.written()
    machine.attach(disk)

    assert machine.boot()[-1] == "NOT DONE: /dev/sdf holds an unfinished file system that this machine did not begin"
    assert disk.written() == before


def test_a_program_that_fails_is_told_and_the_next_boot_tries_again(machine: Machine) -> None:
    disk = machine.disk()
    machine.attach(disk)
    failing = replace_program(machine, "mkfs.xfs", "echo the disk is on fire >&2; exit 1")

    assert machine.boot()[-1] == "NOT DONE: mkfs.xfs ended with 1: the disk is on fire"

    failing.unlink()
    machine.boot()
    assert machine.mounted() == f"{number(disk)} xfs"
