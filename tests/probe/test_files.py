"""When files were saved, and whether the keep-awake lock is held."""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from autostop.probe.files import edited_at, is_held, saved_at, source_saved_at
from tests.probe.jupyter_servers import wait_for
from tests.probe.machine import HOUR, Start
from tests.probe.parts import everywhere


@pytest.mark.parametrize("entry", [
    ".vscode-server/data/User/History/-1f2e3d", ".vscode-server-insiders/data/User/History/-1f2e3d",
    ".cursor-server/data/User/History/-1f2e3d", ".local/share/code-server/User/History/-1f2e3d",
    ".cache/JetBrains/RemoteDev-PY/_home_u_work/LocalHistory/changes.storageData",
])  # fmt: skip
def test_what_a_remote_editor_saved_is_told(tmp_path: Path, entry: str) -> None:
    assert edited_at({str(tmp_path)}) is None
    saved_at = round(time.time() - HOUR)
    for name, age in ((entry, 0), (f"{entry}-older", 60)):
        (tmp_path / name).mkdir(parents=True)
        os.utime(tmp_path / name, (0, saved_at - age))

    assert edited_at({str(tmp_path), "/nowhere"}) == saved_at


def test_a_file_without_a_time_tells_nothing(tmp_path: Path) -> None:
    entry = tmp_path / ".vscode-server/data/User/History/-1f2e3d"
    entry.mkdir(parents=True)
    for never in (0, 315_532_800, 5_000_000_000):
        os.utime(entry, (never, never))

        assert edited_at({str(tmp_path)}) is None


def test_a_save_is_not_missed_among_thousands(tmp_path: Path) -> None:
    histories, at = tmp_path / ".vscode-server/data/User/History", round(time.time() - HOUR)
    histories.mkdir(parents=True)
    for number in range(5_000):
        (histories / f"{number:x}").mkdir()
        os.utime(histories / f"{number:x}", (0, at - number))
    assert edited_at({str(tmp_path)}) == at


def test_a_source_text_that_is_in_no_session_is_told(tmp_path: Path) -> None:
    """A `.py` that is edited in JupyterLab, with no notebook open: only its file changes."""
    at = round(time.time() - HOUR)
    for name, age in (
        ("deep/er/model.py", 60), ("notes.md", 120), ("run.log", 0), (".hidden/x.py", 0), ("node_modules/a/b.js", 0),
        ("deep/data.csv", 0), ("model.pyc", 0),
    ):  # fmt: skip
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
        os.utime(tmp_path / name, (at, at - age))
    (tmp_path / "elsewhere.py").symlink_to("/etc/hostname")
    (tmp_path / "outside").symlink_to("/usr/lib/python3")
    assert source_saved_at(str(tmp_path)) == at - 60
    assert source_saved_at("relative") is None
    assert source_saved_at("") is None
    assert source_saved_at(str(tmp_path / "nowhere")) is None


def test_a_save_is_seen_among_very_many_files_by_the_folder_that_changed(tmp_path: Path) -> None:
    for folder in range(12):
        (tmp_path / f"images{folder}").mkdir()
        for number in range(300):
            (tmp_path / f"images{folder}" / f"{number}.png").touch()
        os.utime(tmp_path / f"images{folder}", (1e9, 1e9))
    (tmp_path / "project").mkdir()
    (tmp_path / "project/model.py").touch()

    assert time.time() - (source_saved_at(str(tmp_path)) or 0) < 60


def test_the_newest_notebook_of_a_session_is_told(tmp_path: Path) -> None:
    at = round(time.time() - HOUR)
    (tmp_path / "deep").mkdir()
    for name, age in (("a.ipynb", 60), ("deep/b.ipynb", 0), ("other.ipynb", -60)):
        (tmp_path / name).write_text("{}")
        os.utime(tmp_path / name, (at, at - age))
    opened = ["a.ipynb", "/deep/b.ipynb", "gone.ipynb", "console-1-0123", "x\0y", ""]

    assert saved_at(str(tmp_path), opened) == at
    assert saved_at(f"{tmp_path}/", opened) == at
    assert saved_at("", opened) is None
    assert saved_at("relative", opened) is None


