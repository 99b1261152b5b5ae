"""Days on which what is measured is late, missing, old or wrong, and days that the owner's settings decide."""

from tests.traces.day import Day
from tests.traces.scenarios import scenario

SPRING = "2026-03-29T05:00:00+00:00"
AUTUMN = "2026-10-25T05:00:00+00:00"
BERLIN_HOURS = "* 9-17 * * * Europe/Berlin"


@scenario(hours=8)
def just_started_after_a_quiet_day(day: Day) -> None:
    """Started at 08:01 with all of yesterday's quiet points still in CloudWatch; its owner comes after 13 minutes."""
    day.quiet_yesterday(hours=14)
    day.runs_only((1, day.minutes))
    jupyter = day.jupyter(1)
    day.works_in_notebook(jupyter, "08:14", "09:40", heavy=False, saves=True)


@scenario(hours=8)
def started_and_nobody_came(day: Day) -> None:
    """Started at 08:01 after a quiet day; nobody comes."""
    day.quiet_yesterday(hours=14)
    day.runs_only((1, day.minutes))
    day.jupyter(1)


@scenario(hours=8)
def started_long_before_its_owner_comes(day: Day) -> None:
    """Started from the train at 08:01 after a quiet day, whose points are still there; its owner comes after 42 min."""
    day.quiet_yesterday(hours=14)
    day.runs_only((1, day.minutes))
    day.label("08:01", "08:43", "its owner is on the way")
    jupyter = day.jupyter(1, kernels=0)
    jupyter.set(day.at("08:43"), day.minutes, kernels=1)
    day.works_in_notebook(jupyter, "08:43", "09:40")


@scenario(hours=8)
def back_a_minute_before_the_stop(day: Day) -> None:
    """Somebody sits down again just before the sweep that would stop it: only a last look before the stop tells."""
    day.sweep_first = 0
    day.login("08:00", "10:31")
    day.types("08:03", "09:00", "works in a shell")
    day.machine.set(day.at("09:02"), day.at("09:34"), logins=0)
    day.types("09:34", "10:30", "works in a shell")


@scenario(hours=20)
def started_twice(day: Day) -> None:
    """Worked until 10:30 and shut down by its owner; started again at 14:07, and the work goes on at 14:19."""
    day.runs_only((0, "10:33"), ("14:07", day.minutes))
    first = day.jupyter(0, "10:33")
    day.works_in_notebook(first, "08:05", "10:30")
    second = day.jupyter("14:07")
    day.works_in_notebook(second, "14:19", "16:30")


@scenario(hours=14)
def rebooted_from_inside(day: Day) -> None:
    """`sudo reboot`: the launch is the same, the boot another, and processor seconds begin anew."""
    day.reboots.append(day.at("09:32"))
    day.jupyter(0, "09:30")
    day.works_in_notebook(day.servers[0], "08:05", "09:28")
    day.label("09:28", "09:34", "reboots")
    jupyter = day.jupyter("09:32")
    day.cell(jupyter, "09:34", "11:40", "a silent cell")


@scenario(hours=10)
def asked_to_run_while_running(day: Day) -> None:
    """24 minutes after the work its owner taps `start` on the phone, and needs 28 minutes to get to a desk."""
    jupyter = day.jupyter()
    day.works_in_notebook(jupyter, "08:05", "09:30")
    day.run_taps.append(day.at("09:54"))
    day.label("09:54", "10:22", "its owner is on the way")
    day.works_in_notebook(jupyter, "10:22", "11:00")


@scenario(hours=14)
def metrics_ten_minutes_late(day: Day) -> None:
    """CloudWatch tells everything ten minutes later; a job that only the processor shows begins after a short pause."""
    day.machine.set(0, day.minutes, late=10.0)
    day.login("08:00", "09:01")
    day.types("08:03", "09:00", "works in a shell")
    day.orphan("09:12", "11:35", "a job of a service", cores=1.2)


@scenario(hours=14)
def metrics_come_and_go(day: Day) -> None:
    """Points are missing for 55 minutes while a job runs that only the processor would show."""
    day.login("08:00", "08:31")
    day.types("08:03", "08:30", "starts a job with nohup")
    day.orphan("08:30", "11:40", "a job that nothing owns", cores=1.0)
    day.machine.set(day.at("09:05"), day.at("10:00"), missing=True)


