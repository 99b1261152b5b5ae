"""Days with SSH, terminals, tmux and remote editors."""

from tests.traces.day import Day
from tests.traces.scenarios import scenario


@scenario(hours=14)
def edits_in_terminal(day: Day) -> None:
    """Four hours in vim over SSH: no processor, no job; only the keystrokes show it."""
    day.login("08:00", "12:04")
    day.types("08:03", "12:02", "edits in vim", pause=7)


@scenario(hours=14)
def ssh_left_open(day: Day) -> None:
    """A session with a kept-alive connection is left at its prompt."""
    day.login("08:00", "+1 00:00")
    day.types("08:03", "10:20", "works in a shell")


@scenario(hours=14)
def ssh_of_a_dead_laptop(day: Day) -> None:
    """A laptop's battery dies: session, process and socket stay for hours."""
    day.login("08:00", "20:40")
    day.types("08:03", "09:25", "works in a shell")


@scenario(hours=12)
def reads_in_terminal(day: Day) -> None:
    """Somebody reads logs in `less` for 50 minutes, with one key at the start."""
    day.login("08:00", "10:20")
    day.types("08:03", "08:50", "works in a shell")
    day.label("08:50", "09:40", "reads a log")
    day.types("09:40", "10:15", "works in a shell")


@scenario()
def top_left_running(day: Day) -> None:
    """`top` runs on in a Jupyter terminal all night: its output never ends, nobody looks."""
    jupyter = day.jupyter(kernels=0)
    jupyter.set(0, day.minutes, terminals=1)
    day.types("08:03", "09:30", "works in Jupyter's terminal")
    jupyter.touch("terminal", *range(5, 90, 3))
    jupyter.keep_touching("terminal", day.at("09:30"), day.minutes)
    day.load("09:30", day.minutes, cores=0.01)


@scenario(hours=16)
def tmux_job_after_logout(day: Day) -> None:
    """A job in tmux waits on the network for five hours after its owner logged out: no processor at all."""
    day.login("08:00", "08:25")
    day.machine.set(day.at("08:05"), day.minutes, muxes=1)
    day.types("08:03", "08:24", "starts a job in tmux")
    day.job("08:24", "13:38", "rclone", "a job in tmux")


@scenario()
def tmux_left_empty(day: Day) -> None:
    """A tmux server with an idle shell stays behind for ever."""
    day.login("08:00", "10:01")
    day.machine.set(day.at("08:05"), day.minutes, muxes=1)
    day.types("08:03", "10:00", "works in tmux", pause=4)


@scenario(hours=14)
def job_in_jupyter_terminal(day: Day) -> None:
    """A script in Jupyter's terminal polls a queue, silently, for three hours."""
    jupyter = day.jupyter(kernels=0)
    jupyter.set(0, day.minutes, terminals=1)
    day.types("08:03", "08:33", "works in Jupyter's terminal")
    jupyter.touch("terminal", *range(3, 34, 2))
    day.job("08:33", "11:46", "wait-for-queue", "a script polls a queue")


@scenario(hours=12)
def thinks_at_a_prompt(day: Day) -> None:
    """Somebody thinks for an hour and a half about what psql has shown, and goes on."""
    day.login("08:00", "11:02")
    day.types("08:03", "08:40", "asks a database")
    day.waits("08:40", "10:10", "prompt", "psql", "thinks about an answer")
    day.types("10:10", "11:00", "asks a database")


@scenario(hours=12)
def shows_a_dashboard(day: Day) -> None:
    """Streamlit runs in tmux, and its owner shows it to others for two hours."""
    day.machine.set(0, day.minutes, muxes=1)
    day.types("08:03", "08:30", "works on a dashboard")
    day.waits("08:30", "10:30", "server", "streamlit", "shows a dashboard")


@scenario(hours=12)
def compiles_over_ssh(day: Day) -> None:
    """A compilation on 3 cores after the last key, then the connection is closed."""
    day.login("08:00", "10:31")
    day.types("08:03", "08:55", "edits", pause=3)
    day.job("08:55", "10:30", "make", "compiles", cores=3.0)


@scenario(hours=14)
def download(day: Day) -> None:
    """A download of three hours started with nohup: 4 MB/s, 0.08 cores, nothing on any terminal."""
    day.login("08:00", "08:21")
    day.types("08:03", "08:20", "starts a download")
    day.orphan("08:20", "11:22", "downloads", cores=0.08, network=4_000_000.0)


@scenario(hours=14)
def upload_to_s3(day: Day) -> None:
    """A results folder goes to S3 for two hours by a service: 900 kB/s, hardly any processor."""
    day.login("08:00", "08:31")
    day.types("08:03", "08:30", "starts an upload")
    day.orphan("08:30", "10:45", "uploads", cores=0.05, network=900_000.0)


@scenario(hours=14, vcpus=16)
def one_core_of_sixteen(day: Day) -> None:
    """A job that nothing owns keeps 0.7 of 16 cores busy for four hours: 4.4 %."""
    day.login("08:00", "08:31")
    day.types("08:03", "08:30", "starts a job with nohup")
    day.orphan("08:30", "12:40", "a job of one thread", cores=0.7)


@scenario(hours=14, vcpus=96)
def two_cores_of_ninety_six(day: Day) -> None:
    """A job of two threads on a large machine: 2 %."""
    day.login("08:00", "08:31")
    day.types("08:03", "08:30", "starts a job with nohup")
    day.orphan("08:30", "13:10", "a job of two threads", cores=2.0)


