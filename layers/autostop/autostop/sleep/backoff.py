"""When what came to nothing is tried again: each time later, up to a longest wait. Pure."""

from datetime import datetime, timedelta
from typing import Final

from autostop.model import LISTS_LAG_FOR

LONGEST_RETRY: Final = timedelta(minutes=15)
# What waits for a person is tried again all the same: what held it up may be gone.
_LONGEST_BLOCK: Final = timedelta(hours=1)
_LONGEST_LEFTOVER: Final = timedelta(hours=6)


def _doubled(first: timedelta, times: int, longest: timedelta) -> timedelta:
    factor: int = 2 ** min(times, 10)
    return min(longest, first * factor)


def after_error(retry_after: timedelta, errors: int, chance: float) -> timedelta:
    """After a passing error, with so many before it. chance: 0 to 1, so that no storm comes back at one moment."""
    return _doubled(retry_after, errors, LONGEST_RETRY) * (1 + chance) / 2


def after_no_capacity(times: int) -> timedelta:
    """1, 2, 4 ... minutes after EC2 had none for so many times."""
    return _doubled(timedelta(minutes=1), times - 1, LONGEST_RETRY)


def while_blocked(since: datetime, now: datetime) -> timedelta:
    """Half of the time for which it has been blocked."""
    return min(_LONGEST_BLOCK, (now - since) / 2)


def between_rounds(rounds: int) -> timedelta:
    """5, 10, 20 ... minutes until what stays is tried again: a start that was not seen to work may work soon."""
    return _doubled(LISTS_LAG_FOR, rounds, _LONGEST_LEFTOVER)
