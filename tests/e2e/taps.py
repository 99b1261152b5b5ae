"""What its owner does with a finger on the deployed page, in a real browser of a phone's size."""

import re
from collections.abc import Callable
from contextlib import AbstractContextManager

from playwright.sync_api import Browser, Page, expect

from tests.page.conftest import unbox
from tests.page.test_looking import HIDE, show

MINUTES = 400_000  # milliseconds, of a busy machine
SETTLED = 16_000  # in which a page that is seen looks again


def tap_through_a_morning(
    browser: Browser, link: str, late: str, jupyterlab: Callable[[], str], protected: AbstractContextManager[None]
) -> None:
    """Wake it by the link, keep it awake and take that back, stop it and undo that, lose the network and find it.

    late: the link of a warning, which comes too late. jupyterlab: where it answers now. protected: from stops, by AWS.
    """
    phone = unbox(browser)
    phone.context.add_init_script(HIDE)
    page = phone.open(late)
    expect(page.locator("#word")).to_have_text("Asleep")
    assert pressable(page) == []
    page.close()

    page = phone.open(link)
    word, plan, reason = (page.locator(f"#{part}") for part in ("word", "plan", "reason"))
    expect(word).to_have_text("Waking")
    expect(page.locator("#parts [aria-current=step]")).to_be_visible()
    expect(word).to_have_text("Awake", timeout=MINUTES)
    expect(page.get_by_role("link", name="Open JupyterLab")).to_have_attribute("href", jupyterlab())

    page.get_by_role("button", name="Keep awake 1 h").dblclick()
    expect(plan).to_contain_text("Kept awake until")
    by_keyboard(page, "Undo keep awake")
    expect(reason).to_have_text("It is kept awake no more.")
    expect(plan).not_to_contain_text("Kept awake")

    page.get_by_role("button", name="Stop", exact=True).click()
    page.get_by_role("button", name="Stop now").click()
    # Where the machine is too busy for ten seconds, the same place says that it is too late, and wakes it again.
    page.locator("#undo:visible, #start:visible").click()
    expect(reason).to_have_text(re.compile("Undone: it runs on|too late to undo|Start is asked for"))
    expect(word).to_have_text("Awake", timeout=MINUTES)

    with protected:
        by_keyboard(page, "Stop")
        by_keyboard(page, "Stop now")
        expect(word).to_have_text("Blocked", timeout=MINUTES)
        expect(page.get_by_role("alert")).to_contain_text("its stop protection is on")
        page.get_by_role("button", name="Start").click()
        expect(word).to_have_text("Awake", timeout=MINUTES)

    show(page, hidden=True)
    asked = len(phone.sent)
    page.wait_for_timeout(SETTLED)
    assert len(phone.sent) == asked
    show(page, hidden=False)
    while len(phone.sent) == asked:
        page.wait_for_timeout(50)

    phone.context.set_offline(True)
    page.get_by_role("button", name="Keep awake 1 h").click()
    expect(page.locator("#trouble")).to_have_text("This phone is offline.")
    expect(page.locator("#trouble-next")).to_contain_text("Pressing again is safe.")
    phone.context.set_offline(False)
    expect(page.locator("#trouble-card")).to_be_hidden()
    assert not [text for text in phone.said if "uncaught" in text or "Content Security Policy" in text]
    phone.context.close()


def pressable(page: Page) -> list[str]:
    return [each.inner_text() for each in page.locator(".buttons button:visible").all()]


def by_keyboard(page: Page, name: str) -> None:
    """Go there by the tabulator, and press."""
    for _ in range(40):
        if page.evaluate("document.activeElement.innerText") == name:
            page.keyboard.press("Enter")
            return
        page.keyboard.press("Tab")
    raise AssertionError(f"no key gets to {name}")
