"""Steps as the tables expect them: which call with which arguments; what they say only where it matters."""

from collections.abc import Mapping
from typing import Any

from autostop.sleep.manifest import Manifest, VolumeRecord
from autostop.sleep.outcomes import Call, Outcome, Step
from tests.build import ID


class Does:
    """Equal to each step that makes this call, or none, with these arguments, and whose sentence holds a text."""

    def __init__(self, call: Call | None, *args: Any, said: str = "") -> None:
        self.call, self.args, self.said = call, args, said

    def __repr__(self) -> str:
        return f"Does({self.call}, {self.args}, {self.said!r})"

    def __hash__(self) -> int:
        return hash((self.call, self.said))

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
