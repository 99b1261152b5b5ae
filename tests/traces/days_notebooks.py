"""Days with Jupyter: tabs left open, silent cells, laptops that sleep, kernels that die."""

from tests.traces.day import Day
from tests.traces.scenarios import scenario


@scenario()
def tab_left_open(day: Day) -> None:
    """A morning in a notebook, then the tab stays open and visible until the next morning."""
    jupyter = day.jupyter()
    day.tab(jupyter, "08:00", "+1 08:00")
    day.works_in_notebook(jupyter, "08:05", "12:10")


@scenario()
def tab_left_open_hidden(day: Day) -> None:
    """The tab of the morning's notebook is hidden behind others, and stays connected."""
    jupyter = day.jupyter()
    day.tab(jupyter, "08:00", "+1 08:00", visible=False)
    day.works_in_notebook(jupyter, "08:05", "11:47")


@scenario(hours=16)
def launcher_polls_all_night(day: Day) -> None:
    """A tab with nothing but the launcher polls the server all night; no kernel was ever started."""
    jupyter = day.jupyter(kernels=0)
    day.label("08:00", "08:20", "looks at files")
    day.tab(jupyter, "08:00", "+1 00:00", kernels=0)


@scenario(hours=12)
def reads_with_open_tab(day: Day) -> None:
    """Somebody reads a long notebook twice, 48 and 52 minutes without a key: only the open tab tells of it."""
    jupyter = day.jupyter()
    day.tab(jupyter, "08:00", "20:00")
    day.works_in_notebook(jupyter, "08:05", "09:00")
    day.label("09:00", "09:48", "reads")
    day.works_in_notebook(jupyter, "09:48", "10:30")
    day.label("10:30", "11:22", "reads")
    day.works_in_notebook(jupyter, "11:22", "11:40")


@scenario(hours=12)
def lunch_shorter_than_the_window(day: Day) -> None:
    """Breaks of 20, 26 and 27 minutes with everything closed: shorter than the window, so nothing may stop."""
    jupyter = day.jupyter()
    for first, end in (("08:05", "09:30"), ("09:50", "11:00"), ("11:26", "12:00"), ("12:27", "14:00")):
        day.tab(jupyter, first, end)
        day.works_in_notebook(jupyter, first, end)


@scenario()
def silent_cell_of_three_hours(day: Day) -> None:
    """A cell waits three hours for a job elsewhere: no output, no processor, the tab is closed. Then idle."""
    jupyter = day.jupyter()
    day.tab(jupyter, "08:00", "09:12")
    day.works_in_notebook(jupyter, "08:10", "09:10")
    day.cell(jupyter, "09:10", "12:17", "a cell waits for a remote job")


@scenario()
def silent_training_cell(day: Day) -> None:
    """A training cell of three hours without output on one of 4 cores; the laptop is closed meanwhile."""
    jupyter = day.jupyter()
    day.tab(jupyter, "08:00", "09:40")
    day.works_in_notebook(jupyter, "08:10", "09:31")
    day.cell(jupyter, "09:31", "12:40", "a cell trains", cores=1.0)


@scenario(hours=14)
def training_shown_as_idle(day: Day) -> None:
    """A laptop slept while a cell trained; since it woke, the server says `idle` though a core is busy."""
    jupyter = day.jupyter()
    day.tab(jupyter, "08:00", "09:02")
    day.works_in_notebook(jupyter, "08:10", "08:30")
    day.cell(jupyter, "08:30", "12:05", "a cell trains", cores=1.0)
    jupyter.set(day.at("09:02"), day.at("12:05"), busy=0)
    day.tab(jupyter, "09:10", "13:10")
    jupyter.touch("kernel", day.at("09:10"))


@scenario(hours=14)
def light_cell_shown_as_idle(day: Day) -> None:
    """The same with a cell that computes only a little: 0.1 cores, below the processor's threshold."""
    jupyter = day.jupyter()
    day.tab(jupyter, "08:00", "09:02")
    day.works_in_notebook(jupyter, "08:10", "08:30")
    day.cell(jupyter, "08:30", "12:05", "a cell crawls", cores=0.1)
    jupyter.set(day.at("09:02"), day.at("12:05"), busy=0)
    jupyter.touch("kernel", day.at("09:10"))


@scenario(hours=14)
def thread_after_the_cell(day: Day) -> None:
    """A thread works on after its cell has ended: the kernel says `idle` and ages, 0.15 cores are in use."""
    jupyter = day.jupyter()
    day.works_in_notebook(jupyter, "08:10", "08:40")
    day.label("08:40", "11:25", "a thread works")
    day.load("08:40", "11:25", cores=0.15, seconds=9.0)


