"""Minutes of the week or month by somebody's wall clock: a cron expression and a time zone.

cronsim reads the expression and finds the minutes of the calendar that match; it is asked by wall clock only, and this
module says which instants those are. On the two days on which clocks change, a time that the clock skips counts as
the first moment after the gap, and one that it shows twice as the first of the two. Pure.
"""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo, available_timezones

from cronsim import CronSim, CronSimError

from autostop.tags import LONGEST_VALUE

_EXAMPLE = "write five cron fields and a time zone, like * 9-17 * * mon-fri Europe/Berlin"
_MINUTE = timedelta(minutes=1)
_SECOND = timedelta(seconds=1)
# Any moment would do: whether an expression ever comes does not depend on it.
_SOME_MOMENT = datetime.fromisoformat("2026-01-01")  # wall clock, of no zone


class InvalidScheduleError(ValueError):
    """No schedule; its text says why, and what would do."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """The minutes that match `text`: five cron fields and the name of an IANA time zone.

    Raises InvalidScheduleError when the text is too long, its fields cannot be read or never come, or no such zone is
    known. Times given must be aware; times returned are UTC.
    """

    text: str

    def __post_init__(self) -> None:
        words = self.text.split()
        if len(self.text) > LONGEST_VALUE:
            raise InvalidScheduleError(f"is longer than {LONGEST_VALUE} characters; {_EXAMPLE}")
        if len(words) != 6 or not self.text.isascii():
            raise InvalidScheduleError(f"is no schedule; {_EXAMPLE}")
        try:
            next(CronSim(self._cron, _SOME_MOMENT))
        except CronSimError as error:
            raise InvalidScheduleError(
                f"is no schedule ({str(error).lower()}); {_EXAMPLE}; ranges go upwards: sat,sun and not sat-sun"
            ) from None
        except StopIteration:
            raise InvalidScheduleError("is a schedule that never comes; leave days or months out of it") from None
        try:
            zone_named(self._zone_name)
        except InvalidScheduleError as error:
            raise InvalidScheduleError(f"ends with {self._zone_name}, which {error}") from None

    def covers(self, now: datetime) -> bool:
        """Whether the wall clock shows, in the minute of `now`, a time that matches.

        A time that the clock shows twice matches both times.
        """
        wall = self._wall(now).replace(second=0, microsecond=0)
        return next(CronSim(self._cron, wall - _SECOND), None) == wall

    def next_after(self, moment: datetime) -> datetime | None:
        """The first matching minute that begins after `moment`; None when there is none within 50 years."""
        for wall in CronSim(self._cron, self._wall(moment)):
            # In an hour that is shown for the second time the matches of its first showing come up again.
            if (at := self._instant(wall)) > moment:
                return at
        return None

    def lasts_for(self, duration: timedelta) -> bool:
        """Whether all minutes match for so long from the first that does."""
        minutes = CronSim(self._cron, _SOME_MOMENT)
        first = next(minutes)
        return all(next(minutes, None) == first + n * _MINUTE for n in range(1, duration // _MINUTE))

    @property
    def _cron(self) -> str:
        return " ".join(self.text.split()[:-1])

    @property
    def _zone_name(self) -> str:
        return self.text.split()[-1]

    @property
    def _zone(self) -> ZoneInfo:
        return ZoneInfo(self._zone_name)  # kept by zoneinfo

    def _wall(self, moment: datetime) -> datetime:
        return moment.astimezone(self._zone).replace(tzinfo=None, fold=0)

    def _instant(self, wall: datetime) -> datetime:
        """The first instant at which the wall clock shows `wall`, or for a time that it skips, the gap's end."""
        while True:
            at = wall.replace(tzinfo=self._zone).astimezone(UTC)
            if self._wall(at) == wall:
                return at
            wall += _MINUTE


def zone_named(name: str) -> ZoneInfo:
    """The time zone of an IANA name, whatever its case. Raises InvalidScheduleError."""
    with suppress(LookupError, ValueError, OSError):  # not found; a path that leads elsewhere; a directory
        # They begin with a capital; "localtime", "posix/..." and "right/..." are files of some systems only.
        if name[:1].isupper():
            return ZoneInfo(name)
    if (known := _zones().get(name.casefold())) is not None:
        return ZoneInfo(known)
    raise InvalidScheduleError("is no time zone; write an IANA name, like Europe/Berlin or UTC")


@cache
def _zones() -> Mapping[str, str]:
    """All names by their letters alone. Reading them takes a sixth of a second."""
    return {name.casefold(): name for name in available_timezones() if name[0].isupper()}


def parse_schedule(text: str) -> Schedule:
    """A schedule as an owner types it, `* 9-17 * * mon-fri Europe/Berlin`. Raises InvalidScheduleError."""
    *cron, zone = text.split() or [""]
    with suppress(InvalidScheduleError):  # Schedule says more of it
        zone = zone_named(zone).key
    return Schedule(" ".join([*map(str.lower, cron), zone]))
