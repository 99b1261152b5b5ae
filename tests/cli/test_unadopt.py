"""`autostop unadopt`: what goes, what stays, and that no data goes with it, interrupted wherever it may be."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import click
import pytest

from autostop import tags
from autostop.app import links
from autostop.link import Scope
from autostop.model import Checks, InstanceState, Observation, SnapshotState, WorkstationId
from autostop.ports import ConflictError
from autostop.sleep.intent import By, Intent, Wanted, following
from autostop.state import State
from autostop_cli.unadopt import plan_parting, unadopt, why_not_let_go
from tests import build
from tests.app.autostop_at_work import CrashedError
from tests.build import row
from tests.cli.desk import Desk, account_of, desk

RUNS = build.instance(InstanceState.RUNNING, launched_at=build.NOW)


def awake(**other: Any) -> Observation:
    """It runs from cycle 1, and EC2's checks pass."""
    restored = (build.restored(build.ROOT), build.restored(build.DATA))
    return build.seen(**{"instance": RUNS, "volumes": restored, "snapshots": build.snapshots(), **other})


# -- which snapshots may go


@pytest.mark.parametrize(("seen", "why"), [
    row("its disk runs", awake(), None),
    row("its own volume runs, that was never deleted", awake(volumes=build.both()), None),
    row("it is stopped", awake(instance=build.instance()), "no start has shown"),
    row("its checks fail", awake(checks=Checks.IMPAIRED), "no start has shown"),
    row("its disk was taken out", awake(volumes=(build.restored(build.ROOT),)), "is not attached"),
    row("another disk is in its place",
        awake(volumes=(build.restored(build.ROOT), build.volume(build.DATA, id="vol-x"))), "not what it was made of"),
])  # fmt: skip
def test_a_snapshot_goes_only_where_its_disk_runs(seen: Observation, why: str | None) -> None:
    found = why_not_let_go(build.snapshot(build.DATA), seen, build.manifest())
    assert (found is None) if why is None else why in (found or "")


def test_a_snapshot_of_which_nothing_is_known_stays() -> None:
    later = build.snapshot(build.DATA, tags={**build.snapshot(build.DATA).tags, tags.CYCLE: "2"})
    assert why_not_let_go(later, awake(), build.manifest()) is not None
    assert why_not_let_go(build.snapshot(), awake(), None) is not None


def test_an_older_one_of_a_disk_that_runs_goes_too_and_a_failed_one_always() -> None:
    older = build.snapshot(build.DATA, tags={**build.snapshot(build.DATA).tags, tags.CYCLE: "0"})
    failed = build.snapshot(build.ROOT, state=SnapshotState.ERROR)
    state = State(build.ID, manifest=build.manifest())
    plan = plan_parting(awake(snapshots=(older, failed)), state, wake_first=False, keep_snapshots=False)
    assert plan.deleted == (older, failed)
    kept = plan_parting(awake(snapshots=(older, failed)), state, wake_first=False, keep_snapshots=True)
    assert kept.deleted == (failed,)
    assert kept.cost == pytest.approx(500 * 0.05)


@pytest.mark.parametrize(("other", "intent", "word"), [
    row("terminated", {"instance": build.instance(InstanceState.TERMINATED)}, None, "terminated"),
    row("stopping", {"instance": build.instance(InstanceState.STOPPING)}, None, "Wait until that is over"),
    row("on its way", {}, Intent(1, Wanted.RUN, By.OWNER, build.NOW, "a tap"), "on its way to `run` (a tap)"),
    row("asleep", {"instance": build.instance(), "volumes": ()}, None, "--wake-first"),
])  # fmt: skip
def test_what_is_refused_says_what_to_do(other: dict[str, Any], intent: Intent | None, word: str) -> None:
    state = State(build.ID, manifest=build.manifest(), intent=intent)
    plan = plan_parting(awake(**other), state, wake_first=False, keep_snapshots=False)
    assert word in " ".join(plan.refusals)


def test_what_is_blocked_may_be_left() -> None:
    state = State(
        build.ID, intent=following(None, Wanted.SHELVE, By.IDLE, "idle", build.NOW), blocked="it is not stopped"
    )
    assert plan_parting(awake(), state, wake_first=False, keep_snapshots=False).refusals == ()


