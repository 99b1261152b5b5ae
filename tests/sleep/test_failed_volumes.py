"""Volumes that EBS could not restore: they go, another one is asked for, and after three a person is asked."""

from dataclasses import replace

import pytest

from autostop.model import LISTS_LAG_FOR, Observation, VolumeId, VolumeState
from autostop.sleep.attempts import NOTHING_TRIED, Tried
from autostop.sleep.intent import Wanted
from autostop.sleep.next_step import next_step
from autostop.sleep.steps import (
    Blocked,
    CreateVolume,
    DeleteFailedVolume,
    NoteFailedVolume,
    Outcome,
    Settled,
    StartInstance,
    Wait,
)
from tests.build import DATA, NOW, ROOT, detached, intent, manifest, minutes, record, restored, seen, snapshots

BROKEN = detached(restored(DATA), VolumeState.ERROR)
WHOLE_ROOT = restored(ROOT, delete_on_termination=True)
NOTED = NOTHING_TRIED.failing(DATA, BROKEN.id)
MADE = VolumeId("vol-new")


def at(*volumes: object) -> Observation:
    return seen(volumes=(WHOLE_ROOT, *volumes), snapshots=snapshots())


def step(what: Observation, tried: Tried, restore: int = 1, wanted: Wanted = Wanted.RUN) -> Outcome:
    known = manifest(volumes=(record(ROOT), record(DATA, restore=restore)))
    return next_step(what, intent(wanted), known, NOW, tried)


def failures(count: int) -> Tried:
    tried = NOTHING_TRIED
    for number in range(count):
        tried = tried.failing(DATA, VolumeId(f"vol-failed-{number}"))
    return tried


def test_it_is_written_down_before_it_is_deleted() -> None:
    outcome = step(at(BROKEN), NOTHING_TRIED)

    assert isinstance(outcome, NoteFailedVolume)
    assert (outcome.device, outcome.volume) == (DATA, BROKEN.id)
    assert [each.restore for each in outcome.manifest.volumes] == [1, 2]


def test_noted_again_for_a_later_intent_it_takes_no_further_attempt() -> None:
    outcome = step(at(BROKEN), NOTHING_TRIED, restore=2)

    assert isinstance(outcome, NoteFailedVolume)
    assert [each.restore for each in outcome.manifest.volumes] == [1, 2]


def test_written_down_it_is_deleted_with_its_reason() -> None:
    outcome = step(at(BROKEN), NOTED, restore=2)

    assert outcome == DeleteFailedVolume(BROKEN.id, "EBS could not create it. May Autostop use its KMS key?")


@pytest.mark.parametrize("count", [1, 2])
def test_then_another_one_is_asked_for(count: int) -> None:
    anew = manifest(volumes=(record(ROOT), record(DATA, restore=count + 1)))

    assert step(at(), failures(count), restore=count + 1) == CreateVolume(anew, anew.volumes[1])


def test_after_three_a_person_is_asked() -> None:
    outcome = step(at(), failures(3), restore=4)

    assert isinstance(outcome, Blocked)
    assert "EBS could not create the volume of /dev/sdf from snap-data, 3 times" in outcome.reason
    assert "arn:aws:kms:eu-west-1:1:key/k" in outcome.reason


def test_failures_of_one_device_count_for_that_one_alone() -> None:
    tried = failures(2).failing(ROOT, VolumeId("vol-r")).failing(ROOT, VolumeId("vol-s"))

    assert isinstance(step(at(), tried, restore=3), CreateVolume)


def test_a_new_start_tries_again_with_another_request() -> None:
    outcome = step(at(), NOTHING_TRIED, restore=4)

    assert isinstance(outcome, CreateVolume)
    assert outcome.record.restore == 4


@pytest.mark.parametrize(
    ("ago", "kind"),
    [
        pytest.param(LISTS_LAG_FOR - minutes(1), Wait, id="it may be listed late"),
        pytest.param(LISTS_LAG_FOR, NoteFailedVolume, id="it is not there any more"),
    ],
)
def test_one_that_ebs_says_it_makes_and_that_is_not_listed(ago: object, kind: type) -> None:
    outcome = step(at(), NOTHING_TRIED.restoring(DATA, MADE, NOW - ago))  # type: ignore[operator]  # a timedelta

    assert isinstance(outcome, kind)
    if isinstance(outcome, NoteFailedVolume):
        assert outcome.volume == MADE
        assert [each.restore for each in outcome.manifest.volumes] == [1, 2]


def test_once_noted_as_gone_it_is_not_waited_for_any_more() -> None:
    tried = NOTHING_TRIED.restoring(DATA, MADE, NOW).failing(DATA, MADE)

    assert isinstance(step(at(), tried, restore=2), CreateVolume)


def test_a_failed_copy_goes_even_where_the_volume_is_there() -> None:
    whole = at(restored(DATA, id=VolumeId("vol-good")), BROKEN)

    assert isinstance(step(whole, NOTHING_TRIED), NoteFailedVolume)
    assert isinstance(step(whole, NOTED), DeleteFailedVolume)
    assert step(at(restored(DATA, id=VolumeId("vol-good"))), NOTED) == StartInstance()


def test_shelved_again_meanwhile_it_goes_too() -> None:
    only_broken = seen(volumes=(BROKEN,), snapshots=snapshots())

    assert isinstance(step(only_broken, NOTHING_TRIED, wanted=Wanted.SHELVE), NoteFailedVolume)
    assert isinstance(step(only_broken, NOTED, wanted=Wanted.SHELVE), DeleteFailedVolume)
    assert step(seen(volumes=(), snapshots=snapshots()), NOTED, wanted=Wanted.SHELVE) == Settled()


def test_one_that_does_not_carry_our_tags_is_left_for_a_person() -> None:
    stranger = replace(BROKEN, tags={key: value for key, value in BROKEN.tags.items() if key != "autostop"})

    assert isinstance(step(at(stranger), NOTHING_TRIED), Blocked)
