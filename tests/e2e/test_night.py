"""What the demo does not show: a tap in the middle, what nobody may stop, the other way to ask, a lost table."""

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import timedelta

import pytest

from autostop_cli import VERSION
from autostop_local import night, notebook
from autostop_local.desk import QUICK_SETTINGS, Desk, cloud
from autostop_local.process import CommandError
from autostop_local.stack import Stack
from tests.e2e.versions import before_and_now

pytestmark = pytest.mark.e2e
NAME = "over https"


@dataclass(frozen=True)
class Upgraded:
    """Two workstations of the version before, over which the present one was deployed: one slept, one was at work."""

    desk: Desk
    asleep: night.Phone
    awake: night.Phone


@pytest.fixture(scope="module")
def upgraded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Upgraded]:
    """One for all: deploying takes longer than most of what follows."""
    with cloud(tmp_path_factory.mktemp("desk")) as empty:
        before, now = before_and_now(tmp_path_factory.mktemp("versions"), empty, QUICK_SETTINGS)
        running = replace(empty.desk(before.deploy(empty, QUICK_SETTINGS)), paths=before.paths)
        phones = []
        for name in ("asleep", "awake"):
            instance = night.launch(running, name)
            night.wait_for_jupyter(running, instance, print)
            phones.append(night.adopt(running, instance))
        asleep, awake = phones
        awake.tap("keep-awake")
        (running.world.disk_path(asleep.workstation, night.DATA_DEVICE) / "monday").write_text("before")
        night.sweep_until_wanted(running, asleep, "shelve", print)
        night.wait_for_phase(asleep, "asleep", print)

        replace(running, paths=now.paths).autostop("upgrade", "--yes")

        whole = replace(running, stack=Stack.find(empty.emulator, "autostop"), paths=())
        yield Upgraded(whole, replace(asleep, desk=whole), replace(awake, desk=whole))


@pytest.fixture(scope="module")
def whole(upgraded: Upgraded) -> Desk:
    return upgraded.desk


def test_over_the_version_before_the_one_asleep_and_the_one_awake_go_on_and_nobody_acts(upgraded: Upgraded) -> None:
    whole, asleep, awake = upgraded.desk, upgraded.asleep, upgraded.awake
    cloudformation = whole.emulator.session.client("cloudformation", **whole.emulator.reach)
    (stack,) = cloudformation.describe_stacks(StackName="autostop")["Stacks"]
    assert {each["OutputKey"]: each["OutputValue"] for each in stack["Outputs"]}["Version"] == VERSION
    assert {"ParameterKey": "IdleAfter", "ParameterValue": QUICK_SETTINGS["IdleAfter"]} in stack["Parameters"]

    assert asleep.status()["phase"] == "asleep"
    assert (awake.status()["phase"], whole.state(awake.workstation)) == ("awake", "running")
    assert whole.stack.invoke_sweep()["verdicts"].keys() == {awake.workstation}
    night.wake(asleep, print)

    assert (whole.world.disk_path(asleep.workstation, night.DATA_DEVICE) / "monday").read_text() == "before"
    assert awake.status()["phase"] == "awake"
    assert awake.status()["keep_awake_until"] is not None
    assert whole.stack.dead_letters() == []


def test_a_tap_during_the_snapshot_has_jupyter_back_without_any_volume_re_created(upgraded: Upgraded) -> None:
    whole, phone, instance = upgraded.desk, upgraded.awake, upgraded.awake.workstation
    whole.autostop("keep-awake", instance, "--off")
    volumes = {volume["id"] for volume in whole.volumes(instance)}
    whole.world.timings.snapshot = timedelta(minutes=10)

    try:
        night.sweep_until_wanted(whole, phone, "shelve", print)
        until = time.monotonic() + 300
        while "snapshots" not in (phone.status()["waiting_for"] or ""):
            assert time.monotonic() < until
            time.sleep(0.2)
        assert [each["state"] for each in whole.snapshots(instance)] == ["pending", "pending"]
        night.wake(phone, print)
    finally:
        whole.world.timings.snapshot = timedelta(seconds=6)

    assert notebook.answers(whole.machines.server(instance))
    assert {volume["id"] for volume in whole.volumes(instance)} == volumes
    assert [each["state"] for each in whole.snapshots(instance)] == ["pending", "pending"]


