"""The journal: what each sweep saw, many workstations to an item, and what was done to each; both expire."""

import json
import zlib
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta

from autostop.aws.codec import from_json, to_plain
from autostop.aws.errors import aws_errors
from autostop.aws.table import Item, Table, expiry, key
from autostop.idle.sweep_record import SweepRecord
from autostop.model import WorkstationId
from autostop.state import Happened

# An item holds 400 KB at most (DynamoDB, "Service, account, and table quotas"), its names and ids included.
_MOST_RECORDS = 500
_MOST_BYTES = 350_000
# Whoever writes to the table could make an item that fills the memory of every sweep.
_MOST_UNPACKED = 32 * 2**20

# What an older sweep saw tells nothing about now.
_LATEST_WITHIN = timedelta(hours=1)
_LAST_PART = 9999
_KEPT_FOR = timedelta(days=30)
_SWEEP = "sweep"
_EVENTS = "event#"
_Line = tuple[WorkstationId, bytes]


class Journal(Table):
    """Items that expire: of every sweep, and of what was done."""

    def write_journal(self, swept: Sequence[SweepRecord], at: datetime) -> None:
        """Items that expire, each for up to 500 workstations."""
        for part in packed(swept, at):
            self._put({"workstation": {"S": _SWEEP}, **part, "expires_at": expiry(at, _KEPT_FOR)})

    def latest_sweep(self, now: datetime) -> Mapping[WorkstationId, SweepRecord]:
        """The newest item says of how many parts its sweep is one; only then the others are read."""
        with aws_errors():
            parts: list[Item] = self.client.query(
                TableName=self.table,
                **_sweeps(key_of(now - _LATEST_WITHIN, 0), key_of(now, _LAST_PART)),
                ScanIndexForward=False,
                Limit=1,
                ConsistentRead=True,
            )["Items"]
        if parts and parts[0].get("parts") != {"N": "1"}:
            sweep = parts[0]["kind"]["S"].partition("#")[0]
            parts = list(self._pages(**_sweeps(f"{sweep}#", f"{sweep}#{_LAST_PART}"), ConsistentRead=True))
        return {record.workstation: record for part in parts for record in records(part)}

    def sweep_records(self, workstation: WorkstationId, since: datetime, until: datetime) -> Sequence[SweepRecord]:
        """Every page; the parts without the workstation are left out by DynamoDB, who reads them all the same."""
        # DynamoDB refuses to look between a moment and an earlier one.
        if until < since:
            return []
        between = _sweeps(key_of(since, 0), key_of(until, _LAST_PART))
        between["ExpressionAttributeValues"] |= {":workstation": {"S": workstation}}
        pages = self._pages(
            **between,
            FilterExpression="#first <= :workstation AND #last >= :workstation",
            ExpressionAttributeNames={"#first": "first", "#last": "last"},
        )
        found = [record_of(item, workstation) for item in pages]
        return [record for record in found if record is not None]

    def record(self, workstation: WorkstationId, happened: Happened) -> None:
        """An item that expires, in order below its intent."""
        self._put(
            key(workstation, f"{_events(happened.intent)}{happened.at.isoformat()}")
            | {"document": {"S": json.dumps(to_plain(happened))}, "expires_at": expiry(happened.at, 2 * _KEPT_FOR)}
        )

    def happened(self, workstation: WorkstationId, intent: int | None = None) -> Sequence[Happened]:
        """What was done for one intent, or for all of the last 60 days: what was up for 30 began before them."""
        kind = _EVENTS if intent is None else _events(intent)
        pages = self._pages(
            KeyConditionExpression="workstation = :workstation AND begins_with(kind, :kind)",
            ExpressionAttributeValues={":workstation": {"S": workstation}, ":kind": {"S": kind}},
        )
        return [from_json(Happened, item["document"]["S"]) for item in pages]


def key_of(at: datetime, part: int) -> str:
    """The key of a part of the sweep at a moment: as text they are in order of time, and then of parts."""
    return f"{at.astimezone(UTC).isoformat(timespec='microseconds')}#{part:04d}"


def packed(seen: Sequence[SweepRecord], at: datetime) -> list[Item]:
    """What one sweep saw, as attributes of items; each knows of how many parts it is one.

    first, last: the ids between which a part's workstations lie; they are in order.
    """
    ordered = sorted(seen, key=lambda record: record.workstation)
    # Lines of one chunk at a time: of 10,000 workstations they are 20 MB, and compressed a tenth of it.
    chunks = (ordered[begin : begin + _MOST_RECORDS] for begin in range(0, len(ordered), _MOST_RECORDS))
    parts = [part for chunk in chunks for part in _parts([(each.workstation, _line(each)) for each in chunk])]
    return [
        {
            "kind": {"S": key_of(at, number)},
            "parts": {"N": str(len(parts))},
            "first": {"S": ids[0]},
            "last": {"S": ids[-1]},
            "document": {"B": document},
        }
        for number, (ids, document) in enumerate(parts)
    ]


def records(item: Item) -> list[SweepRecord]:
    """All records of a part; those that cannot be read are left out."""
    read = [_record(line) for line in _lines(item)]
    return [record for record in read if record is not None]


def record_of(item: Item, workstation: WorkstationId) -> SweepRecord | None:
    """One workstation's record in a part, without reading the others; None when there is none to be read."""
    begin = _begin(workstation)
    return next((_record(line) for line in _lines(item) if line.startswith(begin)), None)


def _parts(lines: Sequence[_Line]) -> Iterator[tuple[list[WorkstationId], bytes]]:
    """The lines in as few halves of halves as fit into an item each."""
    document = zlib.compress(b"\n".join(line for _, line in lines))
    if len(document) <= _MOST_BYTES or len(lines) == 1:
        yield [workstation for workstation, _ in lines], document
        return
    middle = len(lines) // 2
    yield from _parts(lines[:middle])
    yield from _parts(lines[middle:])


def _line(record: SweepRecord) -> bytes:
    # The id goes before the JSON, so that one workstation's line is found without reading 499 others. JSON has no line
    # breaks.
    return _begin(record.workstation) + json.dumps(to_plain(record), separators=(",", ":")).encode()


def _begin(workstation: WorkstationId) -> bytes:
    return f"{workstation} ".encode()


def _lines(item: Item) -> list[bytes]:
    unpacker = zlib.decompressobj()
    try:
        document = unpacker.decompress(item["document"]["B"], _MOST_UNPACKED)
    except (KeyError, TypeError, zlib.error):
        return []
    return document.split(b"\n") if unpacker.eof else []


def _record(line: bytes) -> SweepRecord | None:
    try:
        return from_json(SweepRecord, line.partition(b" ")[2])
    except ValueError:
        return None


def _events(intent: int) -> str:
    return f"{_EVENTS}{intent:08d}#"


def _sweeps(since: str, until: str) -> Item:
    """A query for the journal's items from one key to another."""
    return {
        "KeyConditionExpression": "workstation = :sweep AND kind BETWEEN :since AND :until",
        "ExpressionAttributeValues": {":sweep": {"S": _SWEEP}, ":since": {"S": since}, ":until": {"S": until}},
    }
