"""The first sector of an XFS file system: whose it is, and whether mkfs came to its end."""

import struct
import uuid
from dataclasses import dataclass

LENGTH = 512
_MAGIC = b"XFSB"
# struct xfs_dsb of the kernel's xfs_format.h: sb_uuid at 32, sb_fname (the label) at 108, sb_inprogress at 126.
_LAYOUT = struct.Struct(">4s28x16s60x12s6xB")


@dataclass(frozen=True, slots=True)
class Superblock:
    """What a disk says of itself. unfinished: mkfs.xfs sets it first, and clears it as the last thing it does."""

    label: str
    uuid: str
    unfinished: bool = False


def parse(head: bytes) -> Superblock | None:
    """head: the first bytes of a disk, LENGTH of them or fewer. None when there is no XFS."""
    if len(head) < _LAYOUT.size or not head.startswith(_MAGIC):
        return None
    _, number, label, in_progress = _LAYOUT.unpack_from(head)
    return Superblock(label.rstrip(b"\0").decode("ascii", "replace"), str(uuid.UUID(bytes=number)), bool(in_progress))
