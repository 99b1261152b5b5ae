"""The state of each workstation: two items, of one version, under an optimistic lock."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, replace
from typing import Any

from autostop.aws.codec import from_json, from_plain, to_plain
from autostop.aws.errors import AlreadySo, aws_errors
from autostop.aws.table import IF_NEW, Item, Table, key
from autostop.model import WorkstationId
from autostop.ports import ConflictError, DamagedError, TransientError
from autostop.state import Outline, State

# All outlines are under one key, so that a sweep reads them by consistent pages.
STATES = "states"
_DETAILS = "details"
# Where the version before kept the whole state: read until the next save, which moves it.
_OLDER_STATE = "state"
_OF_OUTLINE = frozenset(field.name for field in fields(Outline))
# BatchGetItem takes so many keys.
_MOST_KEYS = 100
# How often a read is tried that another's write crosses, and a change that others overtake.
_TRIES = 6


class States(Table):
    """What Autostop keeps of each workstation."""

    def load(self, workstation: WorkstationId) -> State:
        """All its items at one moment: a decision must not rest on what was before the owner's tap."""
        items = self.items_of(workstation)
        state = _state(*items)
        if state is None and any(items):
            raise DamagedError(
                f"the items of {workstation} in the table are damaged. Its volumes are left alone. "
                f"Run `autostop recover {workstation}`."
            )
        return state or State(workstation)

    def states(self) -> Mapping[WorkstationId, Outline]:
        """Every page, 1 MB each, which holds a thousand outlines."""
        pages = self._pages(
            KeyConditionExpression="workstation = :workstation",
            ExpressionAttributeValues={":workstation": {"S": STATES}},
            ConsistentRead=True,
        )
        outlines = [read_outline(item) for item in pages]
        return {outline.workstation: outline for outline in outlines if outline is not None}

    def older_states(self, workstations: Sequence[WorkstationId]) -> Mapping[WorkstationId, Outline]:
        """BatchGetItem for up to 100 of them; what DynamoDB leaves out of an answer is asked for again."""
        wanted = [key(workstation, _OLDER_STATE) for workstation in workstations]
        found: dict[WorkstationId, Outline] = {}
        while wanted:
            asked: Any = {self.table: {"Keys": wanted[:_MOST_KEYS], "ConsistentRead": True}}
            with aws_errors():
                answer: Any = self.client.batch_get_item(RequestItems=asked)
            states = [_older_state(item) for item in answer["Responses"].get(self.table, ())]
            found |= {state.workstation: state for state in states if state is not None}
            left = answer.get("UnprocessedKeys") or {self.table: {"Keys": []}}
            wanted = [*left[self.table]["Keys"], *wanted[_MOST_KEYS:]]
        return found

    def save(self, state: State) -> State:
        """Both items at once, with the version as the belief that they rest on; the version before's goes with it."""
        saved = replace(state, version=state.version + 1)
        older = key(state.workstation, _OLDER_STATE)
        if state.version:
            written = self._write_state(saved, _if_version(state.version)) or self._write_state(
                saved, IF_NEW, self._in_transaction("Delete", Key=older, **_if_version(state.version))
            )
        else:
            written = self._write_state(saved, IF_NEW, self._in_transaction("ConditionCheck", Key=older, **IF_NEW))
        if not written:
            raise ConflictError(state.workstation)
        return saved

    def change(self, workstation: WorkstationId, decide: Callable[[State], State]) -> tuple[State, State]:
        """The optimistic lock: load, decide, save, and all over again when the version is another by then."""
        for _ in range(_TRIES):
            before = self.load(workstation)
            after = decide(before)
            try:
                return before, before if after == before else self.save(after)
            except ConflictError:
                continue
        raise TransientError("Its state changes too fast just now. Try again in a few seconds.")

    def delete_state(self, state: State) -> None:
        """Raises ConflictError when it is another by now."""
        outline, details = key(STATES, state.workstation), key(state.workstation, _DETAILS)
        older, as_known = key(state.workstation, _OLDER_STATE), _if_version(state.version)
        parts = [self._in_transaction("Delete", Key=each) for each in (details, older)]
        if not state.version or self._write_together([self._in_transaction("Delete", Key=outline, **as_known), *parts]):
            return
        if not self._write_together([self._in_transaction("Delete", Key=older, **as_known)]):
            raise ConflictError(state.workstation)

    def items_of(self, workstation: WorkstationId) -> list[Item | None]:
        """Outline, details, and what the version before wrote, as of one moment; None for what is not there."""
        keys = (key(STATES, workstation), key(workstation, _DETAILS), key(workstation, _OLDER_STATE))
        gets: Any = [self._in_transaction("Get", Key=each) for each in keys]
        for _ in range(_TRIES):
            with aws_errors(), AlreadySo("TransactionConflict"):
                answer = self.client.transact_get_items(TransactItems=gets)
                return [each.get("Item") for each in answer["Responses"]]
        raise TransientError("Its state changes too fast just now. Try again in a few seconds.")

    def _write_state(self, state: State, condition: Item, *others: Item) -> bool:
        document = to_plain(state)
        outline = {name: value for name, value in document.items() if name in _OF_OUTLINE}
        details = {name: value for name, value in document.items() if name not in _OF_OUTLINE}
        items = ((key(STATES, state.workstation), outline), (key(state.workstation, _DETAILS), details))
        first, second = (
            whose | {"version": {"N": str(state.version)}, "document": {"S": json.dumps(part)}} for whose, part in items
        )
        return self._write_together(
            [self._in_transaction("Put", Item=first, **condition), self._in_transaction("Put", Item=second), *others]
        )


def _if_version(version: int) -> Item:
    return {"ConditionExpression": "version = :version", "ExpressionAttributeValues": {":version": {"N": str(version)}}}


def _state(outline: Item | None, details: Item | None, older: Item | None) -> State | None:
    """None when nothing is stored, or what is stored is damaged: half of it gone, or halves of two versions."""
    if outline is None and details is None:
        return _older_state(older) if older is not None else None
    if outline is None or details is None:
        return None
    try:
        version, other = outline["version"]["N"], details["version"]["N"]
        document = json.loads(details["document"]["S"]) | json.loads(outline["document"]["S"])
        return _of_its_key(from_plain(State, document), outline["kind"]["S"], version) if version == other else None
    except (KeyError, TypeError, ValueError, RecursionError):  # nobody of ours wrote it
        return None


def _older_state(item: Item) -> State | None:
    """None when it is damaged."""
    try:
        return _of_its_key(from_json(State, item["document"]["S"]), item["workstation"]["S"], item["version"]["N"])
    except (KeyError, ValueError):
        return None


def _of_its_key(state: State, workstation: str, version: str) -> State | None:
    """None when an item, or its manifest, was copied from another workstation or version."""
    manifest_of = state.workstation if state.manifest is None else state.manifest.workstation
    return (
        state if (state.workstation, manifest_of, state.version) == (workstation, workstation, int(version)) else None
    )


def read_outline(item: Item) -> Outline | None:
    """None when it is damaged."""
    try:
        outline = from_json(Outline, item["document"]["S"])
        known = (outline.workstation, str(outline.version)) == (item["kind"]["S"], item["version"]["N"])
    except (KeyError, ValueError):
        return None
    return outline if known else None
