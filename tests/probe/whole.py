"""The whole probe, run here, and how its line is read."""

import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from autostop.idle.reading import Reading, Unknown, parse_reading
from autostop.probe.script import script
from tests.probe.jupyter_servers import PASSWORD, TOKEN

SOURCE = script().encode()
PATIENCE_SECONDS = 60.0  # of a busy machine, instead of the deadline, where nothing is to be known of that


def run(*directories: Path, source: bytes = SOURCE) -> tuple[dict[str, Any], str]:
    """What the probe says, decoded and as it is; with more time where the machine is too busy for its deadline."""
    said, line = _run(source, *directories)
    return _run(patient(source), *directories) if "deadline" in said["errors"] else (said, line)


def patient(source: bytes) -> bytes:
    """The probe with more time."""
    return source.replace(b"DEADLINE_SECONDS = 4.5", f"DEADLINE_SECONDS = {PATIENCE_SECONDS}".encode())


def _run(source: bytes, *directories: Path) -> tuple[dict[str, Any], str]:
    """A proxy that leads nowhere must not matter."""
    proxy = {"http_proxy": "http://127.0.0.1:9", "https_proxy": "http://127.0.0.1:9"}
    ended = subprocess.run(
        [sys.executable, "-", *map(str, directories)],
        input=source,
        capture_output=True,
        timeout=120,
        env=os.environ | proxy,
        check=True,
        cwd="/",
    )
    line = ended.stdout.decode("ascii")
    assert ended.stderr == b"", ended.stderr
    assert line.count("\n") == 1, line
    assert len(line) < 2000, line
    assert TOKEN not in line
    assert PASSWORD not in line
    said: dict[str, Any] = json.loads(line)
    return said, line


def statuses(said: dict[str, Any]) -> list[tuple[int, str]]:
    return [(server["port"], server["status"]) for server in said["servers"]]


def read(line: str) -> Reading | Unknown:
    return parse_reading(line, datetime.now(UTC))


def missing(line: str) -> str:
    """What the owner is told could not be read, while the machine itself was."""
    answer = read(line)
    assert isinstance(answer, Reading), answer
    assert answer.machine is not None, answer
    return "; ".join(answer.missing)
