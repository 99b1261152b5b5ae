"""What is played while traces are recorded: real people's programs, in real time, on a stage of their own."""

from collections.abc import Callable, Sequence
from typing import Final, TypeAlias

from jupyter_client.blocking.client import BlockingKernelClient
from playwright.sync_api import Page, sync_playwright

from tests.person.logins import Sshd
from tests.person.notebooks import LAB, Jupyter
from tests.person.tabs import Browser
from tests.probe.jupyter_servers import wait_for
from tests.traces.stage import MINUTES, Stage

Scene: TypeAlias = Callable[[Stage], None]

# Ready to give way to whatever else runs here.
_TRAINS = "import os, time; os.nice(19); begun = time.time()\nwhile time.time() - begun < {seconds}: pass"
_THREAD = """import threading, time
def work():
    begun = time.time()
    while time.time() - begun < {seconds}:
        until = time.process_time() + 0.1
        while time.process_time() < until: pass
        time.sleep(0.9)
threading.Thread(target=work).start()"""


def tab_left_open(stage: Stage) -> None:
    """A notebook in a real tab: a cell, a look at it for four minutes, then the visible tab is forgotten."""
    server = _lab(stage, ["1 + 1"])
    browser = Browser(stage.folder, stage.stack, stage.stack.enter_context(sync_playwright()))
    with stage.works("works in a notebook"):
        page = browser.open_notebook(server, "notebook.ipynb")
        while stage.minute < 4:
            page.keyboard.press("Shift+Enter")
            page.wait_for_timeout(15_000)
    _leave_open(stage, page)


def types_without_running(stage: Stage) -> None:
    """Somebody types into a notebook in a real tab for five minutes and runs nothing; it is saved every minute."""
    server = _lab(stage, ["# Notes"], autosave_seconds=60)
    browser = Browser(stage.folder, stage.stack, stage.stack.enter_context(sync_playwright()))
    with stage.works("types into a notebook"):
        page = browser.open_notebook(server, "notebook.ipynb")
        page.keyboard.press("Enter")
        while stage.minute < 7:
            page.keyboard.type(" and so on")
            page.wait_for_timeout(12_000)
        page.wait_for_timeout(60_000)
    _leave_open(stage, page)


def training_shown_as_idle(stage: Stage) -> None:
    """A cell computes for ten minutes; the laptop sleeps 125 s and wakes, and Jupyter may say `idle` from then on."""
    server = _lab(stage, [_TRAINS.format(seconds=600)])
    browser = Browser(stage.folder, stage.stack, stage.stack.enter_context(sync_playwright()))
    with stage.works("a cell trains"):
        page = browser.open_notebook(server, "notebook.ipynb")
        page.keyboard.press("Control+Enter")
        wait_for(lambda: "busy" in server.states().values(), lambda: str(server.states()))
        ends = stage.minute + 10
        browser.sleep(125)
        page.wait_for_timeout((ends - stage.minute) * 60_000)
    page.close()


def laptop_asleep(stage: Stage) -> None:
    """After three minutes the laptop sleeps with its tab open, and wakes again and again for fifteen seconds."""
    server = _lab(stage, ["1 + 1"])
    browser = Browser(stage.folder, stage.stack, stage.stack.enter_context(sync_playwright()))
    with stage.works("works in a notebook"):
        page = browser.open_notebook(server, "notebook.ipynb")
        page.keyboard.press("Shift+Enter")
        page.wait_for_timeout(30_000)
        page.keyboard.press("Control+S")
    woke: list[float] = []
    while stage.minute < MINUTES - 3:
        browser.sleep(135)
        woke.append(stage.minute)
        page.wait_for_timeout(15_000)
    stage.excuse(woke[2], "a reconnect counts as use twice, and one so soon after the work looks like work")


def silent_cell(stage: Stage) -> None:
    """A cell sleeps for seven minutes with nobody connected, then nothing."""
    client = _kernel(stage)
    with stage.works("a silent cell"):
        client.execute("import time; time.sleep(420)", reply=True, timeout=600)


