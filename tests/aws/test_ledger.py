import json
import random
import tracemalloc
import zlib
from collections.abc import Iterator
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from unittest.mock import patch

import boto3
import pytest
from botocore.stub import Stubber
from moto import mock_aws

from autostop.app.links import open_link
from autostop.aws.codec import to_plain
from autostop.aws.journal import key_of
from autostop.aws.ledger import DynamoLedger
from autostop.idle.history import History
from autostop.idle.measured import Effect, Sample, Sign, Traffic
from autostop.idle.reading import Doubt, Machine, Reading, Server, Unknown, Waits
from autostop.idle.stop_plan import Warned
from autostop.idle.sweep_record import SweepRecord
from autostop.idle.verdict import Verdict, VerdictKind
from autostop.link import Link, Scope, digest_of
from autostop.model import WorkstationId
from autostop.ports import ConflictError, DeniedError, TransientError
from autostop.sleep.intent import By, Intent, Wanted
from autostop.state import Happened, Outline, State
from tests.build import manifest
from tests.handlers.table import TABLE, make_table
from tests.simulation.query import size

ID, OTHER = WorkstationId("i-0123456789abcdef0"), WorkstationId("i-0fedcba9876543210")
SECRET = "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LXNlY3I"
NOW = datetime(2026, 11, 23, 18, 30, tzinfo=UTC)
A_MINUTE = timedelta(minutes=1)
INTENT = Intent(7, Wanted.SHELVE, By.IDLE, NOW, "idle for 30 min")


@pytest.fixture
def ledger(monkeypatch: pytest.MonkeyPatch) -> Iterator[DynamoLedger]:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    with mock_aws():
        yield DynamoLedger(make_table(boto3.client("dynamodb")), TABLE)


def items(ledger: DynamoLedger, kind: str) -> list[dict[str, Any]]:
    return [item for item in ledger.client.scan(TableName=TABLE)["Items"] if item["kind"]["S"].startswith(kind)]


def put(ledger: DynamoLedger, workstation: str, kind: str, **fields: dict[str, str]) -> None:
    key: dict[str, Any] = {"workstation": {"S": workstation}, "kind": {"S": kind}}
    ledger.client.put_item(TableName=TABLE, Item={**key, **fields})


def outlines(ledger: DynamoLedger) -> list[dict[str, Any]]:
    return [item for item in items(ledger, "i-") if item["workstation"]["S"] == "states"]


def outline_of(state: State) -> Outline:
    return Outline(**{field.name: getattr(state, field.name) for field in fields(Outline)})


def older(state: State) -> dict[str, Any]:
    """What the version before kept of a state."""
    return {"version": {"N": str(state.version)}, "document": {"S": json.dumps(to_plain(state))}}


MANY = [WorkstationId(f"i-{number:017x}") for number in range(1_000)]


def record(workstation: WorkstationId, at: datetime = NOW) -> SweepRecord:
    """A record with something everywhere, a bit different for each workstation."""
    moved = at - timedelta(seconds=int(workstation[-3:], 16))
    server = Server(8888, 0, 2, 0, 0, moved, 1, moved, None, True, 3, moved, moved)
    cpu = {f"{session:x}": int(workstation[-3:], 16) / 7 for session in range(2_000, 2_008)}
    doubts = (Doubt(Waits.PROMPT, "psql"), Doubt(Waits.KERNEL))
    machine = Machine("deadbeef", moved, 1, "train", 0.0, 1, 1, moved, 1, False, cpu, moved, doubts)
    signs = tuple(
        Sign(name, Effect.QUIET, f"{moved:%H:%M}", "at most 0.25 cores", moved)
        for name in ("processor", "kernels", "terminal", "jobs", "network", "gpu", "connections", "keep-awake")
    )
    return SweepRecord(
        workstation,
        at,
        at - timedelta(hours=5),
        Verdict(VerdictKind.IDLE, at, (f"idle since {moved:%H:%M} UTC",), moved, None, signs=signs),
        (Sample(moved, 0.031),),
        (Traffic(moved, 812.5),),
        Reading(moved, (server,), machine),
        f"{int(workstation[-3:], 16) * 7919:032x}",
        at,
        History("deadbeef", moved, 12, moved, cpu, moved, 0.25, moved),
        at,
        moved,
        Warned(at, at + A_MINUTE, By.IDLE, "idle"),
        at + A_MINUTE,
    )


