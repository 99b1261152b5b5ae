"""Instances as machines with systemd, on which happens what their user data says."""

import subprocess
import tempfile
import time
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import IO

from autostop_local.machine.machine import ROOT, Machine, Wire, make_root, write_seed
from autostop_local.world.certificate import certificate_sha256
from autostop_local.world.jupyter import JupyterServer
from autostop_local.world.machines import Execution, Outcome
from autostop_local.world.machines import Machine as Launched

_OWNER = "ubuntu"
_PORT = 8888
# The magic number of ext4, and where it is.
_EXT4, _EXT4_AT = b"\x53\xef", 1080


class SystemdMachines:
    """A machine for each instance, in a world whose content is `DiskContent`. grace: what a shutdown may take."""

    def __init__(self, *, grace: timedelta = timedelta(seconds=60)) -> None:
        self._grace = grace
        self._wires: dict[str, Wire] = {}
        self._running: dict[str, _Running] = {}

    def machine(self, instance_id: str) -> Machine:
        """Raises KeyError when it is down."""
        return self._running[instance_id].machine

    def server(self, instance_id: str) -> JupyterServer:
        """The JupyterLab of an instance that is up. Raises KeyError, and OSError before it has booted once."""
        running = self._running[instance_id]
        machine = running.machine
        kept = machine.root / "var/lib/autostop"
        certificate = running.folder / "certificate.pem"
        pem = (kept / "workstation.pem").read_text(encoding="ascii")
        certificate.write_text(pem[pem.index("-----BEGIN CERTIFICATE") :], encoding="ascii")
        return JupyterServer(
            url=f"https://{machine.address}:{_PORT}/",
            port=_PORT,
            token=(kept / "token").read_text(encoding="ascii"),
            certificate=certificate,
            certificate_sha256=certificate_sha256(certificate),
            runtime_directory=Path(f"/home/{_OWNER}/.local/share/jupyter/runtime"),
            log=machine.console,
            files=machine.root / "data",
            data="data/",
            host=machine.address,
        )

    def label(self, instance_id: str) -> str:
        """Of the file system on the data volume."""
        device = self.machine(instance_id).run("findmnt", "--noheadings", "--output=LABEL", "/data").stdout
        return device.strip()

    def address(self, instance_id: str) -> str:
        self._wires[instance_id] = Wire()
        return self._wires[instance_id].address

    def boot(self, launched: Launched) -> None:
        folder = launched.directory / "machine"
        write_seed(folder / "seed", launched.user_data, launched.instance_id)
        root = (launched.directory / "root").resolve()
        with root.open("rb") as content:
            content.seek(_EXT4_AT)
            blank = content.read(2) != _EXT4
        if blank:  # of no image
            make_root(root)
        disks = {path.name.removeprefix("data-"): path.resolve() for path in sorted(launched.directory.glob("data-*"))}
        told = {f"tags/instance/{key}": value for key, value in launched.tags.items()}
        wire = self._wires.pop(launched.instance_id, None)
        machine = Machine(folder, {ROOT: root, **disks}, told, wire=wire)
        self._running[launched.instance_id] = _Running(machine, folder)

    def shutdown(self, instance_id: str) -> None:
        if running := self._running.get(instance_id):
            running.machine.press_power()
            running.ends_at = time.monotonic() + self._grace.total_seconds()

    def is_down(self, instance_id: str) -> bool:
        running = self._running.get(instance_id)
        if running is None:
            return True
        if not running.machine.is_off() and time.monotonic() < running.ends_at:
            return False
        running.machine.cut_power()
        del self._running[instance_id]
        return True

    def cores_in_use(self, instance_id: str) -> float | None:
        running = self._running.get(instance_id)
        if running is None or running.machine.is_off():
            return None
        before, running.measured = running.measured, (time.monotonic(), running.machine.cpu_seconds())
        return max(0.0, running.measured[1] - before[1]) / max(running.measured[0] - before[0], 0.001)

    def traffic(self, instance_id: str) -> tuple[float, float] | None:
        """None at all while it is up: there is nobody to talk to but this system."""
        return (0.0, 0.0) if instance_id in self._running else None

    def run(self, instance_id: str, script: str, timeout: timedelta) -> Execution:
        return _Script(self._running[instance_id].machine, script, timeout)

    def console(self, instance_id: str) -> str:
        """What cloud-init writes onto the console too: there is none in a machine without hardware."""
        running = self._running.get(instance_id)
        if running is None or running.machine.is_off():
            return ""
        written = running.machine.run("journalctl", "--output=cat", "--boot", "--unit=cloud-final", check=False)
        return written.stdout

    def close(self) -> None:
        for running in self._running.values():
            running.machine.cut_power()
        self._running.clear()
        for wire in self._wires.values():
            wire.close()
        self._wires.clear()


@dataclass(slots=True)
class _Running:
    """measured: a moment, and the seconds of processor until then. ends_at: when its power is cut."""

    machine: Machine
    folder: Path
    measured: tuple[float, float] = field(default_factory=lambda: (time.monotonic(), 0.0))
    ends_at: float = float("inf")


class _Script:
    """One of Run Command, which runs them as root."""

    def __init__(self, machine: Machine, script: str, timeout: timedelta) -> None:
        self._stdout: IO[str] = tempfile.TemporaryFile("w+")  # noqa: SIM115 # open for as long as it runs
        self._stderr: IO[str] = tempfile.TemporaryFile("w+")  # noqa: SIM115 # the same
        self._ends_at = time.monotonic() + timeout.total_seconds()
        self._process = subprocess.Popen(
            machine.entering("sh", "-c", script), stdin=subprocess.DEVNULL, stdout=self._stdout, stderr=self._stderr
        )

    def poll(self) -> Outcome | None:
        timed_out = time.monotonic() >= self._ends_at and self._process.poll() is None
        if timed_out:
            self._process.kill()
            self._process.wait()
        code = self._process.poll()
        if code is None:
            return None
        return Outcome(code, _content(self._stdout), _content(self._stderr), timed_out=timed_out)


def _content(file: IO[str]) -> str:
    file.seek(0)
    return file.read()
