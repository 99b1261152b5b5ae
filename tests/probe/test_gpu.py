"""What is told of a GPU, on a machine whose devices and nvidia-smi are made up."""

import shutil
import time
from pathlib import Path

import psutil
import pytest

from autostop.probe.gpu import gpu_use
from tests.probe.jupyter_servers import wait_for
from tests.probe.machine import BUSY, Start, script, used_by
from tests.probe.parts import everywhere
from tests.probe.whole import PATIENCE_SECONDS, SOURCE, run


@pytest.fixture
def with_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A made-up machine: its devices, and a folder for what nvidia-smi is to be."""
    for name, vendor, kind in (("0000:00:03.0", "0x1d0f", "0x030000"), ("0000:00:1e.0", "0x10de", "0x030200")):
        (tmp_path / "pci" / name).mkdir(parents=True)
        (tmp_path / "pci" / name / "vendor").write_text(f"{vendor}\n")
        (tmp_path / "pci" / name / "class").write_text(f"{kind}\n")
    (tmp_path / "bin").mkdir()
    everywhere(monkeypatch, _PCI=tmp_path / "pci", _PROGRAMS=str(tmp_path / "bin"))
    return tmp_path


def sourced(with_gpu: Path) -> bytes:
    """The probe's source, on that machine."""
    programs = f'_PROGRAMS = "{with_gpu / "bin"}:'.encode()
    return SOURCE.replace(b'_PROGRAMS = "', programs).replace(b"/sys/bus/pci/devices", bytes(with_gpu / "pci"))


def gpu() -> tuple[float | None, list[str]]:
    percent, errors, _ = gpu_use(time.monotonic() + PATIENCE_SECONDS)
    return percent, errors


def test_the_busiest_gpu_of_three_samples_is_told(with_gpu: Path) -> None:
    each = 'echo x >> "$0.asked"; n=$(wc -l < "$0.asked"); [ "$n" -ge 2 ] && echo 37; echo 5; echo 0'
    script(with_gpu / "bin/nvidia-smi", f'#!/bin/sh\ncase "$1" in *compute-apps*) exit 9;; esac\n{each}\n')

    assert gpu() == (37.0, [])
    assert (with_gpu / "bin/nvidia-smi.asked").read_text().count("x") >= 3


def test_who_holds_a_gpu_is_told_and_need_not_be(with_gpu: Path) -> None:
    smi = with_gpu / "bin/nvidia-smi"
    script(smi, '#!/bin/sh\ncase "$1" in *compute-apps*) echo 4711; echo 42;; *) echo 3;; esac\n')
    assert gpu_use(time.monotonic() + PATIENCE_SECONDS) == (3.0, [], {42, 4711})
    for says in ("exit 9", "echo '[N/A]'", "true"):
        script(smi, f'#!/bin/sh\ncase "$1" in *compute-apps*) {says};; *) echo 3;; esac\n')
        assert gpu_use(time.monotonic() + PATIENCE_SECONDS) == (3.0, [], set())


@pytest.mark.parametrize(("listens", "name"), [
    ("", "g"), ("import socket; s = socket.create_server(('127.0.0.1', 0))\n", "pg"),
])  # fmt: skip
def test_the_seconds_of_who_holds_a_gpu_are_told(with_gpu: Path, start: Start, listens: str, name: str) -> None:
    pid = start([script(with_gpu / "trainer", BUSY.replace("while", f"{listens}while"))])
    script(with_gpu / "bin/nvidia-smi", f'#!/bin/sh\ncase "$1" in *compute-apps*) echo {pid};; *) echo 3;; esac\n')
    wait_for(lambda: used_by(pid) > 0.5)
    assert run(with_gpu, source=sourced(with_gpu))[0]["machine"]["cpu"][name] >= 0.5


def test_without_the_program_there_is_no_gpu(with_gpu: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda *_, **__: None)

    assert gpu() == (None, [])


@pytest.mark.parametrize("says", [
    "echo 0; exit 9", "echo '[N/A]'", "echo 5; echo '[Not Supported]'", "true", "echo 101", "echo nan", "echo -1",
    "exec no",
])  # fmt: skip
def test_a_gpu_that_cannot_be_read_is_an_error(with_gpu: Path, says: str) -> None:
    script(with_gpu / "bin/nvidia-smi", f"#!/bin/sh\n{says} 2> /dev/null\n")

    assert gpu() == (None, ["gpu"])


def test_the_program_may_fail_where_there_is_no_gpu(with_gpu: Path) -> None:
    script(with_gpu / "bin/nvidia-smi", "#!/bin/sh\nexit 9\n")
    (with_gpu / "pci/0000:00:1e.0/vendor").write_text("0x1d0f\n")

    assert gpu() == (None, [])


def test_a_program_that_hangs_is_ended_with_all_that_it_began(with_gpu: Path) -> None:
    script(with_gpu / "bin/nvidia-smi", '#!/bin/sh\nsleep 300 &\necho $! >> "$0.began"; echo $$ >> "$0.began"; wait\n')
    said, _ = run(with_gpu, source=sourced(with_gpu))

    assert (said["machine"]["gpu"], said["errors"]) == (None, ["gpu"])
    pids = [int(pid) for pid in (with_gpu / "bin/nvidia-smi.began").read_text().split()]
    assert len(pids) == 8
    wait_for(lambda: not any(map(alive, pids)))


def alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
