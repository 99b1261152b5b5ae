"""`autostop uninstall`: what goes, what stays, and that no data goes without its owner's typed word."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from autostop import tags
from autostop.model import InstanceState, WorkstationId
from autostop.ports import DeniedError
from autostop_cli.terminal import FailedError
from autostop_cli.uninstall import uninstall, uninstall_all, why_not_terminate
from tests import build
from tests.app.autostop_at_work import SESSION, Answers
from tests.cli.test_create import LAB, KilledError, Shop, opened
from tests.handlers.table import TABLE

# Beside data: the security group, with which it can be built anew, and the plan, which tells whose it is.
KEPT = {"groups": 1, "items": 1}


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shop]:
    with opened(tmp_path, monkeypatch) as made:
        yield made


def at_work_on(shop: Shop, **wish: Any) -> WorkstationId:
    """One that was created, and on which Autostop is at work."""
    shop.create(replace(LAB, **wish))
    lab = WorkstationId(shop.plan.instance)
    shop.desk.lab.answers[lab] = Answers(shop.desk.clock())
    shop.desk.lab.machines.use_cores(lab, 0.05)
    return lab


def remove(shop: Shop, *, delete_data: bool = False, dry_run: bool = False) -> None:
    account = replace(shop.account(), sleep=lambda seconds: passed(shop, seconds))
    vars(account).update({name: each for name, each in vars(shop.account()).items() if name not in vars(account)})
    uninstall(account, "lab", delete_data=delete_data, yes=True, dry_run=dry_run)


def passed(shop: Shop, seconds: float) -> None:
    """In longer steps than the command asks for, so that it looks less often."""
    shop.desk.lab.pass_time(timedelta(seconds=20 * seconds))


def left(shop: Shop) -> dict[str, int]:
    """By kind, what there is of ours."""
    cloud = shop.desk.world.cloud
    shop.desk.world.tick()
    items = SESSION.client("dynamodb").scan(TableName=TABLE)["Items"]
    kept: dict[str, list[Any]] = {
        "instances": [each for each in cloud.instances.values() if each.state != "terminated"],
        "volumes": [each for each in cloud.volumes.values() if each.state != "deleting"],
        "snapshots": list(cloud.snapshots.values()),
        "groups": shop.groups(),
        "items": [item for item in items if item["workstation"]["S"] not in ("sleepers", "sweep", "prices")],
        "requests": [each for each in cloud.spots.values() if each.state != "cancelled"],
    }
    return {kind: len(each) for kind, each in kept.items() if each}


def test_awake_it_is_put_to_sleep_first_and_its_last_snapshots_stay(shop: Shop) -> None:
    at_work_on(shop)
    remove(shop)
    assert left(shop) == {"snapshots": 2, **KEPT}


def test_asleep_it_goes_and_its_last_snapshots_stay(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    lab = at_work_on(shop)
    shop.desk.lab.asleep(lab)
    remove(shop, dry_run=True)
    assert left(shop)["instances"] == 1
    assert "stays  snap-" in capsys.readouterr().out
    remove(shop)
    assert left(shop) == {"snapshots": 2, **KEPT}


def test_what_stayed_can_be_built_anew(shop: Shop) -> None:
    lab = at_work_on(shop)
    remove(shop)
    shown = shop.desk.run("recover", lab)
    assert "/dev/sdf" in shown.output, shown.output


def test_what_stayed_goes_later_by_the_typed_name(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    at_work_on(shop)
    remove(shop)
    capsys.readouterr()
    remove(shop)
    assert "\ngoes" not in f"\n{capsys.readouterr().out}"
    remove(shop, delete_data=True)
    assert left(shop) == {}


def test_by_its_typed_name_the_data_goes_too(shop: Shop) -> None:
    lab = at_work_on(shop)
    shop.desk.lab.asleep(lab)
    remove(shop, delete_data=True)
    assert left(shop) == {}


def test_awake_it_goes_at_once_with_its_data_by_its_typed_name(shop: Shop) -> None:
    at_work_on(shop)
    remove(shop, delete_data=True)
    assert left(shop) == {}


@pytest.mark.parametrize("how_long", ["7d", "off"])
def test_disks_that_are_kept_after_a_shelving_stay_with_its_snapshots(shop: Shop, how_long: str) -> None:
    lab = at_work_on(shop)
    shop.desk.world.tag(lab, {"autostop:delete-after": how_long})
    remove(shop)
    assert left(shop) == {"snapshots": 2, "volumes": 2, **KEPT}


def test_a_disk_that_its_owner_attached_by_hand_stays_whatever_goes(
    shop: Shop, capsys: pytest.CaptureFixture[str]
) -> None:
    lab = at_work_on(shop)
    ec2 = SESSION.client("ec2")
    zone = shop.desk.world.cloud.instances[lab].zone
    theirs = ec2.create_volume(AvailabilityZone=zone, Size=7, VolumeType="gp3")["VolumeId"]
    shop.desk.world.tick()
    shop.desk.clock.advance(timedelta(seconds=10))
    shop.desk.world.tick()
    ec2.attach_volume(VolumeId=theirs, InstanceId=lab, Device="/dev/sdx")
    shop.desk.clock.advance(timedelta(seconds=10))
    shop.desk.world.tick()
    ec2.modify_instance_attribute(
        InstanceId=lab, BlockDeviceMappings=[{"DeviceName": "/dev/sdx", "Ebs": {"DeleteOnTermination": True}}]
    )
    remove(shop, delete_data=True)
    assert f"stays  {theirs}" in capsys.readouterr().out
    assert left(shop) == {"volumes": 1}
    assert shop.desk.world.cloud.volumes[theirs].state == "available"


def test_the_word_is_the_name_and_nothing_else(shop: Shop) -> None:
    at_work_on(shop)
    for words in (("lab", "--delete-data", "yes"), (), ("lab", "--all")):
        result = shop.desk.run("uninstall", *words, "--yes")
        assert result.exit_code == 2, result.output
    assert left(shop)["volumes"] == 2


@pytest.mark.parametrize("shelved", [True, False])
def test_of_spot_the_request_goes_first_and_the_disks_stay(shop: Shop, *, shelved: bool) -> None:
    lab = at_work_on(shop, spot=shelved)
    if not shelved:
        shop.desk.world.tag(lab, {"autostop:shelve-after": "off"})
    remove(shop)
    # Never shelved, so nothing but the volumes holds its data.
    assert left(shop) == {"volumes": 2, **KEPT}
    calls = [call.operation for call in shop.desk.world.journal.calls()]
    if shelved:
        assert calls.index("CancelSpotInstanceRequests") < calls.index("TerminateInstances")


@pytest.mark.parametrize("delete_data", [True, False])
def test_a_created_one_is_made_anew_after_it(shop: Shop, *, delete_data: bool) -> None:
    first = at_work_on(shop)
    remove(shop, delete_data=delete_data)
    shop.desk.lab.pass_time(timedelta(hours=2))  # EC2 has forgotten it
    shop.said.clear()
    shop.create(yes=False)
    assert shop.said[-1] == "\nCreate it?"
    assert shop.plan.instance != first
    assert [each.id for each in shop.instances if each.state == "running"] == [shop.plan.instance]


def test_an_adopted_one_is_refused(shop: Shop) -> None:
    at_work_on(shop)
    other = shop.desk.launch(tags={"Name": "mine", tags.AUTOSTOP: tags.ON})
    with pytest.raises(DeniedError, match=f"{other} .*did not make it"):
        uninstall(shop.account(), "mine", delete_data=True, yes=True, dry_run=False)


def test_one_that_was_unadopted_stays(shop: Shop) -> None:
    lab = at_work_on(shop)
    SESSION.client("ec2").delete_tags(Resources=[lab], Tags=[{"Key": tags.CREATED}, {"Key": tags.AUTOSTOP}])
    with pytest.raises(DeniedError, match="did not make it"):
        remove(shop, delete_data=True)
    assert left(shop)["instances"] == 1


def test_what_is_half_made_or_gone_goes(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    def kill(call: str) -> None:
        if call == "before RunInstances":
            raise KilledError

    shop.on_call = kill
    with pytest.raises(KilledError):
        shop.create()
    shop.on_call = lambda _: None
    remove(shop)
    assert left(shop) == {}
    capsys.readouterr()
    remove(shop)
    assert "There is nothing of lab" in capsys.readouterr().out
    at_work_on(shop)
    SESSION.client("ec2").terminate_instances(InstanceIds=[shop.plan.instance])
    shop.desk.lab.pass_time(timedelta(hours=2))  # EC2 has forgotten it
    remove(shop, delete_data=True)
    assert left(shop) == {}


def test_killed_at_each_change_and_run_again_nothing_is_lost_or_left_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before each is after the one before it. Of Spot, whose disks no snapshot holds."""
    changes: list[str] = []
    with opened(tmp_path / "undisturbed", monkeypatch) as shop:
        at_work_on(shop, spot=True)
        shop.on_call = lambda call: changes.append(call) if is_change(call) else None
        remove(shop)
    assert len(changes) > 10
    for nth in range(len(changes)):
        with opened(tmp_path / str(nth), monkeypatch) as shop:
            at_work_on(shop, spot=True)
            counted = iter(range(len(changes)))

            def kill(call: str, counted: Iterator[int] = counted, nth: int = nth) -> None:
                if is_change(call) and next(counted, -1) == nth:
                    raise KilledError

            shop.on_call = kill
            with pytest.raises(KilledError):
                remove(shop)
            shop.on_call = lambda _: None
            remove(shop)
            assert left(shop) == {"volumes": 2, **KEPT}, changes[nth]


