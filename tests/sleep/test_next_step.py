"""Whether anything is done at all, whether it may, and how it is started and stopped."""

from dataclasses import replace

import pytest

from autostop import tags
from autostop.model import LISTS_LAG_FOR, InstanceState, Observation, SnapshotState, SpotKind
from autostop.sleep.intent import By, Wanted
from autostop.sleep.next_step import next_step
from autostop.sleep.outcomes import Blocked, Settled, Step, Wait
from autostop.sleep.undo_of_a_stop import UNDO_FOR
from tests.build import (
    DATA,
    ID,
    NOW,
    STOPPED,
    both,
    instance,
    intent,
    manifest,
    minutes,
    restored,
    seen,
    snapshots,
    unknown_snapshots,
)
from tests.sleep.expect import (
    OTHERS,
    OUTDATED,
    PENDING,
    RUNNING,
    SECOND,
    STRANGER,
    UNADOPTED,
    WHOLE_ROOT,
    Case,
    Says,
    data,
    makes,
    marked,
    root,
    row,
    start_instance,
    stop_instance,
    with_set,
)

STOPPING = InstanceState.STOPPING


@pytest.mark.parametrize("case", [
    row("running: asked to stop", seen(instance=instance(RUNNING)), stop_instance()),
    row("its owner has a moment to turn it back", seen(instance=instance(RUNNING)),
        Wait("its owner may still turn the stop back", SECOND), now=STOPPED + UNDO_FOR - SECOND),
    row("and no more", seen(instance=instance(RUNNING)), stop_instance(), now=STOPPED + UNDO_FOR),
    row("pending: waits", seen(instance=instance(PENDING, launched_at=NOW)), Says(Wait, "starting")),
    row("pending for half an hour: a person has to look",
        seen(instance=instance(PENDING, launched_at=NOW - minutes(31))), Says(Blocked, "starting it for over 30 min")),
    row("stopping: waits", seen(instance=instance(STOPPING)), Says(Wait, "stopping")),
    row("stopping for half an hour: a person has to look",
        seen(instance=instance(STOPPING, stopped_at=NOW - minutes(31))), Says(Blocked, "Stop it by force")),
    row("stopped: settled", seen(), Settled()),
    row("volumes elsewhere do not matter", seen(volumes=()), Settled()),
    row("one-time Spot", seen(instance=instance(RUNNING, spot=SpotKind.ONE_TIME)), Says(Blocked, "one-time Spot")),
    row("persistent Spot", seen(instance=instance(RUNNING, spot=SpotKind.PERSISTENT)), stop_instance()),
    row("hibernation", seen(instance=instance(RUNNING, hibernation=True)), Says(Blocked, "hibernation")),
    row("stop protection", seen(instance=instance(RUNNING, stop_protected=True)), Says(Blocked, "stop protection")),
    row("marketplace is stopped", seen(instance=instance(RUNNING, marketplace=True)), stop_instance()),
])  # fmt: skip
def test_toward_stop(case: Case) -> None:
    case.check(Wanted.STOP)


@pytest.mark.parametrize("case", [
    row("running: asked to stop", seen(instance=instance(RUNNING)), stop_instance()),
    row("pending: waits", seen(instance=instance(PENDING, launched_at=NOW)), Says(Wait, "starting")),
    row("stopping: waits", seen(instance=instance(STOPPING)), Says(Wait, "stopping")),
    row("stop protection", seen(instance=instance(RUNNING, stop_protected=True)), Says(Blocked, "stop protection")),
    row("one-time Spot", seen(instance=instance(RUNNING, spot=SpotKind.ONE_TIME)), Says(Blocked, "one-time Spot")),
    row("Spot is stopped", seen(instance=instance(RUNNING, spot=SpotKind.PERSISTENT)), stop_instance()),
    row("Spot is not shelved", seen(instance=instance(spot=SpotKind.PERSISTENT)), Says(Settled, "Spot")),
    row("Spot with a marketplace root is stopped all the same",
        seen(instance=instance(RUNNING, spot=SpotKind.PERSISTENT, marketplace=True)), stop_instance()),
    row("marketplace: only stopped", seen(instance=instance(RUNNING, marketplace=True)), stop_instance()),
    row("marketplace, found stopped", seen(instance=instance(marketplace=True)), Says(Blocked, "Marketplace")),
    row("multi-attach: only stopped", seen(instance=instance(RUNNING), volumes=(root(), data(multi_attach=True))),
        stop_instance()),
    row("multi-attach, found stopped", seen(volumes=both(multi_attach=True)), Says(Blocked, "multi-attach")),
    row("hibernated in the console", seen(instance=instance(hibernation=True)), Says(Blocked, "hibernation")),
    row("set aside by its Auto Scaling group",
        seen(instance=instance(tags={tags.AUTOSTOP: tags.ON, tags.AUTO_SCALING_GROUP: "fleet"})),
        Says(Blocked, "fleet")),
    row("a volume that nobody adopted", seen(volumes=(root(), UNADOPTED)),
        Says(Blocked, "vol-data at /dev/sdf is not")),
    row("a volume of another workstation", seen(volumes=(root(), OTHERS)), Says(Blocked, "not adopted")),
    row("started by a person since it was seen stopped: yields", seen(instance=instance(RUNNING, launched_at=NOW)),
        Says(Step, "started outside Autostop"), manifest()),
    row("started before this intent: no reason to yield", seen(instance=instance(RUNNING, launched_at=NOW)),
        stop_instance(), manifest(intent=0)),
    row("running on as before: no reason to yield", seen(instance=instance(RUNNING)), stop_instance(), manifest()),
    row("a person's start is not yielded to before it runs", seen(instance=instance(PENDING, launched_at=NOW)),
        Says(Wait, "starting"), manifest()),
    row("a volume that nobody adopted was attached meanwhile", with_set(*both(), replace(STRANGER, tags={})),
        Says(Blocked, "vol-extra at /dev/sdg is not adopted"), manifest()),
])  # fmt: skip
def test_toward_shelve(case: Case) -> None:
    case.check(Wanted.SHELVE)


