"""What will happen, and when: the due transitions of the world in order of time."""

import heapq
import itertools
from collections.abc import Callable
from datetime import datetime

Happening = Callable[[datetime], None]


class Timeline:
    """Keeps what is due and lets it happen, each thing at its own moment however late the world looks."""

    def __init__(self) -> None:
        self._due: list[tuple[datetime, int, Happening]] = []
        self._order = itertools.count()
        self.moment: datetime | None = None  # of what is happening; None between happenings
        self.before: Callable[[datetime], None] | None = None  # called with the moment of each happening, ahead of it

    def at(self, due: datetime, happening: Happening) -> None:
        """Let `happening` happen at `due`; it is given that moment, and may put further things on the timeline."""
        heapq.heappush(self._due, (due, next(self._order), happening))

    def run(self, now: datetime) -> None:
        """Let happen, in order, whatever is due by now."""
        while self._due and self._due[0][0] <= now:
            self.moment, _, happening = heapq.heappop(self._due)
            try:
                if self.before is not None:
                    self.before(self.moment)
                happening(self.moment)
            finally:
                self.moment = None

    def next_due(self) -> datetime | None:
        """The moment of the next happening; None when nothing is to come."""
        return self._due[0][0] if self._due else None
