"""Volumes that EBS could not restore: they go, another one is asked for, and after three a person is asked."""

from dataclasses import replace

import pytest

from autostop.model import LISTS_LAG_FOR, Observation, VolumeId, VolumeState
from autostop.sleep.calls import Call
from autostop.sleep.intent import Wanted
from autostop.sleep.next_step import next_step
from autostop.sleep.outcomes import Blocked, Outcome, Settled, Step, Wait
from autostop.sleep.start_attempts import NO_ATTEMPTS, Attempts
from tests.build import DATA, NOW, ROOT, detached, intent, manifest, minutes, record, restored, row, seen, snapshots
from tests.sleep.expect import WHOLE_ROOT, create_volume, delete_failed_volume, held, makes, start_instance

BROKEN = detached(restored(DATA), VolumeState.ERROR)
NOTED = NO_ATTEMPTS.failing(DATA, BROKEN.id)
MADE = VolumeId("vol-new")


def at(*volumes: object) -> Observation:
    return seen(volumes=(WHOLE_ROOT, *volumes), snapshots=snapshots())


def step(what: Observation, tried: Attempts, restore: int = 1, wanted: Wanted = Wanted.RUN) -> Outcome:
    known = manifest(volumes=(record(ROOT), record(DATA, restore=restore)))
    return next_step(what, intent(wanted), known, NOW, tried)


def failures(count: int) -> Attempts:
    tried = NO_ATTEMPTS
    for number in range(count):
        tried = tried.failing(DATA, VolumeId(f"vol-failed-{number}"))
    return tried


def test_it_is_written_down_before_it_is_deleted() -> None:
    outcome = step(at(BROKEN), NO_ATTEMPTS)

    note = makes(outcome, None).first
    assert note is not None
    assert note.attempts == NOTED
    assert [each.restore for each in held(outcome).volumes] == [1, 2]


def test_noted_again_for_a_later_intent_it_takes_no_further_attempt() -> None:
    outcome = step(at(BROKEN), NO_ATTEMPTS, restore=2)

    makes(outcome, None)
    assert [each.restore for each in held(outcome).volumes] == [1, 2]


def test_written_down_it_is_deleted_with_its_reason() -> None:
    outcome = step(at(BROKEN), NOTED, restore=2)

    assert outcome == delete_failed_volume(BROKEN.id, "EBS could not create it. May Autostop use its KMS key?")


@pytest.mark.parametrize("count", [1, 2])
def test_then_another_one_is_asked_for(count: int) -> None:
    anew = manifest(volumes=(record(ROOT), record(DATA, restore=count + 1)))

    assert step(at(), failures(count), restore=count + 1) == create_volume(anew, anew.volumes[1])


def test_after_three_a_person_is_asked() -> None:
    outcome = step(at(), failures(3), restore=4)

    assert isinstance(outcome, Blocked)
    assert "EBS could not create the volume of /dev/sdf from snap-data, 3 times" in outcome.reason
    assert "arn:aws:kms:eu-west-1:1:key/k" in outcome.reason


def test_failures_of_one_device_count_for_that_one_alone() -> None:
    tried = failures(2).failing(ROOT, VolumeId("vol-r")).failing(ROOT, VolumeId("vol-s"))

    makes(step(at(), tried, restore=3), Call.CREATE_VOLUME)


@pytest.mark.parametrize(("ago", "kind"), [
    row("it may be listed late", LISTS_LAG_FOR - minutes(1), Wait),
    row("it is not there any more", LISTS_LAG_FOR, Step),
])  # fmt: skip
def test_one_that_ebs_says_it_makes_and_that_is_not_listed(ago: object, kind: type) -> None:
    outcome = step(at(), NO_ATTEMPTS.restoring(DATA, MADE, NOW - ago))  # type: ignore[operator]  # a timedelta

    assert isinstance(outcome, kind)
    if isinstance(outcome, Step):
        assert f"{MADE} for {DATA} came to nothing" in outcome.said
        assert [each.restore for each in held(outcome).volumes] == [1, 2]


@pytest.mark.parametrize("restore", [1, 4])
def test_a_token_of_which_nothing_comes_is_given_up_for_the_next_and_for_good(restore: int) -> None:
    outcome = makes(step(at(), NO_ATTEMPTS, restore=restore), Call.CREATE_VOLUME)

    assert outcome.burned is not None
    assert outcome.burned.manifest is not None
    assert [each.restore for each in outcome.burned.manifest.volumes] == [1, restore + 1]
    assert outcome.burned.attempts == NO_ATTEMPTS.failing(DATA, None)


def test_once_noted_as_gone_it_is_not_waited_for_any_more() -> None:
    tried = NO_ATTEMPTS.restoring(DATA, MADE, NOW).failing(DATA, MADE)

    makes(step(at(), tried, restore=2), Call.CREATE_VOLUME)


def test_a_failed_copy_goes_even_where_the_volume_is_there() -> None:
    whole = at(restored(DATA, id=VolumeId("vol-good")), BROKEN)

    makes(step(whole, NO_ATTEMPTS), None)
    makes(step(whole, NOTED), Call.DELETE_VOLUME)
    assert step(at(restored(DATA, id=VolumeId("vol-good"))), NOTED) == start_instance()


def test_shelved_again_meanwhile_it_goes_too() -> None:
    only_broken = seen(volumes=(BROKEN,), snapshots=snapshots())

    makes(step(only_broken, NO_ATTEMPTS, wanted=Wanted.SHELVE), None)
    makes(step(only_broken, NOTED, wanted=Wanted.SHELVE), Call.DELETE_VOLUME)
    assert step(seen(volumes=(), snapshots=snapshots()), NOTED, wanted=Wanted.SHELVE) == Settled()


def test_one_that_does_not_carry_our_tags_is_left_for_a_person() -> None:
    stranger = replace(BROKEN, tags={key: value for key, value in BROKEN.tags.items() if key != "autostop"})

    assert isinstance(step(at(stranger), NO_ATTEMPTS), Blocked)
