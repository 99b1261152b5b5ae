"""The demo of the README, run as its reader runs it."""

import json
import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from autostop_local import demo as demo_of_ours
from autostop_local.emulator import ROOT

pytestmark = pytest.mark.e2e


@dataclass(frozen=True)
class Run:
    """A demo in a terminal, which told all and was ended by Ctrl-C.

    ran: its processes, by their names, and ports: on which they listened. left: what was left after it.
    """

    printed: str
    report: dict[str, Any]
    code: int
    ran: dict[psutil.Process, str]
    ports: set[int]
    left: Sequence[str]


def run(build: Path) -> Run:
    screen, terminal = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "autostop_local.demo", str(build)],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": ":".join(sys.path)},
        stdout=terminal,
        stderr=terminal,
    )
    os.close(terminal)
    printed, ran, ports = "", dict[psutil.Process, str](), set[int]()
    try:
        with suppress(OSError):  # how the kernel says that nobody writes there any more
            while piece := os.read(screen, 65_536):
                printed += piece.decode()
                if "Ctrl-C ends it" in printed and not ran:
                    running = psutil.Process(process.pid)
                    for each in [running, *running.children(recursive=True)]:
                        with suppress(psutil.NoSuchProcess):  # commands come and go
                            ran[each] = each.name()
                            ports |= listening(each.net_connections("tcp"))
                    process.send_signal(signal.SIGINT)
        code = process.wait(120)
    finally:
        os.close(screen)
        process.kill()
    until = time.monotonic() + 300
    while left_over(build) and time.monotonic() < until:
        time.sleep(0.1)
    return Run(printed, json.loads((build / "demo.json").read_text()), code, ran, ports, left_over(build))


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
def demo(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return run(tmp_path_factory.mktemp("demo"))


def test_it_holds_and_says_how_long_each_stage_took(demo: Run) -> None:
    assert demo.report["ok"] is True, demo.printed
    assert demo.report["error"] is None
    assert demo.report["machine"] == "booted from disks"
    assert all(name in demo.printed for name in demo.report["seconds"])
    assert len(demo.report["seconds"]) == 12  # the desk, the workstation, and five stages for each of two nights


def test_two_nights_bring_the_file_back_as_it_was_left_each_time(demo: Run) -> None:
    nights = demo.report["hashes"]

    assert nights["night_1"]["before"] == nights["night_1"]["after"]
    assert nights["night_2"]["before"] == nights["night_2"]["after"]
    assert nights["night_1"]["after"] != nights["night_2"]["after"]


def test_its_owner_and_its_clients_know_it_again(demo: Run) -> None:
    identities = demo.report["identities"]

    assert [each["label"] for each in identities] == ["autostop", "autostop"]
    first, second = ({name for name in each["certificate"] if name.startswith("198.1")} for each in identities)
    assert first
    assert first.isdisjoint(second)


def test_while_shelved_there_is_no_volume_and_one_complete_snapshot_for_each_device(demo: Run) -> None:
    report = demo.report

    assert report["volumes"]["shelved_1"] == report["volumes"]["shelved_2"] == []
    assert [(each["cycle"], each["device"], each["state"]) for each in report["snapshots"]["shelved_1"]] == [
        (1, "/dev/sda1", "completed"),
        (1, "/dev/sdf", "completed"),
    ]
    # The cycle before stays until a start from the newer one was seen to work.
    assert [each["cycle"] for each in report["snapshots"]["shelved_2"]] == [1, 1, 2, 2]


def test_the_volumes_come_back_with_their_devices_types_sizes_and_flags(demo: Run) -> None:
    volumes = demo.report["volumes"]

    def seen(when: str) -> list[dict[str, Any]]:
        return [{key: value for key, value in each.items() if key != "id"} for each in volumes[when]]

    assert len(volumes["before"]) == 2
    assert seen("before") == seen("after_1") == seen("after_2")
    assert {each["id"] for each in volumes["before"]}.isdisjoint(each["id"] for each in volumes["after_2"])


def test_ctrl_c_ends_it_and_leaves_no_process_no_disk_and_no_port_behind(demo: Run) -> None:
    assert demo.code == 0
    assert "systemd" in demo.ran.values()
    assert len(demo.ports) >= 2  # the emulator, the world
    assert demo.left == []
    # A port is free once all who held it are gone; the number itself may be another test's by now.
    assert psutil.wait_procs(list(demo.ran), timeout=60)[1] == []


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


def test_ctrl_c_in_the_middle_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    @contextmanager
    def interrupted(*_: object) -> Iterator[None]:
        yield
        raise AssertionError("the block was to be interrupted")

    def in_the_middle(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(demo_of_ours, "_on_ending", lambda _: None)
    monkeypatch.setattr(demo_of_ours, "_whole_desk", interrupted)
    monkeypatch.setattr(demo_of_ours, "_two_nights", in_the_middle)

    assert demo_of_ours.main(tmp_path) == 1
    report = json.loads((tmp_path / "demo.json").read_text())
    assert (report["ok"], report["error"]) == (False, "it was interrupted")
