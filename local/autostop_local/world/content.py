"""What is on the disks: each volume and each snapshot is a directory."""

import os
import shutil
import stat
from pathlib import Path

_MARKER = ".autostop-world"


class Content:
    """The directories of the world's volumes, snapshots and instances, under one root.

    An instance's directory holds a symbolic link per attached volume, `root` or `data-<device>`, so a path through it
    stays the same when a volume is replaced by one that was made from its snapshot.
    """

    def __init__(self, root: Path) -> None:
        """Make the directories afresh.

        Raises ValueError if `root` has content that is not a former world's: it would be deleted.
        """
        self._root = root.resolve()
        self._root.mkdir(parents=True, exist_ok=True)
        marker = self._root / _MARKER
        if any(self._root.iterdir()) and not marker.exists():
            raise ValueError(f"{root} is neither empty nor the directory of a former world")
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

    def make_volume(self, volume_id: str, snapshot_id: str | None) -> None:
        """A blank volume, or one with exactly the content of the snapshot."""
        if snapshot_id is None:
            self.volume(volume_id).mkdir()
        else:
            _copy(self.snapshot(snapshot_id), self.volume(volume_id))

    def make_snapshot(self, snapshot_id: str, volume_id: str) -> int:
        """Copy what is on the volume now; gives the bytes copied."""
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


def mount_name(device: str, root_device: str) -> str:
    """The name under an instance's directory: `root`, or `data-sdf` for /dev/sdf."""
    return "root" if device == root_device else f"data-{Path(device).name}"


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
