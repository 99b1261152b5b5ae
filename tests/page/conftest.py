"""A phone-sized browser before a scripted API; every test also checks that the page broke nothing on its way."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Playwright, Request, ViewportSize, expect

from tests.chromium import CHROMIUM
from tests.page.scripted_api import SECRET, ScriptedApi, serving
from tests.page.statuses import asleep

ONE_TASK_LATER = """new Promise((done) => {
  const channel = new MessageChannel();
  channel.port1.onmessage = done;
  channel.port2.postMessage(0);
})"""
Light = Literal["light", "dark"]
LIGHTS: tuple[Light, ...] = ("light", "dark")
PHONE = ViewportSize(width=360, height=740)
# A busy machine takes long to draw; what never comes fails all the same.
PATIENCE_MS = 120_000
expect.set_options(timeout=PATIENCE_MS)


@dataclass(slots=True)
class Phone:
    """A browser's profile: its tabs share their storage, and what they send and say is kept."""

    context: BrowserContext
    sent: list[str] = field(default_factory=list)  # addresses asked for
    said: list[str] = field(default_factory=list)  # console messages and uncaught errors
    pending: list[Request] = field(default_factory=list)  # calls that have no answer yet

    def open(self, url: str) -> Page:
        """Go to the link in a new tab, as a tap on it does."""
        page = self.tab()
        page.goto(url)
        return page

    def tab(self) -> Page:
        """An empty tab."""
        page = self.context.new_page()
        page.set_default_timeout(PATIENCE_MS)
        return page

    def look(self, api: ScriptedApi, body: Any) -> Page:
        """Open the link only to look, with this answer waiting."""
        api.status = body
        page = self.open(f"{api.url}&look")
        expect(page.locator("#checked")).to_be_visible()
        return page

    def look_again(self, page: Page, api: ScriptedApi, body: Any = None) -> None:
        """Have the page look at once, at this answer if there is one, and wait until it has drawn what it got."""
        api.status = api.status if body is None else body
        looks = api.looks
        for _ in range(200):
            # Again and again: while a call is under way the page rightly begins no other.
            page.evaluate("window.dispatchEvent(new Event('online'))")
            page.wait_for_timeout(10)
            if api.looks > looks:
                break
        else:
            raise AssertionError("the page looks no more")
        self.drawn(page)

    def drawn(self, page: Page) -> None:
        """Wait until every call has its answer and the page has acted on it: it does so before a later task."""
        while self.pending:
            page.wait_for_timeout(5)
        page.evaluate(ONE_TASK_LATER)


@pytest.fixture(scope="session")
def browser(playwright: Playwright) -> Iterator[Browser]:
    browser = playwright.chromium.launch(executable_path=CHROMIUM)
    yield browser
    browser.close()


def unbox(browser: Browser, **changes: Any) -> Phone:
    """A new phone in Berlin, as it comes out of its box."""
    options = {"viewport": PHONE, "is_mobile": True, "has_touch": True, "device_scale_factor": 1}
    # Still, unless a test is about movement: drawing it without a GPU takes most of the machine.
    place = {"locale": "en-GB", "timezone_id": "Europe/Berlin", "reduced_motion": "reduce"}
    phone = Phone(browser.new_context(**{**options, **place, **changes}))

    def began(request: Request) -> None:
        phone.sent.append(request.url)
        phone.pending.append(request)

    def ended(request: Request) -> None:
        phone.pending.remove(request)

    phone.context.on("request", began)
    phone.context.on("requestfinished", ended)
    phone.context.on("requestfailed", ended)
    phone.context.on("console", lambda message: phone.said.append(message.text))
    phone.context.on("weberror", lambda error: phone.said.append(f"uncaught: {error.error}"))
    return phone


@pytest.fixture
def phone(browser: Browser, api: ScriptedApi) -> Iterator[Phone]:
    phone = unbox(browser)
    yield phone
    phone.context.close()
    assert not [text for text in phone.said if "uncaught" in text or "Content Security Policy" in text]
    assert not [url for url in phone.sent if not url.startswith(api.origin)], "only our own host is asked"
    assert not [text for text in phone.said + [url.split("#")[0] for url in phone.sent] if SECRET in text]
    for request in api.requests:
        carried = {name: value for name, value in request.headers.items() if name != "Authorization"}
        assert SECRET not in f"{request.path} {carried} {request.body!r}", "the secret goes into one header only"


@pytest.fixture
def api() -> Iterator[ScriptedApi]:
    with serving(asleep()) as api:
        yield api
