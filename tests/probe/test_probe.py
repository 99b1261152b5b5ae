"""The probe as it runs on a workstation: a program of its own, against real Jupyter servers and false ones."""

import ast
import http.client
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import websocket
from hypothesis import given
from hypothesis import strategies as st

from autostop.aws.probes import _script
from autostop.idle.reading import Reading, Unknown
from autostop.probe import script as parts
from autostop.probe.believed_servers import _listening, _runtime, _without_file
from autostop.probe.jupyter import Runtime, fetch, summarise
from autostop.probe.limits import _MOST_OF_A_USER, DEADLINE_SECONDS, STEP_SECONDS, Limits, remaining
from autostop.probe.process_details import Looks, typed_at
from autostop.probe.process_kinds import is_server
from autostop.probe.process_tree import survey
from autostop.probe.processes import Task
from autostop.probe.report import _MOST_PRINTED, look, report
from tests.build import row
from tests.probe.jupyter_servers import STATUS, TOKEN, FalseServer, RealServers, answering, silent, trickling, wait_for
from tests.probe.machine import HOUR, cpu_rises, jobs, jobs_and_doubts, seconds, tasks, used_by
from tests.probe.whole import PATIENCE_SECONDS, SOURCE, missing, read, run, statuses

STAMP = "2026-11-23T09:00:00.250000Z"
STAMP_SECONDS = datetime(2026, 11, 23, 9, 0, 0, 250_000, UTC).timestamp()
IDLE = {"id": "1", "name": "python3", "last_activity": STAMP, "execution_state": "idle", "connections": 1}
BUSY = IDLE | {"execution_state": "busy"}
TERMINAL = {"name": "1", "last_activity": STAMP}


# --- real servers ----------------------------------------------------------------------------------------------------


def test_a_busy_and_an_idle_kernel_are_told_apart(jupyters: RealServers) -> None:
    said, line = run(jupyters.plain.runtime)

    (server,) = said["servers"]
    assert (server["status"], server["busy"], server["idle"], server["terminals"]) == ("ok", 1, 1, 0)
    assert (server["plain"], server["local"], server["base"]) == (1, 1, "/")
    assert said["errors"] == []
    answer = read(line)
    assert isinstance(answer, Reading)
    assert [(each.port, each.busy) for each in answer.servers] == [(jupyters.plain.port, 1)]


def test_a_kernel_that_starts_for_ever_and_a_terminal_are_seen_under_a_base_url_with_tls(jupyters: RealServers) -> None:
    said, _ = run(jupyters.tls.runtime)

    (server,) = said["servers"]
    assert (server["status"], server["starting"], server["busy"], server["terminals"]) == ("ok", 1, 0, 1)
    assert abs(said["at"] - server["kernel_at"]) < 600
    assert abs(said["at"] - server["terminal_at"]) < 600
    assert (server["plain"], server["base"]) == (0, jupyters.tls.told()["base_url"])


def test_of_two_servers_the_busy_one_is_seen(jupyters: RealServers) -> None:
    said, line = run(jupyters.tls.runtime, jupyters.plain.runtime)

    assert sorted(server["busy"] for server in said["servers"]) == [0, 1]
    assert isinstance(read(line), Reading)


