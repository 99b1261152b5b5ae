"""What an owner must know of a workstation beside its stops: each thing once, for as long as it holds.

Pure. What holds is found anew by each sweep; the state remembers what was told of it.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from autostop.clock import clock_time
from autostop.cost import Prices, cost_running
from autostop.idle.verdict import Verdict
from autostop.model import Instance, InstanceState
from autostop.notice import Notice, NoticeKind, Told, awake_for_long, unknown_for_long
from autostop.settings import Policy, words
from autostop.sleep.intent import Intent, Wanted
from autostop.sleep.leftovers import alike, in_words, usd_a_month
from autostop.state import Outline

# A refusal that is over sooner than this is no news, nor is a failure that goes on for less than the other.
_BLOCKED_FOR: Final = timedelta(minutes=10)
_FAILS_FOR: Final = timedelta(hours=1)
_SHELVES_FOR: Final = timedelta(days=1)
_LEFT_OVER_FOR: Final = timedelta(days=1)
# What comes and goes is told once in this time, and of one kind no more than so many things: tags, and AWS's words for
# a refusal, may be others each time.
_TOLD_FOR: Final = timedelta(hours=6)
_MOST_OF_A_KIND: Final = 3


def standing(
    state: Outline, instance: Instance | None, problems: Sequence[str], now: datetime, zone: ZoneInfo, by: Prices
) -> Iterator[Notice]:
    """What holds of a workstation now, whether it runs or not. instance: None once EC2 does not list it as ours."""
    name = instance.name if instance is not None else state.workstation

    def notice(kind: NoticeKind, text: str, cause: str) -> Notice:
        return Notice(kind, state.workstation, name, now, text, cause=cause)

    if (found := _hindrance(state, instance, now)) is not None:
        cause, since, what = found
        text = f"since {clock_time(since, zone, now)}, for {words(now - since)}: {what}"
        yield notice(NoticeKind.BLOCKED, f"{text.rstrip('.')}. {_meanwhile(instance, by)}".strip(), cause)
    if state.lost:
        yield notice(NoticeKind.SNAPSHOT_LOST, state.lost, state.lost)
    leftovers = state.housekeeping.leftovers if state.housekeeping is not None else ()
    for why, some in alike(each for each in leftovers if now - each.since >= _LEFT_OVER_FOR).items():
        # Every night may leave more for one reason: that is told again whenever its cost has doubled.
        yield notice(NoticeKind.HOUSEKEEPING, in_words(some), f"{int(usd_a_month(some) or 0).bit_length()} {why}")
    if state.binned:
        yield notice(NoticeKind.HOUSEKEEPING, state.binned, "recycle bin")
    if problems:
        yield notice(NoticeKind.BAD_SETTING, " ".join(problems), " ".join(problems))


def of_running(
    state: Outline,
    instance: Instance,
    verdict: Verdict,
    unknown_since: datetime | None,
    policy: Policy,
    now: datetime,
    by: Prices,
) -> Iterator[Notice]:
    """What holds of one that runs. unknown_since: since when every verdict was unknown; None where this one is not."""
    limit = policy.report_unknown_after
    if unknown_since is not None and limit is not None and now - unknown_since >= limit:
        yield unknown_for_long(instance, verdict, unknown_since, now)
    if _is_awake_for_long(state, instance, policy.report_awake_after, now):
        yield awake_for_long(instance, verdict, now, policy.time_zone, by)


def _is_awake_for_long(state: Outline, instance: Instance, limit: timedelta | None, now: datetime) -> bool:
    """Who promised work knows of it; who was told before is not told again once the promise is over."""
    kept = state.kept_awake_until is not None and now < state.kept_awake_until
    knows = any(each.kind is NoticeKind.AWAKE_FOR_LONG for each in state.told)
    return limit is not None and (knows or not kept) and now - instance.launched_at >= limit


def refused_stop(instance: Instance, verdict: Verdict, why: str, now: datetime, by: Prices) -> Notice:
    """That a workstation would be stopped now, and may not be."""
    text = f"{verdict.headline}; but it is not stopped: {why} {_meanwhile(instance, by)}"
    return Notice(NoticeKind.BLOCKED, instance.workstation, instance.name, now, text, cause=why)


def _meanwhile(instance: Instance | None, by: Prices) -> str:
    """What goes on to be billed."""
    if instance is None:
        return ""
    stopped = instance.state is InstanceState.STOPPED
    return "Its disks and snapshots are billed meanwhile." if stopped else cost_running(instance.type, by)


def _hindrance(state: Outline, instance: Instance | None, now: datetime) -> tuple[str, datetime, str] | None:
    """What keeps an intent from being reached: its cause, since when, and in words; None for nothing worth telling."""
    intent, since = state.open_intent, state.hindered_since
    if intent is None:
        return None
    if state.blocked is not None:
        since = since or intent.at
        return (state.blocked, since, state.blocked) if now - since >= _BLOCKED_FOR else None
    # Snapshots of a first night take their time; whoever waits for a start or a stop waits for too long.
    shelves = intent.wanted is Wanted.SHELVE and instance is not None and instance.state is InstanceState.STOPPED
    patience = _SHELVES_FOR if shelves and since is None else _FAILS_FOR
    since = since or intent.at
    if now - since < patience:
        return None
    return f"{intent.wanted} {intent.number}", since, f"{_wish(intent)}, and it does not get there: {state.waiting_for}"


def _wish(intent: Intent) -> str:
    match intent.wanted:
        case Wanted.RUN:
            return "it is to wake"
        case Wanted.STOP:
            return "it is to stop"
        case Wanted.SHELVE:
            return "it is to sleep"


def untold(notices: Iterable[Notice], state: Outline, policy: Policy, now: datetime) -> list[Notice]:
    """Those that are to be told now: not again, and not in the owner's quiet hours. A warning does not wait."""
    quiet = is_quiet(policy, now)
    lately = Counter(each.kind for each in state.told if now - each.at < _TOLD_FOR)
    new = [notice for notice in notices if not any(each.is_of(notice) for each in state.told)]
    return [
        notice
        for notice in new
        if notice.kind is NoticeKind.STOPS_SOON or (not quiet and lately[notice.kind] < _MOST_OF_A_KIND)
    ]


def is_quiet(policy: Policy, now: datetime) -> bool:
    """True in the owner's quiet hours."""
    return policy.quiet_hours is not None and policy.quiet_hours.covers(now)


def told_after(state: Outline, notices: Iterable[Notice], told: Iterable[Notice], now: datetime) -> tuple[Told, ...]:
    """What was told and holds, after these were told too; warnings are remembered elsewhere. notices: all that hold."""
    standing_now = list(notices)
    told = [notice for notice in told if notice.kind is not NoticeKind.STOPS_SOON]
    kept = [
        each for each in state.told if now - each.at < _TOLD_FOR or any(each.is_of(notice) for notice in standing_now)
    ]
    return (*kept, *(Told(each.kind, each.cause, now, each.text) for each in told))
