"""How times are told."""

import re
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from autostop.clock import clock_time

NOW = datetime(2026, 3, 4, 21, 10, tzinfo=UTC)  # a Wednesday


@pytest.mark.parametrize(("at", "zone", "text"), [
    ("2026-03-04T21:05", "UTC", "21:05 UTC"),
    ("2026-03-04T21:05", "Europe/Berlin", "22:05 CET"),
    ("2026-07-04T21:05", "Europe/Berlin", "2026-07-04 23:05 CEST"),
    ("2026-03-04T22:59", "Europe/Berlin", "23:59 CET"),
    ("2026-03-04T23:00", "Europe/Berlin", "Thu 00:00 CET"),  # the day is the zone's
    ("2026-03-04T23:00", "UTC", "23:00 UTC"),
    ("2026-02-26T10:00", "UTC", "Thu 10:00 UTC"),
    ("2026-02-25T10:00", "UTC", "2026-02-25 10:00 UTC"),
    ("2026-03-11T10:00", "UTC", "2026-03-11 10:00 UTC"),  # the name of the day would be today's
    ("2026-03-04T21:05", "America/Sao_Paulo", "18:05 UTC-03"),
    ("2026-03-04T21:05", "Asia/Kathmandu", "02:50 UTC+0545"),
])  # fmt: skip
def test_a_time_is_told_by_the_owners_clock_with_the_day_if_it_is_another(at: str, zone: str, text: str) -> None:
    assert clock_time(datetime.fromisoformat(at).replace(tzinfo=UTC), ZoneInfo(zone), NOW) == text


def test_no_text_for_people_writes_a_time_by_itself() -> None:
    written = [
        f"{module.name}: {line.strip()}"
        for folder in ("layers/autostop/autostop", "cli/autostop_cli")
        for module in sorted((Path(__file__).parents[1] / folder).rglob("*.py"))
        for line in module.read_text(encoding="utf-8").splitlines()
        if re.search(r"\{[^{}]*:[^{}]*%H", line)
    ]
    assert [line for line in written if not line.startswith(("stored_links.py", "worth.py", "terminal.py"))] == []