def test_a_directory_that_is_named_twice_is_looked_at_once(jupyters: RealServers, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(jupyters.plain.runtime)

    said, _ = run(jupyters.plain.runtime, tmp_path / "link")

    assert statuses(said) == [(jupyters.plain.port, "ok")]


def test_a_server_with_only_a_password_is_unread_and_the_owner_learns_why(jupyters: RealServers) -> None:
    said, line = run(jupyters.password.runtime)

    assert statuses(said) == [(jupyters.password.port, "http403")]
    assert missing(line) == (
        f"the Jupyter server on port {jupyters.password.port} refuses the question: "
        "set IdentityProvider.token beside the password"
    )


def test_a_server_on_a_unix_socket_is_asked(jupyters: RealServers) -> None:
    said, _ = run(jupyters.unix.runtime)

    assert statuses(said) == [(0, "ok")]


def test_asking_does_not_count_as_activity(jupyters: RealServers) -> None:
    for server in (jupyters.plain, jupyters.tls):
        before = [server.call("GET", what) for what in ("status", "kernels", "terminals", "sessions")]

        run(server.runtime)

        assert [server.call("GET", what) for what in ("status", "kernels", "terminals", "sessions")] == before


def test_a_server_that_hangs_is_a_timeout_and_the_others_are_read(jupyters: RealServers) -> None:
    with jupyters.tls.stopped(), jupyters.unix.stopped():
        said, line = run(jupyters.tls.runtime, jupyters.plain.runtime, jupyters.unix.runtime)

    assert statuses(said) == [(0, "timeout"), (jupyters.tls.port, "timeout"), (jupyters.plain.port, "ok")]
    assert "deadline" not in said["errors"]  # the limit of a step holds, not only that of the whole
    assert "did not answer in time" in missing(line)


def test_the_servers_of_every_user_are_found_by_their_processes(jupyters: RealServers) -> None:
    # Other servers of this machine may stand beside ours, more than are printed one by one.
    entries, _, errors = look([], time.monotonic() + PATIENCE_SECONDS)

    found = {(entry["port"], entry["status"]) for entry in entries}
    assert {(jupyters.plain.port, "ok"), (jupyters.tls.port, "ok"), (jupyters.password.port, "http403")} <= found
    assert ("notroot" in errors) == (os.geteuid() != 0)


def test_a_server_process_without_its_file_is_reported(jupyters: RealServers) -> None:
    file, aside = jupyters.unix.runtime_file, jupyters.unix.runtime / "aside"
    file.rename(aside)
    try:
        said, line = run(jupyters.unix.runtime, jupyters.plain.runtime)
    finally:
        aside.rename(file)

    assert statuses(said) == [(0, "nofile"), (jupyters.plain.port, "ok")]
    assert "runtime file cannot be found or trusted" in missing(line)


def test_a_directory_that_is_not_there_while_servers_run_is_an_error(jupyters: RealServers, tmp_path: Path) -> None:
    said, line = run(tmp_path / "slip")

    assert (said["servers"], said["errors"]) == ([], ["missing"])
    assert "correct the tag" in missing(line)


def test_only_the_named_directories_are_looked_at(jupyters: RealServers, tmp_path: Path) -> None:
    said, line = run(tmp_path)

    assert (said["servers"], said["errors"]) == ([], [])
    assert isinstance(read(line), Reading)


def test_a_silent_thread_after_its_cell_shows_while_the_api_says_idle(jupyters: RealServers) -> None:
    server = jupyters.unix
    before = set(server.states())
    client = server.start_idle_kernel()
    (kernel,) = server.states().keys() - before
    try:
        assert jobs_and_doubts(server.process.pid) == (0, [])  # a server owns it
        client.execute(
            "import threading; threading.Thread(target=lambda: [0 for _ in iter(int, 1)]).start()", reply=True
        )
        wait_for(lambda: server.states()[kernel] == "idle")

        assert cpu_rises(server.process.pid) > 0.9
        assert server.states()[kernel] == "idle"
    finally:
        server.call("DELETE", f"kernels/{kernel}")


def test_a_tab_that_polls_is_no_work(jupyters: RealServers) -> None:
    server = jupyters.password
    used, before = used_by(server.process.pid), seconds(server.process.pid)

    while used_by(server.process.pid) - used < 0.5:
        server.call("GET", "")

    assert seconds(server.process.pid) - before < 0.1


def test_a_job_in_a_terminal_of_jupyter_is_one(jupyters: RealServers) -> None:
    server = jupyters.plain
    name = server.call("POST", "terminals", {})["name"]
    tab = websocket.create_connection(
        f"ws://127.0.0.1:{server.port}/terminals/websocket/{name}", header=[f"Authorization: token {server.token}"]
    )
    try:
        wait_for(lambda: any(task.tty for task in tasks(server.process.pid)))
        assert jobs(server.process.pid) == (0, "")

        tab.send(json.dumps(["stdin", "sleep 300\r"]))

        wait_for(lambda: jobs(server.process.pid) == (1, "sleep"))
        assert time.time() - (typed_at(tasks(server.process.pid)) or 0) < 60
    finally:
        tab.close()
        server.call("DELETE", f"terminals/{name}")


def test_the_saves_of_a_real_server_are_told(jupyters: RealServers) -> None:
    server = jupyters.tls
    notebook = server.runtime.parent / "thought.ipynb"
    saved_at = round(time.time() - HOUR)
    for each in server.runtime.parent.rglob("*.*"):
        if each.suffix != ".json":
            os.utime(each, (saved_at - HOUR, saved_at - HOUR))
    os.utime(notebook, (saved_at, saved_at))

    (entry,), _, errors = look([str(server.runtime)], time.monotonic() + PATIENCE_SECONDS)

    assert (entry["saved_at"], errors) == (saved_at, [])


# --- runtime files that are not to be believed -----------------------------------------------------------------------


def test_a_runtime_file_of_a_process_that_listens_is_believed(
    serve: Callable[..., FalseServer], tmp_path: Path
) -> None:
    server = serve(answering([IDLE], [TERMINAL]))
    server.write_runtime_file(tmp_path, base_url="/user/me/")

    said, _ = run(tmp_path)

    assert statuses(said) == [(server.port, "ok")]
    assert said["servers"][0]["kernel_at"] == STAMP_SECONDS
    requests = [request.decode().split("\r\n") for request in server.received]
    assert [lines[0] for lines in requests] == [
        f"GET /user/me/api/{what}?no_track_activity=1 HTTP/1.1"
        for what in ("kernels", "terminals", "status", "sessions")
    ]
    assert all(f"Authorization: token {TOKEN}" in lines and "Host: localhost" in lines for lines in requests)


def a_dead_process() -> int:
    with subprocess.Popen(["true"]) as process:
        process.wait()
    return process.pid


@pytest.mark.parametrize("changes", [
    row("its process is gone", {"pid": a_dead_process}),
    row("another process has its number", {"pid": os.getppid}),
    row("its process does not listen there", {"port": 1}),
    row("port true", {"port": True}),
    row("port too high", {"port": 70_000}),
    row("pid negative", {"pid": -1}),
    row("pid a word", {"pid": "self"}),
    row("no token", {"token": None}),
    row("base_url a number", {"base_url": 1}),
    row("secure a word", {"secure": "no"}),
    row("socket a number", {"sock": 1}),
])  # fmt: skip
def test_a_runtime_file_that_is_wrong_is_left_out_and_no_token_is_sent(
    serve: Callable[..., FalseServer], tmp_path: Path, changes: dict[str, Any]
) -> None:
    server, good = serve(answering([BUSY], [])), serve(answering([], []))
    server.write_runtime_file(
        tmp_path, **{key: value() if callable(value) else value for key, value in changes.items()}
    )
    good.write_runtime_file(tmp_path)

    said, _ = run(tmp_path)

    assert statuses(said) == [(good.port, "ok")]
    assert said["errors"] == []
    assert server.connections == 0


@pytest.mark.parametrize(
    "changes",
    [{"pid": True}, {"pid": 0}, {"pid": 1.0}, {"port": True}, {"port": -1}, {"port": 65536}, {"token": b""}],
    ids=str,
)
def test_a_runtime_file_of_another_shape_is_none(tmp_path: Path, changes: dict[str, Any]) -> None:
    content = {"pid": 1, "port": 1, "base_url": "/", "token": "", "secure": False, "sock": ""}
    assert _runtime(content, tmp_path.stat()).port == 1

    with pytest.raises(ValueError, match="not a runtime file"):
        _runtime(content | changes, tmp_path.stat())


def test_a_file_older_than_its_process_is_left_out(serve: Callable[..., FalseServer], tmp_path: Path) -> None:
    server = serve(answering([BUSY], []))
    file = server.write_runtime_file(tmp_path)
    began = datetime.now(UTC) - timedelta(days=1000)
    os.utime(file, (began.timestamp(), began.timestamp()))

    said, _ = run(tmp_path)

    assert (said["servers"], server.connections) == ([], 0)


def test_a_file_of_another_user_than_its_process_is_left_out(serve: Callable[..., FalseServer]) -> None:
    server = serve(answering([BUSY], []))
    mine = Runtime(os.getpid(), server.port, "", "/", TOKEN, False, os.getuid(), time.time())

    assert [each.address for each in _listening(mine, Limits())] == ["127.0.0.1"]
    assert list(_listening(mine._replace(uid=os.getuid() + 1), Limits())) == []


def test_a_unix_socket_that_leads_to_another_process_gets_no_token(jupyters: RealServers, tmp_path: Path) -> None:
    content = jupyters.unix.told() | {"pid": os.getpid()}
    (tmp_path / "jpserver-1.json").write_text(json.dumps(content))

    said, _ = run(tmp_path)

    assert said["servers"] == []


@pytest.mark.parametrize("what", ["fifo", "link", "directory", "garbage", "list", "enormous", "nested", "utf-16"])
def test_what_is_no_runtime_file_hides_no_server(serve: Callable[..., FalseServer], tmp_path: Path, what: str) -> None:
    good, elsewhere = serve(answering([BUSY], [])), serve(answering([], []))
    good.write_runtime_file(tmp_path)
    (tmp_path / "elsewhere").mkdir()
    odd = tmp_path / "jpserver-0.json"
    match what:
        case "fifo":
            os.mkfifo(odd)
        case "link":
            odd.symlink_to(elsewhere.write_runtime_file(tmp_path / "elsewhere"))
        case "directory":
            odd.mkdir()
        case "garbage":
            odd.write_bytes(b"\xff{}")
        case "list":
            odd.write_text("[1]")
        case "enormous":
            file = elsewhere.write_runtime_file(tmp_path / "elsewhere")
            odd.write_text(file.read_text() + " " * 70_000)
        case "nested":
            odd.write_text("[" * 60_000)
        case _:
            odd.write_bytes(json.dumps([]).encode("utf-16"))

    said, _ = run(tmp_path)

    assert (statuses(said), said["errors"]) == ([(good.port, "ok")], [])
    assert elsewhere.connections == 0


def test_a_pipe_with_the_right_words_is_no_runtime_file(serve: Callable[..., FalseServer], tmp_path: Path) -> None:
    server = serve(answering([], []))
    file = server.write_runtime_file(tmp_path)
    content = file.read_bytes()
    file.unlink()
    os.mkfifo(file)
    writer = os.open(file, os.O_RDWR | os.O_NONBLOCK)
    os.write(writer, content)

    said, _ = run(tmp_path)

    os.close(writer)
    assert (said["servers"], server.connections) == ([], 0)


def test_a_directory_that_may_not_be_read_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_args: object, **_options: object) -> int:
        raise PermissionError

    # Root may read everything, and the tests may run as root.
    monkeypatch.setattr(os, "open", refuse)

    entries, _, errors = look([str(tmp_path)], time.monotonic() + 5)
    assert (entries, errors) == ([], ["denied"])


