"""When a workstation counts as idle: a table of boundaries, and what holds for any input at all.

In the table the workstation was launched at 08:00 with 15 minutes of grace, is idle after 30 minutes, and its processor
is published every 5 minutes. A row differs from "quiet" in what it says, and only in that.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autostop.idle.cloudwatch_metrics import METRIC_DELAY
from autostop.idle.measured import Activity, Sample
from autostop.idle.reading import Reading, Server, Unknown
from autostop.idle.signs_of_answer import ANSWER_VALID_FOR
from autostop.idle.verdict import VerdictKind, assess
from autostop.settings import Policy
from tests.build import minutes, reading, row, server

LAUNCHED = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)
NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
SECOND = timedelta(seconds=1)
POLICY = Policy()
PERIOD = POLICY.cpu_period
ACTIVE, IDLE, UNKNOWN = VerdictKind.ACTIVE, VerdictKind.IDLE, VerdictKind.UNKNOWN


def processor(
    until: datetime = NOW, since: datetime = LAUNCHED, busy: Sequence[datetime] = (), missing: Sequence[datetime] = ()
) -> list[Sample]:
    """A sample for each period from `since` that has ended by `until`."""
    count = max(0, (until - since) // PERIOD)
    starts = [since + PERIOD * n for n in range(count)]
    return [Sample(at, 1.0 if at in busy else 0.01) for at in starts if at not in missing]


def used(at: datetime) -> Server:
    return server(idle=1, kernel_active_at=at)


@dataclass(frozen=True)
class Look:
    """What was seen; by default a workstation that was quiet ever since its launch."""

    activity: Activity = field(default_factory=lambda: Activity(LAUNCHED, processor(), reading(NOW)))
    policy: Policy = POLICY
    now: datetime = NOW

    def but(self, **changes: object) -> "Look":
        return replace(self, activity=replace(self.activity, **changes))  # type: ignore[arg-type]  # a test's own fields

    def at(self, now: datetime) -> "Look":
        return replace(self, now=now)

    def under(self, **changes: object) -> "Look":
        return replace(self, policy=replace(self.policy, **changes))  # type: ignore[arg-type]  # a test's own fields


QUIET = Look()
# Samples seen up to 11:55, and up to the last moment at which they still tell something about now.
STALE = PERIOD + METRIC_DELAY


def fresh(at: datetime, since_launch: datetime = LAUNCHED) -> Look:
    """A quiet workstation looked at at this moment, with everything published."""
    return Look(Activity(since_launch, processor(at, since_launch), reading(at)), now=at)


ROWS = [
    row("quiet", QUIET, IDLE, "idle for 3 h 45 min (since 08:15 UTC)"),
    # The owner's word.
    row("idle-after is off", QUIET.under(idle_after=None), ACTIVE, "idle-after = off"),
    row("kept awake", QUIET.but(kept_awake_until=NOW + SECOND), ACTIVE, "the owner keeps it awake"),
    row("the promise ends now", QUIET.but(kept_awake_until=NOW), IDLE, "idle for"),
    row("the promise has passed", QUIET.but(kept_awake_until=NOW - SECOND), IDLE, "idle for"),
    # Launch, grace, window.
    row("clock behind the launch", fresh(LAUNCHED - SECOND), ACTIVE, "grace"),
    row("clock behind, no grace", fresh(LAUNCHED - SECOND).under(grace=minutes(0)), ACTIVE, "it was started 0 s ago"),
    row("just before the end of grace", fresh(LAUNCHED + minutes(15) - SECOND), ACTIVE, "grace"),
    row("grace has just ended", fresh(LAUNCHED + minutes(15)), ACTIVE, "quiet for 0 s of 30 min"),
    row("just before idle_after", fresh(LAUNCHED + minutes(45) - SECOND), ACTIVE, "quiet for 29 min 59 s"),
    row("exactly idle_after", fresh(LAUNCHED + minutes(45)), IDLE, "idle for 30 min"),
    row("after idle_after", fresh(LAUNCHED + minutes(50)), IDLE, "idle for 35 min"),
    row("no grace, exactly idle_after", fresh(LAUNCHED + minutes(30)).under(grace=minutes(0)), IDLE, "idle for 30 min"),
    # A start that was asked for while it ran: whoever asks is there.
    row("asked for just now", QUIET.but(started_at=NOW - minutes(15) + SECOND), ACTIVE, "grace"),
    row("asked for lately", QUIET.but(started_at=NOW - minutes(45) + SECOND), ACTIVE, "quiet for 29 min"),
    row("asked for long ago", QUIET.but(started_at=NOW - minutes(45)), IDLE, "idle for 30 min"),
    row("asked for before the launch", QUIET.but(started_at=LAUNCHED - minutes(5)), IDLE, "since 08:15"),
    # Processor.
    row("no metrics", QUIET.but(processor=[]), UNKNOWN, "no data since the start"),
    row("metrics of the launch before", QUIET.but(processor=processor(LAUNCHED, LAUNCHED - minutes(300))), UNKNOWN,
        "no data since the start"),
    row("work before the launch is no work of now",
        QUIET.but(processor=processor(busy=[LAUNCHED - PERIOD], since=LAUNCHED - minutes(300))), IDLE, "since 08:15"),
    row("the newest metrics are just young enough", QUIET.but(processor=processor(NOW - STALE)), IDLE, "idle for"),
    row("stale metrics", QUIET.but(processor=processor(NOW - STALE)).at(NOW + SECOND), UNKNOWN, "no data since 11:45"),
    row("busy, but stale",
        QUIET.but(processor=[*processor(NOW - STALE - PERIOD), Sample(NOW - STALE - PERIOD, 9.0)]).at(NOW + SECOND),
        UNKNOWN, "no data since 11:45"),
    row("busy now", QUIET.but(processor=processor(busy=[NOW - PERIOD])), ACTIVE, "1.00 cores in use, more than 0.25"),
    row("a period that is not over says nothing yet",
        QUIET.but(processor=[*processor(NOW - PERIOD, busy=[NOW - minutes(40)]), Sample(NOW - minutes(2), 0.0)]), IDLE,
        "idle for 35 min"),
    row("nor does it lengthen what was seen",
        QUIET.but(processor=[*processor(NOW - minutes(10), busy=[NOW - minutes(40)]), Sample(NOW - minutes(2), 0.0)]),
        ACTIVE, "quiet for 25 min of 30 min as far as can be seen yet"),
    row("unless it shows work already", QUIET.but(processor=[*processor(), Sample(NOW - minutes(2), 2.0)]), ACTIVE,
        "2.00 cores in use"),
    row("what showed it is gone", QUIET.but(worked_at=NOW - minutes(10)), ACTIVE, "work was seen then"),
    row("what showed it is long gone", QUIET.but(worked_at=NOW - minutes(30)), IDLE, "idle for 30 min"),
    row("at the threshold", QUIET.but(processor=[*processor()[:-1], Sample(NOW - PERIOD, 0.25)]), IDLE, "idle for"),
    row("just above it", QUIET.but(processor=[*processor()[:-1], Sample(NOW - PERIOD, 0.2501)]), ACTIVE, "0.25 cores"),
    row("busy inside the window", QUIET.but(processor=processor(busy=[NOW - minutes(30)])), ACTIVE, "last above"),
    row("busy just before the window", QUIET.but(processor=processor(busy=[NOW - minutes(35)])), IDLE,
        "idle for 30 min"),
    row("the window is not seen to its end yet",
        QUIET.but(processor=processor(NOW - minutes(10), busy=[NOW - minutes(40)])), ACTIVE,
        "quiet for 25 min of 30 min as far as can be seen yet"),
    row("seen long enough, the newest period is not published",
        QUIET.but(processor=processor(NOW - minutes(5), busy=[NOW - minutes(40)])), IDLE, "idle for 35 min"),
    row("a gap in the window", QUIET.but(processor=processor(missing=[NOW - minutes(15)])), UNKNOWN,
        "gap before 11:50"),
    row("a gap before the window", QUIET.but(processor=processor(missing=[NOW - minutes(35)])), IDLE,
        "idle for 30 min"),
    row("a gap at the beginning of the window", QUIET.but(processor=processor(missing=[NOW - minutes(30)])), ACTIVE,
        "quiet for 25 min"),
    row("a gap well inside", QUIET.but(processor=processor(missing=[NOW - minutes(25)])), UNKNOWN, "gap before 11:40"),
    row("work before a gap in the window",
        QUIET.but(processor=processor(missing=[NOW - minutes(10)], busy=[NOW - minutes(15)])), ACTIVE, "last above"),
    row("no data of the first hours", QUIET.but(processor=processor(since=NOW - minutes(20))), UNKNOWN,
        "gap before 11:40"),
    row("the period of the launch is not counted",
        replace(fresh(LAUNCHED + minutes(50)),
            activity=Activity(LAUNCHED, processor(LAUNCHED + minutes(50))[1:], None)), IDLE, "idle for"),
    # Jupyter.
    row("nobody asks", QUIET.but(answer=None), IDLE, "idle for"),
    row("nobody asks, busy", QUIET.but(answer=None, processor=processor(busy=[NOW - PERIOD])), ACTIVE, "cores"),
    row("nobody asks, no metrics", QUIET.but(answer=None, processor=[]), UNKNOWN, "no data"),
    row("no readable answer", QUIET.but(answer=Unknown(NOW, "it hangs")), UNKNOWN, "asked: it hangs"),
    row("no readable answer, busy", QUIET.but(answer=Unknown(NOW, "it hangs"),
            processor=processor(busy=[NOW - PERIOD])), ACTIVE, "cores in use"),
    row("no readable answer, but work in the window",
        QUIET.but(answer=Unknown(NOW, "it hangs"), processor=processor(busy=[NOW - minutes(20)])), ACTIVE,
        "last above"),
    row("the answer is just young enough", QUIET.but(answer=reading(NOW - ANSWER_VALID_FOR)), IDLE, "idle for"),
    row("the answer is too old", QUIET.but(answer=reading(NOW - ANSWER_VALID_FOR - SECOND)), UNKNOWN, "last answer"),
    row("the answer is from before the launch",
        Look(Activity(NOW - minutes(5), processor(since=NOW - minutes(5)),
                reading(NOW - minutes(6)))).under(grace=minutes(0), idle_after=minutes(5)), UNKNOWN,
        "last answer is from 11:54"),
    row("no Jupyter runs", QUIET.but(answer=Reading(NOW, ())), IDLE, "idle for"),
    row("a silent cell moves no timestamp", QUIET.but(answer=reading(NOW, server(busy=1, kernel_active_at=LAUNCHED))),
        ACTIVE, "1 busy kernel"),
    row("busy kernels on the second server",
        QUIET.but(answer=reading(NOW, server(), server(busy=2, kernel_active_at=LAUNCHED))), ACTIVE, "2 busy kernels"),
    row("starting for ever is not work", QUIET.but(answer=reading(NOW, server(starting=3, kernel_active_at=LAUNCHED))),
        IDLE, "idle for"),
    row("started just now is use",
        QUIET.but(answer=reading(NOW, server(starting=1, kernel_active_at=NOW - minutes(3)))), ACTIVE,
        "last used at 11:57"),
    row("dead kernels", QUIET.but(answer=reading(NOW, server(other=1, kernel_active_at=LAUNCHED))), IDLE, "idle for"),
    row("used idle_after ago", QUIET.but(answer=reading(NOW, used(NOW - minutes(30)))), IDLE, "idle for 30 min"),
    row("used just inside the window", QUIET.but(answer=reading(NOW, used(NOW - minutes(30) + SECOND))), ACTIVE,
        "quiet for 29 min 59 s of 30 min: Jupyter: last used at 11:30 UTC"),
    row("a terminal was used, and over the network nothing else tells of it",
        QUIET.but(answer=reading(NOW, server(terminals=1, terminal_active_at=NOW - minutes(10)))), ACTIVE,
        "last shown in one at 11:50"),
    row("the newest of two servers counts",
        QUIET.but(answer=reading(NOW, used(NOW - minutes(60)), used(NOW - minutes(10)))), ACTIVE, "last used at 11:50"),
    row("used since the answer, for all we know", QUIET.but(answer=reading(NOW - minutes(10), used(NOW - minutes(35)))),
        ACTIVE, "quiet for 25 min of 30 min as far as can be seen yet"),
    row("used before the launch", QUIET.but(answer=reading(NOW, used(LAUNCHED - minutes(600)))), IDLE, "since 08:15"),
    row("its clock is ahead", QUIET.but(answer=reading(NOW + minutes(2), used(NOW + minutes(2)))), ACTIVE, "last used"),
]  # fmt: skip


@pytest.mark.parametrize(("look", "kind", "headline"), ROWS)
def test_the_verdict(look: Look, kind: VerdictKind, headline: str) -> None:
    verdict = assess(look.activity, look.policy, look.now)

    assert (verdict.kind, verdict.at) == (kind, look.now), verdict
    assert headline in verdict.headline


@pytest.mark.parametrize(("look", "due_at"), [
    row("the promise ends", QUIET.but(kept_awake_until=NOW + minutes(60)), NOW + minutes(60)),
    row("grace and then the window", fresh(LAUNCHED + minutes(5)), LAUNCHED + minutes(45)),
    row("the window's rest", QUIET.but(answer=reading(NOW, used(NOW - minutes(10)))), NOW + minutes(20)),
    row("when what is missing will have been seen",
        QUIET.but(processor=processor(NOW - minutes(10), busy=[NOW - minutes(40)])), NOW + minutes(5)),
    row("at work", QUIET.but(processor=processor(busy=[NOW - PERIOD])), None),
    row("never", QUIET.under(idle_after=None), None),
    row("unknown", QUIET.but(processor=[]), None),
])  # fmt: skip
def test_when_the_answer_changes_if_nothing_new_is_seen(look: Look, due_at: datetime | None) -> None:
    assert assess(look.activity, look.policy, look.now).due_at == due_at


def test_idle_says_since_when_and_what_was_seen() -> None:
    look = QUIET.but(answer=reading(NOW, used(NOW - minutes(40))))

    verdict = assess(look.activity, look.policy, look.now)

    assert verdict.since == NOW - minutes(40)
    assert verdict.reasons == (
        "idle for 40 min (since 11:20 UTC)", "processor: at most 0.25 cores since 08:00 UTC",
        "Jupyter: last used at 11:20 UTC", "files: nothing since the start", "terminals: nothing since the start",
    )  # fmt: skip


def test_every_time_is_told_by_the_owners_clock() -> None:
    look = QUIET.but(answer=reading(NOW, used(NOW - minutes(40)))).under(time_zone=ZoneInfo("Europe/Berlin"))

    reasons = assess(look.activity, look.policy, look.now).reasons

    assert reasons[:3] == (
        "idle for 40 min (since 12:20 CET)",
        "processor: at most 0.25 cores since 09:00 CET",
        "Jupyter: last used at 12:20 CET",
    )
    assert "UTC" not in " ".join(reasons)


def test_an_active_verdict_names_every_signal_once() -> None:
    look = QUIET.but(processor=processor(busy=[NOW - PERIOD]))

    verdict = assess(look.activity, look.policy, look.now)

    assert verdict.reasons == (
        "processor: 1.00 cores in use, more than 0.25",
        "Jupyter: no kernel was used",
        "files: nothing since the start",
        "terminals: nothing since the start",
    )


offsets = st.integers(-90, 300).map(lambda count: LAUNCHED + timedelta(minutes=count))
spans = st.integers(1, 90).map(lambda count: timedelta(minutes=count))


@st.composite
def samples(draw: st.DrawFn) -> list[Sample]:
    """Points of a grid of 5 minutes around the launch, some missing, some busy, some late."""
    shift = timedelta(seconds=draw(st.integers(0, 299)))
    first, last = draw(st.integers(-20, 40)), draw(st.integers(0, 60))
    holes = draw(st.sets(st.integers(first, max(first, last)), max_size=3))
    busy = draw(st.sets(st.integers(first, max(first, last)), max_size=3))
    return [
        Sample(LAUNCHED + PERIOD * n + shift, 2.0 if n in busy else 0.0) for n in range(first, last) if n not in holes
    ]


@st.composite
def servers(draw: st.DrawFn) -> Server:
    busy, idle, starting = (draw(st.sampled_from([0, 0, 1])) for _ in range(3))
    terminals = draw(st.sampled_from([0, 1]))
    return server(
        busy=busy,
        idle=idle,
        starting=starting,
        kernel_active_at=draw(offsets) if busy + idle + starting else None,
        terminals=terminals,
        terminal_active_at=draw(offsets) if terminals else None,
    )


answers = st.one_of(
    st.none(),
    st.builds(Unknown, offsets, st.just("no answer")),
    st.builds(Reading, offsets, st.lists(servers(), max_size=2).map(tuple)),
)
activities = st.builds(
    Activity,
    st.just(LAUNCHED),
    samples(),
    answers,
    kept_awake_until=st.one_of(st.none(), offsets.filter(lambda at: at > LAUNCHED)),
)
policies = st.builds(
    Policy, idle_after=st.one_of(st.none(), spans), grace=st.integers(0, 30).map(lambda count: timedelta(minutes=count))
)


def seen_quiet(activity: Activity, policy: Policy, since: datetime, until: datetime) -> bool:
    """Whether each signal was seen, and seen quiet, at every moment from `since` to `until`: told by brute force."""
    moments = [since + (until - since) * n / 40 for n in range(41)]
    quiet = [each for each in activity.processor if each.cores <= policy.cpu_cores and each.at >= LAUNCHED]
    # A point may come half a period late without being missing.
    reach = PERIOD * 1.5
    if any(not any(each.at <= at <= each.at + reach for each in quiet) for at in moments[:-1]):
        return False
    if any(
        each.cores > policy.cpu_cores and since < each.at + PERIOD and each.at < until for each in activity.processor
    ):
        return False
    if activity.answer is None:
        return True
    if isinstance(activity.answer, Unknown) or activity.answer.at < until:
        return False
    touched = [at for each in activity.answer.servers for at in (each.kernel_active_at, each.terminal_active_at) if at]
    return not any(each.busy for each in activity.answer.servers) and all(at <= since for at in touched)


@settings(max_examples=200)
@given(activities, policies, st.integers(0, 300))
def test_idle_means_that_every_signal_was_seen_quiet_over_a_whole_window(
    activity: Activity, policy: Policy, minute: int
) -> None:
    now = LAUNCHED + timedelta(minutes=minute)

    verdict = assess(activity, policy, now)

    if verdict.kind is IDLE:
        assert policy.idle_after is not None
        assert verdict.since is not None
        assert verdict.since >= LAUNCHED + policy.grace
        assert verdict.since + policy.idle_after <= now
        assert activity.kept_awake_until is None or activity.kept_awake_until <= now
        assert seen_quiet(activity, policy, verdict.since, verdict.since + policy.idle_after)


@settings(max_examples=60)
@given(activities, policies, st.integers(0, 300), st.sampled_from(["no metrics", "unread", "old answer"]))
def test_what_is_unknown_is_never_idle(activity: Activity, policy: Policy, minute: int, missing: str) -> None:
    now = LAUNCHED + timedelta(minutes=minute)
    unknown = {
        "no metrics": replace(activity, processor=[]),
        "unread": replace(activity, answer=Unknown(now, "no answer")),
        "old answer": replace(activity, answer=Reading(now - ANSWER_VALID_FOR - SECOND, ())),
    }[missing]

    assert assess(unknown, policy, now).kind is not IDLE


@settings(max_examples=60)
@given(activities, policies, st.integers(0, 300))
def test_a_verdict_always_says_why(activity: Activity, policy: Policy, minute: int) -> None:
    verdict = assess(activity, policy, LAUNCHED + timedelta(minutes=minute))

    assert all(verdict.reasons)
    assert len(set(verdict.reasons)) == len(verdict.reasons)
