"""A laptop that sleeps while a cell computes, and wakes: Jupyter then says that the kernel is idle."""

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import pytest
from playwright.sync_api import Playwright

from tests.person.judging import ACTIVE, IDLE_AFTER, WEAK, Judge, by_probe, watch
from tests.person.notebooks import LAB, Jupyter
from tests.person.tabs import Browser, run_first_cell
from tests.person.workstation import Workstation
from tests.probe.jupyter_servers import wait_for

# After so long the server has given the tab up, and a tab that wakes makes a new connection.
ASLEEP_SECONDS: Final = 125
# While it is watched, were it to get a tenth of a core.
COMPUTED_SECONDS: Final = 4
# From when the laptop is awake again, for nobody looks before. A quarter of a core (0.02 s of 0.08), where a twelfth is
# work: of what listens, as kernels do, a fifth counts. No whole one: a session has its full share, however nice.
AWAKE: Final = "awake"
COMPUTING: Final = f"""
import os, time
while not os.path.exists("{AWAKE}"):
    time.sleep(0.5)
while True:
    until = time.process_time() + 0.02
    while time.process_time() < until:
        pass
    time.sleep(0.06)
"""


@dataclass(frozen=True)
class Night:
    """A cell that is busy all night, seen after its tab woke."""

    judge: Judge
    states: list[str]
    woke_at: datetime


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory, playwright: Playwright) -> Iterator[Night]:
    folder = tmp_path_factory.mktemp("frozen")
    with contextlib.ExitStack() as stack:
        letting_go = stack.enter_context(contextlib.ExitStack())
        workstation = Workstation(folder / "workstation")
        stack.callback(workstation.end)
        server = Jupyter(workstation, "jupyter", LAB)
        letting_go.callback(server.end)
        server.write_notebook("training.ipynb", [COMPUTING])
        server.wait()
        browser = Browser(folder, stack, playwright)
        run_first_cell(browser.open_notebook(server, "training.ipynb"), "Control+Enter")
        wait_for(lambda: list(server.states().values()) == ["busy"], lambda: str(server.states()))

        # The laptop does not always get a wrong answer from it; then it sleeps once more.
        for _ in range(2):
            browser.sleep(ASLEEP_SECONDS)
            if said_idle(server, within_seconds=30):
                break
        (server.folder / AWAKE).touch()
        judge = by_probe(workstation)
        woke_at = datetime.now(UTC)
        watch([judge], IDLE_AFTER + WEAK)
        yield Night(judge, list(server.states().values()), woke_at)


def said_idle(server: Jupyter, within_seconds: float) -> bool:
    until = time.monotonic() + within_seconds
    while time.monotonic() < until:
        if list(server.states().values()) == ["idle"]:
            return True
        time.sleep(0.5)
    return False


def test_jupyter_says_idle_while_the_cell_computes(night: Night) -> None:
    assert night.states == ["idle"]
    looks = range(len(night.judge.answers))
    assert {server.busy for which in looks for server in night.judge.reading(which).servers} == {0}
    used, before = (sum(each.cpu.values()) for each in (night.judge.machine(), night.judge.machine(0)))
    assert used > before + COMPUTED_SECONDS


def test_a_computing_cell_is_work_whatever_jupyter_says(night: Night) -> None:
    judge = night.judge

    assert judge.kinds(since=night.woke_at) == {ACTIVE}, judge.told()
    assert "work under Jupyter, logins and tmux" in judge.verdicts[-1].headline