# --- servers that misbehave ------------------------------------------------------------------------------------------


def test_servers_that_misbehave_are_told_apart_in_one_deadline(
    jupyters: RealServers, serve: Callable[..., FalseServer], tmp_path: Path
) -> None:
    expected = {
        serve(trickling).port: "timeout",
        serve(silent).port: "timeout",
        serve(answering([], [], status=500)).port: "http500",
        serve(answering([], [], status=302, head="Location: http://127.0.0.1:1/\r\n")).port: "http302",
        serve(answering(b"[" * 900_000, [])).port: "bad",
    }
    entries, errors = _asked(expected, tmp_path)

    assert errors == []  # the limit of a step holds, not only that of the whole
    assert {entry["port"]: entry["status"] for entry in entries} == expected


def cut_short(connection: socket.socket, _: bytes) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n[]")


@pytest.mark.parametrize(("reply", "status"), [
    row("not JSON", answering(b"not json", []), "bad"),
    row("not a list", answering({"message": "hello"}, []), "bad"),
    row("a kernel without a state", answering([IDLE, {}], []), "bad"),
    row("a terminal without a time", answering([IDLE], [{"name": "1"}]), "bad"),
    row("more than a megabyte", answering(b"[]" + b" " * 1_000_000, []), "bad"),
    row("it ends early", cut_short, "bad"),
    row("a good one", answering([BUSY], [TERMINAL]), "ok"),
])  # fmt: skip
def test_an_answer_that_is_not_understood_is_bad(
    serve: Callable[..., FalseServer], tmp_path: Path, reply: Callable[..., None], status: str
) -> None:
    entries, _ = _asked([serve(reply).port], tmp_path)

    assert [entry["status"] for entry in entries] == [status]


