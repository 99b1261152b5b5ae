"""Queries of the table in memory: the key conditions that Autostop uses, in pages as DynamoDB gives them."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from autostop_local.world.errors import AwsError

Item = Mapping[str, Any]

# DynamoDB, `Query`: one answer holds 1 MB of what was read, before the filter.
LARGEST_PAGE = 1024 * 1024
# The keys of the table and of its index, and what the index has besides the keys of both.
_KEYS = {None: ("workstation", "kind"), "overview": ("listed", "workstation")}
_IN_INDEX = ("listed", "workstation", "kind", "brief")
_CONDITION = re.compile(
    r"(?P<hash>\w+) = (?P<is>:\w+)"
    r"( AND begins_with\((?P<range>\w+), (?P<prefix>:\w+)\)"
    r"| AND (?P<between>\w+) BETWEEN (?P<least>:\w+) AND (?P<most>:\w+))?"
)
_KNOWN = frozenset(
    {
        "TableName",
        "IndexName",
        "KeyConditionExpression",
        "FilterExpression",
        "ExpressionAttributeNames",
        "ExpressionAttributeValues",
        "ScanIndexForward",
        "Limit",
        "ConsistentRead",
        "ExclusiveStartKey",
    }
)


@dataclass(frozen=True, slots=True)
class Query:
    """What is asked for: items with one hash key, and range keys from `least` to `most` or with a prefix."""

    index: str | None
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
        index, values = asked.get("IndexName"), asked["ExpressionAttributeValues"]
        if asked.keys() - _KNOWN or index not in _KEYS:
            raise _invalid(f"the table does not know {asked.keys() - _KNOWN or index}")
        if index and asked.get("ConsistentRead"):
            raise _invalid("Consistent reads are not supported on global secondary indexes")
        found = _CONDITION.fullmatch(asked["KeyConditionExpression"])
        hash_key, range_key = _KEYS[index]
        if found is None or found["hash"] != hash_key or (found["range"] or found["between"]) not in {None, range_key}:
            raise _invalid("the table does not know this KeyConditionExpression")
        least, most = (values[found[name]]["S"] if found["between"] else None for name in ("least", "most"))
        if least is not None and most is not None and least > most:
            raise _invalid("The BETWEEN operator requires upper bound to be greater than or equal to lower bound")
        return cls(
            index,
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
            shown = dict(item) if self.index is None else {name: item[name] for name in _IN_INDEX if name in item}
            read += size(shown)
            if page and read > LARGEST_PAGE:
                return {"Items": page, "LastEvaluatedKey": self._key(page[-1])}
            page.append(shown)
            if len(page) == self.limit:
                return {"Items": page, "LastEvaluatedKey": self._key(page[-1])}
        return {"Items": page}

    def _matches(self, item: Item) -> bool:
        hash_key, range_key = _KEYS[self.index]
        if item.get(hash_key) != {"S": self.hash}:
            return False
        place = item[range_key]["S"]
        return bool(place >= self.least and (self.most is None or place <= self.most) and place.startswith(self.prefix))

    def _order(self, item: Item) -> tuple[str, ...]:
        return (item[_KEYS[self.index][1]]["S"], item["workstation"]["S"], item["kind"]["S"])

    def _key(self, item: Item) -> dict[str, Any]:
        return {name: item[name] for name in {*_KEYS[self.index], *_KEYS[None]}}


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
