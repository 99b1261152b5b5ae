"""Keeps one machine: makes its namespaces, starts systemd in them as process 1, and takes all down when it ends itself.

A program of its own: `python -m autostop_local.machine.keeper SPEC`, with a `Spec` as JSON. It writes a `Kept` as JSON
when process 1 runs, and ends when the machine powered itself off, or when its input ends,
which is a power cut: then, and when this process is killed in whatever way, nothing of the machine is left. Its disks
are loop devices that detach themselves, its interface goes with its network namespace, its processes with process 1.
"""

import ctypes
import fcntl
import json
import os
import select
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from autostop_local.machine.metadata import Metadata

_SETUP = Path(__file__).with_name("setup.sh")
# linux/sched.h, linux/prctl.h, linux/loop.h
_NEWNS, _NEWCGROUP, _NEWUTS, _NEWIPC, _NEWPID, _NEWNET = (
    0x20000, 0x2000000, 0x4000000, 0x8000000, 0x20000000, 0x40000000,
)  # fmt: skip
_PR_SET_PDEATHSIG = 1
_LOOP_CONFIGURE, _LOOP_CTL_GET_FREE, _AUTOCLEAR = 0x4C0A, 0x4C82, 4

_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True)
class Spec:
    """root: the prepared system, which is only read. folder: has cloud-init's `seed`, gets the mounts and the console.

    volumes: their files by device name, the root volume first. address: its own; gateway: that of the system around,
    one below. told: see `Metadata`. warm: what stands for the network's registries; None when there is no network.
    """

    root: str
    folder: str
    volumes: dict[str, str]
    address: str
    gateway: str
    told: dict[str, str]
    warm: str | None = None


@dataclass(frozen=True, slots=True)
class Kept:
    """pid: of process 1, as the system around numbers it."""

    pid: int
    cgroup: str


def main(spec: Spec) -> None:
    """Keep the machine until its end."""
    loops = {name: _attach(Path(file)) for name, file in spec.volumes.items()}
    cgroup = _cgroup()
    _connect(spec)
    with Metadata(("169.254.169.254", 80), spec.told):
        _call(_libc.unshare(_NEWPID))  # of what this thread starts from here on
        machine = _start(spec, {name: device for name, (device, _) in loops.items()}, cgroup)
        try:
            if _is_apart(machine):
                print(json.dumps(asdict(Kept(machine.pid, str(cgroup)))), flush=True)
            _wait(machine)
        finally:
            machine.kill()
            machine.wait()
    for _, descriptor in loops.values():
        os.close(descriptor)
    for device, _ in loops.values():
        _gone(device)
    _remove(cgroup)


def _attach(file: Path) -> tuple[str, int]:
    """A loop device over the file, and what holds it: it detaches itself when nobody does, nor has it mounted."""
    with Path("/dev/loop-control").open("rb+", buffering=0) as control, file.open("rb+", buffering=0) as content:
        while True:
            number = fcntl.ioctl(control, _LOOP_CTL_GET_FREE)
            device = f"/dev/loop{number}"
            if not Path(device).exists():
                os.mknod(device, 0o660 | 0o060000, os.makedev(7, number))
            descriptor = os.open(device, os.O_RDWR)
            # struct loop_config: fd, block size, then struct loop_info64, whose flags are at 52; 304 bytes in all.
            config = bytearray(304)
            config[0:4] = content.fileno().to_bytes(4, "little")
            config[8 + 52 : 8 + 56] = _AUTOCLEAR.to_bytes(4, "little")
            try:
                fcntl.ioctl(descriptor, _LOOP_CONFIGURE, bytes(config))
            except OSError as error:
                os.close(descriptor)  # another was faster
                if error.errno != 16:
                    raise
            else:
                return device, descriptor


def _cgroup() -> Path:
    """One of its own: systemd makes its tree in the one where it starts."""
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, where, kind, *_ = line.split()
        if kind == "cgroup2":
            cgroup = Path(where) / f"autostop-machine-{os.getpid()}"
            cgroup.mkdir()
            return cgroup
    raise OSError("a machine needs cgroups of version 2")


def _connect(spec: Spec) -> None:
    """A network of its own, with one wire to the system around it, and the metadata service."""
    wire = f"as{os.getpid()}"
    _run("ip", "link", "add", wire, "type", "veth", "peer", "name", f"{wire}m")
    _run("ip", "address", "add", f"{spec.gateway}/31", "dev", wire)
    _run("ip", "link", "set", wire, "up")
    around = os.open("/proc/self/ns/net", os.O_RDONLY)
    _call(_libc.unshare(_NEWNET))
    _run(
        "nsenter",
        f"--net=/proc/self/fd/{around}",
        "ip",
        "link",
        "set",
        f"{wire}m",
        "netns",
        str(os.getpid()),
        pass_fds=(around,),
    )
    os.close(around)
    _run("ip", "link", "set", f"{wire}m", "name", "eth0")
    _run("ip", "address", "add", f"{spec.address}/31", "dev", "eth0")
    _run("ip", "address", "add", "169.254.169.254/32", "dev", "lo")
    for interface in ("lo", "eth0"):
        _run("ip", "link", "set", interface, "up")


def _start(spec: Spec, devices: dict[str, str], cgroup: Path) -> "subprocess.Popen[bytes]":
    def apart() -> None:
        (cgroup / "cgroup.procs").write_text("0")
        _call(_libc.unshare(_NEWNS | _NEWCGROUP | _NEWUTS | _NEWIPC))
        _call(_libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL))

    volumes = [f"{name}={device}" for name, device in devices.items()]
    command = [
        "sh", str(_SETUP), spec.root, str(Path(spec.folder) / "mounts"), str(Path(spec.folder) / "seed"),
        spec.warm or "", *volumes,
    ]  # fmt: skip
    (Path(spec.folder) / "mounts").mkdir(exist_ok=True)
    with (Path(spec.folder) / "console").open("ab") as console:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=console,
            stderr=console,
            cwd="/",
            preexec_fn=apart,  # noqa: PLW1509 # the one other thread waits for who does not run yet
        )


def _is_apart(machine: "subprocess.Popen[bytes]") -> bool:
    """Wait until it runs systemd: before, its root is that of the system around. False when it did not get there."""
    command = Path(f"/proc/{machine.pid}/comm")
    while machine.poll() is None and command.read_text() != "systemd\n":
        time.sleep(0.01)
    return machine.returncode is None


def _wait(machine: "subprocess.Popen[bytes]") -> None:
    """Until it has ended, or its owner has."""
    ended, owner = os.pidfd_open(machine.pid), sys.stdin.fileno()
    while True:
        ready = select.select([ended, owner], [], [])[0]
        if ended in ready or not os.read(owner, 4096):
            return


def _gone(device: str) -> None:
    """Wait until nothing is written to its file any more: mounts go a moment after who had them."""
    backing = Path(f"/sys/block/{Path(device).name}/loop/backing_file")
    until = time.monotonic() + 30
    while backing.exists() and time.monotonic() < until:
        time.sleep(0.02)


def _remove(cgroup: Path) -> None:
    for folder, _, _ in os.walk(cgroup, topdown=False):
        with suppress(FileNotFoundError):
            Path(folder).rmdir()


def _run(*command: str, pass_fds: tuple[int, ...] = ()) -> None:
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL, pass_fds=pass_fds)


def _call(answer: int) -> None:
    if answer != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


if __name__ == "__main__":
    main(Spec(**json.loads(sys.argv[1])))