@pytest.mark.parametrize("case", [
    row("pending: waits", seen(instance=instance(PENDING, launched_at=NOW)), Says(Wait, "starting")),
    row("stopping: waits, then starts", seen(instance=instance(STOPPING)), Says(Wait, "right after")),
    row("stopped, all attached, never shelved", seen(), start_instance()),
    row("stopped, all attached, manifest outdated", seen(snapshots=snapshots(OUTDATED)), start_instance(), OUTDATED),
    row("manifest written, no snapshots yet: just start", seen(), start_instance(), unknown_snapshots()),
    row("snapshots pending: just start", seen(snapshots=snapshots(state=SnapshotState.PENDING)), start_instance(),
        manifest()),
    row("snapshots failed: just start", seen(snapshots=marked(SnapshotState.ERROR)), start_instance(), manifest()),
    row("snapshots lost, volumes there: just start", seen(), start_instance(), manifest()),
    row("one was detached a moment ago, and the lists show both attached: wait", with_set(*both()),
        Says(Wait, "may not show yet what was detached"),
        manifest(detached_at=NOW - LISTS_LAG_FOR + SECOND)),
    row("one was detached long ago, and attached again: start", with_set(*both()), start_instance(),
        manifest(detached_at=NOW - LISTS_LAG_FOR)),
    row("both were detached a moment ago, deleted and restored: start", with_set(WHOLE_ROOT, restored(DATA)),
        start_instance(), manifest(detached_at=NOW)),
    row("detached a moment ago for a stop before the last start: start",
        seen(volumes=both(), snapshots=snapshots(OUTDATED)), start_instance(), replace(OUTDATED, detached_at=NOW)),
])  # fmt: skip
def test_toward_run(case: Case) -> None:
    case.check(Wanted.RUN)


@pytest.mark.parametrize("wanted", Wanted)
@pytest.mark.parametrize("what", [
    pytest.param(seen(instance=None, volumes=()), id="not found"),
    pytest.param(seen(instance=instance(InstanceState.TERMINATED)), id="terminated"),
    pytest.param(seen(instance=instance(InstanceState.SHUTTING_DOWN)), id="shutting down"),
])  # fmt: skip
def test_nothing_is_done_for_an_instance_that_is_no_more(wanted: Wanted, what: Observation) -> None:
    assert next_step(what, intent(wanted), manifest(), NOW) == Says(Blocked, f"{ID} is terminated or not there")


@pytest.mark.parametrize("wanted", Wanted)
@pytest.mark.parametrize("state", InstanceState)
def test_a_settled_intent_is_history(wanted: Wanted, state: InstanceState) -> None:
    settled = intent(wanted, settled_at=NOW)

    outcome = next_step(seen(instance=instance(state)), settled, manifest(), NOW)

    assert outcome == Settled()


def test_a_person_who_starts_it_is_who_wanted_it() -> None:
    started = seen(instance=instance(RUNNING, launched_at=NOW))

    outcome = next_step(started, intent(Wanted.SHELVE), manifest(), NOW)

    note = makes(outcome, None).first
    assert note is not None
    assert note.intent is not None
    assert (note.intent.wanted, note.intent.by) == (Wanted.RUN, By.FOUND)


@pytest.mark.parametrize("wanted", Wanted)
@pytest.mark.parametrize("state", [InstanceState.RUNNING, InstanceState.STOPPED])
@pytest.mark.parametrize("own", [{}, {tags.AUTOSTOP: "off"}], ids=["no tag", "turned off"])
def test_nothing_is_done_for_an_instance_that_lost_its_tag(
    wanted: Wanted, state: InstanceState, own: dict[str, str]
) -> None:
    what = seen(instance=instance(state, tags=own))

    assert next_step(what, intent(wanted), None, NOW) == Says(Blocked, "does not carry the tag")
