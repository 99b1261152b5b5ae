"""What the demo does not show: taps in the middle, workstations that nobody may stop, the other way to ask."""

import time
from datetime import timedelta

import pytest

from autostop_local import night, notebook
from autostop_local.desk import Desk

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1200)]


def test_a_tap_during_the_snapshot_has_jupyter_back_without_any_volume_re_created(whole: Desk) -> None:
    instance = night.launch(whole, "tapped in the middle")
    night.wait_for_jupyter(whole, instance, print)
    phone = night.adopt(whole, instance)
    volumes = {volume["id"] for volume in whole.volumes(instance)}
    whole.world.timings.snapshot = timedelta(minutes=10)

    try:
        night.sweep_until_wanted(whole, phone, "shelve", 400, print)
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


def test_asked_over_https_with_the_certificate_pinned_a_busy_kernel_is_work_and_idleness_is_found(whole: Desk) -> None:
    instance = night.launch(whole, "over https")
    night.wait_for_jupyter(whole, instance, print)
    server = whole.machines.server(instance)
    phone = night.adopt(
        whole,
        instance,
        *("--probe", "https", "--jupyter-port", str(server.port), "--certificate", str(server.certificate)),
        token=server.token,
    )
    go_on = whole.world.disk_path(instance, night.DATA_DEVICE) / "go-on"
    cell = "import os, time\nwhile not os.path.exists('go-on'): time.sleep(0.1)"
    notebook.open_notebook(server, "silent.ipynb").begin(cell)
    give_up, verdicts = time.monotonic() + 300, [""]

    def unseen() -> bool:
        assert time.monotonic() < give_up, verdicts
        return "1 busy kernel" not in verdicts[-1]

    night.sweep_while(whole, instance, unseen, verdicts.append)
    go_on.touch()

    assert whole.state(instance) == "running"
    night.sweep_until_wanted(whole, phone, "shelve", 400, print)
    night.wait_for_phase(phone, "asleep", 400, print)
    night.wake(phone, print)