def thread_after_the_cell(stage: Stage) -> None:
    """A thread computes a tenth of a core for seven minutes after its cell has ended: the kernel says `idle`."""
    client = _kernel(stage)
    with stage.works("a thread works"):
        client.execute(_THREAD.format(seconds=420), reply=True, timeout=60)
        stage.wait_until(stage.minute + 7)


def two_servers_one_busy(stage: Stage) -> None:
    """Two servers: an idle kernel in one, a silent cell of six minutes in the other."""
    _kernel(stage, "first")
    client = _kernel(stage, "second")
    with stage.works("a silent cell in the second server"):
        client.execute("import time; time.sleep(360)", reply=True, timeout=600)


def kernel_killed(stage: Stage) -> None:
    """A kernel is killed two minutes into its cell, as for lack of memory; nobody is connected."""
    client = _kernel(stage)
    with stage.works("a cell runs"):
        client.execute("import time; time.sleep(3600)")
        stage.wait_until(stage.minute + 2)
        stage.workstation.kill("ipykernel_launcher")


def types_in_a_login(stage: Stage) -> None:
    """Keys in a shell over SSH, one every 25 seconds for six minutes; then only the connection is kept alive."""
    sshd = Sshd(stage.workstation)
    with stage.works("types in a shell"):
        login = sshd.login("-o", "ServerAliveInterval=5")
        stage.stack.callback(login.end)
        while stage.minute < 6:
            login.type("x")
            stage.wait_until(stage.minute + 25 / 60)


def top_left_running(stage: Stage) -> None:
    """`top` is left running in a login."""
    sshd = Sshd(stage.workstation)
    with stage.works("works in a shell"):
        login = sshd.login()
        stage.stack.callback(login.end)
        login.enter("ls")
        login.type("top\r")


def tmux_job_after_logout(stage: Stage) -> None:
    """A silent job of seven minutes in tmux, with its owner logged out."""
    sshd = Sshd(stage.workstation)
    with stage.works("a job in tmux"):
        login = sshd.login()
        stage.letting_go.callback(login.end)
        # A socket of its own: the folder of tmux's usual one is shared with this machine.
        login.enter("tmux -S socket new-session -d 'sleep 420'")
        login.leave()
        stage.wait_until(stage.minute + 7)


def lock_held(stage: Stage) -> None:
    """A script without a terminal holds the keep-awake lock for six minutes."""
    sshd = Sshd(stage.workstation)
    with stage.works("a script holds the keep-awake lock"):
        sshd.run("setsid nohup flock ~/.autostop-keep-awake sleep 360 >/dev/null 2>&1 </dev/null &")
        stage.wait_until(stage.minute + 6)


def _lab(stage: Stage, cells: Sequence[str], autosave_seconds: int = 120) -> Jupyter:
    server = Jupyter(stage.workstation, "jupyter", LAB)
    stage.letting_go.callback(server.end)
    server.set_up_lab("docmanager-extension/plugin", {"autosaveInterval": autosave_seconds})
    server.write_notebook("notebook.ipynb", cells)
    server.wait()
    return server


def _kernel(stage: Stage, name: str = "jupyter") -> BlockingKernelClient:
    server = Jupyter(stage.workstation, name)
    stage.letting_go.callback(server.end)
    server.wait()
    return server.start_idle_kernel()


def _leave_open(stage: Stage, page: Page) -> None:
    """Nobody touches it any more; what the tab does by itself goes on."""
    page.wait_for_timeout((MINUTES - stage.minute) * 60_000)


SCENES: Final[tuple[Scene, ...]] = (
    tab_left_open, types_without_running, training_shown_as_idle, laptop_asleep, silent_cell, thread_after_the_cell,
    two_servers_one_busy, kernel_killed, types_in_a_login, top_left_running, tmux_job_after_logout, lock_held,
)  # fmt: skip
