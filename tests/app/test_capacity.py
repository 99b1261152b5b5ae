"""Nights on which EC2 has no room for the workstation as it is."""

from datetime import timedelta

import pytest

from autostop import tags
from autostop.model import Instance, WorkstationId, instance_of
from autostop.sleep.fallback import own_type
from tests.app.autostop_at_work import AtWork

OWN, FIRST, SECOND = "t3.xlarge", "c6i.2xlarge", "m5.2xlarge"
LIST = {"instance-types": f"{FIRST},{SECOND}"}


def look_up(lab: AtWork, workstation: WorkstationId) -> Instance:
    instance = lab.instances.find(instance_of(workstation))
    assert instance is not None
    return instance


def own(lab: AtWork, workstation: WorkstationId) -> str:
    return own_type(look_up(lab, workstation), lab.state(workstation).fallback)


def asleep(lab: AtWork, **settings: str) -> WorkstationId:
    workstation = lab.workstation(settings=settings or LIST)
    lab.write(workstation, "monday")
    lab.asleep(workstation)
    return workstation


def tap(lab: AtWork, workstation: WorkstationId, within: timedelta = timedelta(minutes=30)) -> None:
    lab.owner.start(workstation, "the test")
    lab.awake(workstation, within)


def test_with_room_for_its_own_type_nothing_is_changed_or_asked(lab: AtWork) -> None:
    workstation = asleep(lab)
    lab.world.journal.clear()
    tap(lab, workstation)
    assert look_up(lab, workstation).type == OWN
    assert tags.INSTANCE_TYPE not in look_up(lab, workstation).tags
    asked = [str(call.parameters) for call in lab.world.journal.calls("DescribeInstanceTypes")]
    assert not [each for each in asked if FIRST in each]


def test_without_room_it_starts_as_the_next_type_and_then_as_its_own_again(lab: AtWork) -> None:
    workstation = asleep(lab)
    lab.world.lack_capacity({OWN, FIRST})
    tap(lab, workstation)
    assert look_up(lab, workstation).type == SECOND
    assert own(lab, workstation) == OWN
    assert set(lab.content(workstation).values()) == {"monday /dev/sda1", "monday /dev/sdf", "monday /dev/sdg"}
    told = f"It runs as {SECOND}: {OWN} had no capacity. The next start tries {OWN} first."
    assert told in lab.owner.status(workstation).problems

    lab.asleep(workstation)
    assert told not in lab.owner.status(workstation).problems
    lab.world.lack_capacity(set())
    tap(lab, workstation)
    assert look_up(lab, workstation).type == OWN
    assert look_up(lab, workstation).tags[tags.INSTANCE_TYPE] == ""
    assert lab.owner.status(workstation).problems == ()


def test_a_persons_own_change_of_the_type_is_not_undone(lab: AtWork) -> None:
    workstation = asleep(lab)
    lab.world.lack_capacity({OWN})
    tap(lab, workstation)
    lab.asleep(workstation)
    lab.world.lack_capacity(set())
    lab.ec2.modify_instance_attribute(InstanceId=workstation, InstanceType={"Value": "r5.large"})
    tap(lab, workstation)
    assert look_up(lab, workstation).type == "r5.large"


def test_who_may_only_tag_it_does_not_choose_as_what_it_starts(lab: AtWork) -> None:
    workstation = asleep(lab)
    hostile = [{"Key": tags.INSTANCE_TYPE, "Value": f"m5.4xlarge {OWN}"}]
    lab.ec2.create_tags(Resources=[workstation], Tags=hostile)
    tap(lab, workstation)
    assert look_up(lab, workstation).type == OWN
    assert lab.owner.status(workstation).problems == ()

    lab.asleep(workstation)
    lab.world.lack_capacity({OWN})
    tap(lab, workstation)
    lab.ec2.create_tags(Resources=[workstation], Tags=[{"Key": tags.INSTANCE_TYPE, "Value": f"m5.4xlarge {FIRST}"}])
    lab.asleep(workstation)
    lab.world.lack_capacity(set())
    tap(lab, workstation)
    assert look_up(lab, workstation).type == OWN


