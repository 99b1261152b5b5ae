"""Write the pictures of the page: `make pictures`. They show what it makes of the answers of days lived through."""

import itertools
import re
import struct
import zlib
from collections import Counter
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from playwright.sync_api import Browser, ViewportSize, sync_playwright

from tests.chromium import CHROMIUM
from tests.page.conftest import LIGHTS, Light, unbox
from tests.page.lived import live
from tests.page.scripted_api import Answer, ScriptedApi, Status, serving

INTO = Path("docs") / "pictures"
SCREEN = ViewportSize(width=360, height=640)
MOST_COLOURS = 64
SIGNATURE = b"\x89PNG\r\n\x1a\n"


def take(browser: Browser, api: ScriptedApi, body: Status, light: Light) -> bytes:
    """One picture of a phone's screen, by the clock of the answer. With more contrast, for the ground is flat then."""
    phone = unbox(browser, timezone_id="UTC", viewport=SCREEN, color_scheme=light, contrast="more")
    page = phone.tab()
    page.clock.set_fixed_time(datetime.fromisoformat(body["now"]))
    # What an opening says is gone with the first phase that is another.
    api.status = body | {"phase": "unknown"}
    page.goto(f"{api.url}&look")
    page.get_by_text("Checked at").wait_for()
    phone.look_again(page, api, body)
    picture = page.screenshot(animations="disabled")
    phone.context.close()
    return picture


def with_few_colours(png: bytes) -> bytes:
    """The same picture with the colours that most of it has: a third of the bytes, and nobody sees it.

    Source: PNG (W3C), of 8 bits a colour without transparency in; with a palette of 8 bits out.
    """
    chunks, at = dict[bytes, bytes](), len(SIGNATURE)
    while at < len(png):
        length, kind = struct.unpack(">I4s", png[at : at + 8])
        chunks[kind] = chunks.get(kind, b"") + png[at + 8 : at + 8 + length]
        at += length + 12
    width, height = struct.unpack(">II", chunks[b"IHDR"][:8])
    rows = _rows(zlib.decompress(chunks[b"IDAT"]), width * 3, height)
    pixels = [list(zip(row[::3], row[1::3], row[2::3], strict=True)) for row in rows]
    counted = Counter(itertools.chain.from_iterable(pixels))
    palette = [colour for colour, _ in counted.most_common(MOST_COLOURS)]
    nearest = {
        one: min(
            range(len(palette)), key=lambda each: sum((a - b) ** 2 for a, b in zip(one, palette[each], strict=True))
        )
        for one in counted
    }
    lines = b"".join(b"\0" + bytes(nearest[pixel] for pixel in row) for row in pixels)
    made = {
        b"IHDR": struct.pack(">II5B", width, height, 8, 3, 0, 0, 0),
        b"PLTE": bytes(itertools.chain.from_iterable(palette)),
        b"IDAT": zlib.compress(lines, 9),
        b"IEND": b"",
    }
    return SIGNATURE + b"".join(
        struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        for kind, content in made.items()
    )


def _rows(data: bytes, stride: int, height: int) -> list[bytearray]:
    """Each row without its filter: None, Sub, Up, Average, Paeth."""
    above, rows = bytearray(stride), list[bytearray]()
    for start in range(0, height * (stride + 1), stride + 1):
        kind, row = data[start], bytearray(data[start + 1 : start + 1 + stride])
        for at in range(stride if kind else 0):
            left, up, corner = (row[at - 3], above[at], above[at - 3]) if at > 2 else (0, above[at], 0)
            near = min((left, up, corner), key=lambda each: abs(left + up - corner - each))
            row[at] = (row[at] + (left, up, (left + up) // 2, near)[kind - 1]) & 255
        rows.append(row)
        above = row
    return rows


def main() -> None:
    """Of each state two, by day and by night; none stays of a state that is no more."""
    INTO.mkdir(parents=True, exist_ok=True)
    for picture in INTO.iterdir():
        picture.unlink()
    with TemporaryDirectory() as folder, sync_playwright() as playwright:
        states, days = live(Path(folder))
        browser = playwright.chromium.launch(executable_path=CHROMIUM)
        with serving(states["asleep"]) as api:
            api.always["days"] = Answer(200, days)
            for (what, body), light in itertools.product(states.items(), LIGHTS):
                name = re.sub(r"\W+", "-", what)
                (INTO / f"{name}-{light}.png").write_bytes(with_few_colours(take(browser, api, body, light)))
        browser.close()


if __name__ == "__main__":
    main()
