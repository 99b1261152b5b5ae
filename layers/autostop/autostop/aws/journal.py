"""The journal's items: what one sweep saw, many workstations to an item. `table.py` stores them, for 30 days."""

import json
import zlib
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

from autostop.aws.codec import from_json, to_plain
from autostop.idle.record import SweepRecord
from autostop.model import WorkstationId

# An item holds 400 KB at most (DynamoDB, "Service, account, and table quotas"), its names and ids included.
_MOST_RECORDS = 500
_MOST_BYTES = 350_000
# Whoever writes to the table could make an item that fills the memory of every sweep.
_MOST_UNPACKED = 32 * 2**20

Item = dict[str, Any]
_Line = tuple[WorkstationId, bytes]


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