def test_an_endless_answer_is_cut(serve: Callable[..., FalseServer], tmp_path: Path) -> None:
    def pour(connection: socket.socket, _: bytes) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        for piece in range(10_000):
            connection.sendall(b" " * 65_536)
            poured[0] = piece

    poured = [0]

    entries, _ = _asked([serve(pour).port], tmp_path)

    assert [entry["status"] for entry in entries] == ["bad"]
    assert poured[0] < 1_000


def test_a_server_without_terminals_has_none(serve: Callable[..., FalseServer], tmp_path: Path) -> None:
    def reply(connection: socket.socket, request: bytes) -> None:
        answering([BUSY], b"<html>", status=404 if b"terminals" in request else 200)(connection, request)

    entries, _ = _asked([serve(reply).port], tmp_path)

    assert [(entry["status"], entry["busy"], entry["terminals"]) for entry in entries] == [("ok", 1, 0)]


def test_tls_where_there_is_none_is_told(serve: Callable[..., FalseServer], tmp_path: Path) -> None:
    server = serve(answering([], []))
    server.write_runtime_file(tmp_path, secure=True)

    said, _ = run(tmp_path)

    assert statuses(said) == [(server.port, "tls")]


@pytest.mark.parametrize("changes", [
    {"token": "a\r\nHost: evil"}, {"token": "a b"}, {"base_url": "/\r\n\r\n"}, {"base_url": "/a b/"},
    {"base_url": "/é/"},
], ids=str)  # fmt: skip
def test_no_file_can_write_its_own_request(
    serve: Callable[..., FalseServer], tmp_path: Path, changes: dict[str, Any]
) -> None:
    server = serve(answering([], []))
    server.write_runtime_file(tmp_path, **changes)

    said, _ = run(tmp_path)

    assert statuses(said) == [(server.port, "bad")]
    assert server.received in ([], [b""])


