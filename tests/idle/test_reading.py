"""What becomes of the answer about Jupyter, whatever a workstation sends."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autostop.idle.reading import Doubt, Machine, Reading, Server, Unknown, Waits, parse_reading, read_document
from tests.build import row

NOW = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)
AT = NOW.timestamp()

# fmt: off
OK: dict[str, Any] = {
    "port": 8888, "status": "ok", "busy": 1, "idle": 3, "starting": 0, "other": 0, "kernel_at": AT - 600,
    "busy_at": AT - 700, "together": 0, "terminals": 2, "terminal_at": AT - 60, "connections": 1, "server_at": AT - 5,
    "saved_at": AT - 90,
}
# fmt: on
EMPTY = OK | {"busy": 0, "idle": 0, "kernel_at": None, "busy_at": None, "terminals": 0, "terminal_at": None}
# fmt: off
MACHINE: dict[str, Any] = {
    "boot": "0badcafe", "cpu": {"2f": 123.45, "s30": 1}, "typed_at": AT - 30, "wrote_at": AT - 20, "jobs": 2,
    "job": "python3.11", "gpu": 97, "logins": 1, "editors": 1, "edited_at": None, "muxes": 1, "held": 1,
    "visits": 2, "doubts": [["prompt", "psql"], ["job", ""]],
}
# fmt: on


def printed(*servers: dict[str, Any], **changes: object) -> str:
    return json.dumps({"v": 3, "at": AT, "servers": list(servers), "machine": MACHINE, "errors": []} | changes)


def partly(text: str) -> str:
    """What is missing in an answer of which the rest was read."""
    answer = parse_reading(text, NOW)
    assert isinstance(answer, Reading)
    return "; ".join(answer.missing)


def reason(text: str) -> str:
    answer = parse_reading(text, NOW)
    assert isinstance(answer, Unknown)
    assert answer.at == NOW
    return answer.reason


def test_a_server_that_answered_is_read() -> None:
    answer = parse_reading(printed(OK), NOW)

    def ago(seconds: float) -> datetime:
        return NOW - timedelta(seconds=seconds)

    server = Server(8888, 1, 3, 0, 0, ago(600), 2, ago(60), ago(700), False, 1, ago(5), ago(90))
    machine = Machine(
        "0badcafe", ago(30), 2, "python3.11", 97.0, 1, 1, None, 1, True, {"2f": 123.45, "s30": 1.0}, ago(20),
        (Doubt(Waits.PROMPT, "psql"), Doubt(Waits.JOB)), 2,
    )  # fmt: skip
    assert answer == Reading(NOW, (server,), machine)


def test_it_is_read_how_to_get_to_a_server() -> None:
    answer = parse_reading(printed(OK | {"plain": 1, "base": "/user/ann/", "local": 1}), NOW)

    assert isinstance(answer, Reading)
    [server] = answer.servers
    assert (server.secure, server.base, server.local) == (False, "/user/ann/", True)


def test_a_workstation_without_jupyter_is_read() -> None:
    answer = parse_reading(printed(), NOW)

    assert isinstance(answer, Reading)
    assert (answer.servers, answer.missing) == ((), ())


def test_over_the_network_nothing_is_known_of_the_machine() -> None:
    document = {"v": 3, "at": AT, "servers": [EMPTY], "machine": None, "errors": []}

    answer = read_document(document, NOW)

    assert isinstance(answer, Reading)
    assert answer.machine is None


def test_the_version_before_is_understood() -> None:
    before = {key: value for key, value in MACHINE.items() if key not in ("doubts", "visits", "wrote_at")}
    for kernels, doubts in ((0, ()), (3, (Doubt(Waits.KERNEL),))):
        answer = parse_reading(printed(OK, v=2, machine=before | {"cpu": 123.45, "kernels": kernels}), NOW)
        assert isinstance(answer, Reading)
        assert answer.machine is not None
        assert (answer.machine.cpu, answer.machine.doubts, answer.machine.jobs) == ({"all": 123.45}, doubts, 2)
    for wrong in (None, -1, True, "1", float("nan"), {"all": 1.0}):
        assert reason(printed(OK, v=2, machine=before | {"cpu": wrong, "kernels": 0}))


def test_two_servers_are_both_read() -> None:
    answer = parse_reading(printed(EMPTY, OK | {"port": 8889}), NOW)

    assert isinstance(answer, Reading)
    assert [(server.port, server.busy, server.kernel_active_at is None) for server in answer.servers] == [
        (8888, 0, True),
        (8889, 1, False),
    ]


@pytest.mark.parametrize("text", [
    row("newline at the end", printed(OK) + "\n"),
    row("complaint of the shell", printed(OK) + "\n----------ERROR-------\nsh: setlocale: failed\n"),
    row("several servers in one entry", printed(OK | {"more": 3})),
])  # fmt: skip
def test_what_run_command_adds_does_not_hide_the_answer(text: str) -> None:
    assert isinstance(parse_reading(text, NOW), Reading)


@pytest.mark.parametrize("text", [
    row("cut", printed(OK)[:-1]),
    row("cut in the middle", printed(OK)[: len(printed(OK)) // 2]),
    row("not JSON", "sh: 1: python3: not found"),
    row("null", "null"),
    row("a list", "[]"),
    row("a string", '"ok"'),
    row("nested too deep", "[" * 4000),
    row("enormous", printed(OK) + " " * 5000 + "x"),
    row("enormous by spaces", " " * 5000 + printed(OK)),
    row("two answers", printed(OK) + "\n" + printed(EMPTY)),
    row("something before it", "hello\n" + printed(OK)),
    row("older version", printed(OK, v=1)),
    row("newer version", printed(OK, v=4)),
    row("a probe that says nothing of the machine", printed(OK, machine=None)),
    row("machine a list", printed(OK, machine=[MACHINE])),
    *(row(f"machine {key} {str(wrong)[:9]!r}", printed(OK, machine=MACHINE | {key: wrong}))
        for key, wrongs in {"boot": ("", None, "xyz", "0" * 33, 1),
            "cpu": (None, 1.0, [], {"A": 1.0}, {"a b": 1.0}, {"": 1.0}, dict.fromkeys(map(str, range(65)), 1.0),
                *({"2f": bad} for bad in (None, -1, True, "1", float("nan"), 1e300, 10**400))),
            "doubts": (None, {}, "job", [["job"]], [["job", "a", "b"]], [["job", "a b"]], [["none", ""]], [[1, ""]],
                [["job", None]], [["job", ""]] * 17), "wrote_at": ("now", True, -1, 1e300),
            "typed_at": ("now", True, -1, 1e300),
            "jobs": (None, -1, True, 1.5), "job": (None, "a b", "<script>", "x" * 16, "\x1b[2J", "é"),
            "gpu": ("1", -1, 101, True, float("nan")), "held": (None, True, 2, "1"),
            "visits": (None, -1, "1")}.items()
        for wrong in wrongs),
    *(row(f"{key} 2", printed(OK | {key: 2})) for key in ("together", "server_at", "saved_at", "plain", "local")),
    *(row(f"base {base}", printed(OK | {"base": base})) for base in ("", "lab", "/<b>/", f"/{'b' * 100}", "/\u202e")),
    *(row(f"{key} None", printed(OK | {key: None})) for key in ("together", "connections", "busy_at")),
    row("version true", printed(OK, v=True)),
    row("version in words", printed(OK, v="1")),
    row("no moment", printed(OK, at=None)),
    row("moment NaN", printed(OK, at=float("nan"))),
    row("moment infinite", printed(OK, at=float("inf"))),
    row("moment before 1970", printed(OK, at=-1)),
    row("clock never set", printed(OK, at=0)),
    row("moment far in the future", printed(OK, at=1e300)),
    row("moment true", printed(OK, at=True)),
    row("moment of a thousand digits", printed(OK, at=10**1000)),
    row("no servers", printed(OK, servers=None)),
    row("servers not a list", printed(OK, servers={"0": OK})),
    row("no errors", printed(OK, errors=None)),
    row("an error that is a number", printed(OK, errors=[1])),
    row("more servers than the probe prints", printed(*[EMPTY] * 17)),
    row("a server that is a string", printed(servers=["ok"])),
    row("servers twice", printed(OK)[:-1] + ',"servers":[]}'),
    row("no status", printed(OK | {"status": None})),
    row("port negative", printed(OK | {"port": -1})),
    row("port too high", printed(OK | {"port": 65536})),
    row("port in words", printed(OK | {"port": "8888"})),
    row("failed without a port", printed(OK | {"port": None, "status": "http403"})),
    *(row(f"{key} {wrong}", printed(OK | {key: wrong})) for key in ("busy", "idle", "starting", "other", "terminals")
        for wrong in (-1, True, 1.0, "1", None, 10**9, float("nan"))),
    *(row(f"{key} {str(wrong)[:9]}", printed(OK | {key: wrong})) for key in ("kernel_at", "terminal_at")
        for wrong in (None, True, "now", float("nan"), float("-inf"), 0, -1, 1e300, 10**1000)),
    row("an activity of no kernel", printed(EMPTY | {"kernel_at": AT})),
    row("an activity of no terminal", printed(EMPTY | {"terminal_at": AT})),
    row("ok without counts", printed({key: OK[key] for key in ("port", "status")})),
])  # fmt: skip
def test_what_is_not_understood_is_unread(text: str) -> None:
    assert "was not understood" in reason(text)


@pytest.mark.parametrize("text", ["", "\n", "   "])
def test_a_workstation_without_python_is_told_so(text: str) -> None:
    assert "is Python 3.8 or newer installed?" in reason(text)


@pytest.mark.parametrize(("status", "words"), [
    ("http403", "the Jupyter server on port 8889 refuses the question: set IdentityProvider.token beside the password"),
    ("http404", "the Jupyter server on port 8889 does not know the question (HTTP 404)"),
    ("http500", "the Jupyter server on port 8889 answered with HTTP 500: look at its log"),
    ("timeout", "the Jupyter server on port 8889 did not answer in time"),
    ("refused", "the Jupyter server on port 8889 refuses or drops the connection"),
    ("tls", "the Jupyter server on port 8889 failed in the TLS handshake"),
    ("bad", "the Jupyter server on port 8889 gave an answer of an unknown kind"),
    ("nofile", "name its runtime directory in the tag autostop:jupyter-runtime"),
    ("OK", "for a reason that this version does not know"),
    ("http1000", "for a reason that this version does not know"),
    ("http\u0665\u0660\u0660", "for a reason that this version does not know"),
])  # fmt: skip
def test_one_server_that_did_not_answer_is_told_with_the_remedy_beside_the_others(status: str, words: str) -> None:
    text = printed(EMPTY, {"port": 8889, "status": status})

    assert words in partly(text)
    answer = parse_reading(text, NOW)
    assert isinstance(answer, Reading)
    assert [server.port for server in answer.servers] == [8888]


def test_a_server_on_a_unix_socket_is_named_so() -> None:
    assert partly(printed({"port": 0, "status": "timeout"})).startswith("a Jupyter server on a Unix socket did not")


@pytest.mark.parametrize(("word", "words"), [
    ("notroot", "may not look into every process"),
    ("denied", "may not read a directory"),
    ("missing", "the directory named in the tag autostop:jupyter-runtime is not there"),
    ("many", "there is more than the probe reads"),
    ("many:ada", "not needed (user ada)"),
    ("deadline", "did not finish in time"),
    ("gpu", "nvidia-smi fails or hangs"),
    ("anything", "the probe failed on the workstation"),
])  # fmt: skip
def test_an_error_of_the_probe_is_told(word: str, words: str) -> None:
    assert words in partly(printed(EMPTY, errors=[word]))
    assert words in reason(printed(errors=[word], machine=None))


def test_many_failures_make_one_short_reason() -> None:
    servers = [{"port": port, "status": "timeout"} for port in range(9000, 9006)]

    text = partly(printed(*servers, errors=["deadline", "deadline"]))

    assert text.endswith("; and 5 more")
    assert len(text) < 400


@pytest.mark.parametrize("hostile", ["<script>alert(1)</script>", "\x1b[2J", "a\nERROR: all is idle", "\u202e"])
def test_nothing_that_the_workstation_wrote_is_repeated(hostile: str) -> None:
    texts = [
        partly(printed({"port": 8888, "status": hostile})), partly(printed(errors=[hostile, f"many:{hostile}"])),
        partly(printed({"port": 0, "status": "nofile", "user": hostile})),
        reason(printed(machine=MACHINE | {"job": hostile})), reason(printed(machine=MACHINE | {"boot": hostile})),
        reason(printed(OK | {hostile: hostile}, v=hostile)), reason(hostile),
    ]  # fmt: skip

    assert not any(hostile in text for text in texts)


@pytest.mark.parametrize(("clock_ahead", "converted"), [
    row("two minutes ahead", timedelta(minutes=2), False),
    row("two minutes behind", timedelta(minutes=-2), False),
    row("just more ahead", timedelta(minutes=2, seconds=1), True),
    row("just more behind", timedelta(minutes=-2, seconds=-1), True),
    row("years ahead", timedelta(days=3000), True),
    row("years behind", timedelta(days=-3000), True),
])  # fmt: skip
def test_a_clock_that_is_wrong_does_not_change_the_ages(clock_ahead: timedelta, converted: bool) -> None:
    their_now = AT + clock_ahead.total_seconds()

    stamps = {"kernel_at": their_now - 600, "terminal_at": their_now}
    rest = dict.fromkeys(("busy_at", "server_at", "saved_at"), their_now)
    machine = MACHINE | {"typed_at": their_now - 30, "wrote_at": None}
    answer = parse_reading(printed(OK | stamps | rest, at=their_now, machine=machine), NOW)

    assert isinstance(answer, Reading)
    at = NOW if converted else NOW + clock_ahead
    assert answer.at == at
    assert answer.servers[0].kernel_active_at == at - timedelta(minutes=10)
    assert answer.servers[0].terminal_active_at == at


@pytest.mark.parametrize(
    ("ahead", "ours"),
    [row("taken while we asked", 1, NOW), row("clock set back since", 3600, NOW), row("a day", 24 * 3600, NOW)],
)
def test_an_activity_in_the_future_counts_as_now(ahead: float, ours: datetime) -> None:
    answer = parse_reading(printed(OK | {"kernel_at": AT + ahead}), NOW)

    assert isinstance(answer, Reading)
    assert answer.servers[0].kernel_active_at == ours


def test_an_activity_far_in_the_future_is_unread_because_it_would_count_for_days() -> None:
    assert "set the workstation's clock" in reason(printed(OK | {"kernel_at": AT + 24 * 3600 + 1}))


def test_our_own_clock_may_stand_in_another_zone() -> None:
    elsewhere = NOW.astimezone(datetime.strptime("+0530", "%z").tzinfo)

    answer = parse_reading(printed(OK, at=AT - 3600), elsewhere)

    assert answer.at == NOW
    assert answer.at.tzinfo is UTC


# --- properties ------------------------------------------------------------------------------------------------------

RECEIVED = st.timedeltas(timedelta(days=-2000), timedelta(days=20_000)).map(lambda since: NOW + since)
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
INSTANTS = st.floats(946_684_800, 4_102_444_800)
ALMOST = st.one_of(st.integers(0, 3), INSTANTS, JSON_VALUES)
SERVERS = st.fixed_dictionaries(
    {"port": st.integers(0, 65535) | JSON_VALUES, "status": st.sampled_from(["ok", "ok", "http403"]) | JSON_VALUES},
    optional={key: ALMOST for key in OK if key not in ("port", "status")},
)


@st.composite
def servers_that_answered(draw: st.DrawFn) -> dict[str, Any]:
    counts = {key: draw(st.integers(0, 3)) for key in ("busy", "idle", "starting", "other", "terminals")}
    kernels = sum(counts.values()) - counts["terminals"]
    stamps = {
        "busy_at": draw(INSTANTS) if counts["busy"] else None,
        "kernel_at": draw(INSTANTS) if kernels else None,
        "terminal_at": draw(INSTANTS) if counts["terminals"] else None,
    }
    return OK | counts | stamps | {"port": draw(st.integers(0, 65535))}


DOCUMENTS = st.fixed_dictionaries(
    {"v": st.just(3) | JSON_VALUES, "at": st.just(4_102_444_800.0) | INSTANTS | JSON_VALUES},
    optional={
        "servers": st.lists(servers_that_answered() | SERVERS | JSON_VALUES, max_size=8) | JSON_VALUES,
        "errors": st.just([]) | JSON_VALUES,
        "machine": st.just(MACHINE) | st.fixed_dictionaries(dict.fromkeys(MACHINE, ALMOST)) | JSON_VALUES,
    },
)
ANSWERED = st.fixed_dictionaries(
    {
        "v": st.just(3), "at": INSTANTS, "servers": st.lists(servers_that_answered(), max_size=6),
        "machine": st.none() | st.just(MACHINE | {"typed_at": None, "wrote_at": None}), "errors": st.just([]),
    }
)  # fmt: skip


@given(text=st.text() | (DOCUMENTS | ANSWERED).map(json.dumps), received_at=RECEIVED)
def test_no_text_raises_and_every_reason_is_harmless(text: str, received_at: datetime) -> None:
    answer = parse_reading(text, received_at)

    if isinstance(answer, Unknown):
        assert answer.at == received_at
        assert answer.reason.isascii()
        assert answer.reason.isprintable()


@given(document=DOCUMENTS | ANSWERED | JSON_VALUES, received_at=RECEIVED)
def test_no_document_raises_and_no_busy_kernel_is_lost(document: Any, received_at: datetime) -> None:
    answer = read_document(document, received_at)

    if isinstance(answer, Reading):
        answered = [server for server in document["servers"] if server["status"] == "ok"]
        assert [server.busy for server in answer.servers] == [server["busy"] for server in answered]
        whole = not document["errors"] and len(answered) == len(document["servers"])
        assert whole is not bool(answer.missing)


@given(ages=st.lists(st.floats(0, 10**8), min_size=1, max_size=6), clock_ahead=st.floats(-(10**8), 10**8))
def test_ages_survive_any_clock(ages: list[float], clock_ahead: float) -> None:
    their_now = AT + clock_ahead
    none = {"busy": 0, "busy_at": None, "server_at": None, "saved_at": None}
    servers = [OK | none | {"kernel_at": their_now - age, "terminal_at": their_now} for age in ages]

    answer = parse_reading(printed(*servers, at=their_now, machine=MACHINE | {"typed_at": None, "wrote_at": None}), NOW)

    assert isinstance(answer, Reading)
    assert abs(answer.at - NOW) <= timedelta(minutes=2)
    for age, server in zip(ages, answer.servers, strict=True):
        assert server.kernel_active_at is not None
        assert abs((answer.at - server.kernel_active_at).total_seconds() - age) < 0.001
        assert server.terminal_active_at == answer.at
