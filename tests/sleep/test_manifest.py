"""What a manifest remembers, and that the tags of its snapshots remember it too."""

from dataclasses import replace

import pytest

from autostop import tags
from autostop.launch_facts import LaunchFacts
from autostop.model import Snapshot, SnapshotId, Volume
from autostop.sleep.manifest import latest_cycle, write_manifest
from autostop_cli.repair.instance_configuration import read
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
    volume,
)

# As long as AWS lets each be: 16 groups at one interface, 128 characters of a profile's name, 255 of a key's.
LONGEST_FACTS = LaunchFacts(
    type="u7in-32tb.224xlarge",
    subnet="subnet-0123456789abcdef0",
    security_groups=tuple(f"sg-0123456789abcde{n:02x}" for n in range(16)),
    profile="p" * 128,
    key="k" * 255,
    architecture="x86_64_mac",
    boot_mode="uefi-preferred",
    ena=True,
    ebs_optimized=True,
    monitoring=True,
    metadata={
        "HttpTokens": "required", "HttpPutResponseHopLimit": "64", "HttpEndpoint": "disabled",
        "HttpProtocolIpv6": "disabled", "InstanceMetadataTags": "disabled",
    },
)  # fmt: skip


def test_a_detached_volume_is_not_recorded() -> None:
    written = write_manifest(seen(volumes=(volume(ROOT), detached(volume(DATA)))), instance(), 1, NOW)

    assert [each.device for each in written.volumes] == [ROOT]


def test_a_volume_without_performance_settings_is_recorded_without() -> None:
    plain = volume(ROOT, type="standard", iops=None, throughput=None, encrypted=False, kms_key=None)

    written = write_manifest(seen(volumes=(plain,)), instance(), 1, NOW)

    (only,) = written.volumes
    assert (only.iops, only.throughput, only.encrypted, only.kms_key) == (None, None, False, None)
    carried = written.snapshot_tags(only)
    assert {tags.IOPS, tags.THROUGHPUT, tags.KMS_KEY}.isdisjoint(carried)
    assert carried[tags.ENCRYPTED] == "false"


@pytest.mark.parametrize(("stopped_at", "expected"), [
    row("EC2 says when", STOPPED, STOPPED),
    row("EC2 does not say: no earlier than the launch", None, LAUNCHED),
    row("what EC2 says is of an earlier stop", LAUNCHED - minutes(5), LAUNCHED),
])  # fmt: skip
def test_the_last_stop(stopped_at: object, expected: object) -> None:
    assert write_manifest(seen(), instance(stopped_at=stopped_at), 1, NOW).stopped_at == expected


def numbered(thing: Volume | Snapshot, cycle: str) -> dict[str, str]:
    return {**thing.tags, tags.CYCLE: cycle}


@pytest.mark.parametrize(("volume_cycle", "snapshot_cycle", "expected"), [
    row("never shelved", None, None, 0),
    row("restored from cycle 4, whose snapshots are gone", "4", None, 4),
    row("cycle 6 was begun and not restored", "4", "6", 6),
    row("numbers, not words", "10", "9", 10),
    row("damaged tags", "four", "²", 0),
])  # fmt: skip
def test_the_latest_cycle(volume_cycle: str | None, snapshot_cycle: str | None, expected: int) -> None:
    one = volume(ROOT) if volume_cycle is None else volume(ROOT, tags=numbered(volume(ROOT), volume_cycle))
    made = () if snapshot_cycle is None else (snapshot(tags=numbered(snapshot(), snapshot_cycle)),)
    what = seen(volumes=(one,), snapshots=made)

    assert latest_cycle(what) == expected
    assert write_manifest(what, instance(), 1, NOW).cycle == expected + 1


def test_the_tags_of_a_snapshot_say_everything_that_is_needed_to_restore_it() -> None:
    assert manifest().snapshot_tags(record(DATA)) == {
        "Project": "genome", "autostop": "on", "autostop:workstation": "i-0abc", "autostop:cycle": "1",
        "autostop:attempt": "1", "autostop:intent": "1", "autostop:launched-at": "2026-03-02T08:00:00+00:00",
        "autostop:stopped-at": "2026-03-02T18:30:00+00:00", "autostop:written-at": "2026-03-02T18:31:00+00:00",
        "autostop:devices": "sdf xvda", "autostop:device": "/dev/sdf", "autostop:volume": "vol-data",
        "autostop:type": "gp3", "autostop:size": "500", "autostop:iops": "3000", "autostop:throughput": "125",
        "autostop:encrypted": "true", "autostop:kms-key": "arn:aws:kms:eu-west-1:1:key/k",
        "autostop:delete-on-termination": "false", "autostop:zone": "eu-west-1a",
    }  # fmt: skip