@scenario(hours=12)
def types_without_running(day: Day) -> None:
    """Two hours of writing text into a notebook; no cell is run, so only the autosave moves."""
    jupyter = day.jupyter()
    day.tab(jupyter, "08:00", "11:05", visible=False)
    day.works_in_notebook(jupyter, "08:05", "08:30")
    day.edits_notebook(jupyter, "08:30", "11:00", "writes text into a notebook")


@scenario(hours=14)
def light_cells_now_and_then(day: Day) -> None:
    """A light cell every 10 to 25 minutes, nothing saved, in a hidden tab that stays connected all the while."""
    jupyter = day.jupyter()
    day.tab(jupyter, "08:00", "14:05", visible=False)
    begin, end = day.label("08:05", "14:00", "runs light cells")
    while begin < end:
        jupyter.touch("kernel", begin)
        begin += day.chance.randint(10, 25)
    jupyter.touch("kernel", end)


@scenario(hours=12)
def short_cells_not_saved(day: Day) -> None:
    """Small cells in one of two open notebooks that may not be written: nothing but the kernel moves."""
    jupyter = day.jupyter(kernels=2)
    day.tab(jupyter, "08:00", "11:10", visible=False, kernels=2)
    jupyter.set(0, day.minutes, together=0)
    day.works_in_notebook(
        jupyter, "08:05", "11:05", saves=False, heavy=False, what="runs short cells in a read-only notebook"
    )


@scenario(hours=12)
def console_in_use(day: Day) -> None:
    """Small questions in JupyterLab's console for two hours: one kernel, no file, hardly any processor."""
    jupyter = day.jupyter()
    day.tab(jupyter, "08:00", "10:12")
    day.works_in_notebook(jupyter, "08:05", "10:10", saves=False, heavy=False, what="asks small questions in a console")


@scenario(hours=12)
def kernel_used_from_a_laptops_editor(day: Day) -> None:
    """An editor on the laptop keeps the notebook there and uses a kernel here: no tab polls, and no file is saved."""
    jupyter = day.jupyter()
    day.tab(jupyter, "08:00", "10:32", visible=False)
    day.works_in_notebook(jupyter, "08:05", "10:30", saves=False, heavy=False, what="runs short cells from an editor")


@scenario()
def laptop_asleep_wakes_and_reconnects(day: Day) -> None:
    """A laptop sleeps with two notebooks open, and wakes every 25 minutes to fetch mail: each time all kernels move."""
    jupyter = day.jupyter(kernels=2)
    day.tab(jupyter, "08:00", "16:32", kernels=2)
    day.works_in_notebook(jupyter, "08:05", "16:30")
    _asleep_with_wake_ups(day, "16:32", every=25)
    day.excuse("16:30", "17:22", "a reconnect counts as use twice")


@scenario()
def laptop_asleep_reconnects_unseen(day: Day) -> None:
    """The same on the other foot: whenever the machine is asked, the short connection has ended already."""
    day.sweep_first = 0
    jupyter = day.jupyter(kernels=2)
    day.tab(jupyter, "08:00", "15:02", kernels=2)
    day.works_in_notebook(jupyter, "08:05", "15:00")
    _asleep_with_wake_ups(day, "15:02", every=25)
    day.excuse("15:00", "15:52", "a reconnect counts as use twice")


@scenario()
def laptop_asleep_wakes_hourly(day: Day) -> None:
    """The same with one notebook and a laptop that wakes about every hour."""
    jupyter = day.jupyter()
    day.tab(jupyter, "08:00", "13:02")
    day.works_in_notebook(jupyter, "08:05", "13:00")
    _asleep_with_wake_ups(day, "13:02", every=57)


def _asleep_with_wake_ups(day: Day, asleep_from: str, every: int) -> None:
    """The connection is counted two minutes longer; a wake-up of a minute brings it and moves every kernel."""
    jupyter = day.servers[0]
    kernels = jupyter.levels["kernels"][0]
    begin = day.at(asleep_from)
    jupyter.set(begin, begin + 2, connections=kernels, together=0)
    for minute in range(begin + every, day.minutes - 3, every):
        jupyter.touch("kernel", minute)
        jupyter.touch("server", minute, minute + 1)
        jupyter.set(minute, minute + 3, connections=kernels, together=1)


