"""What disks and snapshots cost a month, computed by hand beside it."""

import pytest

from autostop.cost import cost_awake, cost_now, volume_cost
from autostop.model import SnapshotState, VolumeState
from tests.build import DATA, both, detached, gone, manifest, row, snapshot, snapshots, volume

AWAKE = 50 * 0.08 + 500 * 0.08


@pytest.mark.parametrize(("type_", "size_gib", "iops", "throughput", "usd"), [
    row("gp3 with what is included", "gp3", 100, 3000, 125, 8.0),
    row("gp3, nothing said", "gp3", 100, None, None, 8.0),
    row("gp3, 1000 IOPS more", "gp3", 100, 4000, 125, 13.0),
    row("gp3, 100 MiB/s more", "gp3", 100, 3000, 225, 12.0),
    row("gp2, whose IOPS are free", "gp2", 100, 300, None, 10.0),
    row("io2", "io2", 100, 1000, None, 77.5),
    row("io1", "io1", 100, 1000, None, 77.5),
    row("st1", "st1", 1000, None, None, 45.0),
    row("a type that is not known yet", "gp9", 100, None, None, 10.0),
])  # fmt: skip
def test_a_volume(type_: str, size_gib: int, iops: int | None, throughput: int | None, usd: float) -> None:
    assert volume_cost(type_, size_gib, iops, throughput) == pytest.approx(usd)


def test_now_counts_what_exists() -> None:
    deleted = volume("/dev/sdg", state=VolumeState.DELETED)
    made = (snapshot(stored_bytes=10 * 2**30), snapshot(DATA), snapshot(state=SnapshotState.ERROR))

    assert cost_now([*both(), deleted, gone(volume())], made) == pytest.approx(AWAKE + 10 * 0.05 + 500 * 0.05)


def test_an_empty_snapshot_costs_nothing() -> None:
    assert cost_now([], [snapshot(stored_bytes=0)]) == 0


def test_awake_counts_the_volumes_that_there_are() -> None:
    assert cost_awake(both(), ()) == pytest.approx(AWAKE)
    assert cost_awake([volume("/dev/sdg", size_gib=1000)] * 3, manifest().volumes) == pytest.approx(240.0)


def test_awake_counts_what_the_manifest_restores_while_shelved() -> None:
    assert cost_awake([], manifest().volumes) == pytest.approx(AWAKE)
    assert cost_awake([detached(volume())], manifest().volumes) == pytest.approx(AWAKE)
    assert cost_awake([], ()) == 0


def test_shelved_is_cheaper_than_awake() -> None:
    assert cost_now([], snapshots()) < cost_awake([], manifest().volumes)
