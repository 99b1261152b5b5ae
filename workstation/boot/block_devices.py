"""Look at the disks: who carries the label, which one was named at launch, what is on it, what is mounted where."""

import ctypes
import errno
import fcntl
import os
import stat
import struct
from collections.abc import Iterator
from pathlib import Path

from workstation.boot import superblock
from workstation.boot.data_volume import BLANK, LABEL, Volume
from workstation.boot.programs import FailedError, run

_DEV = Path("/dev")
_MIB = 1024 * 1024
_SAMPLES = 4096  # of a page each: some two seconds on a gp3 volume
_PAGE = 4096
# struct nvme_passthru_cmd of linux/nvme_ioctl.h, and its ioctl, _IOWR('N', 0x41, of 72 bytes).
_NVME_COMMAND = struct.Struct("=BBHIQQQIIIIIIIIII")
_NVME_ADMIN = 0xC048_4E41


def labelled() -> tuple[Volume, ...]:
    """All disks and partitions with the label of the data volume, by the names of their devices."""
    found = []
    for device in _block_devices():
        xfs = superblock.parse(_head(device))
        if xfs and xfs.label == LABEL:
            found.append(Volume(str(device), _number(device), xfs))
    return tuple(found)


def named(name: str) -> str | None:
    """The device that EC2 calls by this name, such as /dev/sdf; None when it is not attached.

    On Nitro the kernel gives its own names, and the controller tells EC2's.
    """
    short = name.removeprefix("/dev/")
    for path in (_DEV / short, _DEV / short.replace("sd", "xvd", 1)):
        if path.is_block_device():
            return str(path)
    for path in sorted(_DEV.glob("nvme*n1")):
        if api_name(_identify(path)) == short:
            return str(path)
    return None


def api_name(identity: bytes) -> str | None:
    """EC2's name, without /dev/, in what an NVMe controller answers to "identify"; None from one that is not of EBS.

    Source: ebsnvme-id of amazon-ec2-utils: the model at 24, the vendor's own part at 3072 begins with the name.
    """
    if not identity[24:64].startswith(b"Amazon Elastic Block Store"):
        return None
    return identity[3072:3104].rstrip(b" \0").decode("ascii", "replace").removeprefix("/dev/")


def content(device: str) -> str:
    """What is on it, in words; BLANK only when blkid finds nothing, nobody uses it, and all that was read is zero."""
    try:
        # A disk that is mounted, is swapped to or is part of another one is not given to a second holder.
        descriptor = os.open(device, os.O_RDONLY | os.O_EXCL)
    except OSError as error:
        if error.errno == errno.EBUSY:
            return "somebody who uses it"
        raise FailedError(f"{device} cannot be read: {error}") from error
    try:
        probed = run("blkid", "--probe", "--output", "export", device, ends=(0, 2, 8))
        if probed.returncode == 0:
            return _in_words(probed.stdout)
        if probed.returncode != 2:
            return "more than one thing at a time"
        return BLANK if _reads_as_zeros(descriptor) else "something unknown"
    except OSError as error:
        raise FailedError(f"{device} cannot be read: {error}") from error
    finally:
        os.close(descriptor)


def mounted_at(folder: Path) -> str | None:
    """Major and minor of what is mounted there last; None when nothing is."""
    for line in reversed(Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines()):
        fields = line.split(" ")
        if fields[4] == str(folder):
            return fields[2]
    return None


def size(number: str) -> int:
    """Bytes of the disk with this major and minor."""
    return 512 * int(Path(f"/sys/dev/block/{number}/size").read_text(encoding="ascii"))


def _block_devices() -> Iterator[Path]:
    seen = set()
    for path in sorted(_DEV.iterdir()):
        if path.is_block_device() and not path.is_symlink() and _number(path) not in seen:
            seen.add(_number(path))
            yield path


def _number(device: Path) -> str:
    status = device.stat()
    return f"{os.major(status.st_rdev)}:{os.minor(status.st_rdev)}" if stat.S_ISBLK(status.st_mode) else ""


def _head(device: Path) -> bytes:
    """Empty where there is no medium, or where it cannot be read."""
    try:
        with device.open("rb", buffering=0) as file:
            return file.read(superblock.LENGTH) or b""
    except OSError:
        return b""


def _identify(controller: Path) -> bytes:
    answer = ctypes.create_string_buffer(4096)
    command = _NVME_COMMAND.pack(6, 0, 0, 0, 0, 0, ctypes.addressof(answer), 0, len(answer), 1, 0, 0, 0, 0, 0, 0, 0)
    try:
        with controller.open("rb", buffering=0) as file:
            fcntl.ioctl(file, _NVME_ADMIN, bytearray(command))
    except OSError:
        return b""
    return answer.raw


def _reads_as_zeros(descriptor: int) -> bool:
    """Head, tail and evenly spread samples; a new EBS volume reads as zeros."""
    end = os.lseek(descriptor, 0, os.SEEK_END)
    last = max(0, end - _MIB)
    places = [(0, _MIB), (last, _MIB)]
    places += [(end * sample // _SAMPLES // _PAGE * _PAGE, _PAGE) for sample in range(_SAMPLES)]
    return all(not any(os.pread(descriptor, length, place)) for place, length in places)


def _in_words(exported: str) -> str:
    facts = dict(line.split("=", 1) for line in exported.splitlines() if "=" in line)
    kind = facts.get("TYPE") or f"a partition table ({facts.get('PTTYPE', 'unknown')})"
    return f"{kind} labelled {facts['LABEL']}" if "LABEL" in facts else kind
