"""Machines that really run JupyterLab. They share two boots, because each takes seconds."""

import json
import os
import signal
import ssl
import subprocess
import sys
import textwrap
import time
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from autostop_local.world import JupyterMachines, JupyterServer, Timings, WallClock, World
from tests.local.conftest import Clients, query, until

BUSY = "import time; end = time.time() + 60\nwhile time.time() < end: pass"


class Lab:
    """A world with one running workstation, its notebooks on a data disk."""

    def __init__(self, world: World, machines: JupyterMachines, clients: Clients) -> None:
        self.world, self.machines, self.clients = world, machines, clients
        self.id = world.launch(disks={"/dev/sdf": {"VolumeSize": 5, "VolumeType": "gp3"}})
        until(lambda: self.state() == "running")

    @property
    def server(self) -> JupyterServer:
        return self.machines.server(self.id)

    def state(self) -> str:
        reply = self.clients.ec2.describe_instances(InstanceIds=[self.id])
        return reply["Reservations"][0]["Instances"][0]["State"]["Name"]

    def ask(self, path: str, body: Any = None, method: str | None = None) -> Any:
        """Jupyter's answer over TLS, its certificate being the only one trusted."""
        context = ssl.create_default_context(cafile=self.server.certificate)
        request = urllib.request.Request(  # noqa: S310 - our own server
            self.server.url + path,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"token {self.server.token}"},
            method=method,
        )
        with urllib.request.urlopen(request, context=context, timeout=60) as answer:  # noqa: S310 - the same
            return json.load(answer)

    def answers(self) -> bool:
        try:
            return "started" in self.ask("api/status")
        except OSError:
            return False

    def run(self, *commands: str, timeout: str = "240") -> dict[str, Any]:
        command_id = self.clients.ssm.send_command(
            InstanceIds=[self.id],
            DocumentName="AWS-RunShellScript",
            Parameters={"commands": list(commands), "executionTimeout": [timeout]},
        )["Command"]["CommandId"]

        def told() -> dict[str, Any]:
            return dict(self.clients.ssm.get_command_invocation(CommandId=command_id, InstanceId=self.id))

        until(lambda: told()["Status"] not in ("Pending", "InProgress"))
        return told()

    def busy_kernel(self) -> int:
        """Start a kernel that keeps a core busy; gives its process id."""
        kernel = self.ask("api/kernels", {})["id"]
        connection = self.server.runtime_directory / f"kernel-{kernel}.json"
        until(connection.exists)
        program = textwrap.dedent(f"""
            from jupyter_client.blocking.client import BlockingKernelClient
            client = BlockingKernelClient(connection_file={str(connection)!r})
            client.load_connection_file()
            client.start_channels()
            client.wait_for_ready(timeout=120)
            client.execute({BUSY!r})
            client.get_iopub_msg(timeout=120)
        """)
        subprocess.run([sys.executable, "-c", program], check=True, timeout=240)
        pids = self.machines.pids(self.id)
        return next(pid for pid in pids if kernel in Path(f"/proc/{pid}/cmdline").read_text())

    def cpu(self, since: datetime) -> list[float]:
        """A point for each second, in per cent of its two cores."""
        (result,) = self.clients.cloudwatch.get_metric_data(
            MetricDataQueries=[query(self.id, period=1)],
            StartTime=since,
            EndTime=datetime.now(UTC),
        )["MetricDataResults"]
        return [value for at, value in zip(result["Timestamps"], result["Values"], strict=True) if at >= since]


@pytest.fixture
def lab(tmp_path: Path, clients: Clients) -> Iterator[Lab]:
    machines = JupyterMachines()
    timings = Timings.none()
    timings.metric_period = timedelta(seconds=1)
    with World(tmp_path / "world", clock=WallClock(), timings=timings, machines=machines) as world:
        made = Lab(world, machines, clients)
        yield made
        pids = machines.pids(made.id)
        assert pids
    assert alive(pids) == []


def alive(pids: list[int]) -> list[int]:
    return [pid for pid in pids if Path(f"/proc/{pid}").exists()]


