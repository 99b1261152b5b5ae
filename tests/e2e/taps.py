"""What its owner does with a finger on the deployed page, in a real browser of a phone's size."""

import re
from collections.abc import Callable

from playwright.sync_api import Browser, expect

from tests.page.conftest import unbox

MINUTES = 400_000  # milliseconds, of a busy machine


def tap_through_a_morning(browser: Browser, link: str, jupyterlab: Callable[[], str]) -> None:
    """Wake it by the link, keep it awake and take that back, stop it and undo that, lose the network and find it.

    jupyterlab: where it answers now.
    """
    phone = unbox(browser)
    page = phone.open(link)
    word, plan, reason = (page.locator(f"#{part}") for part in ("word", "plan", "reason"))
    expect(word).to_have_text("Waking")
    expect(page.locator("#parts [aria-current=step]")).to_be_visible()
    expect(word).to_have_text("Awake", timeout=MINUTES)
    expect(page.get_by_role("link", name="Open JupyterLab")).to_have_attribute("href", jupyterlab())

    page.get_by_role("button", name="Keep awake 1 h").dblclick()
    expect(plan).to_contain_text("Kept awake until")
    page.get_by_role("button", name="Undo keep awake").click()
    expect(reason).to_have_text("It is kept awake no more.")
    expect(plan).not_to_contain_text("Kept awake")

    page.get_by_role("button", name="Stop", exact=True).click()
    page.get_by_role("button", name="Stop now").click()
    # Where the machine is too busy for ten seconds, the same place says that it is too late, and wakes it again.
    page.locator("#undo:visible, #start:visible").click()
    expect(reason).to_have_text(re.compile("Undone: it runs on|too late to undo|Start is asked for"))
    expect(word).to_have_text("Awake", timeout=MINUTES)

    phone.context.set_offline(True)
    page.get_by_role("button", name="Keep awake 1 h").click()
    expect(page.locator("#trouble")).to_have_text("This phone is offline.")
    expect(page.locator("#trouble-next")).to_contain_text("Pressing again is safe.")
    phone.context.set_offline(False)
    expect(page.locator("#trouble-card")).to_be_hidden()
    assert not [text for text in phone.said if "uncaught" in text or "Content Security Policy" in text]
    phone.context.close()