def test_many_servers_with_many_kernels_fit_the_line(serve: Callable[..., FalseServer], tmp_path: Path) -> None:
    servers = [serve(answering([IDLE] * 50, [TERMINAL] * 50)) for _ in range(11)]
    servers.append(serve(answering([IDLE] * 49 + [BUSY], [])))
    for server in servers:
        server.write_runtime_file(tmp_path)

    said, line = run(tmp_path)

    # How many stand alone depends on how much else runs on this machine, of which the line tells too.
    assert 1 < len(said["servers"]) <= _MOST_PRINTED
    assert [sum(server[key] for server in said["servers"]) for key in ("busy", "idle", "terminals")] == [1, 599, 550]
    assert isinstance(read(line), Reading)


def test_more_files_than_are_asked_is_an_error(serve: Callable[..., FalseServer], tmp_path: Path) -> None:
    for _ in range(_MOST_OF_A_USER["servers"] + 1):
        serve(answering([], [])).write_runtime_file(tmp_path)

    said, line = run(tmp_path)

    assert said["errors"] == ["many:root"]
    assert "more than the probe reads" in missing(line)
    assert "(user root)" in missing(line)


def _asked(ports: Any, folder: Path) -> tuple[list[dict[str, Any]], list[str]]:
    for port in ports:
        content = {"pid": os.getpid(), "port": port, "base_url": "/", "token": "", "secure": False, "sock": ""}
        (folder / f"jpserver-{port}.json").write_text(json.dumps(content))
    entries, _, errors = look([str(folder)], time.monotonic() + PATIENCE_SECONDS)
    return entries, errors


