"""The table: state, links, leases, what sweeps saw, and what happened."""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from autostop.aws.codec import from_json, from_plain, to_plain
from autostop.aws.errors import AlreadySo, aws_errors
from autostop.aws.journal import Item, key_of, packed, record_of, records
from autostop.cost import Prices
from autostop.idle.record import SweepRecord
from autostop.link import Link, digest_of
from autostop.model import WorkstationId
from autostop.ports import ConflictError, DamagedError, Happened, Outline, State, TransientError

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

_KEPT_FOR = timedelta(days=30)
_COUNTED_FOR = timedelta(hours=1)
# What an older sweep saw tells nothing about now.
_LATEST_WITHIN = timedelta(hours=1)
_LAST_PART = 9999
# All outlines are under one key, so that a sweep reads them by consistent pages.
_STATES = "states"
_DETAILS = "details"
# Where the version before kept the whole state: read until the next save, which moves it.
_OLDER_STATE = "state"
_OF_OUTLINE = frozenset(field.name for field in fields(Outline))
# BatchGetItem takes so many keys.
_MOST_KEYS = 100
# How often a read is tried that another's write crosses, and a change that others overtake.
_TRIES = 6
_LEASE = "lease"
_LEASE_GOES = timedelta(days=1)
_SWEEP = "sweep"
_PRICES = "prices"
_EVENTS = "event#"
_IF_NEW: Item = {"ConditionExpression": "attribute_not_exists(workstation)"}


