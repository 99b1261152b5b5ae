"""How every volume comes back into its place before a start."""

from dataclasses import replace

import pytest

from autostop import tags
from autostop.model import SnapshotId, SnapshotState, VolumeId, VolumeState
from autostop.sleep.calls import Call
from autostop.sleep.intent import Wanted
from autostop.sleep.next_step import next_step
from autostop.sleep.outcomes import Blocked, Step, Wait
from autostop.sleep.start_attempts import Attempts
from tests.build import (
    DATA,
    NOW,
    OURS,
    ROOT,
    both,
    detached,
    gone,
    instance,
    intent,
    manifest,
    record,
    restored,
    seen,
    snapshot,
    snapshots,
    unknown_snapshots,
)
from tests.sleep.expect import (
    ATTACHING,
    DETACHING,
    ELSEWHERE,
    IN_USE,
    LAUNCHED_SINCE,
    OTHERS,
    OUTDATED,
    STRANGER,
    TOLD,
    UNADOPTED,
    VOL_DATA,
    VOL_ROOT,
    WHOLE_ROOT,
    Case,
    Says,
    attach_volume,
    both_detached,
    create_volume,
    data,
    held,
    makes,
    marked,
    root,
    row,
    set_delete_on_termination,
    start_instance,
    with_set,
)

CREATING = VolumeState.CREATING
ROOT_ALONE = manifest(volumes=(record(ROOT),))
FOREIGN = data(id=VolumeId("vol-foreign"), tags={})


