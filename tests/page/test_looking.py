"""How often the page asks, and what it says when no good answer comes."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta

import pytest
from playwright.sync_api import Page, expect

from tests.page.conftest import Phone
from tests.page.scripted_api import WORKSTATION, Answer, ScriptedApi, Status
from tests.page.statuses import asleep, awake, blocked, falling_asleep, instant, status, waking

pytestmark = pytest.mark.page

HIDE = "Object.defineProperty(document, 'visibilityState', { get: () => window.hiding ? 'hidden' : 'visible' })"


def look(phone: Phone, api: ScriptedApi, body: Status) -> Page:
    """Open with a clock that only the test moves."""
    api.status = body
    page = phone.tab()
    page.add_init_script(HIDE)
    now = datetime.now(UTC)
    page.clock.install(time=now)
    page.clock.pause_at(now + timedelta(seconds=1))
    page.goto(f"{api.url}&look")
    expect(page.locator("#word")).not_to_have_text("Looking…")
    return page


def show(page: Page, *, hidden: bool) -> None:
    page.evaluate(
        "hiding => { window.hiding = hiding; document.dispatchEvent(new Event('visibilitychange')); }", hidden
    )
    page.wait_for_timeout(60)


def nothing_for(page: Page, api: ScriptedApi, seconds: float) -> None:
    """Let time pass in which the page must not look."""
    before = api.looks
    page.clock.run_for(int(seconds * 1000))
    page.wait_for_timeout(50)
    assert api.looks == before


def one_look_within(phone: Phone, page: Page, api: ScriptedApi, seconds: float) -> None:
    """Let time pass in which the page must look once."""
    before = api.looks
    page.clock.run_for(int(seconds * 1000))
    one_more_look(phone, page, api, before)


def one_more_look(phone: Phone, page: Page, api: ScriptedApi, before: int) -> None:
    for _ in range(100):
        if api.looks > before:
            break
        page.wait_for_timeout(10)
    phone.drawn(page)
    assert api.looks == before + 1


def test_it_looks_often_while_something_moves_and_seldom_when_settled(phone: Phone, api: ScriptedApi) -> None:
    rates: list[tuple[Status, int]] = [
        (waking(), 2), (falling_asleep(), 2), (awake(waiting_for="Jupyter to answer"), 2), (awake(), 15),
        (asleep(), 15), (blocked(waiting_for="a person"), 15), (status("unknown"), 15),
    ]  # fmt: skip
    page = look(phone, api, asleep())
    for body, seconds in rates:
        phone.look_again(page, api, body)
        nothing_for(page, api, seconds - 0.5)
        one_look_within(phone, page, api, 0.6)


def test_a_page_left_open_looks_only_once_a_minute(phone: Phone, api: ScriptedApi) -> None:
    page = look(phone, api, asleep())
    before = api.looks
    page.clock.fast_forward(11 * 60_000)
    one_more_look(phone, page, api, before)
    nothing_for(page, api, 55)
    one_look_within(phone, page, api, 6)


def test_a_hidden_page_does_not_look_and_a_shown_one_looks_at_once(phone: Phone, api: ScriptedApi) -> None:
    page = look(phone, api, waking())
    show(page, hidden=True)
    nothing_for(page, api, 600)
    before = api.looks
    show(page, hidden=False)
    phone.drawn(page)
    assert api.looks == before + 1
    one_look_within(phone, page, api, 2.1)


def test_a_look_cut_short_by_hiding_is_not_taken_for_a_failure(phone: Phone, api: ScriptedApi) -> None:
    page = look(phone, api, awake())
    api.gates["GET"] = threading.Event()
    show(page, hidden=False)
    show(page, hidden=True)
    phone.drawn(page)
    expect(page.locator("#trouble-card")).to_be_hidden()


def test_a_press_answered_while_hidden_brings_no_looks(phone: Phone, api: ScriptedApi) -> None:
    page = look(phone, api, awake())
    api.gates["keep-awake"] = threading.Event()
    page.get_by_role("button", name="Keep awake 1 h").click()
    show(page, hidden=True)
    api.gates["keep-awake"].set()
    phone.drawn(page)
    nothing_for(page, api, 600)


def test_no_answer_is_said_and_tried_again_ever_less_often(phone: Phone, api: ScriptedApi) -> None:
    page = look(phone, api, awake())
    api.always["GET"] = Answer(0)
    page.evaluate("window.dispatchEvent(new Event('online'))")
    expect(page.locator("#trouble")).to_have_text("No answer from Autostop.")
    expect(page.locator("#trouble-next")).to_contain_text("Below is what was known at")
    expect(page.locator("#word")).to_have_text("Awake")
    phone.drawn(page)
    for seconds in (4, 8, 16):
        nothing_for(page, api, seconds - 0.5)
        one_look_within(phone, page, api, 0.6)

    del api.always["GET"]
    page.get_by_role("button", name="Try now").click()
    expect(page.locator("#trouble-card")).to_be_hidden()


def test_a_phone_without_network_is_told_so_and_recovers_by_itself(phone: Phone, api: ScriptedApi) -> None:
    page = look(phone, api, awake())
    phone.context.set_offline(True)
    show(page, hidden=False)
    expect(page.locator("#trouble")).to_have_text("This phone is offline.")
    phone.context.set_offline(False)
    expect(page.locator("#trouble-card")).to_be_hidden()


def test_an_error_is_shown_as_what_is_wrong_and_what_to_do(phone: Phone, api: ScriptedApi) -> None:
    errors = [
        (
            Answer(429, {"title": "too many requests", "detail": "Wait a minute."}),
            "too many requests",
            "Wait a minute.",
        ),
        (
            Answer(500, {"title": "the table did not answer", "detail": "Try later."}),
            "the table did not answer",
            "Try later.",
        ),
        (Answer(404, {"title": "no such call", "detail": "Update."}), "no such call", "Update."),
        (Answer(502, "<html>Bad gateway"), "The service failed (502).", "Trying again by itself."),
        (Answer(500, {"message": "Internal"}), "The service failed (500).", "Trying again by itself."),
        (Answer(200, "not json"), "The answer could not be read.", "Trying again by itself."),
    ]
    api.always["GET"] = Answer(0)
    page = look(phone, api, asleep())
    expect(page.locator("#word")).to_have_text("No contact")
    for answer, error, next_step in errors:
        api.always["GET"] = answer
        page.get_by_role("button", name="Try now").click()
        expect(page.locator("#trouble")).to_have_text(error)
        expect(page.locator("#trouble-next")).to_contain_text(next_step)
        expect(page.get_by_role("button")).to_have_text(["Try now"])


def test_a_throttled_page_waits_as_long_as_it_is_told(phone: Phone, api: ScriptedApi) -> None:
    api.always["GET"] = Answer(429, {"title": "slow down", "detail": "Wait."}, {"Retry-After": "40"})
    page = look(phone, api, asleep())
    nothing_for(page, api, 38)
    one_look_within(phone, page, api, 3)


def test_an_absurd_wait_is_cut(phone: Phone, api: ScriptedApi) -> None:
    api.always["GET"] = Answer(429, {"title": "slow down", "detail": "Wait."}, {"Retry-After": "99999999999"})
    page = look(phone, api, asleep())
    nothing_for(page, api, 200)
    one_look_within(phone, page, api, 101)


def test_what_is_known_is_not_sent_again_and_still_moves_on(phone: Phone, api: ScriptedApi) -> None:
    body = awake(keep_awake_until=instant(60))
    api.always["GET"] = Answer(200, body, {"ETag": 'W/"one"'})
    page = look(phone, api, body)
    api.always["GET"] = Answer(304, "")
    for left in ("in 30 min", "in 10 min"):
        page.clock.fast_forward((30 if "30" in left else 20) * 60_000)
        expect(page.locator("#plan")).to_contain_text(left)
    looks = [request for request in api.requests if request.path.endswith(WORKSTATION) and "/api/" in request.path]
    assert [request.headers.get("If-None-Match") for request in looks] == [None, *['W/"one"'] * (len(looks) - 1)]
    expect(page.locator("#trouble-card")).to_be_hidden()
    # What a press brings is no answer that has the tag.
    del api.always["GET"]
    page.get_by_role("button", name="Keep awake 1 h").click()
    phone.look_again(page, api)
    [after] = [request for request in api.requests[-1:] if request.method == "GET"]
    assert "If-None-Match" not in after.headers
