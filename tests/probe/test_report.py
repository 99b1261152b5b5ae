"""What the line says of the machine, and of what could not be read of it."""

import threading
import time
from pathlib import Path

import pytest

from autostop.probe.report import look
from tests.probe.jupyter_servers import FalseServer, answering
from tests.probe.machine import Terminal
from tests.probe.parts import everywhere
from tests.probe.whole import PATIENCE_SECONDS, run


def test_the_machine_is_in_the_line(terminal: Terminal, tmp_path: Path) -> None:
    terminal.runs("sleep 300")

    said, _ = run(tmp_path)

    machine = said["machine"]
    assert list(machine) == [
        "boot", "cpu", "typed_at", "wrote_at", "jobs", "job", "gpu", "logins", "editors", "edited_at", "muxes", "held",
        "visits", "doubts",
    ]  # fmt: skip
    assert machine["boot"] == Path("/proc/sys/kernel/random/boot_id").read_text()[:8]
    assert machine["jobs"] >= 1
    # The line says when the look began; what was typed may be read while it goes on.
    assert -10 < said["at"] - machine["typed_at"] < 60
    assert said["errors"] == []


def test_a_file_system_that_hangs_hides_no_busy_server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    stamp = "2026-11-23T09:00:00Z"
    kernel = {"execution_state": "busy", "connections": 0, "last_activity": stamp}
    looked = threading.Event()
    everywhere(monkeypatch, source_saved_at=lambda *_: looked.wait())

    with FalseServer(answering([kernel], [], sessions=[{"path": "a.ipynb", "kernel": kernel}])) as server:
        server.write_runtime_file(tmp_path)
        (entry,), machine, errors = look([str(tmp_path)], time.monotonic() + 5)
    looked.set()

    assert (entry["status"], entry["busy"], entry["saved_at"]) == ("ok", 1, None)
    assert errors == ["deadline"]
    assert machine is not None


@pytest.mark.parametrize("part", ["edited_at", "is_held", "gpu_use"])
@pytest.mark.parametrize(("outcome", "error"), [("hangs", "deadline"), ("fails", "failed")])
def test_a_part_that_cannot_be_read_is_an_error_and_the_rest_is_read(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, part: str, outcome: str, error: str
) -> None:
    def spoiled(*_: object) -> None:
        if outcome == "fails":
            raise RuntimeError("a secret")
        time.sleep(30)

    everywhere(monkeypatch, **{part: spoiled})

    _, machine, errors = look([str(tmp_path)], time.monotonic() + (5 if outcome == "hangs" else PATIENCE_SECONDS))

    assert errors == [error]
    assert machine is not None
    assert machine["boot"] == Path("/proc/sys/kernel/random/boot_id").read_text()[:8]