@pytest.mark.parametrize("case", [
    row("detaching: waits", with_set(root(), data(attachment=DETACHING)), Says(Wait, "detaching vol-data"), manifest()),
    row("detached: attach, the root last", with_set(*both_detached()), attach_volume(VOL_DATA, DATA), manifest()),
    row("detached while snapshots are pending: attach",
        seen(volumes=(root(), detached(data())), snapshots=snapshots(state=SnapshotState.PENDING)),
        attach_volume(VOL_DATA, DATA), manifest()),
    row("attaching and detached: attach the other beside it", with_set(detached(root()), data(attachment=ATTACHING)),
        attach_volume(VOL_ROOT, ROOT), manifest()),
    row("all attached but one attaching: waits", with_set(root(), data(attachment=ATTACHING)),
        Says(Wait, "attaching vol-data"), manifest()),
    row("all deleted: restore", with_set(), create_volume(manifest(), record(DATA)), manifest()),
    row("half deleted: restore before the other is attached", with_set(gone(root()), detached(data())),
        create_volume(manifest(), record(ROOT)), manifest()),
    row("half restored: the rest is created beside it", with_set(detached(restored(DATA), CREATING)),
        create_volume(manifest(), record(ROOT)), manifest()),
    row("creating: waits", with_set(WHOLE_ROOT, detached(restored(DATA), CREATING)), Says(Wait, "creating vol-data-2"),
        manifest()),
    row("created: attach", with_set(restored(ROOT), detached(restored(DATA))),
        attach_volume(VolumeId("vol-data-2"), DATA), manifest()),
    row("without our tags it is left where it is", with_set(WHOLE_ROOT, detached(data(tags={"Project": "genome"}))),
        Says(Blocked, "vol-data does not carry this workstation's tags any more"), manifest()),
    row("one that only the tags know, detached before the manifest was written: attach",
        seen(volumes=(WHOLE_ROOT, detached(data())), snapshots=(snapshot(ROOT, ROOT_ALONE),)),
        attach_volume(VOL_DATA, DATA), ROOT_ALONE),
    row("restored and attached: start", with_set(WHOLE_ROOT, restored(DATA)), start_instance(), manifest()),
    row("restored and attached, which reset delete-on-termination: put back", with_set(restored(ROOT), restored(DATA)),
        set_delete_on_termination(VolumeId("vol-root-2"), ROOT, delete_on_termination=True), manifest()),
    row("attached again, which reset delete-on-termination: put back",
        with_set(root(delete_on_termination=False), data()),
        set_delete_on_termination(VOL_ROOT, ROOT, delete_on_termination=True), manifest()),
    row("put back while another is still attaching", with_set(restored(ROOT), restored(DATA, attachment=ATTACHING)),
        set_delete_on_termination(VolumeId("vol-root-2"), ROOT, delete_on_termination=True), manifest()),
    row("put back only after the other is being attached", with_set(restored(ROOT), detached(restored(DATA))),
        attach_volume(VolumeId("vol-data-2"), DATA), manifest()),
    row("still attaching: not yet put back", with_set(restored(ROOT, attachment=ATTACHING), restored(DATA)),
        Says(Wait, "attaching vol-root-2"), manifest()),
    row("the flag of a volume whose manifest is outdated is the owner's",
        seen(volumes=(root(delete_on_termination=False), data()), snapshots=snapshots(OUTDATED)), start_instance(),
        OUTDATED),
    row("one as it was, one restored: start", with_set(root(), restored(DATA)), start_instance(), manifest()),
    row("EBS could not create it: written down", with_set(restored(ROOT), detached(restored(DATA), VolumeState.ERROR)),
        Says(Step, "KMS"), manifest()),
    row("EBS could not create it, and its snapshot is not complete any more",
        seen(volumes=(restored(ROOT), detached(restored(DATA), VolumeState.ERROR)),
            snapshots=marked(SnapshotState.RECOVERABLE)), Says(Blocked, "vol-data-2 of /dev/sdf has failed"),
        manifest()),
    row("one copy failed, another is there: the failed one goes first",
        with_set(restored(ROOT), detached(restored(DATA), VolumeState.ERROR),
            detached(restored(DATA, id=VolumeId("vol-data-3")))), Says(Step, "vol-data-2"), manifest()),
    row("in use, the attachment not listed yet", with_set(root(), detached(data(), IN_USE)),
        Says(Wait, "vol-data is in-use"), manifest()),
    row("attached elsewhere", with_set(root(), data(attached_to=ELSEWHERE)), Says(Blocked, "attached to i-0def"),
        manifest()),
    row("attached at another device", with_set(root(), data(device="/dev/sdz")),
        Says(Blocked, "at /dev/sdz, and not at /dev/sdf"), manifest()),
    row("on its way from another device", with_set(root(), data(device="/dev/sdz", attachment=DETACHING)),
        Says(Wait, "vol-data is in-use"), manifest()),
    row("a foreign volume in its place", with_set(root(), FOREIGN, detached(data())),
        Says(Blocked, "vol-foreign is attached at /dev/sdf, where vol-data was"), manifest()),
    row("a volume restored from another cycle in its place", with_set(root(), restored(DATA, of=manifest(cycle=7))),
        Says(Blocked, "vol-data-2 is attached"), manifest()),
    row("a copy from another snapshot in its place",
        with_set(root(), restored(DATA, snapshot=SnapshotId("snap-other"))), Says(Blocked, "vol-data-2 is attached"),
        manifest()),
    row("a further volume does no harm", with_set(*both(), STRANGER), start_instance(), manifest()),
    row("the snapshot is gone: no empty disk", seen(volumes=(), snapshots=(snapshot(ROOT),)),
        Says(Blocked, "snap-data of /dev/sdf is gone"), manifest()),
    row("the snapshot is not complete", seen(volumes=(), snapshots=marked(SnapshotState.RECOVERING)),
        Says(Blocked, "snap-data of /dev/sdf is recovering"), manifest()),
    row("deleted before there was a snapshot", seen(volumes=(root(),), snapshots=()),
        Says(Blocked, "/dev/sdf is not restored"), unknown_snapshots()),
    row("manifest outdated, nothing left: no older cycle by guess", seen(volumes=(), snapshots=snapshots(OUTDATED)),
        Says(Blocked, "root device /dev/xvda"), OUTDATED),
    row("no manifest, and the tags tell it", with_set(), TOLD),
    row("manifest from a backup, and the tags tell it", with_set(), TOLD, OUTDATED),
    row("no manifest, and the tags tell of more than they can give back",
        seen(volumes=(root(),), snapshots=(snapshot(DATA),)),
        Says(Blocked, "/dev/sdf exist only as snapshots of it. Run `autostop recover")),
    row("no manifest, nothing left, one snapshot", seen(volumes=(), snapshots=(snapshot(),)), Says(Blocked, "recover")),
    row("no manifest, nothing left, no snapshots", seen(volumes=()), Says(Blocked, "root device /dev/xvda")),
    row("manifest outdated, the data volume gone: it runs without, and nothing is restored by guess",
        with_set(root(), instance=LAUNCHED_SINCE), start_instance(), manifest()),
    row("root missing, data there", seen(volumes=(data(),)), Says(Blocked, "root device /dev/xvda")),
    row("no manifest, own volumes detached", seen(volumes=both_detached()), attach_volume(VOL_DATA, DATA)),
    row("no manifest, the root detached", seen(volumes=(detached(root()), data())), attach_volume(VOL_ROOT, ROOT)),
    row("manifest outdated, own volume detached",
        seen(volumes=(root(), detached(data())), snapshots=snapshots(OUTDATED)), attach_volume(VOL_DATA, DATA),
        OUTDATED),
    row("no manifest, a detached volume that is not ours",
        seen(volumes=(root(), detached(UNADOPTED), detached(OTHERS))), start_instance()),
    row("no manifest, a detached volume of another workstation for this device",
        seen(volumes=(root(), replace(detached(data()), tags={**data().tags, tags.WORKSTATION: str(ELSEWHERE)}))),
        start_instance()),
    row("no manifest, a detached volume that is not ours any more",
        seen(volumes=(root(), replace(detached(data()), tags={**data().tags, tags.AUTOSTOP: "off"}))),
        start_instance()),
    row("no manifest, an own volume is deleted", seen(volumes=(root(), gone(data()))), start_instance()),
    row("no manifest, an own volume is being created: waits", seen(volumes=(root(), detached(data(), CREATING))),
        Says(Wait, "creating vol-data")),
    row("no manifest, an own volume is being created, the root is detached: attach it meanwhile",
        seen(volumes=(detached(root()), detached(data(), CREATING))), attach_volume(VOL_ROOT, ROOT)),
    row("no manifest, its device is taken while it is being created",
        seen(volumes=(root(), FOREIGN, detached(data(), CREATING))), start_instance()),
    row("no manifest, own volume detached without its device",
        seen(volumes=(root(), replace(detached(data()), tags=OURS))), start_instance()),
    row("no manifest, its device is taken", seen(volumes=(root(), FOREIGN, detached(data()))), start_instance()),
    row("no manifest, two volumes for one device",
        seen(volumes=(root(), detached(data()), detached(data(id=VolumeId("vol-twin"))))),
        Says(Blocked, "vol-data and vol-twin both belong at /dev/sdf")),
    row("no manifest, attaching", seen(volumes=(root(), data(attachment=ATTACHING))), Says(Wait, "attaching vol-data")),
])  # fmt: skip
def test_toward_run(case: Case) -> None:
    case.check(Wanted.RUN)


def test_a_flag_that_ec2_refuses_holds_up_no_start_and_is_not_forgotten() -> None:
    what = seen(volumes=(restored(ROOT), restored(DATA)), snapshots=snapshots())
    step = makes(next_step(what, intent(Wanted.RUN), manifest(), NOW), Call.SET_DELETE_ON_TERMINATION)
    assert step.refused is not None
    note = step.refused("AWS refused it")
    assert "kept on termination for now: AWS refused it" in note.said
    assert note.manifest is not None
    assert next_step(what, intent(Wanted.RUN), note.manifest, NOW) == start_instance()

    # What EC2 puts off again and again is not waited for either.
    tired = next_step(what, intent(Wanted.RUN), manifest(), NOW, Attempts(errors=3))
    assert held(tired) == note.manifest
    # Should it sleep again before the flag is back, the next cycle knows what it was to be.
    slept = replace(what, instance=instance(launched_at=NOW))
    records = held(next_step(slept, intent(Wanted.SHELVE), note.manifest, NOW)).volumes
    assert {each.device: each.delete_on_termination for each in records} == {ROOT: True, DATA: False}
