"""A week of one machine under other values of `doubt-for`: what is paid, and what is cut of what waits."""

from dataclasses import replace
from typing import Final

from tests.traces.day import Day
from tests.traces.judged import judged, off_spans
from tests.traces.play import play
from tests.traces.trace import Trace

VALUES: Final = ("2h", "4h", "8h", "off")
_DAYS: Final = 7


def week() -> Trace:
    """Five days of somebody who leaves something alive each evening, and a weekend."""
    day = Day("a-week", "", hours=24 * _DAYS, begins="2026-03-09T08:00:00+00:00", vcpus=4, settings={})
    for number in range(5):
        jupyter = day.jupyter(f"+{number} 08:30", f"+{number} 18:00")
        day.works_in_notebook(jupyter, f"+{number} 08:35", f"+{number} 11:25")
        day.login(f"+{number} 13:05", f"+{number} 17:00")
        day.types(f"+{number} 13:10", f"+{number} 16:55", "works in a shell", pause=9)
    day.machine.set(0, day.minutes, muxes=1)
    day.waits("+0 16:00", "+1 09:00", "prompt", "psql")
    day.waits("+1 11:25", "+1 13:00", "kernel", "python3", "a cell waits for a warehouse")
    day.waits("+1 17:00", "+1 20:10", "job", "python3", "a job begun with nohup waits for a server")
    day.waits("+2 17:00", "+2 23:30", "job", "rclone", "a job begun with nohup waits for a server")
    day.waits("+3 14:00", "+4 09:00", "server", "streamlit")
    day.waits("+4 16:00", "+6 08:00", "prompt", "ipython")
    return day.trace()


def table() -> str:
    """What each value costs and cuts, as text."""
    lines = [("doubt-for", "hours paid", "stops at work", "hours of work cut")]
    for value in VALUES:
        trace = replace(week(), settings={"doubt-for": value})
        stops = play(trace).stops
        result = judged(trace, stops)
        off = sum(span.end - span.first for span in off_spans(trace, stops))
        lines.append(
            (value, f"{(trace.minutes - off) / 60:.1f}", str(len(result.false_stops)), f"{result.lost / 60:.1f}")
        )
    return "\n".join("  ".join(cell.ljust(18) for cell in line).rstrip() for line in lines)
