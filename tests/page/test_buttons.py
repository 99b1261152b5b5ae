"""The buttons: which are there, what a press does, and what is said while it is under way or refused."""

from __future__ import annotations

import json
import re
import threading
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from playwright.sync_api import expect

from tests.page.conftest import Phone
from tests.page.scripted_api import Answer, ScriptedApi, Status
from tests.page.statuses import PLACE, asleep, awake, blocked, falling_asleep, instant, status, stopping, waking

pytestmark = pytest.mark.page

LONGER, TELL = "Other time…", "Tell me when it is up"


def test_only_what_helps_and_is_allowed_is_offered(phone: Phone, api: ScriptedApi) -> None:
    offers: list[tuple[Status, list[str]]] = [
        (asleep(), ["Start"]),
        (falling_asleep(), ["Start again", "Keep awake 1 h"]),
        (falling_asleep(scopes=["status", "keep-awake"]), ["Keep awake 1 h"]),
        (falling_asleep(intent=asleep()["intent"] | {"by": "owner"}), ["Start again"]),
        (awake(keep_awake_for=5400.0), ["Keep awake 90 min", LONGER, "Stop"]),
        (awake(keep_awake_for=None), ["Keep awake", LONGER, "Stop"]),
        (waking(), ["Keep awake 1 h", LONGER, "Stop"]),
        (waking(intent=waking()["intent"] | {"tells": False}), [TELL, "Keep awake 1 h", LONGER, "Stop"]),
        (waking(intent=waking()["intent"] | {"tells": True}), ["Keep awake 1 h", LONGER, "Stop"]),
        (stopping(), ["Undo"]),
        (stopping(scopes=["status", "stop", "keep-awake"]), []),
        (awake(), ["Keep awake 1 h", LONGER, "Stop"]),
        (blocked(), ["Start", "Stop"]),
        (status("unknown"), ["Start", "Keep awake 1 h", LONGER, "Stop"]),
        (awake(scopes=["status", "keep-awake"]), ["Keep awake 1 h", LONGER]),
        (awake(keep_awake_until=instant(60)), ["Keep awake 1 h", LONGER, "Undo keep awake", "Stop"]),
        (awake(keep_awake_until=instant(-1)), ["Keep awake 1 h", LONGER, "Stop"]),
        (awake(keep_awake_until=instant(60), scopes=["status", "stop"]), ["Stop"]),
        (asleep(keep_awake_until=instant(60)), ["Start"]),
        (awake(scopes=["status", "start"]), []),
        (asleep(scopes=["status", "stop", "keep-awake"]), []),
        (status("unknown", scopes=["status", "stop"]), ["Stop"]),
    ]
    page = phone.look(api, asleep())
    for body, names in offers:
        phone.look_again(page, api, body)
        expect(page.get_by_role("button")).to_have_text(names)


def test_start_starts(phone: Phone, api: ScriptedApi) -> None:
    api.after["start"] = waking()
    page = phone.look(api, asleep())
    page.get_by_role("button", name="Start").tap()
    expect(page.locator("#word")).to_have_text("Waking")
    expect(page.locator("#reason")).to_have_text("Start is asked for.")
    assert api.presses == ["start"]


def test_who_waits_is_told_when_it_is_up(phone: Phone, api: ScriptedApi) -> None:
    untold, told = (waking(intent=waking()["intent"] | {"tells": tells}) for tells in (False, True))
    api.after["start"] = told
    page = phone.look(api, untold)
    page.get_by_role("button", name=TELL).tap()
    expect(page.locator("#reason")).to_contain_text("A notice will say that it is up")
    expect(page.get_by_role("button", name=TELL)).to_have_count(0)
    assert [json.loads(each.body) for each in api.requests if each.method == "POST"] == [{"tell": True}]


def test_keep_awake_shows_until_when(phone: Phone, api: ScriptedApi) -> None:
    api.after["keep-awake"] = {"keep_awake_until": instant(60)}
    page = phone.look(api, awake())
    page.get_by_role("button", name="Keep awake 1 h").tap()
    expect(page.locator("#plan")).to_contain_text("Kept awake until")
    assert api.presses == ["keep-awake"]


