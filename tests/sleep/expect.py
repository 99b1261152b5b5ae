"""What the tables of the tests are written in: a row, what is in it, and the outcome that is expected.

Steps are compared by their call and its arguments; what they say only where it matters.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import pytest

from autostop import tags
from autostop.model import (
    AttachmentState,
    InstanceState,
    Observation,
    SnapshotState,
    VolumeId,
    VolumeState,
    WorkstationId,
)
from autostop.sleep.calls import Call
from autostop.sleep.intent import Wanted
from autostop.sleep.manifest import Manifest, VolumeRecord
from autostop.sleep.next_step import next_step
from autostop.sleep.outcomes import Blocked, Outcome, Settled, Step, Wait, write_down
from tests.build import (
    DATA,
    ID,
    LAUNCHED,
    NOW,
    OURS,
    ROOT,
    STOPPED,
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
    volume,
)

RUNNING, PENDING = InstanceState.RUNNING, InstanceState.PENDING
ATTACHING, DETACHING = AttachmentState.ATTACHING, AttachmentState.DETACHING
IN_USE = VolumeState.IN_USE
SECOND = timedelta(seconds=1)
ELSEWHERE = WorkstationId("i-0def")
VOL_ROOT, VOL_DATA = VolumeId("vol-root"), VolumeId("vol-data")
ORIGINALS = {ROOT: "vol-root", DATA: "vol-data"}
OUTDATED = manifest(launched_at=LAUNCHED - minutes(60))
# The same manifest as the tags tell it.
FROM_TAGS = manifest(volumes=(record(DATA), record(ROOT)))
TOLD = write_down(FROM_TAGS, "the table had lost it, its snapshots' tags had not")


def root(**other: Any) -> Any:
    return volume(ROOT, **other)


def data(**other: Any) -> Any:
    return volume(DATA, **other)


def both_detached() -> tuple[Any, Any]:
    return detached(root()), detached(data())


def with_set(*volumes: Any, **other: Any) -> Observation:
    """These volumes beside the complete set of cycle 1."""
    return seen(volumes=volumes, snapshots=snapshots(), **other)


def marked(state: SnapshotState, **other: Any) -> tuple[Any, Any]:
    """The set with its data snapshot in another state."""
    return snapshot(ROOT), snapshot(DATA, state=state, **other)


UNADOPTED = data(tags={"Name": "scratch"})
OTHERS = data(tags={**OURS, tags.WORKSTATION: ELSEWHERE})
STRANGER = volume("/dev/sdg", id=VolumeId("vol-extra"))
WHOLE_ROOT = restored(ROOT, delete_on_termination=True)
LAUNCHED_SINCE = instance(launched_at=STOPPED + minutes(3))


@dataclass(frozen=True, eq=False)
class Says:
    """Equal to each outcome of a kind whose words hold a text."""

    kind: type[Wait | Blocked | Settled | Step]
    text: str
    __hash__ = object.__hash__

    def __eq__(self, other: object) -> bool:
        return type(other) is self.kind and self.text in repr(other)


@dataclass(frozen=True, eq=False)
class NewSet:
    """Equal to each step with a manifest for a new set: without snapshots, and with these volumes if they are given."""

    cycle: int
    attempt: int
    volumes: Mapping[str, str] | None = None
    __hash__ = object.__hash__

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Step):
            return False
        told = held(other)
        return (
            (told.cycle, told.attempt, told.written_at) == (self.cycle, self.attempt, NOW)
            and self.volumes in (None, {each.device: each.volume for each in told.volumes})
            and all(each.snapshot is None for each in told.volumes)
        )


def new_cycle(cycle: int, volumes: Mapping[str, str]) -> NewSet:
    return NewSet(cycle, 1, volumes)


class Does:
    """Equal to each step that makes this call, or none, with these arguments, and whose sentence holds a text."""

    def __init__(self, call: Call | None, *args: Any, said: str = "") -> None:
        self.call, self.args, self.said = call, args, said

    def __repr__(self) -> str:
        return f"Does({self.call}, {self.args}, {self.said!r})"

    __hash__ = object.__hash__

    def __eq__(self, other: object) -> bool:
        same = isinstance(other, Step) and (other.call, other.args) == (self.call, self.args)
        return same and isinstance(other, Step) and self.said in other.said


def makes(outcome: Outcome, call: Call | None) -> Step:
    """The outcome, which is a step with this call."""
    assert isinstance(outcome, Step), outcome
    assert outcome.call is call, outcome
    return outcome


def held(outcome: Outcome) -> Manifest:
    """The manifest that a step holds before its call."""
    assert isinstance(outcome, Step), outcome
    assert outcome.first is not None, outcome
    assert outcome.first.manifest is not None, outcome
    return outcome.first.manifest


def stop_instance() -> Does:
    return Does(Call.STOP, ID)


def start_instance() -> Does:
    return Does(Call.START, ID)


def note_type(note: str) -> Does:
    return Does(Call.NOTE_TYPE, ID, note)


def change_type(type_: str) -> Does:
    return Does(Call.CHANGE_TYPE, ID, type_)


def note_no_capacity(type_: str) -> Does:
    return Does(None, said=f"EC2 had no capacity for {type_}")


def create_snapshots(manifest: Manifest) -> Does:
    return Does(Call.CREATE_SNAPSHOTS, manifest)


def tag_snapshot(snapshot: str, tags: Mapping[str, str]) -> Does:
    return Does(Call.TAG_SNAPSHOT, snapshot, tags)


def detach_volume(volume: str, device: str) -> Does:
    return Does(Call.DETACH, volume, ID, device)


def delete_volume(volume: str, snapshot: str) -> Does:
    return Does(Call.DELETE_VOLUME, volume, said=f"{snapshot} holds its data")


def delete_failed_volume(volume: str, why: str) -> Does:
    return Does(Call.DELETE_VOLUME, volume, said=f"which holds nothing: {why}")


def create_volume(manifest: Manifest, record: VolumeRecord, rate: int | None = None) -> Does:
    return Does(Call.CREATE_VOLUME, manifest, record, rate)


def attach_volume(volume: str, device: str) -> Does:
    return Does(Call.ATTACH, volume, ID, device)


def set_delete_on_termination(volume: str, device: str, *, delete_on_termination: bool) -> Does:
    return Does(Call.SET_DELETE_ON_TERMINATION, ID, device, volume, delete_on_termination)


def delete_snapshot(snapshot: str, cycle: int) -> Does:
    return Does(Call.DELETE_SNAPSHOT, snapshot, said=f"of cycle {cycle}, replaced")


def delete_failed_snapshot(snapshot: str) -> Does:
    return Does(Call.DELETE_SNAPSHOT, snapshot, said="which failed and holds nothing")


Expected = Outcome | Says | NewSet | Does


@dataclass(frozen=True)
class Case:
    """What is, the manifest that is known, the time, and the one next step."""

    what: Observation
    expected: Expected
    known: Manifest | None
    now: datetime

    def check(self, wanted: Wanted) -> None:
        outcome = next_step(self.what, intent(wanted), self.known, self.now)
        assert outcome == self.expected, (outcome, self.expected)


def row(id_: str, what: Observation, expected: Expected, known: Manifest | None = None, now: datetime = NOW) -> Any:
    return pytest.param(Case(what, expected, known, now), id=id_)