def is_change(call: str) -> bool:
    return call.startswith("before ") and not call.startswith(
        ("before Describe", "before Get", "before TransactGet", "before Query")
    )


def at_its_owner(shop: Shop) -> None:
    """Once it is unadopted, its plan keeps no stack. It is adopted again at the end."""
    lab, ec2 = shop.plan.instance, SESSION.client("ec2")
    ours: Any = [{"Key": tags.AUTOSTOP, "Value": tags.ON}, {"Key": tags.CREATED, "Value": "lab"}]
    ec2.delete_tags(Resources=[lab], Tags=ours)
    uninstall_all(shop.account(), yes=True, dry_run=True)
    ec2.create_tags(Resources=[lab], Tags=ours)


def test_all_is_refused_while_anybody_is_created_or_sleeps(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    at_work_on(shop, notify="https://ntfy.sh/topic")
    with pytest.raises(FailedError, match="autostop uninstall lab"):
        uninstall_all(shop.account(), yes=True, dry_run=False)
    at_its_owner(shop)
    remove(shop, delete_data=True)
    assert SESSION.client("ssm").describe_parameters()["Parameters"] == []
    other = shop.desk.lab.workstation(tags={"Name": "mine"})
    shop.desk.lab.asleep(other)
    with pytest.raises(FailedError, match=f"Nobody could wake mine \\({other}\\)"):
        uninstall_all(shop.account(), yes=True, dry_run=False)
    assert shop.stacks() == ["autostop", "autostop-workstation"]
    shop.desk.lab.wake(other)
    uninstall_all(shop.account(), yes=True, dry_run=True)
    assert shop.stacks() == ["autostop", "autostop-workstation"]
    SESSION.client("ssm").put_parameter(Name="/autostop/notice-url", Value="https://n.example/t", Type="SecureString")
    uninstall_all(shop.account(), yes=True, dry_run=False)
    assert shop.stacks() == []
    assert SESSION.client("s3").list_buckets()["Buckets"] == []
    assert SESSION.client("dynamodb").list_tables()["TableNames"] == []
    assert SESSION.client("ssm").describe_parameters()["Parameters"] == []
    assert f"stays  mine ({other})" in capsys.readouterr().out


def test_no_termination_takes_a_volume_along() -> None:
    stopped, root, data = build.instance(), *build.both(delete_on_termination=False)
    assert why_not_terminate(stopped, [root, data]) is None
    assert why_not_terminate(stopped, []) is None
    assert why_not_terminate(stopped, [build.detached(root)]) is None
    assert root.id in str(why_not_terminate(stopped, [replace(root, delete_on_termination=True), data]))
    assert data.id in str(why_not_terminate(stopped, [root, replace(data, delete_on_termination=None)]))
    assert "not stopped" in str(why_not_terminate(build.instance(InstanceState.RUNNING), [root, data]))
