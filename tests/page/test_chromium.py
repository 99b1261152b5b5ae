"""The browser of these tests is disturbed by no other test."""

import os
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from playwright.sync_api import Browser, Page, Playwright

from tests.chromium import BARE, FLAGS

CONNECTIONS = 6  # that Chromium opens to one address; who waits for one is who is disturbed


@contextmanager
def a_wire() -> Iterator[None]:
    """As a machine's that boots in another test: a network interface with an address."""
    name = f"tc{os.getpid()}"
    subprocess.run(["ip", "link", "add", name, "type", "veth", "peer", "name", f"{name}m"], check=True)
    try:
        subprocess.run(["ip", "address", "add", "198.51.100.0/31", "dev", name], check=True)
        subprocess.run(["ip", "link", "set", name, "up"], check=True)
        yield
    finally:
        subprocess.run(["ip", "link", "delete", name], check=True)


def ask(browser: Browser, url: str) -> Page:
    """A page that asks for what comes late, over one connection more than it may have; its title is what it got."""
    page = browser.new_page()
    page.goto(url)
    page.evaluate(f"""void Promise.all([...Array({CONNECTIONS + 1}).keys()].map((each) => fetch(`late?${{each}}`)))
        .then(() => "late", String).then((text) => {{ document.title = text }})""")
    return page


def test_a_wire_that_comes_ends_the_requests_of_another_browser_and_none_of_ours(
    browser: Browser, playwright: Playwright
) -> None:
    asked, late = threading.Semaphore(0), threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path.startswith("/late"):
                asked.release()
                late.wait(120)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"<!doctype html>")

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/"
        bare = playwright.chromium.launch(executable_path=BARE, args=FLAGS)
        pages = [ask(each, url) for each in (bare, browser)]
        assert all(asked.acquire(timeout=120) for _ in pages * CONNECTIONS)

        while not pages[0].title():
            with a_wire():
                pages[0].wait_for_timeout(100)
        late.set()

        pages[1].wait_for_function("document.title")
        assert [page.title() for page in pages] == ["TypeError: Failed to fetch", "late"]
        bare.close()
        server.shutdown()