def test_a_workstation_works_sleeps_and_wakes(lab: Lab) -> None:
    began = datetime.now(UTC)
    until(lab.answers)
    before = lab.server
    instance = lab.clients.ec2.describe_instances(InstanceIds=[lab.id])["Reservations"][0]["Instances"][0]
    assert instance["PublicIpAddress"] == "127.0.0.1"
    assert lab.ask("api/contents")["content"] == []

    # Run Command is in the workstation's environment, and its exit and its time limit are told.
    told = lab.run("echo $HOME; pwd; python3 -c 'import jupyterlab'; echo oops >&2; exit 3")
    assert (told["Status"], told["ResponseCode"], told["StandardErrorContent"]) == (
        "Failed",
        3,
        "oops\nfailed to run commands: exit status 3",
    )
    home = lab.world.disk_path(lab.id, "/dev/sda1") / "home"
    assert told["StandardOutputContent"].splitlines() == [str(home), str(home.resolve())]
    assert lab.run("sleep 60", timeout="1")["StatusDetails"] == "Execution Timed Out"

    # A busy kernel is seen by CloudWatch: three seconds of a core, however few of them this machine gives at once.
    kernel = lab.busy_kernel()
    busy_since = datetime.now(UTC)
    until(lambda: sum(lab.cpu(busy_since)) > 150)

    # What is saved is on the data disk, and a stop ends everything, what has forked away too.
    lab.ask("api/contents/work.txt", {"type": "file", "format": "text", "content": "kept"}, "PUT")
    lab.run("setsid sh -c 'sleep 600 & sleep 600 &' & echo started")
    until(lambda: len(lab.machines.pids(lab.id)) >= 5)
    pids = lab.machines.pids(lab.id)
    assert kernel in pids
    lab.clients.ec2.stop_instances(InstanceIds=[lab.id])
    until(lambda: lab.state() == "stopped")
    assert alive(pids) == []
    assert not lab.answers()
    # The point of a period can be read from its end on.
    stopped_at = time.monotonic()
    until(lambda: time.monotonic() > stopped_at + 1.2)
    points = len(lab.cpu(began))

    # The disks are replaced by ones made from snapshots: same address, certificate, token and file.
    ec2 = lab.clients.ec2
    made = {
        one["VolumeId"]: one["SnapshotId"]
        for one in ec2.create_snapshots(InstanceSpecification={"InstanceId": lab.id})["Snapshots"]
    }
    for device, volume_id in dict(lab.world.instance(lab.id).volumes).items():
        ec2.detach_volume(VolumeId=volume_id)
        ec2.delete_volume(VolumeId=volume_id)
        restored = ec2.create_volume(SnapshotId=made[volume_id], AvailabilityZone="us-east-1a", VolumeType="gp3")
        ec2.attach_volume(VolumeId=restored["VolumeId"], InstanceId=lab.id, Device=device)
    assert len(lab.cpu(began)) == points
    ec2.start_instances(InstanceIds=[lab.id])
    until(lab.answers)
    assert lab.server == before
    assert lab.ask("api/contents/work.txt")["content"] == "kept"


WORLD = """
import sys, time
from pathlib import Path
from autostop_local.world import JupyterMachines, Timings, WallClock, World

machines = JupyterMachines()
with World(Path(sys.argv[1]), clock=WallClock(), timings=Timings.none(), machines=machines) as world:
    instance_id = world.launch()
    world.tick()
    while len(machines.pids(instance_id)) < 2:
        time.sleep(0.05)
    print(*machines.pids(instance_id), flush=True)
    time.sleep(600)
"""


def test_no_process_outlives_a_world_that_is_killed(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(
        [sys.executable, "-c", WORLD, str(tmp_path / "world")], stdout=subprocess.PIPE, text=True, env=environment
    ) as world:
        assert world.stdout is not None
        pids = [int(pid) for pid in world.stdout.readline().split()]
        assert alive(pids) == pids
        world.send_signal(signal.SIGKILL)

    until(lambda: alive(pids) == [])
