"""Which part of a wake is under way, and how long each takes."""

from datetime import timedelta

import pytest

from autostop.model import Checks, InstanceState, Jupyter, Observation, VolumeState
from autostop.sleep.calls import Call
from autostop.sleep.wake_progress import Part, Wake, part_of, reaching, seconds_of, usual_wake
from tests.build import NOW, detached, instance, row, seen, volume

RUNNING = instance(InstanceState.RUNNING)


@pytest.mark.parametrize(("what", "next_call", "part"), [
    row("it still stops", seen(instance=instance(InstanceState.STOPPING)), None, Part.DISKS),
    row("no disk yet", seen(volumes=()), Call.CREATE_VOLUME, Part.DISKS),
    row("one is made", seen(volumes=(detached(volume(), VolumeState.CREATING),)), None, Part.DISKS),
    row("one is attached next", seen(volumes=(detached(volume()),)), Call.ATTACH, Part.ATTACH),
    row("one is attached", seen(), None, Part.ATTACH),
    row("it is started next", seen(), Call.START, Part.START),
    row("EC2 starts it", seen(instance=instance(InstanceState.PENDING)), None, Part.START),
    row("it boots", seen(instance=RUNNING, checks=Checks.INITIALIZING, jupyter=Jupyter.SILENT), None, Part.BOOT),
    row("Jupyter first", seen(instance=RUNNING, checks=Checks.UNKNOWN, jupyter=Jupyter.SERVES), None, Part.SERVER),
    row("the checks first", seen(instance=RUNNING, jupyter=Jupyter.SILENT), None, Part.SERVER),
    row("it is gone", seen(instance=None), None, Part.DISKS),
])  # fmt: skip
def test_a_wake_has_five_parts(what: Observation, next_call: Call | None, part: Part) -> None:
    assert part_of(what, next_call) is part


def test_a_part_begins_once_and_one_that_was_not_seen_took_no_time() -> None:
    later = NOW + timedelta(seconds=30)
    begun = reaching((), Part.DISKS, NOW)
    assert begun == ()
    begun = reaching(reaching(begun, Part.START, NOW), Part.BOOT, later)
    assert reaching(begun, Part.ATTACH, later + timedelta(hours=1)) == begun == (NOW, NOW, later)
    assert seconds_of(NOW - timedelta(seconds=10), begun, later + timedelta(seconds=5)) == (10, 0, 30, 5)


def test_what_is_usual_is_the_middle_one_of_its_kind() -> None:
    restored = [Wake(True, 100), Wake(True, 60, (10, 0, 5, 35, 10)), Wake(True, 80, (20, 0, 5, 45, 10))]
    assert usual_wake([*restored, Wake(False, 1)], restored=True) == Wake(True, 80, (15, 0, 5, 40, 10))
    assert usual_wake(restored, restored=False) is None
    assert usual_wake([Wake(False, 9, (4, 5))], restored=False) == Wake(False, 9)
