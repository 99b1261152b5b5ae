"""The table in memory refuses and answers what DynamoDB would: the same calls to it and to moto."""

import ast
import inspect
import re
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError
from moto import mock_aws

from autostop.aws import dynamodb
from autostop_local.world.errors import AwsError
from tests.simulation.table import Table
from tests.usecases.autostop_at_work import TABLE, make_table

KEY = {"workstation": {"S": "i-1"}, "kind": {"S": "lease"}}
OTHER = {"workstation": {"S": "i-1"}, "kind": {"S": "state"}}
LEASE = KEY | {"holder": {"S": "me"}, "until": {"N": "1700000000.5"}}
KNOCKED = LEASE | {"knocked": {"BOOL": True}}
SEEN = KEY | {"version": {"N": "7"}}

NEW = "attribute_not_exists(workstation)"
THERE = "attribute_exists(workstation)"
VERSION = "version = :version"
FREE = "attribute_not_exists(workstation) OR #until < :now OR holder = :holder"
TO_KNOCK = "attribute_exists(workstation) AND attribute_not_exists(knocked)"
MINE = "holder = :holder"
MINE_AND_QUIET = "holder = :holder AND attribute_not_exists(knocked)"

Item = dict[str, Any]


def free(now: str, holder: str) -> Item:
    values = {":now": {"N": now}, ":holder": {"S": holder}}
    return {"ExpressionAttributeNames": {"#until": "until"}, "ExpressionAttributeValues": values}


def values(**given: Item) -> Item:
    return {"ExpressionAttributeValues": {f":{name}": value for name, value in given.items()}}


YES, NO = True, False
# What is in the table, the condition, its names and values, and whether it holds.
CASES: dict[str, tuple[Item | None, str, Item, bool]] = {
    "new, and nothing is there": (None, NEW, {}, YES),
    "new, and it is there": (SEEN, NEW, {}, NO),
    "there": (SEEN, THERE, {}, YES),
    "there, and it is not": (None, THERE, {}, NO),
    "the version that was read": (SEEN, VERSION, values(version={"N": "7"}), YES),
    "the same number, written otherwise": (SEEN, VERSION, values(version={"N": "7.0"}), YES),
    "another version": (SEEN, VERSION, values(version={"N": "8"}), NO),
    "a version of another type": (SEEN, VERSION, values(version={"S": "7"}), NO),
    "an item without a version": (KEY, VERSION, values(version={"N": "7"}), NO),
    "a version where nothing is": (None, VERSION, values(version={"N": "7"}), NO),
    "free: no lease": (None, FREE, free("1", "me"), YES),
    "free: it has run out": (LEASE, FREE, free("1700000000.6", "you"), YES),
    "free: it runs out now": (LEASE, FREE, free("1700000000.5", "you"), NO),
    "free: another's still": (LEASE, FREE, free("1700000000.4", "you"), NO),
    "free: fewer digits are not less": (LEASE, FREE, free("9", "you"), NO),
    "free: my own": (LEASE, FREE, free("1700000000.4", "me"), YES),
    "free: a lease without an end": (KEY | {"holder": {"S": "me"}}, FREE, free("1", "you"), NO),
    "to knock at a lease": (LEASE, TO_KNOCK, {}, YES),
    "to knock where somebody has": (KNOCKED, TO_KNOCK, {}, NO),
    "to knock at nothing": (None, TO_KNOCK, {}, NO),
    "mine": (LEASE, MINE, values(holder={"S": "me"}), YES),
    "mine, with a knock": (KNOCKED, MINE, values(holder={"S": "me"}), YES),
    "another's": (LEASE, MINE, values(holder={"S": "you"}), NO),
    "nobody's": (None, MINE, values(holder={"S": "me"}), NO),
    "mine and quiet": (LEASE, MINE_AND_QUIET, values(holder={"S": "me"}), YES),
    "mine, not quiet": (KNOCKED, MINE_AND_QUIET, values(holder={"S": "me"}), NO),
    "another's, and quiet": (LEASE, MINE_AND_QUIET, values(holder={"S": "you"}), NO),
}
WRITES: dict[str, Item] = {
    "PutItem": {"Item": KEY | {"written": {"S": "yes"}}},
    "UpdateItem": {"Key": KEY, "UpdateExpression": "SET written = :yes", "ReturnValues": "ALL_NEW"},
    "DeleteItem": {"Key": KEY},
}


