"""A DynamoDB table in memory: the calls that Autostop makes, with their conditions."""

import re
from collections import deque
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

from autostop_local.world.errors import AwsError
from tests.simulation.query import Query, size

Item = dict[str, Any]

# DynamoDB, "Service, account, and table quotas".
_LARGEST_ITEM = 400 * 1024
# What was before is remembered for so long: no index lags behind further.
LONGEST_LAG = timedelta(minutes=1)

_TOKEN = re.compile(r"\s*(attribute_not_exists|attribute_exists|begins_with|[A-Za-z_]\w*|#\w+|:\w+|<=|>=|[=<>(),])")
_SET = re.compile(r"SET (\w+) = (:\w+)")


class Table:
    """One table with the keys `workstation` and `kind`, and its index `overview`. Nobody changes an item in place.

    Every read of the table is consistent. lag: how far a read of the index is behind; asked for at each.
    """

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self.clock = clock
        self.lag: Callable[[], timedelta] = lambda: timedelta(0)
        self.items: dict[tuple[str, str], Item] = {}
        self._before: deque[tuple[datetime, tuple[str, str], Item | None]] = deque()
        self.operations: dict[str, Callable[[Mapping[str, Any]], dict[str, Any]]] = {
            "GetItem": self._get,
            "PutItem": self._put,
            "UpdateItem": self._update,
            "DeleteItem": self._delete,
            "Query": self._query,
        }

    def _get(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        found = self.items.get(_key(asked["Key"]))
        return {"Item": dict(found)} if found is not None else {}

    def _put(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        key = _key(asked["Item"])
        self._check(asked, key)
        self._write(key, dict(asked["Item"]))
        return {}

    def _update(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        key = _key(asked["Key"])
        self._check(asked, key)
        found = _SET.fullmatch(asked["UpdateExpression"])
        if found is None:
            raise AwsError("ValidationException", f"Invalid UpdateExpression: {asked['UpdateExpression']}")
        item = self.items.get(key, dict(asked["Key"])) | {found[1]: asked["ExpressionAttributeValues"][found[2]]}
        self._write(key, item)
        return {"Attributes": dict(item)}

    def _delete(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        key = _key(asked["Key"])
        self._check(asked, key)
        self._write(key, None)
        return {}

    def _query(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        query = Query.of(asked)
        items = self.items if query.index is None else self._items_before(self.clock() - self.lag())
        page = query.page(list(items.values()))
        if query.filter is not None:
            names = asked.get("ExpressionAttributeNames") or {}
            held = [each for each in page["Items"] if holds(query.filter, each, names, query.values)]
            page = {**page, "Items": held}
        return page

    def _write(self, key: tuple[str, str], item: Item | None) -> None:
        if item is not None and size(item) > _LARGEST_ITEM:
            raise AwsError("ValidationException", "Item size has exceeded the maximum allowed size")
        now = self.clock()
        while self._before and self._before[0][0] < now - LONGEST_LAG:
            self._before.popleft()
        self._before.append((now, key, self.items.get(key)))
        if item is None:
            self.items.pop(key, None)
        else:
            self.items[key] = item

    def _items_before(self, moment: datetime) -> dict[tuple[str, str], Item]:
        """The items without what was written after a moment."""
        items = dict(self.items)
        for at, key, before in reversed(self._before):
            if at <= moment:
                break
            if before is None:
                items.pop(key, None)
            else:
                items[key] = before
        return items

    def _check(self, asked: Mapping[str, Any], key: tuple[str, str]) -> None:
        expression = asked.get("ConditionExpression")
        names, values = asked.get("ExpressionAttributeNames") or {}, asked.get("ExpressionAttributeValues") or {}
        if expression and not holds(expression, self.items.get(key) or {}, names, values):
            raise AwsError("ConditionalCheckFailedException", "The conditional request failed")


def _key(item: Mapping[str, Any]) -> tuple[str, str]:
    return item["workstation"]["S"], item["kind"]["S"]


def holds(expression: str, item: Mapping[str, Any], names: Mapping[str, str], values: Mapping[str, Any]) -> bool:
    """Whether a condition holds: comparisons and attribute_(not_)exists, joined by OR, which binds less than AND."""
    tokens = _TOKEN.findall(expression)
    if "".join(tokens) != re.sub(r"\s", "", expression):
        raise AwsError("ValidationException", f"Invalid ConditionExpression: {expression}")
    return any(
        all(_atom(part, item, names, values) for part in _split(alternative, "AND"))
        for alternative in _split(tokens, "OR")
    )


def _split(tokens: list[str], word: str) -> list[list[str]]:
    parts: list[list[str]] = [[]]
    for token in tokens:
        if token == word:
            parts.append([])
        else:
            parts[-1].append(token)
    return parts


def _atom(tokens: list[str], item: Mapping[str, Any], names: Mapping[str, str], values: Mapping[str, Any]) -> bool:
    match tokens:
        case ["attribute_exists", "(", name, ")"]:
            return names.get(name, name) in item
        case ["attribute_not_exists", "(", name, ")"]:
            return names.get(name, name) not in item
        case [name, ("=" | "<" | ">" | "<=" | ">=") as sign, value]:
            left, right = item.get(names.get(name, name)), values[value]
            return left is not None and _compare(left, sign, right)
        case _:
            raise AwsError("ValidationException", f"Invalid ConditionExpression: {' '.join(tokens)}")


def _compare(left: Mapping[str, str], sign: str, right: Mapping[str, str]) -> bool:
    if left.keys() != right.keys():
        return False
    [(kind, one)], [(_, other)] = left.items(), right.items()
    a, b = (float(one), float(other)) if kind == "N" else (one, other)
    return {"=": a == b, "<": a < b, ">": a > b, "<=": a <= b, ">=": a >= b}[sign]  # type: ignore[operator]  # alike
