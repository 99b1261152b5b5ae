"""A real browser of the tests' own, which can fall asleep as a laptop does."""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from playwright.sync_api import Page, Playwright, expect

from tests.chromium import CHROMIUM
from tests.person.notebooks import Jupyter
from tests.probe.jupyter_servers import TOKEN, wait_for

_NEVER_RUN = "[ ]:"
PATIENCE_MS = 180_000  # of a busy machine, in which JupyterLab draws and its kernel starts


class Browser:
    """A Chromium in a process group of its own, with Playwright at its side."""

    def __init__(self, folder: Path, stack: contextlib.ExitStack, playwright: Playwright) -> None:
        log = stack.enter_context((folder / "chromium.log").open("wb"))
        profile = folder / "profile"
        self._process = subprocess.Popen(
            # Should the tests be killed, it dies with them, frozen or not.
            ["setpriv", "--pdeathsig=KILL", CHROMIUM, "--remote-debugging-port=0", f"--user-data-dir={profile}"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        stack.callback(self._end)
        port = profile / "DevToolsActivePort"
        wait_for(lambda: port.exists() and port.read_text().count("\n") > 0, (folder / "chromium.log").read_text)
        browser = playwright.chromium.connect_over_cdp(f"http://127.0.0.1:{port.read_text().splitlines()[0]}")
        stack.callback(browser.close)
        self._context = browser.contexts[0]
        self._context.set_default_timeout(PATIENCE_MS)

    def open_notebook(self, server: Jupyter, name: str) -> Page:
        """A tab of JupyterLab with this notebook, its kernel connected. Playwright keeps every tab visible."""
        page = self._context.new_page()
        page.goto(f"http://127.0.0.1:{server.port}/lab/tree/{name}?token={TOKEN}")
        cell = page.locator(".jp-Notebook .jp-Cell .cm-content").first
        expect(cell).to_be_visible(timeout=PATIENCE_MS)
        expect(page.get_by_role("button", name="Python 3 (ipykernel) | Idle")).to_be_visible(timeout=PATIENCE_MS)
        cell.click()
        return page

    def sleep(self, seconds: float) -> None:
        """What a laptop's lid does: nothing of it runs for so long, and then all goes on."""
        with self._frozen():
            time.sleep(seconds)

    @contextlib.contextmanager
    def _frozen(self) -> Iterator[None]:
        os.killpg(self._process.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.killpg(self._process.pid, signal.SIGCONT)

    def _end(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(60)


def run_first_cell(page: Page, keys: str) -> None:
    """By these keys, and again: while JupyterLab draws it may heed none. A person sees that, and presses once more."""
    cell = page.locator(".jp-Notebook .jp-Cell").first
    prompt = cell.locator(".jp-InputPrompt")
    while prompt.inner_text() == _NEVER_RUN:
        cell.locator(".cm-content").click()
        page.keyboard.press(keys)
        with contextlib.suppress(AssertionError):
            expect(prompt).not_to_have_text(_NEVER_RUN, timeout=10_000)
