"""Machines that really run: each has a JupyterLab of its own, over TLS, on a port of the loopback."""

import json
import os
import secrets
import subprocess
import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import psutil

from autostop_local.process import free_port
from autostop_local.world.certificate import certificate_sha256, make_certificate
from autostop_local.world.machines import Execution, Machine, Outcome

_INIT = Path(__file__).with_name("machine_init.py")
# A machine sees its own processes and terminals only, so that a question to it is not answered with what goes on beside
# it: whoever types in the terminal of the demo is nobody who works on a workstation.
_BOOT = """set -e
mount -t devpts -o newinstance,ptmxmode=0666,mode=0620 devpts /dev/pts
mount --bind /dev/pts/ptmx /dev/ptmx
# Where there is Node.js, JupyterLab asks it at each start for settings of what builds its extensions.
if node=$(command -v node); then mount --bind /dev/null "$node"; fi
exec "$@"
"""


@dataclass(frozen=True, slots=True)
class JupyterServer:
    """How to reach the JupyterLab of an instance; certificate: PEM file, its fingerprint of the DER form, in hex.

    data: the folder of the data volume below Jupyter's own, and as files of this system; runtime_directory: as the
    machine's processes see it.
    """

    url: str
    port: int
    token: str
    certificate: Path
    certificate_sha256: str
    runtime_directory: Path
    log: Path
    files: Path
    data: str = ""
    host: str = "127.0.0.1"


class JupyterMachines:
    """Instances as process trees on this machine, each below a first process that nothing outlives.

    What a workstation keeps (home, certificate, token, log) is on its root volume, and so survives being shelved. All
    is reached through the instance's stable directory. grace: what a shutdown gives the processes before it kills them.
    """

    def __init__(self, *, grace: timedelta = timedelta(seconds=5)) -> None:
        self._grace = grace
        self._running: dict[str, _Tree] = {}
        self._servers: dict[str, JupyterServer] = {}

    def server(self, instance_id: str) -> JupyterServer:
        """The JupyterLab of an instance that has booted at least once; it need not be up. Raises KeyError."""
        return self._servers[instance_id]

    def label(self, instance_id: str) -> None:
        """Its volumes are directories."""

    def address(self, instance_id: str) -> str:  # noqa: ARG002 # the port's shape; all are reached at the loopback
        return "127.0.0.1"

    def boot(self, machine: Machine) -> None:
        """Start the first process and the server; returns before the server answers."""
        home = machine.directory / "root" / "home"
        runtime = home / ".local/share/jupyter/runtime"
        etc, log = machine.directory / "root" / "etc/jupyter", machine.directory / "root" / "var/log/jupyter.log"
        for directory in (runtime, etc, log.parent):
            directory.mkdir(parents=True, exist_ok=True)
        certificate, key, token = etc / "certificate.pem", etc / "key.pem", etc / "token"
        if not certificate.exists():
            make_certificate(certificate, key, name=machine.instance_id)
        if not token.exists():
            token.touch(mode=0o600)
            token.write_text(secrets.token_hex(24))
        known = self._servers.get(machine.instance_id)
        port = machine.jupyter_port or (known.port if known else free_port())
        disks = sorted(machine.directory.glob("data-*"))
        files = disks[0] if disks else home
        server = JupyterServer(
            url=f"https://127.0.0.1:{port}/",
            port=port,
            token=token.read_text(),
            certificate=certificate,
            certificate_sha256=certificate_sha256(certificate),
            runtime_directory=runtime,
            log=log,
            files=files,
        )
        self._servers[machine.instance_id] = server
        tree = _Tree(_environment(home, runtime), home)
        self._running[machine.instance_id] = tree
        tree.start(_jupyter(server, key, files), server, files)

    def shutdown(self, instance_id: str) -> None:
        tree = self._running.get(instance_id)
        if tree is not None:
            tree.shutdown(self._grace)

    def is_down(self, instance_id: str) -> bool:
        tree = self._running.get(instance_id)
        if tree is None:
            return True
        if not tree.has_ended():
            return False
        del self._running[instance_id]
        return True

    def cores_in_use(self, instance_id: str) -> float | None:
        tree = self._running.get(instance_id)
        return tree.cores_in_use() if tree else None

    def traffic(self, instance_id: str) -> tuple[float, float] | None:
        """None at all while it is up: all machines share one network, whose counters tell nothing of each."""
        return (0.0, 0.0) if instance_id in self._running else None

    def run(self, instance_id: str, script: str, timeout: timedelta) -> Execution:
        return self._running[instance_id].run(script, timeout)

    def console(self, instance_id: str) -> str:  # noqa: ARG002 # the port's shape; none of them has one
        return ""

    def pids(self, instance_id: str) -> list[int]:
        """The processes of an instance, its first one included."""
        tree = self._running.get(instance_id)
        return tree.pids() if tree else []

    def close(self) -> None:
        """As if the power failed: everything is killed."""
        for tree in self._running.values():
            tree.shutdown(timedelta(0))
        for tree in self._running.values():
            tree.wait()
        self._running.clear()


