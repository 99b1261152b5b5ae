"""What its owner wants of a workstation's type and disks: when it holds, and which step follows from it."""

from dataclasses import replace
from typing import Any

import pytest

from autostop.model import Volume, VolumeId
from autostop.sleep.calls import Call
from autostop.sleep.capacity import next_start, note_of_own_type
from autostop.sleep.intent import Wanted
from autostop.sleep.next_step import next_step
from autostop.sleep.outcomes import Note, Outcome, Situation
from autostop.sleep.own_type import Fallback
from autostop.sleep.resize import Resize, not_in_effect, own_type_now, resize_in_words
from autostop.sleep.start_attempts import NO_ATTEMPTS, Attempts
from tests import build
from tests.build import DATA, NOW, ROOT, intent, manifest, record, restored, row, seen, snapshots, volume
from tests.sleep.expect import (
    WHOLE_ROOT,
    attach_volume,
    change_type,
    create_volume,
    held,
    makes,
    note_type,
    start_instance,
)
from tests.sleep.test_capacity import FIRST, OTHERS, OWN, lacked, workstation

WANTED = "r7g.xlarge"
LARGER_TYPE = Resize(NOW, OWN, WANTED)
LARGER_DISK = Resize(NOW, OWN, None, {DATA: 600})


def refused(type_: str) -> Attempts:
    return NO_ATTEMPTS.refusing(type_, "not supported")


@pytest.mark.parametrize(("resize", "type_", "known", "volumes", "expected"), [
    row("none", None, OWN, None, (), None),
    row("another type", LARGER_TYPE, OWN, None, (), LARGER_TYPE),
    row("it has the type", LARGER_TYPE, WANTED, None, (), None),
    row("the type is its own, and it runs as another", LARGER_TYPE, FIRST, Fallback(WANTED, FIRST), (), None),
    row("a larger disk, asleep", LARGER_DISK, OWN, None, (), LARGER_DISK),
    row("the disk is as it was", LARGER_DISK, OWN, None, build.both(), LARGER_DISK),
    row("the disk is larger", LARGER_DISK, OWN, None, (volume(DATA, size_gib=600),), None),
    row("a person made it larger still", LARGER_DISK, OWN, None, (volume(DATA, size_gib=700),), None),
    row("half of it", replace(LARGER_TYPE, sizes={DATA: 600, ROOT: 60}), WANTED, None, (volume(DATA, size_gib=600),),
        Resize(NOW, OWN, None, {ROOT: 60})),
])  # fmt: skip
def test_it_holds_until_it_took_effect(
    resize: Resize | None, type_: str, known: Fallback | None, volumes: tuple[Volume, ...], expected: Resize | None
) -> None:
    assert not_in_effect(resize, workstation(type_), known, volumes) == expected


def test_it_is_told_in_words() -> None:
    both = Resize(NOW, OWN, WANTED, {DATA: 600, ROOT: 60})
    told = "it becomes r7g.xlarge, and /dev/sdf becomes 600 GiB, and /dev/xvda becomes 60 GiB, as you asked."
    assert told in resize_in_words(both)


# -- the type


def start(type_: str, tried: Attempts, known: Fallback | None = None, others: Any = ()) -> Outcome:
    what = workstation(type_)
    observed = seen(instance=what, other_types=others)
    return next_start(Situation(observed, what, intent(Wanted.RUN), None, tried, NOW, known, LARGER_TYPE))


TO_OLD, TO_FIRST = Fallback(WANTED, OWN), Fallback(WANTED, FIRST)
NO_ROOM = lacked().lacking(WANTED, NOW)


@pytest.mark.parametrize(("type_", "known", "tried", "others", "expected"), [
    row("it is changed", OWN, None, NO_ATTEMPTS, (), change_type(WANTED)),
    row("it is changed from a fall-back, too", FIRST, Fallback(OWN, FIRST), NO_ATTEMPTS, (), change_type(WANTED)),
    row("it is started", WANTED, None, NO_ATTEMPTS, (), start_instance()),
    row("what it fell back to is its own now", WANTED, Fallback(OWN, WANTED), NO_ATTEMPTS, (), start_instance()),
    row("no capacity: what it was is noted", WANTED, None, NO_ROOM, (), note_type(TO_OLD.hint)),
    row("no capacity: as it was", WANTED, TO_OLD, NO_ROOM, (), change_type(OWN)),
    row("no capacity: started as it was", OWN, TO_OLD, NO_ROOM, (), start_instance()),
    row("no capacity: its owner's list comes first", WANTED, None, NO_ROOM, OTHERS[:1], note_type(TO_FIRST.hint)),
    row("refused before it is changed: started as it was", OWN, None, refused(WANTED), (), start_instance()),
    row("refused at its start: changed back", WANTED, None, refused(WANTED), (), change_type(OWN)),
])  # fmt: skip
def test_it_is_started_as_the_wanted_type_or_as_what_it_was(
    type_: str, known: Fallback | None, tried: Attempts, others: Any, expected: Outcome
) -> None:
    assert start(type_, tried, known, others) == expected


