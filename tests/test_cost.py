"""What disks and snapshots cost a month, computed by hand beside it."""

import pytest

from autostop.cost import Prices, cost_awake, cost_now, cost_running, usd, volume_cost
from autostop.model import SnapshotState, VolumeState
from tests.build import DATA, NOW, both, detached, gone, manifest, row, snapshot, snapshots, volume

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


def test_what_aws_tells_takes_the_place_of_what_is_brought_along_and_the_rest_is_unknown() -> None:
    told = {"EBS:VolumeUsage.gp3": 0.1, "BoxUsage:m5.xlarge": 0.23}
    prices = Prices("eu-central-1", NOW, told, NOW)

    assert volume_cost("gp3", 100, 3000, 125, prices) == pytest.approx(10.0)
    assert usd(volume_cost("gp3", 100, 3001, 125, prices)) == "an unknown price"
    assert usd(volume_cost("gp2", 100, None, None, prices)) == "an unknown price"
    assert cost_running("m5.xlarge", prices) == "It costs $5.52 a day."
    assert cost_running("m5.large", prices) == "It is billed by the second."
