"""Opening a link may start the workstation: exactly when, and above all when not."""

from __future__ import annotations

import urllib.request
from collections.abc import Callable

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.page.conftest import Phone, unbox
from tests.page.scripted_api import SECRET, WORKSTATION, Answer, ScriptedApi, Status
from tests.page.statuses import asleep, awake, blocked, falling_asleep, instant, status, waking

pytestmark = pytest.mark.page

OF_A_NOTICE = ["status", "keep-awake"]
NAVIGATION_UNKNOWN = "performance.getEntriesByType = () => []"


@pytest.fixture(autouse=True)
def presses_have_effect(api: ScriptedApi) -> None:
    api.after = {"start": waking(), "stop": falling_asleep(waiting_for=None)}


def settle(phone: Phone, page: Page, api: ScriptedApi) -> None:
    """Wait for one more answer after the page has shown its first: what it starts by itself is asked for by then."""
    expect(page.locator("#checked")).to_be_visible()
    phone.look_again(page, api)


def stop(page: Page) -> None:
    page.get_by_role("button", name="Stop").click()
    page.get_by_role("button", name="Stop now").click()
    expect(page.locator("#word")).to_have_text("Falling asleep")


@pytest.mark.parametrize("found", [asleep(), falling_asleep()], ids=["asleep", "falling asleep"])
def test_opening_the_link_starts_a_sleeping_workstation_once(phone: Phone, api: ScriptedApi, found: Status) -> None:
    api.status = found
    page = phone.open(api.url)

    expect(page.locator("#word")).to_have_text("Waking")
    expect(page.locator("#reason")).to_have_text("Opening the link asked it to start.")
    settle(phone, page, api)
    assert api.presses == ["start"]
    assert page.url == api.url, "the secret stays in the address, for a bookmark"


@pytest.mark.parametrize(
    "found",
    [
        *(awake(), waking(), blocked(), status("unknown"), asleep(scopes=["status", "stop"]), asleep(scopes=[])),
        *(asleep(scopes=OF_A_NOTICE), falling_asleep(scopes=OF_A_NOTICE)),
    ],
    ids=["awake", "waking", "blocked", "unknown", "no start scope", "no scope", "a notice's", "a notice's, falling"],
)
def test_opening_starts_nothing_else(phone: Phone, api: ScriptedApi, found: Status) -> None:
    api.status = found
    page = phone.open(api.url)
    settle(phone, page, api)
    if "start" not in found["scopes"]:
        expect(page.get_by_role("button", name="Start")).to_be_hidden()
    assert api.presses == []


def test_a_link_that_says_look_only_looks(phone: Phone, api: ScriptedApi) -> None:
    page = phone.open(f"{api.url}&look")
    settle(phone, page, api)
    expect(page.locator("#reason")).to_have_text("Opened to look: nothing was started.")
    assert api.presses == []


def test_a_preview_that_runs_no_script_asks_the_api_nothing(browser: Browser, api: ScriptedApi) -> None:
    with urllib.request.urlopen(f"{api.origin}/w/{WORKSTATION}") as response:  # noqa: S310  (our own loopback server)
        assert b"Autostop" in response.read()
    quiet = unbox(browser, java_script_enabled=False)
    quiet.open(api.url).wait_for_timeout(50)
    quiet.context.close()
    asked = [request.path for request in api.requests if request.path != "/w/icon.png"]
    assert asked == [f"/w/{WORKSTATION}"] * 2


def test_a_reload_starts_nothing(phone: Phone, api: ScriptedApi) -> None:
    page = phone.open(api.url)
    expect(page.locator("#word")).to_have_text("Waking")
    api.status = asleep()
    page.reload()
    settle(phone, page, api)
    expect(page.locator("#reason")).to_have_text("Reloading or coming back starts nothing.")
    assert api.presses == ["start"]


def come_back(page: Page) -> None:
    page.evaluate("window.dispatchEvent(new PageTransitionEvent('pageshow', { persisted: true }))")
    expect(page.locator("#word")).to_have_text("Asleep")
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")


def reload_without_the_mark(page: Page) -> None:
    page.evaluate("history.replaceState(null, '')")
    page.reload()


@pytest.mark.parametrize(
    ("away", "revisit", "script"),
    [
        (None, Page.reload, NAVIGATION_UNKNOWN),
        (None, reload_without_the_mark, ""),
        ("/elsewhere", Page.go_back, ""),
        (None, come_back, ""),
    ],
    ids=["reload known by the mark alone", "reload without the mark", "back", "out of the cache or the background"],
)
def test_coming_back_to_the_page_starts_nothing(
    phone: Phone, api: ScriptedApi, away: str | None, revisit: Callable[[Page], object], script: str
) -> None:
    api.status = awake()
    phone.context.add_init_script(script)
    page = phone.open(api.url)
    settle(phone, page, api)
    if away is not None:
        page.goto(f"{api.origin}{away}")
    api.status = asleep()
    revisit(page)
    settle(phone, page, api)
    assert api.presses == []


