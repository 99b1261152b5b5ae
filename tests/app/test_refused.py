"""Instances that must not be stopped or shelved: refused by the reconciler too, whoever tagged them and wants what."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest

from autostop import tags
from autostop.model import InstanceState, SpotKind, WorkstationId
from autostop.sleep.intent import By, Wanted, following
from tests.app.autostop_at_work import AtWork


def nothing(_lab: AtWork, _workstation: WorkstationId) -> None:
    """What it was launched with says it all."""


def joins_a_group(lab: AtWork, workstation: WorkstationId) -> None:
    lab.world.tag(workstation, {tags.AUTO_SCALING_GROUP: "fleet"})


def carries_a_product_code(lab: AtWork, workstation: WorkstationId) -> None:
    lab.world.mark_marketplace(workstation, "abc")


def has_a_volume_that_nobody_adopted(lab: AtWork, workstation: WorkstationId) -> None:
    volume = lab.ec2.create_volume(AvailabilityZone="us-east-1a", Size=5)["VolumeId"]
    lab.pass_time(timedelta(seconds=10))
    lab.ec2.attach_volume(VolumeId=volume, InstanceId=workstation, Device="/dev/sdh")
    lab.pass_time(timedelta(seconds=10))


@dataclass(frozen=True)
class Refused:
    """An instance that is refused. stopped: it may still be stopped."""

    words: str
    parameters: dict[str, Any] = field(default_factory=dict)
    happens: Callable[[AtWork, WorkstationId], None] = nothing
    stopped: bool = False


SHARED = {"/dev/sdf": {"VolumeType": "io2", "VolumeSize": 10, "Iops": 1000, "MultiAttachEnabled": True}}
REFUSED = [
    pytest.param(Refused("one-time Spot", {"spot": "one-time"}), id="one-time Spot"),
    pytest.param(Refused("stop protection", {"DisableApiStop": True}), id="stop protection"),
    pytest.param(Refused("hibernation", {"HibernationOptions": {"Configured": True}}), id="hibernation"),
    pytest.param(Refused("instance-store disks", {"type": "c5d.large"}), id="instance store"),
    pytest.param(Refused("Auto Scaling group fleet", happens=joins_a_group), id="Auto Scaling"),
    pytest.param(Refused("Marketplace", happens=carries_a_product_code, stopped=True), id="Marketplace"),
    pytest.param(Refused("several instances", {"disks": SHARED}, stopped=True), id="multi-attach"),
]
# What may be refused only once it is stopped: EC2 itself lets a person stop it.
STOPPED_BY_A_PERSON = [
    pytest.param(Refused("hibernation", {"HibernationOptions": {"Configured": True}}), id="hibernation"),
    pytest.param(Refused("Auto Scaling group fleet", happens=joins_a_group), id="Auto Scaling"),
    pytest.param(Refused("Marketplace", happens=carries_a_product_code), id="Marketplace"),
    pytest.param(Refused("several instances", {"disks": SHARED}), id="multi-attach"),
    pytest.param(Refused("is not adopted", happens=has_a_volume_that_nobody_adopted), id="a stranger's volume"),
]


def made(lab: AtWork, case: Refused) -> WorkstationId:
    workstation = lab.workstation(**case.parameters)
    lab.pass_time(timedelta(seconds=30))
    case.happens(lab, workstation)
    lab.world.journal.clear()
    return workstation


def want(lab: AtWork, workstation: WorkstationId, wanted: Wanted) -> None:
    state = lab.state(workstation)
    lab.ledger.save(state.wanting(following(state.intent, wanted, By.OWNER, "the test", lab.clock())))
    lab.queue.wake(workstation)


def state_of(lab: AtWork, workstation: WorkstationId) -> InstanceState:
    instance = lab.instances.find(workstation)
    assert instance is not None
    return instance.state


@pytest.mark.parametrize("case", REFUSED)
def test_what_may_not_be_shelved_is_not_touched_and_the_page_says_why(lab: AtWork, case: Refused) -> None:
    workstation = made(lab, case)
    want(lab, workstation, Wanted.SHELVE)
    lab.pass_time(timedelta(minutes=30))
    assert case.words in str(lab.state(workstation).blocked)
    assert lab.owner.status(workstation).phase == "blocked"
    assert lab.calls() == []
    assert state_of(lab, workstation) is InstanceState.RUNNING


@pytest.mark.parametrize("case", REFUSED)
def test_what_may_not_be_stopped_is_not_stopped(lab: AtWork, case: Refused) -> None:
    workstation = made(lab, case)
    want(lab, workstation, Wanted.STOP)
    lab.pass_time(timedelta(minutes=4))
    if case.stopped:
        assert lab.calls() == ["StopInstances"]
        assert lab.reached(workstation, Wanted.STOP)
    else:
        assert lab.calls() == []
        assert case.words in str(lab.state(workstation).blocked)


@pytest.mark.parametrize("case", STOPPED_BY_A_PERSON)
def test_found_stopped_it_is_not_shelved_either(lab: AtWork, case: Refused) -> None:
    workstation = made(lab, case)
    lab.ec2.stop_instances(InstanceIds=[workstation])
    lab.world.journal.clear()
    lab.pass_time(timedelta(hours=1))
    assert case.words in str(lab.state(workstation).blocked)
    assert lab.calls() == []
    assert lab.disks.snapshots(workstation) == []


@pytest.mark.parametrize("case", STOPPED_BY_A_PERSON)
def test_what_was_refused_starts_when_its_owner_taps(lab: AtWork, case: Refused) -> None:
    workstation = made(lab, case)
    lab.ec2.stop_instances(InstanceIds=[workstation])
    lab.pass_time(timedelta(hours=1))
    lab.owner.start(workstation, "the test")
    lab.awake(workstation)


def test_once_the_reason_is_gone_it_is_shelved(lab: AtWork) -> None:
    workstation = lab.workstation(DisableApiStop=True)
    lab.pass_time(timedelta(hours=2), lambda: lab.is_blocked(workstation))
    lab.ec2.modify_instance_attribute(InstanceId=workstation, DisableApiStop={"Value": False})
    lab.asleep(workstation)


def test_persistent_spot_is_stopped_and_never_shelved(lab: AtWork) -> None:
    workstation = lab.workstation(spot="persistent")
    before = lab.shape(workstation)
    lab.asleep(workstation)
    lab.pass_time(timedelta(hours=2))
    assert lab.shape(workstation) == before
    assert lab.disks.snapshots(workstation) == []
    assert not {"CreateSnapshots", "DetachVolume", "DeleteVolume"} & set(lab.calls())
    assert "A Spot instance is only stopped" in str(lab.owner.status(workstation).problems)
    lab.owner.start(workstation, "the test")
    lab.awake(workstation)
    instance = lab.instances.find(workstation)
    assert instance is not None
    assert instance.spot is SpotKind.PERSISTENT
