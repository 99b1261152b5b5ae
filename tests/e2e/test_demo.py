"""The demo of the README, run as its reader runs it."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from autostop_local import demo as demo_of_ours
from autostop_local.emulator import ROOT

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1200)]


def begin(build: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "autostop_local.demo", str(build)],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": ":".join(sys.path), "DEMO_STAY": "0"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def left_over(build: Path) -> Sequence[str]:
    """Processes that work in the demo's directory, or were told of it, and disks of its machines."""
    found = [file.read_text() for file in Path("/sys/block").glob("loop*/loop/backing_file")]
    found = [each for each in found if str(build) in each]
    for process in psutil.process_iter():
        try:
            told = [*process.cmdline(), process.cwd(), *process.environ().values()]
        except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
            continue
        if process.pid != os.getpid() and any(str(build) in each for each in told):
            found.append(f"{process.pid} {' '.join(process.cmdline())}")
    return found


def listening(connections: Sequence[Any]) -> set[int]:
    return {each.laddr.port for each in connections if each.status == psutil.CONN_LISTEN}


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, dict[str, Any]]:
    build = tmp_path_factory.mktemp("demo")
    process = begin(build)
    printed, _ = process.communicate(timeout=900)
    assert process.returncode == 0, printed
    return build, printed, json.loads((build / "demo.json").read_text())


def test_it_holds_and_says_how_long_each_stage_took(demo: tuple[Path, str, dict[str, Any]]) -> None:
    _, printed, report = demo

    assert report["ok"] is True
    assert report["error"] is None
    assert report["machine"] == "booted from disks"
    assert all(name in printed for name in report["seconds"])
    assert len(report["seconds"]) == 12  # the desk, the workstation, and five stages for each of two nights


def test_two_nights_bring_the_file_back_as_it_was_left_each_time(demo: tuple[Path, str, dict[str, Any]]) -> None:
    nights = demo[2]["hashes"]

    assert nights["night_1"]["before"] == nights["night_1"]["after"]
    assert nights["night_2"]["before"] == nights["night_2"]["after"]
    assert nights["night_1"]["after"] != nights["night_2"]["after"]


def test_its_owner_and_its_clients_know_it_again(demo: tuple[Path, str, dict[str, Any]]) -> None:
    identities = demo[2]["identities"]

    assert [each["label"] for each in identities] == ["autostop", "autostop"]
    first, second = ({name for name in each["certificate"] if name.startswith("198.1")} for each in identities)
    assert first
    assert first.isdisjoint(second)


def test_while_shelved_there_is_no_volume_and_one_complete_snapshot_for_each_device(
    demo: tuple[Path, str, dict[str, Any]],
) -> None:
    report = demo[2]

    assert report["volumes"]["shelved_1"] == report["volumes"]["shelved_2"] == []
    assert [(each["cycle"], each["device"], each["state"]) for each in report["snapshots"]["shelved_1"]] == [
        (1, "/dev/sda1", "completed"),
        (1, "/dev/sdf", "completed"),
    ]
    # The cycle before stays until a start from the newer one was seen to work.
    assert [each["cycle"] for each in report["snapshots"]["shelved_2"]] == [1, 1, 2, 2]


def test_the_volumes_come_back_with_their_devices_types_sizes_and_flags(demo: tuple[Path, str, dict[str, Any]]) -> None:
    volumes = demo[2]["volumes"]

    def seen(when: str) -> list[dict[str, Any]]:
        return [{key: value for key, value in each.items() if key != "id"} for each in volumes[when]]

    assert len(volumes["before"]) == 2
    assert seen("before") == seen("after_1") == seen("after_2")
    assert {each["id"] for each in volumes["before"]}.isdisjoint(each["id"] for each in volumes["after_2"])


def test_nothing_is_left_running_after_it(demo: tuple[Path, str, dict[str, Any]]) -> None:
    assert left_over(demo[0]) == []


def test_it_is_taken_down_also_when_nobody_reads_what_it_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ended = []

    @contextmanager
    def made(*_: object, **__: object) -> Iterator[str]:
        try:
            yield "a desk"
        finally:
            ended.append(True)

    def broken(*_: object, **__: object) -> None:
        raise BrokenPipeError

    monkeypatch.setattr(demo_of_ours, "desk", made)
    monkeypatch.setattr(demo_of_ours, "_on_ending", lambda _: None)
    report = demo_of_ours.Report(tmp_path / "demo.json")
    with pytest.raises(BrokenPipeError) as raised, demo_of_ours._whole_desk(tmp_path, report):
        monkeypatch.setattr(demo_of_ours.Report, "say", broken)
    assert ended, raised  # which keeps the frames from ending by themselves


def test_ctrl_c_leaves_no_process_and_no_port_behind(tmp_path: Path) -> None:
    process = begin(tmp_path)
    try:
        assert process.stdout is not None
        assert any("JupyterLab is starting" in line for line in process.stdout)
        running = psutil.Process(process.pid)
        ports, names, until = set[int](), set[str](), time.monotonic() + 120
        while "systemd" not in names and time.monotonic() < until:
            tree = [running, *running.children(recursive=True)]
            for each in tree:
                with suppress(psutil.NoSuchProcess):  # while a machine boots, many come and go
                    names.add(each.name())
                    ports |= listening(each.net_connections("tcp"))
        assert len(ports) >= 2  # the emulator, the world
        assert "systemd" in names
        assert any("/world/" in each for each in left_over(tmp_path))  # its disks
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=120)

    assert process.returncode == 1
    until = time.monotonic() + 300
    while left_over(tmp_path) and time.monotonic() < until:
        time.sleep(0.1)
    assert left_over(tmp_path) == []
    # A port is free once all who held it are gone; the number itself may be another test's by now.
    assert psutil.wait_procs(tree, timeout=60)[1] == []
    assert json.loads((tmp_path / "demo.json").read_text())["ok"] is False