# --- its form --------------------------------------------------------------------------------------------------------


def test_it_goes_through_a_shell_as_run_command_sends_it(jupyters: RealServers) -> None:
    command = _script(str(jupyters.plain.runtime))
    path = f"{Path(sys.executable).parent}:/usr/bin:/bin"

    ended = subprocess.run(["sh", "-c", command], capture_output=True, check=True, env={"PATH": path})

    assert isinstance(read(ended.stdout.decode()), Reading)
    assert ended.stderr == b""


def test_run_command_finds_no_parameter_in_it() -> None:
    assert b"{{" not in SOURCE
    script = _script("/home/a user/run")
    assert "{{" not in script
    # A document of Systems Manager has 64 KB, what is handed to it included (API Reference, CreateDocument).
    assert len(script) < 32_000


def test_no_two_of_its_parts_give_one_name_to_different_things() -> None:
    sources = {path.stem: ast.parse(path.read_text()) for path in Path(parts.__file__).parent.glob("*.py")}
    assert sorted(parts.PARTS) == sorted(sources.keys() - {"__init__", "script"})
    given: list[str] = []
    for part in parts.PARTS:
        for node in sources[part].body:
            match node:
                case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
                    given.append(name)
                case ast.Assign(targets=targets):
                    given += [each.id for target in targets for each in ast.walk(target) if isinstance(each, ast.Name)]
                case ast.ImportFrom(names=names) | ast.Import(names=names):
                    assert not any(name.asname for name in names)
                case _:
                    assert isinstance(node, ast.Expr | ast.If)
    assert sorted(given) == sorted(set(given))


def test_parts_are_joined_without_their_imports_of_each_other() -> None:
    first = "from __future__ import annotations\nfrom os import (\n    path,\n)\nHERE = path.sep\n"
    second = "from os import path\nfrom autostop.probe.first import HERE\nTWICE = HERE * 2"
    joined = parts.joined([first, second])
    given: dict[str, object] = {}
    exec(joined, given)  # noqa: S102 - two lines of our own

    assert given["TWICE"] == "//"
    assert joined.count("import") == 2


def test_it_is_written_for_python_3_8() -> None:
    ast.parse(SOURCE, feature_version=(3, 8))


@pytest.mark.parametrize(("line", "error"), [("time.sleep(300)", "deadline"), ("raise KeyError", "failed")])
def test_it_answers_in_time_even_when_looking_hangs_or_fails(line: str, error: str) -> None:
    look = "    tasks, uids = every_task(limits)\n"
    script = SOURCE.replace(look.encode(), f"    {line}\n{look}".encode())
    assert script != SOURCE
    assert DEADLINE_SECONDS < 5

    ended = subprocess.run([sys.executable, "-"], input=script, capture_output=True, check=True, timeout=60)

    said = json.loads(ended.stdout)
    assert (said["servers"], said["machine"], said["errors"]) == ([], None, [error])
    assert isinstance(read(ended.stdout.decode()), Unknown)


