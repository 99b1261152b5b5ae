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
    seen,
    snapshot,
    snapshots,
    volume,
)
from tests.sleep.test_from_tags import LAUNCH, edited, shelved

RESTORED = (restored(ROOT), restored(DATA))


@pytest.mark.parametrize(
    ("what", "expected"),
    [
        pytest.param(seen(instance=instance(InstanceState.RUNNING)), (False, Wanted.RUN, True), id="running"),
        pytest.param(seen(instance=instance(InstanceState.PENDING)), (False, Wanted.RUN, False), id="starting"),
        pytest.param(seen(instance=instance(InstanceState.STOPPING)), (False, Wanted.STOP, False), id="stopping"),
        pytest.param(seen(), (False, Wanted.STOP, True), id="stopped, never shelved"),
        pytest.param(
            seen(volumes=(detached(volume(ROOT)), volume(DATA))),
            (False, Wanted.STOP, True),
            id="stopped, a volume detached by somebody",
        ),
        pytest.param(
            seen(snapshots=snapshots(state=SnapshotState.PENDING)), (True, Wanted.STOP, True), id="snapshots pending"
        ),
        pytest.param(
            seen(snapshots=tuple(replace(each, tags=manifest().set_tags()) for each in snapshots())),
            (False, Wanted.STOP, True),
            id="snapshots begun, without their manifest",
        ),
        pytest.param(seen(snapshots=edited(tags.SIZE, "x")), (False, Wanted.STOP, True), id="damaged, nothing missing"),
        pytest.param(
            seen(volumes=(detached(volume(ROOT)), volume(DATA)), snapshots=snapshots()),
            (True, Wanted.SHELVE, False),
            id="one detached",
        ),
        pytest.param(
            seen(volumes=(detached(volume(ROOT)),), snapshots=snapshots()),
            (True, Wanted.SHELVE, False),
            id="one deleted, one detached",
        ),
        pytest.param(shelved(), (True, Wanted.SHELVE, True), id="shelved"),
        pytest.param(
            shelved(volumes=tuple(gone(each) for each in both())), (True, Wanted.SHELVE, True), id="under deletion"
        ),
        pytest.param(
            shelved(snapshots=snapshots(state=SnapshotState.PENDING)),
            (True, Wanted.SHELVE, False),
            id="volumes gone while the snapshots are pending",
        ),
        pytest.param(seen(volumes=RESTORED[:1], snapshots=snapshots()), (True, Wanted.STOP, True), id="half restored"),
        pytest.param(seen(volumes=RESTORED, snapshots=snapshots()), (True, Wanted.STOP, True), id="restored"),
    ],
)
def test_the_state_is_told_by_what_is(what: Observation, expected: tuple[bool, Wanted, bool]) -> None:
    assert what.instance is not None
    truth = truth_from_tags(what, what.instance)
    assert (truth.manifest is not None, truth.wanted, truth.settled) == expected


@pytest.mark.parametrize(
    ("what", "why"),
    [
        pytest.param(
            shelved(snapshots=(snapshot(ROOT),)), "exist only as snapshots, and cycle 1 is not whole", id="part"
        ),
        pytest.param(
            seen(volumes=(volume(ROOT),), snapshots=edited(tags.SIZE, "x")),
            "/dev/sdf exist only as snapshots, and the tag autostop:size",
            id="damaged, and a volume is gone",
        ),
        pytest.param(seen(volumes=()), "no volume for its root device /dev/xvda", id="nothing at all"),
        pytest.param(
            seen(volumes=(detached(volume(ROOT), VolumeState.ERROR),)),
            "no volume for its root",
            id="a failed root only",
        ),
        pytest.param(seen(instance=instance(InstanceState.TERMINATED)), "terminated", id="terminated"),
    ],
)
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
