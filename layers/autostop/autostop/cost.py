"""What a workstation's disks and snapshots cost a month, and the machine itself an hour."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Protocol

from autostop.model import Snapshot, SnapshotState, Volume

_GP3_FREE_IOPS, _GP3_FREE_THROUGHPUT = 3000, 125
_GIB: Final = 2**30
_SUFFIXES: Final = {"standard": "", "io1": ".piops"}


@dataclass(frozen=True, slots=True)
class Prices:
    """The list prices of one Region: USD by AWS's usage types, without the Region in front of them.

    `BoxUsage:m5.xlarge` is an hour of Linux on demand; `EBS:VolumeUsage.gp3` a GiB and month, and likewise snapshots,
    IOPS, and GiB/s of throughput. at: when AWS said so; None: never. looked_at: when it was asked last, and types: for
    which instances. otherwise: of a disk that is not in it; None: nobody knows.
    """

    region: str
    at: datetime | None
    usd: Mapping[str, float]
    looked_at: datetime
    types: tuple[str, ...] = ()
    otherwise: float | None = None

    def hour(self, type_: str) -> float:
        """Of an instance on demand; nan when nobody knows."""
        return self.usd.get(f"BoxUsage:{type_}", math.nan)

    def month(self, usage: str) -> float:
        """Of one unit of a disk or snapshot; likewise."""
        return self.usd.get(f"EBS:{usage}", math.nan if self.otherwise is None else self.otherwise)


# AWS's price list files, 2023 to 2026: for who was not asked yet. A first figure, not a bill.
BUILT_IN: Final = Prices(
    "us-east-1",
    None,
    {
        "EBS:VolumeUsage.gp3": 0.08,
        "EBS:VolumeUsage.gp2": 0.10,
        "EBS:VolumeUsage.piops": 0.125,
        "EBS:VolumeUsage.io2": 0.125,
        "EBS:VolumeUsage.st1": 0.045,
        "EBS:VolumeUsage.sc1": 0.015,
        "EBS:VolumeUsage": 0.05,
        "EBS:SnapshotUsage": 0.05,
        "EBS:VolumeP-IOPS.gp3": 0.005,
        "EBS:VolumeP-IOPS.piops": 0.065,
        "EBS:VolumeP-IOPS.io2": 0.065,
        "EBS:VolumeP-Throughput.gp3": 40.96,
    },
    datetime(2026, 1, 19, tzinfo=UTC),
    otherwise=0.10,
)


def volume_cost(type_: str, size_gib: int, iops: int | None, throughput: int | None, by: Prices = BUILT_IN) -> float:
    """USD a month of one volume; throughput in MiB/s. nan when nobody knows."""
    suffix = _SUFFIXES.get(type_, f".{type_}")
    cost = size_gib * by.month(f"VolumeUsage{suffix}")
    if type_ == "gp3":
        cost += _beyond(_GP3_FREE_IOPS, iops, by.month("VolumeP-IOPS.gp3"))
        cost += _beyond(_GP3_FREE_THROUGHPUT, throughput, by.month("VolumeP-Throughput.gp3") / 1024)
    elif type_ in ("io1", "io2"):
        cost += _beyond(0, iops, by.month(f"VolumeP-IOPS{suffix}"))
    return cost


def _beyond(free: int, used: int | None, price: float) -> float:
    """Of nothing, an unknown price is none."""
    return (used - free) * price if used is not None and used > free else 0.0


def snapshot_cost(gib: float, by: Prices = BUILT_IN) -> float:
    """USD a month of one snapshot that holds so many GiB and shares none of them; nan when nobody knows."""
    return gib * by.month("SnapshotUsage")


def usd(cost: float) -> str:
    """An amount in words."""
    return "an unknown price" if math.isnan(cost) else f"${cost:.2f}"


def cost_running(type_: str, by: Prices = BUILT_IN) -> str:
    """What an instance costs a day while it runs, in words."""
    cost = by.hour(type_) * 24
    return "It is billed by the second." if math.isnan(cost) else f"It costs {usd(cost)} a day."


def cost_now(volumes: Iterable[Volume], snapshots: Iterable[Snapshot], by: Prices = BUILT_IN) -> float:
    """USD a month at most, for what exists now: snapshots share unchanged blocks, so their real cost is lower."""
    return cost_awake(volumes, (), by) + sum(
        snapshot_cost(each.stored_bytes / _GIB if each.stored_bytes is not None else each.size_gib, by)
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


def cost_awake(volumes: Iterable[Volume], recorded: Sequence[Disk], by: Prices = BUILT_IN) -> float:
    """USD a month for the volumes it has when awake: those there are now, or those that the manifest restores."""
    disks: Sequence[Disk] = [each for each in volumes if each.exists]
    if len(disks) < len(recorded):
        disks = recorded
    return sum(volume_cost(each.type, each.size_gib, each.iops, each.throughput, by) for each in disks)
