"""What the tags say once the table is lost: the same manifest, or a reason, never a guess."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autostop import tags
from autostop.launch_facts import LaunchFacts, LaunchRecord
from autostop.model import Observation, Snapshot, SnapshotId, SnapshotState, VolumeId
from autostop.sleep.from_tags import UnreadableError, devices_only_in_snapshots, manifest_from_tags
from autostop.sleep.manifest import Manifest, write_manifest
from tests.build import (
    DATA,
    LAUNCHED,
    NOW,
    OURS,
    ROOT,
    STOPPED,
    detached,
    instance,
    manifest,
    minutes,
    record,
    restored,
    row,
    seen,
    snapshot,
    snapshots,
    volume,
)

LAUNCH = LaunchRecord(ROOT, LaunchFacts("m7g.xlarge", "subnet-1", ("sg-1",)), {"Name": "lab"})


def shelved(of: Manifest | None = None, **other: Any) -> Observation:
    """Shelved: no volume, and a complete set."""
    return seen(**{"volumes": (), "snapshots": snapshots(of), **other})


def edited(key: str, value: str | None, device: str = DATA) -> tuple[Snapshot, Snapshot]:
    """The set with one tag of one snapshot changed, or taken away."""

    def change(each: Snapshot) -> Snapshot:
        carried = {**each.tags, key: value or ""}
        if value is None:
            del carried[key]
        return replace(each, tags=carried)

    root, data = snapshots()
    return (change(root), data) if device == ROOT else (root, change(data))


def reason(what: Observation) -> str:
    with pytest.raises(UnreadableError) as raised:
        manifest_from_tags(what)
    return str(raised.value)


def test_the_tags_of_a_set_give_back_its_manifest() -> None:
    known = manifest(launch=LAUNCH, intent=7, attempt=2, volumes=(record(DATA), record(ROOT)))

    assert manifest_from_tags(shelved(known)) == replace(known, launch=None)


SIZES = st.integers(1, 65536)
OPTIONAL = st.none() | st.integers(1, 99999)


@given(
    sizes=st.lists(SIZES, min_size=1, max_size=20),
    iops=OPTIONAL,
    throughput=OPTIONAL,
    flag=st.booleans(),
    own=st.dictionaries(st.sampled_from(["Name", "Project", "a b", "ü"]), st.text(max_size=20)),
    key=st.sampled_from([None, "arn:aws:kms:eu-west-1:1:key/k"]),
)
def test_whatever_was_written_down_is_read_again(
    sizes: list[int], iops: int | None, throughput: int | None, flag: bool, own: dict[str, str], key: str | None
) -> None:
    settings = {"iops": iops, "throughput": throughput, "encrypted": key is not None, "kms_key": key}
    settings["delete_on_termination"] = flag
    volumes = tuple(
        volume(f"/dev/sd{chr(ord('a') + n)}", id=VolumeId(f"vol-{n}"), size_gib=size, tags={**own, **OURS}, **settings)
        for n, size in enumerate(sizes)
    )
    there = instance(root_device="/dev/sda", launch=LAUNCH.facts)
    asked = write_manifest(seen(volumes=volumes), there, 3, NOW)
    known = asked.with_snapshots({each.volume: SnapshotId(f"snap-{each.volume}") for each in asked.volumes})
    ids = [each.snapshot or SnapshotId("") for each in known.volumes]
    made = tuple(
        Snapshot(id_, each.volume, SnapshotState.COMPLETED, NOW, each.size_gib, known.snapshot_tags(each))
        for id_, each in zip(ids, known.volumes, strict=True)
    )

    assert manifest_from_tags(seen(instance=there, volumes=(), snapshots=made)) == replace(known, launch=None)


@pytest.mark.parametrize(("key", "value"), [
    *((key, None) for key in (tags.CYCLE, tags.ATTEMPT, tags.INTENT, tags.STOPPED_AT, tags.WRITTEN_AT)),
    *((key, None) for key in (tags.LAUNCHED_AT, tags.DEVICES, tags.DEVICE, tags.VOLUME, tags.TYPE, tags.SIZE)),
    *((key, None) for key in (tags.ENCRYPTED, tags.DELETE_ON_TERMINATION, tags.ZONE)),
    (tags.CYCLE, "one"), (tags.CYCLE, "0"), (tags.CYCLE, "2"), (tags.ATTEMPT, "-1"), (tags.INTENT, "2"),
    (tags.STOPPED_AT, "2026-03-02T18:30:00"), (tags.STOPPED_AT, (LAUNCHED - minutes(1)).isoformat()),
    (tags.WRITTEN_AT, "soon"), (tags.DEVICE, ROOT), (tags.DEVICE, "/dev/sdz"), (tags.DEVICES, "xvda"),
    (tags.DEVICES, "sdf sdf xvda"), (tags.VOLUME, "vol-x"), (tags.SIZE, "499"), (tags.SIZE, "9" * 200),
    (tags.IOPS, "0"), (tags.IOPS, "³"), (tags.THROUGHPUT, "-5"), (tags.ENCRYPTED, "yes"),
    (tags.DELETE_ON_TERMINATION, ""), (tags.ZONE, "eu-west-1b"), (tags.WORKSTATION, "i-0def"), (tags.AUTOSTOP, "off"),
])  # fmt: skip
def test_a_damaged_tag_gives_a_reason(key: str, value: str | None) -> None:
    assert reason(shelved(snapshots=edited(key, value)))


@pytest.mark.parametrize("value", ["nonsense", "2026-03-02T18:30:00", ""])
@pytest.mark.parametrize("key", [tags.STOPPED_AT, tags.WRITTEN_AT, tags.INTENT, tags.DEVICES])
def test_what_all_of_a_set_say_wrongly_gives_a_reason_too(key: str, value: str) -> None:
    wrong = tuple(replace(each, tags={**each.tags, key: value}) for each in snapshots())

    assert reason(shelved(snapshots=wrong))


@pytest.mark.parametrize(("made", "why"), [
    row("none", (), "no snapshot of its last stop"),
    row("one was deleted", (snapshot(ROOT),), "there is no snapshot of sdf"),
    row("twice", (*snapshots(), replace(snapshot(DATA), id=SnapshotId("snap-x"))), "same device"),
    row("older", snapshots(manifest(launched_at=LAUNCHED - minutes(9))), "no snapshot of its last stop"),
    row("begun too early", snapshots(started_at=STOPPED - minutes(1)), "before the instance stopped"),
    row("failed, and no volume", snapshots(state=SnapshotState.ERROR), "is error, and its volume"),
    row("begun, and no manifest on them", tuple(replace(each, tags=manifest().set_tags()) for each in snapshots()),
        "do not carry their manifest"),
    row("without the root", (snapshot(DATA, manifest(volumes=(record(DATA),))),), "no snapshot of the root device"),
    row("the newest cycle is not whole, an older one is",
        (*snapshots(), snapshot(ROOT, manifest(cycle=2), id=SnapshotId("snap-x"))), "cycle 2 is not whole"),
    row("a number that was turned back",
        (*snapshots(manifest(cycle=2)), snapshot(ROOT, id=SnapshotId("snap-x"), started_at=NOW)),
        "older cycle and was begun later"),
])  # fmt: skip
def test_what_is_no_whole_set_gives_a_reason(made: tuple[Snapshot, ...], why: str) -> None:
    assert why in reason(shelved(snapshots=made))


def test_a_failed_snapshot_does_no_harm_while_its_volume_is_there() -> None:
    failed = snapshots(state=SnapshotState.ERROR)

    assert manifest_from_tags(seen(snapshots=failed)) == manifest(volumes=(record(DATA), record(ROOT)))


def test_a_set_that_was_made_twice_has_one_that_carries_the_manifest() -> None:
    double = snapshot(ROOT, id=SnapshotId("snap-double"), tags=manifest().set_tags())

    assert manifest_from_tags(shelved(snapshots=(*snapshots(), double))) == manifest(
        volumes=(record(DATA), record(ROOT))
    )


def test_the_latest_attempt_of_the_latest_cycle_counts() -> None:
    older = tuple(replace(each, id=SnapshotId(f"{each.id}-1")) for each in snapshots(manifest(cycle=2)))
    oldest = tuple(replace(each, id=SnapshotId(f"{each.id}-0")) for each in snapshots(manifest(cycle=1, attempt=3)))
    newest = manifest(cycle=2, attempt=2, volumes=(record(DATA), record(ROOT)))

    assert manifest_from_tags(shelved(snapshots=(*oldest, *snapshots(newest), *older))) == newest


def test_a_backup_that_copies_the_tags_of_a_volume_is_not_taken_for_a_shelving() -> None:
    backup = snapshot(ROOT, id=SnapshotId("snap-backup"), tags=restored(ROOT).tags, started_at=NOW)

    assert manifest_from_tags(shelved(snapshots=(*snapshots(), backup))).cycle == 1


def test_of_an_instance_that_is_gone_the_last_cycle_counts_whatever_its_launch() -> None:
    first, later = manifest(), manifest(cycle=2, launched_at=LAUNCHED + minutes(99), stopped_at=STOPPED + minutes(99))
    old = tuple(replace(each, id=SnapshotId(f"{each.id}-0")) for each in snapshots(first))
    new = snapshots(later, started_at=STOPPED + minutes(100))

    assert manifest_from_tags(seen(instance=None, volumes=(), snapshots=(*new, *old))).cycle == 2


def test_devices_that_are_only_in_snapshots_are_of_this_stop() -> None:
    other = manifest(launched_at=LAUNCHED - timedelta(days=1))

    assert devices_only_in_snapshots(shelved()) == [DATA, ROOT]
    assert devices_only_in_snapshots(shelved(volumes=(volume(ROOT),))) == [DATA]
    assert devices_only_in_snapshots(shelved(volumes=(detached(volume(DATA)), volume(ROOT)))) == []
    assert devices_only_in_snapshots(shelved(other)) == []
