"""Asking a Jupyter server over TLS with its certificate pinned."""

import contextlib
import logging
import ssl
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest

from autostop.aws.https_jupyter import HttpsJupyter
from autostop.idle.reading import Reading, Unknown, parse_reading
from autostop.probe.report import look, report
from tests.build import row
from tests.probe.jupyter_servers import (
    TOKEN,
    Certificate,
    FalseServer,
    RealServers,
    answering,
    free_port,
    make_certificate,
    silent,
    trickling,
)
from tests.probe.whole import PATIENCE_SECONDS

LOOPBACK = "127.0.0.1"
KERNEL = {"id": "1", "name": "python3", "execution_state": "busy", "connections": 0}


def now() -> datetime:
    return datetime.now(UTC)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return make_certificate(tmp_path_factory.mktemp("certificate"))


@pytest.fixture
def serve(certificate: Certificate) -> Iterator[Callable[..., FalseServer]]:
    with contextlib.ExitStack() as stack:
        yield lambda reply, tls=certificate: stack.enter_context(FalseServer(reply, tls))


def ask(port: int, certificate: Certificate, token: str = TOKEN, base_url: str = "/") -> Reading | Unknown:
    return HttpsJupyter(now).ask(LOOPBACK, port, token, certificate.sha256, base_url)


def reason(answer: Reading | Unknown) -> str:
    assert isinstance(answer, Unknown)
    assert TOKEN not in answer.reason
    return answer.reason


# --- real servers ----------------------------------------------------------------------------------------------------


def test_a_server_is_read_as_the_probe_reads_it(jupyters: RealServers) -> None:
    server = jupyters.tls
    entries, machine, errors = look([str(server.runtime)], time.monotonic() + PATIENCE_SECONDS)
    by_probe = parse_reading(report(time.time(), entries, machine, errors), now())

    answer = ask(server.port, jupyters.certificate, base_url="/my/base")

    assert isinstance(answer, Reading)
    assert isinstance(by_probe, Reading)
    (seen,), (expected,) = answer.servers, by_probe.servers
    assert (seen.starting, seen.busy, seen.terminals, seen.connections) == (1, 0, 1, 0)
    moments = ("kernel_active_at", "terminal_active_at", "server_active_at", "saved_at")
    without: dict[str, Any] = dict.fromkeys(moments)
    # Whoever asks from elsewhere has shown that not only the machine itself gets to it.
    assert (seen.base, seen.local, expected.local) == ("/my/base/", False, True)
    assert replace(seen, **without) == replace(expected, **without, local=False)
    for moment in moments:
        by_https, by_command = getattr(seen, moment), getattr(expected, moment)
        assert by_https is not None
        assert by_command is not None
        assert abs(by_https - by_command) < timedelta(seconds=2)
    assert answer.machine is None
    assert abs(answer.at - now()) < timedelta(seconds=5)


def test_asking_does_not_count_as_activity(jupyters: RealServers) -> None:
    server = jupyters.tls
    before = [server.call("GET", what) for what in ("status", "kernels", "terminals", "sessions")]

    assert isinstance(ask(server.port, jupyters.certificate, base_url="/my/base/"), Reading)

    assert [server.call("GET", what) for what in ("status", "kernels", "terminals", "sessions")] == before


def test_a_fingerprint_may_be_written_as_openssl_writes_it(jupyters: RealServers) -> None:
    digest = bytes.fromhex(jupyters.certificate.sha256)
    written = replace(jupyters.certificate, sha256=digest.hex(":").upper())

    assert isinstance(ask(jupyters.tls.port, written, base_url="/my/base/"), Reading)


def test_a_wrong_token_is_told_with_the_remedy(jupyters: RealServers) -> None:
    answer = ask(jupyters.tls.port, jupyters.certificate, token="another", base_url="/my/base/")

    assert "refuses the token: set IdentityProvider.token" in reason(answer)
    assert "/autostop/<instance-id>/jupyter-token" in reason(answer)


def test_a_server_with_only_a_password_is_told_with_the_remedy(jupyters: RealServers) -> None:
    assert "a password alone does not do" in reason(ask(jupyters.password.port, jupyters.certificate))


def test_a_wrong_base_url_is_told(jupyters: RealServers) -> None:
    assert "its base_url is another one" in reason(ask(jupyters.tls.port, jupyters.certificate))


# --- false servers ---------------------------------------------------------------------------------------------------