class Both:
    """One call to the table in memory and to moto's; they must agree."""

    def __init__(self, client: Any) -> None:
        self.client, self.table = client, Table()

    def __call__(self, operation: str, **asked: Any) -> Item | str:
        """The answer, or the code of the error."""
        method = re.sub(r"(?<!^)(?=[A-Z])", "_", operation).lower()
        theirs: Item | str
        try:
            theirs = dict(getattr(self.client, method)(**asked))
            for more in ("ResponseMetadata", "ConsumedCapacity", "Count", "ScannedCount"):
                theirs.pop(more, None)
        except ClientError as error:
            theirs = error.response["Error"]["Code"]
        ours: Item | str
        try:
            ours = self.table.operations[operation](asked)
        except AwsError as error:
            ours = error.code
        assert ours == theirs
        return ours

    def all(self) -> list[Item]:
        items = list(self.client.scan(TableName=TABLE)["Items"])
        assert sorted(map(str, self.table.items.values())) == sorted(map(str, map(dict, items)))
        return items


@pytest.fixture
def both(monkeypatch: pytest.MonkeyPatch) -> Iterator[Both]:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    with mock_aws():
        yield Both(make_table())


@pytest.mark.parametrize("operation", WRITES)
@pytest.mark.parametrize(("item", "condition", "given", "holds"), CASES.values(), ids=CASES)
def test_a_condition_holds_where_dynamodbs_does(
    both: Both, operation: str, item: Item | None, condition: str, given: Item, holds: bool
) -> None:
    if item is not None:
        both("PutItem", TableName=TABLE, Item=item)
    write = dict(WRITES[operation])
    if operation == "UpdateItem":
        given = {
            **given,
            "ExpressionAttributeValues": {**given.get("ExpressionAttributeValues", {}), ":yes": {"S": "yes"}},
        }
    answer = both(operation, TableName=TABLE, ConditionExpression=condition, **write, **given)
    assert (answer != "ConditionalCheckFailedException") is holds
    left = both.all()
    if not holds:
        assert left == ([item] if item else [])
    else:
        assert [each.get("written") for each in left] == ([] if operation == "DeleteItem" else [{"S": "yes"}])


def test_every_condition_of_the_ledger_is_among_the_cases() -> None:
    source = inspect.getsource(dynamodb)
    texts = {str(node.value) for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Constant)}
    conditions = {each for each in texts if re.match(r"attribute_\w+\(|#?\w+ [<=>]+ :", each)}
    conditions = {each for each in conditions if "begins_with" not in each}
    assert len(conditions) >= 5
    assert conditions <= {condition for _, condition, _, _ in CASES.values()}


def test_reads_answer_as_dynamodb_does(both: Both) -> None:
    both("PutItem", TableName=TABLE, Item=LEASE)
    for second in (3, 1, 2):
        both("PutItem", TableName=TABLE, Item=OTHER | {"kind": {"S": f"event#00000007#{second}"}})
    assert both("GetItem", TableName=TABLE, Key=KEY, ConsistentRead=True) == {"Item": LEASE}
    assert both("GetItem", TableName=TABLE, Key=OTHER) == {}
    wanted = {TABLE: {"Keys": [KEY, OTHER], "ConsistentRead": True}}
    assert both("BatchGetItem", RequestItems=wanted) == {"Responses": {TABLE: [LEASE]}, "UnprocessedKeys": {}}
    for prefix, count in (("event#00000007#", 3), ("event#00000008#", 0), ("event#", 3), ("l", 1)):
        answer = both(
            "Query",
            TableName=TABLE,
            KeyConditionExpression="workstation = :workstation AND begins_with(kind, :kind)",
            **values(workstation={"S": "i-1"}, kind={"S": prefix}),
        )
        assert isinstance(answer, dict)
        assert len(answer["Items"]) == count


def test_what_it_does_not_know_is_an_error_and_no_guess() -> None:
    table = Table()
    for condition in ("size(holder) > :one", "NOT holder = :one", "holder <> :one"):
        with pytest.raises(AwsError, match="ConditionExpression"):
            table.operations["PutItem"]({"Item": KEY, "ConditionExpression": condition, **values(one={"N": "1"})})
    with pytest.raises(AwsError, match="UpdateExpression"):
        table.operations["UpdateItem"]({"Key": KEY, "UpdateExpression": "REMOVE knocked"})
    assert table.items == {}