@pytest.mark.parametrize(("command", "is_one"), [
    ("/usr/bin/python3 /usr/local/bin/jupyter-lab --ip=*", True),
    ("/opt/conda/bin/python3.12 -I -X utf8 /opt/conda/bin/jupyter-notebook", True),
    ("python -m jupyterlab", True),
    ("python3 -u -m jupyter_server --port=1", True),
    ("python3 -m jupyterhub.singleuser", True),
    ("pypy3 /usr/bin/jupyterhub-singleuser", True),
    ("python3 -m ipykernel_launcher -f /x/jupyter-lab", False),
    ("python3 train.py jupyter-lab", False),
    ("python3 -c jupyter-lab", False),
    ("vim /usr/bin/jupyter-lab", False),
    ("tmux new jupyter-lab", False),
    ("python3 -m", False),
    ("python3", False),
    ("", False),
])  # fmt: skip
def test_a_server_is_known_by_its_command_line(command: str, is_one: bool) -> None:
    assert is_server(command.split(" ")) == is_one


def test_a_server_that_forks_is_one_server() -> None:
    no_file = {"port": 0, "status": "nofile", "user": "root"}
    server = Task(10, 1, "python3", "S", 0, 0, b"python3\0-m\0jupyterlab")
    forked = server._replace(pid=11, parent=10)
    another = server._replace(pid=12, parent=10, command=b"python3\0-m\0notebook")

    assert _without_file([server, forked], {10}) == []
    assert _without_file([server, forked, another], {10}) == [no_file]
    assert len(_without_file([server], set())) == 1


# --- pure parts ------------------------------------------------------------------------------------------------------


def test_kernels_are_counted_by_state() -> None:
    states = ["busy", "idle", "idle", "starting", "restarting", "dead", "unknown"]
    kernels = [IDLE | {"execution_state": state} for state in states]
    kernels[1] = kernels[1] | {"last_activity": "2026-11-23T09:00:01Z"}

    assert summarise(kernels, [TERMINAL], STATUS) == {
        "busy": 1, "idle": 2, "starting": 1, "other": 3, "kernel_at": STAMP_SECONDS + 0.75, "busy_at": STAMP_SECONDS,
        "together": 0, "terminals": 1, "terminal_at": STAMP_SECONDS, "connections": 7,
        "server_at": STAMP_SECONDS + 29.75, "saved_at": None,
    }  # fmt: skip
    nothing = summarise([], [], None)
    assert not any(nothing.values())
    assert (nothing["kernel_at"], nothing["busy_at"], nothing["terminal_at"], nothing["server_at"]) == (None,) * 4


@pytest.mark.parametrize(("kernels", "together"), [
    row("no kernel", [], 0),
    row("nobody is connected", [(0, STAMP)], 0),
    row("one kernel", [(1, STAMP)], 1),
    row("within a second", [(1, STAMP), (2, "2026-11-23T09:00:00.9Z")], 1),
    row("the next second", [(1, STAMP), (1, "2026-11-23T09:00:01Z")], 0),
    row("the other has no connection", [(1, STAMP), (0, "2026-11-23T08:00:00Z")], 1),
])  # fmt: skip
def test_kernels_that_a_browser_touched_together_are_told(kernels: list[tuple[int, str]], together: int) -> None:
    models = [IDLE | {"connections": count, "last_activity": at.replace(".9Z", ".900000Z")} for count, at in kernels]

    assert summarise(models, [], STATUS)["together"] == together


@pytest.mark.parametrize("wrong", [
    {"kernels": None}, {"kernels": {}}, {"kernels": [None]}, {"kernels": [[]]},
    *({"kernels": [IDLE | {"execution_state": state}]} for state in (None, "", True)),
    *({"kernels": [IDLE | {"last_activity": at}]} for at in (None, 1.0, "now", "2026-11-23T09:00:00")),
    *({"kernels": [IDLE | {"connections": count}]} for count in (None, True, -1)),
    {"terminals": {"message": "no"}}, {"terminals": [{}]},
    {"server": []}, {"server": "ok"}, {"server": {}}, {"server": {"last_activity": 1}},
], ids=str)  # fmt: skip
def test_a_shape_that_is_not_known_is_refused(wrong: dict[str, Any]) -> None:
    said: dict[str, Any] = {"kernels": [], "terminals": [], "server": STATUS} | wrong

    with pytest.raises(ValueError):  # noqa: PT011 - the type is all that is promised
        summarise(said["kernels"], said["terminals"], said["server"])


