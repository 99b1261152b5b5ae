"""The table in memory refuses and answers what DynamoDB would: the same calls to it and to moto."""

import ast
import inspect
import itertools
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from moto import mock_aws

from autostop.aws import journal, leases, ledger, states, stored_links, table
from autostop_local.world import VirtualClock
from autostop_local.world.errors import AwsError
from tests.handlers.table import TABLE, make_table
from tests.simulation.table import CancelledError, Table

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

NOW = datetime(2026, 11, 23, 18, 30, tzinfo=UTC)
BY_PREFIX = "workstation = :workstation AND begins_with(kind, :kind)"
BETWEEN = "workstation = :sweep AND kind BETWEEN :since AND :until"
OF_ONE = "workstation = :workstation"
HAS = "#first <= :workstation AND #last >= :workstation"


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
PARTS = ("Put", "Delete", "ConditionCheck")


def part_of(what: str, **asked: Any) -> Item:
    """One part of a transaction on the lease's item."""
    item = {"Item": KEY | {"written": {"S": "yes"}}} if what == "Put" else {"Key": KEY}
    return {what: {"TableName": TABLE, **item, **asked}}


class Both:
    """One call to the table in memory and to moto's; they must agree."""

    def __init__(self, client: Any) -> None:
        self.client, self.table = client, Table(VirtualClock(NOW))

    def __call__(self, operation: str, **asked: Any) -> Item | str:
        """The answer, or the code of the error; the codes of all parts of a cancelled transaction."""
        method = re.sub(r"(?<!^)(?=[A-Z])", "_", operation).lower()
        theirs: Item | str
        try:
            theirs = dict(getattr(self.client, method)(**asked))
            # moto tells of a next page only when there is one; DynamoDB does so whenever a limit was reached.
            for more in ("ResponseMetadata", "ConsumedCapacity", "ItemCollectionMetrics", "Count", "ScannedCount"):
                theirs.pop(more, None)
            theirs.pop("LastEvaluatedKey", None)
            if operation == "TransactGetItems":
                given = theirs["Responses"]
                theirs["Responses"] = [{"Item": each["Item"]} if each.get("Item") else {} for each in given]
        except ClientError as error:
            theirs = error.response["Error"]["Code"]
            if "CancellationReasons" in error.response:
                theirs = " ".join(reason["Code"] for reason in error.response["CancellationReasons"])
        ours: Item | str
        try:
            ours = dict(self.table.operations[operation](asked))
            self.next = ours.pop("LastEvaluatedKey", None)
        except CancelledError as error:
            ours = " ".join(reason["Code"] for reason in error.reasons)
        except AwsError as error:
            ours = error.code
        assert ours == theirs
        return ours

    def all(self) -> list[Item]:
        items = list(self.client.scan(TableName=TABLE)["Items"])
        assert sorted(map(str, self.table.items.values())) == sorted(map(str, map(dict, items)))
        return items


@pytest.fixture(scope="module")
def dynamodb_of_moto() -> Iterator[Any]:
    """Made once: making it takes longer than all tests."""
    with mock_aws():
        yield make_table(boto3.client("dynamodb", "us-east-1"))


@pytest.fixture
def both(dynamodb_of_moto: Any) -> Iterator[Both]:
    yield Both(dynamodb_of_moto)
    for page in list(dynamodb_of_moto.get_paginator("scan").paginate(TableName=TABLE)):
        for item in page["Items"]:
            dynamodb_of_moto.delete_item(TableName=TABLE, Key={name: item[name] for name in ("workstation", "kind")})


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


