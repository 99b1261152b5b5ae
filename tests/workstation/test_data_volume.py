"""What is decided about the data volume, and how disks are read; real disks are in test_data_on_disks."""

import uuid

import pytest

from tests.build import row
from workstation.boot import block_devices, mount_data, settings, superblock
from workstation.boot.data_volume import (
    BLANK,
    LABEL,
    Examine,
    Format,
    Formatted,
    Leave,
    Memory,
    Mount,
    Ready,
    Remember,
    Seen,
    Step,
    Volume,
    Wait,
    next_step,
)
from workstation.boot.superblock import Superblock

OURS, THEIRS = str(uuid.UUID(int=1)), str(uuid.UUID(int=2))
NEVER, BEGUN, ONCE = Memory(), Memory(Formatted.BEGUN, OURS), Memory(Formatted.ONCE, OURS)
UNREADABLE = Memory(Formatted.UNREADABLE)


def volume(device: str, xfs: str = OURS, *, unfinished: bool = False) -> Volume:
    return Volume(device, f"259:{device[-1]}", Superblock(LABEL, xfs, unfinished))


ONE, TWO = volume("/dev/d1"), volume("/dev/d2")
OTHER = volume("/dev/d3", THEIRS)
HALF, HALF_OTHER = volume("/dev/d1", unfinished=True), volume("/dev/d1", THEIRS, unfinished=True)
EXAMINED = Seen(named="/dev/d1", content=BLANK)


@pytest.mark.parametrize(("seen", "memory", "expected"), [
    row("nothing is there yet", Seen(waited=19.9), NEVER, Wait),
    row("nothing came", Seen(waited=20), NEVER, Leave),
    row("nothing is there, once there was", Seen(waited=19.9), ONCE, Wait),
    row("a disk, unread", Seen(named="/dev/d1"), NEVER, Examine("/dev/d1")),
    row("a blank disk", EXAMINED, NEVER, Format("/dev/d1", None)),
    row("a blank disk, and mkfs was about to begin", EXAMINED, BEGUN, Format("/dev/d1", OURS)),
    row("a blank disk, once formatted", EXAMINED, ONCE, Leave),
    row("a blank disk, and no memory", EXAMINED, UNREADABLE, Leave),
    row("a disk with something", Seen(named="/dev/d1", content="ext4"), NEVER, Leave),
    row("a disk with something, and mkfs had begun", Seen(named="/dev/d1", content="ext4"), BEGUN, Leave),
    row("ours", Seen((ONE,)), ONCE, Mount("/dev/d1")),
    row("ours, and nobody wrote that mkfs ended", Seen((ONE,)), BEGUN, Remember(OURS)),
    row("a label that is new to this machine", Seen((ONE,)), NEVER, Remember(OURS)),
    row("a label new to this machine, beside a blank disk", Seen((TWO,), named="/dev/d1"), NEVER, Remember(OURS)),
    row("another file system of our label", Seen((OTHER,)), ONCE, Remember(THEIRS)),
    row("ours, and no memory", Seen((ONE,)), UNREADABLE, Remember(OURS)),
    row("half made by us", Seen((HALF,)), BEGUN, Format("/dev/d1", OURS, over_own=True)),
    row("half made, and we had ended", Seen((HALF,)), ONCE, Leave),
    row("half made by another", Seen((HALF_OTHER,)), BEGUN, Leave),
    row("half made, and we never began", Seen((HALF,)), NEVER, Leave),
    row("two, one of them known", Seen((ONE, OTHER), named="/dev/d3"), ONCE, Mount("/dev/d1")),
    row("two, none known, one where it belongs", Seen((ONE, OTHER), named="/dev/d3"), NEVER, Remember(THEIRS)),
    row("two, none known, none where it belongs", Seen((ONE, OTHER)), NEVER, Leave),
    row("restored twice", Seen((ONE, TWO)), ONCE, Leave),
    row("restored twice, one where it belongs", Seen((ONE, TWO), named="/dev/d2"), ONCE, Mount("/dev/d2")),
    row("mounted", Seen((ONE,), mounted=ONE.number), ONCE, Ready()),
    row("mounted, and another with the label", Seen((ONE, TWO), mounted=TWO.number), ONCE, Ready(("/dev/d1",))),
    row("something else is mounted", Seen((ONE,), mounted="0:31"), ONCE, Leave),
    row("something else is mounted, beside a blank disk", Seen(mounted="0:31", named="/dev/d1"), NEVER, Leave),
])  # fmt: skip
def test_the_next_step(seen: Seen, memory: Memory, expected: Step | type[Leave | Wait]) -> None:
    step = next_step(seen, memory, wait_for=20)

    assert step == expected or (isinstance(expected, type) and isinstance(step, expected))


def test_the_label_fits() -> None:
    assert len(LABEL) <= 12
    assert f"LABEL={LABEL} " in mount_data.FSTAB_LINE
    assert "nofail" in mount_data.FSTAB_LINE


def test_a_disk_is_waited_for_no_longer_than_a_boot_may_take() -> None:
    assert settings.Settings().wait_for_disk == 10


@pytest.mark.parametrize("head", [b"", b"XFSB", bytes(512), b"\x7fELF".ljust(512, b"\0")])
def test_what_is_no_superblock_is_none(head: bytes) -> None:
    assert superblock.parse(head) is None


@pytest.mark.parametrize(("model", "name", "expected"), [
    row("as it is padded", b"Amazon Elastic Block Store", b"sdf", "sdf"),
    row("with its folder", b"Amazon Elastic Block Store", b"/dev/sdf", "sdf"),
    row("of Xen's kind", b"Amazon Elastic Block Store", b"xvdf", "xvdf"),
    row("an instance store", b"Amazon EC2 NVMe Instance Storage", b"", None),
    row("a disk that says nothing", b"", b"", None),
])  # fmt: skip
def test_the_controller_of_a_volume_tells_its_name(model: bytes, name: bytes, expected: str | None) -> None:
    answer = bytes(24) + model.ljust(40) + bytes(3072 - 64) + name.ljust(32) + bytes(4096 - 3104)

    assert block_devices.api_name(answer) == expected
