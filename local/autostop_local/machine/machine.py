"""A machine with systemd as its first process, in namespaces of its own, on real disks: files, and loop devices."""

import ipaddress
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

from autostop_local.machine.keeper import Kept, Spec

PREPARED = Path(__file__).parents[3] / ".machine"
ROOT = "sda1"
_ENTER = Path(__file__).with_name("enter.py")
# Of benchmarks, RFC 2544: nobody else's.
_NETWORK = ipaddress.IPv4Network("198.18.0.0/15")


def what_is_missing() -> str | None:
    """Why this system can run no machine, in words; None when it can."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return "a machine with disks of its own needs Linux and root"
    if not Path("/dev/loop-control").exists() or "xfs" not in Path("/proc/filesystems").read_text(encoding="ascii"):
        return "a machine with disks of its own needs loop devices and XFS, which this kernel lacks"
    if not (PREPARED / "root").exists() or not (PREPARED / "warm").exists():
        return "the system that machines boot is not prepared"
    return None


class Wire:
    """Two addresses that no other machine of this system has: the machine's, and that of the system around it."""

    def __init__(self) -> None:
        self._holds = socket.socket(socket.AF_UNIX)
        while True:
            number = secrets.randbelow(_NETWORK.num_addresses // 2)
            try:
                # A name of Linux's abstract kind is free again when its holder ends, in whatever way.
                self._holds.bind(f"\0autostop-machine-{number}")
            except OSError:
                continue
            self.gateway, self.address = str(_NETWORK[2 * number]), str(_NETWORK[2 * number + 1])
            return

    def close(self) -> None:
        self._holds.close()


def write_seed(folder: Path, user_data: bytes, instance_id: str) -> None:
    """What cloud-init finds at every boot."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "user-data").write_bytes(user_data)
    (folder / "meta-data").write_text(f"instance-id: {instance_id}\nlocal-hostname: {instance_id}\n", encoding="utf-8")


def make_volume(file: Path, mib: int) -> None:
    """A new one, which reads as zeros."""
    with file.open("xb") as content:
        content.truncate(mib * 1024 * 1024)


def make_root(file: Path) -> None:
    """Of a volume that reads as zeros, one that holds what a machine writes over the prepared system: nothing yet."""
    _run("mkfs.ext4", "-q", "-J", "size=8", "-E", "nodiscard", str(file))


def copy(volume: Path, to: Path) -> None:
    """As it is, as a snapshot does and a restore."""
    _run("cp", "--reflink=auto", "--sparse=auto", str(volume), str(to))


class Machine:
    """One that runs, from its start to its end. Leaving its block is a power cut, unless it went off by itself.

    folder: for its mounts, and its `console`; with `seed`, see `write_seed`. volumes: files by device, ROOT among them.
    told: by the metadata service, beside its addresses. connected: without, all that it reaches is this system.
    Raises OSError when it does not start: it needs root, loop devices, and what `make setup` prepares.
    """

    def __init__(
        self,
        folder: Path,
        volumes: Mapping[str, Path],
        told: Mapping[str, str] | None = None,
        *,
        wire: Wire | None = None,
        connected: bool = True,
    ) -> None:
        self._wire = wire or Wire()
        self.address = self._wire.address
        self.console = folder / "console"
        spec = Spec(
            root=str(PREPARED / "root"),
            folder=str(folder),
            volumes={name: str(file) for name, file in volumes.items()},
            address=self.address,
            gateway=self._wire.gateway,
            told={"public-ipv4": self.address, "local-ipv4": self.address, **(told or {})},
            warm=str(PREPARED / "warm") if connected else None,
        )
        # Its input is a pipe that no other process holds: its end tells the death of this one, even by SIGKILL.
        command = [sys.executable, "-m", "autostop_local.machine.keeper", json.dumps(asdict(spec))]
        self.started_at = datetime.now(UTC)
        with self.console.open("ab") as console:
            self.keeper = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=console)
        line = self.keeper.stdout.readline() if self.keeper.stdout else b""
        if not line:
            raise OSError(f"a machine did not start: {self.console.read_text(errors='replace')[-2000:]}")
        self._kept = Kept(**json.loads(line))
        self.pid = self._kept.pid

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.cut_power()

    @property
    def root(self) -> Path:
        """Its files, as its processes see them; while it runs."""
        return Path(f"/proc/{self.pid}/root")

    def entering(self, *command: str) -> list[str]:
        """What runs a command as its root."""
        return [sys.executable, "-I", "-S", str(_ENTER), str(self.pid), *command]

    def run(self, *command: str, check: bool = True) -> "subprocess.CompletedProcess[str]":
        """Raises CalledProcessError."""
        return subprocess.run(self.entering(*command), text=True, capture_output=True, check=check)

    def cpu_seconds(self) -> float:
        """Of all that it ever ran since its start."""
        told = (Path(self._kept.cgroup) / "cpu.stat").read_text(encoding="ascii")
        return int(dict(line.split() for line in told.splitlines())["usage_usec"]) / 1e6

    def press_power(self) -> None:
        """As EC2's stop does it: the machine is asked to end."""
        if not self.is_off():
            os.kill(self.pid, signal.SIGRTMIN + 4)  # what systemd takes for it

    def is_off(self) -> bool:
        """Whether its disks are at rest."""
        return self.keeper.poll() is not None

    def power_off(self, within: float = 60) -> None:
        """Ask it, and wait until it is off. Raises TimeoutExpired."""
        self.press_power()
        self.keeper.wait(within)
        self.cut_power()

    def cut_power(self) -> None:
        """Return when nothing of it is left but its volumes."""
        self.keeper.communicate()
        self._wire.close()


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, text=True)
