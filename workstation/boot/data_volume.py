"""Decide what happens to the data volume next: formatted, mounted, or left alone with the reason.

Pure: it reads no disk and no clock. What it never does is write over anything: a disk is formatted once in the life of
a root volume, and only when it is the one that was named at launch and reads as zeros. Neither blkid nor mkfs.xfs
guards a disk whose first sector is lost.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from workstation.boot.superblock import Superblock

LABEL = "autostop"  # XFS has room for 12 characters
BLANK = "nothing"  # what is on a new EBS volume, which reads as zeros


@dataclass(frozen=True, slots=True)
class Volume:
    """A disk that carries the label. number: major and minor, which mount tables name it by."""

    device: str
    number: str
    xfs: Superblock


class Formatted(Enum):
    """What the root volume remembers of formatting: it is written down before mkfs starts and again when it ended."""

    NEVER = "never"
    BEGUN = "begun"
    ONCE = "once"
    UNREADABLE = "unreadable"


@dataclass(frozen=True, slots=True)
class Memory:
    """What lies on the root volume, and so in its snapshots. uuid: of the file system that was begun or is in use."""

    formatted: Formatted = Formatted.NEVER
    uuid: str | None = None


@dataclass(frozen=True, slots=True)
class Seen:
    """mounted: number of what is at the mount point. named: the device named at launch, None until it is there.

    content: what was found on the named device by reading it; None as long as nobody has. waited: seconds so far.
    """

    labelled: Sequence[Volume] = ()
    mounted: str | None = None
    named: str | None = None
    content: str | None = None
    waited: float = 0.0


@dataclass(frozen=True, slots=True)
class Wait:
    """A disk may still be on its way."""


@dataclass(frozen=True, slots=True)
class Examine:
    """Read whether there is anything on it."""

    device: str


@dataclass(frozen=True, slots=True)
class Format:
    """uuid: to be given again, where an earlier attempt wrote it; over_own: over what that attempt left."""

    device: str
    uuid: str | None
    over_own: bool = False


@dataclass(frozen=True, slots=True)
class Remember:
    """Write down that this machine has its data volume: from here on it formats nothing."""

    uuid: str


@dataclass(frozen=True, slots=True)
class Mount:
    """Mount it where the data belongs."""

    device: str


@dataclass(frozen=True, slots=True)
class Leave:
    """Go on without a data volume. reason: a sentence for the owner."""

    reason: str


@dataclass(frozen=True, slots=True)
class Ready:
    """The data volume is where it belongs. others: devices that carry its label and are not mounted."""

    others: tuple[str, ...] = ()


Step = Wait | Examine | Format | Remember | Mount | Leave | Ready


def next_step(seen: Seen, memory: Memory, wait_for: float) -> Step:
    """The one next thing; whoever does it looks again and asks again, until Leave or Ready.

    wait_for: seconds that a disk may take to appear.
    """
    if seen.mounted is not None:
        if all(volume.number != seen.mounted for volume in seen.labelled):
            return Leave(f"what is mounted is not a volume labelled {LABEL}")
        return Ready(tuple(volume.device for volume in seen.labelled if volume.number != seen.mounted))
    if seen.labelled:
        return _take(seen.labelled, seen.named, memory)
    if seen.named is not None:
        return _consider(seen.named, seen.content, memory)
    if seen.waited < wait_for:
        return Wait()
    return Leave(f"no volume labelled {LABEL} is attached")


def _take(labelled: Sequence[Volume], named: str | None, memory: Memory) -> Step:
    """Mount the one that is surely ours. A volume restored twice has one label and one UUID twice: nobody guesses."""
    sure = [volume for volume in labelled if volume.xfs.uuid == memory.uuid] or list(labelled)
    if len(sure) > 1:
        sure = [volume for volume in sure if volume.device == named]
    if len(sure) != 1:
        names = ", ".join(f"{volume.device} (UUID {volume.xfs.uuid})" for volume in labelled)
        return Leave(f"{len(labelled)} volumes carry the label {LABEL}, and none is surely the one: {names}")
    (volume,) = sure
    if volume.xfs.unfinished:
        # Nobody mounted it ever: that mkfs came to its end is written down before the first mount.
        if memory == Memory(Formatted.BEGUN, volume.xfs.uuid):
            return Format(volume.device, volume.xfs.uuid, over_own=True)
        return Leave(f"{volume.device} holds an unfinished file system that this machine did not begin")
    if memory != Memory(Formatted.ONCE, volume.xfs.uuid):
        return Remember(volume.xfs.uuid)
    return Mount(volume.device)


def _consider(device: str, content: str | None, memory: Memory) -> Step:
    """Whether the named disk, which does not carry the label, may be formatted."""
    if memory.formatted is Formatted.ONCE:
        return Leave(f"{device} does not carry the label {LABEL}; this machine formatted its data volume before")
    if memory.formatted is Formatted.UNREADABLE:
        return Leave(f"{device} is not formatted: what this machine knows of its data volume cannot be read")
    if content is None:
        return Examine(device)
    if content != BLANK:
        return Leave(f"{device} is not formatted: there is {content} on it")
    return Format(device, memory.uuid)