@dataclass(frozen=True, slots=True)
class DynamoLedger:
    """What Autostop keeps, in one DynamoDB table with the keys `workstation` and `kind`.

    Every method may raise TransientError or DeniedError.
    """

    client: "DynamoDBClient"
    table: str

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
            ExpressionAttributeValues={":workstation": {"S": _STATES}},
            ConsistentRead=True,
        )
        outlines = [read_outline(item) for item in pages]
        return {outline.workstation: outline for outline in outlines if outline is not None}

    def older_states(self, workstations: Sequence[WorkstationId]) -> Mapping[WorkstationId, Outline]:
        """BatchGetItem for up to 100 of them; what DynamoDB leaves out of an answer is asked for again."""
        wanted = [_key(workstation, _OLDER_STATE) for workstation in workstations]
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
        older = _key(state.workstation, _OLDER_STATE)
        if state.version:
            written = self._write_state(saved, _if_version(state.version)) or self._write_state(
                saved, _IF_NEW, self._in_transaction("Delete", Key=older, **_if_version(state.version))
            )
        else:
            written = self._write_state(saved, _IF_NEW, self._in_transaction("ConditionCheck", Key=older, **_IF_NEW))
        if not written:
            raise ConflictError(state.workstation)
        return saved

    def end(self, state: State) -> None:
        """Delete the links and the state; its history expires. Raises ConflictError when it is another by now."""
        for link in self.links(state.workstation):
            self.withdraw_link(link)
        outline, details = _key(_STATES, state.workstation), _key(state.workstation, _DETAILS)
        older, as_known = _key(state.workstation, _OLDER_STATE), _if_version(state.version)
        parts = [self._in_transaction("Delete", Key=each) for each in (details, older)]
        if not state.version or self._write_together([self._in_transaction("Delete", Key=outline, **as_known), *parts]):
            return
        if not self._write_together([self._in_transaction("Delete", Key=older, **as_known)]):
            raise ConflictError(state.workstation)

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

    def write_journal(self, swept: Sequence[SweepRecord], at: datetime) -> None:
        """Items that expire, each for up to 500 workstations."""
        for part in packed(swept, at):
            self._put({"workstation": {"S": _SWEEP}, **part, "expires_at": _expiry(at, _KEPT_FOR)})

    def latest_sweep(self, now: datetime) -> Mapping[WorkstationId, SweepRecord]:
        """The newest item says of how many parts its sweep is one; only then the others are read."""
        with aws_errors():
            parts: list[Item] = self.client.query(
                TableName=self.table,
                **_sweeps(key_of(now - _LATEST_WITHIN, 0), key_of(now, _LAST_PART)),
                ScanIndexForward=False,
                Limit=1,
                ConsistentRead=True,
            )["Items"]
        if parts and parts[0].get("parts") != {"N": "1"}:
            sweep = parts[0]["kind"]["S"].partition("#")[0]
            parts = list(self._pages(**_sweeps(f"{sweep}#", f"{sweep}#{_LAST_PART}"), ConsistentRead=True))
        return {record.workstation: record for part in parts for record in records(part)}

    def sweep_records(self, workstation: WorkstationId, since: datetime, until: datetime) -> Sequence[SweepRecord]:
        """Every page; the parts without the workstation are left out by DynamoDB, who reads them all the same."""
        # DynamoDB refuses to look between a moment and an earlier one.
        if until < since:
            return []
        between = _sweeps(key_of(since, 0), key_of(until, _LAST_PART))
        between["ExpressionAttributeValues"] |= {":workstation": {"S": workstation}}
        pages = self._pages(
            **between,
            FilterExpression="#first <= :workstation AND #last >= :workstation",
            ExpressionAttributeNames={"#first": "first", "#last": "last"},
        )
        found = [record_of(item, workstation) for item in pages]
        return [record for record in found if record is not None]

    def record(self, workstation: WorkstationId, happened: Happened) -> None:
        """An item that expires, in order below its intent."""
        self._put(
            _key(workstation, f"{_events(happened.intent)}{happened.at.isoformat()}")
            | {"document": {"S": json.dumps(to_plain(happened))}, "expires_at": _expiry(happened.at, 2 * _KEPT_FOR)}
        )

    def happened(self, workstation: WorkstationId, intent: int | None = None) -> Sequence[Happened]:
        """What was done for one intent, or for all of the last 60 days: what was up for 30 began before them."""
        kind = _EVENTS if intent is None else _events(intent)
        pages = self._pages(
            KeyConditionExpression="workstation = :workstation AND begins_with(kind, :kind)",
            ExpressionAttributeValues={":workstation": {"S": workstation}, ":kind": {"S": kind}},
        )
        return [from_json(Happened, item["document"]["S"]) for item in pages]

    def take_lease(self, workstation: WorkstationId, holder: str, now: datetime, until: datetime) -> bool:
        """An item of its own, so that no lease disturbs the versions of the state."""
        return self._put(
            _key(workstation, _LEASE)
            | {
                "holder": {"S": holder},
                "until": {"N": str(until.timestamp())},
                "expires_at": _expiry(until, _LEASE_GOES),
            },
            ConditionExpression="attribute_not_exists(workstation) OR #until < :now OR holder = :holder",
            ExpressionAttributeNames={"#until": "until"},
            ExpressionAttributeValues={":now": {"N": str(now.timestamp())}, ":holder": {"S": holder}},
        )

    def knock(self, workstation: WorkstationId) -> datetime | None:
        """An attribute of the lease; the first of those who find it taken sets it, so the others leave no trace."""
        with aws_errors(), AlreadySo("ConditionalCheckFailedException"):
            answer = self.client.update_item(
                TableName=self.table,
                Key=_key(workstation, _LEASE),
                UpdateExpression="SET knocked = :yes",
                ConditionExpression="attribute_exists(workstation) AND attribute_not_exists(knocked)",
                ExpressionAttributeValues={":yes": {"BOOL": True}},
                ReturnValues="ALL_NEW",
            )
            return datetime.fromtimestamp(float(answer["Attributes"]["until"]["N"]), UTC)
        return None

    def give_lease_back(self, workstation: WorkstationId, holder: str, *, unless_knocked: bool = False) -> bool:
        """Delete the lease; a lease that is taken anew, by its holder too, has no knock on it."""
        condition = "holder = :holder AND attribute_not_exists(knocked)" if unless_knocked else "holder = :holder"
        with aws_errors(), AlreadySo("ConditionalCheckFailedException"):
            self.client.delete_item(
                TableName=self.table,
                Key=_key(workstation, _LEASE),
                ConditionExpression=condition,
                ExpressionAttributeValues={":holder": {"S": holder}},
            )
            return True
        return not unless_knocked

    def put_link(self, link: Link) -> None:
        """Kept under the secret's digest, so that it is found without a search."""
        self._put(_link_item(link))

    def find_link(self, workstation: WorkstationId, secret: str) -> Link | None:
        with aws_errors():
            answer = self.client.get_item(TableName=self.table, Key=_link_key(workstation, digest_of(secret)))
        item = answer.get("Item")
        return _link_of(item) if item else None

    def links(self, workstation: WorkstationId) -> Sequence[Link]:
        """Every page; the oldest first. Some have expired: DynamoDB deletes them within days."""
        pages = self._pages(
            KeyConditionExpression="workstation = :workstation AND begins_with(kind, :kind)",
            ExpressionAttributeValues={":workstation": {"S": workstation}, ":kind": {"S": _link_kind("")}},
            ConsistentRead=True,
        )
        return sorted((_link_of(item) for item in pages), key=lambda link: link.created_at)

    def used_link(self, link: Link, now: datetime, source: str | None = None) -> None:
        """Written at most once a minute."""
        if link.last_used_at is None or now - link.last_used_at >= timedelta(minutes=1):
            self.change_link(replace(link, last_used_at=now, last_used_from=source))

    def change_link(self, link: Link) -> None:
        """A link that was withdrawn meanwhile does not come back."""
        self._put(_link_item(link), ConditionExpression="attribute_exists(workstation)")

    def withdraw_link(self, link: Link) -> None:
        with aws_errors():
            self.client.delete_item(TableName=self.table, Key=_link_key(link.workstation, link.digest))

    def count_wrong_secret(self, whose: str, now: datetime) -> int:
        """A counter for each source, or workstation, and minute, which expires."""
        digest = hashlib.sha256(whose.encode()).hexdigest()[:16]
        with aws_errors():
            answer = self.client.update_item(
                TableName=self.table,
                Key={"workstation": {"S": "wrong-secrets"}, "kind": {"S": f"{now:%Y-%m-%dT%H:%M}#{digest}"}},
                UpdateExpression="ADD wrong :one SET expires_at = :expires",
                ExpressionAttributeValues={":one": {"N": "1"}, ":expires": _expiry(now, _COUNTED_FOR)},
                ReturnValues="UPDATED_NEW",
            )
        return int(answer["Attributes"]["wrong"]["N"])

    def prices(self) -> Prices | None:
        """Those of the last look; None before the first."""
        with aws_errors():
            item = self.client.get_item(TableName=self.table, Key=_key(_PRICES, _PRICES)).get("Item")
        return from_json(Prices, item["document"]["S"]) if item else None

    def put_prices(self, prices: Prices) -> None:
        self._put(_key(_PRICES, _PRICES) | {"document": {"S": json.dumps(to_plain(prices))}})

    def forget(self, workstation: WorkstationId) -> None:
        """Delete all that is known of it."""
        own = self._pages(
            KeyConditionExpression="workstation = :workstation",
            ExpressionAttributeValues={":workstation": {"S": workstation}},
            ProjectionExpression="workstation, kind",
        )
        for key in [*own, _key(_STATES, workstation)]:
            with aws_errors():
                self.client.delete_item(TableName=self.table, Key=key)

    def _pages(self, **query: Any) -> Iterator[Item]:
        with aws_errors():
            for page in self.client.get_paginator("query").paginate(TableName=self.table, **query):
                yield from page["Items"]

    def _put(self, item: Item, **condition: Any) -> bool:
        """True when it was written; False when the condition refused it."""
        with aws_errors(), AlreadySo("ConditionalCheckFailedException"):
            self.client.put_item(TableName=self.table, Item=item, **condition)
            return True
        return False

    def items_of(self, workstation: WorkstationId) -> list[Item | None]:
        """Outline, details, and what the version before wrote, as of one moment; None for what is not there."""
        keys = (_key(_STATES, workstation), _key(workstation, _DETAILS), _key(workstation, _OLDER_STATE))
        gets: Any = [self._in_transaction("Get", Key=key) for key in keys]
        for _ in range(_TRIES):
            with aws_errors(), AlreadySo("TransactionConflict"):
                answer = self.client.transact_get_items(TransactItems=gets)
                return [each.get("Item") for each in answer["Responses"]]
        raise TransientError("Its state changes too fast just now. Try again in a few seconds.")

    def _write_state(self, state: State, condition: Item, *others: Item) -> bool:
        document = to_plain(state)
        outline = {name: value for name, value in document.items() if name in _OF_OUTLINE}
        details = {name: value for name, value in document.items() if name not in _OF_OUTLINE}
        items = ((_key(_STATES, state.workstation), outline), (_key(state.workstation, _DETAILS), details))
        first, second = (
            key | {"version": {"N": str(state.version)}, "document": {"S": json.dumps(part)}} for key, part in items
        )
        return self._write_together(
            [self._in_transaction("Put", Item=first, **condition), self._in_transaction("Put", Item=second), *others]
        )

    def _write_together(self, items: list[Any]) -> bool:
        """True when all was written; False when a condition, or another's write under way, refused it."""
        with aws_errors(), AlreadySo("ConditionalCheckFailed", "TransactionConflict"):
            self.client.transact_write_items(TransactItems=items)
            return True
        return False

    def _in_transaction(self, what: str, **asked: Any) -> Item:
        return {what: {"TableName": self.table, **asked}}