@scenario(hours=14)
def metrics_missing_when_idle(day: Day) -> None:
    """Points are missing from 10:00 to 12:30, after the work: not known is not idle, and afterwards it is."""
    jupyter = day.jupyter()
    day.works_in_notebook(jupyter, "08:05", "10:00")
    day.machine.set(day.at("10:05"), day.at("12:30"), missing=True)
    day.excuse("10:00", "12:30", "CloudWatch has no points")


@scenario(hours=16)
def agent_dead_for_hours(day: Day) -> None:
    """Run Command's agent is dead from 09:00 to 13:00, while a silent cell runs; the cell ends at 14:20."""
    jupyter = day.jupyter()
    day.works_in_notebook(jupyter, "08:05", "08:55")
    day.cell(jupyter, "08:55", "14:20", "a silent cell")
    day.no_answer("09:00", "13:00", "no agent")


@scenario(hours=16)
def agent_dead_when_idle(day: Day) -> None:
    """The agent dies with the work's end and comes back four hours later: until then nobody knows."""
    jupyter = day.jupyter()
    day.works_in_notebook(jupyter, "08:05", "10:00")
    day.no_answer("09:58", "14:00", "no agent")
    day.excuse("10:00", "14:00", "nobody could ask")


@scenario(hours=12)
def broken_answers(day: Day) -> None:
    """Answers are cut, garbage, of an old version or hostile while somebody waits for a silent cell."""
    jupyter = day.jupyter()
    day.works_in_notebook(jupyter, "08:05", "08:40")
    day.cell(jupyter, "08:40", "11:35", "a silent cell")
    for minute, how in zip(range(50, 210, 40), ("cut", "garbage", "old version", "hostile"), strict=True):
        day.no_answer(minute, minute + 40, how)


@scenario(hours=14)
def jupyter_hangs(day: Day) -> None:
    """One of two servers hangs from 09:00 to 12:00 with a silent cell in it; the other answers that it is idle."""
    day.jupyter(port=8889)
    jupyter = day.jupyter(port=8888)
    day.works_in_notebook(jupyter, "08:05", "08:50")
    day.cell(jupyter, "08:50", "12:30", "a silent cell")
    jupyter.set(day.at("09:00"), day.at("12:00"), status="timeout")


@scenario(hours=14)
def server_with_a_password(day: Day) -> None:
    """A server that only takes a password refuses every question; a notebook is edited in it, then nobody works."""
    jupyter = day.jupyter()
    day.edits_notebook(jupyter, "08:05", "10:40", "writes text into a notebook")
    jupyter.set(0, day.minutes, status="http403")
    day.excuse("10:40", day.minutes, "the server answers nobody")


@scenario(hours=14, vcpus=8)
def gpu_cannot_be_read(day: Day) -> None:
    """nvidia-smi hangs from 09:00 to 12:00 while a training that nothing owns runs on the GPU."""
    day.machine.set(0, day.minutes, gpu=0.0)
    day.login("08:00", "08:31")
    day.types("08:05", "08:30", "starts a training")
    day.orphan("08:30", "12:20", "a training on the GPU", cores=0.1)
    day.machine.set(day.at("08:30"), day.at("12:20"), gpu=90.0)
    day.machine.set(day.at("09:00"), day.at("12:00"), gpu=None, errors=("gpu",))


@scenario(hours=10)
def clock_of_the_machine_ahead(day: Day) -> None:
    """The machine's own clock is 11 minutes ahead: ages count, not its hours."""
    day.clock_off = 660.0
    jupyter = day.jupyter()
    day.edits_notebook(jupyter, "08:05", "10:10", "writes text into a notebook")


@scenario(hours=10)
def clock_of_the_machine_behind(day: Day) -> None:
    """The machine's own clock is 50 minutes behind."""
    day.clock_off = -3000.0
    day.login("08:00", "10:12")
    day.types("08:05", "10:10", "edits in vim", pause=6)


@scenario(hours=14, settings={"idle-after": "15m"})
def window_of_fifteen_minutes(day: Day) -> None:
    """A shorter window: a break of 12 minutes is none, the evening is found."""
    jupyter = day.jupyter()
    day.works_in_notebook(jupyter, "08:05", "09:30")
    day.works_in_notebook(jupyter, "09:42", "12:00")


