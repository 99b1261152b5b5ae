"""Text for a terminal: harmless, in columns, with moments as people type and read them.

Moments are by the terminal's wall clock when typed, and told by the owner's `time-zone` and by the terminal's.
"""

import json
import re
from collections.abc import Sequence
from datetime import UTC, datetime, time, timedelta, tzinfo

import click

from autostop.clock import clock_time
from autostop.cost import usd
from autostop.harmless import harmless

_TIME_OF_DAY = re.compile(r"(\d{1,2}):(\d{2})", re.ASCII)
_EXAMPLES = "write it like 14:05, or 2026-11-23T14:05, with Z or +01:00 behind it if it is not by this terminal's clock"


class NotAMomentError(ValueError):
    """A text that names no moment of the past; it says what would do."""


class FailedError(click.ClickException):  # noqa: TID251 - here is what it is escaped by
    """Ends the command: why, in lines that may hold foreign text."""

    def __init__(self, *lines: str) -> None:
        super().__init__("\n".join(map(harmless, lines)))


def refused(what: str, reasons: Sequence[str]) -> FailedError:
    """Before anything was changed."""
    return FailedError(f"{what}. Nothing was changed.", *(f"  - {each}" for each in reasons))


def say(*lines: str, err: bool = False) -> None:
    """Print them: the one way to the terminal, so that nothing foreign in them speaks to it. err: on standard error."""
    click.echo("\n".join(map(harmless, lines)), err=err)  # noqa: TID251 - likewise


def table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines of left-aligned columns, two spaces apart; the cells are made harmless."""
    cells = [[harmless(cell) for cell in row] for row in rows]
    widths = [max(len(cell) for cell in column) for column in zip(*cells, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells]


def heading(workstation: str, name: str) -> str:
    """A workstation's id, and its name beside it if it has one."""
    return workstation if name == workstation else f"{workstation}  {name}"


def dollars(cost: float) -> str:
    """USD a month."""
    return f"{usd(cost)} a month"


def json_lines(body: object) -> list[str]:
    """JSON for people and programs."""
    return json.dumps(body, indent=2).splitlines()


def parse_past(text: str, now: datetime) -> datetime:
    """The moment (UTC) that a person means by `14:05`, the last time it was that late, or by an ISO 8601 text.

    Without a zone it is by the terminal's clock; of a time that this shows twice, the first. now: aware. Raises
    NotAMomentError.
    """
    text = text.strip()
    of_day = _TIME_OF_DAY.fullmatch(text)
    try:
        moment = _last_time(time(int(of_day[1]), int(of_day[2])), now) if of_day else _moment(text)
    except (ValueError, OverflowError, OSError):
        raise NotAMomentError(f"is no moment; {_EXAMPLES}") from None
    if moment > now:
        raise NotAMomentError(f"lies in the future: it is {written(now, now)} now")
    return moment


def written(moment: datetime, now: datetime) -> str:
    """`14:05 CET (13:05 UTC)`: by the zone of `now`, with the day unless it is that of `now`.

    In brackets by the terminal's clock, where that shows something else.
    """
    theirs, local = moment.astimezone(now.tzinfo), moment.astimezone()
    day = "" if theirs.date() == now.date() else f"{theirs:%Y-%m-%d} "
    beside = f" ({local:%H:%M %Z})" if local.utcoffset() != theirs.utcoffset() else ""
    return f"{day}{clock_time(theirs, now.tzinfo, theirs)}{beside}"


def dated(moment: datetime, zone: tzinfo | None) -> str:
    """`2026-11-23 14:05 CET`."""
    return clock_time(moment, zone, moment, "%Y-%m-%d %H:%M")


def _last_time(clock: time, now: datetime) -> datetime:
    today = now.astimezone().date()
    moment = datetime.combine(today, clock).astimezone(UTC)
    return moment if moment <= now else datetime.combine(today - timedelta(days=1), clock).astimezone(UTC)


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    # Of a day alone nobody knows which moment is meant.
    if len(text) <= len("2026-11-23"):
        raise ValueError(text)
    return moment.astimezone(UTC)
