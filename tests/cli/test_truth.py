"""What the table should say of a workstation, from its tags: the state that it is in, or a reason, never a guess."""

from dataclasses import replace

import pytest

from autostop import tags
from autostop.model import InstanceState, Observation, SnapshotState, VolumeState
from autostop.sleep.from_tags import UnreadableError
from autostop.sleep.intent import Wanted
from autostop_cli.repair.recover import latest_intent, truth_from_tags
from tests.build import (
    DATA,
    ROOT,
    both,
    detached,
    gone,
    instance,
    manifest,
    restored,
    row,
    seen,
    snapshot,
    snapshots,
    volume,
)
from tests.sleep.test_from_tags import LAUNCH, edited, shelved

RESTORED = (restored(ROOT), restored(DATA))


@pytest.mark.parametrize(("what", "expected"), [
    row("running", seen(instance=instance(InstanceState.RUNNING)), (False, Wanted.RUN, True)),
    row("starting", seen(instance=instance(InstanceState.PENDING)), (False, Wanted.RUN, False)),
    row("stopping", seen(instance=instance(InstanceState.STOPPING)), (False, Wanted.STOP, False)),
    row("stopped, never shelved", seen(), (False, Wanted.STOP, True)),
    row("stopped, a volume detached by somebody", seen(volumes=(detached(volume(ROOT)), volume(DATA))),
        (False, Wanted.STOP, True)),
    row("snapshots pending", seen(snapshots=snapshots(state=SnapshotState.PENDING)), (True, Wanted.STOP, True)),
    row("snapshots begun, without their manifest",
        seen(snapshots=tuple(replace(each, tags=manifest().set_tags()) for each in snapshots())),
        (False, Wanted.STOP, True)),
    row("damaged, nothing missing", seen(snapshots=edited(tags.SIZE, "x")), (False, Wanted.STOP, True)),
    row("one detached", seen(volumes=(detached(volume(ROOT)), volume(DATA)), snapshots=snapshots()),
        (True, Wanted.SHELVE, False)),
    row("one deleted, one detached", seen(volumes=(detached(volume(ROOT)),), snapshots=snapshots()),
        (True, Wanted.SHELVE, False)),
    row("shelved", shelved(), (True, Wanted.SHELVE, True)),
    row("under deletion", shelved(volumes=tuple(gone(each) for each in both())), (True, Wanted.SHELVE, True)),
    row("volumes gone while the snapshots are pending", shelved(snapshots=snapshots(state=SnapshotState.PENDING)),
        (True, Wanted.SHELVE, False)),
    row("half restored", seen(volumes=RESTORED[:1], snapshots=snapshots()), (True, Wanted.STOP, True)),
    row("restored", seen(volumes=RESTORED, snapshots=snapshots()), (True, Wanted.STOP, True)),
])  # fmt: skip
def test_the_state_is_told_by_what_is(what: Observation, expected: tuple[bool, Wanted, bool]) -> None:
    assert what.instance is not None
    truth = truth_from_tags(what, what.instance)
    assert (truth.manifest is not None, truth.wanted, truth.settled) == expected


@pytest.mark.parametrize(("what", "why"), [
    row("part", shelved(snapshots=(snapshot(ROOT),)), "exist only as snapshots, and cycle 1 is not whole"),
    row("damaged, and a volume is gone", seen(volumes=(volume(ROOT),), snapshots=edited(tags.SIZE, "x")),
        "/dev/sdf exist only as snapshots, and the tag autostop:size"),
    row("nothing at all", seen(volumes=()), "no volume for its root device /dev/xvda"),
    row("a failed root only", seen(volumes=(detached(volume(ROOT), VolumeState.ERROR),)), "no volume for its root"),
    row("terminated", seen(instance=instance(InstanceState.TERMINATED)), "terminated"),
])  # fmt: skip
def test_what_the_tags_do_not_tell_gives_a_reason(what: Observation, why: str) -> None:
    assert what.instance is not None
    with pytest.raises(UnreadableError, match=why):
        truth_from_tags(what, what.instance)


@pytest.mark.parametrize(("damaged", "launch"), [("none", LAUNCH), ("instance-1", None)])
def test_a_description_of_the_instance_that_is_damaged_is_left_out(damaged: str, launch: object) -> None:
    made = tuple(
        replace(each, tags={key: value for key, value in each.tags.items() if damaged not in key})
        for each in snapshots(manifest(launch=LAUNCH))
    )

    truth = truth_from_tags(shelved(snapshots=made), instance())

    assert truth.manifest is not None
    assert truth.manifest.launch == launch


def test_numbers_go_on_above_what_the_tags_say() -> None:
    assert latest_intent(seen()) == 0
    assert latest_intent(shelved(manifest(intent=12))) == 12
    assert latest_intent(shelved(snapshots=edited(tags.INTENT, "many"))) == 1