def test_what_the_machine_reads_for_itself_stays_on_it() -> None:
    machine = replace(RUNS, tags={**RUNS.tags, tags.BUCKET: "b", tags.PREFIX + "idle-after": "45m", "Owner": "ada"})
    plan = plan_parting(awake(instance=machine), State(build.ID), wake_first=False, keep_snapshots=False)
    assert plan.untagged[build.ID] == (tags.AUTOSTOP, tags.PREFIX + "idle-after")
    assert any(tags.BUCKET in each for each in plan.notes)


# -- the command


@pytest.fixture
def at(tmp_path: Path) -> Iterator[Desk]:
    with desk(tmp_path / "world", over_http=False) as made:
        yield made


class Ssm:
    """Parameter Store, as far as it is asked to delete secrets."""

    deleted: list[str]

    def __init__(self) -> None:
        self.deleted = []

    def delete_parameters(self, **asked: list[str]) -> None:
        self.deleted += asked["Names"]


def leave(at: Desk, lab: WorkstationId, **options: Any) -> Ssm:
    """One call of the command, by a new process."""
    account, ssm = account_of(at.lab, at.account.sleep), Ssm()
    vars(account).update(ssm=ssm, owner=at.lab.owner)
    unadopt(account, lab, yes=True, **options)
    return ssm


def passing(at: Desk) -> Callable[[float], None]:
    return lambda seconds: void(at.lab.pass_time(timedelta(seconds=seconds)))


def void(_value: object) -> None: ...


def a_night_later(at: Desk) -> WorkstationId:
    """A workstation that slept, and was woken; with a link."""
    lab = asleep(at)
    at.lab.wake(lab)
    at.lab.answers[lab].busy = True
    at.lab.pass_time(timedelta(minutes=20))
    return lab


def asleep(at: Desk) -> WorkstationId:
    lab = at.lab.workstation()
    at.lab.write(lab, "monday")
    links.make_link(at.lab.ledger, "https://x", lab, "phone", tuple(Scope), None, at.clock())
    at.lab.asleep(lab)
    at.world.tick()
    return lab


def nothing_is_ours(at: Desk, lab: WorkstationId) -> bool:
    cloud = at.world.cloud
    for thing in (*cloud.instances.values(), *cloud.volumes.values(), *cloud.snapshots.values()):
        assert not [key for key in thing.tags if key.startswith("autostop")], thing
    assert {
        kind for workstation, kind in at.lab.table.items if lab in (workstation, kind) and "event#" not in kind
    } == set()
    return True


def test_one_that_is_awake_keeps_its_disks_and_loses_everything_of_ours(at: Desk) -> None:
    lab = a_night_later(at)
    shape = at.lab.shape(lab)
    ssm = leave(at, lab)
    assert nothing_is_ours(at, lab)
    assert at.world.cloud.snapshots == {}
    assert at.lab.shape(lab) == shape
    assert at.lab.content(lab)["/dev/sdf"] == "monday /dev/sdf"
    assert at.world.instance(lab).state == "running"
    assert ssm.deleted == [f"/autostop/{lab}/jupyter-token", f"/autostop/{lab}/notice-url"]


def test_days_later_no_sweep_has_touched_it_told_of_it_or_written_of_it_again(at: Desk) -> None:
    lab = a_night_later(at)
    leave(at, lab)
    at.lab.answers[lab].busy = False
    at.lab.told.notices.clear()
    at.world.journal.clear()
    at.lab.pass_time(timedelta(days=2))
    assert nothing_is_ours(at, lab)
    assert at.lab.told.notices == []
    assert at.lab.calls("StopInstances", "CreateSnapshots", "CreateTags") == []


def test_a_sweep_that_began_before_writes_nothing_of_it_again(at: Desk) -> None:
    lab = a_night_later(at)
    at.world.tag(lab, {"autostop:idle-after": "soon"})
    at.lab.after("GetMetricData", lambda: leave(at, lab))
    at.lab.sweep()
    assert nothing_is_ours(at, lab)


def test_a_tap_meanwhile_is_not_forgotten(at: Desk) -> None:
    lab = a_night_later(at)
    at.lab.after("DeleteTags", lambda: at.lab.owner.stop(lab, "the test"))
    with pytest.raises(click.ClickException, match="Run it again"):
        leave(at, lab)
    leave(at, lab)
    assert nothing_is_ours(at, lab)


