"""What the page makes of the very answers of a night that the product has lived through."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from importlib import resources

import pytest
from playwright.sync_api import Page, expect

from tests.page.conftest import LIGHTS, Phone
from tests.page.lived import live
from tests.page.scripted_api import Answer, ScriptedApi, Status

pytestmark = pytest.mark.page

FIRST_SCREEN = 700  # pixels of a phone, under its browser's bars
AXE = resources.files("axe_playwright_python") / "axe.min.js"
VIOLATIONS = """async () => (await axe.run({ resultTypes: ["violations"] })).violations
  .map(({ id, nodes }) => [id, nodes.map((node) => `${node.target} ${node.failureSummary}`)])"""


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Status], Status]:
    return live(tmp_path_factory.mktemp("world"))


@pytest.fixture
def states(lived: tuple[dict[str, Status], Status], api: ScriptedApi) -> dict[str, Status]:
    api.always["days"] = Answer(200, lived[1])
    return lived[0]


def shown(page: Page) -> list[str]:
    """Every text that stands by itself where a person sees it, without the folded details."""
    parts = "#page :is(h1, h2, p, li, a, button)"
    texts: list[str] = page.evaluate(
        """(parts) => [...document.querySelectorAll(parts)].filter((each) => each.checkVisibility()
        && !each.querySelector("p, li, button")).map((each) => each.innerText)""",
        parts,
    )
    return [text.strip() for text in texts if text.strip()]


def test_each_says_what_it_is_why_until_when_and_what_to_do(
    phone: Phone, api: ScriptedApi, states: dict[str, Status]
) -> None:
    assert {each["phase"] for each in states.values()} == {"awake", "waking", "falling-asleep", "asleep", "blocked"}
    page = phone.look(api, states["asleep"])
    for what, body in states.items():
        phone.look_again(page, api, body)
        expect(page.locator("#word")).not_to_have_text("Unknown")
        texts = shown(page)
        assert [text for text, times in Counter(texts).items() if times > 1] == [], what
        headline = page.locator("#headline").inner_text()
        assert not re.search(r"\b(i|vol|snap)-[0-9a-f]{8,}", f"{page.locator('#word').inner_text()} {headline}"), what
        assert headline.count(":") <= 2, what  # of a time of day, and of a sign with what it saw
        # What is server's own, by the owner's clock, is folded; what stands here is by the phone's.
        assert not [text for text in texts if re.search(r"\d\d:\d\d(:\d\d)? UTC", text)], what
        for card in ("#state", "#moving", "#plan", "#page > .buttons >> visible=true"):
            for part in page.locator(card).all():
                box = part.bounding_box()
                assert box is None or box["y"] + box["height"] <= FIRST_SCREEN, (what, card, box)


def test_axe_finds_nothing_in_any_of_them_and_none_scrolls_sideways(
    phone: Phone, api: ScriptedApi, states: dict[str, Status]
) -> None:
    page = phone.look(api, states["asleep"])
    page.evaluate(AXE.read_text(encoding="utf-8"))
    for summary in page.locator("summary").all():
        summary.click()
    for what, body in states.items():
        phone.look_again(page, api, body)
        for width, scheme in itertools.product((320, 390), LIGHTS):
            page.set_viewport_size({"width": width, "height": 740})
            page.emulate_media(color_scheme=scheme)
            assert page.evaluate(VIOLATIONS) == [], (what, width, scheme)
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), (what, width)
