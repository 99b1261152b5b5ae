"""Instances that must not be stopped or shelved: refused by the reconciler too, whoever tagged them and wants what."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest

from autostop import tags
from autostop.model import InstanceState, SpotKind, WorkstationId
from autostop.notice import NoticeKind
from autostop.sleep.intent import By, Wanted, following
from tests.app.autostop_at_work import AtWork


def nothing(_lab: AtWork, _workstation: WorkstationId) -> None:
    """What it was launched with says it all."""


def joins_a_group(lab: AtWork, workstation: WorkstationId) -> None:
    lab.world.tag(workstation, {tags.AUTO_SCALING_GROUP: "fleet"})


def carries_a_product_code(lab: AtWork, workstation: WorkstationId) -> None:
    lab.world.mark_marketplace(workstation, "abc")


@dataclass(frozen=True)
class Refused:
    """An instance that is refused. stopped_too: also when a person has stopped it. is_stopped: only shelving is."""

    words: str
    parameters: dict[str, Any] = field(default_factory=dict)
    happens: Callable[[AtWork, WorkstationId], None] = nothing
    stopped_too: bool = False
    is_stopped: bool = False


SHARED = {"/dev/sdf": {"VolumeType": "io2", "VolumeSize": 10, "Iops": 1000, "MultiAttachEnabled": True}}
REFUSED = [
    pytest.param(Refused("one-time Spot", {"spot": "one-time"}), id="one-time Spot"),
    pytest.param(Refused("stop protection", {"DisableApiStop": True}), id="stop protection"),
    pytest.param(
        Refused("hibernation", {"HibernationOptions": {"Configured": True}}, stopped_too=True), id="hibernation"
    ),
    pytest.param(Refused("instance-store disks", {"type": "c5d.large"}), id="instance store"),
    pytest.param(Refused("Auto Scaling group fleet", happens=joins_a_group, stopped_too=True), id="Auto Scaling"),
    pytest.param(
        Refused("Marketplace", happens=carries_a_product_code, stopped_too=True, is_stopped=True), id="Marketplace"
    ),
    pytest.param(Refused("several instances", {"disks": SHARED}, stopped_too=True, is_stopped=True), id="multi-attach"),
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


@pytest.mark.parametrize("case", REFUSED)
def test_what_may_not_be_stopped_or_shelved_is_not_and_the_page_says_why(lab: AtWork, case: Refused) -> None:
    workstation = made(lab, case)
    want(lab, workstation, Wanted.SHELVE)
    lab.pass_time(timedelta(minutes=30))
    assert case.words in str(lab.state(workstation).blocked)
    assert lab.owner.status(workstation).phase == "blocked"
    assert lab.calls() == (["StopInstances"] if case.is_stopped else [])
    instance = lab.instance(workstation)
    assert instance.state is (InstanceState.STOPPED if case.is_stopped else InstanceState.RUNNING)
    [notice] = lab.told.notices
    assert notice.kind is NoticeKind.BLOCKED
    assert case.words in notice.text
    if case.stopped_too:
        lab.ec2.stop_instances(InstanceIds=[workstation])
        lab.pass_time(timedelta(hours=1))
        assert case.words in str(lab.state(workstation).blocked)
        assert lab.disks.snapshots(workstation) == []
        lab.wake(workstation)


@pytest.mark.parametrize("case", REFUSED)
def test_an_idle_one_that_may_not_be_stopped_is_told_once_instead_of_a_warning(lab: AtWork, case: Refused) -> None:
    workstation = made(lab, case)
    lab.pass_time(timedelta(hours=6))
    told = [notice.kind for notice in lab.told.notices]
    if case.is_stopped:
        assert told == [NoticeKind.STOPS_SOON, NoticeKind.BLOCKED]
    else:
        assert told == [NoticeKind.BLOCKED]
        assert lab.state(workstation).intent is None
        assert lab.seen(workstation).at > lab.clock() - timedelta(minutes=6)
    assert case.words in lab.told.notices[-1].text
    assert "a day" in lab.told.notices[-1].text or "billed" in lab.told.notices[-1].text


def test_persistent_spot_is_stopped_and_never_shelved(lab: AtWork) -> None:
    workstation = lab.workstation(spot="persistent")
    before = lab.shape(workstation)
    lab.asleep(workstation)
    lab.pass_time(timedelta(hours=2))
    assert lab.shape(workstation) == before
    assert lab.disks.snapshots(workstation) == []
    assert not {"CreateSnapshots", "DetachVolume", "DeleteVolume"} & set(lab.calls())
    assert "A Spot instance is only stopped" in str(lab.owner.status(workstation).problems)
    lab.wake(workstation)
    instance = lab.instance(workstation)
    assert instance.spot is SpotKind.PERSISTENT