SUMS = ("busy", "idle", "starting", "other", "terminals", "connections")
NEWEST = ("kernel_at", "busy_at", "terminal_at", "server_at", "saved_at")
COUNT = st.integers(0, 10_000)
STAMPS = st.floats(946_684_800, 4_102_444_800).map(lambda at: round(at, 3))
MACHINE = survey([], Looks()) | {
    "boot": "0123abcd", "cpu": {f"p{pid:x}": 31_536_000.25 for pid in range(4_194_000, 4_194_024)}
    | dict.fromkeys(["prest", "rest", "g", "pg"], 1e8),
    "typed_at": 4_102_444_800.123, "wrote_at": 4_102_444_800.123, "jobs": 10_000, "job": "fifteen-letters",
    "gpu": 100.0, "logins": 10_000, "editors": 10_000, "edited_at": 4_102_444_800.123, "muxes": 10_000, "held": 1,
    "doubts": [["desktop", "fifteen-letters"]] * 6,
}  # fmt: skip


@st.composite
def entries(draw: st.DrawFn) -> dict[str, Any]:
    port = draw(st.integers(0, 65535))
    if draw(st.booleans()):
        return {"port": port, "status": draw(st.sampled_from(["http403", "timeout", "nofile"]))}
    counts = {key: draw(COUNT) for key in SUMS}
    kernels = counts["busy"] + counts["idle"] + counts["starting"] + counts["other"]
    stamps = {
        "kernel_at": draw(STAMPS) if kernels else None, "busy_at": draw(STAMPS) if counts["busy"] else None,
        "together": draw(st.integers(0, 1)), "terminal_at": draw(STAMPS) if counts["terminals"] else None,
        "server_at": draw(STAMPS), "saved_at": draw(st.none() | STAMPS),
    }  # fmt: skip
    return {"port": port, "status": "ok"} | counts | stamps


@given(servers=st.lists(entries(), max_size=40))
def test_the_line_is_short_and_loses_nothing_busy_and_no_failure(servers: list[dict[str, Any]]) -> None:
    errors = ["deadline", "denied", "failed", "gpu", "many", "missing", "notroot"]
    line = report(1_800_000_000.123456, servers, MACHINE, errors)

    assert len(line) < 2000
    printed = json.loads(line)["servers"]
    assert len(printed) <= 6
    assert sum(server.get("more", 1) for server in printed) == len(servers)
    for key in SUMS:
        assert sum(server.get(key, 0) for server in printed) == sum(server.get(key, 0) for server in servers)
    for key in NEWEST:
        newest = [max((server[key] for server in each if server.get(key)), default=None) for each in (printed, servers)]
        assert newest[0] == newest[1]
    together = [all(server["together"] for server in each if server.get("connections")) for each in (printed, servers)]
    assert together[0] == together[1]
    assert any(server["status"] != "ok" for server in printed) == any(server["status"] != "ok" for server in servers)


def test_even_the_longest_entries_fit_the_line() -> None:
    full: dict[str, Any] = {"port": 65535, "status": "ok", "plain": 1, "local": 1, "base": f"/{'b' * 98}/"}
    full |= dict.fromkeys(SUMS, 999_999) | dict.fromkeys(NEWEST, 4_102_444_800.123) | {"together": 1}

    line = report(4_102_444_800.123, [full] * 6, MACHINE, ["deadline", "gpu"])

    assert len(line) < 2000
    printed = json.loads(line)["servers"]
    assert sum(server["busy"] for server in printed) == 6 * 999_999


def test_no_step_begins_after_the_deadline() -> None:
    with pytest.raises(TimeoutError):
        remaining(time.monotonic() - 0.001)
    assert remaining(time.monotonic() + 100) == STEP_SECONDS


def test_what_is_not_http_is_refused() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(b"SSH-2.0-OpenSSH\r\n")
        theirs.shutdown(socket.SHUT_WR)

        with pytest.raises(http.client.HTTPException):
            fetch(ours, "localhost", "/", "", time.monotonic() + 1)