@scenario()
def page_reloaded_once(day: Day) -> None:
    """An hour after the work a browser restores its tabs by itself: the kernels move once, and that is all."""
    jupyter = day.jupyter(kernels=2)
    day.works_in_notebook(jupyter, "08:05", "12:00")
    day.tab(jupyter, "12:20", "12:21", kernels=2)
    jupyter.touch("kernel", day.at("12:20"))
    day.excuse("12:00", "12:20", "a reconnect counts as use twice")


@scenario()
def kernel_died(day: Day) -> None:
    """The kernel is killed for lack of memory with no tab open: restarted, it is `starting` for ever."""
    jupyter = day.jupyter()
    day.works_in_notebook(jupyter, "08:05", "09:00")
    day.cell(jupyter, "09:00", "11:13", "a cell fills the memory", cores=1.4)
    jupyter.set(day.at("11:13"), day.minutes, starting=1)


@scenario()
def starting_for_ever(day: Day) -> None:
    """A script starts a kernel over the API and never connects; nobody works."""
    jupyter = day.jupyter(kernels=2)
    jupyter.set(0, day.minutes, starting=1)
    day.works_in_notebook(jupyter, "08:05", "08:50")


@scenario(settings={"ignore-kernels-older-than": "4h"})
def input_left_waiting(day: Day) -> None:
    """A cell waits in input() for somebody who left; the owner wants kernels busy for 4 hours ignored."""
    jupyter = day.jupyter()
    day.tab(jupyter, "08:00", "12:00", visible=False)
    day.works_in_notebook(jupyter, "08:05", "10:00")
    begin = day.at("10:00")
    jupyter.touch("kernel", begin)
    jupyter.touch("busy", begin)
    jupyter.set(begin, day.minutes, busy=1)
    day.excuse("10:00", "14:00", "a busy kernel counts for 4 hours")


@scenario(hours=16, settings={"ignore-kernels-older-than": "2h"})
def widgets_poll(day: Day) -> None:
    """A dashboard in a forgotten tab sends its kernel a message every ten seconds; believed for 2 hours."""
    jupyter = day.jupyter()
    day.tab(jupyter, "08:00", "+1 00:00")
    day.works_in_notebook(jupyter, "08:05", "11:31")
    jupyter.keep_touching("kernel", day.at("11:31"), day.minutes)
    day.load("11:31", day.minutes, seconds=0.4)
    day.excuse("11:31", "13:31", "a kernel that a page asks all the time counts for 2 hours")


@scenario(hours=14)
def two_servers_one_busy(day: Day) -> None:
    """Two people's servers: one has nothing but an idle kernel, in the other a silent cell runs."""
    day.jupyter(port=8888)
    other = day.jupyter(port=8889)
    day.works_in_notebook(other, "08:05", "08:25")
    day.cell(other, "08:25", "11:50", "a silent cell in the second server")


@scenario(hours=14)
def fifty_kernels(day: Day) -> None:
    """A course's server with fifty kernels; in one of them a silent cell runs until noon."""
    jupyter = day.jupyter(kernels=50)
    day.cell(jupyter, "08:20", "12:00", "a silent cell in one of fifty kernels")
    day.label("08:00", "08:20", "opens notebooks")


@scenario(hours=14)
def kernel_shut_down_after_work(day: Day) -> None:
    """The notebook is closed and its kernel shut down: processor seconds fall, and nothing is there any more."""
    jupyter = day.jupyter()
    day.tab(jupyter, "08:00", "11:02")
    day.works_in_notebook(jupyter, "08:05", "11:00")
    day.label("11:00", "11:03", "shuts the kernel down")
    jupyter.set(day.at("11:02"), day.minutes, kernels=0, connections=0)


@scenario(hours=10, settings={"probe": "https"})
def asked_over_https(day: Day) -> None:
    """Asked over TLS, nothing of /proc is seen: typing shows by the notebook, a cell by its kernel."""
    day.network_only = True
    jupyter = day.jupyter()
    day.tab(jupyter, "08:00", "11:31", visible=False)
    day.works_in_notebook(jupyter, "08:05", "08:30", heavy=False)
    day.cell(jupyter, "08:30", "10:10", "a silent cell")
    day.edits_notebook(jupyter, "10:10", "11:30", "writes text into a notebook")


@scenario(hours=62, begins="2026-03-13T15:00:00+00:00")
def weekend(day: Day) -> None:
    """Friday afternoon's notebook stays open behind other tabs until Monday morning."""
    jupyter = day.jupyter()
    day.tab(jupyter, 0, day.minutes, visible=False)
    day.works_in_notebook(jupyter, "15:02", "17:15")
