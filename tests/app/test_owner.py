"""What the owner asks for."""

from datetime import timedelta

import pytest

from autostop import tags
from autostop.app.links import open_link
from autostop.app.owner import RefusedError
from autostop.model import WorkstationId
from autostop.notice import NoticeKind
from autostop.ports import TransientError
from autostop.sleep.intent import By, Wanted
from tests.app.autostop_at_work import SECRET, AtWork


@pytest.fixture
def workstation(lab: AtWork) -> WorkstationId:
    return lab.workstation()


def numbered(lab: AtWork, workstation: WorkstationId) -> int:
    intent = lab.state(workstation).intent
    return intent.number if intent else 0


def test_a_second_tap_on_start_changes_nothing(lab: AtWork, workstation: WorkstationId) -> None:
    lab.owner.start(workstation, "the phone")
    first = lab.state(workstation)
    lab.owner.start(workstation, "the phone")
    assert lab.state(workstation) == first
    assert first.intent is not None
    assert (first.intent.wanted, first.intent.by) == (Wanted.RUN, By.OWNER)


def test_who_wants_to_know_when_it_is_up_is_told_once(lab: AtWork, workstation: WorkstationId) -> None:
    lab.asleep(workstation)
    lab.told.notices.clear()
    lab.owner.start(workstation, "the phone")
    lab.owner.start(workstation, "the phone", tells=True)
    lab.owner.start(workstation, "the phone")
    lab.awake(workstation)
    lab.pass_time(timedelta(minutes=20))
    [notice] = lab.told.notices
    assert (notice.kind, notice.title) == (NoticeKind.IS_UP, "It is up: lab")
    lab.owner.start(workstation, "the phone")
    lab.awake(workstation)
    assert lab.told.notices == [notice]


@pytest.mark.parametrize("wish", ["start", "stop"])
def test_asking_again_for_what_is_blocked_is_another_try(lab: AtWork, workstation: WorkstationId, wish: str) -> None:
    lab.ec2.delete_tags(Resources=[workstation], Tags=[{"Key": tags.AUTOSTOP}])
    ask = lab.owner.start if wish == "start" else lab.owner.stop
    ask(workstation, "the phone")
    lab.pass_time(timedelta(minutes=5), lambda: lab.is_blocked(workstation))
    assert numbered(lab, workstation) == 1
    ask(workstation, "the phone")
    assert numbered(lab, workstation) == 2
    assert lab.state(workstation).blocked is None


def test_a_tap_on_start_while_it_runs_is_a_sign_of_somebody(lab: AtWork, workstation: WorkstationId) -> None:
    lab.pass_time(timedelta(minutes=44))
    lab.owner.start(workstation, "the phone")
    lab.pass_time(timedelta(minutes=40))
    assert "StopInstances" not in lab.calls()
    lab.asleep(workstation, within=timedelta(minutes=30))


def test_who_lost_the_tag_is_not_asked_about_jupyter_either(lab: AtWork, workstation: WorkstationId) -> None:
    lab.ec2.delete_tags(Resources=[workstation], Tags=[{"Key": tags.AUTOSTOP}])
    lab.owner.start(workstation, "the phone")
    lab.pass_time(timedelta(minutes=5))
    assert lab.is_blocked(workstation)
    assert lab.calls("SendCommand") == []


def test_a_second_tap_on_stop_changes_nothing_and_start_overrules_it(lab: AtWork, workstation: WorkstationId) -> None:
    lab.owner.stop(workstation, "the phone")
    lab.owner.stop(workstation, "the phone")
    assert numbered(lab, workstation) == 1
    lab.owner.start(workstation, "the phone")
    assert numbered(lab, workstation) == 2


def test_stop_never_overrules_a_shelving_that_is_under_way(lab: AtWork, workstation: WorkstationId) -> None:
    lab.pass_time(timedelta(hours=3), lambda: "CreateSnapshots" in lab.calls())
    before = lab.state(workstation).intent
    lab.owner.stop(workstation, "the phone")
    assert lab.state(workstation).intent == before


def promised_for(lab: AtWork, workstation: WorkstationId) -> timedelta:
    """How long it is kept awake from now; below 0 once that is over."""
    until = lab.state(workstation).kept_awake_until
    assert until is not None
    return round((until - lab.clock()) / timedelta(minutes=1)) * timedelta(minutes=1)


def test_a_named_time_shortens_a_promise_and_a_tap_without_one_does_not(
    lab: AtWork, workstation: WorkstationId
) -> None:
    lab.owner.keep_awake(workstation, "the command", timedelta(hours=8))
    lab.owner.keep_awake(workstation, "the phone")
    assert promised_for(lab, workstation) == timedelta(hours=8)
    lab.owner.keep_awake(workstation, "the command", timedelta(hours=2))
    assert promised_for(lab, workstation) == timedelta(hours=2)