def test_it_is_kept_awake_for_longer(phone: Phone, api: ScriptedApi) -> None:
    page = phone.look(api, awake())
    for choice in ("Leave it as it is", "1 hour", "3 hours", "Until midnight"):
        page.get_by_role("button", name=LONGER).tap()
        page.get_by_role("button", name=choice).tap()
        expect(page.get_by_role("dialog")).to_be_hidden()
    expect(page.locator("#reason")).to_have_text("Keeping it awake is noted.")
    one, three, midnight = (json.loads(each.body)["seconds"] for each in api.requests if each.method == "POST")
    now = datetime.now(ZoneInfo("Europe/Berlin"))
    assert (one, three) == (3600, 3 * 3600)
    begins = now.replace(hour=0, minute=0, second=0) + timedelta(days=1)  # of a day that can have an hour more or less
    assert abs(begins.timestamp() - now.timestamp() - midnight) < 120


def test_a_promise_is_taken_back(phone: Phone, api: ScriptedApi) -> None:
    api.after["end-promise"] = {"keep_awake_until": instant(0)}
    page = phone.look(api, awake(keep_awake_until=instant(60)))
    page.get_by_role("button", name="Undo keep awake").tap()
    expect(page.locator("#reason")).to_have_text("It is kept awake no more.")
    expect(page.locator("#plan")).not_to_contain_text("Kept awake")
    expect(page.get_by_role("button", name="Undo keep awake")).to_be_hidden()
    assert api.presses == ["end-promise"]


def test_stop_asks_first_and_can_be_left(phone: Phone, api: ScriptedApi) -> None:
    page = phone.look(api, awake())
    for leave in ("Leave it running", "Escape", "beside"):
        page.get_by_role("button", name="Stop").tap()
        dialog = page.get_by_role("dialog", name="Stop lab?")
        expect(dialog).to_be_visible()
        expect(page.get_by_role("button", name="Leave it running")).to_be_focused()
        if leave == "Escape":
            page.keyboard.press("Escape")
        elif leave == "beside":
            page.touchscreen.tap(180, 30)
        else:
            page.get_by_role("button", name=leave).tap()
        expect(dialog).to_be_hidden()
    assert api.presses == []


def test_stop_confirmed_stops(phone: Phone, api: ScriptedApi) -> None:
    api.after["stop"] = falling_asleep()
    page = phone.look(api, awake())
    page.get_by_role("button", name="Stop").tap()
    page.get_by_role("button", name="Stop now").tap()
    expect(page.locator("#word")).to_have_text("Falling asleep")
    assert api.presses == ["stop"]


def test_a_stop_is_undone_with_the_promise_that_it_ended(phone: Phone, api: ScriptedApi) -> None:
    api.after = {"stop": stopping(), "start": awake(address=PLACE), "keep-awake": {"keep_awake_until": instant(60)}}
    page = phone.look(api, awake(keep_awake_until=instant(60)))
    page.get_by_role("button", name="Stop").tap()
    page.get_by_role("button", name="Stop now").tap()
    expect(page.locator("#word")).to_have_text("Stopping")
    expect(page.locator("#headline")).to_have_text(re.compile(r"It stops in [1-9]\d? s; until then you can undo it\.$"))
    page.get_by_role("button", name="Undo").tap()
    expect(page.locator("#reason")).to_have_text("Undone: it runs on.")
    expect(page.locator("#plan")).to_contain_text("Kept awake until")
    assert api.presses == ["stop", "start", "keep-awake"]
    [seconds] = [json.loads(each.body)["seconds"] for each in api.requests if each.body]
    assert 3500 < seconds <= 3600
    # A reload, or another tap on the link, is a start like any other again.
    assert page.evaluate("Object.keys(localStorage)") == []


def test_a_stop_that_is_undone_too_late_says_so(phone: Phone, api: ScriptedApi) -> None:
    api.after = {"start": waking(waiting_for="EC2 is still stopping the instance")}
    page = phone.look(api, stopping())
    page.get_by_role("button", name="Undo").tap()
    expect(page.locator("#reason")).to_have_text(
        "It was too late to undo: it is stopping, and starts again right after."
    )
    phone.look_again(page, api, stopping(undo_until=None, waiting_for="EC2 is stopping the instance"))
    expect(page.locator("#headline")).to_contain_text(
        "It is too late to undo: once it has stopped, it can start again."
    )
    expect(page.get_by_role("button")).to_have_text(["Start again"])