def test_no_path_leads_out_of_the_servers_files(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("")
    (tmp_path / "served").mkdir()
    (tmp_path / "served/link.ipynb").symlink_to(tmp_path / "secret")
    os.mkfifo(tmp_path / "served/pipe.ipynb")

    for path in ("../secret", "link.ipynb", "pipe.ipynb", "/served/../../secret", "/../secret", "."):
        assert saved_at(str(tmp_path / "served"), [path]) is None


@contextlib.contextmanager
def locked(file: Path, *options: str) -> Iterator[subprocess.Popen[bytes]]:
    """While `flock` runs a program as its users do."""
    process = subprocess.Popen(["flock", *options, file, "sleep", "300"], start_new_session=True)
    try:
        yield process
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def test_the_keep_awake_lock_is_told_while_its_program_runs(tmp_path: Path) -> None:
    file = tmp_path / ".autostop-keep-awake"
    homes = {"/nowhere", str(tmp_path)}
    assert is_held(homes) == 0
    file.touch()
    assert is_held(homes) == 0

    with locked(file):
        wait_for(lambda: is_held(homes) == 1)
        assert is_held({"/nowhere"}) == 0

    wait_for(lambda: is_held(homes) == 0)


def test_a_lock_that_a_script_holds_itself_is_told(start: Start, tmp_path: Path) -> None:
    file = tmp_path / ".autostop-keep-awake"

    start(["/bin/sh", "-c", f"exec 9>{file}; flock 9; sleep 300"])

    wait_for(lambda: is_held({str(tmp_path)}) == 1)


def test_a_lock_on_another_file_is_none(tmp_path: Path) -> None:
    real, file = tmp_path / "anything", tmp_path / ".autostop-keep-awake"
    real.touch()
    file.symlink_to(real)

    with locked(real):
        wait_for(lambda: str(real.stat().st_ino) in Path("/proc/locks").read_text())
        assert is_held({str(tmp_path)}) == 0
        file.unlink()
        file.mkdir()
        assert is_held({str(tmp_path)}) == 0


@pytest.mark.parametrize("holder", ["777", "778"])
def test_a_file_system_with_two_device_numbers_is_seen_through_its_holder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, holder: str
) -> None:
    file = tmp_path / ".autostop-keep-awake"
    file.touch()
    proc = tmp_path / "proc"
    (proc / "777/fd").mkdir(parents=True)
    (proc / "locks").write_text(f"1: FLOCK  ADVISORY  WRITE {holder} ff:ff:{file.stat().st_ino} 0 EOF\n")
    everywhere(monkeypatch, PROC=proc)
    assert is_held({str(tmp_path)}) == 0

    (proc / "777/fd/9").symlink_to(file)
    assert is_held({str(tmp_path)}) == 1

    (proc / "locks").write_text(f"1: -> FLOCK  ADVISORY  WRITE 777 ff:ff:{file.stat().st_ino} 0 EOF\n")
    assert is_held({str(tmp_path)}) == 0


def test_a_lock_is_known_by_the_file_even_if_its_holder_shows_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / ".autostop-keep-awake"
    file.touch()
    (tmp_path / "proc/777").mkdir(parents=True)
    device, inode = file.stat().st_dev, file.stat().st_ino
    place = f"{os.major(device):02x}:{os.minor(device):02x}:{inode}"
    (tmp_path / "proc/locks").write_text(f"1: FLOCK  ADVISORY  WRITE 777 {place} 0 EOF\n")
    everywhere(monkeypatch, PROC=tmp_path / "proc")

    assert is_held({str(tmp_path)}) == 1