def test_a_tag_that_may_not_be_written_holds_up_no_start(lab: AtWork) -> None:
    workstation = asleep(lab)
    lab.world.lack_capacity({OWN})
    lab.owner.start(workstation, "the test")
    lab.after("StartInstances", lambda: lab.world.fail_next("CreateTags", "UnauthorizedOperation", times=100))
    lab.awake(workstation)
    assert (look_up(lab, workstation).type, own(lab, workstation)) == (FIRST, OWN)


def test_with_room_nowhere_the_page_says_so_and_it_starts_when_there_is_some(lab: AtWork) -> None:
    workstation = asleep(lab)
    lab.world.lack_capacity({OWN, FIRST, SECOND})
    lab.world.journal.clear()
    lab.owner.start(workstation, "the test")
    lab.pass_time(timedelta(seconds=50))
    headline = lab.owner.status(workstation).headline
    assert headline.startswith(
        f"Waking up: EC2 has no capacity in us-east-1a for {OWN}, {FIRST} and {SECOND}. It is tried again at 0"
    )
    lab.pass_time(timedelta(hours=2))
    # 1, 2, 4 and 8 minutes after a round, and then every 15.
    assert 10 <= lab.state(workstation).attempts.times(OWN) <= 12
    lab.world.lack_capacity({OWN, FIRST})
    lab.awake(workstation, within=timedelta(minutes=16))
    assert look_up(lab, workstation).type == SECOND


def test_types_that_do_not_fit_are_told_and_never_tried(lab: AtWork) -> None:
    workstation = asleep(lab, **{"instance-types": f"c6gd.large,c5d.large,c9z.large,{SECOND}"})
    lab.world.lack_capacity({OWN})
    lab.world.journal.clear()
    tap(lab, workstation)
    assert look_up(lab, workstation).type == SECOND
    (problem,) = [each for each in lab.owner.status(workstation).problems if "not tried" in each]
    assert "c6gd.large is not tried: it is for arm64, and the workstation is x86_64." in problem
    assert "c5d.large is not tried: it has instance-store disks, and a stop empties them." in problem
    assert "c9z.large is not tried: EC2 does not know it in this Region." in problem
    changed = [call.parameters for call in lab.world.journal.calls("ModifyInstanceAttribute")]
    assert [each["InstanceType"]["Value"] for each in changed if "InstanceType" in each] == [SECOND]


def test_a_type_that_ec2_refuses_leaves_the_next(lab: AtWork) -> None:
    workstation = asleep(lab)
    lab.world.lack_capacity({OWN})
    lab.owner.start(workstation, "the test")
    # Delete-on-termination is put back by the same call before: so it is refused only after the first start.
    lab.after(
        "StartInstances", lambda: lab.world.fail_next("ModifyInstanceAttribute", "Unsupported", "no ENA", times=1)
    )
    lab.awake(workstation)
    assert look_up(lab, workstation).type == SECOND
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
    tap(lab, workstation)
    assert look_up(lab, workstation).type == OWN


def test_a_start_that_falls_back_is_asked_for_again_and_then_blocked_with_the_reason(lab: AtWork) -> None:
    workstation = asleep(lab)
    lab.world.fail_next_boots(1)
    tap(lab, workstation)
    lab.asleep(workstation)

    lab.world.fail_next_boots(100)
    lab.owner.start(workstation, "the test")
    lab.world.journal.clear()
    lab.pass_time(timedelta(hours=2))
    assert lab.calls("StartInstances") == ["StartInstances"] * 3
    assert "Client error on launch), 3 times" in str(lab.state(workstation).blocked)
    lab.world.fail_next_boots(0)
    tap(lab, workstation)
