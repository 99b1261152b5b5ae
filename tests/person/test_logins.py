"""People who log in by ssh, and what they leave behind when they go."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

import pytest

from tests.person.judging import ACTIVE, IDLE, IDLE_AFTER, WEAK, Judge, by_probe, watch
from tests.person.logins import Sshd
from tests.person.workstation import Workstation


@dataclass(frozen=True)
class Evening:
    """Five workstations, each with one person, through one evening."""

    typing: Judge
    silent: Judge
    tmux: Judge
    top: Judge
    lock: Judge
    set_up_at: datetime
    released_at: datetime


@pytest.fixture(scope="module")
def evening(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Evening]:
    folder = tmp_path_factory.mktemp("ssh")
    with contextlib.ExitStack() as stack:

        def boot(name: str) -> tuple[Workstation, Sshd, Judge]:
            workstation = Workstation(folder / name)
            stack.callback(workstation.end)
            return workstation, Sshd(workstation), by_probe(workstation)

        _, sshd, typing = boot("typing")
        keyboard = sshd.login()
        stack.callback(keyboard.end)

        _, sshd, silent = boot("silent")
        connected = sshd.login("-o", "ServerAliveInterval=1")
        stack.callback(connected.end)
        connected.enter("ls")

        _, sshd, tmux = boot("tmux")
        gone = sshd.login()
        stack.callback(gone.end)
        # Else tmux takes keys that come within a millisecond for pasted, and ^B d for text.
        gone.type("tmux new \\; set -g assume-paste-time 0\r")
        gone.see("[0] ")
        gone.enter("cd /")
        gone.type("sleep 1000\r")
        gone.see("sleep 1000")
        gone.type("\x02d")
        gone.see("detached")
        gone.leave()

        _, sshd, top = boot("top")
        left_open = sshd.login()
        stack.callback(left_open.end)
        left_open.type("top\r")
        left_open.see("load average")

        locked, sshd, lock = boot("lock")
        sshd.run("nohup flock ~/.autostop-keep-awake sleep 1000 >/dev/null 2>&1 &")

        judges = [typing, silent, tmux, top, lock]
        set_up_at = datetime.now(UTC)
        watch(judges, IDLE_AFTER + WEAK, meanwhile=lambda: keyboard.type("x"))
        locked.kill("1000")
        released_at = datetime.now(UTC)
        watch(judges, IDLE_AFTER, meanwhile=lambda: keyboard.type("x"))
        yield Evening(typing, silent, tmux, top, lock, set_up_at, released_at)


def test_somebody_who_types_is_at_work(evening: Evening) -> None:
    judge = evening.typing

    assert judge.kinds(since=evening.set_up_at) == {ACTIVE}, judge.told()
    assert "a key was last pressed" in judge.verdicts[-1].headline


def test_a_silent_connection_is_idle_at_the_latest_when_weak_signs_end(evening: Evening) -> None:
    judge = evening.silent

    assert judge.in_the_end(evening.set_up_at, WEAK) == {IDLE}, judge.told()
    assert judge.machine().logins == 1


def test_a_silent_connection_makes_the_window_longer(evening: Evening) -> None:
    judge = evening.silent
    typed_at = judge.machine().typed_at
    assert typed_at is not None

    first_idle = next(verdict.at for verdict in judge.verdicts if verdict.kind == IDLE)

    assert first_idle >= typed_at + IDLE_AFTER + WEAK


def test_a_job_in_tmux_is_work_after_the_logout(evening: Evening) -> None:
    judge = evening.tmux

    assert judge.kinds(since=evening.set_up_at) == {ACTIVE}, judge.told()
    assert judge.verdicts[-1].headline == "jobs in terminals: 1 (sleep)"
    assert judge.machine().logins == 0


def test_top_left_open_is_idle_in_the_end(evening: Evening) -> None:
    judge = evening.top

    assert judge.in_the_end(evening.set_up_at, WEAK) == {IDLE}, judge.told()


def test_a_lock_keeps_it_awake_until_it_is_released(evening: Evening) -> None:
    judge = evening.lock

    assert judge.kinds(evening.set_up_at, evening.released_at) == {ACTIVE}, judge.told()
    held = [verdict for verdict in judge.verdicts if verdict.headline == "a program holds the keep-awake lock"]
    assert held[-1].at - held[0].at > IDLE_AFTER
    assert judge.in_the_end(evening.released_at) == {IDLE}, judge.told()