class _Tree:
    """One machine's processes, through their first one."""

    def __init__(self, environment: dict[str, str], home: Path) -> None:
        self._environment, self._home = environment, home
        # Isolated and without site-packages: it is up in some 20 ms. Its input is a pipe that no other process holds,
        # so that its end tells the death of this one, even by SIGKILL.
        self._process = subprocess.Popen(
            [*_apart(), sys.executable, "-I", "-S", str(_INIT)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
            cwd="/",
        )
        # Until it says so, there are processes that only make its namespaces.
        if self._process.stdout is None or not self._process.stdout.readline():
            raise OSError(
                "a machine's first process did not come up: unshare (util-linux) must be allowed to make namespaces, "
                "as it is for root, and for others where the system lets them have namespaces of users"
            )
        self._writing = threading.Lock()
        self._outcomes: dict[str, Outcome] = {}
        self._asked = (time.monotonic(), 0.0)
        threading.Thread(target=self._read, daemon=True).start()

    def start(self, argv: list[str], server: JupyterServer, directory: Path) -> None:
        environment = self._environment | {"JUPYTER_TOKEN": server.token}
        self._order(start=argv, log=str(server.log), environment=environment, directory=str(directory))

    def run(self, script: str, timeout: timedelta) -> "_Running":
        run_id = secrets.token_hex(8)
        self._order(
            run=run_id,
            script=script,
            timeout=timeout.total_seconds(),
            environment=self._environment,
            directory=str(self._home),
        )
        return _Running(self._outcomes, run_id)

    def shutdown(self, grace: timedelta) -> None:
        self._order(shutdown=grace.total_seconds())

    def has_ended(self) -> bool:
        return self._process.poll() is not None

    def wait(self) -> None:
        """Wait for the end; what does not end in time is ended with its first process."""
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        with suppress(BrokenPipeError):
            if self._process.stdin:
                self._process.stdin.close()

    def pids(self) -> list[int]:
        return [one.pid for one in self._members()]

    def cores_in_use(self) -> float:
        """Since the last time; what collected children used is in their parents' time."""
        seconds = 0.0
        for one in self._members():
            try:
                times = one.cpu_times()
            except psutil.NoSuchProcess:
                continue
            seconds += times.user + times.system + times.children_user + times.children_system
        now = time.monotonic()
        before_at, before = self._asked
        self._asked = (now, seconds)
        return float(max(0.0, seconds - before) / max(now - before_at, 0.001))

    def _members(self) -> list[psutil.Process]:
        try:
            first = psutil.Process(self._process.pid)
            return [first, *first.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []

    def _order(self, **order: Any) -> None:
        """Hand an order over; one to a machine that has gone down is lost, as it would be."""
        with self._writing, suppress(BrokenPipeError):
            if self._process.stdin and not self._process.stdin.closed:
                self._process.stdin.write(json.dumps(order).encode() + b"\n")
                self._process.stdin.flush()

    def _read(self) -> None:
        for line in self._process.stdout or ():
            told = json.loads(line)
            self._outcomes[told["ended"]] = Outcome(
                told["code"], told["stdout"], told["stderr"], timed_out=told["timed_out"]
            )


@dataclass(frozen=True, slots=True)
class _Running:
    outcomes: dict[str, Outcome]
    run_id: str

    def poll(self) -> Outcome | None:
        return self.outcomes.get(self.run_id)


def _apart() -> list[str]:
    """What to put before a command that gets processes and terminals of its own: namespaces, which only Linux has."""
    if sys.platform != "linux":
        return []
    # Whoever is not root may be root in a namespace of users, on most systems.
    users = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    spaces = ["--pid", "--mount", "--fork", "--kill-child", "--mount-proc"]
    return ["unshare", *users, *spaces, "sh", "-c", _BOOT, "sh"]


def _environment(home: Path, runtime: Path) -> dict[str, str]:
    """A workstation's, and nothing of this process's own: no credentials of anybody."""
    return {
        "HOME": str(home),
        "USER": "owner",
        "LOGNAME": "owner",
        "SHELL": "/bin/bash",
        "LANG": "C.UTF-8",
        "PATH": os.pathsep.join((str(Path(sys.executable).parent), "/usr/local/bin", "/usr/bin", "/bin")),
        "JUPYTER_CONFIG_DIR": str(home / ".jupyter"),
        "JUPYTER_DATA_DIR": str(home / ".local/share/jupyter"),
        "JUPYTER_RUNTIME_DIR": str(runtime),
    }


def _jupyter(server: JupyterServer, key: Path, directory: Path) -> list[str]:
    """JupyterLab's command, with everything off that would reach for the network or slow the boot."""
    settings: dict[str, object] = {
        "ServerApp.ip": "127.0.0.1",
        "ServerApp.port": server.port,
        "ServerApp.port_retries": 0,  # the port is the instance's: better no server than one elsewhere
        "ServerApp.certfile": server.certificate,
        "ServerApp.keyfile": key,
        "ServerApp.root_dir": directory,
        "ServerApp.open_browser": False,
        "ServerApp.allow_root": True,
        "ServerApp.jpserver_extensions": {"jupyter_lsp": False, "jupyterlab": True, "jupyter_server_terminals": True},
        "LabApp.check_for_updates_class": "jupyterlab.NeverCheckForUpdate",
        "LabApp.news_url": None,
        "LabApp.extension_manager": "readonly",
    }
    return [sys.executable, "-m", "jupyterlab", *(f"--{name}={value}" for name, value in settings.items())]
