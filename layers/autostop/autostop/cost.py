"""What a workstation's disks and snapshots cost a month."""

from collections.abc import Iterable, Mapping
from typing import Final

from autostop.model import Snapshot, SnapshotState, Volume
from autostop.sleep.manifest import Manifest

# us-east-1, USD a GiB and month (AWS price list files, 2023 to 2026); a first figure, not a bill.
_STORAGE: Final[Mapping[str, float]] = {
    "gp3": 0.08,
    "gp2": 0.10,
    "io1": 0.125,
    "io2": 0.125,
    "st1": 0.045,
    "sc1": 0.015,
    "standard": 0.05,
}
_SNAPSHOT: Final = 0.05
_PROVISIONED_IOPS: Final = 0.065
_GP3_IOPS, _GP3_FREE_IOPS = 0.005, 3000
_GP3_THROUGHPUT, _GP3_FREE_THROUGHPUT = 0.04, 125
_GIB: Final = 2**30


def volume_cost(type_: str, size_gib: int, iops: int | None, throughput: int | None) -> float:
    """USD a month of one volume; throughput in MiB/s."""
    cost = size_gib * _STORAGE.get(type_, _STORAGE["gp2"])
    if type_ == "gp3":
        cost += max(0, (iops or 0) - _GP3_FREE_IOPS) * _GP3_IOPS
        cost += max(0, (throughput or 0) - _GP3_FREE_THROUGHPUT) * _GP3_THROUGHPUT
    elif type_ in ("io1", "io2"):
        cost += (iops or 0) * _PROVISIONED_IOPS
    return cost


def snapshot_cost(gib: float) -> float:
    """USD a month of one snapshot that holds so many GiB and shares none of them."""
    return gib * _SNAPSHOT


def cost_now(volumes: Iterable[Volume], snapshots: Iterable[Snapshot]) -> float:
    """USD a month at most, for what exists now. Snapshots share unchanged blocks, so their real cost is lower."""
    disks = sum(volume_cost(each.type, each.size_gib, each.iops, each.throughput) for each in volumes if each.exists)
    return disks + sum(
        snapshot_cost(each.stored_bytes / _GIB if each.stored_bytes is not None else each.size_gib)
        for each in snapshots
        if each.state is not SnapshotState.ERROR
    )


def cost_awake(volumes: Iterable[Volume], manifest: Manifest | None) -> float:
    """USD a month for the volumes it has when awake: those there are now, or those the manifest restores."""
    disks = [(each.type, each.size_gib, each.iops, each.throughput) for each in volumes if each.exists]
    if manifest is not None and len(disks) < len(manifest.volumes):
        disks = [(each.type, each.size_gib, each.iops, each.throughput) for each in manifest.volumes]
    return sum(volume_cost(*disk) for disk in disks)