def test_an_untagged_instance_and_an_unreadable_workstation_are_left_alone_and_the_latter_says_why(whole: Desk) -> None:
    untagged = night.launch(whole, "not ours")
    silent = night.launch(whole, "silent")
    night.wait_for_jupyter(whole, silent, print)
    phone = night.adopt(whole, silent)
    whole.world.lose_metrics(silent)
    whole.world.break_agent(silent)
    begun = time.monotonic()

    verdicts = night.sweep_while(whole, silent, lambda: time.monotonic() - begun < 35, print)

    assert whole.state(untagged) == whole.state(silent) == "running"
    assert not whole.snapshots(untagged)
    stopped = [call.parameters["InstanceIds"] for call in whole.world.journal.calls("StopInstances")]
    assert [untagged] not in stopped
    assert [silent] not in stopped
    shown = phone.status()["verdict"]
    assert shown["kind"] == "unknown"
    assert any("CloudWatch has no data" in reason for reason in shown["reasons"])
    assert any("SSM agent" in reason for reason in shown["reasons"])
    assert not any(verdict.startswith("idle") for verdict in verdicts)


@pytest.fixture(scope="module")
def by_https(whole: Desk) -> night.Phone:
    """A workstation that is asked over HTTPS, with a file on its data volume."""
    instance = night.launch(whole, NAME)
    night.wait_for_jupyter(whole, instance, print)
    server = whole.machines.server(instance)
    options = ("--probe", "https", "--jupyter-port", str(server.port), "--certificate", str(server.certificate))
    (whole.world.disk_path(instance, night.DATA_DEVICE) / "kept.bin").write_bytes(bytes(range(256)) * 400)
    return night.adopt(whole, instance, *options, token=server.token)


def test_asked_over_https_with_the_certificate_pinned_a_busy_kernel_is_work(whole: Desk, by_https: night.Phone) -> None:
    instance = by_https.workstation
    go_on = whole.world.disk_path(instance, night.DATA_DEVICE) / "go-on"
    cell = "import os, time\nwhile not os.path.exists('go-on'): time.sleep(0.1)"
    notebook.open_notebook(whole.machines.server(instance), "silent.ipynb").begin(cell)
    give_up, verdicts = time.monotonic() + 300, [""]

    def unseen() -> bool:
        assert time.monotonic() < give_up, verdicts
        return "1 busy kernel" not in verdicts[-1]

    night.sweep_while(whole, instance, unseen, verdicts.append)
    go_on.touch()

    assert whole.state(instance) == "running"


def test_after_a_night_in_which_the_table_is_lost_it_is_recovered_and_all_comes_back_by_its_name(
    whole: Desk, by_https: night.Phone
) -> None:
    instance = by_https.workstation
    digest, before = night.digest(whole, instance, "kept.bin"), _shape(whole, instance)
    night.sweep_until_wanted(whole, by_https, "shelve", print)
    night.wait_for_phase(by_https, "asleep", print)

    # Every item of every workstation: states, links, leases, verdicts.
    client = whole.emulator.session.client("dynamodb", **whole.emulator.reach)
    for page in client.get_paginator("scan").paginate(TableName=whole.stack.table_name):
        for item in page["Items"]:
            key = {name: item[name] for name in ("workstation", "kind")}
            client.delete_item(TableName=whole.stack.table_name, Key=key)

    assert "Nothing was changed" in whole.autostop("recover", instance)
    assert f"{instance} is recovered." in whole.autostop("recover", instance, "--yes")
    link = next(word for word in whole.autostop("link", instance).split() if f"/w/{instance}#" in word)
    assert night.Phone(whole, instance, link).status()["phase"] == "asleep"
    with pytest.raises(CommandError, match="is no instance's id or name here"):
        whole.autostop("start", NAME[:-1])
    url = whole.autostop("start", NAME).strip()
    assert whole.state(instance) == "running"
    assert notebook.answers(whole.machines.server(instance))
    assert whole.autostop("open", NAME, "--print").strip() == url == f"{whole.machines.server(instance).url}lab"
    assert night.digest(whole, instance, "kept.bin") == digest
    assert _shape(whole, instance) == before
    phases = {each["name"]: each["phase"] for each in json.loads(whole.autostop("list", "--json"))}
    assert phases[NAME] == "awake"
    whole.autostop("stop", NAME, "--wait")
    assert whole.state(instance) == "stopped"
    assert not any(instance in body for body in whole.stack.dead_letters())


def _shape(whole: Desk, instance: str) -> list[dict[str, object]]:
    return [{key: value for key, value in each.items() if key != "id"} for each in whole.volumes(instance)]
