"""What each sign of work does to the verdict, by itself, on a workstation that was quiet ever since its launch.

It was launched at 08:00 with 15 minutes of grace, is idle after 30 minutes, and weak signs lengthen that by 30 more.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from autostop.idle.history import History
from autostop.idle.measured import Activity, Effect, Sample, Traffic
from autostop.idle.reading import GPU_UNREAD, Doubt, Reading, Server, Waits
from autostop.idle.verdict import Verdict, VerdictKind, assess
from autostop.schedule import parse_schedule
from autostop.settings import Policy
from tests.build import machine, minutes, row, server

LAUNCHED = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)
NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
POLICY = Policy()
PERIOD = POLICY.cpu_period
ACTIVE, IDLE, UNKNOWN = VerdictKind.ACTIVE, VerdictKind.IDLE, VerdictKind.UNKNOWN
STARTS = [LAUNCHED + PERIOD * n for n in range((NOW - LAUNCHED) // PERIOD)]
QUIET_HISTORY = History("b007b007", LAUNCHED + minutes(20), 40, NOW, {"all": 100.0}, cpu_rate=0.01)


def traffic(*, busy: Sequence[datetime] = (), rate: float = 5e6) -> list[Traffic]:
    return [Traffic(at, rate if at in busy else 900.0) for at in STARTS]


def judge(
    servers: Sequence[Server] = (server(),),
    *,
    history: dict[str, Any] | None = None,
    network: Sequence[Traffic] | None = None,
    policy: Policy = POLICY,
    missing: tuple[str, ...] = (),
    kept_awake_until: datetime | None = None,
    **seen: Any,
) -> Verdict:
    """The verdict on a quiet workstation, but for what is said."""
    activity = Activity(
        LAUNCHED,
        [Sample(at, 0.01) for at in STARTS],
        Reading(NOW, tuple(servers), machine(**seen), missing),
        traffic() if network is None else network,
        replace(QUIET_HISTORY, **(history or {})),
        kept_awake_until,
    )
    return assess(activity, policy, NOW)


AGO_40, AGO_10 = NOW - minutes(40), NOW - minutes(10)

STRONG = [
    row("a key", {"typed_at": AGO_10}, ACTIVE, "a key was last pressed in a terminal at 11:50"),
    row("a key long ago", {"typed_at": AGO_40}, IDLE, "idle for 40 min"),
    row("a program wrote to its terminal", {"wrote_at": AGO_10}, ACTIVE, "a program last wrote to the terminal"),
    row("an editor saved", {"edited_at": AGO_10}, ACTIVE, "a notebook or file was last saved"),
    row("autosave", {"servers": [server(saved_at=AGO_10)]}, ACTIVE, "a notebook or file was last saved"),
    row("an autosave long ago", {"servers": [server(saved_at=AGO_40)]}, IDLE, "idle for 40 min"),
    row("CPU", {"history": {"cpu_rate": 60.0, "cpu_at": NOW}}, ACTIVE, "work under Jupyter, logins and tmux: 60.00"),
    row("CPU ten minutes ago", {"history": {"cpu_at": AGO_10}}, ACTIVE, "work: last at 11:50"),
    row("CPU long ago", {"history": {"cpu_at": AGO_40}}, IDLE, "idle for 40 min"),
    row("a job", {"jobs": 1, "job": "python3", "history": {"job_at": NOW, "job_since": AGO_40}}, ACTIVE,
        "jobs in terminals: 1 (python3)"),
    row("a job ended", {"history": {"job_at": AGO_10}}, ACTIVE, "jobs: last at 11:50"),
    row("a GPU", {"gpu_percent": 80.0, "history": {"gpu_at": NOW}}, ACTIVE, "GPU: 80 % in use"),
    row("a GPU before", {"gpu_percent": 0.0, "history": {"gpu_at": AGO_10}}, ACTIVE, "GPU: last at 11:50"),
    row("memory held on a GPU that does nothing", {"gpu_percent": 0.0}, IDLE, "idle for"),
    row("the lock", {"held": True, "history": {"held_at": NOW}}, ACTIVE, "holds the keep-awake lock"),
    row("the lock was given back", {"history": {"held_at": AGO_10}}, ACTIVE, "lock: last at 11:50"),
    row("a download", {"network": traffic(busy=[STARTS[-1]])}, ACTIVE, "network: 5000 kB/s moved"),
    row("one before", {"network": traffic(busy=[STARTS[-3]])}, ACTIVE, "network: last above 100 kB/s"),
    row("at the network's limit", {"network": traffic(busy=[STARTS[-1]], rate=100e3)}, IDLE, "idle for"),
    row("no network metric", {"network": []}, UNKNOWN, "network: CloudWatch has no data"),
    row("the network is off", {"network": [], "policy": Policy(network_rate=None)}, IDLE, "idle for"),
    row("busy", {"servers": [server(busy=1, kernel_active_at=AGO_40, busy_active_at=AGO_40)]}, ACTIVE, "1 busy"),
    row("a busy kernel went away", {"history": {"busy_at": AGO_10}}, ACTIVE, "last used at 11:50"),
    row("one server of two hangs", {"missing": ("port 8889 hangs",)}, UNKNOWN, "asked: port 8889 hangs"),
    row("one hangs, a person types", {"missing": ("port 8889 hangs",), "typed_at": AGO_10}, ACTIVE, "a key was last"),
    row("a GPU that cannot be read", {"missing": (GPU_UNREAD,)}, UNKNOWN, "nvidia-smi fails"),
    row("which is off", {"missing": (GPU_UNREAD,), "policy": Policy(gpu_percent=None)}, IDLE, "idle for"),
    row("two answers in a row", {"history": {"readings": 2}}, ACTIVE, "1 more answer of the workstation"),
    row("three answers in a row", {"history": {"readings": 3}}, IDLE, "idle for"),
]  # fmt: skip  # fmt: skip


@pytest.mark.parametrize(("what", "kind", "headline"), STRONG)
def test_a_strong_sign_ends_the_quiet(what: dict[str, Any], kind: VerdictKind, headline: str) -> None:
    verdict = judge(**what)

    assert verdict.kind is kind, verdict.reasons
    assert headline in verdict.headline


OLD = Policy(ignore_kernels_older_than=timedelta(hours=2))
LONG_AGO = NOW - timedelta(hours=3)
POLLED = server(idle=1, kernel_active_at=NOW)
STUCK = server(busy=1, kernel_active_at=LONG_AGO, busy_active_at=LONG_AGO)


@pytest.mark.parametrize(("what", "kind"), [
    row("a cell that waits for input counts", {"servers": [STUCK]}, ACTIVE),
    row("until the owner says for how long", {"servers": [STUCK], "policy": OLD}, IDLE),
    row("it computed since", {"servers": [STUCK], "policy": OLD, "history": {"cpu_at": AGO_40}}, ACTIVE),
    row("its GPU did", {"servers": [STUCK], "policy": OLD, "history": {"gpu_at": AGO_40}}, ACTIVE),
    row("it has said something", {"servers": [replace(STUCK, busy_active_at=AGO_40)], "policy": OLD}, ACTIVE),
    row("a page that polls counts", {"servers": [POLLED], "history": {"steady_since": LONG_AGO}}, ACTIVE),
    row("it is forgotten too", {"servers": [POLLED], "history": {"steady_since": LONG_AGO}, "policy": OLD}, IDLE),
    row("not so soon either", {"servers": [POLLED], "history": {"steady_since": AGO_40}, "policy": OLD}, ACTIVE),
    row("a job counts", {"jobs": 1, "history": {"job_at": NOW, "job_since": LONG_AGO}}, ACTIVE),
    row("and is forgotten too", {"jobs": 1, "history": {"job_at": NOW, "job_since": LONG_AGO}, "policy": OLD}, IDLE),
    row("not so soon", {"jobs": 1, "history": {"job_at": NOW, "job_since": AGO_40}, "policy": OLD}, ACTIVE),
])  # fmt: skip
def test_what_is_stuck_counts_for_as_long_as_the_owner_says(what: dict[str, Any], kind: VerdictKind) -> None:
    assert judge(**what).kind is kind


WEAK: list[Any] = [
    row("a connected tab", {"servers": [server(connections=1)]}, "tabs"),
    row("a tab that polls", {"servers": [server(server_active_at=NOW - timedelta(seconds=59))]}, "tabs"),
    row("top was left open", {"servers": [server(terminals=1, terminal_active_at=AGO_10)]}, "terminals"),
    row("an SSH connection kept alive", {"logins": 1}, "logins"),
    row("VS Code was left open", {"editors": 1}, "editors"),
    row("tmux", {"multiplexers": 1}, "tmux"),
]


@pytest.mark.parametrize(("what", "name"), WEAK)
def test_a_weak_sign_only_lengthens_the_window(what: dict[str, Any], name: str) -> None:
    worked = {"cpu_at": AGO_40, **what.pop("history", {})}

    lengthened = judge(**what, history=worked)
    at_the_limit = judge(**what, history=worked | {"cpu_at": NOW - minutes(60)})
    ignored = judge(**what, history=worked, policy=Policy(weak_signals=timedelta(0)))

    assert lengthened.kind is ACTIVE
    assert "quiet for 40 min of 1 h" in lengthened.headline
    assert {sign.effect for sign in lengthened.signs if sign.name == name} == {Effect.WEAK}
    assert at_the_limit.kind is IDLE
    assert ignored.kind is IDLE


@pytest.mark.parametrize(("doubts", "name", "headline"), [
    row("a prompt", [(Waits.PROMPT, "psql")], "prompt", "a program waits for somebody to type (psql)"),
    row("two of a kind", [(Waits.JOB, "wget"), (Waits.JOB, "sync")], "job",
        "a job runs in the background (wget, sync)"),
    row("a name that is not told", [(Waits.KERNEL, "")], "kernel", "a kernel runs without a Jupyter server"),
    row("two kinds", [(Waits.SERVER, "mlflow"), (Waits.DESKTOP, "Xvnc")], "desktop",
        "a server of somebody's runs (mlflow), a desktop is open (Xvnc)"),
    row("an editor's", [(Waits.EDITOR, "python3")], "editor", "a program runs that an editor began (python3)"),
])  # fmt: skip
def test_a_doubt_holds_for_as_long_as_the_owner_says_and_is_named(
    doubts: list[tuple[Waits, str]], name: str, headline: str
) -> None:
    there: dict[str, Any] = {"doubts": tuple(Doubt(*each) for each in doubts)}
    worked = {"cpu_at": AGO_40}

    held = judge(**there, history=worked)
    assert (held.kind, held.stop_at) == (ACTIVE, AGO_40 + timedelta(hours=4))
    assert held.headline == f"quiet for 40 min of 4 h: {headline}"
    assert {sign.effect for sign in held.signs if sign.name == name} == {Effect.DOUBT}
    shorter = Policy(doubt_for=minutes(50))
    assert judge(**there, history=worked, policy=shorter).stop_at == AGO_40 + minutes(50)
    over = judge(**there, history=worked | {"cpu_at": NOW - minutes(50)}, policy=shorter)
    assert (over.kind, over.headline.partition("): ")[2]) == (IDLE, headline)
    assert judge(**there, history=worked, policy=Policy(doubt_for=timedelta(0))).kind is IDLE


def test_a_doubt_never_shortens_what_a_weak_sign_lengthens() -> None:
    there: dict[str, Any] = {"doubts": (Doubt(Waits.PROMPT, "psql"),), "logins": 1, "history": {"cpu_at": AGO_40}}
    assert judge(**there, policy=Policy(doubt_for=minutes(20))).stop_at == AGO_40 + minutes(60)


def test_a_tab_that_was_closed_a_minute_ago_lengthens_nothing() -> None:
    closed = server(server_active_at=NOW - timedelta(seconds=60))

    assert judge([closed], history={"cpu_at": AGO_40}).kind is IDLE


def test_reconnects_alone_are_no_use_of_a_kernel() -> None:
    moved = server(idle=1, kernel_active_at=AGO_10, connections=1, together=True)

    assert judge([moved], history={"reconnects": 2}).kind is ACTIVE
    assert judge([moved], history={"reconnects": 3}).kind is IDLE


@pytest.mark.parametrize(
    ("hours", "kind"),
    [("* 9-17 * * * UTC", ACTIVE), ("* 9-11 * * * UTC", IDLE), ("* 9-17 * * * America/New_York", IDLE)],
)
def test_in_protected_hours_idleness_stops_nothing(hours: str, kind: VerdictKind) -> None:
    assert judge(policy=Policy(protected_hours=parse_schedule(hours))).kind is kind


@pytest.mark.parametrize("held", ["a promise", "protected hours", "nothing"])
def test_work_is_remembered_whatever_holds_the_workstation(held: str) -> None:
    policy = Policy(protected_hours=parse_schedule("* * * * * UTC")) if held == "protected hours" else POLICY
    kept = NOW + minutes(30) if held == "a promise" else None

    assert judge(typed_at=AGO_10, policy=policy, kept_awake_until=kept).worked_at == AGO_10


def test_every_signal_is_told_with_value_threshold_and_moment() -> None:
    verdict = judge(typed_at=AGO_10, logins=1, gpu_percent=3.0, network=traffic(busy=[STARTS[-3]]))

    told = {sign.name: sign for sign in verdict.signs}
    assert (told["processor"].effect, told["processor"].value, told["processor"].threshold) == (
        Effect.QUIET,
        "0.01 cores",
        "0.25 cores",
    )
    assert (told["network"].effect, told["network"].at) == (Effect.RECENT, STARTS[-2])
    assert (told["keyboard"].effect, told["keyboard"].at) == (Effect.RECENT, AGO_10)
    assert (told["GPU"].value, told["GPU"].threshold) == ("3 %", "5 %")
    assert (told["logins"].effect, told["logins"].value) == (Effect.WEAK, "1")
    assert set(told) == {
        "processor", "network", "kernels", "keyboard", "output", "files", "work", "jobs", "GPU", "lock", "logins",
    }  # fmt: skip


@pytest.mark.parametrize(("what", "stop_at"), [
    row("idle: now", {}, NOW),
    row("quiet: at the window's end", {"typed_at": AGO_10}, NOW + minutes(20)),
    row("with a weak sign: later", {"typed_at": AGO_10, "logins": 1}, NOW + minutes(50)),
    row("at work: not in sight", {"jobs": 1, "history": {"job_at": NOW}}, None),
    row("unknown: never", {"missing": ("it hangs",)}, None),
    row("it will be unknown then", {"missing": ("it hangs",), "typed_at": AGO_10}, None),
])  # fmt: skip
def test_when_it_would_stop_if_nothing_new_is_seen(what: dict[str, Any], stop_at: datetime | None) -> None:
    assert judge(**what).stop_at == stop_at
