"""How a workstation stands, in the words of the page."""

from datetime import timedelta
from typing import Any

import pytest

from autostop.app.jupyter_address import Reach, lab_of
from autostop.app.status import Phase
from autostop.idle.reading import Reading
from autostop.model import InstanceState, WorkstationId, instance_of
from autostop.settings import Policy
from autostop.sleep.undo_of_a_stop import UNDO_FOR
from tests.app.autostop_at_work import AtWork
from tests.build import NOW, instance, reading, row, server

FIELDS = {
    "workstation", "name", "now", "phase", "headline", "intent", "waiting_for", "blocked", "verdict",
    "warned_at", "keep_awake_until", "keep_awake_for", "undo_until", "usual_seconds", "wake", "steps", "jupyter_url",
    "jupyter", "address", "ssh_user", "cost", "prices", "billed", "problems", "told", "scopes", "hindered_since",
}  # fmt: skip


def test_through_a_whole_night(lab: AtWork) -> None:
    workstation = lab.workstation()
    lab.pass_time(timedelta(minutes=20))
    awake = lab.owner.status(workstation)
    assert awake.phase is Phase.AWAKE
    assert awake.headline.startswith("Awake: ")
    assert awake.billed == ""
    body = awake.as_json()
    assert body.keys() == FIELDS
    assert isinstance(body["verdict"], dict)
    assert body["verdict"].keys() == {"kind", "since", "at", "due_at", "stop_at", "stop_cause", "reasons", "signals"}
    assert {signal["name"] for signal in body["verdict"]["signals"]} >= {"processor", "network", "kernels"}
    assert awake.jupyter_url is not None
    assert awake.jupyter_url.endswith(":8888/lab")

    lab.pass_time(timedelta(hours=3), lambda: "CreateSnapshots" in lab.calls())
    lab.pass_time(timedelta(minutes=1))
    falling = lab.owner.status(workstation)
    assert falling.phase is Phase.FALLING_ASLEEP
    assert "idle for" in falling.headline
    assert "snapshots: " in falling.headline
    assert falling.jupyter_url is None

    lab.asleep(workstation)
    asleep = lab.owner.status(workstation)
    assert asleep.phase is Phase.ASLEEP
    assert asleep.headline.startswith("Asleep since ")
    assert asleep.cost_now < asleep.cost_awake
    assert asleep.billed == f"Billed now: at most ${asleep.cost_now:.2f} a month for its snapshots."
    assert [step.text for step in asleep.steps][-1] == "done: the workstation is asleep."
    assert [step.at for step in asleep.steps] == sorted(step.at for step in asleep.steps)

    lab.owner.start(workstation, "the phone")
    waking = lab.owner.status(workstation)
    assert waking.phase is Phase.WAKING
    lab.awake(workstation)
    assert lab.owner.status(workstation).cost_awake == asleep.cost_awake


@pytest.mark.parametrize(("settings", "parameters", "why"), [
    ({"shelve-after": "off"}, {}, "its shelve-after is off"),
    ({"shelve-after": "12h"}, {}, "its shelve-after is 12 h"),
    ({}, {"spot": "persistent"}, "a Spot instance is only stopped"),
])  # fmt: skip
def test_volumes_that_are_billed_while_it_is_stopped_are_told_with_the_reason(
    lab: AtWork, settings: dict[str, str], parameters: dict[str, Any], why: str
) -> None:
    workstation = lab.workstation(settings=settings, **parameters)
    lab.pass_time(timedelta(minutes=5))
    lab.owner.stop(workstation, "the phone")
    lab.pass_time(timedelta(minutes=30))
    status = lab.owner.status(workstation)
    assert status.phase is Phase.ASLEEP
    assert status.billed == f"Billed now: ${status.cost_now:.2f} a month for its volumes, because {why}."


def test_stopped_in_the_console_while_it_is_kept_awake_it_says_so(lab: AtWork) -> None:
    workstation = lab.workstation()
    lab.pass_time(timedelta(minutes=5))
    lab.owner.keep_awake(workstation, "the phone", timedelta(hours=3))
    lab.instances.stop(instance_of(workstation))
    lab.pass_time(timedelta(minutes=30))
    assert "stopped outside Autostop and is kept awake until 11:05 UTC" in lab.owner.status(workstation).billed


def test_it_is_told_by_the_owners_clock_and_in_json_by_utc(lab: AtWork) -> None:
    workstation = lab.workstation(settings={"time-zone": "Asia/Tokyo"})
    lab.pass_time(timedelta(minutes=5))
    lab.owner.stop(workstation, "the phone")
    lab.pass_time(timedelta(minutes=30))
    status = lab.owner.status(workstation)
    intent = status.state.intent
    assert intent is not None
    assert intent.settled_at is not None
    assert f"Asleep since {intent.settled_at + timedelta(hours=9):%H:%M} JST" in status.headline
    assert str(status.as_json()["now"]).endswith("+00:00")


def test_while_it_is_blocked_its_volumes_are_billed(lab: AtWork) -> None:
    workstation = lab.workstation()
    lab.pass_time(timedelta(minutes=5))
    lab.world.fail_next("CreateSnapshots", "UnauthorizedOperation", times=1000)
    lab.owner.stop(workstation, "the phone")
    lab.pass_time(timedelta(minutes=30), lambda: lab.is_blocked(workstation))
    assert "for its volumes, because it is blocked." in lab.owner.status(workstation).billed


