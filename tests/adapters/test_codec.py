"""Values to JSON and back."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autostop.aws.codec import from_plain, to_plain
from autostop.domain.idle import Verdict
from autostop.domain.intent import Intent
from autostop.domain.link import Link
from autostop.domain.manifest import Manifest, VolumeRecord
from autostop.domain.reading import Reading, Server, Unread
from autostop.domain.workstation import WorkstationId
from autostop.ports import Asked, Happened, State

MOMENTS = st.datetimes(timezones=st.just(UTC))
DATACLASSES = (Intent, Link, VolumeRecord, Manifest, Server, Reading, Unread, Verdict, Asked, Happened, State)


def values_of(kind: type[Any]) -> st.SearchStrategy[Any]:
    st.register_type_strategy(datetime, MOMENTS)
    return st.from_type(kind)


@given(values_of(State))
def test_every_state_comes_back_as_it_was(state: State) -> None:
    assert from_plain(State, json.loads(json.dumps(to_plain(state)))) == state


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
