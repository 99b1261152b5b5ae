"""Write pictures of the page in its states into build/page, to be looked at: `python -m tests.page.take_pictures`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from playwright.sync_api import Browser, sync_playwright

from tests.page import statuses
from tests.page.conftest import FLAGS, unbox
from tests.page.scripted_api import SECRET, WORKSTATION, Answer, Status, serving

INTO = Path("build") / "page"
SCHEMES: tuple[Literal["light"], Literal["dark"]] = ("light", "dark")


def states() -> dict[str, Status]:
    """The states worth a look, by file name."""
    return {
        "asleep": statuses.asleep(),
        "waking": statuses.waking(),
        "awake": statuses.awake(),
        "idle": statuses.idle(6, problems=["autostop:idle-after = 'abc' is not a duration: 30m is used"]),
        "kept": statuses.idle(6, keep_awake_until=statuses.instant(58)),
        "falling-asleep": statuses.falling_asleep(),
        "blocked": statuses.blocked(),
        "unknown": statuses.status("unknown", headline="EC2 did not answer for 3 minutes"),
    }


def draw(browser: Browser, scheme: Literal["light", "dark"]) -> None:
    """Every state once, opened to look, and the troubles."""
    for name, body in states().items():
        with serving(body) as api:
            phone = unbox(browser, color_scheme=scheme, device_scale_factor=2)
            page = phone.open(f"{api.url}&look")
            page.get_by_text("Checked at").wait_for()
            page.screenshot(path=INTO / f"{scheme}-{name}.png", full_page=True, animations="disabled")
            if name == "awake":
                page.get_by_text("Why?").click()
                page.screenshot(path=INTO / f"{scheme}-why.png", full_page=True, animations="disabled")
                page.get_by_role("button", name="Stop").click()
                page.screenshot(path=INTO / f"{scheme}-confirm.png", animations="disabled")
                page.get_by_role("button", name="Leave it running").click()
                api.always["GET"] = Answer(0)
                page.evaluate("window.dispatchEvent(new Event('online'))")
                page.get_by_text("No answer").wait_for()
                page.screenshot(path=INTO / f"{scheme}-no-answer.png", full_page=True, animations="disabled")
            phone.context.close()
    with serving(statuses.asleep()) as api:
        api.always["GET"] = Answer(403, {"error": "wrong", "next": "ask"})
        for name, fragment in {"no-link": "", "no-entry": f"#{SECRET}"}.items():
            phone = unbox(browser, color_scheme=scheme, device_scale_factor=2)
            page = phone.open(f"{api.origin}/w/{WORKSTATION}{fragment}")
            page.get_by_text("autostop link").wait_for()
            page.screenshot(path=INTO / f"{scheme}-{name}.png", full_page=True)
            phone.context.close()


def draw_without_script(browser: Browser) -> None:
    """What is left when no script runs."""
    with serving(statuses.asleep()) as api:
        phone = unbox(browser, java_script_enabled=False)
        page = phone.open(api.url)
        page.get_by_text("curl").wait_for(state="visible")
        page.screenshot(path=INTO / "noscript.png", full_page=True)
        phone.context.close()


if __name__ == "__main__":
    INTO.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=FLAGS)
        for each in SCHEMES:
            draw(chromium, each)
        draw_without_script(chromium)
        chromium.close()
