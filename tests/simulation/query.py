"""Queries of the table in memory: the key conditions that Autostop uses, in pages as DynamoDB gives them."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from autostop_local.world.errors import AwsError

Item = Mapping[str, Any]

# DynamoDB, `Query`: one answer holds 1 MB of what was read, before the filter.
LARGEST_PAGE = 1024 * 1024
_HASH, _RANGE = "workstation", "kind"
_CONDITION = re.compile(
    r"(?P<hash>\w+) = (?P<is>:\w+)"
    r"( AND begins_with\((?P<range>\w+), (?P<prefix>:\w+)\)"
    r"| AND (?P<between>\w+) BETWEEN (?P<least>:\w+) AND (?P<most>:\w+))?"
)
_KNOWN = frozenset(
    {
        "TableName", "KeyConditionExpression", "FilterExpression", "ExpressionAttributeNames",
        "ExpressionAttributeValues", "ScanIndexForward", "Limit", "ConsistentRead", "ExclusiveStartKey",
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Query:
    """What is asked for: items with one hash key, and range keys from `least` to `most` or with a prefix."""

    hash: str
    least: str
    most: str | None
    prefix: str
    filter: str | None
    values: Mapping[str, Any]
    backwards: bool
    limit: int | None
    after: Item | None

    @classmethod
    def of(cls, asked: Mapping[str, Any]) -> "Query":
        """The query in a call. Raises AwsError for whatever is not known here."""
        values = asked["ExpressionAttributeValues"]
        if asked.keys() - _KNOWN:
            raise _invalid(f"the table does not know {asked.keys() - _KNOWN}")
        found = _CONDITION.fullmatch(asked["KeyConditionExpression"])
        if found is None or found["hash"] != _HASH or (found["range"] or found["between"]) not in {None, _RANGE}:
            raise _invalid("the table does not know this KeyConditionExpression")
        least, most = (values[found[name]]["S"] if found["between"] else None for name in ("least", "most"))
        if least is not None and most is not None and least > most:
            raise _invalid("The BETWEEN operator requires upper bound to be greater than or equal to lower bound")
        return cls(
            values[found["is"]]["S"],
            least or "",
            most,
            values[found["prefix"]]["S"] if found["prefix"] else "",
            asked.get("FilterExpression"),
            values,
            asked.get("ScanIndexForward") is False,
            asked.get("Limit"),
            asked.get("ExclusiveStartKey"),
        )

    def page(self, items: Sequence[Item]) -> dict[str, Any]:
        """The answer of one call, before the filter."""
        found = sorted((item for item in items if self._matches(item)), key=self._order, reverse=self.backwards)
        if self.after is not None:
            behind = self._order(self.after)
            found = [item for item in found if self._order(item) != behind]
            found = [item for item in found if (self._order(item) < behind) is self.backwards]
        page: list[Item] = []
        read = 0
        for item in found:
            read += size(item)
            if page and read > LARGEST_PAGE:
                return {"Items": page, "LastEvaluatedKey": self._key(page[-1])}
            page.append(dict(item))
            if len(page) == self.limit:
                return {"Items": page, "LastEvaluatedKey": self._key(page[-1])}
        return {"Items": page}

    def _matches(self, item: Item) -> bool:
        if item[_HASH] != {"S": self.hash}:
            return False
        place = item[_RANGE]["S"]
        return bool(place >= self.least and (self.most is None or place <= self.most) and place.startswith(self.prefix))

    def _order(self, item: Item) -> str:
        return str(item[_RANGE]["S"])

    def _key(self, item: Item) -> dict[str, Any]:
        return {name: item[name] for name in (_HASH, _RANGE)}


def size(item: Item) -> int:
    """The bytes of an item, as DynamoDB counts them: names and values."""
    return sum(len(name.encode()) + _size(value) for name, value in item.items())


def _size(value: Mapping[str, Any]) -> int:
    [(kind, content)] = value.items()
    match kind:
        case "S":
            return len(content.encode())
        case "B":
            return len(content)
        case "N":
            return len(content) // 2 + 1
        case "BOOL":
            return 1
        case _:
            raise _invalid(f"the table does not know values of type {kind}")


def _invalid(text: str) -> AwsError:
    return AwsError("ValidationException", text)