@scenario(hours=14)
def bursts_every_twenty_minutes(day: Day) -> None:
    """A service of the owner computes 4 minutes in every 20 on two cores; between, nothing."""
    day.login("08:00", "08:31")
    day.types("08:03", "08:30", "starts a service")
    day.label("08:30", "13:04", "a service works in bursts")
    for minute in range(30, 305, 20):
        day.load(minute, minute + 4, cores=2.0)


@scenario(hours=24)
def cron_jobs_of_a_minute(day: Day) -> None:
    """Every half hour cron rotates logs for a minute on 0.6 cores: that is nobody's work."""
    day.login("08:00", "09:00")
    day.types("08:03", "09:00", "works in a shell")
    for minute in range(60, day.minutes, 30):
        day.load(minute + 7, minute + 8, cores=0.6)


@scenario(hours=24)
def nightly_updates(day: Day) -> None:
    """A training ends at 02:50; from 03:05 to 03:27 packages are updated: a stop in its middle breaks the system."""
    day.login("22:00", "22:30")
    day.types("22:02", "22:30", "starts a training")
    day.label("08:00", "08:10", "looks after the start")
    day.machine.touch("typed", 2, 9)
    day.job("22:30", "02:50", "python", "a training in tmux", cores=3.1)
    day.orphan("03:05", "03:27", "dpkg installs packages", cores=0.8, network=250_000.0)


@scenario(hours=24)
def nightly_updates_of_a_machine_kept_awake(day: Day) -> None:
    """Kept awake until 03:15 for a demonstration; the updates run from 03:10 to 03:24."""
    day.login("08:00", "08:30")
    day.types("08:02", "08:30", "prepares a demonstration")
    day.kept_awake.append((day.at("08:28"), day.at("03:15")))
    day.label("08:30", "03:15", "kept awake by its owner")
    day.orphan("03:10", "03:24", "dpkg installs packages", cores=0.7, network=300_000.0)


@scenario()
def vscode_left_open(day: Day) -> None:
    """A remote editor's window stays open over night; its server keeps talking."""
    day.editor("08:00", "+1 08:00")
    _edits(day, "08:04", "12:15")


@scenario(hours=14)
def vscode_in_use(day: Day) -> None:
    """A day in a remote editor: files are saved every few minutes, nothing else shows."""
    day.editor("08:00", "17:05")
    _edits(day, "08:04", "12:15")
    _edits(day, "12:40", "17:00")


@scenario()
def vscode_server_left_behind(day: Day) -> None:
    """The window is closed, but the editor's server stays for days."""
    day.editor("08:00", "11:02")
    day.machine.set(day.at("11:02"), day.minutes, editors=1)
    _edits(day, "08:04", "11:00")


@scenario(hours=14)
def vscode_notebook(day: Day) -> None:
    """An editor's notebook has a kernel without a server; its cell uses 0.12 cores with the window closed."""
    day.editor("08:00", "08:52")
    _edits(day, "08:04", "08:50")
    day.machine.set(day.at("08:10"), day.minutes, kernels=1)
    day.label("08:50", "11:31", "a cell crawls in the editor's kernel")
    day.load("08:50", "11:31", cores=0.12, seconds=7.0)


@scenario(hours=12)
def vscode_notebook_in_use(day: Day) -> None:
    """Somebody runs cells of some seconds in the editor's notebook and saves every half hour."""
    day.editor("08:00", "10:32")
    day.machine.set(day.at("08:02"), day.minutes, kernels=1)
    begin, end = day.label("08:04", "10:30", "runs cells in a remote editor")
    for minute in range(begin, end, 4):
        day.load(minute, minute + 1, cores=0.2, seconds=9.0)
    day.machine.touch("edited", *range(begin + 20, end, 30))


@scenario(hours=14)
def waits_in_an_editor(day: Day) -> None:
    """A cell of an editor's notebook waits two hours for a warehouse, then a program that the editor debugs does."""
    day.editor("08:00", "14:00")
    _edits(day, "08:04", "09:00")
    day.waits("09:00", "11:00", "kernel", "python3", "a cell waits for a warehouse")
    _edits(day, "11:00", "11:30")
    day.waits("11:30", "13:30", "editor", "python3", "a program waits under a debugger")


@scenario(hours=24)
def works_without_jupyter(day: Day) -> None:
    """Somebody runs cells in marimo and reads, then waits in RStudio, then reads on a desktop; all stay open."""
    for first, word, name in (("08:00", "kernel", "marimo"), ("10:00", "kernel", "R"), ("12:30", "desktop", "Xvnc")):
        day.waits(first, day.minutes, word, name)
    begin, end = day.label("08:02", "10:00", "runs cells in marimo")
    for minute in range(begin, end, 38):
        day.load(minute, minute + 1, cores=0.2, seconds=9.0)
    day.label("10:00", "12:30", "waits for a query in RStudio")
    day.load("12:29", "12:30", cores=0.2, seconds=9.0)
    day.label("12:30", "15:30", "reads on a remote desktop")


@scenario(hours=14)
def vscode_terminal_job(day: Day) -> None:
    """A test run in the editor's terminal waits for a remote database; the window is closed meanwhile."""
    day.editor("08:00", "09:02")
    _edits(day, "08:04", "09:00")
    day.machine.set(day.at("09:02"), day.at("11:20"), editors=1)
    day.job("09:00", "11:12", "pytest", "tests wait for a remote database")


def _edits(day: Day, first: str, end: str) -> None:
    """Somebody edits files in a remote editor and saves them."""
    begin, stop = day.label(first, end, "edits in a remote editor")
    minute = begin
    while minute < stop:
        day.machine.touch("edited", minute)
        minute += day.chance.randint(2, 11)
    day.machine.touch("edited", stop - 1)