@pytest.mark.parametrize("what", PARTS)
@pytest.mark.parametrize(("item", "condition", "given", "holds"), CASES.values(), ids=CASES)
def test_a_transaction_is_done_as_a_whole_or_not_at_all(
    both: Both, what: str, item: Item | None, condition: str, given: Item, holds: bool
) -> None:
    before = [item] if item is not None else []
    for each in before:
        both("PutItem", TableName=TABLE, Item=each)
    other = {"Put": {"TableName": TABLE, "Item": OTHER}}
    judged = part_of(what, ConditionExpression=condition, **given)
    answer = both("TransactWriteItems", TransactItems=[other, judged])
    left = both.all()
    if not holds:
        assert answer == "None ConditionalCheckFailed"
        assert left == before
    else:
        kept = {"Put": [KEY | {"written": {"S": "yes"}}], "Delete": [], "ConditionCheck": before}[what]
        assert sorted(map(str, left)) == sorted(map(str, [OTHER, *kept]))


def test_items_are_read_together(both: Both) -> None:
    both("PutItem", TableName=TABLE, Item=LEASE)
    gets = [{"Get": {"TableName": TABLE, "Key": key}} for key in (OTHER, KEY)]
    assert both("TransactGetItems", TransactItems=gets) == {"Responses": [{}, {"Item": LEASE}]}


def test_many_items_are_read_in_one_call(both: Both) -> None:
    keys = [{"workstation": {"S": f"i-{number}"}, "kind": {"S": "state"}} for number in range(100)]
    for key in keys[:50]:
        both("PutItem", TableName=TABLE, Item=key)
    answer = both("BatchGetItem", RequestItems={TABLE: {"Keys": keys, "ConsistentRead": True}})
    assert answer == {"Responses": {TABLE: keys[:50]}, "UnprocessedKeys": {}}
    for refused in ([*keys, OTHER], [OTHER, OTHER]):
        assert both("BatchGetItem", RequestItems={TABLE: {"Keys": refused}}) == "ValidationException"


def test_what_is_beyond_sixteen_megabytes_of_many_items_is_left_for_another_call() -> None:
    table = Table(VirtualClock(NOW))
    keys = [{"workstation": {"S": f"i-{number}"}, "kind": {"S": "state"}} for number in range(50)]
    for key in keys:
        table.operations["PutItem"]({"Item": key | {"document": {"B": bytes(399_000)}}})
    answer = table.operations["BatchGetItem"]({"RequestItems": {TABLE: {"Keys": keys, "ConsistentRead": True}}})
    assert len(answer["Responses"][TABLE]) == 42
    assert answer["UnprocessedKeys"] == {TABLE: {"Keys": keys[42:], "ConsistentRead": True}}


def test_a_transaction_that_is_sent_again_is_done_once_and_its_token_means_no_other() -> None:
    clock = VirtualClock(NOW)
    table = Table(clock)
    write = table.operations["TransactWriteItems"]
    asked: Item = {"TransactItems": [part_of("Put", ConditionExpression=NEW)], "ClientRequestToken": "one"}
    assert write(asked) == write(asked) == {}
    with pytest.raises(CancelledError):
        write({**asked, "ClientRequestToken": "another"})
    with pytest.raises(AwsError, match="IdempotentParameterMismatch"):
        write({**asked, "TransactItems": [part_of("Delete")]})
    clock.advance(timedelta(minutes=10))
    with pytest.raises(CancelledError):
        write(asked)


@pytest.mark.parametrize(
    "parts",
    [[], [part_of("Put"), part_of("Delete")], [{"Update": {"TableName": TABLE, "Key": KEY}}]],
    ids=["none", "one item twice", "a part that it does not know"],
)
def test_a_transaction_that_it_does_not_know_is_an_error_and_no_guess(parts: list[Item]) -> None:
    table = Table(VirtualClock(NOW))
    with pytest.raises(AwsError, match="ValidationException"):
        table.operations["TransactWriteItems"]({"TransactItems": parts})
    assert table.items == {}


def test_every_condition_of_the_ledger_is_among_the_cases() -> None:
    modules = (journal, leases, ledger, states, stored_links, table)
    source = "".join(inspect.getsource(module) for module in modules)
    texts = {str(node.value) for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Constant)}
    conditions = {each for each in texts if re.match(r"attribute_\w+\(|#?\w+ [<=>]+ :", each)}
    queries = {BY_PREFIX, BETWEEN, OF_ONE, HAS}
    assert queries < conditions
    assert len(conditions - queries) >= 5
    assert conditions - queries <= {condition for _, condition, _, _ in CASES.values()}