def test_the_question_goes_when_there_is_nothing_left_to_stop(phone: Phone, api: ScriptedApi) -> None:
    page = phone.look(api, awake())
    page.get_by_role("button", name="Stop").tap()
    api.status = asleep()
    page.evaluate("window.dispatchEvent(new Event('online'))")
    expect(page.get_by_role("dialog")).to_be_hidden()


def test_everything_works_from_the_keyboard(phone: Phone, api: ScriptedApi) -> None:
    api.after = {"start": waking(), "stop": asleep()}
    page = phone.look(api, asleep())
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="Start")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#word")).to_have_text("Waking")
    expect(page.locator("#state")).to_be_focused()  # the pressed button is gone: read on at the state
    for _ in range(3):
        page.keyboard.press("Tab")
    page.keyboard.press("Space")
    page.keyboard.press("Shift+Tab")
    expect(page.get_by_role("button", name="Stop now")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#word")).to_have_text("Asleep")
    assert api.presses == ["start", "stop"]


def test_while_a_request_is_under_way_no_other_is_made_and_the_reason_is_said(phone: Phone, api: ScriptedApi) -> None:
    api.gates["keep-awake"] = threading.Event()
    page = phone.look(api, awake())
    page.get_by_role("button", name="Keep awake 1 h").tap()
    for name in ("Keep awake 1 h", "Stop"):
        button = page.get_by_role("button", name=name)
        expect(button).to_be_disabled()
        expect(button).to_have_accessible_description("Asking to keep it awake…")
        button.tap(force=True)
    expect(page.get_by_role("dialog")).to_be_hidden()
    api.gates["keep-awake"].set()
    expect(page.locator("#reason")).to_have_text("Keeping it awake is noted.")
    expect(page.get_by_role("button", name="Stop")).to_be_enabled()
    assert api.presses == ["keep-awake"]


def test_a_look_that_is_overtaken_by_a_press_cannot_undo_it(phone: Phone, api: ScriptedApi) -> None:
    api.after["start"] = waking()
    page = phone.look(api, asleep())
    api.gates["GET"] = threading.Event()
    page.evaluate("window.dispatchEvent(new Event('online'))")
    page.get_by_role("button", name="Start").tap()
    expect(page.locator("#word")).to_have_text("Waking")
    api.answers["GET"] = [Answer(200, asleep())]
    api.gates["GET"].set()
    page.wait_for_timeout(100)
    expect(page.locator("#word")).to_have_text("Waking")


def test_a_refusal_is_shown_with_what_to_do(phone: Phone, api: ScriptedApi) -> None:
    page = phone.look(api, asleep())
    for code in (400, 403, 409, 429, 500):
        api.always["start"] = Answer(code, {"title": f"EC2 refuses <b>{code}", "detail": "Try it in the console."})
        page.get_by_role("button", name="Start").tap()
        expect(page.locator("#trouble")).to_have_text(f"EC2 refuses <b>{code}")
        expect(page.locator("#trouble-next")).to_have_text("Try it in the console.")
        expect(page.get_by_role("button", name="Start")).to_be_enabled()


def test_a_press_without_an_answer_says_that_pressing_again_is_safe(phone: Phone, api: ScriptedApi) -> None:
    page = phone.look(api, asleep())
    phone.context.set_offline(True)
    page.get_by_role("button", name="Start").tap()
    expect(page.locator("#trouble")).to_have_text("This phone is offline.")
    expect(page.locator("#trouble-next")).to_contain_text("Pressing again is safe.")
    phone.context.set_offline(False)
    expect(page.locator("#reason")).to_have_text("The network is back. Press again if you still want it.")
    expect(page.locator("#trouble-card")).to_be_hidden()
    assert api.presses == []


@pytest.mark.parametrize("width", [320, 1280])
def test_targets_are_large_and_nothing_scrolls_sideways(phone: Phone, api: ScriptedApi, width: int) -> None:
    long = "i" * 70 + " https://" + "x" * 80
    changes = {"headline": long, "name": long, "problems": [long], "steps": [{"at": instant(0), "text": long}]}
    page = phone.look(api, status("unknown", **changes, jupyter=awake()["jupyter"], address=PLACE))
    page.set_viewport_size({"width": width, "height": 740})
    page.get_by_role("button", name="Stop").click()
    targets = page.locator("button:visible, a:visible").all()
    assert len(targets) == 9
    for target in targets:
        box = target.bounding_box()
        assert box is not None
        assert min(box["width"], box["height"]) >= 48
    assert page.evaluate("document.documentElement.scrollWidth") <= width