def test_another_certificate_gets_no_token(
    serve: Callable[..., FalseServer], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    server = serve(answering([], []))

    answer = ask(server.port, make_certificate(tmp_path))

    assert "is not the pinned one; if you renewed it, run autostop adopt again" in reason(answer)
    assert server.connections == 1
    assert not any(server.received)
    assert TOKEN not in caplog.text


def test_the_pinned_certificate_gets_the_token_in_a_header_only(
    serve: Callable[..., FalseServer], certificate: Certificate
) -> None:
    server = serve(answering([], []))

    assert isinstance(ask(server.port, certificate, token=f" {TOKEN}\n"), Reading)

    requests = [request.decode().split("\r\n") for request in server.received]
    assert [lines[0] for lines in requests] == [
        "GET /api/kernels?no_track_activity=1 HTTP/1.1",
        "GET /api/terminals?no_track_activity=1 HTTP/1.1",
        "GET /api/status?no_track_activity=1 HTTP/1.1",
        "GET /api/sessions?no_track_activity=1 HTTP/1.1",
    ]
    assert all(f"Authorization: token {TOKEN}" in lines for lines in requests)
    assert all(f"Host: {LOOPBACK}:{server.port}" in lines for lines in requests)


@pytest.mark.parametrize("clock_ahead", [timedelta(hours=-3), timedelta(), timedelta(hours=3)], ids=str)
def test_the_clock_of_the_server_need_not_be_right(
    serve: Callable[..., FalseServer], certificate: Certificate, clock_ahead: timedelta
) -> None:
    their_now = now() + clock_ahead
    used_at = (their_now - timedelta(minutes=20)).isoformat().replace("+00:00", "Z")
    date = f"Date: {format_datetime(their_now, usegmt=True)}\r\n"
    server = serve(answering([KERNEL | {"last_activity": used_at}], [], head=date))

    answer = ask(server.port, certificate)

    assert isinstance(answer, Reading)
    (seen,) = answer.servers
    assert seen.kernel_active_at is not None
    assert abs(now() - seen.kernel_active_at - timedelta(minutes=20)) < timedelta(seconds=5)


@pytest.mark.parametrize("head", [
    "", "Date: tomorrow\r\n", "Date: Mon, 23 Nov 99999999999999999999 08:00:00 GMT\r\n",
    "Date: Mon, 23 Nov 2026 09:00:00 -0000\r\n",
])  # fmt: skip
def test_a_server_that_does_not_say_its_clock_is_taken_to_have_ours(
    serve: Callable[..., FalseServer], certificate: Certificate, head: str
) -> None:
    server = serve(answering([KERNEL | {"last_activity": "2026-11-23T08:00:00Z"}], [], head=head))
    at = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)

    answer = HttpsJupyter(lambda: at).ask(LOOPBACK, server.port, TOKEN, certificate.sha256)

    assert isinstance(answer, Reading)
    assert (answer.at, answer.servers[0].kernel_active_at) == (at, at - timedelta(hours=1))


def test_no_server_holds_us_longer_than_the_limit(serve: Callable[..., FalseServer], certificate: Certificate) -> None:
    accepts_only = serve(silent, None)
    slow = [serve(silent), serve(trickling), accepts_only]

    with ThreadPoolExecutor() as pool:
        asked = [pool.submit(ask, server.port, certificate) for server in slow]
        reasons = [reason(each.result()) for each in asked]

    assert all("did not answer in time" in text for text in reasons)


@pytest.mark.parametrize(("reply", "words"), [
    row("server error", answering([], [], status=500), "answered with HTTP 500: look at its log"),
    row("redirect", answering([], [], status=302), "answered with HTTP 302: look at its log"),
    row("unknown shape", answering([None], []), "gave an answer of an unknown kind"),
    row("not JSON", answering(b"<html>", []), "gave an answer of an unknown kind"),
    row("nested", answering(b"[" * 900_000, []), "gave an answer of an unknown kind"),
    row("more than a megabyte", answering(b"[]" + b" " * 1_000_000, []), "gave an answer of an unknown kind"),
    row("hangs up", lambda *_: None, "refuses or drops the connection"),
])  # fmt: skip
def test_an_answer_that_is_none_is_told(
    serve: Callable[..., FalseServer], certificate: Certificate, reply: Callable[..., None], words: str
) -> None:
    assert words in reason(ask(serve(reply).port, certificate))


def test_a_server_without_terminals_has_none(serve: Callable[..., FalseServer], certificate: Certificate) -> None:
    def reply(connection: ssl.SSLSocket, request: bytes) -> None:
        answering([], b"<html>", status=404 if b"terminals" in request else 200)(connection, request)

    answer = ask(serve(reply).port, certificate)

    assert isinstance(answer, Reading)
    assert answer.servers[0].terminals == 0


SAVED_AT = datetime(2026, 11, 23, 8, 55, tzinfo=UTC)


