"""Nights on which EC2 has no room for the workstation as it is."""

from datetime import timedelta

import pytest

from autostop import tags
from autostop.model import WorkstationId
from autostop.sleep.own_type import own_type
from tests.app.autostop_at_work import AtWork

OWN, FIRST, SECOND = "t3.xlarge", "c6i.2xlarge", "m5.2xlarge"
LIST = {"instance-types": f"{FIRST},{SECOND}"}


def own(lab: AtWork, workstation: WorkstationId) -> str:
    return own_type(lab.instance(workstation), lab.state(workstation).fallback)


def asleep(lab: AtWork, **settings: str) -> WorkstationId:
    workstation = lab.workstation(settings=settings or LIST)
    lab.write(workstation, "monday")
    lab.asleep(workstation)
    return workstation


def test_without_room_it_starts_as_the_next_type_and_then_as_its_own_again(lab: AtWork) -> None:
    workstation = asleep(lab)
    lab.world.lack_capacity({OWN, FIRST})
    lab.wake(workstation)
    assert lab.instance(workstation).type == SECOND
    assert own(lab, workstation) == OWN
    assert set(lab.content(workstation).values()) == {"monday /dev/sda1", "monday /dev/sdf", "monday /dev/sdg"}
    told = f"It runs as {SECOND}: {OWN} had no capacity. The next start tries {OWN} first."
    assert told in lab.owner.status(workstation).problems

    lab.asleep(workstation)
    assert told not in lab.owner.status(workstation).problems
    lab.world.lack_capacity(set())
    lab.wake(workstation)
    assert lab.instance(workstation).type == OWN
    assert lab.instance(workstation).tags[tags.INSTANCE_TYPE] == ""
    assert lab.owner.status(workstation).problems == ()


def test_a_tag_that_may_not_be_written_holds_up_no_start(lab: AtWork) -> None:
    workstation = asleep(lab)
    lab.world.lack_capacity({OWN})
    lab.owner.start(workstation, "the test")
    lab.after("StartInstances", lambda: lab.world.fail_next("CreateTags", "UnauthorizedOperation", times=100))
    lab.awake(workstation)
    assert (lab.instance(workstation).type, own(lab, workstation)) == (FIRST, OWN)


def test_a_type_that_ec2_refuses_leaves_the_next(lab: AtWork) -> None:
    workstation = asleep(lab)
    lab.world.lack_capacity({OWN})
    lab.owner.start(workstation, "the test")
    # Delete-on-termination is put back by the same call before: so it is refused only after the first start.
    lab.after(
        "StartInstances", lambda: lab.world.fail_next("ModifyInstanceAttribute", "Unsupported", "no ENA", times=1)
    )
    lab.awake(workstation)
    assert lab.instance(workstation).type == SECOND
    assert f"{FIRST} is not tried: AWS refused ModifyInstanceAttribute (Unsupported): no ENA." in str(
        lab.owner.status(workstation).problems
    )


@pytest.mark.parametrize(
    ("operation", "nth"),
    [("StartInstances", 1), ("StartInstances", 2), ("ModifyInstanceAttribute", 2), ("CreateTags", 1)],
)
def test_a_crash_on_the_way_to_another_type_forgets_nothing(lab: AtWork, operation: str, nth: int) -> None:
    workstation = asleep(lab)
    lab.world.lack_capacity({OWN})
    lab.owner.start(workstation, "the test")
    lab.after(operation, lab.crash, nth=nth)
    lab.awake(workstation)
    assert lab.crashes == 1
    assert own(lab, workstation) == OWN
    lab.asleep(workstation)
    lab.world.lack_capacity(set())
    lab.wake(workstation)
    assert lab.instance(workstation).type == OWN


def test_a_start_that_falls_back_is_asked_for_again_and_then_blocked_with_the_reason(lab: AtWork) -> None:
    workstation = asleep(lab)
    lab.world.fail_next_boots(1)
    lab.wake(workstation)
    lab.asleep(workstation)

    lab.world.fail_next_boots(100)
    lab.owner.start(workstation, "the test")
    lab.world.journal.clear()
    lab.pass_time(timedelta(hours=2))
    assert lab.calls("StartInstances") == ["StartInstances"] * 3
    assert "Client error on launch), 3 times" in str(lab.state(workstation).blocked)
    lab.world.fail_next_boots(0)
    lab.wake(workstation)
