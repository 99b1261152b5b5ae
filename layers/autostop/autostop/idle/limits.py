"""When a workstation is put to sleep whatever anybody does there: at `stop-at`, and when `max-run` is over.

Pure. Only a promise to keep awake puts such a moment off, to the promise's end.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from autostop.settings import Policy, words

# A stop-at that nothing came of, because Autostop was down or because the setting is new, is forgotten after this and
# the time of a warning: nobody who sits down in the morning is stopped for the evening before.
LATE_BY = timedelta(hours=1)
# How far before its end a promise to keep awake is taken to have put a stop-at off: a night.
_PROMISE_REACHES = timedelta(hours=12)


@dataclass(frozen=True, slots=True)
class Limit:
    """The workstation is to be asleep from `at` (UTC) on; why: in the owner's words."""

    at: datetime
    why: str


def next_limit(
    policy: Policy,
    begins_at: datetime,
    kept_awake_until: datetime | None,
    now: datetime,
    kept_awake_from: datetime | None = None,
) -> Limit | None:
    """The limit that comes first; it may lie in the past, then it is due. None: there is none.

    begins_at: since when it runs; a stop-at at or before that never counts. kept_awake_until: the owner's promise, also
    when it is over; None without one. kept_awake_from: since when, if that is known.
    """
    limits = [
        *_stop_at(policy, begins_at, (kept_awake_from, kept_awake_until), now),
        *_max_run(policy, begins_at),
    ]
    if not limits:
        return None
    first = min(limits, key=lambda limit: limit.at)
    if kept_awake_until is not None and first.at < kept_awake_until:
        return Limit(kept_awake_until, f"{first.why}, put off until the end of keep awake")
    return first


def _stop_at(
    policy: Policy, begins_at: datetime, promise: tuple[datetime | None, datetime | None], now: datetime
) -> list[Limit]:
    if policy.stop_at is None:
        return []
    late_by = LATE_BY + policy.warn_before
    since = now - late_by
    made_at, kept_until = promise
    if kept_until is not None and kept_until > since:
        # Counted from the promise and not from now, so that what is told of it stays true as time goes on. What was
        # let go before it was made is not brought back by it.
        since = made_at - late_by if made_at is not None else kept_until - _PROMISE_REACHES
    at = policy.stop_at.next_after(max(begins_at, since))
    return [] if at is None else [Limit(at, f"stop-at is {policy.stop_at.in_words(at)}")]


def _max_run(policy: Policy, begins_at: datetime) -> list[Limit]:
    if policy.max_run is None:
        return []
    why = f"max-run is {words(policy.max_run)}, and it was started at {begins_at:%H:%M} UTC"
    return [Limit(begins_at + policy.max_run, why)]
