"""What a workstation's disks and snapshots cost a month, and the machine itself a day."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, Protocol

from autostop.model import Snapshot, SnapshotState, Volume

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
# USD for each hour and vCPU of a general-purpose instance on demand (m5.xlarge: 0.192 for four).
_VCPU_HOUR: Final = 0.048


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


def cost_running(vcpus: int) -> str:
    """What an instance costs a day while it runs, in words."""
    if not vcpus:
        return "It is billed by the second."
    return f"It costs some ${vcpus * _VCPU_HOUR * 24:.2f} a day, with GPUs several times as much."


def cost_now(volumes: Iterable[Volume], snapshots: Iterable[Snapshot]) -> float:
    """USD a month at most, for what exists now. Snapshots share unchanged blocks, so their real cost is lower."""
    disks = sum(volume_cost(each.type, each.size_gib, each.iops, each.throughput) for each in volumes if each.exists)
    return disks + sum(
        snapshot_cost(each.stored_bytes / _GIB if each.stored_bytes is not None else each.size_gib)
        for each in snapshots
        if each.state is not SnapshotState.ERROR
    )


class Disk(Protocol):
    """What a volume, and the record of one, say of its price."""

    @property
    def type(self) -> str: ...

    @property
    def size_gib(self) -> int: ...

    @property
    def iops(self) -> int | None: ...

    @property
    def throughput(self) -> int | None: ...


def cost_awake(volumes: Iterable[Volume], recorded: Sequence[Disk]) -> float:
    """USD a month for the volumes it has when awake: those there are now, or those that the manifest restores."""
    disks: Sequence[Disk] = [each for each in volumes if each.exists]
    if len(disks) < len(recorded):
        disks = recorded
    return sum(volume_cost(each.type, each.size_gib, each.iops, each.throughput) for each in disks)