def test_falling_asleep_under_an_open_page_is_left_alone(phone: Phone, api: ScriptedApi) -> None:
    api.status = awake()
    page = phone.open(api.url)
    settle(phone, page, api)
    api.status = falling_asleep()
    settle(phone, page, api)
    expect(page.locator("#word")).to_have_text("Falling asleep")
    assert api.presses == []


def test_after_stop_neither_a_reload_nor_the_link_nor_another_tab_starts_it(phone: Phone, api: ScriptedApi) -> None:
    api.status = awake()
    page = phone.open(api.url)
    stop(page)
    page.reload()
    settle(phone, page, api)
    page.goto(f"{api.origin}/elsewhere")
    page.goto(api.url)
    settle(phone, page, api)
    other = phone.open(api.url)
    settle(phone, other, api)
    expect(other.locator("#reason")).to_contain_text("Stop was pressed here at")
    assert api.presses == ["stop"]


def test_a_stop_whose_answer_got_lost_is_remembered_too(phone: Phone, api: ScriptedApi) -> None:
    api.status = awake()
    api.always["stop"] = Answer(0)
    page = phone.open(api.url)
    page.get_by_role("button", name="Stop").click()
    page.get_by_role("button", name="Stop now").click()
    expect(page.locator("#trouble-next")).to_contain_text("not known whether the request arrived")
    api.status = asleep()
    other = phone.open(api.url)
    settle(phone, other, api)
    assert "start" not in api.presses


def test_pressing_start_ends_the_memory_of_the_stop(phone: Phone, api: ScriptedApi) -> None:
    api.status = awake()
    page = phone.open(api.url)
    stop(page)
    page.get_by_role("button", name="Start").click()
    expect(page.locator("#word")).to_have_text("Waking")
    api.status = asleep()
    phone.open(api.url).locator("#word").get_by_text("Waking").wait_for()
    assert api.presses == ["stop", "start", "start"]


@pytest.mark.parametrize(
    ("minutes_ago", "starts"),
    [(-9, False), (-600, True), (9.5, False), (10.5, True)],
    ids=["clock set back", "clock set far back", "recent", "long ago"],
)
def test_a_stop_is_remembered_for_ten_minutes(phone: Phone, api: ScriptedApi, minutes_ago: float, starts: bool) -> None:
    page = phone.open(f"{api.origin}/elsewhere")
    stopped_at = instant(-minutes_ago)
    page.evaluate("entry => localStorage.setItem(...entry)", [f"autostop:stopped-at:{WORKSTATION}", stopped_at])
    page.goto(api.url)
    settle(phone, page, api)
    assert api.presses == (["start"] if starts else [])


def test_without_storage_a_reload_after_stop_still_starts_nothing(phone: Phone, api: ScriptedApi) -> None:
    api.status = awake()
    refuse = (
        "Object.defineProperty(window, 'localStorage', { get() { throw new DOMException('no', 'SecurityError'); } })"
    )
    phone.context.add_init_script(refuse)
    page = phone.open(api.url)
    stop(page)
    page.reload()
    settle(phone, page, api)
    assert api.presses == ["stop"]


@pytest.mark.parametrize(
    ("property_name", "before", "after", "event"),
    [
        ("prerendering", "true", "false", "prerenderingchange"),
        ("visibilityState", "'hidden'", "'visible'", "visibilitychange"),
    ],
    ids=["prerendered", "background tab"],
)
def test_a_page_that_nobody_sees_yet_asks_nothing(
    phone: Phone, api: ScriptedApi, property_name: str, before: str, after: str, event: str
) -> None:
    phone.context.add_init_script(
        f"let now = {before}; Object.defineProperty(document, '{property_name}', {{ get: () => now }});"
        f"window.seen = () => {{ now = {after}; document.dispatchEvent(new Event('{event}')); }};"
    )
    page = phone.open(api.url)
    page.wait_for_timeout(100)
    assert (api.looks, api.presses) == (0, [])
    page.evaluate("seen()")
    expect(page.locator("#word")).to_have_text("Waking")
    assert api.presses == ["start"]


@pytest.mark.parametrize(("seconds", "starts"), [(20, True), (70, False)], ids=["soon", "late"])
def test_the_wish_to_start_does_not_outlive_a_minute_without_network(
    phone: Phone, api: ScriptedApi, seconds: int, starts: bool
) -> None:
    api.always["GET"] = Answer(0)
    page = phone.tab()
    page.clock.install()
    page.goto(api.url)
    expect(page.locator("#word")).to_have_text("No contact")
    page.clock.fast_forward(seconds * 1000)
    page.wait_for_timeout(30)
    del api.always["GET"]
    page.evaluate("window.dispatchEvent(new Event('online'))")
    expect(page.locator("#word")).to_have_text("Waking" if starts else "Asleep")
    assert api.presses == (["start"] if starts else [])


def test_another_link_typed_over_the_first_is_read_but_starts_nothing(phone: Phone, api: ScriptedApi) -> None:
    page = phone.open(f"{api.origin}/w/{WORKSTATION}")
    expect(page.locator("#word")).to_have_text("No link")
    page.evaluate(f"location.hash = '{SECRET}'")
    settle(phone, page, api)
    assert api.presses == []
