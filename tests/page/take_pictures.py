"""Write the README's pictures of the page: `make pictures`.

The template is deployed into the cloud on this machine, a workstation works, is idle and is shelved there; the pictures
show what the deployed page says of it.
"""

import time
from pathlib import Path
from tempfile import TemporaryDirectory

from playwright.sync_api import Browser, sync_playwright

from autostop_local import night, notebook
from autostop_local.desk import desk
from tests.page.conftest import FLAGS, unbox

INTO = Path("docs") / "pictures"
SCREEN = {"width": 360, "height": 640}
# Short enough to wait for.
SETTINGS = {"IdleAfter": "1m", "Grace": "5s", "WarnBefore": "0", "WeakSignals": "off", "DoubtFor": "off"}
# A cell that is silent after some seconds: a machine whose processor is at work is not asked about its kernels.
WORK = """
import time
until = time.time() + 5
while time.time() < until:
    sum(range(10_000))
time.sleep(40)
"""


def take(browser: Browser, link: str, name: str) -> None:
    """One picture of a phone's screen, opened only to look. One dot for a pixel: the page's ground compresses badly."""
    phone = unbox(browser, timezone_id="UTC", viewport=SCREEN)
    page = phone.open(f"{link}&look")
    page.get_by_text("Checked at").wait_for()
    page.screenshot(path=INTO / f"{name}.png", animations="disabled")
    phone.context.close()


def is_busy_kernel_seen(owner: night.Phone, until: float) -> bool:
    """Whether the page tells of the cell that runs. Raises NightError after `until`."""
    night.demand(time.monotonic() < until, "no sweep saw the cell that runs")
    return "busy kernel" in str(owner.status()["verdict"])


def main() -> None:
    """Both pictures, of one workstation."""
    INTO.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory() as directory, desk(Path(directory), say=print, settings=SETTINGS) as whole:
        instance = night.launch(whole, "lab")
        night.wait_for_jupyter(whole, instance, print)
        owner = night.adopt(whole, instance)
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path="/usr/bin/chromium-headless-shell", args=FLAGS)
            night.wake(owner, print)
            night.wait_for_phase(owner, "awake", 60, print)
            work = notebook.open_notebook(whole.machines.server(instance), "training.ipynb")
            work.begin(WORK)
            until = time.monotonic() + 60
            night.sweep_while(whole, instance, lambda: not is_busy_kernel_seen(owner, until), print)
            take(browser, owner.link, "awake")
            night.sweep_until_wanted(whole, owner, "shelve", 300, print)
            night.wait_for_phase(owner, "asleep", 180, print)
            take(browser, owner.link, "asleep")
            browser.close()


if __name__ == "__main__":
    main()
