"""When a workstation that was started is ready."""

from typing import Any

import pytest

from autostop.model import Checks, Jupyter, Observation, SnapshotId
from autostop.sleep.intent import Wanted
from autostop.sleep.outcomes import Settled, Wait
from autostop.sleep.ready import READY_WITHIN
from tests.build import DATA, NOW, ROOT, both, instance, manifest, minutes, restored, seen, snapshot, snapshots
from tests.sleep.expect import RUNNING, SECOND, WHOLE_ROOT, Case, Says, data, row

STARTED = NOW
JUST_BEFORE = STARTED + READY_WITHIN - SECOND
IN_TIME = STARTED + READY_WITHIN


def up(**other: Any) -> Observation:
    """Running since `STARTED` on the volumes restored from cycle 1, with Jupyter asked."""
    fields: dict[str, Any] = {
        "instance": instance(RUNNING, launched_at=STARTED),
        "volumes": (WHOLE_ROOT, restored(DATA)),
        "snapshots": snapshots(),
        "jupyter": Jupyter.SERVES,
    }
    return seen(**{**fields, **other})


OLDER = snapshot(DATA, of=manifest(cycle=1), id=SnapshotId("snap-old"))
SECOND_CYCLE = manifest(cycle=2)


def up_from_second(**other: Any) -> Observation:
    """Running on the volumes restored from cycle 2, with a snapshot of cycle 1 left."""
    return up(
        **{
            "volumes": (restored(ROOT, of=SECOND_CYCLE, delete_on_termination=True), restored(DATA, of=SECOND_CYCLE)),
            "snapshots": (OLDER, *snapshots(SECOND_CYCLE)),
            **other,
        }
    )


@pytest.mark.parametrize("case", [
    row("running, checks through, Jupyter answers: settled", up(), Settled(), manifest()),
    row("running, never shelved: settled", up(volumes=both(), snapshots=()), Settled()),
    row("what the owner made of delete-on-termination since is left alone", up(volumes=(restored(ROOT), data())),
        Settled(), manifest()),
    row("checks initializing", up(checks=Checks.INITIALIZING, jupyter=Jupyter.SILENT), Says(Wait, "booting"),
        manifest()),
    row("checks unknown", up(checks=Checks.UNKNOWN, jupyter=Jupyter.SILENT), Says(Wait, "booting"), manifest()),
    row("checks initializing, Jupyter answers", up(checks=Checks.INITIALIZING), Says(Wait, "Jupyter answers"),
        manifest()),
    row("checks impaired", up(checks=Checks.IMPAIRED), Says(Wait, "checks fail"), manifest()),
    row("nobody asks Jupyter", up(jupyter=Jupyter.NOT_ASKED), Settled(), manifest()),
    row("nobody asks Jupyter, checks initializing", up(jupyter=Jupyter.NOT_ASKED, checks=Checks.INITIALIZING),
        Says(Wait, ""), manifest()),
    row("no answer yet", up(jupyter=Jupyter.SILENT), Says(Wait, "does not answer"), manifest(), JUST_BEFORE),
    row("no server runs yet", up(jupyter=Jupyter.NO_SERVER), Says(Wait, "does not answer"), manifest(), JUST_BEFORE),
    row("no answer in time", up(jupyter=Jupyter.SILENT), Says(Settled, "nothing was heard"), manifest(), IN_TIME),
    row("it has no Jupyter", up(jupyter=Jupyter.NO_SERVER), Settled(), manifest(), IN_TIME),
    row("the clock is behind the launch", up(jupyter=Jupyter.SILENT), Says(Wait, "does not answer"), manifest(),
        STARTED - minutes(9)),
    row("ready: what is left to be tidied up holds nothing up", up_from_second(), Settled(), SECOND_CYCLE),
    row("Jupyter silent: it is up all the same", up_from_second(jupyter=Jupyter.SILENT), Says(Settled, "kept"),
        SECOND_CYCLE, IN_TIME),
    row("checks impaired for long: it is up all the same", up_from_second(checks=Checks.IMPAIRED),
        Says(Settled, "status checks fail"), SECOND_CYCLE, IN_TIME),
    row("checks that do not come to an end: it is up all the same", up_from_second(checks=Checks.UNKNOWN),
        Says(Settled, "status checks have not passed"), SECOND_CYCLE, IN_TIME),
])  # fmt: skip
def test_toward_run(case: Case) -> None:
    case.check(Wanted.RUN)