def test_the_snapshots_are_kept_where_that_is_wanted_and_their_price_is_told(
    at: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    lab = a_night_later(at)
    kept = set(at.world.cloud.snapshots)
    leave(at, lab, keep_snapshots=True)
    assert set(at.world.cloud.snapshots) == kept
    assert "What stays costs at most $" in capsys.readouterr().out
    assert all(not each.tags.get("autostop") for each in at.world.cloud.volumes.values())


def test_one_that_is_asleep_is_left_only_by_one_of_two_words(at: Desk) -> None:
    lab = asleep(at)
    at.world.journal.clear()
    with pytest.raises(click.ClickException, match=r"--wake-first .* or --keep-snapshots"):
        leave(at, lab)
    assert at.lab.calls("DeleteTags", "DeleteSnapshot", "StartInstances") == []
    assert at.lab.ledger.load(lab).version


def test_woken_first_it_has_its_disks(at: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    lab = asleep(at)
    monkeypatch.setitem(at.account.__dict__, "sleep", passing(at))
    leave(at, lab, wake_first=True)
    assert nothing_is_ours(at, lab)
    assert at.world.cloud.snapshots == {}
    assert at.lab.content(lab)["/dev/sdf"] == "monday /dev/sdf"


def test_left_asleep_its_snapshots_stay_and_adopted_again_they_bring_it_back(
    at: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    lab = asleep(at)
    kept = {each.id: dict(each.tags) for each in at.world.cloud.snapshots.values()}
    leave(at, lab, keep_snapshots=True)
    assert "as long as its snapshots keep their tags" in capsys.readouterr().out
    at.lab.pass_time(timedelta(days=2))
    assert {each.id: each.tags for each in at.world.cloud.snapshots.values()} == kept
    assert at.tags(lab) == {"Name": "lab"}
    at.lab.adopt(lab)
    at.lab.pass_time(timedelta(minutes=20))
    at.lab.wake(lab)
    assert at.lab.content(lab)["/dev/sdf"] == "monday /dev/sdf"


def test_a_dry_run_changes_nothing(at: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    lab = a_night_later(at)
    at.world.journal.clear()
    leave(at, lab, dry_run=True)
    assert "this was a dry run" in capsys.readouterr().out
    assert at.lab.calls("DeleteTags", "DeleteSnapshot") == []
    assert at.lab.ledger.load(lab).version


def test_what_nobody_adopted_is_left_alone(at: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    lab = at.lab.neighbour()
    at.clock.advance(timedelta(minutes=5))
    leave(at, lab)
    assert "it is not adopted" in capsys.readouterr().out


def test_what_aws_does_not_delete_is_told(at: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    lab = a_night_later(at)
    at.world.forbid("DeleteSnapshot")
    leave(at, lab)
    assert "AWS does not delete snap-" in capsys.readouterr().out
    assert at.world.cloud.snapshots


def test_while_autostop_is_at_work_it_waits_for_another_time(at: Desk) -> None:
    lab = a_night_later(at)
    at.lab.ledger.take_lease(lab, "x", at.clock(), at.clock() + timedelta(minutes=1))
    with pytest.raises(click.ClickException, match="at work"):
        leave(at, lab)
    assert tags.is_ours(at.tags(lab))


def test_after_a_death_at_any_call_the_next_one_leaves_nothing_of_ours(tmp_path: Path) -> None:
    for nth in range(1, 60):
        with desk(tmp_path / f"world {nth}", over_http=False) as at:
            lab = a_night_later(at)
            shape = at.lab.shape(lab)
            at.lab.dies_at(nth)
            try:
                leave(at, lab)
            except CrashedError:
                at.lab.dies_at(0)
                at.lab.pass_time(timedelta(minutes=20))
                leave(at, lab)
                crashed = True
            else:
                at.lab.dies_at(0)
                crashed = False
            assert nothing_is_ours(at, lab), nth
            assert at.world.cloud.snapshots == {}, nth
            assert at.lab.shape(lab) == shape, nth
            if not crashed:
                break
    assert nth > 12


# -- the table


def test_a_state_that_changed_is_not_ended(at: Desk) -> None:
    lab = a_night_later(at)
    known = at.lab.ledger.load(lab)
    at.lab.owner.stop(lab, "the test")
    with pytest.raises(ConflictError):
        at.lab.ledger.end(known)
    assert at.lab.ledger.load(lab).intent is not None
