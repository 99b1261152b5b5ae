"""The table: state, links, leases, and what happened."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from autostop.aws.codec import from_plain, to_plain
from autostop.aws.errors import AlreadySo, aws_errors
from autostop.domain.idle import Verdict
from autostop.domain.link import Link, digest_of
from autostop.domain.workstation import WorkstationId
from autostop.ports import ConflictError, DamagedError, Happened, State, TransientError

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

_KEPT_FOR = timedelta(days=30)
_COUNTED_FOR = timedelta(hours=1)
# BatchGetItem takes 100 keys a call (botocore, `BatchGetItem`).
_MOST_KEYS = 100
_STATE = "state"
_LEASE = "lease"

Item = dict[str, Any]


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
            self._put({**item, "kind": {"S": f"damaged#{digest}"}})
            self.client.delete_item(TableName=self.table, Key=_key(workstation, _STATE))

    def load_all(self, workstations: Sequence[WorkstationId]) -> Mapping[WorkstationId, State]:
        """BatchGetItem; what DynamoDB leaves unread in a storm makes the sweep end, and the next one tries again."""
        states: dict[WorkstationId, State] = {}
        for first in range(0, len(workstations), _MOST_KEYS):
            chunk = workstations[first : first + _MOST_KEYS]
            keys = [_key(workstation, _STATE) for workstation in chunk]
            with aws_errors():
                answer = self.client.batch_get_item(RequestItems={self.table: {"Keys": keys, "ConsistentRead": True}})
            if answer.get("UnprocessedKeys"):
                raise TransientError("DynamoDB is throttling the table")
            items = {item["workstation"]["S"]: item for item in answer["Responses"].get(self.table, [])}
            for workstation in chunk:
                state = _state(items[workstation]) if workstation in items else State(workstation)
                if state is not None:
                    states[workstation] = state
        return states

    def save(self, state: State) -> State:
        """One conditional write; the version is the belief it rests on."""
        saved = replace(state, version=state.version + 1)
        item = _key(state.workstation, _STATE) | {
            "version": {"N": str(saved.version)},
            "document": {"S": json.dumps(to_plain(saved))},
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

    def record_verdict(self, workstation: WorkstationId, verdict: Verdict) -> None:
        """An item that expires."""
        self._put(_entry(workstation, f"verdict#{verdict.at.isoformat()}", verdict, verdict.at))

    def record(self, workstation: WorkstationId, happened: Happened) -> None:
        """An item that expires, in order below its intent."""
        self._put(_entry(workstation, f"{_events(happened.intent)}{happened.at.isoformat()}", happened, happened.at))

    def happened(self, workstation: WorkstationId, intent: int) -> Sequence[Happened]:
        """One query."""
        pages = self.client.get_paginator("query").paginate(
            TableName=self.table,
            KeyConditionExpression="workstation = :workstation AND begins_with(kind, :kind)",
            ExpressionAttributeValues={":workstation": {"S": workstation}, ":kind": {"S": _events(intent)}},
        )
        with aws_errors():
            return [from_plain(Happened, json.loads(item["document"]["S"])) for page in pages for item in page["Items"]]

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
        self._put(_link_key(link.workstation, link.digest) | {"document": {"S": json.dumps(to_plain(link))}})

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
            _link_key(link.workstation, link.digest)
            | {"document": {"S": json.dumps(to_plain(replace(link, last_used_at=now)))}},
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


def _events(intent: int) -> str:
    return f"event#{intent:08d}#"


def _entry(workstation: WorkstationId, kind: str, value: Verdict | Happened, at: datetime) -> Item:
    document = {"document": {"S": json.dumps(to_plain(value))}, "expires_at": _expiry(at, _KEPT_FOR)}
    return _key(workstation, kind) | document


def _expiry(at: datetime, kept_for: timedelta) -> Item:
    return {"N": str(int((at + kept_for).timestamp()))}


def _state(item: Item) -> State | None:
    """None when the item is damaged."""
    try:
        state = from_plain(State, json.loads(item["document"]["S"]))
        return state if state.version == int(item["version"]["N"]) else None
    except (KeyError, ValueError):
        return None