def test_a_full_set_of_own_tags_leaves_room_for_ours() -> None:
    full = record(own_tags={f"own-{n}": "x" for n in range(tags.MOST_OWN_TAGS)})

    assert len(manifest().snapshot_tags(full)) == 50


def test_the_longest_description_of_an_instance_has_room_beside_a_full_set_of_own_tags() -> None:
    own = {f"own-{n}": "x" for n in range(tags.MOST_OWN_TAGS_OF_ROOT)}
    launch = LONGEST_FACTS
    there = instance(launch=launch, tags={tags.AUTOSTOP: tags.ON, **{f"mine-{n}": "y" * 99 for n in range(49)}})

    written = write_manifest(seen(volumes=(volume(ROOT, tags={**OURS, **own}), volume(DATA))), there, 1, NOW)

    (root,) = [each for each in written.volumes if each.device == ROOT]
    carried = written.snapshot_tags(root)
    assert len(carried) == 50
    assert all(len(value) <= tags.LONGEST_VALUE and value == value.strip() for value in carried.values())
    assert read(ROOT, carried) == written.launch
    assert written.launch is not None
    assert (written.launch.facts, len(written.launch.tags) + written.launch.left_out) == (launch, 50)
    assert not any(key.startswith(tags.INSTANCE_PIECE) for key in written.snapshot_tags(record(DATA)))


def test_a_restored_volume_is_found_again_by_its_tags() -> None:
    assert manifest().volume_tags(record(DATA)) == {
        "Project": "genome", "autostop": "on", "autostop:workstation": "i-0abc", "autostop:device": "/dev/sdf",
        "autostop:cycle": "1", "autostop:restore": "1",
    }  # fmt: skip
    assert manifest().is_restored(restored(DATA), record(DATA))


def test_a_volume_is_restored_anew_by_another_attempt_and_only_that_one() -> None:
    anew = manifest().restoring_anew(record(DATA), 1)
    assert [each.restore for each in anew.volumes] == [1, 2]
    again = anew.restoring_anew(anew.volumes[1], 1)
    assert [each.restore for each in again.volumes] == [1, 2]
    assert again.volume_tags(again.volumes[1])["autostop:restore"] == "2"
    assert again.snapshot_tags(again.volumes[1]) == manifest().snapshot_tags(record(DATA))


def test_another_attempt_at_the_snapshots_was_not_asked_for_yet() -> None:
    asked = manifest().asking(NOW)
    assert asked.asked_at == NOW
    assert asked.with_snapshots({}).asked_at == NOW
    assert asked.next_attempt(NOW, instance()).asked_at is None


@pytest.mark.parametrize(("each", "from_snapshot"), [
    row("from another snapshot", restored(DATA, snapshot=SnapshotId("snap-x")), "snap-data"),
    row("in another cycle", restored(DATA, of=manifest(cycle=2)), "snap-data"),
    row("without tags", restored(DATA, tags={}), "snap-data"),
    row("for another device", restored(DATA, tags={**restored(DATA).tags, tags.DEVICE: "/dev/sdz"}), "snap-data"),
    row("the volume itself", volume(DATA), "snap-data"),
    row("from nothing, when no snapshot is known", restored(DATA, snapshot=None), None),
])  # fmt: skip
def test_it_is_not_what_was_restored(each: Volume, from_snapshot: str | None) -> None:
    known = record(DATA, snapshot=SnapshotId(from_snapshot) if from_snapshot else None)

    assert not manifest().is_restored(each, known)


def test_another_attempt_describes_the_instance_again_as_when_the_tags_gave_the_manifest_back() -> None:
    there = instance(launch=LONGEST_FACTS)

    again = manifest(launch=None).next_attempt(NOW, there)

    assert again.launch == write_manifest(seen(), there, 1, NOW).launch
    assert again.launch is not None


def test_a_number_that_is_none_of_ours_makes_no_cycle_that_a_tag_cannot_hold() -> None:
    forged = replace(snapshot(DATA), tags={**snapshot(DATA).tags, tags.CYCLE: "9" * 256})
    assert write_manifest(seen(snapshots=(forged,)), instance(), 7, NOW).cycle == 1
