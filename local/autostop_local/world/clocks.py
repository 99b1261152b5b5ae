"""The time of the world: a clock that tests turn by hand, and the one on the wall."""

from datetime import UTC, datetime, timedelta
from typing import Protocol


class Clock(Protocol):
    """Tells the time; always aware and in UTC."""

    def now(self) -> datetime: ...


class VirtualClock:
    """Stands still until it is turned; callable, so that it can be handed in wherever a `now` function is wanted."""

    def __init__(self, start: datetime) -> None:
        if start.tzinfo is None:
            raise ValueError("a clock needs an aware datetime")
        self._now = start.astimezone(UTC)

    def now(self) -> datetime:
        return self._now

    def __call__(self) -> datetime:
        return self._now

    def advance(self, by: timedelta) -> None:
        """Turn the clock forward. Nothing happens in the world before it is next called, read or ticked."""
        if by < timedelta(0):
            raise ValueError("time does not go back")
        self._now += by


class WallClock:
    """The time of the machine."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def __call__(self) -> datetime:
        return self.now()
