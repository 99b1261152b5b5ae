"""A DynamoDB table in memory: the calls that Autostop makes, with their conditions."""

import re
from collections.abc import Callable, Mapping
from typing import Any

from autostop_local.world.errors import AwsError

Item = dict[str, Any]

_TOKEN = re.compile(r"\s*(attribute_not_exists|attribute_exists|begins_with|[A-Za-z_]\w*|#\w+|:\w+|<=|>=|[=<>(),])")
_SET = re.compile(r"SET (\w+) = (:\w+)")


class Table:
    """One table with the keys `workstation` and `kind`; every read is consistent. Nobody changes an item in place."""

    def __init__(self) -> None:
        self.items: dict[tuple[str, str], Item] = {}
        self.operations: dict[str, Callable[[Mapping[str, Any]], dict[str, Any]]] = {
            "GetItem": self._get,
            "BatchGetItem": self._batch_get,
            "PutItem": self._put,
            "UpdateItem": self._update,
            "DeleteItem": self._delete,
            "Query": self._query,
        }

    def _get(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        found = self.items.get(_key(asked["Key"]))
        return {"Item": dict(found)} if found is not None else {}

    def _batch_get(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        [(table, wanted)] = asked["RequestItems"].items()
        found = [self.items.get(_key(key)) for key in wanted["Keys"]]
        return {
            "Responses": {table: [dict(item) for item in found if item is not None]},
            "UnprocessedKeys": {},
        }

    def _put(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        key = _key(asked["Item"])
        self._check(asked, key)
        self.items[key] = dict(asked["Item"])
        return {}

    def _update(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        key = _key(asked["Key"])
        self._check(asked, key)
        found = _SET.fullmatch(asked["UpdateExpression"])
        if found is None:
            raise AwsError("ValidationException", f"Invalid UpdateExpression: {asked['UpdateExpression']}")
        item = self.items.get(key, dict(asked["Key"])) | {found[1]: asked["ExpressionAttributeValues"][found[2]]}
        self.items[key] = item
        return {"Attributes": dict(item)}

    def _delete(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        key = _key(asked["Key"])
        self._check(asked, key)
        self.items.pop(key, None)
        return {}

    def _query(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        values = asked["ExpressionAttributeValues"]
        if asked["KeyConditionExpression"] != "workstation = :workstation AND begins_with(kind, :kind)":
            raise AwsError("ValidationException", "the table does not know this key condition")
        workstation, prefix = values[":workstation"]["S"], values[":kind"]["S"]
        found = [key for key in self.items if key[0] == workstation and key[1].startswith(prefix)]
        return {"Items": [dict(self.items[key]) for key in sorted(found)]}

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
