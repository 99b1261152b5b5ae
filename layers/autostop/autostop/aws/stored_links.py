"""The links, under their secrets' digests, so that each is found without a search; and how many wrong ones came."""

import hashlib
import json
from collections.abc import Sequence
from datetime import datetime, timedelta

from autostop.aws.codec import from_json, to_plain
from autostop.aws.errors import aws_errors
from autostop.aws.table import Item, Table, expiry, key
from autostop.link import Link, digest_of
from autostop.model import WorkstationId

_COUNTED_FOR = timedelta(hours=1)


class StoredLinks(Table):
    """An item for each; those that have expired go by themselves."""

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
                ExpressionAttributeValues={":one": {"N": "1"}, ":expires": expiry(now, _COUNTED_FOR)},
                ReturnValues="UPDATED_NEW",
            )
        return int(answer["Attributes"]["wrong"]["N"])


def _link_key(workstation: WorkstationId, digest: str) -> Item:
    return key(workstation, _link_kind(digest))


def _link_kind(digest: str) -> str:
    return f"link#{digest}"


def _link_of(item: Item) -> Link:
    return from_json(Link, item["document"]["S"])


def _link_item(link: Link) -> Item:
    """A link that expires goes by itself: every notice makes one."""
    item = _link_key(link.workstation, link.digest) | {"document": {"S": json.dumps(to_plain(link))}}
    return item if link.expires_at is None else item | {"expires_at": expiry(link.expires_at, timedelta(0))}
