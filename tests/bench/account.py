"""An emulated account full of workstations, over HTTP, for functions and rivals in processes of their own."""

import json
import os
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, cast

from autostop import tags
from autostop.aws.ledger import DynamoLedger
from autostop.model import WorkstationId
from autostop.sleep.intent import By, Wanted, following
from autostop.state import State
from autostop_local.world import MemoryContent, Timings, VirtualClock, VirtualMachines, World, serve
from tests.bench.table import serve_table
from tests.build import manifest
from tests.handlers.template import load
from tests.simulation.table import Table

REGION = "us-east-1"
TYPE = "t3.xlarge"  # 4 vCPUs
BUSY_CORES, QUIET_CORES = 1.5, 0.05
# As EC2 publishes them.
_METRICS_COME_LATE = timedelta(minutes=2)
_PERIOD = timedelta(minutes=5)


@dataclass
class Account:
    """One account, in which time passes only when it is told to."""

    world: World
    clock: VirtualClock
    machines: VirtualMachines
    url: str
    table_url: str
    workstations: list[str]

    def use_cores(self, cores: float) -> None:
        """From now on every workstation's processor is so busy."""
        for workstation in self.workstations:
            self.machines.use_cores(workstation, cores)

    def pass_time(self, until: datetime) -> None:
        """Let everything happen that is due by then."""
        self.clock.advance(until - self.clock())
        self.world.tick()

    def calls(self) -> Counter[str]:
        """The calls to EC2, CloudWatch and SSM since this was last asked, counted by the emulator."""
        calls = self.world.journal.calls()
        self.world.journal.clear()
        return Counter(f"{call.service} {call.operation}" for call in calls)

    def environment(self) -> dict[str, str]:
        """For a process that shall find this account, and no other, with boto3."""
        return {
            **{key: value for key, value in os.environ.items() if not key.startswith("AWS_")},
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ENDPOINT_URL_DYNAMODB": self.table_url,
            "AWS_ACCESS_KEY_ID": "bench",
            "AWS_SECRET_ACCESS_KEY": "bench",
            "AWS_DEFAULT_REGION": REGION,
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def settings(self) -> dict[str, str]:
        """The sweep's environment in this account: what template.yaml gives it, every parameter at its default."""
        template = load()
        given: dict[str, Any] = dict(template.body["Globals"]["Function"]["Environment"]["Variables"])
        given |= template.resources["SweepFunction"]["Properties"].get("Environment", {}).get("Variables", {})
        known = {"Table": "autostop", "Queue": f"{self.url}/queue"}
        known |= {name: str(each["Default"]) for name, each in template.parameters.items() if "Default" in each}
        return {name: _resolved(value, known) for name, value in given.items()}


@contextmanager
def account_of(workstations: int, begins_at: datetime) -> Iterator[Account]:
    """So many workstations, adopted long ago and launched at `begins_at`, in each of them a kernel that is busy."""
    clock, machines = VirtualClock(begins_at), VirtualMachines()
    machines.respond = lambda _instance, _script: _answer(clock(), begins_at)
    timings = Timings(metric_period=_PERIOD, metric_sample=_PERIOD, metric_delay=_METRICS_COME_LATE)
    world = World(clock=clock, content=MemoryContent(), machines=machines, timings=timings, in_process=False)
    table = Table(clock)
    with world, serve(world) as url, serve_table(table) as table_url:
        world.launch(type=TYPE, tags={tags.AUTOSTOP: tags.ON}, MinCount=workstations, MaxCount=workstations)
        ledger = DynamoLedger(cast("Any", _Writer(table)), "autostop")
        for instance in world.cloud.instances:
            ledger.save(_state(WorkstationId(instance), begins_at))
        yield Account(world, clock, machines, url, table_url, list(world.cloud.instances))


def _state(workstation: WorkstationId, began_at: datetime) -> State:
    """As large as it is after a night: somebody started it, and what its volumes were made from is still known."""
    intent = following(None, Wanted.RUN, By.OWNER, "the link “Ada's phone” asked for it", began_at).settle(began_at)
    last_night = replace(manifest(), workstation=workstation)
    return State(workstation, intent=intent, worked_at=began_at, manifest=last_night)


@dataclass(frozen=True, slots=True)
class _Writer:
    """Of a DynamoDB client, what fills a table."""

    table: Table

    def transact_write_items(self, **asked: Any) -> dict[str, Any]:
        return self.table.operations["TransactWriteItems"](asked)


def begin_of(ends_at: datetime, lasts: timedelta) -> datetime:
    """A whole metric period, at least so long before."""
    begin = (ends_at - lasts).astimezone(UTC)
    return begin - (begin - datetime(1970, 1, 1, tzinfo=UTC)) % _PERIOD


def _answer(now: datetime, began_at: datetime) -> str:
    """What the probe prints there: one busy kernel that has told nothing since it was started."""
    server = {"port": 8888, "status": "ok", "busy": 1, "idle": 1, "starting": 0, "other": 0}
    server |= {"kernel_at": began_at.timestamp(), "busy_at": began_at.timestamp(), "together": 0, "connections": 2}
    server |= {"terminals": 0, "terminal_at": None, "server_at": began_at.timestamp(), "saved_at": None}
    machine = {"boot": "0badcafe", "cpu": 12.5, "typed_at": None, "jobs": 0, "job": "", "gpu": None, "logins": 0}
    machine |= {"editors": 0, "edited_at": None, "muxes": 0, "kernels": 0, "held": 0}
    return json.dumps({"v": 2, "at": int(now.timestamp()), "servers": [server], "machine": machine, "errors": []})


def _resolved(value: Any, known: Mapping[str, str]) -> str:
    return known[value["Ref"]] if isinstance(value, dict) else str(value)