@pytest.mark.parametrize(
    ("settings", "hours"), [({}, 72), ({"longest-promise": "12h"}, 12), ({"longest-promise": "off"}, 500)]
)
def test_a_promise_goes_no_further_than_the_longest(lab: AtWork, settings: dict[str, str], hours: int) -> None:
    workstation = lab.workstation(settings=settings)
    lab.owner.keep_awake(workstation, "the command", timedelta(hours=500))
    assert promised_for(lab, workstation) == timedelta(hours=hours)
    # Nor by many taps.
    for _ in range(3):
        lab.owner.keep_awake(workstation, "the phone")
    assert promised_for(lab, workstation) == timedelta(hours=hours)


def test_a_promise_that_is_taken_back_keeps_nothing_awake(lab: AtWork, workstation: WorkstationId) -> None:
    lab.pass_time(timedelta(minutes=20))
    lab.owner.keep_awake(workstation, "the phone", timedelta(hours=8))
    lab.pass_time(timedelta(minutes=20))
    lab.owner.end_promise(workstation, "the phone")
    lab.owner.end_promise(workstation, "the phone")
    assert promised_for(lab, workstation) <= timedelta(0)
    lab.asleep(workstation, within=timedelta(minutes=70))


def test_where_nothing_is_promised_nothing_is_taken_back(lab: AtWork, workstation: WorkstationId) -> None:
    before = lab.state(workstation)
    lab.owner.end_promise(workstation, "the phone")
    assert lab.state(workstation) == before


def test_a_stop_ends_the_promise_it_is_shelved_and_the_start_after_it_revives_nothing(
    lab: AtWork, workstation: WorkstationId
) -> None:
    lab.pass_time(timedelta(minutes=5))
    lab.owner.keep_awake(workstation, "the phone", timedelta(hours=8))
    until = lab.state(workstation).kept_awake_until
    lab.owner.stop(workstation, "the phone")
    lab.asleep(workstation, within=timedelta(minutes=30))
    assert f"which ended the promise to keep it awake until {until:%H:%M} UTC" in lab.owner.status(workstation).headline
    lab.owner.start(workstation, "the phone")
    lab.awake(workstation)
    lab.asleep(workstation, within=timedelta(minutes=90))


def test_keep_awake_never_shortens_a_promise(lab: AtWork, workstation: WorkstationId) -> None:
    lab.owner.keep_awake(workstation, "the phone")
    first = lab.state(workstation).kept_awake_until
    lab.clock.advance(timedelta(minutes=10))
    lab.owner.keep_awake(workstation, "the phone")
    second = lab.state(workstation).kept_awake_until
    assert first is not None
    assert second is not None
    assert timedelta(minutes=10) <= second - first < timedelta(minutes=11)


def test_keep_awake_turns_a_stop_for_idleness_back(lab: AtWork, workstation: WorkstationId) -> None:
    lab.pass_time(timedelta(hours=3), lambda: "StopInstances" in lab.calls())
    lab.owner.keep_awake(workstation, "the phone")
    lab.awake(workstation)
    assert "the phone keeps it awake" in lab.steps(workstation)
    assert "DeleteVolume" not in lab.calls()


@pytest.mark.parametrize("asleep", [False, True], ids=["on its way", "asleep"])
def test_keep_awake_is_refused_to_what_was_asked_to_sleep(
    lab: AtWork, workstation: WorkstationId, asleep: bool
) -> None:
    lab.owner.stop(workstation, "the phone")
    if asleep:
        lab.asleep(workstation)
    before = lab.state(workstation)
    with pytest.raises(RefusedError) as refused:
        lab.owner.keep_awake(workstation, "the phone")
    assert refused.value.remedy == "Start it instead."
    assert lab.state(workstation) == before


def test_a_write_that_was_overtaken_is_decided_again(lab: AtWork, workstation: WorkstationId) -> None:
    lab.after("TransactGetItems", lambda: lab.ledger.save(lab.ledger.load(workstation)))
    lab.owner.start(workstation, "the phone")
    assert numbered(lab, workstation) == 1


def test_who_is_overtaken_for_ever_is_told_so(lab: AtWork, workstation: WorkstationId) -> None:
    def another_writes() -> None:
        state = lab.ledger.load(workstation)
        lab.after("TransactGetItems", another_writes)
        lab.ledger.save(state)

    lab.after("TransactGetItems", another_writes)
    with pytest.raises(TransientError, match="changes too fast"):
        lab.owner.start(workstation, "the phone")


def test_a_link_opens_only_its_own_workstation_until_it_expires(lab: AtWork, workstation: WorkstationId) -> None:
    lab.link(workstation, expires_at=lab.clock() + timedelta(hours=1))
    assert open_link(lab.ledger, workstation, SECRET, lab.clock()) is not None
    assert open_link(lab.ledger, lab.neighbour(), SECRET, lab.clock()) is None
    assert open_link(lab.ledger, workstation, SECRET[::-1], lab.clock()) is None
    assert open_link(lab.ledger, workstation, "", lab.clock()) is None
    lab.clock.advance(timedelta(hours=1))
    assert open_link(lab.ledger, workstation, SECRET, lab.clock()) is None


def test_the_use_of_a_link_is_noted(lab: AtWork, workstation: WorkstationId) -> None:
    lab.link(workstation)
    open_link(lab.ledger, workstation, SECRET, lab.clock())
    link = lab.ledger.find_link(workstation, SECRET)
    assert link is not None
    assert link.last_used_at is not None
