"""Each row: what is left, and what becomes of it once the intent has settled."""

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from autostop import tags
from autostop.aws.codec import to_plain
from autostop.model import (
    LISTS_LAG_FOR,
    Checks,
    InstanceState,
    Jupyter,
    Observation,
    SnapshotId,
    SnapshotState,
    VolumeId,
)
from autostop.sleep.calls import Call
from autostop.sleep.housekeeping import after_round, begin, next_chore
from autostop.sleep.intent import Wanted
from autostop.sleep.leftovers import MOST_LEFT, Housekeeping, in_words
from autostop.sleep.manifest import Manifest
from autostop.sleep.outcomes import Situation
from autostop.sleep.start_attempts import NO_ATTEMPTS, AskedStart
from tests.build import (
    DATA,
    NOW,
    OURS,
    ROOT,
    detached,
    instance,
    intent,
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
from tests.sleep.expect import Does, delete_failed_snapshot, delete_snapshot, note_type, tag_snapshot

HOUR = timedelta(hours=1)
STARTED = NOW - minutes(3)
SECOND_CYCLE = manifest(cycle=2)
OLD = snapshot(DATA, of=manifest(cycle=1), id=SnapshotId("snap-old"), stored_bytes=80 * 2**30)
FAILED = snapshot(DATA, id=SnapshotId("snap-failed"), state=SnapshotState.ERROR)
PLACES = (restored(ROOT, of=SECOND_CYCLE), restored(DATA, of=SECOND_CYCLE))
COPY = detached(replace(PLACES[1], id=VolumeId("vol-copy")))
OURS_STARTED = tuple(volume.id for volume in PLACES)
RETIRED = delete_snapshot("snap-old", 1)
REFUSAL = "AWS refused DeleteSnapshot (InvalidSnapshot.InUse): it is in use by ami-1"


def up(since_start: timedelta = NOW - STARTED, **other: Any) -> Observation:
    """Running and ready, started from cycle 2, a snapshot of cycle 1 left."""
    fields: dict[str, Any] = {
        "instance": instance(InstanceState.RUNNING, launched_at=NOW - since_start),
        "volumes": PLACES, "snapshots": (OLD, *snapshots(SECOND_CYCLE)), "jupyter": Jupyter.SERVES,
    }  # fmt: skip
    return seen(**{**fields, **other})


def at(what: Observation, now: Any = NOW, known: Manifest | None = SECOND_CYCLE) -> Situation:
    assert what.instance is not None
    return Situation(what, what.instance, intent(Wanted.RUN), known, NO_ATTEMPTS, now)


def house(**other: Any) -> Housekeeping:
    return replace(Housekeeping(NOW, OURS_STARTED, launched_at=STARTED), **other)


@pytest.mark.parametrize(("what", "expected"), [
    row("an older cycle is retired", up(), RETIRED),
    row("not ready: it is kept", up(checks=Checks.INITIALIZING), None),
    row("checks impaired: it is kept", up(checks=Checks.IMPAIRED), None),
    row("Jupyter silent: it is kept", up(jupyter=Jupyter.SILENT), None),
    row("no Jupyter yet: it is kept", up(jupyter=Jupyter.NO_SERVER), None),
    row("no Jupyter in time: it is retired", up(minutes(10), jupyter=Jupyter.NO_SERVER), RETIRED),
    row("started from the volumes that the later cycle was made of", up(volumes=seen().volumes), RETIRED),
    row("started from others: it is kept",
        up(volumes=(PLACES[0], volume(DATA, id=VolumeId("vol-other")))), None),
    row("asleep: it is kept", up(instance=instance(), volumes=()), None),
    row("a snapshot that failed goes whatever Jupyter says",
        up(snapshots=(FAILED, *snapshots(SECOND_CYCLE)), jupyter=Jupyter.SILENT),
        delete_failed_snapshot("snap-failed")),
    row("and while it is asleep", up(instance=instance(), volumes=(), snapshots=(FAILED, *snapshots(SECOND_CYCLE))),
        delete_failed_snapshot("snap-failed")),
    row("a note on its type that holds no more is taken back", up(snapshots=(), instance=instance(
        InstanceState.RUNNING, launched_at=STARTED, tags={**OURS, tags.INSTANCE_TYPE: "m7g.xlarge c7g.xlarge"})),
        note_type("")),
    row("one that holds stays", up(snapshots=(), instance=instance(
        InstanceState.RUNNING, launched_at=STARTED, tags={**OURS, tags.INSTANCE_TYPE: "c7g.xlarge m7g.xlarge"})), None),
    row("a second copy of a volume goes", up(snapshots=snapshots(SECOND_CYCLE), volumes=(*PLACES, COPY)),
        Does(Call.DELETE_VOLUME, "vol-copy")),
    row("later it may have been used",
        up(minutes(21), snapshots=snapshots(SECOND_CYCLE), volumes=(*PLACES, COPY)), None),
    row("the copy is what was started from, and another was put in its place",
        up(snapshots=snapshots(SECOND_CYCLE), volumes=(PLACES[0], replace(PLACES[1], id=VolumeId("vol-other")),
                                                       detached(PLACES[1]))), None),
    row("a new volume was put into its place: what it was started from before holds what was written since",
        up(snapshots=snapshots(SECOND_CYCLE), volumes=(PLACES[0], volume(DATA, id=OURS_STARTED[1]), COPY)), None),
    row("without its snapshot it stays",
        up(snapshots=snapshots(SECOND_CYCLE)[:1], volumes=(*PLACES, COPY)), None),
])  # fmt: skip
def test_what_is_tidied_up(what: Observation, expected: Does | None) -> None:
    assert next_chore(at(what), house()) == expected


@pytest.mark.parametrize("known", [
    row("it was attached at the start", house(started_with=(*OURS_STARTED, COPY.id))),
    row("a start of others", house(started_with=())),
    row("a start in the console, before which it may have been in use", house(launched_at=STARTED - minutes(20))),
])  # fmt: skip
def test_no_copy_goes_that_may_hold_what_nothing_else_does(known: Housekeeping) -> None:
    what = up(snapshots=snapshots(SECOND_CYCLE), volumes=(*PLACES, COPY))
    assert next_chore(at(what), known) is None


def test_what_aws_refuses_is_left_over_with_its_cost_and_tried_again_at_leisure() -> None:
    step = next_chore(at(up()), house())
    assert step is not None
    assert step.refused is not None
    left = step.refused(REFUSAL).housekeeping
    assert left is not None
    assert next_chore(at(up()), left) is None
    after = after_round(at(up()), left)
    assert after is not None
    [leftover] = after.leftovers
    assert (leftover.id, leftover.since, round(leftover.usd_a_month or 0, 2)) == ("snap-old", NOW, 4.0)
    assert in_words([leftover]) == f"snap-old stays: {REFUSAL}. It costs at most $4.00 a month."
    assert after.due_at == NOW + LISTS_LAG_FOR

    # It stays one since the same moment, over nights too.
    asleep = after_round(at(up(instance=instance(), volumes=()), NOW + 6 * HOUR), after)
    assert asleep is not None
    assert asleep.leftovers == after.leftovers
    again = next_chore(at(up(), NOW + 12 * HOUR), asleep)
    assert again is not None
    assert again.refused is not None
    later = again.refused(REFUSAL).housekeeping
    assert later is not None
    assert later.leftovers[0].since == NOW


def test_what_stays_is_looked_at_ever_more_seldom() -> None:
    waits, left = [], house()
    for _ in range(9):
        after = after_round(at(up(jupyter=Jupyter.SILENT)), left)
        assert after is not None
        waits.append((after.due_at - NOW) / minutes(1))
        left = after
    assert waits == [5, 10, 20, 40, 80, 160, 320, 360, 360]


def test_what_is_gone_is_left_over_no_more() -> None:
    left = house().keeping("snap-old", REFUSAL, 4.0, NOW - 7 * HOUR)
    after = after_round(at(up(snapshots=snapshots(SECOND_CYCLE))), left)
    assert after is not None
    assert after.leftovers == ()


def test_what_waits_for_a_start_that_works_is_looked_at_again() -> None:
    after = after_round(at(up(jupyter=Jupyter.SILENT)), house())
    assert after is not None
    assert [(each.id, round(each.usd_a_month or 0, 2)) for each in after.leftovers] == [("snap-old", 4.0)]
    assert after.due_at == NOW + LISTS_LAG_FOR
    assert next_chore(at(up(), NOW + LISTS_LAG_FOR), after) == RETIRED


def test_what_the_law_keeps_of_older_cycles_is_told_too() -> None:
    """A volume that is neither the one of the later cycle nor was restored from it proves nothing."""
    after = after_round(at(up(volumes=(PLACES[0], volume(DATA, id=VolumeId("vol-other"))))), house())
    assert after is not None
    [leftover] = after.leftovers
    assert leftover.why == "the instance was not started from cycle 2"


def test_after_a_start_it_looks_twice_for_what_lists_show_late() -> None:
    first = after_round(at(up(snapshots=snapshots(SECOND_CYCLE))), house())
    assert first is not None
    assert first.due_at == NOW + LISTS_LAG_FOR
    assert after_round(at(up(snapshots=snapshots(SECOND_CYCLE))), first) is None


def test_a_look_that_still_shows_the_state_before_is_no_round() -> None:
    starting = up(instance=instance(InstanceState.PENDING, launched_at=STARTED), volumes=(*PLACES, COPY))

    later = after_round(at(starting), house())

    assert later == house(due_at=NOW + LISTS_LAG_FOR)
    ready = up(snapshots=snapshots(SECOND_CYCLE), volumes=(*PLACES, COPY))
    assert next_chore(at(ready), later) == Does(Call.DELETE_VOLUME, "vol-copy")


def test_what_stays_without_its_device_is_named_while_its_volume_tells_it() -> None:
    unnamed = {key: value for key, value in OLD.tags.items() if key != tags.DEVICE}
    there = up(snapshots=(replace(OLD, tags=unnamed), *snapshots(SECOND_CYCLE)))
    deletes = next_chore(at(there), house())
    assert deletes == RETIRED
    assert deletes is not None
    assert deletes.refused is not None
    stays = deletes.refused(REFUSAL).housekeeping
    assert stays is not None

    named = next_chore(at(there), stays)

    assert named == tag_snapshot("snap-old", {tags.DEVICE: DATA})
    assert next_chore(at(up()), stays) is None
    double = replace(OLD, tags={**unnamed, tags.CYCLE: "2", tags.LAUNCHED_AT: SECOND_CYCLE.launched_at.isoformat()})
    assert next_chore(at(up(snapshots=(double, *snapshots(SECOND_CYCLE)))), stays) is None


def test_an_intent_that_settles_leaves_to_be_tidied_up_what_there_is() -> None:
    asleep = seen(volumes=(), snapshots=snapshots(SECOND_CYCLE))
    assert begin(at(asleep), None) is None
    assert begin(at(replace(asleep, snapshots=(FAILED, *asleep.snapshots))), None) is not None

    started = replace(NO_ATTEMPTS, start=AskedStart(NOW, SECOND_CYCLE.launched_at, volumes=OURS_STARTED))
    before = house().keeping("snap-old", REFUSAL, 4.0, NOW)
    new = begin(replace(at(up()), attempts=started), before)
    assert new == Housekeeping(NOW, OURS_STARTED, before.leftovers, launched_at=STARTED)

    # A later start of the same volumes proves nothing: what stands detached may have been written to before it.
    later = replace(NO_ATTEMPTS, start=AskedStart(NOW, STARTED, volumes=OURS_STARTED))
    assert begin(replace(at(up()), attempts=later), before) == replace(new, started_with=())


def test_no_record_but_the_manifests_makes_a_copy() -> None:
    other = manifest(cycle=2, volumes=(record(ROOT),))
    assert next_chore(at(up(snapshots=(), volumes=(*PLACES, COPY)), known=other), house()) is None


def test_what_may_never_be_deleted_outgrows_no_item_of_the_table() -> None:
    many = [replace(OLD, id=SnapshotId(f"snap-{number:017x}")) for number in range(200)]
    what, left, tries = up(snapshots=(*many, *snapshots(SECOND_CYCLE))), house(), 0
    while (step := next_chore(at(what), left)) is not None:
        assert step.refused is not None
        left = step.refused("AWS refused it: " + "because " * 200).housekeeping or left
        tries += 1
    assert tries == len(left.leftovers) == MOST_LEFT
    assert len(json.dumps(to_plain(left))) < 40_000
    # The next round tries those again, and no others.
    left, tries = after_round(at(what), left) or left, 0
    while (step := next_chore(at(what), left)) is not None:
        assert step.refused is not None
        left, tries = step.refused("AWS refused it").housekeeping or left, tries + 1
    assert tries == MOST_LEFT


def test_what_is_done_is_not_done_again_in_the_same_round() -> None:
    step = next_chore(at(up()), house())
    assert step is not None
    assert step.then is not None
    done = step.then(None).housekeeping
    assert done is not None
    assert next_chore(at(up()), done) is None
    after = after_round(at(up()), done)
    assert after is not None
    assert next_chore(at(up(), NOW + LISTS_LAG_FOR), after) == RETIRED


def test_a_flag_that_was_refused_before_the_start_is_set_again_later() -> None:
    kept = replace(PLACES[0], delete_on_termination=False)
    what, known = up(snapshots=snapshots(SECOND_CYCLE), volumes=(kept, PLACES[1])), SECOND_CYCLE.without_flag(ROOT)
    step = next_chore(at(what, known=known), house())
    assert step == Does(Call.SET_DELETE_ON_TERMINATION, what.instance and what.instance.id, ROOT, kept.id, True)
    assert step is not None
    assert step.then is not None
    assert step.then(None).manifest == SECOND_CYCLE
    assert next_chore(at(what), house()) is None
    refused = house().keeping(kept.id, "AWS refused it", None, NOW)
    after = after_round(at(what, known=known), refused)
    assert after is not None
    assert [each.id for each in after.leftovers] == [kept.id]


def test_who_took_the_tag_away_wants_nothing_tidied_up() -> None:
    """Not even a flag or a note is set on what was given back to its owner."""
    theirs = replace(at(up()).instance, tags={})
    kept = replace(PLACES[0], delete_on_termination=False)
    what = up(instance=theirs, snapshots=(FAILED, OLD, *snapshots(SECOND_CYCLE)), volumes=(kept, *PLACES[1:], COPY))
    given_back = at(what, known=SECOND_CYCLE.without_flag(ROOT))
    assert next_chore(given_back, house()) is None
    assert after_round(given_back, house(rounds=1)) is None


def test_a_volume_that_stands_detached_is_told_and_never_deleted() -> None:
    """Of an earlier cycle, or taken out by a person: it costs money, and may hold what nothing else does."""
    loose = replace(COPY, tags=OURS)
    what = up(snapshots=snapshots(SECOND_CYCLE), volumes=(*PLACES, loose))
    assert next_chore(at(what), house()) is None
    after = after_round(at(what), house())
    assert after is not None
    assert [each.id for each in after.leftovers] == [loose.id]
    assert "stands detached" in in_words(after.leftovers)
    asleep = up(instance=instance(), volumes=(loose,), snapshots=snapshots(SECOND_CYCLE))
    still = after_round(at(asleep, NOW + HOUR), after)
    assert still is not None
    assert still.leftovers == after.leftovers