def test_a_refusal_of_a_wanted_type_blocks_nothing() -> None:
    step = makes(start(WANTED, NO_ATTEMPTS), Call.START)
    assert step.refused is not None
    assert step.refused("no ENA").attempts == NO_ATTEMPTS.refusing(WANTED, "no ENA")


def test_its_own_type_is_what_is_wanted_until_that_is_refused() -> None:
    assert own_type_now(workstation(), None, LARGER_TYPE, NO_ATTEMPTS) == WANTED
    assert own_type_now(workstation(WANTED), None, LARGER_TYPE, refused(WANTED)) == OWN
    assert own_type_now(workstation(FIRST), Fallback(OWN, FIRST), LARGER_DISK, NO_ATTEMPTS) == OWN


def test_the_hint_of_a_fall_back_is_taken_back_once_that_is_what_is_wanted() -> None:
    what = workstation(WANTED, note=Fallback(OWN, WANTED).hint)
    it = Situation(seen(instance=what), what, intent(Wanted.RUN), None, NO_ATTEMPTS, NOW, None, LARGER_TYPE)
    assert note_of_own_type(it) == note_type("")
    assert note_of_own_type(replace(it, resize=None)) is None


# -- the disks

GROWN = manifest(volumes=(record(ROOT), record(DATA, grows_to=600)))


def wake(known: Any, resize: Resize | None, volumes: tuple[Volume, ...] = (restored(ROOT),), **other: Any) -> Outcome:
    tried = other.pop("tried", NO_ATTEMPTS)
    observed = seen(**{"volumes": volumes, "snapshots": snapshots(), **other})
    return next_step(observed, intent(Wanted.RUN), known, NOW, tried, None, resize)


def test_it_is_written_down_that_a_volume_is_to_be_larger_before_it_is_asked_for() -> None:
    assert held(wake(manifest(), LARGER_DISK)) == GROWN
    assert wake(GROWN, LARGER_DISK) == create_volume(GROWN, record(DATA, grows_to=600))


def test_a_wish_that_is_taken_back_is_written_down_too() -> None:
    assert held(wake(GROWN, None)) == manifest()


@pytest.mark.parametrize("resize", [Resize(NOW, OWN, None, {DATA: 500}), Resize(NOW, OWN, None, {"/dev/sdz": 900})])
def test_no_disk_is_made_smaller_and_none_that_is_not_there(resize: Resize) -> None:
    assert wake(manifest(), resize) == create_volume(manifest(), record(DATA))


def test_what_is_under_way_or_there_keeps_its_size() -> None:
    asked = NO_ATTEMPTS.restoring(DATA, VolumeId("vol-data-2"), NOW)
    assert not makes_manifest(wake(manifest(), LARGER_DISK, tried=asked))
    loose = build.detached(restored(DATA))
    assert wake(manifest(), LARGER_DISK, (restored(ROOT), loose)) == attach_volume(loose.id, DATA)


def makes_manifest(outcome: Outcome) -> bool:
    first = getattr(outcome, "first", None)
    return isinstance(first, Note) and first.manifest is not None


def test_where_ebs_refuses_the_size_it_comes_back_as_it_was() -> None:
    step = makes(wake(GROWN, LARGER_DISK), Call.CREATE_VOLUME)
    assert step.refused is not None
    note = step.refused("your quota is spent")
    assert note.manifest == manifest()
    assert note.resize == Resize(NOW, OWN, None, {})
    assert note.said == "/dev/sdf stays at 500 GiB: your quota is spent"
    assert makes(wake(manifest(), None), Call.CREATE_VOLUME).refused is None


def test_one_that_is_larger_than_its_record_is_what_was_restored() -> None:
    larger = restored(DATA, size_gib=600)
    outcome = next_step(
        seen(volumes=(WHOLE_ROOT, larger), snapshots=snapshots()),
        intent(Wanted.RUN), GROWN, NOW,
    )  # fmt: skip
    assert outcome == start_instance()
