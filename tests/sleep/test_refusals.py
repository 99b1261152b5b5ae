"""What must not be stopped, what must not be shelved, and what nobody adopted: always with a reason and a remedy."""

from collections.abc import Sequence
from typing import Any

import pytest

from autostop import tags
from autostop.model import SpotKind, Volume
from autostop.sleep.unsuitable import why_never_shelve, why_never_stop, why_not_ours
from tests.build import DATA, ID, OURS, both, instance, row, volume


@pytest.mark.parametrize(("fields", "why"), [
    row("instance-store root", {"root_is_ebs": False}, "instance store"),
    row("one-time Spot", {"spot": SpotKind.ONE_TIME}, "one-time Spot"),
    row("Auto Scaling", {"tags": {tags.AUTO_SCALING_GROUP: "fleet"}}, "Auto Scaling group fleet"),
    row("managed by a service", {"operator": "eks.amazonaws.com"}, "managed by eks.amazonaws.com, which"),
    row("hibernation", {"hibernation": True}, "hibernation"),
    row("stop protection", {"stop_protected": True}, "disableApiStop"),
    row("instance-store disks", {"instance_store_gb": 250},
        "m7g.xlarge has instance-store disks (250 GB), and a stop empties them. If they hold nothing of worth, say so: "
        "`autostop adopt i-0abc --instance-store-is-scratch`."),
    row("a word that is none", {"instance_store_gb": 250, "tags": {tags.INSTANCE_STORE_IS_SCRATCH: "no"}}, "empties"),
])  # fmt: skip
def test_it_is_never_stopped(fields: dict[str, Any], why: str) -> None:
    assert why in (why_never_stop(instance(**fields)) or "")


@pytest.mark.parametrize("fields", [
    row("On-Demand", {}),
    row("persistent Spot", {"spot": SpotKind.PERSISTENT}),
    row("marketplace", {"marketplace": True}),
    row("scratch", {"instance_store_gb": 250, "tags": {tags.INSTANCE_STORE_IS_SCRATCH: "yes"}}),
    row("scratch, as people type", {"instance_store_gb": 250, "tags": {tags.INSTANCE_STORE_IS_SCRATCH: " Yes"}}),
])  # fmt: skip
def test_it_may_be_stopped(fields: dict[str, Any]) -> None:
    assert why_never_stop(instance(**fields)) is None


def with_tags(count: int) -> dict[str, str]:
    return {**OURS, tags.DEVICE: DATA, "aws:cloudformation:stack-name": "x", **{f"own-{n}": "" for n in range(count)}}


def disks(count: int) -> list[Volume]:
    return [volume(f"/dev/sd{chr(ord('a') + n // 26)}{chr(ord('a') + n % 26)}") for n in range(count)]


MOST, MOST_OF_ROOT = tags.MOST_OWN_TAGS, tags.MOST_OWN_TAGS_OF_ROOT


@pytest.mark.parametrize(("fields", "volumes", "why"), [
    row("an ordinary workstation may be", {}, both(), None),
    row("as many own tags as a snapshot has room for", {}, [volume(DATA, tags=with_tags(MOST))], None),
    row("one more", {}, [volume(), volume(DATA, tags=with_tags(MOST + 1))], "vol-data has more than 31 tags"),
    row("the snapshot of a root needs more room", {}, [volume(tags=with_tags(MOST_OF_ROOT))], None),
    row("and has none for one more", {}, [volume(tags=with_tags(MOST_OF_ROOT + 1))], "vol-root has more than 26 tags"),
    row("as many devices as one tag can name", {}, disks(51), None),
    row("one more device", {}, disks(52), "52 devices do not fit"),
    row("a marketplace root", {"marketplace": True}, both(), "Marketplace"),
    row("managed by a service", {}, [volume(), volume(DATA, operator="eks.amazonaws.com")],
        "vol-data is managed by eks.amazonaws.com, which alone may delete it"),
    row("of several instances", {}, [volume(), volume(DATA, multi_attach=True)], "vol-data can be attached to several"),
])  # fmt: skip
def test_what_is_never_shelved(fields: dict[str, Any], volumes: Sequence[Volume], why: str | None) -> None:
    reason = why_never_shelve(instance(**fields), volumes)

    assert reason is None if why is None else why in (reason or "")


@pytest.mark.parametrize("own", [
    row("no tags", {}),
    row("without the tag that lets us touch it", {tags.WORKSTATION: str(ID)}),
    row("with that tag turned off", {**OURS, tags.AUTOSTOP: "off"}),
    row("of another workstation", {**OURS, tags.WORKSTATION: "i-0def"}),
])  # fmt: skip
def test_a_volume_that_nobody_adopted_is_named_with_the_remedy(own: dict[str, str]) -> None:
    reason = why_not_ours([volume(), volume(DATA, tags=own)], ID)

    assert reason == "volume vol-data at /dev/sdf is not adopted. Run `autostop adopt i-0abc` again."
