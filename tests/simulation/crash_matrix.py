"""`make crash-matrix`: the function dies before and after each call of whole nights; what is delivered then goes on.

Of equal calls in one situation (instance, volumes, snapshots, intent), as in the polling of a wait, one is tried.
The pairs: it dies at a call that changes EC2, and again at one of the next such calls of whoever goes on.
"""

import argparse
import json
import sys
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path

from autostop.sleep.intent import Wanted
from tests.simulation import rest
from tests.simulation.account import Call
from tests.simulation.lab import Lab
from tests.simulation.oracle import LawBrokenError
from tests.simulation.weather import Planned

_DISKS = {
    "/dev/sda1": {"VolumeType": "gp3", "VolumeSize": 50, "DeleteOnTermination": True},
    "/dev/sdf": {"VolumeType": "gp3", "VolumeSize": 200, "Iops": 4000, "DeleteOnTermination": False},
}
# How many calls after the first death the second one comes.
_SECOND_DEATHS = (1, 2, 4)
Moment = tuple[int, str]


@dataclass(frozen=True, slots=True)
class Cell:
    """One place to die: the call, before or after its effect, and for a pair how many changes later again."""

    scenario: str
    operation: str
    moment: Moment
    again_after: int | None = None


def _night(lab: Lab, *, tap_at: str | None = None) -> None:
    """Asleep by itself and awake by a tap, twice, so that the first night's snapshots are let go of.

    tap_at: the call after which the owner taps in the first night.
    """
    if tap_at is not None:
        _tap_after(lab, tap_at)
        if not lab.pass_time(timedelta(hours=3), lambda: lab.taps > 0 and lab.reached(Wanted.RUN)):
            raise rest.StuckError(f"stuck: it does not wake after the tap: {rest.told_state(lab)}")
        rest.whole(lab, "after the tap")
    for _ in range(2):
        lab.oracle.write()
        rest.fall_asleep(lab)
        rest.wake(lab)
        rest.whole(lab, "after a night")
    lab.pass_time(timedelta(minutes=20))
    rest.nothing_left_over(lab)


def _tap_after(lab: Lab, operation: str) -> None:
    def watch(call: Call) -> None:
        if call.operation == operation and not lab.taps:
            lab.hub.at(lab.clock() + timedelta(seconds=20), lambda: lab.tap("start"))

    lab.on_call.append(watch)


SCENARIOS: Mapping[str, Callable[[Lab], None]] = {
    "two nights": _night,
    "tap while snapshots are pending": partial(_night, tap_at="CreateSnapshots"),
    "tap while volumes are detached": partial(_night, tap_at="DetachVolume"),
    "tap while volumes are deleted": partial(_night, tap_at="DeleteVolume"),
}


def _lab(weather: Planned) -> Lab:
    lab = Lab(1, disks=_DISKS, weather=weather, settings={"idle-after": "20m", "grace": "5m"})

    def write() -> None:
        lab.oracle.write()
        lab.hub.at(lab.clock() + timedelta(minutes=3), write)

    write()
    return lab


def cells(scenario: str, *, pairs: bool) -> list[Cell]:
    """Every place to die in a scenario, found by running it once unharmed."""
    lab = _lab(Planned())
    found: list[Cell] = []
    tried: set[object] = set()

    def watch(call: Call) -> None:
        if lab.hub.current is None or (pairs and not (call.changes and call.service == "ec2")):
            return
        situation = (call.operation, *(_situation(lab) if not pairs else (call.number,)))
        if situation in tried:
            return
        tried.add(situation)
        for when in ("before", "after") if call.changes else ("after",):
            deaths = _SECOND_DEATHS if pairs else (None,)
            found.extend(Cell(scenario, call.operation, (call.number, when), again) for again in deaths)

    lab.on_call.append(watch)
    try:
        SCENARIOS[scenario](lab)
    finally:
        lab.close()
    return found


def _situation(lab: Lab) -> tuple[object, ...]:
    """What a function that goes on would find."""
    intent = lab.state().intent
    volumes = [(each.number, each.state, each.attachment and each.attachment.state) for each in lab.disks_there()]
    snapshots = [(each.number, each.state, len(each.tags)) for each in lab.world.cloud.snapshots.values()]
    wanted = (intent.number, intent.wanted, intent.settled) if intent else None
    return lab.ec2_state(), wanted, tuple(volumes), tuple(snapshots)


def die(cell: Cell) -> str | None:
    """Run a cell's scenario with its deaths; what went wrong, or None when it converged."""
    weather = Planned({cell.moment}, again_after=cell.again_after)
    lab = _lab(weather)
    try:
        SCENARIOS[cell.scenario](lab)
    except (LawBrokenError, rest.StuckError) as error:
        return str(error)
    finally:
        lab.close()
    if lab.unexpected:
        return f"error: {lab.unexpected}"
    # A pair's second call may never come: then it converged by the first death's repair alone.
    return None if lab.account.crashes else "error: the function did not die"


def main() -> int:
    """Exit code 1 when any cell did not converge."""
    parser = argparse.ArgumentParser(prog="make crash-matrix", description=__doc__)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--report", type=Path, default=Path("build/crash-matrix.json"))
    asked = parser.parse_args()
    report: dict[str, object] = {}
    failed = 0
    for title, pairs in (("one death", False), ("two deaths", True)):
        places = [cell for scenario in SCENARIOS for cell in cells(scenario, pairs=pairs)]
        with ProcessPoolExecutor(asked.jobs) as pool:
            ends = list(pool.map(die, places, chunksize=8))
        wrong = [(cell, end) for cell, end in zip(places, ends, strict=True) if end is not None]
        failed += len(wrong)
        print(f"{title}: {len(places) - len(wrong)} of {len(places)} cells converged\n")
        print("\n".join(table(places, {cell for cell, _ in wrong})) + "\n")
        for cell, end in wrong:
            print(f"{cell}: {end}")
        report[title] = {
            "cells": len(places),
            "converged": len(places) - len(wrong),
            "wrong": [str(one) for one in wrong],
        }
    asked.report.parent.mkdir(parents=True, exist_ok=True)
    asked.report.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    return 1 if failed else 0


def table(places: Iterable[Cell], wrong: set[Cell]) -> list[str]:
    """Rows of call and before/after, a column for each scenario: how many of its cells converged."""
    counts: dict[tuple[str, str], dict[str, list[bool]]] = {}
    for cell in places:
        row = counts.setdefault((cell.operation, cell.moment[1]), {})
        row.setdefault(cell.scenario, []).append(cell not in wrong)
    head = f"{'call':<28}{'dies':<8}" + "".join(f"{name:<34}" for name in SCENARIOS)
    rows = []
    for (operation, when), row in sorted(counts.items()):
        shown = [f"{sum(row[name])}/{len(row[name])}" if name in row else "-" for name in SCENARIOS]
        rows.append(f"{operation:<28}{when:<8}" + "".join(f"{text:<34}" for text in shown))
    return [head.rstrip(), *(row.rstrip() for row in rows)]


if __name__ == "__main__":
    sys.exit(main())
