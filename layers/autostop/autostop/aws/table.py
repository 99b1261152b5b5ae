"""The one DynamoDB table, with the keys `workstation` and `kind`: how its items are written and read."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from autostop.aws.errors import AlreadySo, aws_errors

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

Item = dict[str, Any]
IF_NEW: Item = {"ConditionExpression": "attribute_not_exists(workstation)"}


@dataclass(frozen=True, slots=True)
class Table:
    """Every method may raise TransientError or DeniedError, and so may those of what is built on it."""

    client: "DynamoDBClient"
    table: str

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

    def _write_together(self, items: list[Any]) -> bool:
        """True when all was written; False when a condition, or another's write under way, refused it."""
        with aws_errors(), AlreadySo("ConditionalCheckFailed", "TransactionConflict"):
            self.client.transact_write_items(TransactItems=items)
            return True
        return False

    def _in_transaction(self, what: str, **asked: Any) -> Item:
        return {what: {"TableName": self.table, **asked}}


def key(workstation: str, kind: str) -> Item:
    """The key of one item; what is of no single workstation has a word in its place."""
    return {"workstation": {"S": workstation}, "kind": {"S": kind}}


def expiry(at: datetime, kept_for: timedelta) -> Item:
    """The attribute by which DynamoDB deletes an item, within days of that moment."""
    return {"N": str(int((at + kept_for).timestamp()))}