def test_reads_answer_as_dynamodb_does(both: Both) -> None:
    both("PutItem", TableName=TABLE, Item=LEASE)
    for second in (3, 1, 2):
        both("PutItem", TableName=TABLE, Item=OTHER | {"kind": {"S": f"event#00000007#{second}"}})
    assert both("GetItem", TableName=TABLE, Key=KEY, ConsistentRead=True) == {"Item": LEASE}
    assert both("GetItem", TableName=TABLE, Key=OTHER) == {}
    for prefix, count in (("event#00000007#", 3), ("event#00000008#", 0), ("event#", 3), ("l", 1)):
        assert len(found(both, BY_PREFIX, **values(workstation={"S": "i-1"}, kind={"S": prefix}))) == count


def found(both: Both, condition: str, **given: Any) -> list[Item]:
    """What both find."""
    answer = both("Query", TableName=TABLE, KeyConditionExpression=condition, **given)
    assert isinstance(answer, dict)
    items: list[Item] = answer["Items"]
    return items


def part(kind: str, first: str = "i-1", last: str = "i-9", **more: Item) -> Item:
    return {"workstation": {"S": "sweep"}, "kind": {"S": kind}, "first": {"S": first}, "last": {"S": last}, **more}


def sweeps(since: str, until: str, **more: Item) -> Item:
    return values(sweep={"S": "sweep"}, since={"S": since}, until={"S": until}, **more)


@pytest.mark.parametrize("limit", [{}, {"Limit": 1}, {"Limit": 3}, {"Limit": 9}], ids=str)
@pytest.mark.parametrize("forward", [{}, {"ScanIndexForward": True}, {"ScanIndexForward": False}], ids=str)
def test_the_journal_is_found_between_two_moments_in_either_direction(both: Both, forward: Item, limit: Item) -> None:
    for kind in ("3#0000", "1#0000", "2#0001", "2#0000", "4#0000"):
        both("PutItem", TableName=TABLE, Item=part(kind))
    both("PutItem", TableName=TABLE, Item=OTHER | {"kind": {"S": "2#0000"}})
    items = found(both, BETWEEN, **sweeps("2#0000", "3#9999"), **forward, **limit)
    kinds = ["2#0000", "2#0001", "3#0000"]
    if forward == {"ScanIndexForward": False}:
        kinds.reverse()
    assert [item["kind"]["S"] for item in items] == kinds[: limit.get("Limit", 9)]
    assert bool(both.next) is (limit.get("Limit", 9) <= 3)
    assert found(both, BETWEEN, **sweeps("5", "6"), **forward, **limit) == []


@pytest.mark.parametrize(
    ("workstation", "kinds"), [("i-0", []), ("i-1", ["1"]), ("i-4", ["1"]), ("i-5", ["1", "2"]), ("i-90", ["2"])]
)
def test_a_filter_leaves_out_the_parts_without_a_workstation(both: Both, workstation: str, kinds: list[str]) -> None:
    both("PutItem", TableName=TABLE, Item=part("1", "i-1", "i-5"))
    both("PutItem", TableName=TABLE, Item=part("2", "i-5", "i-90"))
    both("PutItem", TableName=TABLE, Item={"workstation": {"S": "sweep"}, "kind": {"S": "3"}})
    items = found(
        both,
        BETWEEN,
        FilterExpression=HAS,
        ExpressionAttributeNames={"#first": "first", "#last": "last"},
        **sweeps("0", "9", workstation={"S": workstation}),
    )
    assert [item["kind"]["S"] for item in items] == kinds


