"""Which workstations a message is about."""

import json
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autostop.model import WorkstationId
from autostop.queue_messages import workstations_in
from tests.handlers.functions import EXAMPLE, event

VOLUME, SNAPSHOT, OTHER_SNAPSHOT = "vol-0123456789abcdef0", "snap-0123456789abcdef0", "snap-0fedcba9876543210"
ID = WorkstationId(EXAMPLE)


def body(name: str) -> str:
    text: str = event(name)["Records"][0]["body"]
    return text


def asked_for(text: str) -> tuple[set[WorkstationId], list[str]]:
    """The workstations, and the ids of which was asked whose they are."""
    asked: list[str] = []

    def workstations_of(ids: Sequence[str]) -> set[WorkstationId]:
        asked.extend(ids)
        return {WorkstationId("i-00000000000000001")}

    return workstations_in(text, workstations_of), asked


@pytest.mark.parametrize("name", ["reconcile-wake", "reconcile-instance-state"])
def test_a_message_that_names_its_workstation_asks_nobody(name: str) -> None:
    assert asked_for(body(name)) == ({ID}, [])


@pytest.mark.parametrize(("name", "ids"), [
    ("reconcile-snapshot", {SNAPSHOT, VOLUME}),
    ("reconcile-snapshots-set", {SNAPSHOT, OTHER_SNAPSHOT, VOLUME, "vol-0fedcba9876543210"}),
    ("reconcile-volume", {VOLUME}),
])  # fmt: skip
def test_events_of_ebs_are_resolved_by_the_tags_of_their_things(name: str, ids: set[str]) -> None:
    found, asked = asked_for(body(name))
    assert set(asked) <= ids
    assert set(asked) & {SNAPSHOT, VOLUME}
    assert len(asked) == len(set(asked))
    assert found == {WorkstationId("i-00000000000000001")}


@pytest.mark.parametrize("partition", ["aws-cn", "aws-us-gov"])
@pytest.mark.parametrize("name", ["reconcile-snapshot", "reconcile-snapshots-set", "reconcile-volume"])
def test_events_of_other_partitions_are_resolved_alike(name: str, partition: str) -> None:
    assert asked_for(body(name).replace("arn:aws:", f"arn:{partition}:")) == asked_for(body(name))


@pytest.mark.parametrize("text", [
    "", "{", "[]", "null", '"i-0123456789abcdef0"', "{}", '{"workstation": 1}',
    '{"workstation": "i-0123456789abcdef0 "}', '{"workstation": "i-XYZ"}',
    '{"detail-type": "EC2 Instance State-change Notification"}',
    '{"detail-type": "EC2 Instance State-change Notification", "detail": "{}"}',
    '{"detail-type": "EC2 Instance State-change Notification", "detail": {"instance-id": ["i-0123456789abcdef0"]}}',
])  # fmt: skip
def test_what_is_neither_a_message_nor_an_event_is_refused(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - json's own error is one too
        asked_for(text)


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
)
EVENTS = st.fixed_dictionaries(
    {"detail-type": st.text(max_size=8), "detail": PLAIN | st.fixed_dictionaries({"snapshots": PLAIN})},
    optional={"resources": PLAIN},
)


@given(EVENTS)
def test_no_event_whatever_its_shape_ends_otherwise_than_by_refusal(message: Any) -> None:
    try:
        found, _ = asked_for(json.dumps(message))
    except ValueError:
        return
    assert isinstance(found, set)
