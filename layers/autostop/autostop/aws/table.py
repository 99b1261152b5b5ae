"""The table: state, links, leases, what sweeps saw, and what happened."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from autostop.aws.codec import from_plain, to_plain
from autostop.aws.errors import AlreadySo, aws_errors
from autostop.aws.journal import Item, key_of, packed, record_of, records
from autostop.idle.record import SweepRecord
from autostop.link import Link, digest_of
from autostop.model import WorkstationId
from autostop.ports import Brief, ConflictError, DamagedError, Happened, State

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

_KEPT_FOR = timedelta(days=30)
_COUNTED_FOR = timedelta(hours=1)
# What an older sweep saw tells nothing about now.
_LATEST_WITHIN = timedelta(hours=1)
_LAST_PART = 9999
_STATE = "state"
_LEASE = "lease"
_SWEEP = "sweep"
_OVERVIEW = "overview"


@dataclass(frozen=True, slots=True)
class DynamoLedger:
    """The port `Ledger` on one DynamoDB table with the keys `workstation` and `kind`."""

    client: "DynamoDBClient"
    table: str

    def load(self, workstation: WorkstationId) -> State:
        """Read consistently: a decision must not rest on what was before the owner's tap."""
        with aws_errors():
            answer = self.client.get_item(TableName=self.table, Key=_key(workstation, _STATE), ConsistentRead=True)
        item = answer.get("Item")
        if item is None:
            return State(workstation)
        state = _state(item)
        if state is None:
            raise DamagedError(
                f"the item `{_STATE}` of {workstation} in the table is damaged. Its volumes are left alone. "
                f"Run `autostop recover {workstation}`."
            )
        return state

    def set_aside(self, workstation: WorkstationId) -> None:
        """Copied under another kind, then deleted; safe to repeat."""
        with aws_errors():
            answer = self.client.get_item(TableName=self.table, Key=_key(workstation, _STATE), ConsistentRead=True)
            item = answer.get("Item")
            if item is None or _state(item) is not None:
                return
            digest = hashlib.sha256(repr(sorted(item.items())).encode()).hexdigest()[:16]
            kept = {name: value for name, value in item.items() if name != "listed"}
            self._put({**kept, "kind": {"S": f"damaged#{digest}"}})
            self.client.delete_item(TableName=self.table, Key=_key(workstation, _STATE))

    def overview(self) -> Mapping[WorkstationId, Brief]:
        """Every page of the index: 1 MB each, which holds a thousand briefs."""
        pages = self._pages(
            IndexName=_OVERVIEW,
            KeyConditionExpression="listed = :listed",
            ExpressionAttributeValues={":listed": {"S": _STATE}},
        )
        briefs = [_brief(item) for item in pages]
        return {brief.workstation: brief for brief in briefs if brief is not None}

    def save(self, state: State) -> State:
        """One conditional write; the version is the belief it rests on."""
        saved = replace(state, version=state.version + 1)
        item = _key(state.workstation, _STATE) | {
            "version": {"N": str(saved.version)},
            "document": {"S": json.dumps(to_plain(saved))},
            # Only states have these two, and so only states are in the index.
            "listed": {"S": _STATE},
            "brief": {"S": json.dumps(to_plain(Brief.of(saved)))},
        }
        first = {"ConditionExpression": "attribute_not_exists(workstation)"}
        later = {
            "ConditionExpression": "version = :version",
            "ExpressionAttributeValues": {":version": {"N": str(state.version)}},
        }
        condition: dict[str, Any] = later if state.version else first
        if not self._put(item, **condition):
            raise ConflictError(state.workstation)
        return saved

    def write_journal(self, seen: Sequence[SweepRecord], at: datetime) -> None:
        """Items that expire, each for up to 500 workstations."""
        for part in packed(seen, at):
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

    def seen(self, workstation: WorkstationId, since: datetime, until: datetime) -> Sequence[SweepRecord]:
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
            | {"document": {"S": json.dumps(to_plain(happened))}, "expires_at": _expiry(happened.at, _KEPT_FOR)}
        )

    def happened(self, workstation: WorkstationId, intent: int) -> Sequence[Happened]:
        """One query."""
        pages = self._pages(
            KeyConditionExpression="workstation = :workstation AND begins_with(kind, :kind)",
            ExpressionAttributeValues={":workstation": {"S": workstation}, ":kind": {"S": _events(intent)}},
        )
        return [from_plain(Happened, json.loads(item["document"]["S"])) for item in pages]

    def take_lease(self, workstation: WorkstationId, holder: str, now: datetime, until: datetime) -> bool:
        """An item of its own, so that no lease disturbs the versions of the state."""
        return self._put(
            _key(workstation, _LEASE) | {"holder": {"S": holder}, "until": {"N": str(until.timestamp())}},
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
        """GetItem by digest."""
        with aws_errors():
            answer = self.client.get_item(TableName=self.table, Key=_link_key(workstation, digest_of(secret)))
        item = answer.get("Item")
        return from_plain(Link, json.loads(item["document"]["S"])) if item else None

    def used_link(self, link: Link, now: datetime) -> None:
        """Written at most once a minute; a link that was revoked meanwhile does not come back."""
        if link.last_used_at is not None and now - link.last_used_at < timedelta(minutes=1):
            return
        self._put(
            _link_item(replace(link, last_used_at=now)),
            ConditionExpression="attribute_exists(workstation)",
        )

    def count_wrong_secret(self, source: str, now: datetime) -> int:
        """A counter for each source and minute, which expires."""
        digest = hashlib.sha256(source.encode()).hexdigest()[:16]
        with aws_errors():
            answer = self.client.update_item(
                TableName=self.table,
                Key={"workstation": {"S": "wrong-secrets"}, "kind": {"S": f"{now:%Y-%m-%dT%H:%M}#{digest}"}},
                UpdateExpression="ADD wrong :one SET expires_at = :expires",
                ExpressionAttributeValues={":one": {"N": "1"}, ":expires": _expiry(now, _COUNTED_FOR)},
                ReturnValues="UPDATED_NEW",
            )
        return int(answer["Attributes"]["wrong"]["N"])

    def _pages(self, **query: Any) -> Iterator[Item]:
        """The items of all pages of a query."""
        with aws_errors():
            for page in self.client.get_paginator("query").paginate(TableName=self.table, **query):
                yield from page["Items"]

    def _put(self, item: Item, **condition: Any) -> bool:
        """True when it was written; False when the condition refused it."""
        with aws_errors(), AlreadySo("ConditionalCheckFailedException"):
            self.client.put_item(TableName=self.table, Item=item, **condition)
            return True
        return False


def _key(workstation: WorkstationId, kind: str) -> Item:
    return {"workstation": {"S": workstation}, "kind": {"S": kind}}


def _link_key(workstation: WorkstationId, digest: str) -> Item:
    return _key(workstation, f"link#{digest}")


def _link_item(link: Link) -> Item:
    """A link that expires goes by itself: every notice makes one."""
    item = _link_key(link.workstation, link.digest) | {"document": {"S": json.dumps(to_plain(link))}}
    return item if link.expires_at is None else item | {"expires_at": _expiry(link.expires_at, timedelta(0))}


def _events(intent: int) -> str:
    return f"event#{intent:08d}#"


def _sweeps(since: str, until: str) -> Item:
    """A query for the journal's items from one key to another."""
    return {
        "KeyConditionExpression": "workstation = :sweep AND kind BETWEEN :since AND :until",
        "ExpressionAttributeValues": {":sweep": {"S": _SWEEP}, ":since": {"S": since}, ":until": {"S": until}},
    }


def _expiry(at: datetime, kept_for: timedelta) -> Item:
    return {"N": str(int((at + kept_for).timestamp()))}


def _state(item: Item) -> State | None:
    """None when the item is damaged."""
    try:
        state = from_plain(State, json.loads(item["document"]["S"]))
        return state if state.version == int(item["version"]["N"]) else None
    except (KeyError, ValueError):
        return None


def _brief(item: Item) -> Brief | None:
    """None when the brief is absent or damaged."""
    try:
        brief = from_plain(Brief, json.loads(item["brief"]["S"]))
        return brief if brief.workstation == item["workstation"]["S"] else None
    except (KeyError, ValueError):
        return None
