"""How busy the GPUs are, and who holds one."""

from __future__ import annotations

import math
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

from autostop.probe.limits import Aside

_PCI = Path("/sys/bus/pci/devices")
_PROGRAMS = "/usr/bin:/bin:/usr/local/bin:/usr/local/nvidia/bin"  # where nobody but root puts a program


def gpu_use(until: float) -> tuple[float | None, list[str], set[int]]:
    """The highest utilisation of all GPUs, percent, `gpu` if it could not be read, and which processes hold one.

    None, nothing and nobody without a GPU. A sample speaks for less than a second, so there are three. Each is a
    process: in a loop of its own, nvidia-smi may keep what it read for itself for as long as its output is no terminal.
    """
    program = shutil.which("nvidia-smi", path=_PROGRAMS)
    if not program:
        return None, [], set()

    def asked(what: str) -> Aside:
        return Aside(lambda: _gpu_values(program, what, min(until, time.monotonic() + 3.0) - 0.3))

    samples = []
    holders = asked("--query-compute-apps=pid")
    for start in range(3):
        samples.append(asked("--query-gpu=utilization.gpu"))
        if start < 2:
            time.sleep(0.4)  # between two batches a GPU rests for less than that
    errors: list[str] = []
    values = [max(sample.result(until, [math.nan], errors), default=math.nan) for sample in samples]
    if not errors and all(0 <= value <= 100 for value in values):
        # Who they are only adds to that: some GPUs do not tell it.
        return max(values), [], {int(pid) for pid in holders.result(until, [], []) if pid > 0}
    # An image that is made for GPUs has the program on machines without one too.
    return None, ["gpu"] if any(map(_is_gpu, _PCI.glob("*"))) else [], set()


def _gpu_values(program: str, what: str, until: float) -> list[float]:
    """Raises ValueError on anything but numbers, subprocess.TimeoutExpired, OSError."""
    command = [program, what, "--format=csv,noheader,nounits"]
    process = subprocess.Popen(  # noqa: S603 - a program of the machine's own path, and no word from outside
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True
    )
    try:
        said, _ = process.communicate(timeout=max(0.0, until - time.monotonic()))
    except BaseException:
        os.killpg(process.pid, signal.SIGKILL)
        raise
    values = [float(line) for line in said.decode().split("\n") if line.strip()]
    if process.returncode or not all(map(math.isfinite, values)):
        raise ValueError("no numbers")
    return values


def _is_gpu(device: Path) -> bool:
    """Whether this is an NVIDIA display or 3D controller."""
    try:
        vendor, kind = (device / "vendor").read_text().strip(), (device / "class").read_text().strip()
    except OSError:
        return False
    return vendor == "0x10de" and kind.startswith("0x03")
