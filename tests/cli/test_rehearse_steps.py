"""Rehearsals: over the real adapters, beside the real controller, in a world that keeps AWS's rules."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from autostop import tags
from autostop.aws.ec2 import EbsDisks, Ec2Instances
from autostop.aws.table import DynamoLedger
from autostop.model import WorkstationId
from autostop.sleep.intent import Wanted
from autostop_cli.rehearse.hold import Hold
from autostop_cli.rehearse.pause import Pause
from autostop_cli.rehearse.rehearsal import Report
from autostop_cli.rehearse.rehearse import Rehearser
from autostop_cli.rehearse.remove_scratch import Remover
from autostop_cli.rehearse.scratch import EbsScratch
from tests.app.autostop_at_work import DATA, AtWork, at_work
from tests.direct import clients
from tests.handlers.table import TABLE

DEVICES = {"/dev/sda1", "/dev/sdf", "/dev/sdg"}
# Provisioned IOPS, a key of one's own, throughput, and a type with one pending snapshot at most.
DISKS = {
    **DATA,
    "/dev/sdh": {
        "VolumeType": "io2", "VolumeSize": 20, "Iops": 700, "Encrypted": True,
        "KmsKeyId": "arn:aws:kms:us-east-1:123456789012:key/11111111-2222-4333-8444-555555555555",
    },
}  # fmt: skip
OWNERS = ("DetachVolume", "AttachVolume", "ModifyInstanceAttribute")


class KilledError(BaseException):
    """The process was killed: nothing of it runs any more."""


@dataclass
class Watched:
    """The same account, for clients whose process can be killed."""

    lab: AtWork
    on_call: Callable[[str], None]

    def call(self, service: str, operation: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
        self.on_call("before")
        try:
            reply = self.lab.call(service, operation, parameters)
        except ClientError:
            self.on_call(operation)
            raise
        self.on_call(operation)
        return reply


@dataclass
class Stage:
    """Rehearsals of one workstation, with clients of their own, so that only they can be killed."""

    lab: AtWork
    workstation: WorkstationId
    controlled: bool = True
    told: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.lab.world.journal.clear()
        self.shape = self.lab.shape(self.workstation)
        self.owned = {each.id for each in self.lab.disks.volumes(self.workstation)}

    def rehearser(self, on_call: Callable[[str], None] = lambda _: None) -> Rehearser:
        """on_call: called after the effect of each call, and before it with `before`; its errors go up."""
        mine = clients("the rehearsal's")
        mine.account = Watched(self.lab, on_call)
        ec2, ebs, dynamodb = mine.ec2, mine.ebs, mine.dynamodb
        lab, workstation = self.lab, self.workstation
        scratch, disks = EbsScratch(ec2, ebs), EbsDisks(ec2)
        ledger = DynamoLedger(dynamodb, TABLE)
        holder = f"rehearsal-{lab.clock().timestamp()}"
        hold = Hold(ledger, lab.queue, workstation, holder, lab.clock) if self.controlled else None
        pause = Pause(workstation, Ec2Instances(ec2), disks, scratch, hold, lab.clock, self.sleep, self.told.append)
        return Rehearser(pause, scratch, Remover(workstation, disks, scratch, lab.clock, self.sleep))

    def rehearse(self) -> Report:
        return self.rehearser().rehearse(may_stop=True)

    def sleep(self, seconds: float) -> None:
        if self.controlled:
            self.lab.pass_time(timedelta(seconds=seconds))
        else:
            self.lab.clock.advance(timedelta(seconds=seconds))

    @property
    def state(self) -> str:
        return self.lab.world.instance(self.workstation).state

    def is_as_before(self, state: str = "running") -> bool:
        """No rehearsal ever was."""
        cloud = self.lab.world.cloud
        self.lab.world.tick()
        assert self.state == state
        assert tags.REHEARSAL not in cloud.instances[self.workstation].tags
        assert cloud.snapshots == {}
        assert {each.id for each in cloud.volumes.values() if each.state != "deleting"} == self.owned
        assert self.lab.shape(self.workstation) == self.shape
        assert self.lab.calls(*OWNERS) == []
        return True


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[AtWork]:
    with at_work(tmp_path / "world", over_http=False) as running:
        yield running


@pytest.fixture
def stage(lab: AtWork) -> Stage:
    return staged(lab)


def staged(lab: AtWork, *, controlled: bool = True, settings: Mapping[str, str] | None = None) -> Stage:
    workstation = lab.workstation(disks=DISKS, settings=settings)
    lab.answers[workstation].busy = True
    lab.write(workstation, "monday")
    lab.pass_time(timedelta(minutes=20)) if controlled else lab.clock.advance(timedelta(minutes=20))
    return Stage(lab, workstation, controlled)


def test_one_that_runs_is_stopped_snapshotted_started_and_found_equal(stage: Stage) -> None:
    report = stage.rehearse()
    assert report.passed, report
    assert {each.record.device for each in report.devices} == {*DEVICES, "/dev/sdh"}
    assert all(each.content is not None and each.content.changed == 0 for each in report.devices)
    assert report.stop_took is not None
    assert report.start_took is not None
    assert report.shelve_takes is not None
    assert report.shelve_takes >= timedelta(minutes=4)
    assert report.wake_takes is not None
    assert stage.is_as_before()
    assert stage.lab.calls("StopInstances", "CreateSnapshots", "StartInstances") == [
        "StopInstances",
        "CreateSnapshots",
        "StartInstances",
    ]
    assert stage.lab.pass_time(timedelta(minutes=20), lambda: stage.lab.reached(stage.workstation, Wanted.RUN))


def test_its_snapshots_are_copied_while_the_owner_works_again(stage: Stage) -> None:
    lab = stage.lab
    report = stage.rehearse()
    started = [each.at for each in lab.world.journal.calls("StartInstances")]
    restored = [each.at for each in lab.world.journal.calls("CreateVolume")]
    assert report.passed
    assert restored[0] - started[0] > timedelta(minutes=3)


def test_one_that_is_stopped_stays_so(lab: AtWork) -> None:
    stage = staged(lab, settings={"shelve-after": "off"})
    lab.owner.stop(stage.workstation, "the test")
    lab.pass_time(timedelta(minutes=5))
    stage = Stage(lab, stage.workstation)
    report = stage.rehearse()
    assert report.passed, report
    assert report.stop_took is None
    assert stage.is_as_before("stopped")
    assert lab.calls("StartInstances", "StopInstances") == []


def test_the_controller_neither_sees_what_it_makes_nor_comes_between(lab: AtWork) -> None:
    stage = staged(lab)
    lab.world.timings.stopping = timedelta(minutes=11)
    listed: list[int] = []
    lab.world.journal.clear()

    def look(operation: str) -> None:
        if operation == "ListChangedBlocks":
            listed.append(len(lab.disks.volumes(stage.workstation)) + len(lab.disks.snapshots(stage.workstation)))

    report = stage.rehearser(look).rehearse(may_stop=True)
    assert report.passed, report
    assert "another reconciler is at work" in lab.said
    assert set(listed) == {len(stage.owned)}
    assert len(lab.calls("CreateSnapshots")) == 1
    assert stage.is_as_before()


def test_without_a_controller_it_starts_the_instance_itself_and_waits_for_lists_that_lag(lab: AtWork) -> None:
    stage = staged(lab, controlled=False)
    lab.world.lag = lambda: timedelta(seconds=50)
    report = stage.rehearse()
    lab.world.lag = None
    assert report.passed, report
    assert stage.is_as_before()


# -- what is not equal, and what fails


def after_creation(stage: Stage, act: Callable[[str], object]) -> Rehearser:
    """A rehearser that is disturbed once it has made its scratch volume for /dev/sdf, which has 200 GiB."""
    cloud = stage.lab.world.cloud

    def on_call(operation: str) -> None:
        if operation == "CreateVolume":
            [act(each.id) for each in cloud.volumes.values() if each.id not in stage.owned and each.size == 200]

    return stage.rehearser(on_call)


def test_a_scratch_volume_of_another_size_is_told(stage: Stage) -> None:
    def resize(volume: str) -> None:
        stage.lab.world.cloud.volumes[volume].size = 300

    report = after_creation(stage, resize).rehearse(may_stop=True)
    assert not report.passed
    [different] = [each for each in report.devices if not each.equal]
    assert different.differences == ("size was 200 GiB, would be 300 GiB",)
    assert stage.is_as_before()


def test_a_scratch_volume_with_other_content_is_told(stage: Stage) -> None:
    def scribble(volume: str) -> None:
        (stage.lab.world.volume_path(volume) / "notes.txt").write_text("tuesday", encoding="utf-8")

    report = after_creation(stage, scribble).rehearse(may_stop=True)
    assert not report.passed
    assert [each.differences for each in report.devices if not each.equal] == [("1 blocks of its content differ",)]
    assert stage.is_as_before()


def test_content_that_may_not_be_compared_is_said_and_no_failure(stage: Stage) -> None:
    stage.lab.world.fail_next("ListChangedBlocks", "AccessDeniedException", times=9, status=403)
    report = stage.rehearse()
    assert report.passed
    assert {each.content.why_not for each in report.devices if each.content} == {"needs ebs:ListChangedBlocks"}
    assert stage.is_as_before()


def test_content_that_ebs_does_not_compare_is_said(stage: Stage) -> None:
    stage.lab.world.compare_no_lineage()
    report = stage.rehearse()
    assert report.passed
    [why] = {each.content.why_not for each in report.devices if each.content}
    assert why == "EBS does not compare a volume with what was made from its snapshot"


def test_snapshots_that_ebs_fails_are_told_and_removed(stage: Stage) -> None:
    stage.lab.world.fail_next_snapshots()
    report = stage.rehearse()
    assert not report.passed
    assert all("EBS failed its snapshot" in each.failure for each in report.devices)
    assert stage.lab.calls("CreateVolume") == []
    assert stage.is_as_before()


def test_a_volume_that_ebs_fails_is_told_with_its_key_and_the_others_are_compared(stage: Stage) -> None:
    stage.lab.world.fail_next_volumes()
    report = stage.rehearse()
    assert not report.passed
    [failed] = [each for each in report.devices if each.failure]
    assert "KMS key" in failed.failure
    assert sum(each.equal for each in report.devices) == len(report.devices) - 1
    assert stage.is_as_before()


def test_a_set_whose_answer_was_lost_is_not_made_twice(stage: Stage) -> None:
    stage.lab.world.fail_next("CreateSnapshots", "IncorrectState", after=True)
    assert stage.rehearse().passed
    assert len(stage.lab.calls("CreateSnapshots")) == 1
    assert stage.is_as_before()


def test_what_it_may_not_do_ends_it_with_the_instance_running(stage: Stage) -> None:
    stage.lab.world.fail_next("CreateSnapshots", "UnauthorizedOperation", "You may not")
    report = stage.rehearse()
    assert not report.passed
    assert "UnauthorizedOperation" in report.failures[0]
    assert stage.is_as_before()


def test_what_cannot_be_removed_is_told_and_removed_by_the_next_one(stage: Stage) -> None:
    stage.lab.world.forbid("DeleteVolume")
    report = stage.rehearse()
    assert not report.passed
    assert any("UnauthorizedOperation" in each for each in report.left)
    assert all(each.equal for each in report.devices)
    stage.lab.world.allow("DeleteVolume")
    assert len(stage.rehearser().look().left) == len(DISKS) + 1
    assert stage.rehearser().clean() == ()
    assert stage.is_as_before()


def test_a_start_that_falls_back_is_tried_again(lab: AtWork) -> None:
    stage = staged(lab, controlled=False)
    lab.world.fail_next_boots()
    assert stage.rehearse().passed
    assert stage.is_as_before()


# -- what others do meanwhile


def test_a_stop_that_the_owner_asks_for_meanwhile_holds(lab: AtWork) -> None:
    stage = staged(lab, settings={"shelve-after": "off"})

    def on_call(operation: str) -> None:
        if operation == "CreateSnapshots":
            lab.owner.stop(stage.workstation, "the test")

    report = stage.rehearser(on_call).rehearse(may_stop=True)
    assert not report.failures
    assert "You asked for a stop meanwhile: it stays stopped" in stage.told
    assert stage.is_as_before("stopped")


def test_it_does_not_begin_while_the_controller_is_at_work(stage: Stage) -> None:
    stage.lab.owner.stop(stage.workstation, "the test")
    report = stage.rehearse()
    assert "Autostop is on the way to `stop`" in report.failures[0]
    assert stage.lab.calls("CreateSnapshots", "CreateTags") == []
    stage.lab.ledger.take_lease(stage.workstation, "x", stage.lab.clock(), stage.lab.clock() + timedelta(minutes=1))
    assert stage.rehearse().failures == ("Autostop is at work on it just now.",)


def test_one_that_was_started_after_the_owner_was_asked_is_not_stopped(stage: Stage) -> None:
    report = stage.rehearser().rehearse(may_stop=False)
    assert "nobody agreed" in report.failures[0]
    assert stage.lab.calls("StopInstances") == []


# -- interrupted


@dataclass
class Fate:
    """What happens to a process after its nth call that changes anything: it is killed, or its owner presses Ctrl-C.

    After one that only looks it would be the same again.
    """

    nth: int
    killed: bool
    calls: int = 0

    def __call__(self, operation: str) -> None:
        if operation == "before":
            if self.killed and self.calls >= self.nth:
                raise KilledError
        elif not operation.startswith(("Describe", "Get", "List", "TransactGet")):
            self.calls += 1
            if self.calls == self.nth:
                raise KilledError if self.killed else KeyboardInterrupt


@pytest.mark.parametrize("killed", [True, False], ids=["killed", "ctrl-c"])
@pytest.mark.parametrize("controlled", [True, False], ids=["beside the controller", "alone"])
def test_after_an_interruption_at_any_call_the_next_one_puts_all_right(
    tmp_path: Path, killed: bool, controlled: bool
) -> None:
    with at_work(tmp_path / "world", over_http=False, snapshot=timedelta(seconds=40)) as lab:
        stage = staged(lab, controlled=controlled)
        for nth in range(1, 100):
            fate = Fate(nth, killed)
            try:
                report = stage.rehearser(fate).rehearse(may_stop=True)
            except (KilledError, KeyboardInterrupt):
                pass
            else:
                assert fate.calls < nth
                assert report.passed
                break
            if not killed:
                assert stage.state in ("pending", "running"), nth
            left = stage.rehearser().clean()
            assert all("goes when EBS has completed it" in each for each in left), nth
            # The lease of one that was killed before it made anything.
            stage.sleep(360)
            assert stage.is_as_before(), nth
            if controlled:
                assert not lab.is_blocked(stage.workstation), nth
                assert lab.pass_time(timedelta(minutes=20), lambda: settled(lab, stage.workstation)), nth
        assert nth > 25


def settled(lab: AtWork, workstation: WorkstationId) -> bool:
    intent = lab.state(workstation).intent
    return intent is None or intent.settled


def test_the_controller_starts_what_a_killed_rehearsal_stopped(lab: AtWork) -> None:
    stage = staged(lab)

    def on_call(operation: str) -> None:
        if operation in ("CreateSnapshots", "dead"):
            fate.nth = 0
        fate(operation)

    fate = Fate(1000, killed=True)
    with pytest.raises(KilledError):
        stage.rehearser(on_call).rehearse(may_stop=True)
    assert stage.state == "stopped"
    assert lab.pass_time(timedelta(minutes=20), lambda: lab.reached(stage.workstation, Wanted.RUN))
    assert stage.state == "running"
