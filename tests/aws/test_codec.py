import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autostop.aws.codec import from_plain, to_plain
from autostop.idle.history import History
from autostop.idle.measured import Effect, Sign
from autostop.idle.reading import Reading, Server, Unknown
from autostop.idle.stop_plan import Warned
from autostop.idle.sweep_record import SweepRecord
from autostop.idle.verdict import Verdict, VerdictKind
from autostop.link import Link
from autostop.model import WorkstationId
from autostop.sleep.intent import By, Intent
from autostop.sleep.manifest import Manifest, VolumeRecord
from autostop.state import Asked, Happened, State

MOMENTS = st.datetimes(timezones=st.just(UTC))
# fmt: off
DATACLASSES = (
    Intent, Link, VolumeRecord, Manifest, Server, Reading, Unknown, Verdict, Asked, Happened, State, SweepRecord,
)
# fmt: on


def values_of(kind: type[Any]) -> st.SearchStrategy[Any]:
    st.register_type_strategy(datetime, MOMENTS)
    # Nothing that is measured is NaN, which does not equal itself.
    st.register_type_strategy(float, st.floats(allow_nan=False))
    return st.from_type(kind)


@given(values_of(State))
def test_every_state_comes_back_as_it_was(state: State) -> None:
    assert from_plain(State, json.loads(json.dumps(to_plain(state)))) == state


@given(values_of(SweepRecord))
def test_every_record_of_the_journal_comes_back_as_it_was(seen: SweepRecord) -> None:
    assert from_plain(SweepRecord, json.loads(json.dumps(to_plain(seen)))) == seen


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


@pytest.mark.parametrize("damage", [
    {"workstation": 1}, {"workstation": "i-1", "version": True}, {"workstation": "i-1", "version": "1"},
    {"workstation": "i-1", "kept_awake_until": "tomorrow"},
    {"workstation": "i-1", "intent": {"number": 1, "wanted": "dance"}}, {"workstation": "i-1", "intent": {"number": 1}},
    {"version": 1}, [], None,
])  # fmt: skip
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


@pytest.mark.parametrize("pet", [
    {"Fish": {"name": "wanda"}}, {"name": "rex"}, {}, {"Cat": {}, "Dog": {}}, {"Cat": None}, {"Cat": {"name": 1}},
    "Cat",
])  # fmt: skip
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


@dataclass(frozen=True)
class Dish:
    contents: str = field(default="", metadata={"stored": "food"})
    smell: str = field(default="", metadata={"stored": None})


def test_a_field_is_stored_under_the_name_that_it_had_once_or_not_at_all() -> None:
    assert to_plain(Dish("fish", "strong")) == {"food": "fish"}
    assert from_plain(Dish, {"food": "fish", "contents": "?", "smell": "?"}) == Dish("fish")


def test_a_record_of_the_version_before_is_read() -> None:
    at = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
    stamp = at.isoformat()
    sign = {"name": "processor", "effect": "quiet", "value": "0.01 cores", "threshold": "0.25 cores", "at": None}
    trail = {"boot": "b007", "since": stamp, "readings": 3, "at": stamp, "cpu": {"2f": 4}, "reconnects": 1}
    told = {"at": stamp, "stop_at": stamp, "cause": "limit", "why": "max-run is 9 h"}
    old = {
        "workstation": "i-1", "at": stamp, "launched_at": stamp,
        "verdict": {"kind": "active", "at": stamp, "reasons": ["quiet"], "signals": [sign], "worked_at": stamp},
        "answer": {"Unread": {"at": stamp, "reason": "no agent"}}, "trail": trail, "warned": told, "stop_at": stamp,
        "stop_cause": "limit",
    }  # fmt: skip

    assert from_plain(SweepRecord, old) == SweepRecord(
        WorkstationId("i-1"),
        at,
        at,
        Verdict(
            VerdictKind.ACTIVE,
            at,
            ("quiet",),
            signs=(Sign("processor", Effect.QUIET, "0.01 cores", "0.25 cores"),),
            worked_at=at,
        ),
        answer=Unknown(at, "no agent"),
        history=History("b007", at, 3, at, {"2f": 4.0}, reconnects=1),
        warned=Warned(at, at, By.LIMIT, "max-run is 9 h"),
        stop_at=at,
        stop_cause=By.LIMIT,
    )