@pytest.mark.parametrize("forward", [True, False])
def test_a_page_holds_a_megabyte_and_the_next_begins_behind_it(both: Both, forward: bool) -> None:
    for number in range(7):
        both("PutItem", TableName=TABLE, Item=part(str(number), document={"B": bytes(300_000)}))
    asked = {"TableName": TABLE, "KeyConditionExpression": BETWEEN, **sweeps("0", "9"), "ScanIndexForward": forward}
    kinds: list[list[str]] = []
    after: Item = {}
    for _ in range(3):
        answer = both("Query", **asked, **after)
        assert isinstance(answer, dict)
        kinds.append([item["kind"]["S"] for item in answer["Items"]])
        after = {"ExclusiveStartKey": both.next}
    assert not both.next
    assert [len(page) for page in kinds] == [3, 3, 1]
    assert [*itertools.chain(*kinds)] == sorted("0123456", reverse=not forward)


def test_all_of_one_key_is_found_in_order_and_nothing_else(both: Both) -> None:
    for number in (2, 1):
        both("PutItem", TableName=TABLE, Item={"workstation": {"S": "states"}, "kind": {"S": f"i-{number}"}})
    both("PutItem", TableName=TABLE, Item=LEASE)
    items = found(both, OF_ONE, **values(workstation={"S": "states"}), ConsistentRead=True)
    assert [item["kind"]["S"] for item in items] == ["i-1", "i-2"]


@pytest.mark.parametrize(("kilobytes", "fits"), [(390, True), (401, False)])
def test_a_large_item_is_refused(both: Both, kilobytes: int, fits: bool) -> None:
    item = KEY | {"document": {"S": "x" * kilobytes * 1024}}
    assert both("PutItem", TableName=TABLE, Item=item) == ({} if fits else "ValidationException")
    assert len(both.all()) == fits


@pytest.mark.parametrize("more", [0, 1])
def test_an_item_holds_400_kilobytes_with_its_names(more: int) -> None:
    names = sum(len(each) for each in ("workstation", "i-1", "kind", "lease", "document"))
    table = Table(VirtualClock(NOW))
    item = KEY | {"document": {"B": bytes(400 * 1024 - names + more)}}
    if more:
        with pytest.raises(AwsError, match="maximum allowed size"):
            table.operations["PutItem"]({"Item": item})
    else:
        table.operations["PutItem"]({"Item": item})
    assert len(table.items) == 1 - more


def test_what_it_does_not_know_is_an_error_and_no_guess() -> None:
    table = Table(VirtualClock(NOW))
    for condition in ("size(holder) > :one", "NOT holder = :one", "holder <> :one"):
        with pytest.raises(AwsError, match="ConditionExpression"):
            table.operations["PutItem"]({"Item": KEY, "ConditionExpression": condition, **values(one={"N": "1"})})
    with pytest.raises(AwsError, match="UpdateExpression"):
        table.operations["UpdateItem"]({"Key": KEY, "UpdateExpression": "REMOVE knocked"})
    assert table.items == {}


@pytest.mark.parametrize(
    "asked",
    [
        {"KeyConditionExpression": "workstation = :one AND kind > :one"},
        {"KeyConditionExpression": "kind = :one"},
        {"KeyConditionExpression": "workstation = :one AND begins_with(holder, :one)"},
        {"KeyConditionExpression": "workstation = :one", "IndexName": "another"},
        {"KeyConditionExpression": "workstation = :one", "Select": "COUNT"},
        {"KeyConditionExpression": "workstation = :one", "FilterExpression": "contains(holder, :one)"},
        # moto takes it; DynamoDB does not.
        {"KeyConditionExpression": "workstation = :one AND kind BETWEEN :one AND :none"},
    ],
    ids=str,
)
def test_a_query_that_it_does_not_know_is_an_error_and_no_guess(asked: Item) -> None:
    table = Table(VirtualClock(NOW))
    table.operations["PutItem"]({"Item": KEY | {"workstation": {"S": "1"}}})
    with pytest.raises(AwsError, match=r"does not know|Invalid|upper bound"):
        table.operations["Query"]({**asked, **values(one={"S": "1"}, none={"S": "0"})})
