"""What must not be stopped, what must not be shelved, and what nobody adopted: always with a reason and a remedy."""

from typing import Any

import pytest

from autostop import tags
from autostop.model import SpotKind, Volume
from autostop.sleep.law import why_never_shelve, why_never_stop, why_not_ours
from tests.build import DATA, ID, OURS, both, instance, row, volume


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        row("instance-store root", {"root_is_ebs": False}, "instance store"),
        row("one-time Spot", {"spot": SpotKind.ONE_TIME}, "one-time Spot"),
        row("Auto Scaling", {"tags": {tags.AUTO_SCALING_GROUP: "fleet"}}, "Auto Scaling group fleet"),
        row("hibernation", {"hibernation": True}, "hibernation"),
        row("stop protection", {"stop_protected": True}, "disableApiStop"),
        row("instance-store disks", {"instance_store": True}, "m7g.xlarge has instance-store disks"),
    ],
)
def test_it_is_never_stopped(fields: dict[str, Any], why: str) -> None:
    assert why in (why_never_stop(instance(**fields)) or "")


@pytest.mark.parametrize(
    "fields",
    [
        row("On-Demand", {}),
        row("persistent Spot", {"spot": SpotKind.PERSISTENT}),
        row("marketplace", {"marketplace": True}),
    ],
)
def test_it_may_be_stopped(fields: dict[str, Any]) -> None:
    assert why_never_stop(instance(**fields)) is None


def with_tags(count: int) -> dict[str, str]:
    return {**OURS, tags.DEVICE: DATA, "aws:cloudformation:stack-name": "x", **{f"own-{n}": "" for n in range(count)}}


def test_an_ordinary_workstation_may_be_shelved() -> None:
    assert why_never_shelve(instance(), both()) is None


def test_as_many_own_tags_as_a_snapshot_has_room_for_may_be_shelved() -> None:
    most = volume(DATA, tags=with_tags(tags.MOST_OWN_TAGS))

    assert why_never_shelve(instance(), [most]) is None


def test_a_volume_with_one_tag_too_many_is_never_shelved() -> None:
    too_many = volume(DATA, tags=with_tags(tags.MOST_OWN_TAGS + 1))

    assert "vol-data has more than 31 tags" in (why_never_shelve(instance(), [*both()[:1], too_many]) or "")


def test_the_snapshot_of_a_root_needs_more_room() -> None:
    most, too_many = (volume(tags=with_tags(tags.MOST_OWN_TAGS_OF_ROOT + more)) for more in (0, 1))

    assert why_never_shelve(instance(), [most]) is None
    assert "vol-root has more than 26 tags" in (why_never_shelve(instance(), [too_many]) or "")


def test_as_many_devices_as_one_tag_can_name_may_be_shelved() -> None:
    def disks(count: int) -> list[Volume]:
        return [volume(f"/dev/sd{chr(ord('a') + n // 26)}{chr(ord('a') + n % 26)}") for n in range(count)]

    assert why_never_shelve(instance(), disks(51)) is None
    assert "52 devices do not fit" in (why_never_shelve(instance(), disks(52)) or "")


def test_a_marketplace_root_is_never_shelved() -> None:
    assert "Marketplace" in (why_never_shelve(instance(marketplace=True), both()) or "")


def test_a_volume_of_several_instances_is_never_shelved() -> None:
    shared = [volume(), volume(DATA, multi_attach=True)]

    assert "vol-data can be attached to several" in (why_never_shelve(instance(), shared) or "")


def test_adopted_volumes_are_ours() -> None:
    assert why_not_ours(both(), ID) is None


@pytest.mark.parametrize(
    "own",
    [
        row("no tags", {}),
        row("without the tag that lets us touch it", {tags.WORKSTATION: str(ID)}),
        row("with that tag turned off", {**OURS, tags.AUTOSTOP: "off"}),
        row("of another workstation", {**OURS, tags.WORKSTATION: "i-0def"}),
    ],
)
def test_a_volume_that_nobody_adopted_is_named_with_the_remedy(own: dict[str, str]) -> None:
    reason = why_not_ours([volume(), volume(DATA, tags=own)], ID)

    assert reason == "volume vol-data at /dev/sdf is not adopted. Run `autostop adopt i-0abc` again."