@scenario(hours=14, settings={"weak-signals": "2h"})
def reads_a_book_by_the_screen(day: Day) -> None:
    """The owner lets open tabs lengthen the window by two hours, and reads for 140 minutes with one open."""
    jupyter = day.jupyter()
    day.tab(jupyter, "08:00", "22:00")
    day.works_in_notebook(jupyter, "08:05", "09:00")
    day.label("09:00", "11:20", "reads")
    day.works_in_notebook(jupyter, "11:20", "12:00")


@scenario(hours=14, settings={"weak-signals": "off"})
def weak_signals_off(day: Day) -> None:
    """The owner wants no tab to lengthen anything."""
    jupyter = day.jupyter()
    day.tab(jupyter, "08:00", "22:00")
    day.works_in_notebook(jupyter, "08:05", "11:10")


@scenario(hours=12)
def kept_awake_by_tap(day: Day) -> None:
    """The owner taps `keep awake` for four hours: a job of a service must not be disturbed that shows nowhere."""
    day.login("08:00", "09:01")
    day.types("08:03", "09:00", "prepares a job")
    day.kept_awake.append((day.at("08:58"), day.at("13:00")))
    day.orphan("09:00", "13:00", "kept awake by its owner", cores=0.02)


@scenario(hours=12)
def kept_awake_from_inside(day: Day) -> None:
    """A script holds the keep-awake lock while it waits for a laboratory instrument; it is on no terminal."""
    day.login("08:00", "08:31")
    day.types("08:03", "08:30", "starts a script with nohup")
    day.orphan("08:30", "12:02", "a script holds the keep-awake lock", cores=0.0)
    day.machine.set(day.at("08:30"), day.at("12:02"), held=1)


@scenario(hours=16, begins=SPRING, settings={"protected-hours": BERLIN_HOURS})
def protected_hours_in_spring(day: Day) -> None:
    """Protected from 9 to 18 in Berlin on the day that has 23 hours there: 07:00 to 16:00 UTC, with nobody about."""
    day.jupyter()
    day.label("07:00", "16:00", "protected hours")
    day.label("05:00", "05:20", "looks after the start")
    day.servers[0].touch("saved", 8, 14, 20)
    # The night before ends 40 minutes before the protection begins: it may well stop then, and is started for it.
    day.label("06:30", "07:00", "gets ready")
    day.servers[0].touch("saved", *range(90, 120, 4))


@scenario(hours=16, begins=AUTUMN, settings={"protected-hours": BERLIN_HOURS})
def protected_hours_in_autumn(day: Day) -> None:
    """Protected from 9 to 18 in Berlin on the day that has 25 hours there: 08:00 to 17:00 UTC."""
    day.jupyter()
    day.label("07:20", "08:00", "gets ready")
    day.servers[0].touch("saved", *range(140, 180, 4))
    day.label("08:00", "17:00", "protected hours")


@scenario(hours=16, begins=SPRING, settings={"stop-at": "30 19 * * * Europe/Berlin", "warn-before": "10m"})
def stop_at_in_spring(day: Day) -> None:
    """The owner wants it off at 19:30 in Berlin, 17:30 UTC on this day, whatever runs: a cell waits in input()."""
    _stop_at(day, "17:30")


@scenario(hours=16, begins=AUTUMN, settings={"stop-at": "30 19 * * * Europe/Berlin", "warn-before": "10m"})
def stop_at_in_autumn(day: Day) -> None:
    """The same on the day that has 25 hours: 19:30 in Berlin is 18:30 UTC."""
    _stop_at(day, "18:30")


def _stop_at(day: Day, when: str) -> None:
    jupyter = day.jupyter()
    day.works_in_notebook(jupyter, "05:05", "06:00")
    begin = day.at("06:00")
    jupyter.touch("busy", begin)
    jupyter.touch("kernel", begin)
    jupyter.set(begin, day.minutes, busy=1)
    day.label("06:00", when, "a cell runs, up to the hour that the owner set")


@scenario(hours=16, settings={"max-run": "10h"})
def runs_longer_than_allowed(day: Day) -> None:
    """At most ten hours, says the owner; a forgotten cell is busy longer."""
    jupyter = day.jupyter()
    day.works_in_notebook(jupyter, "08:05", "09:00")
    day.cell(jupyter, "09:00", "18:00", "a cell runs, up to the limit that the owner set")
    jupyter.set(day.at("18:00"), day.minutes, busy=1)


@scenario(hours=12, settings={"probe": "none"})
def nobody_is_asked(day: Day) -> None:
    """The owner chose that nobody asks: processor and network alone decide."""
    day.orphan("08:00", "10:35", "a rendering", cores=2.4)
