"""What is on the disks of machines with systemd: a file for every volume and every snapshot."""

from autostop_local.machine.machine import copy, make_volume
from autostop_local.world.content import DirectoryContent


class DiskContent(DirectoryContent):
    """Files in place of the directories; what is on them is the machines' own affair."""

    def make_volume(self, volume_id: str, snapshot_id: str | None, gib: int) -> None:
        volume = self.volume(volume_id)
        if snapshot_id is None:
            make_volume(volume, gib * 1024)
        else:
            copy(self.snapshot(snapshot_id), volume)
            # It may be larger than its snapshot.
            with volume.open("r+b") as content:
                content.truncate(gib * 1024**3)

    def make_snapshot(self, snapshot_id: str, volume_id: str) -> int:
        copy(self.volume(volume_id), self.snapshot(snapshot_id))
        return self.snapshot(snapshot_id).stat().st_blocks * 512

    def delete_volume(self, volume_id: str) -> None:
        self.volume(volume_id).unlink(missing_ok=True)

    def delete_snapshot(self, snapshot_id: str) -> None:
        self.snapshot(snapshot_id).unlink(missing_ok=True)
