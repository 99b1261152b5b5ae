"""When a cycle of shelving begins, with every volume in its place."""

import pytest

from autostop.model import VolumeId
from autostop.sleep.intent import Wanted
from autostop.sleep.next_step import next_step
from autostop.sleep.outcomes import Blocked, Step, Wait
from tests.build import (
    DATA,
    NOW,
    ROOT,
    both,
    detached,
    instance,
    intent,
    manifest,
    minutes,
    record,
    restored,
    seen,
    snapshot,
    snapshots,
    unknown_snapshots,
)
from tests.sleep.expect import (
    ATTACHING,
    LAUNCHED_SINCE,
    ORIGINALS,
    OUTDATED,
    STRANGER,
    TOLD,
    VOL_DATA,
    WHOLE_ROOT,
    Case,
    Says,
    attach_volume,
    both_detached,
    create_volume,
    data,
    held,
    new_cycle,
    root,
    row,
    set_delete_on_termination,
    with_set,
)


@pytest.mark.parametrize("case", [
    row("started and stopped by a person: a new cycle",
        seen(instance=instance(launched_at=NOW - minutes(1)), snapshots=snapshots()), new_cycle(2, ORIGINALS),
        manifest()),
    row("stopped: the manifest first", seen(), new_cycle(1, ORIGINALS)),
    row("manifest of an older stop", seen(snapshots=snapshots(OUTDATED)), new_cycle(2, ORIGINALS), OUTDATED),
    row("an own volume stands detached before the first cycle", seen(volumes=(root(), detached(data()))),
        attach_volume(VOL_DATA, DATA)),
    row("a volume is on its way", seen(volumes=(root(), data(attachment=ATTACHING))), Says(Wait, "attaching")),
    row("no volume and no manifest", seen(volumes=()), Says(Blocked, "no volume")),
    row("no manifest, and the tags tell it: it goes on", with_set(root()), TOLD),
    row("no volume, manifest of an older stop", seen(volumes=(), snapshots=snapshots(OUTDATED)),
        Says(Blocked, "autostop recover"), OUTDATED),
    row("a volume was attached meanwhile: a cycle with it", with_set(*both(), STRANGER),
        new_cycle(2, {**ORIGINALS, "/dev/sdg": "vol-extra"}), manifest()),
    row("launched since: attached again, not deleted", with_set(*both_detached(), instance=LAUNCHED_SINCE),
        attach_volume(VOL_DATA, DATA), manifest()),
    row("launched since, half deleted: nothing is restored by guess",
        with_set(root(), instance=LAUNCHED_SINCE), new_cycle(2, {ROOT: "vol-root"}), manifest()),
    row("half deleted, the snapshot of what is left is lost, restored: a new cycle",
        seen(volumes=(WHOLE_ROOT, data()), snapshots=(snapshot(ROOT),)),
        new_cycle(2, {ROOT: "vol-root-2", DATA: "vol-data"}), manifest()),
    row("half restored by a tap, then shelved again: made whole first", with_set(restored(ROOT)),
        create_volume(manifest(), record(DATA)), manifest()),
    row("restored and never started, then shelved again: a new cycle",
        with_set(WHOLE_ROOT, restored(DATA)),
        new_cycle(2, {ROOT: "vol-root-2", DATA: "vol-data-2"}), manifest()),
    row("restored and never started: delete-on-termination is put back before it is written down",
        with_set(restored(ROOT), restored(DATA)),
        set_delete_on_termination(VolumeId("vol-root-2"), ROOT, delete_on_termination=True), manifest()),
])  # fmt: skip
def test_toward_shelve(case: Case) -> None:
    case.check(Wanted.SHELVE)


def test_a_manifest_says_everything_about_its_volumes() -> None:
    outcome = next_step(seen(), intent(Wanted.SHELVE, number=7), None, NOW)

    assert isinstance(outcome, Step)
    assert held(outcome) == unknown_snapshots(intent=7, written_at=NOW, volumes=(record(DATA), record(ROOT)))
