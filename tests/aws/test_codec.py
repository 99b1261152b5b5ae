"""Values to JSON and back."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autostop.aws.codec import from_plain, to_plain
from autostop.idle.reading import Reading, Server, Unread
from autostop.idle.record import Seen
from autostop.idle.verdict import Verdict
from autostop.link import Link
from autostop.model import WorkstationId
from autostop.ports import Asked, Happened, State
from autostop.sleep.intent import Intent
from autostop.sleep.manifest import Manifest, VolumeRecord

MOMENTS = st.datetimes(timezones=st.just(UTC))
DATACLASSES = (Intent, Link, VolumeRecord, Manifest, Server, Reading, Unread, Verdict, Asked, Happened, State, Seen)


def values_of(kind: type[Any]) -> st.SearchStrategy[Any]:
    st.register_type_strategy(datetime, MOMENTS)
    # Nothing that is measured is NaN, which does not equal itself.
    st.register_type_strategy(float, st.floats(allow_nan=False))
    return st.from_type(kind)


@given(values_of(State))
def test_every_state_comes_back_as_it_was(state: State) -> None:
    assert from_plain(State, json.loads(json.dumps(to_plain(state)))) == state


@given(values_of(Seen))
def test_every_record_of_the_journal_comes_back_as_it_was(seen: Seen) -> None:
    assert from_plain(Seen, json.loads(json.dumps(to_plain(seen)))) == seen


@given(values_of(Link))
def test_every_link_comes_back_as_it_was(link: Link) -> None:
    assert from_plain(Link, json.loads(json.dumps(to_plain(link)))) == link


@given(
    st.sampled_from(DATACLASSES),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    ),
)
def test_what_does_not_fit_is_refused_with_one_kind_of_error(kind: type[Any], data: Any) -> None:
    try:
        from_plain(kind, data)
    except ValueError:
        return


def test_a_newer_programs_fields_are_left_out_and_an_older_ones_keep_their_defaults() -> None:
    assert from_plain(State, {"workstation": "i-1", "mood": "good"}) == State(WorkstationId("i-1"))


@pytest.mark.parametrize(
    "damage",
    [
        {"workstation": 1},
        {"workstation": "i-1", "version": True},
        {"workstation": "i-1", "version": "1"},
        {"workstation": "i-1", "kept_awake_until": "tomorrow"},
        {"workstation": "i-1", "intent": {"number": 1, "wanted": "dance"}},
        {"workstation": "i-1", "intent": {"number": 1}},
        {"version": 1},
        [],
        None,
    ],
)
def test_damage_is_told(damage: Any) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - its text is of no use to a person
        from_plain(State, damage)


@dataclass(frozen=True)
class Cat:
    name: str = ""


@dataclass(frozen=True)
class Dog:
    name: str = ""


@dataclass(frozen=True)
class House:
    pet: Cat | Dog | None
    others: tuple[Cat | Dog, ...] = ()
    rooms: Mapping[str, Dog | Cat | None] | None = None
    size: float = 0.0


@dataclass(frozen=True)
class Cage:
    pet: Cat | str


@given(values_of(House))
def test_of_two_dataclasses_the_one_that_was_written_comes_back(house: House) -> None:
    assert from_plain(House, json.loads(json.dumps(to_plain(house)))) == house


def test_a_choice_is_told_by_the_name_of_the_dataclass() -> None:
    assert to_plain(House(Dog("rex"), (Cat(),)))["pet"] == {"Dog": {"name": "rex"}}


@pytest.mark.parametrize(
    "pet",
    [
        {"Fish": {"name": "wanda"}},
        {"name": "rex"},
        {},
        {"Cat": {}, "Dog": {}},
        {"Cat": None},
        {"Cat": {"name": 1}},
        "Cat",
    ],
)
def test_a_choice_that_is_not_offered_is_told(pet: Any) -> None:
    with pytest.raises(ValueError, match="not a House"):
        from_plain(House, {"pet": pet})


def test_a_choice_that_the_data_could_not_tell_is_no_damage_but_a_mistake_in_the_program() -> None:
    with pytest.raises(NotImplementedError):
        to_plain(Cage("tom"))
    with pytest.raises(NotImplementedError):
        from_plain(Cage, {"pet": "tom"})


def test_a_whole_number_is_a_float_where_one_is_declared_and_a_yes_is_none() -> None:
    size = from_plain(House, {"pet": None, "size": 3}).size
    assert (size, type(size)) == (3.0, float)
    for wrong in (True, "3", None):
        with pytest.raises(ValueError, match="not a House"):
            from_plain(House, {"pet": None, "size": wrong})
