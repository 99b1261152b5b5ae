"""A DynamoDB table in memory: the calls that Autostop makes, with their conditions."""

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from autostop_local.world.errors import AwsError
from tests.simulation.query import Query, size

Item = dict[str, Any]

# DynamoDB, "Service, account, and table quotas".
_LARGEST_ITEM = 400 * 1024
# DynamoDB, `BatchGetItem`, `TransactGetItems` and `TransactWriteItems`.
_MOST_KEYS, _MOST_IN_TRANSACTION, _LARGEST_BATCH = 100, 100, 16 * 1024 * 1024
_A_TOKEN_HOLDS_FOR = timedelta(minutes=10)

_TOKEN = re.compile(r"\s*(attribute_not_exists|attribute_exists|begins_with|[A-Za-z_]\w*|#\w+|:\w+|<=|>=|[=<>(),])")
_SET = re.compile(r"SET (\w+) = (:\w+)")


class CancelledError(AwsError):
    """A transaction of which nothing was done. reasons: a code for each of its parts, `None` where it was none."""

    def __init__(self, reasons: Sequence[str]) -> None:
        shown = f"Transaction cancelled, please refer cancellation reasons for specific reasons [{', '.join(reasons)}]"
        super().__init__("TransactionCanceledException", shown)
        self.reasons = [{"Code": reason} for reason in reasons]


class Table:
    """One table with the keys `workstation` and `kind`. Nobody changes an item in place; every read is consistent."""

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self.clock = clock
        self.items: dict[tuple[str, str], Item] = {}
        self._done: dict[str, tuple[datetime, object]] = {}
        self.operations: dict[str, Callable[[Mapping[str, Any]], dict[str, Any]]] = {
            "GetItem": self._get, "BatchGetItem": self._get_batch, "TransactGetItems": self._get_together,
            "PutItem": self._put, "UpdateItem": self._update, "DeleteItem": self._delete,
            "TransactWriteItems": self._write_together, "Query": self._query,
        }  # fmt: skip

    def _get(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        found = self.items.get(_key(asked["Key"]))
        return {"Item": dict(found)} if found is not None else {}

    def _get_batch(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """Up to 16 MB; what is beyond is left for another call."""
        [(name, one)] = asked["RequestItems"].items()
        keys = [_key(key) for key in one["Keys"]]
        if not 0 < len(keys) <= _MOST_KEYS or len(set(keys)) < len(keys):
            raise AwsError("ValidationException", "Provided list of item keys contains duplicates, or is too long")
        found: list[Item] = []
        for number, key in enumerate(keys):
            item = self.items.get(key)
            if item is not None and sum(map(size, [*found, item])) > _LARGEST_BATCH:
                left = {name: {**one, "Keys": one["Keys"][number:]}}
                return {"Responses": {name: found}, "UnprocessedKeys": left}
            found += [dict(item)] if item is not None else []
        return {"Responses": {name: found}, "UnprocessedKeys": {}}

    def _get_together(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        gets = [part["Get"] for part in asked["TransactItems"]]
        _are_apart([_key(get["Key"]) for get in gets])
        return {"Responses": [self._get(get) for get in gets]}

    def _write_together(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """All or nothing; asked for again with the token of one that was done, it is done already."""
        token, now = asked.get("ClientRequestToken"), self.clock()
        self._done = {key: each for key, each in self._done.items() if now - each[0] < _A_TOKEN_HOLDS_FOR}
        if token in self._done:
            if self._done[token][1] != asked["TransactItems"]:
                raise AwsError("IdempotentParameterMismatchException", "another request had this token")
            return {}
        parts = [next(iter(part.items())) for part in asked["TransactItems"]]
        keys = [_key(part.get("Item") or part["Key"]) for _, part in parts]
        _are_apart(keys)
        if unknown := {what for what, _ in parts} - {"Put", "Delete", "ConditionCheck"}:
            raise AwsError("ValidationException", f"the table does not know {unknown} in a transaction")
        held = [self._holds(part, key) for (_, part), key in zip(parts, keys, strict=True)]
        if not all(held):
            raise CancelledError(["None" if each else "ConditionalCheckFailed" for each in held])
        after = [
            (key, part.get("Item")) for (what, part), key in zip(parts, keys, strict=True) if what != "ConditionCheck"
        ]
        for _, item in after:
            _fits(item)
        for key, item in after:
            self._write(key, item)
        if token is not None:
            self._done[token] = (now, asked["TransactItems"])
        return {}

    def _put(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        key = _key(asked["Item"])
        self._check(asked, key)
        self._write(key, asked["Item"])
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
        page = query.page([item for (partition, _), item in self.items.items() if partition == query.hash])
        if query.filter is not None:
            names = asked.get("ExpressionAttributeNames") or {}
            held = [each for each in page["Items"] if holds(query.filter, each, names, query.values)]
            page = {**page, "Items": held}
        return page

    def _write(self, key: tuple[str, str], item: Item | None) -> None:
        _fits(item)
        if item is None:
            self.items.pop(key, None)
        else:
            self.items[key] = dict(item)

    def _check(self, asked: Mapping[str, Any], key: tuple[str, str]) -> None:
        if not self._holds(asked, key):
            raise AwsError("ConditionalCheckFailedException", "The conditional request failed")

    def _holds(self, asked: Mapping[str, Any], key: tuple[str, str]) -> bool:
        expression = asked.get("ConditionExpression")
        names, values = asked.get("ExpressionAttributeNames") or {}, asked.get("ExpressionAttributeValues") or {}
        return not expression or holds(expression, self.items.get(key) or {}, names, values)


def _key(item: Mapping[str, Any]) -> tuple[str, str]:
    return item["workstation"]["S"], item["kind"]["S"]


def _fits(item: Item | None) -> None:
    if item is not None and size(item) > _LARGEST_ITEM:
        raise AwsError("ValidationException", "Item size has exceeded the maximum allowed size")


def _are_apart(keys: Sequence[tuple[str, str]]) -> None:
    if not 0 < len(keys) <= _MOST_IN_TRANSACTION or len(set(keys)) < len(keys):
        raise AwsError("ValidationException", "Transaction request cannot include multiple operations on one item")


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
