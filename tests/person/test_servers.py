"""Jupyter servers at work, left alone, hung, or not to be asked."""

import contextlib
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from jupyter_server.auth.security import passwd

from autostop.aws.https_jupyter import HttpsJupyter
from autostop.idle.reading import Reading, parse_reading
from autostop.idle.verdict import Verdict
from tests.person.judging import ACTIVE, IDLE, IDLE_AFTER, POLICY, UNKNOWN, WEAK, Judge, by_probe, watch
from tests.person.notebooks import Jupyter
from tests.person.workstation import Workstation
from tests.probe.jupyter_servers import PASSWORD, TOKEN, make_certificate, wait_for


def interpreters() -> list[str]:
    """The one that runs this, and each other of 3.8 and newer that this machine has."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    places = [Path("/usr/bin"), Path("/usr/local/bin"), *sorted((pyenv / "versions").glob("*/bin"))]
    newer = [place / f"python3.{minor}" for place in places for minor in range(8, 20)]
    return [sys.executable, *(str(path) for path in newer if path.exists())]


@dataclass(frozen=True)
class Morning:
    """Five workstations with Jupyter, seen for longer than any window; then one of two servers of each pair hangs."""

    sleeping: Judge
    asking: Judge
    asking_ignored: Judge
    terminal: Judge
    starting: Judge
    password: Judge
    wrong_certificate: Judge
    right_certificate: Judge
    other_hangs: Verdict
    only_one_hangs: Verdict
    sleeping_workstation: Workstation
    set_up_at: datetime
    hung_at: datetime


@pytest.fixture(scope="module")
def morning(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Morning]:
    folder = tmp_path_factory.mktemp("servers")
    hashed = passwd(PASSWORD, "sha256")  # type: ignore[no-untyped-call] # it has no types
    certificate, another = (make_certificate(tmp_path_factory.mktemp("certificate")) for _ in range(2))
    with contextlib.ExitStack() as stack:

        def boot(name: str) -> tuple[Workstation, Judge]:
            workstation = Workstation(folder / name)
            stack.callback(workstation.end)
            return workstation, by_probe(workstation)

        def serve(workstation: Workstation, name: str, **options: object) -> Jupyter:
            token = "" if "hashed_password" in options else TOKEN
            named = {f"{_CLASSES[option]}.{option}": value for option, value in options.items()}
            server = Jupyter(workstation, name, named, token)
            letting_go.callback(server.end)
            return server

        # Entered first, so left last: a server has ended when its workstation has.
        letting_go = stack.enter_context(contextlib.ExitStack())
        sleeping_workstation, sleeping = boot("sleeping")
        asking_workstation, asking = boot("asking")
        terminal_workstation, terminal = boot("terminal")
        starting_workstation, starting = boot("starting")
        closed_workstation, password = boot("password")
        servers = (
            serve(sleeping_workstation, "at work"),
            serve(sleeping_workstation, "unused"),
            serve(asking_workstation, "jupyter"),
            serve(terminal_workstation, "jupyter"),
            serve(starting_workstation, "jupyter"),
            serve(closed_workstation, "closed", hashed_password=hashed),
            serve(closed_workstation, "tls", certfile=certificate.pem),
        )
        for server in servers:
            server.wait()
        at_work, unused, asks, has_terminal, starts, _, tls = servers
        at_work.start_busy_kernel()
        client = asks.start_idle_kernel()
        client.execute("input()", allow_stdin=True)
        wait_for(lambda: "busy" in asks.states().values(), lambda: str(asks.states()))
        has_terminal.type_in_terminal("sleep 1000")
        starts.start_kernel()

        def over_https(sha256: str) -> Judge:
            jupyter = HttpsJupyter(lambda: datetime.now(UTC))
            return Judge(lambda: jupyter.ask("127.0.0.1", tls.port, TOKEN, sha256))

        ignored = by_probe(asking_workstation, replace(POLICY, ignore_kernels_older_than=IDLE_AFTER / 2))
        pinned = over_https(certificate.sha256), over_https(another.sha256)
        judges = [sleeping, asking, ignored, terminal, starting, password, *pinned]
        set_up_at = datetime.now(UTC)
        watch(judges, IDLE_AFTER + WEAK)
        hung_at = datetime.now(UTC)
        with unused.stopped(), starts.stopped():
            other_hangs = sleeping.look()
            # After a verdict of idle, the very next one is already unknown.
            only_one_hangs = starting.look()
        yield Morning(
            sleeping=sleeping,
            asking=asking,
            asking_ignored=ignored,
            terminal=terminal,
            starting=starting,
            password=password,
            right_certificate=pinned[0],
            wrong_certificate=pinned[1],
            other_hangs=other_hangs,
            only_one_hangs=only_one_hangs,
            sleeping_workstation=sleeping_workstation,
            set_up_at=set_up_at,
            hung_at=hung_at,
        )


_BEFORE_THE_HANG = -2
_CLASSES = {"hashed_password": "PasswordIdentityProvider", "certfile": "ServerApp"}


def test_a_silent_cell_is_work(morning: Morning) -> None:
    judge = morning.sleeping

    assert judge.kinds(since=morning.set_up_at) == {ACTIVE}, judge.told()
    assert judge.verdicts[-1].headline == "Jupyter: 1 busy kernel"


def test_of_two_servers_one_that_works_is_enough(morning: Morning) -> None:
    judge = morning.sleeping

    assert sorted(server.busy for server in judge.reading(_BEFORE_THE_HANG).servers) == [0, 1]
    assert judge.kinds(since=morning.set_up_at) == {ACTIVE}, judge.told()


def test_of_two_servers_one_that_works_is_enough_while_the_other_hangs(morning: Morning) -> None:
    assert morning.other_hangs.kind == ACTIVE, morning.other_hangs
    assert any("did not answer" in reason for reason in morning.other_hangs.reasons)


def test_a_cell_that_waits_for_an_answer_is_work(morning: Morning) -> None:
    judge = morning.asking

    assert judge.kinds(since=morning.set_up_at) == {ACTIVE}, judge.told()
    assert judge.verdicts[-1].headline == "Jupyter: 1 busy kernel"


def test_a_cell_that_waits_for_longer_than_the_owner_wants_is_idle(morning: Morning) -> None:
    judge = morning.asking_ignored

    assert judge.verdicts[0].kind == ACTIVE, judge.told()
    assert judge.in_the_end(morning.set_up_at, WEAK) == {IDLE}, judge.told()
    assert judge.reading().servers[0].busy == 1


def test_a_terminal_at_work_is_work(morning: Morning) -> None:
    judge = morning.terminal

    assert judge.kinds(since=morning.set_up_at) == {ACTIVE}, judge.told()
    assert judge.verdicts[-1].headline == "jobs in terminals: 1 (sleep)"


def test_a_kernel_that_starts_for_ever_is_no_work(morning: Morning) -> None:
    judge = morning.starting

    assert judge.reading(_BEFORE_THE_HANG).servers[0].starting == 1
    assert judge.in_the_end(morning.set_up_at, WEAK, morning.hung_at) == {IDLE}, judge.told()


def test_a_server_that_hangs_is_unknown(morning: Morning) -> None:
    hung = morning.only_one_hangs

    assert hung.kind == UNKNOWN, hung
    assert "did not answer in time" in hung.headline


def test_a_server_with_only_a_password_is_unknown_and_the_owner_learns_the_remedy(morning: Morning) -> None:
    judge = morning.password

    assert judge.in_the_end(morning.set_up_at, WEAK) == {UNKNOWN}, judge.told()
    assert "set IdentityProvider.token beside the password" in judge.verdicts[-1].headline


def test_a_certificate_that_is_not_the_pinned_one_is_unknown_and_the_owner_learns_why(morning: Morning) -> None:
    wrong, right = morning.wrong_certificate, morning.right_certificate

    assert wrong.in_the_end(morning.set_up_at, WEAK) == {UNKNOWN}, wrong.told()
    assert "is not the pinned one; if you renewed it, run autostop adopt again" in wrong.verdicts[-1].headline
    assert right.in_the_end(morning.set_up_at, WEAK) == {IDLE}, right.told()


@pytest.mark.parametrize("python", interpreters())
def test_every_python_from_3_8_up_says_the_same(morning: Morning, python: str) -> None:
    answer = parse_reading(morning.sleeping_workstation.probe(python), datetime.now(UTC))

    assert isinstance(answer, Reading), answer
    by_ours = morning.sleeping.reading(_BEFORE_THE_HANG)
    assert [replace(server, saved_at=None, server_active_at=None) for server in answer.servers] == [
        replace(server, saved_at=None, server_active_at=None) for server in by_ours.servers
    ]
    assert answer.machine is not None
    assert replace(answer.machine, cpu={}) == replace(morning.sleeping.machine(_BEFORE_THE_HANG), cpu={})
