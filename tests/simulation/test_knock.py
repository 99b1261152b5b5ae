"""Messages that find a reconciler at work leave word with it, and do not go round and round."""

from collections.abc import Generator
from datetime import datetime, timedelta

import pytest

from autostop.sleep.intent import Wanted
from tests.simulation.account import Call
from tests.simulation.lab import Lab
from tests.simulation.weather import Planned

DISKS = {"/dev/sda1": {"VolumeType": "gp3", "VolumeSize": 50}, "/dev/sdf": {"VolumeType": "gp3", "VolumeSize": 50}}


@pytest.fixture
def lab() -> Generator[Lab, None, None]:
    lab = Lab(7, disks=DISKS, weather=Planned())
    yield lab
    lab.close()


def sleep(lab: Lab) -> None:
    lab.tap("stop")
    assert lab.pass_time(timedelta(hours=1), lambda: lab.reached(Wanted.SHELVE))


def test_a_message_that_finds_the_lease_taken_is_not_sent_again_and_again(lab: Lab) -> None:
    sleep(lab)
    lab.tap("start")
    lab.pass_time(timedelta(seconds=2))
    sent = lab.account.by_operation["SendMessage"]
    for _ in range(40):
        lab.messages.send({"MessageBody": f'{{"workstation": "{lab.workstation}"}}'})
    lab.pass_time(timedelta(seconds=20))
    # One for the case that the holder dies, and what the holder itself sends.
    assert lab.account.by_operation["SendMessage"] - sent <= 3
    assert lab.pass_time(timedelta(minutes=20), lambda: lab.reached(Wanted.RUN))


def test_a_tap_in_the_last_moment_of_a_reconciler_is_seen_at_once(lab: Lab) -> None:
    tapped: list[datetime] = []

    def watch(call: Call) -> None:
        # The shelving is settled; its reconciler is about to go, and the tap's message finds it still there.
        if not tapped and call.operation == "TransactWriteItems" and lab.reached(Wanted.SHELVE):
            tapped.append(lab.clock())
            lab.tap("start")

    lab.on_call.append(watch)
    sleep(lab)
    assert lab.pass_time(timedelta(minutes=1), lambda: lab.account.by_operation.get("CreateVolume", 0) > 0)
    assert lab.clock() - tapped[0] < timedelta(seconds=10)


def test_what_a_dead_holder_left_undone_goes_on_when_its_lease_ends(lab: Lab) -> None:
    sleep(lab)

    def watch(call: Call) -> None:
        if call.operation == "CreateVolume" and lab.account.crashes == 0:
            lab.weather = lab.account.weather = Planned({(call.number, "after")})
            lab.hub.at(lab.clock() + timedelta(seconds=1), lambda: lab.tap("keep-awake"))

    lab.on_call.append(watch)
    lab.tap("start")
    lab.pass_time(timedelta(seconds=5))
    assert lab.account.crashes == 1
    assert lab.pass_time(timedelta(seconds=100), lambda: lab.account.by_operation.get("StartInstances", 0) > 0)
