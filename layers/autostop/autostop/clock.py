"""Times as their owner's clock shows them. Pure."""

from datetime import datetime, timedelta, tzinfo


def clock_time(at: datetime, zone: tzinfo | None, now: datetime, form: str = "%H:%M") -> str:
    """`22:10 CET`; with the day unless it is that of `now`: `Wed 22:10 CET`, or from a week's distance on the date.

    Where a zone has no letters of its own, its distance from UTC: `22:10 UTC-03`.
    """
    local, today = at.astimezone(zone), now.astimezone(zone).date()
    name = f"{local:%Z}"
    day = "" if local.date() == today else "%a " if abs(local.date() - today) < timedelta(days=7) else "%Y-%m-%d "
    return f"{local:{day}{form}} {'UTC' if name[0] in '+-' else ''}{name}"