def session(path: str, used_at: datetime = SAVED_AT) -> dict[str, Any]:
    stamp = used_at.isoformat().replace("+00:00", "Z")
    return {"id": "1", "path": path, "type": "notebook", "kernel": KERNEL | {"last_activity": stamp}}


def file(saved_at: datetime) -> dict[str, Any]:
    return {"type": "notebook", "content": None, "last_modified": saved_at.isoformat().replace("+00:00", "Z")}


def test_the_newest_save_of_an_open_notebook_is_told(
    serve: Callable[..., FalseServer], certificate: Certificate
) -> None:
    files = {"a.ipynb": file(SAVED_AT - timedelta(hours=1)), "my%20work/b%3F.ipynb": file(SAVED_AT)}
    server = serve(answering([], [], sessions=[session("a.ipynb"), session("/my work/b?.ipynb")], files=files))

    answer = HttpsJupyter(lambda: SAVED_AT + timedelta(minutes=5)).ask(LOOPBACK, server.port, TOKEN, certificate.sha256)

    assert isinstance(answer, Reading)
    assert answer.servers[0].saved_at == SAVED_AT
    asked = [request.split(b" ")[1].decode() for request in server.received if b"/contents/" in request]
    assert asked == [
        "/api/contents/a.ipynb?content=0&no_track_activity=1",
        "/api/contents/my%20work/b%3F.ipynb?content=0&no_track_activity=1",
    ]


def test_a_session_without_a_file_has_no_save(serve: Callable[..., FalseServer], certificate: Certificate) -> None:
    def reply(connection: ssl.SSLSocket, request: bytes) -> None:
        here = answering([], [], sessions=[session("console-1")], files={"console-1": b"<html>"})
        gone = answering([], [], files={"console-1": b"<html>"}, status=404)
        (gone if b"contents" in request else here)(connection, request)

    answer = ask(serve(reply).port, certificate)

    assert isinstance(answer, Reading)
    assert answer.servers[0].saved_at is None


def test_of_many_notebooks_those_used_last_are_asked_for(
    serve: Callable[..., FalseServer], certificate: Certificate
) -> None:
    sessions = [session(f"{age}.ipynb", SAVED_AT - timedelta(hours=age)) for age in reversed(range(20))]
    files = {f"{age}.ipynb": file(SAVED_AT) for age in range(20)}
    server = serve(answering([], [], sessions=sessions, files=files))

    assert isinstance(ask(server.port, certificate), Reading)

    asked = [request.partition(b"/contents/")[2].partition(b".")[0] for request in server.received]
    assert [int(age) for age in asked if age] == list(range(8))


@pytest.mark.parametrize("what", ["terminals", "status", "sessions", "contents"])
def test_what_else_fails_makes_it_unread(
    serve: Callable[..., FalseServer], certificate: Certificate, what: str
) -> None:
    def reply(connection: ssl.SSLSocket, request: bytes) -> None:
        status = 503 if f"/api/{what}".encode() in request else 200
        answering([], [], status=status, sessions=[session("a")], files={"a": file(SAVED_AT)})(connection, request)

    assert "HTTP 503" in reason(ask(serve(reply).port, certificate))


def test_nobody_at_the_port_is_told(certificate: Certificate) -> None:
    assert "refuses or drops the connection" in reason(ask(free_port(), certificate))


def test_a_server_without_tls_is_told(certificate: Certificate) -> None:
    with FalseServer(answering([], [])) as server:
        assert "does it serve https?" in reason(ask(server.port, certificate))
    assert TOKEN.encode() not in b"".join(server.received)


@pytest.mark.parametrize(("changes", "words"), [
    ({"address": "workstation.example"}, "has no address"),
    ({"address": ""}, "has no address"),
    ({"port": 0}, "autostop:jupyter-port is no port number"),
    ({"port": 65536}, "autostop:jupyter-port is no port number"),
    ({"token": f"{TOKEN}\r\nX: y"}, "holds characters that no token has"),
    ({"token": "clé"}, "holds characters that no token has"),
    ({"certificate_sha256": ""}, "autostop:jupyter-certificate is not a SHA-256"),
    ({"certificate_sha256": "ab" * 20}, "autostop:jupyter-certificate is not a SHA-256"),
    ({"certificate_sha256": "zz" * 32}, "autostop:jupyter-certificate is not a SHA-256"),
], ids=str)  # fmt: skip
def test_a_setting_that_cannot_be_used_is_told(changes: dict[str, Any], words: str) -> None:
    settings: dict[str, Any] = {"address": LOOPBACK, "port": 1, "token": TOKEN, "certificate_sha256": "ab" * 32}

    assert words in reason(HttpsJupyter(now).ask(**settings | changes))
