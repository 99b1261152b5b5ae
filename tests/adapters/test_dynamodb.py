"""The table, in moto."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber
from moto import mock_aws

from autostop.aws.dynamodb import DynamoLedger
from autostop.domain.idle import Verdict, VerdictKind
from autostop.domain.intent import By, Intent, Wanted
from autostop.domain.link import Link, Scope, digest_of
from autostop.domain.workstation import WorkstationId
from autostop.ports import ConflictError, DeniedError, Happened, State, TransientError
from tests.domain.build import manifest
from tests.usecases.autostop_at_work import SECRET, TABLE, make_table

ID, OTHER = WorkstationId("i-0123456789abcdef0"), WorkstationId("i-0fedcba9876543210")
NOW = datetime(2026, 11, 23, 18, 30, tzinfo=UTC)
A_MINUTE = timedelta(minutes=1)
INTENT = Intent(7, Wanted.SHELVE, By.IDLE, NOW, "idle for 30 min")


@pytest.fixture
def ledger(monkeypatch: pytest.MonkeyPatch) -> Iterator[DynamoLedger]:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    with mock_aws():
        yield DynamoLedger(make_table(), TABLE)


def items(ledger: DynamoLedger, kind: str) -> list[dict[str, Any]]:
    return [item for item in ledger.client.scan(TableName=TABLE)["Items"] if item["kind"]["S"].startswith(kind)]


def damage(ledger: DynamoLedger, workstation: WorkstationId, **fields: dict[str, str]) -> None:
    key: dict[str, Any] = {"workstation": {"S": workstation}, "kind": {"S": "state"}}
    ledger.client.put_item(TableName=TABLE, Item={**key, **fields})


def test_what_is_not_stored_is_the_empty_state(ledger: DynamoLedger) -> None:
    assert ledger.load(ID) == State(ID)
    assert ledger.load_all([ID, OTHER]) == {ID: State(ID), OTHER: State(OTHER)}


def test_a_state_comes_back_with_its_next_version(ledger: DynamoLedger) -> None:
    state = State(ID, intent=INTENT, manifest=manifest(workstation=ID), problems=("one",))
    saved = ledger.save(state)
    assert saved == replace(state, version=1)
    assert ledger.load(ID) == saved
    assert ledger.load_all([ID]) == {ID: saved}
    assert ledger.save(saved).version == 2


def test_who_read_before_another_wrote_is_refused(ledger: DynamoLedger) -> None:
    first = ledger.save(State(ID))
    ledger.save(replace(first, note="the owner's"))
    with pytest.raises(ConflictError):
        ledger.save(replace(first, note="the sweep's"))
    with pytest.raises(ConflictError):
        ledger.save(State(ID))
    assert ledger.load(ID).note == "the owner's"


@pytest.mark.parametrize(
    "fields",
    [
        {"version": {"N": "1"}, "document": {"S": "{"}},
        {"version": {"N": "2"}, "document": {"S": '{"workstation": "i-0123456789abcdef0", "version": 1}'}},
        {"document": {"S": '{"workstation": "i-0123456789abcdef0", "version": 1}'}},
        {"version": {"N": "1"}},
        {"version": {"N": "1"}, "document": {"N": "1"}},
    ],
    ids=["cut", "two versions", "no version", "no document", "another type"],
)
def test_a_damaged_item_is_nobodys_state(ledger: DynamoLedger, fields: dict[str, dict[str, str]]) -> None:
    damage(ledger, ID, **fields)
    with pytest.raises(DeniedError, match="damaged"):
        ledger.load(ID)
    assert ledger.load_all([ID, OTHER]) == {OTHER: State(OTHER)}


def test_more_than_a_hundred_are_read_in_several_calls(ledger: DynamoLedger) -> None:
    many = [WorkstationId(f"i-{number:017x}") for number in range(230)]
    ledger.save(State(many[229], note="the last"))
    states = ledger.load_all(many)
    assert len(states) == 230
    assert states[many[229]].note == "the last"


def test_keys_that_dynamodb_leaves_unread_are_not_taken_for_empty_states(ledger: DynamoLedger) -> None:
    client = boto3.client("dynamodb")
    unread = {TABLE: {"Keys": [{"workstation": {"S": ID}, "kind": {"S": "state"}}]}}
    with Stubber(client) as stub:
        stub.add_response("batch_get_item", {"Responses": {TABLE: []}, "UnprocessedKeys": unread})
        with pytest.raises(TransientError):
            DynamoLedger(client, TABLE).load_all([ID])


def test_only_one_holder_has_the_lease(ledger: DynamoLedger) -> None:
    assert ledger.take_lease(ID, "a", NOW, NOW + A_MINUTE)
    assert not ledger.take_lease(ID, "b", NOW, NOW + A_MINUTE)
    assert ledger.take_lease(ID, "a", NOW, NOW + 2 * A_MINUTE)
    assert ledger.take_lease(OTHER, "b", NOW, NOW + A_MINUTE)
    ledger.give_lease_back(ID, "b")
    assert not ledger.take_lease(ID, "b", NOW, NOW + A_MINUTE)
    ledger.give_lease_back(ID, "a")
    assert ledger.take_lease(ID, "b", NOW, NOW + A_MINUTE)


def test_a_lease_ends_by_itself_and_its_old_holder_cannot_end_the_next(ledger: DynamoLedger) -> None:
    assert ledger.take_lease(ID, "dead", NOW, NOW + A_MINUTE)
    assert not ledger.take_lease(ID, "b", NOW + A_MINUTE, NOW + 2 * A_MINUTE)
    later = NOW + A_MINUTE + timedelta(microseconds=1)
    assert ledger.take_lease(ID, "b", later, later + A_MINUTE)
    ledger.give_lease_back(ID, "dead")
    assert not ledger.take_lease(ID, "dead", later, later + A_MINUTE)


def test_the_first_who_knocks_is_told_when_the_lease_ends(ledger: DynamoLedger) -> None:
    assert ledger.knock(ID) is None
    ledger.take_lease(ID, "a", NOW, NOW + A_MINUTE)
    assert ledger.knock(ID) == NOW + A_MINUTE
    assert ledger.knock(ID) is None


def test_a_lease_on_which_somebody_knocked_is_kept_until_its_holder_looks_again(ledger: DynamoLedger) -> None:
    ledger.take_lease(ID, "a", NOW, NOW + A_MINUTE)
    ledger.knock(ID)
    assert not ledger.give_lease_back(ID, "a", unless_knocked=True)
    assert not ledger.take_lease(ID, "b", NOW, NOW + A_MINUTE)
    assert ledger.take_lease(ID, "a", NOW, NOW + A_MINUTE)
    assert ledger.give_lease_back(ID, "a", unless_knocked=True)
    assert ledger.take_lease(ID, "b", NOW, NOW + A_MINUTE)


def test_a_knock_keeps_nobody_from_giving_up(ledger: DynamoLedger) -> None:
    ledger.take_lease(ID, "a", NOW, NOW + A_MINUTE)
    ledger.knock(ID)
    assert ledger.give_lease_back(ID, "a")
    assert ledger.take_lease(ID, "b", NOW, NOW + A_MINUTE)


def test_a_lease_disturbs_no_version(ledger: DynamoLedger) -> None:
    state = ledger.save(State(ID))
    ledger.take_lease(ID, "a", NOW, NOW + A_MINUTE)
    assert ledger.save(state).version == 2


def link(**fields: Any) -> Link:
    return Link(ID, digest_of(SECRET), "phone", (Scope.STATUS, Scope.START), NOW, **fields)


def test_a_link_is_found_by_its_secret_alone_and_the_secret_is_nowhere(ledger: DynamoLedger) -> None:
    ledger.put_link(link())
    assert ledger.find_link(ID, SECRET) == link()
    assert ledger.find_link(ID, SECRET[::-1]) is None
    assert ledger.find_link(OTHER, SECRET) is None
    assert SECRET not in str(ledger.client.scan(TableName=TABLE)["Items"])


def test_the_use_of_a_link_is_written_once_a_minute(ledger: DynamoLedger) -> None:
    ledger.put_link(link())
    ledger.used_link(link(), NOW)
    used = ledger.find_link(ID, SECRET)
    assert used == link(last_used_at=NOW)
    assert used is not None
    ledger.used_link(used, NOW + timedelta(seconds=59))
    assert ledger.find_link(ID, SECRET) == used
    ledger.used_link(used, NOW + A_MINUTE)
    assert ledger.find_link(ID, SECRET) == link(last_used_at=NOW + A_MINUTE)


def test_a_revoked_link_does_not_come_back_by_its_use(ledger: DynamoLedger) -> None:
    ledger.used_link(link(), NOW)
    assert ledger.find_link(ID, SECRET) is None


def test_wrong_secrets_are_counted_by_source_and_minute(ledger: DynamoLedger) -> None:
    assert [ledger.count_wrong_secret("192.0.2.7", NOW) for _ in range(3)] == [1, 2, 3]
    assert ledger.count_wrong_secret("192.0.2.8", NOW) == 1
    assert ledger.count_wrong_secret("192.0.2.7", NOW + A_MINUTE) == 1
    counters = items(ledger, "2026")
    assert all(int(item["expires_at"]["N"]) > NOW.timestamp() for item in counters)
    assert "192.0.2" not in str(counters)


def test_what_happened_is_told_by_intent_in_its_order(ledger: DynamoLedger) -> None:
    told = [Happened(NOW + timedelta(seconds=second, microseconds=second % 2), 10, str(second)) for second in range(5)]
    for happened in (*reversed(told), Happened(NOW, 9, "before"), Happened(NOW, 100, "after")):
        ledger.record(ID, happened)
    assert ledger.happened(ID, 10) == told
    assert ledger.happened(OTHER, 10) == []
    assert all(int(item["expires_at"]["N"]) > NOW.timestamp() for item in items(ledger, "event#"))


def test_more_than_a_page_of_what_happened_is_told(ledger: DynamoLedger) -> None:
    for number in range(12):
        ledger.record(ID, Happened(NOW + timedelta(seconds=number), 1, "x" * 100_000))
    assert len(ledger.happened(ID, 1)) == 12


def test_verdicts_are_kept_for_a_while(ledger: DynamoLedger) -> None:
    ledger.record_verdict(ID, Verdict(VerdictKind.IDLE, NOW, ("idle for 30 min",)))
    [item] = items(ledger, "verdict#")
    assert int(item["expires_at"]["N"]) == int((NOW + timedelta(days=30)).timestamp())


@pytest.mark.parametrize("operation", ["get_item", "batch_get_item", "put_item", "query", "delete_item", "update_item"])
def test_throttling_is_an_error_of_ours(ledger: DynamoLedger, operation: str) -> None:
    client = boto3.client("dynamodb")
    throttled = DynamoLedger(client, TABLE)
    calls: dict[str, Any] = {
        "get_item": lambda: throttled.load(ID),
        "batch_get_item": lambda: throttled.load_all([ID]),
        "put_item": lambda: throttled.save(State(ID)),
        "query": lambda: throttled.happened(ID, 1),
        "delete_item": lambda: throttled.give_lease_back(ID, "a"),
        "update_item": lambda: throttled.count_wrong_secret("192.0.2.7", NOW),
    }
    with Stubber(client) as stub:
        stub.add_client_error(operation, "ProvisionedThroughputExceededException")
        with pytest.raises(TransientError):
            calls[operation]()
