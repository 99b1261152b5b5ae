"""The very answers of days and nights that the product has lived through, in one process."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

from autostop.app.status import days_as_json
from tests.app.autostop_at_work import at_work
from tests.page.scripted_api import Status

LINK = "the link “phone”"
MINUTE = timedelta(minutes=1)


def live(folder: Path) -> tuple[dict[str, Status], Status]:
    """The states by what a person would call them, in their order; and the days in which they came."""
    told: dict[str, Status] = {}
    days: Status = {}
    with at_work(folder, over_http=False) as lab:
        lab_of = lab.workstation()

        def now_it_is(what: str) -> None:
            told[what] = lab.owner.status(lab_of).as_json()

        def passes(minutes: float, **changes: Any) -> None:
            for name, value in changes.items():
                setattr(lab.answers[lab_of], name, value)
            lab.pass_time(minutes * MINUTE)

        now_it_is("new")
        passes(30, busy=True)
        now_it_is("at work")
        passes(22, busy=False)
        now_it_is("quiet, and warned of")
        lab.owner.keep_awake(lab_of, LINK)
        now_it_is("kept awake")
        passes(50, fails=True)
        now_it_is("not known")
        passes(1, fails=False)
        assert lab.pass_time(2 * 60 * MINUTE, lambda: "snapshots" in (lab.state(lab_of).waiting_for or ""))
        now_it_is("snapshots are made")
        lab.asleep(lab_of)
        now_it_is("asleep")
        lab.owner.start(lab_of, LINK)
        passes(0.05)
        now_it_is("waking")
        lab.awake(lab_of)
        now_it_is("just awake")
        lab.owner.stop(lab_of, LINK)
        passes(0.05)
        now_it_is("stopping, which can be undone")
        passes(0.5)
        now_it_is("stopping as asked")
        lab.pass_time(2 * 60 * MINUTE)
        lab.after("StartInstances", lambda: now_it_is("waking, as usual"))
        lab.wake(lab_of)
        lab.owner.stop(lab_of, LINK)
        lab.pass_time(2 * 60 * MINUTE)
        days.update(days_as_json(*lab.owner.days(lab_of)))
        lab.world.fail_next("CreateVolume", "UnauthorizedOperation", times=10_000)
        lab.owner.start(lab_of, LINK)
        lab.pass_time(60 * MINUTE, lambda: lab.is_blocked(lab_of))
        now_it_is("blocked")
    return told, days
