"""What is on the disks: for every volume and every snapshot a directory, or but one number in memory."""

import os
import shutil
import stat
from pathlib import Path
from typing import Protocol

_MARKER = ".autostop-world"


class Content(Protocol):
    """What the world asks of those who keep what is on its disks."""

    def begin(self) -> None:
        """Forget all: a fresh world begins."""

    def make_volume(self, volume_id: str, snapshot_id: str | None, gib: int) -> None:
        """A blank volume of a size, or one with exactly the content of the snapshot."""

    def make_snapshot(self, snapshot_id: str, volume_id: str) -> int:
        """Keep what is on the volume now; gives its size in bytes."""

    def make_instance(self, instance_id: str) -> None: ...

    def delete_volume(self, volume_id: str) -> None: ...

    def delete_snapshot(self, snapshot_id: str) -> None: ...

    def mount(self, instance_id: str, name: str, volume_id: str) -> None:
        """Let what is on the volume be found under this name (see `mount_name`) below the instance's directory."""

    def unmount(self, instance_id: str, name: str) -> None: ...

    def volume(self, volume_id: str) -> Path: ...

    def snapshot(self, snapshot_id: str) -> Path: ...

    def instance(self, instance_id: str) -> Path: ...


class DirectoryContent:
    """The directories of the world's volumes, snapshots and instances, under one root.

    An instance's directory holds a symbolic link per attached volume, `root` or `data-<device>`, so a path through it
    stays the same when a volume is replaced by one that was made from its snapshot.
    """

    def __init__(self, root: Path) -> None:
        self._given = root
        self._root = root.resolve()

    def begin(self) -> None:
        """Make the directories afresh.

        Raises ValueError if the root has content that is not a former world's: it would be deleted.
        """
        self._root.mkdir(parents=True, exist_ok=True)
        marker = self._root / _MARKER
        if any(self._root.iterdir()) and not marker.exists():
            raise ValueError(f"{self._given} is neither empty nor the directory of a former world")
        marker.touch()
        for kind in ("volumes", "snapshots", "instances"):
            shutil.rmtree(self._root / kind, ignore_errors=True)
            (self._root / kind).mkdir()

    def volume(self, volume_id: str) -> Path:
        return self._root / "volumes" / volume_id

    def snapshot(self, snapshot_id: str) -> Path:
        return self._root / "snapshots" / snapshot_id

    def instance(self, instance_id: str) -> Path:
        return self._root / "instances" / instance_id

    def make_volume(self, volume_id: str, snapshot_id: str | None, gib: int) -> None:  # noqa: ARG002 # as large as it is
        if snapshot_id is None:
            self.volume(volume_id).mkdir()
        else:
            _copy(self.snapshot(snapshot_id), self.volume(volume_id))

    def make_snapshot(self, snapshot_id: str, volume_id: str) -> int:
        return _copy(self.volume(volume_id), self.snapshot(snapshot_id))

    def make_instance(self, instance_id: str) -> None:
        self.instance(instance_id).mkdir()

    def delete_volume(self, volume_id: str) -> None:
        shutil.rmtree(self.volume(volume_id), ignore_errors=True)

    def delete_snapshot(self, snapshot_id: str) -> None:
        shutil.rmtree(self.snapshot(snapshot_id), ignore_errors=True)

    def mount(self, instance_id: str, name: str, volume_id: str) -> None:
        (self.instance(instance_id) / name).symlink_to(self.volume(volume_id))

    def unmount(self, instance_id: str, name: str) -> None:
        (self.instance(instance_id) / name).unlink(missing_ok=True)


class MemoryContent:
    """One number, the stamp, for all that is on a volume or in a snapshot; 0 on a blank volume.

    For histories by the thousand, which ask only whose content is where. The world's states are not looked at: a
    snapshot has its stamp from the moment it is asked for, and keeps it when it ends in `error`.
    """

    def __init__(self) -> None:
        self._volumes: dict[str, int] = {}
        self._snapshots: dict[str, int] = {}

    def write(self, volume_id: str, stamp: int) -> None:
        """Replace what is on the volume. Raises KeyError for one that is not there."""
        if volume_id not in self._volumes:
            raise KeyError(volume_id)
        self._volumes[volume_id] = stamp

    def of_volume(self, volume_id: str) -> int | None:
        """What is on the volume; None when there is no such volume (any more)."""
        return self._volumes.get(volume_id)

    def of_snapshot(self, snapshot_id: str) -> int | None:
        """What is in the snapshot; None when there is no such snapshot (any more)."""
        return self._snapshots.get(snapshot_id)

    def begin(self) -> None:
        self._volumes.clear()
        self._snapshots.clear()

    def make_volume(self, volume_id: str, snapshot_id: str | None, gib: int) -> None:  # noqa: ARG002 # one number
        self._volumes[volume_id] = 0 if snapshot_id is None else self._snapshots[snapshot_id]

    def make_snapshot(self, snapshot_id: str, volume_id: str) -> int:
        """The size is made up: a stamp has none."""
        self._snapshots[snapshot_id] = self._volumes[volume_id]
        return 1 << 30

    def make_instance(self, instance_id: str) -> None: ...

    def delete_volume(self, volume_id: str) -> None:
        self._volumes.pop(volume_id, None)

    def delete_snapshot(self, snapshot_id: str) -> None:
        self._snapshots.pop(snapshot_id, None)

    def mount(self, instance_id: str, name: str, volume_id: str) -> None: ...

    def unmount(self, instance_id: str, name: str) -> None: ...

    def volume(self, volume_id: str) -> Path:
        return _NOWHERE / volume_id

    def snapshot(self, snapshot_id: str) -> Path:
        return _NOWHERE / snapshot_id

    def instance(self, instance_id: str) -> Path:
        return _NOWHERE / instance_id


_NOWHERE = Path(os.devnull)  # nothing can be below it: who tries gets an OSError


def mount_name(device: str, root_device: str) -> str:
    """The name under an instance's directory: `root`, or `data-sdf` for /dev/sdf."""
    return "root" if device == root_device else f"data-{device.rpartition('/')[2]}"


def _copy(source: Path, target: Path) -> int:
    """Copy a tree with its links and times; sockets and pipes, which mean nothing on another disk, are left out.

    Gives the bytes of the files copied.
    """
    target.mkdir()
    size = 0
    with os.scandir(source) as entries:
        for entry in entries:
            mode = entry.stat(follow_symlinks=False).st_mode
            to = target / entry.name
            if stat.S_ISDIR(mode):
                size += _copy(Path(entry.path), to)
            elif stat.S_ISLNK(mode) or stat.S_ISREG(mode):
                shutil.copy2(entry.path, to, follow_symlinks=False)
                size += entry.stat(follow_symlinks=False).st_size if stat.S_ISREG(mode) else 0
    shutil.copystat(source, target)
    return size
