"""The file itself: small, alone, servable under the strict policy, and of use without script."""

from __future__ import annotations

import re
import struct
from html.parser import HTMLParser

import pytest
from playwright.sync_api import Browser, expect

from autostop.static_files import files_in
from tests.page.conftest import Phone, unbox
from tests.page.scripted_api import PAGE, WORKSTATION, ScriptedApi
from tests.page.statuses import awake

pytestmark = pytest.mark.page


class Elements(HTMLParser):
    """All start tags of a document, with their attributes."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))


def elements() -> list[tuple[str, dict[str, str | None]]]:
    parser = Elements()
    parser.feed(PAGE.read_text(encoding="utf-8"))
    return parser.seen


def test_the_page_is_small_and_the_rest_of_its_files_smaller() -> None:
    files = dict(files_in(PAGE.parent))
    page = files.pop("index.html")
    assert len(page.content) <= 60_000
    assert len(page.packed) <= 18_000
    assert sum(len(each.content) for each in files.values()) <= 10_000


def test_there_is_one_style_and_one_script_and_nothing_that_the_policy_would_forbid() -> None:
    tags = [tag for tag, _ in elements()]
    assert (tags.count("style"), tags.count("script")) == (1, 1)
    assert not {"img", "iframe", "form", "base", "object", "embed"} & set(tags)
    assert [each["href"] for tag, each in elements() if tag == "link"] == ["manifest.json", "icon.png", "icon.png"]
    for tag, attributes in elements():
        assert "style" not in attributes
        assert not [name for name in attributes if name.startswith("on")]
        assert not (tag == "script" and attributes)


def test_the_file_names_no_other_host() -> None:
    html = PAGE.read_text(encoding="utf-8")
    assert not re.findall(r"https?://(?!HOST/|\{api\}/|www\.w3\.org/2000/svg\")\w+", html)
    assert "url(" not in html
    assert "@import" not in html


def test_it_needs_two_requests_until_it_is_of_use(phone: Phone, api: ScriptedApi) -> None:
    page = phone.open(f"{api.url}&look")
    expect(page.locator("#checked")).to_be_visible()
    phone.drawn(page)
    needed = [request.path for request in api.requests if not request.path.endswith(("/icon.png", "/days"))]
    assert needed == [f"/w/{WORKSTATION}", f"/api/workstations/{WORKSTATION}"]
    assert len(api.requests) <= 4


def test_the_page_that_is_served_is_the_file_without_what_only_its_authors_read() -> None:
    served = files_in(PAGE.parent)["index.html"].content.decode()
    assert "<!--" not in served
    assert not [line for line in served.split("\n") if line.startswith((" ", "//"))]
    source = [line.strip() for line in PAGE.read_text(encoding="utf-8").split("\n")]
    assert set(served.split("\n")) <= set(source)


def test_without_script_the_page_says_what_to_do(browser: Browser, api: ScriptedApi) -> None:
    phone = unbox(browser, java_script_enabled=False)
    page = phone.open(api.url)
    expect(page.locator("noscript p")).to_be_visible()  # found by tag: a search by text passes over noscript
    expect(page.get_by_text('curl -X POST -H "Authorization: Bearer SECRET"')).to_be_visible()
    expect(page.locator("#page")).to_be_hidden()
    phone.context.close()


def test_a_script_that_breaks_leaves_the_way_by_hand(browser: Browser, api: ScriptedApi) -> None:
    phone = unbox(browser)
    phone.context.add_init_script("delete Document.prototype.getElementById")
    page = phone.open(api.url)
    expect(page.get_by_text("curl -X POST")).to_be_visible()
    phone.context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_words_stand_out_from_their_ground(browser: Browser, api: ScriptedApi, scheme: str) -> None:
    phone = unbox(browser, color_scheme=scheme)
    page = phone.open(f"{api.url}&look")
    expect(page.locator("#checked")).to_be_visible()
    for phase in ("awake", "waking", "falling-asleep", "asleep", "blocked", "unknown"):
        page.evaluate("phase => { document.documentElement.dataset.phase = phase }", phase)
        ratios = page.evaluate(CONTRAST)
        assert min(ratios.values()) >= 4.5, (phase, ratios)
    phone.context.close()


CONTRAST = """() => {
  const paint = Object.assign(document.createElement('canvas'), { width: 1, height: 1 }).getContext('2d');
  const light = (color) => {
    paint.fillStyle = color;
    paint.fillRect(0, 0, 1, 1);
    const [r, g, b] = [...paint.getImageData(0, 0, 1, 1).data].slice(0, 3).map((part) => part / 255)
      .map((part) => part <= 0.03928 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const probe = document.createElement('p');
  document.body.append(probe);
  const color = (value) => { probe.style.color = value; return light(getComputedStyle(probe).color); };
  const ratio = (one, other) => {
    const [dark, bright] = [color(one), color(other)].sort((a, b) => a - b);
    return (bright + 0.05) / (dark + 0.05);
  };
  const tint = 'color-mix(in srgb, var(--accent) 20%, var(--ground))';
  const answer = {
    word: ratio('var(--accent)', 'var(--ground)'),
    onTint: ratio('var(--soft)', tint),
    soft: ratio('var(--soft)', 'var(--card)'),
    button: ratio('var(--on-accent)', 'var(--action)'),
    danger: ratio('var(--on-accent)', 'var(--danger)'),
    warning: ratio('var(--warn)', 'var(--warn-ground)'),
  };
  probe.remove();
  return answer;
}"""


@pytest.mark.parametrize(("wish", "movement"), [("reduce", "none"), ("no-preference", "breathe")])
def test_nothing_moves_for_people_who_asked_for_that(
    browser: Browser, api: ScriptedApi, wish: str, movement: str
) -> None:
    phone = unbox(browser, reduced_motion=wish)
    page = phone.open(f"{api.url}&look")
    expect(page.locator("#checked")).to_be_visible()
    page.evaluate("document.documentElement.dataset.phase = 'waking'")
    assert page.locator("#sign").evaluate("e => getComputedStyle(e).animationName") == movement
    phone.context.close()


def test_on_a_home_screen_it_is_named_by_its_workstation_and_opens_the_address_as_it_stands(
    phone: Phone, api: ScriptedApi
) -> None:
    page = phone.look(api, awake())
    told = phone.context.new_cdp_session(page).send("Page.getAppManifest")
    assert (told["url"], told["errors"]) == (f"{api.origin}/w/manifest.json", [])
    assert "start_url" not in told["data"]
    assert "name" not in told["data"], "the page's own name is taken"
    assert page.url == f"{api.url}&look"
    for name in ("application-name", "apple-mobile-web-app-title"):
        expect(page.locator(f"meta[name={name}]")).to_have_attribute("content", "lab")
    icon = page.request.get(f"{api.origin}/w/icon.png")
    assert (icon.headers["content-type"], struct.unpack(">II", icon.body()[16:24])) == ("image/png", (512, 512))
