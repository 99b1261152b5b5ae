"""`autostop verify`: what it says of good, damaged, missing and foreign snapshots, and that nothing of it stays."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import click
import pytest

from autostop import tags
from autostop.model import SnapshotId, SnapshotState, Volume, VolumeId, WorkstationId
from autostop.ports import DeniedError
from autostop.sleep.manifest import latest_cycle
from autostop_cli import consent
from autostop_cli.verify.command import verify
from autostop_cli.verify.scratch import EbsScratch
from autostop_cli.verify.worth import Verification, Worth, cost_an_hour, differences, is_of, judge_snapshot
from tests import build
from tests.app.autostop_at_work import CHANGES, DATA, AtWork
from tests.build import row
from tests.cli.desk import Desk, account_of, desk
from tests.direct import clients

# Provisioned IOPS and a key of one's own, beside throughput, and a type with one pending snapshot at most.
DISKS = {
    **DATA,
    "/dev/sdh": {
        "VolumeType": "io2", "VolumeSize": 20, "Iops": 700, "Encrypted": True,
        "KmsKeyId": "arn:aws:kms:us-east-1:123456789012:key/11111111-2222-4333-8444-555555555555",
    },
}  # fmt: skip
RUN = Verification(build.ID, build.NOW)


# -- what the snapshots themselves say


def scratch(**other: Any) -> Volume:
    """The scratch volume of the data volume, as EBS makes it."""
    record = build.record(build.DATA)
    made = build.restored(build.DATA, tags={**(record.own_tags or {}), **RUN.tags}, id=VolumeId("vol-scratch"))
    return replace(build.detached(made), **other)


def test_what_it_makes_is_never_taken_for_a_cycle_or_for_the_workstations_own() -> None:
    snapshot = build.snapshot(tags=RUN.tags)
    assert not build.unknown_snapshots().made(snapshot)
    assert latest_cycle(build.seen(volumes=(scratch(),), snapshots=(snapshot,))) == 0
    assert not any(build.manifest().is_restored(scratch(), record) for record in build.manifest().volumes)
    assert not tags.is_ours(scratch().tags)


@pytest.mark.parametrize(("carried", "expected"), [
    row("made by one", RUN.tags, True),
    row("of nobody", {"Name": "lab"}, False),
    row("of another workstation", {tags.VERIFICATION: "i-0abcd/2026"}, False),
    row("of a cycle too", {**RUN.tags, tags.CYCLE: "3"}, False),
    row("of a workstation too", {**RUN.tags, tags.WORKSTATION: build.ID}, False),
    row("for Autostop to touch", {**RUN.tags, tags.AUTOSTOP: tags.ON}, False),
])  # fmt: skip
def test_only_what_a_verification_made_is_its_own(carried: dict[str, str], expected: bool) -> None:
    assert is_of(build.volume(tags=carried), build.ID) is expected
    assert RUN.made(build.snapshot(tags=carried)) is expected


def test_another_verification_of_the_same_workstation_is_another() -> None:
    later = replace(RUN, began_at=build.NOW + timedelta(seconds=1))
    assert is_of(build.snapshot(tags=later.tags), build.ID)
    assert not RUN.made(build.snapshot(tags=later.tags))
    assert later.token(build.record()) != RUN.token(build.record())


def without(key: str) -> dict[str, str]:
    return {name: value for name, value in build.snapshot(build.DATA).tags.items() if name != key}


@pytest.mark.parametrize(("other", "worth", "why", "remedy"), [
    row("archived", {"archived": True}, Worth.DAMAGED, "archived", "up to three days"),
    row("failed", {"state": SnapshotState.ERROR}, Worth.DAMAGED, "error, not completed", "see what is missing"),
    row("pending", {"state": SnapshotState.PENDING}, Worth.UNKNOWN, "not complete yet", "when it is"),
    row("of another volume", {"volume": VolumeId("vol-x")}, Worth.DAMAGED, "not a snapshot of vol-data", "missing"),
    row("begun before the stop", {"started_at": build.LAUNCHED}, Worth.DAMAGED, "before the instance stopped", "see"),
    row("of another size", {"size_gib": 400}, Worth.DAMAGED, "of 400 GiB, and its volume had 500", "see what"),
    row("a tag is gone", {"tags": without(tags.DEVICE)}, Worth.DAMAGED, "its manifest", "autostop:device = /dev/sdf"),
    row("its workstation's tag is gone", {"tags": without(tags.WORKSTATION)}, Worth.DAMAGED, "its manifest",
        "autostop:workstation = i-0abc"),
    row("of another workstation", {"tags": without(tags.WORKSTATION) | {tags.WORKSTATION: "i-0other"}}, Worth.FOREIGN,
        "names i-0other", "needs it to be i-0abc"),
])  # fmt: skip
def test_a_snapshot_that_is_not_good_is_told_without_a_scratch_volume(
    other: dict[str, Any], worth: Worth, why: str, remedy: str
) -> None:
    snapshot = build.snapshot(build.DATA, **other)
    manifest = build.manifest()
    verdict = judge_snapshot(build.record(build.DATA), build.seen(snapshots=(snapshot,), volumes=()), manifest, {})
    assert verdict is not None
    assert (verdict.worth, why in verdict.why, remedy in verdict.remedy) == (worth, True, True), verdict


@pytest.mark.parametrize(("volumes", "remedy"), [
    row("its volume is there", build.both(), "vol-data is still there"),
    row("its volume is gone", (), "Recycle Bin"),
])  # fmt: skip
def test_a_snapshot_that_is_gone_is_missing(volumes: tuple[Volume, ...], remedy: str) -> None:
    seen = build.seen(volumes=volumes, snapshots=())
    verdict = judge_snapshot(build.record(build.DATA), seen, build.manifest(), {})
    assert verdict is not None
    assert verdict.worth is Worth.MISSING
    assert remedy in verdict.remedy


def test_a_snapshot_of_another_account_is_foreign() -> None:
    theirs = {SnapshotId("snap-data"): "999988887777"}
    verdict = judge_snapshot(build.record(build.DATA), build.seen(volumes=()), build.manifest(), theirs)
    assert verdict is not None
    assert verdict.worth is Worth.FOREIGN
    assert "999988887777" in verdict.why


@pytest.mark.parametrize(("other", "expected"), [
    row("as it was", {}, []),
    row("smaller", {"size_gib": 400}, ["its size was 500 GiB, and would be 400 GiB"]),
    row("of another type", {"type": "gp2"}, ["its type was gp3, and would be gp2"]),
    row("slower", {"iops": 3001, "throughput": None}, ["its IOPS was 3000, and would be 3001",
        "its throughput was 125, and would be none"]),
    row("in the clear", {"encrypted": False, "kms_key": None}, ["its encryption was True, and would be none",
        "its key was arn:aws:kms:eu-west-1:1:key/k, and would be none"]),
    row("without its tag", {"tags": RUN.tags}, ["its own tags was Project=genome, and would be none"]),
])  # fmt: skip
def test_what_a_restore_would_change(other: dict[str, Any], expected: list[str]) -> None:
    assert list(differences(build.record(build.DATA), scratch(**other))) == expected


def test_what_an_account_encrypts_by_default_is_no_difference() -> None:
    record = build.record(build.DATA, encrypted=False, kms_key=None)
    assert list(differences(record, scratch())) == []


def test_its_cost_is_an_hours() -> None:
    assert cost_an_hour(build.manifest()) == pytest.approx(550 * (0.08 + 0.05) / 730)


# -- the command, over the real adapters, in a world that keeps AWS's rules


@pytest.fixture
def at(tmp_path: Path) -> Iterator[Desk]:
    with desk(tmp_path / "world", over_http=False) as made:
        yield made


def asleep(at: Desk) -> WorkstationId:
    lab = at.lab.workstation(disks=DISKS)
    at.lab.write(lab, "monday")
    at.lab.asleep(lab)
    at.world.tick()
    at.world.journal.clear()
    return lab


def changes(at: Desk) -> list[str]:
    return at.lab.calls(*CHANGES, "CreateSnapshot", "PutItem", "TransactWriteItems")


def only_its_snapshots(at: Desk, lab: WorkstationId) -> bool:
    """Nothing is there but what was before a verification."""
    at.clock.advance(timedelta(minutes=5))
    at.world.tick()
    manifest = at.lab.state(lab).manifest
    assert manifest is not None
    assert {*at.world.cloud.snapshots} == {each.snapshot for each in manifest.volumes}
    return not at.world.cloud.volumes


def snapshot_at(at: Desk, lab: WorkstationId, device: str) -> Any:
    manifest = at.lab.state(lab).manifest
    assert manifest is not None
    [record] = [each for each in manifest.volumes if each.device == device]
    return at.world.cloud.snapshots[record.snapshot or ""]


def verdicts(output: str) -> dict[str, str]:
    lines = (line.split() for line in output.partition("DISK ")[2].splitlines() if line.startswith("/dev/"))
    return {words[0]: words[2] for words in lines if not words[0].endswith(":")}


GOOD = dict.fromkeys(("/dev/sda1", *DISKS), "good")


def test_good_snapshots_are_restored_compared_and_nothing_is_left(at: Desk) -> None:
    lab = asleep(at)
    result = at.run("verify", lab, "--yes")
    assert result.exit_code == 0, result.output
    assert verdicts(result.output) == GOOD
    assert "They cost at most $" in result.output
    assert "size, type, IOPS, throughput, encryption, key, zone, own tags, content" in result.output
    assert only_its_snapshots(at, lab)
    assert set(changes(at)) == {"CreateVolume", "CreateSnapshot", "DeleteVolume", "DeleteSnapshot"}


def test_it_is_so_over_http_too(tmp_path: Path) -> None:
    with desk(tmp_path / "world") as at:
        lab = asleep(at)
        result = at.run("verify", lab, "--yes")
        assert result.exit_code == 0, result.output
        assert verdicts(result.output) == GOOD
        assert "own tags, content" in result.output
        assert only_its_snapshots(at, lab)


def test_one_that_is_awake_is_verified_by_its_last_night(at: Desk) -> None:
    lab = asleep(at)
    at.lab.wake(lab)
    own = set(at.world.cloud.volumes)
    result = at.run("verify", lab, "--yes")
    assert result.exit_code == 0, result.output
    assert verdicts(result.output) == GOOD
    at.clock.advance(timedelta(minutes=5))
    at.world.tick()
    assert set(at.world.cloud.volumes) == own
    assert at.world.instance(lab).state == "running"


def test_one_whose_table_is_lost_is_verified_by_its_tags(at: Desk) -> None:
    lab = asleep(at)
    at.lab.table.items.clear()
    result = at.run("verify", lab, "--yes")
    assert result.exit_code == 0, result.output
    assert verdicts(result.output) == GOOD


def test_a_dry_run_makes_nothing_and_tells_what_can_be_told_without(at: Desk) -> None:
    lab = asleep(at)
    result = at.run("verify", lab, "--dry-run")
    assert result.exit_code == 0, result.output
    assert "this was a dry run" in result.output
    assert "not tried" in result.output
    at.world.cloud.snapshots.pop(snapshot_at(at, lab, "/dev/sdf").id)
    result = at.run("verify", lab, "--dry-run")
    assert result.exit_code == 1
    assert verdicts(result.output)["/dev/sdf"] == "missing"
    assert changes(at) == []


def test_missing_damaged_and_foreign_ones_are_told_with_the_next_step_and_the_others_are_tried(at: Desk) -> None:
    lab = asleep(at)
    at.world.cloud.snapshots.pop(snapshot_at(at, lab, "/dev/sdf").id)
    snapshot_at(at, lab, "/dev/sdg").owner = "999988887777"
    at.world.tag(snapshot_at(at, lab, "/dev/sdh").id, {tags.DEVICE: "/dev/sdx"})
    result = at.run("verify", lab, "--yes")
    assert result.exit_code == 1
    worths = {"/dev/sdf": "missing", "/dev/sdg": "foreign", "/dev/sdh": "damaged"}
    assert verdicts(result.output) == GOOD | worths
    for word in ("Recycle Bin", "account 999988887777", "autostop recover", "autostop:device = /dev/sdh"):
        assert word in result.output
    assert at.lab.calls("CreateVolume") == ["CreateVolume"]


def test_content_that_differs_is_damage(at: Desk) -> None:
    lab = asleep(at)
    made = len(at.world.cloud.volumes)

    def scribble() -> None:
        assert len(at.world.cloud.volumes) > made
        for each in at.world.cloud.volumes.values():
            if each.size == 200:
                (at.world.volume_path(each.id) / "notes.txt").write_text("tuesday", encoding="utf-8")

    at.lab.after("before CreateSnapshot", scribble)
    result = at.run("verify", lab, "--yes")
    assert result.exit_code == 1
    assert verdicts(result.output) == GOOD | {"/dev/sdf": "damaged"}
    assert "1 blocks of a volume that was made from it differ" in result.output
    assert only_its_snapshots(at, lab)


@pytest.mark.parametrize(("fail", "words"), [
    row("not allowed", lambda at: at.world.fail_next("ListChangedBlocks", "AccessDeniedException", times=9, status=403),
        "it needs ebs:ListChangedBlocks"),
    row("no lineage", lambda at: at.world.compare_no_lineage(), "EBS does not compare"),
    row("no snapshot", lambda at: at.world.fail_next_snapshots(9), "EBS made no snapshot of a scratch volume"),
])  # fmt: skip
def test_content_that_could_not_be_compared_is_said_and_is_no_failure(
    at: Desk, fail: Callable[[Desk], object], words: str
) -> None:
    lab = asleep(at)
    fail(at)
    result = at.run("verify", lab, "--yes")
    assert result.exit_code == 0, result.output
    assert f"The content was not compared: {words}" in result.output
    assert ", content" not in result.output
    assert only_its_snapshots(at, lab)


def test_what_ebs_cannot_make_is_damage_or_for_want_of_a_key_not_known(at: Desk) -> None:
    lab = asleep(at)
    at.world.fail_next_volumes(9)
    result = at.run("verify", lab, "--yes")
    assert result.exit_code == 1
    assert verdicts(result.output)["/dev/sdf"] == "damaged"
    assert verdicts(result.output)["/dev/sdh"] == "not"
    assert "See that you may use arn:aws:kms" in result.output
    assert only_its_snapshots(at, lab)


def test_who_may_make_no_volume_knows_nothing_of_them(at: Desk) -> None:
    lab = asleep(at)
    at.world.forbid("CreateVolume")
    result = at.run("verify", lab, "--yes")
    assert result.exit_code == 1
    assert set(verdicts(result.output).values()) == {"not"}
    assert "UnauthorizedOperation" in result.output


def test_lists_that_lag_are_waited_for(at: Desk) -> None:
    lab = asleep(at)
    at.world.lag = lambda: timedelta(seconds=50)
    result = at.run("verify", lab, "--yes")
    at.world.lag = None
    assert result.exit_code == 0, result.output
    assert only_its_snapshots(at, lab)


def test_what_cannot_be_removed_is_told_and_removed_by_the_next_one(at: Desk) -> None:
    lab = asleep(at)
    at.world.forbid("DeleteVolume")
    result = at.run("verify", lab, "--yes")
    assert result.exit_code == 1
    assert verdicts(result.output) == GOOD
    assert "UnauthorizedOperation" in result.output
    shown = at.run("verify", lab, "--dry-run")
    assert "A verification that did not end left this behind" in shown.output
    assert "begun 2026-11-23T" in shown.output
    at.world.allow("DeleteVolume")
    assert at.run("verify", lab, "--yes").exit_code == 0
    assert only_its_snapshots(at, lab)


def test_the_owner_is_asked_and_a_no_makes_nothing(at: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    def no(question: str) -> None:
        assert question == f"\nVerify {lab}?"
        raise click.Abort

    lab = asleep(at)
    with monkeypatch.context() as asked:
        asked.setattr(consent, "confirm", no)
        with pytest.raises(click.Abort):
            verify(at.account, lab)
    assert at.run("verify", lab).exit_code == 1
    assert changes(at) == []


def test_one_that_never_slept_has_nothing_to_verify(at: Desk) -> None:
    lab = at.lab.workstation()
    at.clock.advance(timedelta(minutes=5))
    result = at.run("verify", lab, "--yes")
    assert result.exit_code == 1
    assert "has no snapshots to verify" in result.output


def test_one_that_falls_asleep_is_verified_later(at: Desk) -> None:
    lab = at.lab.workstation()
    assert at.lab.pass_time(timedelta(hours=2), lambda: at.lab.state(lab).manifest is not None)
    result = at.run("verify", lab, "--yes")
    assert result.exit_code == 1
    assert "is not complete yet. Verify it again when it is." in result.output
    at.lab.ledger.change(
        lab, lambda state: replace(state, manifest=state.manifest and state.manifest.with_snapshots({}))
    )
    assert "is being shelved" in at.run("verify", lab, "--yes").output
    assert at.lab.calls("CreateVolume") == []


# -- interrupted


class KilledError(BaseException):
    """The process was killed: nothing of it runs any more."""


@dataclass
class Fate:
    """What happens to the command's process after its nth call: it is killed, or its owner presses Ctrl-C."""

    lab: AtWork
    nth: int
    killed: bool
    calls: int = 0

    def call(self, service: str, operation: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
        if self.killed and self.calls >= self.nth:
            raise KilledError
        try:
            return self.lab.call(service, operation, parameters)
        finally:
            self.calls += 1
            if self.calls == self.nth:
                raise KilledError if self.killed else KeyboardInterrupt


@pytest.mark.parametrize("killed", [True, False], ids=["killed", "ctrl-c"])
def test_after_an_interruption_at_any_call_the_next_one_leaves_nothing(at: Desk, killed: bool) -> None:
    lab = asleep(at)
    for nth in range(1, 200):
        mine, fate = clients("the command's"), Fate(at.lab, nth, killed)
        mine.account = fate
        account = account_of(at.lab)
        vars(account).update(ec2=mine.ec2, scratch=EbsScratch(mine.ec2, mine.ebs))
        try:
            verify(account, lab, yes=True)
        except (KilledError, KeyboardInterrupt, click.ClickException):
            pass
        else:
            assert fate.calls < nth
            break
        assert at.run("verify", lab, "--yes").exit_code == 0, nth
        assert only_its_snapshots(at, lab), nth
    assert nth > 25


def test_ctrl_c_says_how_to_go_on(at: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    lab = asleep(at)
    sleep, naps = at.account.sleep, list[float]()

    def nap(seconds: float) -> None:
        naps.append(seconds)
        if len(naps) == 2:
            raise KeyboardInterrupt
        sleep(seconds)

    # `Desk.run` hands it on to the account of each call.
    monkeypatch.setitem(at.account.__dict__, "sleep", nap)
    result = at.run("verify", lab, "--yes")
    assert result.exit_code == 130
    assert f"`autostop verify {lab}` removes what may be left" in result.output
    assert only_its_snapshots(at, lab)


# -- the direct APIs


def test_a_page_without_changed_blocks_is_not_the_last(at: Desk) -> None:
    ec2, direct = at.lab.ec2, at.account.scratch
    volume = ec2.create_volume(AvailabilityZone="us-east-1a", Size=5)["VolumeId"]
    at.lab.sleep(60)
    for number in range(150):
        (at.world.volume_path(volume) / f"{number:03}").write_text("same", encoding="utf-8")
    snapshots = []
    for text in ("same", "other"):
        (at.world.volume_path(volume) / "149").write_text(text, encoding="utf-8")
        snapshots.append(SnapshotId(ec2.create_snapshot(VolumeId=volume)["SnapshotId"]))
        at.lab.sleep(300)
    assert direct.changed_blocks(snapshots[0], snapshots[1]) == 1
    assert direct.changed_blocks(snapshots[0], snapshots[0]) == 0
    at.world.fail_next("ListChangedBlocks", "ServiceQuotaExceededException", status=403)
    with pytest.raises(DeniedError, match="was told to fail"):
        direct.changed_blocks(snapshots[0], snapshots[1])