def _if_version(version: int) -> Item:
    return {"ConditionExpression": "version = :version", "ExpressionAttributeValues": {":version": {"N": str(version)}}}


def _key(workstation: str, kind: str) -> Item:
    return {"workstation": {"S": workstation}, "kind": {"S": kind}}


def _link_key(workstation: WorkstationId, digest: str) -> Item:
    return _key(workstation, _link_kind(digest))


def _link_kind(digest: str) -> str:
    return f"link#{digest}"


def _link_of(item: Item) -> Link:
    return from_json(Link, item["document"]["S"])


def _link_item(link: Link) -> Item:
    """A link that expires goes by itself: every notice makes one."""
    item = _link_key(link.workstation, link.digest) | {"document": {"S": json.dumps(to_plain(link))}}
    return item if link.expires_at is None else item | {"expires_at": _expiry(link.expires_at, timedelta(0))}


def _events(intent: int) -> str:
    return f"{_EVENTS}{intent:08d}#"


def _sweeps(since: str, until: str) -> Item:
    """A query for the journal's items from one key to another."""
    return {
        "KeyConditionExpression": "workstation = :sweep AND kind BETWEEN :since AND :until",
        "ExpressionAttributeValues": {":sweep": {"S": _SWEEP}, ":since": {"S": since}, ":until": {"S": until}},
    }


def _expiry(at: datetime, kept_for: timedelta) -> Item:
    return {"N": str(int((at + kept_for).timestamp()))}


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
