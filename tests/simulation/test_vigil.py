"""The vigil notices what nobody judged and nobody was told: planted, by an Autostop whose sweeps do nothing."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from autostop import tags
from tests.simulation import rest
from tests.simulation.lab import Lab
from tests.simulation.weather import Planned

MINUTES, HOURS, DAYS = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
DISKS = {"/dev/sda1": {"VolumeType": "gp3", "VolumeSize": 50, "DeleteOnTermination": True}}


@pytest.fixture
def lab() -> Iterator[Lab]:
    lab = Lab(1, disks=DISKS, weather=Planned(), settings={"shelve-after": "0", "idle-after": "20m", "grace": "5m"})
    yield lab
    lab.close()


def silence(lab: Lab) -> None:
    """From now on sweeps begin and end, and do nothing."""
    lab.sweeper = _Idle()  # type: ignore[assignment]  # as much of it as is called


class _Idle:
    unheard = ()

    def sweep(self, _now: object) -> "_Idle":
        return self


def kinds(lab: Lab) -> set[str]:
    return set(lab.vigil.problems)


def test_nothing_is_wrong_in_a_calm_night_and_the_days_after(lab: Lab) -> None:
    rest.fall_asleep(lab)
    rest.wake(lab)
    lab.pass_time(3 * DAYS)
    assert lab.vigil.problems == {}
    assert {each.kind for each in lab.vigil.told} == {"stops-soon"}


def test_a_machine_that_runs_unjudged_is_noticed_once_sweeps_had_their_chance(lab: Lab) -> None:
    lab.pass_time(6 * MINUTES)
    silence(lab)
    lab.pass_time(29 * MINUTES)
    assert kinds(lab) == set()
    lab.pass_time(12 * MINUTES)
    assert kinds(lab) == {"unjudged"}


def test_sweeps_that_fail_for_an_hour_are_told_by_the_alarm(lab: Lab) -> None:
    lab.pass_time(6 * MINUTES)
    lab.world.forbid("DescribeInstances")
    lab.pass_time(50 * MINUTES)
    assert [each.kind for each in lab.vigil.told] == []
    lab.pass_time(15 * MINUTES)
    assert [each.kind for each in lab.vigil.told] == ["alarm"]
    lab.world.allow()
    silence(lab)
    lab.pass_time(45 * MINUTES)
    assert kinds(lab) == {"unjudged"}


def test_a_machine_past_its_limit_is_noticed_and_a_start_or_a_promise_counts_anew(lab: Lab) -> None:
    lab.vigil.max_run = 2 * HOURS
    silence(lab)
    lab.pass_time(1 * HOURS)
    lab.tap("start")
    lab.pass_time(170 * MINUTES)
    lab.tap("keep-awake")  # for an hour
    lab.pass_time(235 * MINUTES)
    assert kinds(lab) == {"unjudged"}
    lab.pass_time(50 * MINUTES)
    assert kinds(lab) == {"unjudged", "limit"}


def test_what_is_not_ours_and_what_does_not_run_need_not_be_judged(lab: Lab) -> None:
    silence(lab)
    lab.tag(lab.workstation, tags.AUTOSTOP, None)
    lab.pass_time(2 * HOURS)
    lab.tag(lab.workstation, tags.AUTOSTOP, "on")
    lab.person("StopInstances", InstanceIds=[lab.workstation])
    lab.pass_time(2 * HOURS)
    assert kinds(lab) == set()


@pytest.mark.parametrize(("told", "wrong"), [
    (None, {"untold"}),
    (("stops-soon", "its key is lost"), {"untold"}),
    (("blocked", "its disk is lost"), {"untold"}),
    (("blocked", "since 8:05: its key is lost"), set()),
])  # fmt: skip
def test_a_blocked_workstation_whose_owner_is_not_told_is_noticed(
    lab: Lab, told: tuple[str, str] | None, wrong: set[str]
) -> None:
    silence(lab)
    lab.tap("stop")
    lab.pass_time(5 * MINUTES)
    lab.ledger.save(replace(lab.state(), blocked="its key is lost"))
    if told is not None:
        lab.announced(told[0], {"workstation": lab.workstation, "text": told[1]})
    lab.pass_time(110 * MINUTES)
    assert kinds(lab) == set()
    lab.pass_time(20 * MINUTES)
    assert kinds(lab) == wrong


def test_a_wish_that_is_refused_for_hours_is_noticed_until_it_is_told(lab: Lab) -> None:
    silence(lab)
    lab.world.forbid("StopInstances")
    lab.tap("stop")
    lab.pass_time(3 * HOURS)
    # It is blocked, so that is noticed before; the wish is the only thing that is known of it otherwise.
    lab.ledger.save(replace(lab.state(), blocked=None))
    lab.vigil.problems.clear()
    for _ in range(30):
        lab.vigil.refused("StopInstances")
        lab.pass_time(5 * MINUTES)
        lab.ledger.save(replace(lab.state(), blocked=None))
    assert "unreached, and StopInstances is refused since 23 08:" in lab.vigil.problems["untold"]


@pytest.mark.parametrize(("told", "wrong"), [
    (None, {"left untold"}),
    ("a snapshot stays", {"left untold"}),
    ("a snapshot stays, which costs $0.05 a month", set()),
])  # fmt: skip
def test_what_is_left_over_for_days_and_not_told_with_its_cost_is_noticed(
    lab: Lab, told: str | None, wrong: set[str]
) -> None:
    rest.fall_asleep(lab)
    rest.wake(lab)
    ours: Any = {tags.AUTOSTOP: tags.ON, tags.WORKSTATION: lab.workstation, tags.CYCLE: "0"}
    lab.person(
        "CreateSnapshot",
        VolumeId=lab.disks_there()[0].id,
        TagSpecifications=[{"ResourceType": "snapshot", "Tags": [{"Key": k, "Value": v} for k, v in ours.items()]}],
    )
    silence(lab)
    lab.pass_time(1 * DAYS)
    if told is not None:
        lab.announced("housekeeping", {"workstation": lab.workstation, "text": told})
    lab.vigil.problems.clear()
    lab.pass_time(2 * DAYS)
    assert kinds(lab) - {"unjudged"} == wrong
