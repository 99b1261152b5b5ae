"""Bring the data volume to its place: format it once, mount it, grow it, and give it to its owner."""

import json
import os
import re
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import assert_never

from workstation.boot import block_devices, whole_files
from workstation.boot.data_volume import (
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
    Wait,
    next_step,
)  # fmt: skip
from workstation.boot.programs import FailedError, run

DATA = Path("/data")
MEMORY = Path("/var/lib/autostop/data-volume.json")
FSTAB = Path("/etc/fstab")
# For whoever mounts it by hand. Not at boot by itself: of two volumes with one label it would take either.
FSTAB_LINE = f"LABEL={LABEL} {DATA} xfs defaults,noauto,nofail 0 0"


def write_fstab() -> Iterator[str]:
    """Have the line in it, and leave alone what an owner wrote for the same place."""
    lines = FSTAB.read_text(encoding="utf-8").splitlines() if FSTAB.exists() else []
    if all(line.split()[1:2] != [str(DATA)] for line in lines):
        whole_files.replace(FSTAB, "\n".join([*lines, FSTAB_LINE, ""]))
        yield f"{FSTAB} has the data volume"


def guard_mount_point() -> Iterator[str]:
    """Nobody can write where the data volume is missing: it would vanish beneath the volume later."""
    if block_devices.mounted_at(DATA):
        return
    if not DATA.exists():
        DATA.mkdir(mode=0)
    attributes = run("lsattr", "-d", str(DATA)).stdout.split()[0]
    if "i" not in attributes:
        DATA.chmod(0)
        run("chattr", "+i", str(DATA))
        yield f"nobody can write to {DATA} while the data volume is not there"
    if any(DATA.iterdir()):
        yield f"files lie in {DATA} on the root volume: the data volume hides them when it is mounted"


def mount_data(device: str, wait_for: float, *, sleep: Callable[[float], None] = time.sleep) -> Iterator[str]:
    """Step by step until it is mounted. device: what EC2 calls it. wait_for: seconds that it may take to appear.

    Raises FailedError when the machine has to go on without it.
    """
    seen = Seen()
    while True:
        seen = replace(
            seen,
            labelled=block_devices.labelled(),
            mounted=block_devices.mounted_at(DATA),
            named=block_devices.named(device),
        )
        match step := next_step(seen, recall(), wait_for):
            case Ready():
                for other in step.others:
                    yield f"{other} carries the label {LABEL} too, and is not mounted"
                return
            case Leave():
                raise FailedError(step.reason)
            case Wait():
                sleep(0.5)
                seen = replace(seen, waited=seen.waited + 0.5)
            case Examine():
                seen = replace(seen, content=block_devices.content(step.device))
            case _:
                yield _do(step)
                seen = replace(seen, content=None)


def _do(step: Format | Remember | Mount) -> str:
    match step:
        case Format():
            number = step.uuid or str(uuid.uuid4())
            _remember(Memory(Formatted.BEGUN, number))
            over = ["-f"] if step.over_own else []
            run("mkfs.xfs", *over, "-q", "-L", LABEL, "-m", f"uuid={number}", step.device, within=1800)
            return f"{step.device} is formatted"
        case Remember():
            _remember(Memory(Formatted.ONCE, step.uuid))
            return f"this machine has its data volume (UUID {step.uuid}), and formats nothing from now on"
        case Mount():
            run("mount", "-t", "xfs", step.device, str(DATA))
            return f"{step.device} is mounted at {DATA}"
        case _:
            assert_never(step)


def grow_data() -> Iterator[str]:
    """Make the file system as large as its volume."""
    number = block_devices.mounted_at(DATA)
    if number is None:
        return
    before = _file_system_size()
    # Less than this is not worth an allocation group: XFS would leave it, at every boot.
    if block_devices.size(number) - before < 64 * 1024 * 1024:
        return
    run("xfs_growfs", str(DATA))
    if (after := _file_system_size()) > before:
        yield f"{DATA} grew from {before // 2**20} to {after // 2**20} MiB"


def give_data(owner: tuple[int, int]) -> Iterator[str]:
    """A new file system belongs to root; an owner's own choice stays."""
    if block_devices.mounted_at(DATA) and DATA.stat().st_uid == 0 and not any(DATA.iterdir()):
        os.chown(DATA, *owner)
        yield f"{DATA} belongs to the owner"


def recall() -> Memory:
    """What this machine wrote down; UNREADABLE when it is there and makes no sense."""
    try:
        content = json.loads(MEMORY.read_text(encoding="utf-8"))
        return Memory(Formatted(content["formatted"]), str(content["uuid"]))
    except FileNotFoundError:
        return Memory()
    except (OSError, ValueError, KeyError, TypeError):
        return Memory(Formatted.UNREADABLE)


def _remember(memory: Memory) -> None:
    whole_files.replace(MEMORY, json.dumps({"formatted": memory.formatted.value, "uuid": memory.uuid}))


def _file_system_size() -> int:
    """Bytes, by the line of xfs_info that says `data = bsize=4096 blocks=102400, ...`."""
    told = re.search(r"^data\s+=\s+bsize=(\d+)\s+blocks=(\d+)", run("xfs_info", str(DATA)).stdout, re.MULTILINE)
    if not told:
        raise FailedError(f"the size of {DATA} cannot be read")
    return int(told[1]) * int(told[2])