def test_what_the_owner_was_told_is_listed_as_long_as_it_holds(lab: AtWork) -> None:
    workstation = lab.workstation()
    lab.ec2.modify_instance_attribute(InstanceId=workstation, DisableApiStop={"Value": True})
    lab.pass_time(timedelta(hours=3), lambda: lab.state(workstation).told != ())
    told: Any = lab.owner.status(workstation).as_json()["told"]
    assert [each["kind"] for each in told] == ["blocked"]
    assert "Turn off `disableApiStop`" in told[0]["text"] == lab.told.notices[0].text
    lab.ec2.modify_instance_attribute(InstanceId=workstation, DisableApiStop={"Value": False})
    lab.pass_time(timedelta(hours=9))
    assert lab.owner.status(workstation).as_json()["told"] == []


def test_what_nobody_knows_is_unknown(lab: AtWork) -> None:
    status = lab.owner.status(WorkstationId("i-0123456789abcdef0"))
    assert status.phase is Phase.UNKNOWN
    assert status.as_json()["intent"] is None


def test_terminated_after_it_was_shelved_its_snapshots_are_kept(lab: AtWork) -> None:
    workstation = lab.workstation()
    lab.asleep(workstation)
    lab.ec2.terminate_instances(InstanceIds=[workstation])
    lab.owner.start(workstation, "the phone")
    lab.pass_time(timedelta(minutes=5), lambda: lab.is_blocked(workstation))
    status = lab.owner.status(workstation)
    assert status.phase is Phase.BLOCKED
    assert "snapshots are kept" in status.headline
    assert len(lab.disks.snapshots(workstation)) == 3


def test_a_setting_that_cannot_be_read_is_a_problem_on_the_page(lab: AtWork) -> None:
    workstation = lab.workstation(settings={"idle-after": "abc"})
    [problem] = lab.owner.status(workstation).problems
    assert "autostop:idle-after = 'abc'" in problem


@pytest.mark.parametrize(("servers", "port"), [
    row("another user's is busy", [(9999, 1001, 1), (8888, 1000, 0)], 8888),
    row("the port that was set is another's", [(9999, 1000, 1), (8888, 1001, 0)], 8888),
    row("none is at the port that was set", [(9000, 1001, 1), (9999, 1000, 0)], 9999),
    row("only of one user", [(9999, 1000, 1), (8890, 1000, 0)], 8890),
    row("another's is on a socket", [(0, 1000, 1), (8890, 1001, 0)], 8890),
])  # fmt: skip
def test_no_other_user_puts_his_server_under_the_owners_button(servers: list[tuple[int, int, int]], port: int) -> None:
    running = instance(InstanceState.RUNNING, address="192.0.2.9", launched_at=NOW)
    told = reading(NOW, *(server(port=each, uid=uid, busy=busy, busy_active_at=NOW) for each, uid, busy in servers))

    lab = lab_of([None, told], running, Policy())

    assert lab is not None
    assert lab.direct == f"https://192.0.2.9:{port}/lab"


@pytest.mark.parametrize(("of_the_server", "public", "reach", "url"), [
    row("from anywhere", {"base": "/team/"}, True, Reach.OPEN, "https://192.0.2.9:8888/team/lab"),
    row("in its own network", {}, False, Reach.PRIVATE, "https://192.0.2.9:8888/lab"),
    row("without TLS", {"secure": False}, True, Reach.PLAIN, "http://localhost:8888/lab"),
    row("without TLS, in its own network", {"secure": False}, False, Reach.PLAIN, "http://localhost:8888/lab"),
    row("to the machine alone", {"local": True}, True, Reach.LOCAL, "https://localhost:8888/lab"),
    row("to the machine alone, without TLS", {"local": True, "secure": False, "base": "/a/"}, True, Reach.LOCAL,
        "http://localhost:8888/a/lab"),
])  # fmt: skip
def test_its_jupyterlab_opens_only_where_it_can(
    of_the_server: dict[str, Any], public: bool, reach: Reach, url: str
) -> None:
    running = instance(InstanceState.RUNNING, address="192.0.2.9", launched_at=NOW, public=public)

    lab = lab_of([reading(NOW, server(**of_the_server))], running, Policy())

    assert lab is not None
    assert (lab.reach, lab.url) == (reach, url)
    assert lab.direct == (url if reach in (Reach.OPEN, Reach.PRIVATE) else None)


@pytest.mark.parametrize(
    "answers", [[], [reading(NOW, server(port=0))], [reading(NOW - timedelta(seconds=1), server())]]
)
def test_a_socket_and_what_answered_before_this_start_open_nothing(answers: list[Reading]) -> None:
    assert lab_of(answers, instance(InstanceState.RUNNING, address="192.0.2.9", launched_at=NOW), Policy()) is None


def test_a_stop_can_be_turned_back_until_ec2_is_told(lab: AtWork) -> None:
    workstation = lab.workstation()
    lab.pass_time(timedelta(minutes=5))
    lab.owner.stop(workstation, "the phone")
    asked_at = lab.clock()
    lab.pass_time(timedelta(seconds=9))
    assert lab.owner.status(workstation).as_json()["undo_until"] == (asked_at + UNDO_FOR).isoformat()
    lab.owner.start(workstation, "the phone")
    lab.pass_time(timedelta(minutes=1))
    assert lab.owner.status(workstation).phase is Phase.AWAKE
    assert "StopInstances" not in lab.calls()
    assert lab.state(workstation).wakes == ()

    lab.owner.stop(workstation, "the phone")
    lab.pass_time(timedelta(seconds=11))
    assert lab.owner.status(workstation).undo_until is None
    assert lab.calls().count("StopInstances") == 1
