"""A notebook in a real browser: forgotten, and then typed into."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

import pytest
from playwright.sync_api import Page, Playwright, expect

from tests.person.judging import ACTIVE, IDLE, IDLE_AFTER, WEAK, Judge, by_probe, watch
from tests.person.notebooks import LAB, Jupyter
from tests.person.tabs import PATIENCE_MS, Browser, run_first_cell
from tests.person.workstation import Workstation
from tests.probe.jupyter_servers import wait_for

# As a person sets it in JupyterLab's settings, whose own is two minutes.
AUTOSAVE_EVERY: Final = timedelta(seconds=5)


@dataclass(frozen=True)
class Afternoon:
    """One tab: opened, left alone until it was idle for long, then typed into without running anything."""

    judge: Judge
    left_at: datetime
    back_at: datetime
    saved_by: datetime


def saved(server: Jupyter, page: Page, what: str) -> None:
    """Wait until JupyterLab has saved it by itself, and all else."""
    wait_for(lambda: what in (server.folder / "thesis.ipynb").read_text())
    expect(page.locator(".jp-mod-dirty")).to_have_count(0, timeout=PATIENCE_MS)


@pytest.fixture(scope="module")
def afternoon(tmp_path_factory: pytest.TempPathFactory, playwright: Playwright) -> Iterator[Afternoon]:
    folder = tmp_path_factory.mktemp("tabs")
    with contextlib.ExitStack() as stack:
        letting_go = stack.enter_context(contextlib.ExitStack())
        workstation = Workstation(folder / "workstation")
        stack.callback(workstation.end)
        server = Jupyter(workstation, "jupyter", LAB)
        letting_go.callback(server.end)
        server.set_up_lab("docmanager-extension/plugin", {"autosaveInterval": AUTOSAVE_EVERY.seconds})
        server.write_notebook("thesis.ipynb", ["1 + 1"])
        server.wait()
        browser = Browser(folder, stack, playwright)
        page = browser.open_notebook(server, "thesis.ipynb")
        run_first_cell(page, "Shift+Enter")
        saved(server, page, "text/plain")  # what the cell printed

        judge = by_probe(workstation)
        left_at = datetime.now(UTC)
        watch([judge], IDLE_AFTER + WEAK)
        back_at = datetime.now(UTC)
        page.locator(".jp-Notebook .jp-Cell .cm-content").last.click()
        page.keyboard.type("# What I found out today")
        saved(server, page, "# What I found out today")
        saved_by = datetime.now(UTC)
        watch([judge], timedelta(0), looks=2)
        yield Afternoon(judge, left_at, back_at, saved_by)


def test_an_open_and_forgotten_tab_is_idle_in_the_end(afternoon: Afternoon) -> None:
    judge = afternoon.judge

    assert judge.in_the_end(afternoon.left_at, WEAK, afternoon.back_at) == {IDLE}, judge.told()
    in_the_end = next(verdict for verdict in judge.verdicts if verdict.kind == IDLE)
    assert any("a Jupyter tab is open" in reason for reason in in_the_end.reasons)


def test_the_forgotten_tab_polls_all_the_time(afternoon: Afternoon) -> None:
    (server,) = afternoon.judge.reading().servers

    assert server.connections == 1
    assert server.server_active_at is not None
    assert afternoon.judge.reading().at - server.server_active_at < timedelta(seconds=20)


def test_typing_without_running_is_work_from_the_autosave_on(afternoon: Afternoon) -> None:
    judge = afternoon.judge

    assert judge.kinds(since=afternoon.saved_by) == {ACTIVE}, judge.told()
    assert "a notebook or file was last saved" in judge.verdicts[-1].headline
    (server,) = judge.reading().servers
    assert server.kernel_active_at is not None
    assert server.kernel_active_at < afternoon.back_at