def calls(ledger: DynamoLedger, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The operations that are called from now on."""
    called: list[str] = []
    make = ledger.client._make_api_call  # type: ignore[attr-defined]  # botocore's seam, known to no stub

    def make_and_note(operation: str, parameters: Any) -> Any:
        called.append(operation)
        return make(operation, parameters)

    monkeypatch.setattr(ledger.client, "_make_api_call", make_and_note)
    return called


def test_what_is_not_stored_is_the_empty_state(ledger: DynamoLedger) -> None:
    assert ledger.load(ID) == State(ID)
    assert ledger.states() == {}
    assert ledger.older_states([ID]) == {}


def test_a_state_comes_back_with_its_next_version(ledger: DynamoLedger) -> None:
    state = State(ID, intent=INTENT, manifest=manifest(workstation=ID), problems=("one",))
    saved = ledger.save(state)
    assert saved == replace(state, version=1)
    assert ledger.load(ID) == saved
    assert ledger.states() == {ID: outline_of(saved)}
    assert ledger.save(saved).version == 2


def test_who_read_before_another_wrote_is_refused(ledger: DynamoLedger) -> None:
    first = ledger.save(State(ID))
    ledger.save(replace(first, note="the owner's"))
    with pytest.raises(ConflictError):
        ledger.save(replace(first, note="the sweep's"))
    with pytest.raises(ConflictError):
        ledger.save(State(ID))
    assert ledger.load(ID).note == "the owner's"


def test_a_state_that_is_gone_is_not_written_again_by_who_read_it_before(ledger: DynamoLedger) -> None:
    saved = ledger.save(State(ID))
    for item in items(ledger, ""):
        ledger.client.delete_item(TableName=TABLE, Key={name: item[name] for name in ("workstation", "kind")})
    with pytest.raises(ConflictError):
        ledger.save(saved)
    assert items(ledger, "") == []


OF_VERSION_1 = json.dumps({"workstation": ID, "version": 1})


@pytest.mark.parametrize(
    ("workstation", "kind"), [("states", ID), (ID, "details"), (ID, "state")], ids=["outline", "details", "older"]
)
@pytest.mark.parametrize("damaged", [
    {"version": {"N": "1"}, "document": {"S": "{"}}, {"version": {"N": "2"}, "document": {"S": OF_VERSION_1}},
    {"version": {"N": "2"}, "document": {"S": "{}"}}, {"document": {"S": OF_VERSION_1}}, {"version": {"N": "1"}},
    {"version": {"N": "1"}, "document": {"N": "1"}}, {"version": {"N": "1"}, "document": {"S": "[]"}},
    {"version": {"N": "1"}, "document": {"S": "[" * 100_000}},
], ids=[
    "cut", "two versions", "another version", "no version", "no document", "another type", "no object", "too deep",
])  # fmt: skip
def test_a_damaged_item_is_nobodys_state(
    ledger: DynamoLedger, workstation: str, kind: str, damaged: dict[str, dict[str, str]]
) -> None:
    if kind != "state":
        ledger.save(State(ID))
    put(ledger, workstation, kind, **damaged)
    with pytest.raises(DeniedError, match="damaged"):
        ledger.load(ID)
    assert ID not in ledger.states() or kind == "details"
    assert ledger.older_states([ID]) == {}


@pytest.mark.parametrize("older", [False, True])
@pytest.mark.parametrize(
    "of_another", [State(OTHER), State(ID, manifest=manifest(workstation=OTHER))], ids=["state", "manifest"]
)
def test_what_was_copied_from_another_workstation_is_nobodys_state(
    ledger: DynamoLedger, of_another: State, older: bool
) -> None:
    if older:
        document = json.dumps(to_plain(replace(of_another, version=1)))
        put(ledger, ID, "state", version={"N": "1"}, document={"S": document})
    else:
        ledger.save(of_another)
        for item in ledger.client.scan(TableName=TABLE)["Items"]:
            key: Any = {name: {"S": item[name]["S"].replace(OTHER, ID)} for name in ("workstation", "kind")}
            ledger.client.put_item(TableName=TABLE, Item=item | key)
    with pytest.raises(DeniedError, match="damaged"):
        ledger.load(ID)
    assert ledger.older_states([ID]) == {}


@pytest.mark.parametrize(("workstation", "kind"), [("states", ID), (ID, "details")], ids=["outline", "details"])
def test_half_a_state_is_nobodys_state(ledger: DynamoLedger, workstation: str, kind: str) -> None:
    ledger.save(State(ID))
    key: Any = {"workstation": {"S": workstation}, "kind": {"S": kind}}
    ledger.client.delete_item(TableName=TABLE, Key=key)
    with pytest.raises(DeniedError, match="damaged"):
        ledger.load(ID)
    with pytest.raises(ConflictError):
        ledger.save(State(ID, version=7))


def test_halves_of_two_versions_are_nobodys_state(ledger: DynamoLedger) -> None:
    saved = ledger.save(State(ID))
    [before] = items(ledger, "details")
    ledger.save(replace(saved, manifest=manifest(workstation=ID)))
    ledger.client.put_item(TableName=TABLE, Item=before)
    with pytest.raises(DeniedError, match="damaged"):
        ledger.load(ID)


def test_an_outline_tells_what_a_sweep_needs_and_nothing_else(ledger: DynamoLedger) -> None:
    asleep = ledger.save(State(ID, intent=INTENT, manifest=manifest(workstation=ID), problems=("one",)))
    ledger.save(State(OTHER))
    awake = ledger.save(replace(ledger.load(OTHER), kept_awake_until=NOW, worked_at=NOW, note="for nobody else"))
    assert ledger.states() == {
        ID: Outline(ID, asleep.version, INTENT, problems=("one",)),
        OTHER: Outline(OTHER, awake.version, None, NOW, worked_at=NOW),
    }


def test_what_is_no_state_has_no_outline(ledger: DynamoLedger) -> None:
    ledger.take_lease(ID, "a", NOW, NOW + A_MINUTE)
    ledger.put_link(link())
    ledger.record(ID, Happened(NOW, 1, "this"))
    ledger.write_journal([record(ID)], NOW)
    ledger.count_wrong_secret("192.0.2.7", NOW)
    assert ledger.states() == {}


@pytest.mark.parametrize("document", ["{", "{}", "[" * 100_000, '{"workstation": "i-1", "version": 1}'], ids=range(4))
def test_a_damaged_outline_hides_its_workstation_and_no_other(ledger: DynamoLedger, document: str) -> None:
    ledger.save(State(OTHER))
    put(ledger, "states", ID, version={"N": "1"}, document={"S": document})
    assert list(ledger.states()) == [OTHER]


def test_the_outlines_of_a_thousand_workstations_are_one_page(
    ledger: DynamoLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    wordy = replace(INTENT, why="why " * 25, settled_at=NOW)
    problems = ("a tag that says nothing " * 4,)
    ledger.save(State(ID, 0, wordy, NOW, NOW, problems, NOW, manifest=manifest(workstation=ID)))
    [item] = outlines(ledger)
    assert size(item) <= 1024
    ledger.client.delete_item(TableName=TABLE, Key={name: item[name] for name in ("workstation", "kind")})
    for workstation in MANY:
        document = item["document"]["S"].replace(ID, workstation)
        put(ledger, "states", workstation, version=item["version"], document={"S": document})
    called = calls(ledger, monkeypatch)
    assert list(ledger.states()) == MANY
    assert called == ["Query"]


def test_more_than_a_page_of_outlines_is_read(ledger: DynamoLedger, monkeypatch: pytest.MonkeyPatch) -> None:
    for workstation in MANY[:7]:
        ledger.save(State(workstation, problems=("x" * 300_000,)))
    called = calls(ledger, monkeypatch)
    assert list(ledger.states()) == MANY[:7]
    assert called == 3 * ["Query"]


def test_a_state_of_the_version_before_is_read_and_the_next_save_moves_it(ledger: DynamoLedger) -> None:
    state = State(ID, version=7, intent=INTENT, manifest=manifest(workstation=ID), note="as it was")
    put(ledger, ID, "state", **older(state))
    assert ledger.load(ID) == state
    assert ledger.states() == {}
    assert ledger.older_states([OTHER, ID]) == {ID: state}

    saved = ledger.save(state)

    assert saved == ledger.load(ID) == replace(state, version=8)
    assert ledger.states() == {ID: outline_of(saved)}
    assert items(ledger, "state") == []
    assert ledger.older_states([ID]) == {}
    with pytest.raises(ConflictError):
        ledger.save(state)


@pytest.mark.parametrize("version", [0, 6, 8])
def test_a_state_of_the_version_before_is_overwritten_by_nobody_who_read_another(
    ledger: DynamoLedger, version: int
) -> None:
    state = State(ID, version=7, note="as it was")
    put(ledger, ID, "state", **older(state))
    with pytest.raises(ConflictError):
        ledger.save(State(ID, version=version))
    assert ledger.load(ID) == state
    assert ledger.states() == {}


def test_states_of_the_version_before_are_read_a_hundred_in_a_call(
    ledger: DynamoLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    for workstation in MANY[:120]:
        put(ledger, workstation, "state", **older(State(workstation, version=2, intent=INTENT)))
    called = calls(ledger, monkeypatch)
    assert list(ledger.older_states(MANY[:250])) == MANY[:120]
    assert called == 3 * ["BatchGetItem"]


def test_what_dynamodb_leaves_out_of_an_answer_is_asked_for_again() -> None:
    client = boto3.client("dynamodb", "us-east-1", aws_access_key_id="testing", aws_secret_access_key="testing")
    first, second = ({"workstation": {"S": each}, "kind": {"S": "state"}} for each in MANY[:2])
    wanted = {"Keys": [first, second], "ConsistentRead": True}
    left = {TABLE: {"Keys": [second], "ConsistentRead": True}}
    with Stubber(client) as stub:
        found: list[Any] = [key | older(State(each, 1)) for key, each in zip((first, second), MANY, strict=False)]
        answer = {"Responses": {TABLE: found[:1]}, "UnprocessedKeys": left}
        stub.add_response("batch_get_item", answer, {"RequestItems": {TABLE: wanted}})
        stub.add_response("batch_get_item", {"Responses": {TABLE: found[1:]}}, {"RequestItems": left})
        assert list(DynamoLedger(client, TABLE).older_states(MANY[:2])) == MANY[:2]


def test_a_change_is_decided_again_until_nobody_was_faster(ledger: DynamoLedger) -> None:
    faster = iter(("a sweep", "the reconciler"))

    def decide(state: State) -> State:
        if other := next(faster, None):
            ledger.save(replace(state, problems=(other,)))
        return replace(state, note=f"after {', '.join(state.problems)}")

    before, after = ledger.change(ID, decide)
    assert (before.problems, after.note, after.version) == (("the reconciler",), "after the reconciler", 3)
    assert ledger.load(ID) == after


def test_a_change_that_changes_nothing_writes_nothing(ledger: DynamoLedger, monkeypatch: pytest.MonkeyPatch) -> None:
    called = calls(ledger, monkeypatch)
    assert ledger.change(ID, lambda state: state) == (State(ID), State(ID))
    assert called == ["TransactGetItems"]


@pytest.mark.parametrize(("operation", "reason", "expected"), [
    ("transact_write_items", "TransactionConflict", ConflictError),
    ("transact_write_items", "ConditionalCheckFailed", ConflictError),
    ("transact_write_items", "ThrottlingError", TransientError),
    ("transact_write_items", "ValidationError", DeniedError),
    ("transact_get_items", "ThrottlingError", TransientError),
])  # fmt: skip
def test_a_cancelled_transaction_is_told_by_its_reason(
    ledger: DynamoLedger, operation: str, reason: str, expected: type[Exception]
) -> None:
    with Stubber(ledger.client) as stub:
        cancel(stub, operation, reason)
        with pytest.raises(expected):
            _ = ledger.save(State(ID)) if operation == "transact_write_items" else ledger.load(ID)


def cancel(stub: Stubber, operation: str, reason: str) -> None:
    reasons = {"CancellationReasons": [{"Code": "None"}, {"Code": reason}]}
    stub.add_client_error(operation, "TransactionCanceledException", modeled_fields=reasons)


def test_a_read_that_a_write_crosses_is_made_again(ledger: DynamoLedger) -> None:
    with Stubber(ledger.client) as stub:
        cancel(stub, "transact_get_items", "TransactionConflict")
        stub.add_response("transact_get_items", {"Responses": [{}, {}, {}]})
        assert ledger.load(ID) == State(ID)
        for _ in range(6):
            cancel(stub, "transact_get_items", "TransactionConflict")
        with pytest.raises(TransientError, match="too fast"):
            ledger.load(ID)


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
    for moment in (NOW, NOW + timedelta(seconds=59)):
        open_link(ledger, ID, SECRET, moment)
        assert ledger.find_link(ID, SECRET) == link(last_used_at=NOW)
    open_link(ledger, ID, SECRET, NOW + A_MINUTE)
    assert ledger.find_link(ID, SECRET) == link(last_used_at=NOW + A_MINUTE)


@pytest.mark.parametrize("is_used", [False, True])
def test_a_link_that_expires_leaves_the_table_then(ledger: DynamoLedger, *, is_used: bool) -> None:
    ledger.put_link(link(expires_at=NOW + A_MINUTE))
    if is_used:
        open_link(ledger, ID, SECRET, NOW)
    [item] = ledger.client.scan(TableName=TABLE)["Items"]
    assert item["expires_at"] == {"N": str(int((NOW + A_MINUTE).timestamp()))}


def test_a_link_that_does_not_expire_stays(ledger: DynamoLedger) -> None:
    ledger.put_link(link())
    [item] = ledger.client.scan(TableName=TABLE)["Items"]
    assert "expires_at" not in item


def test_a_revoked_link_does_not_come_back_by_its_use(ledger: DynamoLedger) -> None:
    # It is withdrawn between the two calls of who opens it.
    with patch.object(DynamoLedger, "find_link", lambda *_: link()):
        assert open_link(ledger, ID, SECRET, NOW) is not None
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


def test_a_sweeps_records_come_back_as_they_were(ledger: DynamoLedger) -> None:
    first, second = record(OTHER), replace(record(ID), answer=Unknown(NOW, "no agent"), warned=None)
    ledger.write_journal([first, second], NOW)
    assert ledger.latest_sweep(NOW) == {ID: second, OTHER: first}
    assert ledger.sweep_records(ID, NOW, NOW) == [second]
    assert ledger.sweep_records(OTHER, NOW, NOW) == [first]


def test_nothing_was_seen_between_a_moment_and_an_earlier_one(
    ledger: DynamoLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger.write_journal([record(ID)], NOW)
    called = calls(ledger, monkeypatch)
    assert ledger.sweep_records(ID, NOW, NOW - A_MINUTE) == []
    # DynamoDB would refuse the question.
    assert called == []


def test_a_sweep_that_saw_nothing_writes_nothing(ledger: DynamoLedger) -> None:
    ledger.write_journal([], NOW)
    assert items(ledger, "") == []
    assert ledger.latest_sweep(NOW) == {}


def test_the_journal_expires(ledger: DynamoLedger) -> None:
    ledger.write_journal([record(ID)], NOW)
    [item] = items(ledger, "2026")
    assert item["workstation"]["S"] == "sweep"
    assert int(item["expires_at"]["N"]) == int((NOW + timedelta(days=30)).timestamp())


def test_the_latest_sweep_is_the_newest_and_at_most_an_hour_old(ledger: DynamoLedger) -> None:
    hour = timedelta(hours=1)
    for minute in (5, 0, 10):
        at = NOW + minute * A_MINUTE
        ledger.write_journal([record(ID, at), *([record(OTHER, at)] if minute == 5 else [])], at)
    for now in (NOW + 10 * A_MINUTE, NOW + hour + 10 * A_MINUTE):
        assert ledger.latest_sweep(now) == {ID: record(ID, NOW + 10 * A_MINUTE)}
    assert ledger.latest_sweep(NOW + hour + 10 * A_MINUTE + timedelta(microseconds=1)) == {}
    assert len(ledger.latest_sweep(NOW + 9 * A_MINUTE)) == 2
    assert ledger.latest_sweep(NOW - A_MINUTE) == {}


def test_moments_are_in_order_whatever_their_fractions_and_zones(ledger: DynamoLedger) -> None:
    berlin = timezone(timedelta(hours=1))
    moments = [NOW + timedelta(microseconds=each) for each in (0, 1, 999_999, 1_000_000, 1_000_001)]
    for at in reversed(moments):
        ledger.write_journal([record(ID, at)], at.astimezone(berlin))
    assert [each.at for each in ledger.sweep_records(ID, NOW, NOW + A_MINUTE)] == moments
    assert [each.at for each in ledger.sweep_records(ID, moments[1], moments[3].astimezone(berlin))] == moments[1:4]
    assert ledger.latest_sweep(NOW + A_MINUTE)[ID].at == moments[-1]


def test_a_thousand_records_cost_two_writes_and_two_reads(
    ledger: DynamoLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    called = calls(ledger, monkeypatch)
    seen = [record(workstation) for workstation in MANY]
    ledger.write_journal(seen[::-1], NOW)
    assert called == 2 * ["PutItem"]
    called.clear()
    assert ledger.latest_sweep(NOW) == dict(zip(MANY, seen, strict=True))
    assert called == 2 * ["Query"]
    called.clear()
    for number in (0, 499, 500, 999):
        assert ledger.sweep_records(MANY[number], NOW, NOW) == [seen[number]]
    assert called == 4 * ["Query"]


def test_records_that_hardly_shrink_are_written_in_more_items(ledger: DynamoLedger) -> None:
    chance = random.Random(4)  # noqa: S311 - noise, not a secret
    seen = [replace(record(each), asked_command=chance.randbytes(1_800).hex()) for each in MANY[:400]]
    ledger.write_journal(seen, NOW)
    parts = sorted(items(ledger, "2026"), key=lambda item: item["kind"]["S"])
    assert [item["parts"]["N"] for item in parts] == 4 * ["4"]
    assert [int(item["kind"]["S"][-4:]) for item in parts] == [0, 1, 2, 3]
    assert all(len(item["document"]["B"]) <= 350_000 for item in parts)
    assert list(ledger.latest_sweep(NOW).values()) == seen
    assert [ledger.sweep_records(each.workstation, NOW, NOW) for each in seen[::50]] == [[each] for each in seen[::50]]


def test_a_week_of_one_workstation_is_read_page_by_page(ledger: DynamoLedger, monkeypatch: pytest.MonkeyPatch) -> None:
    chance = random.Random(4)  # noqa: S311 - noise, not a secret
    for minute in range(12):
        at = NOW + minute * A_MINUTE
        noise = replace(record(OTHER, at), asked_command=chance.randbytes(130_000).hex())
        ledger.write_journal([noise, *([record(ID, at)] if minute % 2 else [])], at)
    called = calls(ledger, monkeypatch)
    minutes = [(each.at - NOW) // A_MINUTE for each in ledger.sweep_records(ID, NOW, NOW + timedelta(days=7))]
    assert minutes == [1, 3, 5, 7, 9, 11]
    assert len(called) >= 2


@pytest.mark.parametrize("fields", [
    {"document": {"B": b"no zlib"}}, {"document": {"B": zlib.compress(b"i-0123456789abcdef0 {}")}},
    {"document": {"B": zlib.compress(b"i-0123456789abcdef0 {")}},
    {"document": {"B": zlib.compress(b"i-0123456789abcdef0")}},
    {"document": {"B": zlib.compress(b"i-0123456789abcdef0 \xff")}}, {"document": {"B": zlib.compress(b"cut")[:-5]}},
    {"document": {"B": zlib.compress(b"i-0123456789abcdef0 " + b"[" * 100_000)}},
    {"document": {"B": b""}}, {"document": {"S": "text"}}, {"document": None}, {"document": None, "parts": None},
    {"document": None, "parts": {"S": "many"}},
], ids=str)  # fmt: skip
def test_a_damaged_part_is_as_if_it_were_not_there(
    ledger: DynamoLedger, fields: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("autostop.aws.journal._MOST_RECORDS", 3)
    ledger.write_journal([record(workstation) for workstation in [*MANY[:3], ID]], NOW)
    part = max(items(ledger, "2026"), key=lambda item: item["kind"]["S"])
    assert ID in ledger.latest_sweep(NOW)
    damaged = {name: value for name, value in {**part, **fields}.items() if value is not None}
    ledger.client.put_item(TableName=TABLE, Item=damaged)
    assert list(ledger.latest_sweep(NOW)) == MANY[:3]
    assert ledger.sweep_records(ID, NOW, NOW) == []
    assert len(ledger.sweep_records(MANY[0], NOW, NOW)) == 1


def test_a_part_that_unpacks_to_more_than_a_function_holds_is_as_if_it_were_not_there(ledger: DynamoLedger) -> None:
    ledger.write_journal([record(ID)], NOW)
    [part] = items(ledger, "2026")
    packer = zlib.compressobj(9)
    bomb = b"".join([*(packer.compress(bytes(2**20)) for _ in range(192)), packer.flush()])
    ledger.client.put_item(TableName=TABLE, Item={**part, "document": {"B": bomb}})
    tracemalloc.start()
    try:
        assert (ledger.latest_sweep(NOW), ledger.sweep_records(ID, NOW, NOW)) == ({}, [])
        assert tracemalloc.get_traced_memory()[1] < 2**27
    finally:
        tracemalloc.stop()


def test_a_lost_part_takes_no_other_with_it(ledger: DynamoLedger) -> None:
    ledger.write_journal([record(workstation) for workstation in MANY], NOW)
    for lost, left in ((key_of(NOW, 0), MANY[500:]), (key_of(NOW, 1), [])):
        ledger.client.delete_item(TableName=TABLE, Key={"workstation": {"S": "sweep"}, "kind": {"S": lost}})
        assert list(ledger.latest_sweep(NOW)) == left


def test_one_record_that_cannot_be_read_takes_no_other_with_it(ledger: DynamoLedger) -> None:
    ledger.write_journal([record(ID), record(OTHER)], NOW)
    [item] = items(ledger, "2026")
    text = zlib.decompress(item["document"]["B"]).replace(b'"verdict":{"kind":"idle"', b'"verdict":{"kind":"sad"', 1)
    ledger.client.put_item(TableName=TABLE, Item={**item, "document": {"B": zlib.compress(text)}})
    assert list(ledger.latest_sweep(NOW)) == [OTHER]
    assert ledger.sweep_records(ID, NOW, NOW) == []
    assert ledger.sweep_records(OTHER, NOW, NOW) == [record(OTHER)]


@pytest.mark.parametrize("operation", [
    "transact_get_items", "transact_write_items", "batch_get_item", "get_item", "put_item", "query", "delete_item",
    "update_item",
])  # fmt: skip
@pytest.mark.parametrize("reading", ["happened", "states", "latest_sweep", "sweep_records"])
def test_throttling_is_an_error_of_ours(ledger: DynamoLedger, operation: str, reading: str) -> None:
    client = boto3.client("dynamodb")
    throttled = DynamoLedger(client, TABLE)
    queries: dict[str, Any] = {
        "happened": lambda: throttled.happened(ID, 1),
        "states": throttled.states,
        "latest_sweep": lambda: throttled.latest_sweep(NOW),
        "sweep_records": lambda: throttled.sweep_records(ID, NOW, NOW),
    }
    called: dict[str, Any] = {
        "transact_get_items": lambda: throttled.load(ID), "transact_write_items": lambda: throttled.save(State(ID)),
        "batch_get_item": lambda: throttled.older_states([ID]), "get_item": lambda: throttled.find_link(ID, SECRET),
        "put_item": lambda: throttled.put_link(link()), "query": queries[reading],
        "delete_item": lambda: throttled.give_lease_back(ID, "a"),
        "update_item": lambda: throttled.count_wrong_secret("192.0.2.7", NOW),
    }  # fmt: skip
    with Stubber(client) as stub:
        stub.add_client_error(operation, "ProvisionedThroughputExceededException")
        with pytest.raises(TransientError):
            called[operation]()
