"""The page once in WebKit, which every browser on an iPhone is: what it shares with Chromium is tested there."""

from __future__ import annotations

import json
import os
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from autostop_local.process import free_port
from tests.page.scripted_api import ScriptedApi
from tests.page.statuses import PLACE, asleep, awake, instant, stopping, waking

pytestmark = pytest.mark.page

PATIENCE_SECONDS = 120
[BROWSER] = Path("/usr/lib").glob("*/webkit2gtk-4.*/MiniBrowser")


@dataclass
class WebKit:
    """A session of WebKitWebDriver (W3C, WebDriver)."""

    session: str

    def call(self, method: str, path: str, body: object = None) -> Any:
        content = None if body is None else json.dumps(body).encode()
        asked = urllib.request.Request(f"{self.session}{path}", method=method, data=content)  # noqa: S310
        with urllib.request.urlopen(asked, timeout=PATIENCE_SECONDS) as answer:  # noqa: S310
            return json.load(answer)["value"]

    def run(self, script: str) -> Any:
        return self.call("POST", "/execute/sync", {"script": f"return {script}", "args": []})

    def click(self, id_: str) -> None:
        """Once it stands still: the driver presses where it was a moment ago."""
        places = [""]

        def stands_still() -> bool:
            places.append(self.run(f"JSON.stringify(document.getElementById('{id_}').getBoundingClientRect())"))
            return places[-1] == places[-2]

        wait_for(stands_still, f"{id_} stands still")
        [element] = self.call("POST", "/element", {"using": "css selector", "value": f"#{id_}"}).values()
        self.call("POST", f"/element/{element}/click", {})

    def wait(self, id_: str, text: str) -> None:
        wait_for(lambda: text in self.run(f"document.getElementById('{id_}').innerText"), f"{id_} says {text}")


def wait_for(holds: Callable[[], bool], what: str) -> None:
    until = time.monotonic() + PATIENCE_SECONDS
    while not holds():
        assert time.monotonic() < until, what
        time.sleep(0.1)


def is_up(url: str) -> bool:
    try:
        return bool(WebKit(url).call("GET", "/status")["ready"])
    except OSError:
        return False


@pytest.fixture
def webkit() -> Iterator[WebKit]:
    read, write = os.pipe()
    screen = subprocess.Popen(
        ["/usr/bin/Xvfb", "-displayfd", str(write), "-nolisten", "tcp"], pass_fds=[write], stderr=subprocess.DEVNULL
    )
    display = f":{os.read(read, 10).decode().strip()}"
    port = free_port()
    driver = subprocess.Popen(["/usr/bin/WebKitWebDriver", f"--port={port}"], env=os.environ | {"DISPLAY": display})
    url = f"http://127.0.0.1:{port}"
    wait_for(lambda: is_up(url), "WebKitWebDriver answers")
    options = {"webkitgtk:browserOptions": {"binary": str(BROWSER), "args": ["--automation"]}}
    made = WebKit(url).call("POST", "/session", {"capabilities": {"alwaysMatch": options}})
    browser = WebKit(f"{url}/session/{made['sessionId']}")
    yield browser
    browser.call("DELETE", "")
    for process in (driver, screen):
        process.terminate()
        process.wait(PATIENCE_SECONDS)
    os.close(read)
    os.close(write)


def test_a_tap_wakes_it_and_it_is_kept_awake_and_a_stop_undone(webkit: WebKit, api: ScriptedApi) -> None:
    api.after = {
        "start": waking(),
        "keep-awake": {"keep_awake_until": instant(60)},
        "stop": stopping(undo_until=instant(5)),
    }
    webkit.call("POST", "/url", {"url": api.url})
    webkit.wait("word", "Waking")
    assert webkit.run("parseFloat(getComputedStyle(document.getElementById('word')).fontSize)") >= 44
    assert webkit.run("location.href") == api.url

    api.status = awake()
    webkit.wait("jupyter", "Open JupyterLab")
    webkit.click("keep-awake")
    webkit.wait("plan", "Kept awake until")
    api.after["start"] = awake(address=PLACE)
    webkit.click("stop")
    webkit.click("confirm-stop")
    webkit.wait("word", "Stopping")
    webkit.click("undo")
    webkit.wait("reason", "Undone: it runs on.")
    assert api.presses == ["start", "keep-awake", "stop", "start", "keep-awake"]

    api.status = asleep()
    webkit.call("POST", "/refresh", {})
    webkit.wait("reason", "Reloading or coming back starts nothing.")
    assert api.presses[5:] == []
