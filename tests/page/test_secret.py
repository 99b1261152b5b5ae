"""The secret goes to our own origin, in one header, and nowhere else (the fixture `phone` checks every test)."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.page.conftest import Phone
from tests.page.scripted_api import PAGE, SECRET, WORKSTATION, Answer, ScriptedApi
from tests.page.statuses import awake

pytestmark = pytest.mark.page


def test_every_call_carries_the_secret_as_bearer_and_no_referrer_or_cookie(phone: Phone, api: ScriptedApi) -> None:
    phone.context.add_cookies([{"name": "c", "value": "1", "url": api.origin}])
    page = phone.open(api.url)
    expect(page.locator("#reason")).to_have_text("Opening the link asked it to start.")

    calls = [request for request in api.requests if "/api/" in request.path]
    assert {request.path for request in calls} == {
        f"/api/workstations/{WORKSTATION}",
        f"/api/workstations/{WORKSTATION}/days",
        f"/api/workstations/{WORKSTATION}/start",
    }
    for request in calls:
        assert request.headers["Authorization"] == f"Bearer {SECRET}"
        assert not {"Referer", "Cookie"} & set(request.headers)
        assert request.headers.get("Cache-Control") == "no-cache"


def test_the_secret_is_neither_in_the_document_nor_in_the_title_nor_stored(phone: Phone, api: ScriptedApi) -> None:
    api.status = awake()
    page = phone.open(api.url)
    page.get_by_role("button", name="Stop").click()
    page.get_by_role("button", name="Stop now").click()
    expect(page.locator("#reason")).to_have_text("Stop is asked for.")

    kept = page.evaluate(
        "JSON.stringify([document.documentElement.outerHTML, document.title, {...localStorage}, {...sessionStorage},"
        " history.state, document.cookie, window.name])"
    )
    assert SECRET not in kept


def test_a_link_whose_hash_sign_a_messenger_changed_opens_all_the_same(phone: Phone, api: ScriptedApi) -> None:
    api.status = awake()
    page = phone.open(f"{api.origin}/w/{WORKSTATION}%23{SECRET}")
    expect(page.locator("#word")).to_have_text("Awake")
    assert page.url == api.url
    # Whoever sent it has told the secret once: our own host alone, which logs no path of others' making.
    assert phone.sent.pop(0).endswith(f"%23{SECRET}")
    del api.requests[0]


def test_a_path_that_looks_like_another_host_still_asks_our_own(phone: Phone, api: ScriptedApi) -> None:
    page = phone.open(f"{api.origin}//evil.example/w/{WORKSTATION}#{SECRET}&look")
    expect(page.locator("#word")).to_have_text("Asleep")
    assert f"{api.origin}//evil.example/api/workstations/{WORKSTATION}" in phone.sent


def test_a_redirect_is_not_followed_with_the_secret(phone: Phone, api: ScriptedApi) -> None:
    api.always["GET"] = Answer(302, "", {"Location": "/elsewhere"})
    page = phone.open(api.url)
    expect(page.locator("#word")).to_have_text("No contact")
    assert not [request for request in api.requests if request.path == "/elsewhere"]


@pytest.mark.parametrize("fragment", ["", "#&look", "#two words", "#schön"])
def test_without_a_whole_secret_nothing_is_asked_and_the_way_to_a_link_is_told(
    phone: Phone, api: ScriptedApi, fragment: str
) -> None:
    page = phone.open(f"{api.origin}/w/{WORKSTATION}{fragment}")
    expect(page.locator("#headline")).to_contain_text("The secret is missing")
    expect(page.locator("#command")).to_have_text(f"autostop link {WORKSTATION}")
    assert api.looks == 0


def test_an_address_without_a_workstation_says_so(phone: Phone, api: ScriptedApi) -> None:
    page = phone.open(f"{api.origin}/w/something#{SECRET}")
    expect(page.locator("#headline")).to_have_text("This address names no workstation.")
    assert api.looks == 0


def test_a_wrong_secret_gets_one_sentence_and_is_not_tried_again(phone: Phone, api: ScriptedApi) -> None:
    api.always["GET"] = Answer(403, {"title": "this link opens nothing", "detail": "make a new one"})
    page = phone.tab()
    page.clock.install()
    page.goto(api.url)
    expect(page.locator("#headline")).to_have_text(
        "This link does not open this workstation: it is wrong, expired or withdrawn."
    )
    page.clock.fast_forward(600_000)
    page.evaluate("window.dispatchEvent(new Event('online'))")
    page.wait_for_timeout(50)
    assert api.looks == 1
    assert page.get_by_role("button").count() == 0


def test_a_link_withdrawn_while_open_hides_what_it_showed(phone: Phone, api: ScriptedApi) -> None:
    api.status = awake()
    page = phone.open(api.url)
    expect(page.locator("#word")).to_have_text("Awake")
    api.always["GET"] = Answer(403, {"title": "no", "detail": "no"})
    page.evaluate("window.dispatchEvent(new Event('online'))")
    expect(page.locator("#word")).to_have_text("No entry")
    expect(page.get_by_role("link")).to_have_count(0)
    expect(page.locator("#jupyter")).not_to_have_attribute("href", "https://203.0.113.9:8888/lab")
    expect(page.get_by_text("cores in use")).to_have_count(0)


def test_the_file_writes_no_markup_and_logs_nothing() -> None:
    html = PAGE.read_text(encoding="utf-8")
    for word in ("innerHTML", "outerHTML", "insertAdjacent", "document.write", "eval(", "console.", "window.confirm"):
        assert word not in html
