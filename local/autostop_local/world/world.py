"""The world: one AWS account on one machine, with EC2, EBS, Run Command and the metrics of instances.

In process, `with World(...)` makes every boto3 client talk to it (whatever its credentials); everything that the world
does not have itself is moto's. `serve` puts the same world behind an HTTP endpoint.
"""

import random
import threading
from collections.abc import Callable, Collection, Mapping
from contextlib import ExitStack
from datetime import datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from autostop_local.world import wire
from autostop_local.world.clocks import Clock
from autostop_local.world.cloud import ACCOUNT, Cloud, Params, Reply
from autostop_local.world.commands import Commands
from autostop_local.world.content import Content, DirectoryContent, mount_name
from autostop_local.world.direct_blocks import DirectBlocks
from autostop_local.world.errors import AwsError
from autostop_local.world.events import Event, Outbox
from autostop_local.world.images import Images
from autostop_local.world.in_process import answered_in_process
from autostop_local.world.instance_views import InstanceViews
from autostop_local.world.instances import Instances
from autostop_local.world.journal import Call, Journal
from autostop_local.world.launching import Launching
from autostop_local.world.machines import Machines, VirtualMachines
from autostop_local.world.metrics import Metrics
from autostop_local.world.past import LAGGING, Past
from autostop_local.world.prices import get_products
from autostop_local.world.refusals import Refusals, denial
from autostop_local.world.resources import Instance
from autostop_local.world.snapshots import Snapshots
from autostop_local.world.tagging import Tagging
from autostop_local.world.timings import Timings
from autostop_local.world.volumes import Volumes


class World:
    """One account in one Region; a context, fresh each time it is entered.

    root: directory of its disks: empty, new, or of a former world; content: keeps what is on the disks in its place;
    send: takes the events, outside of the world's lock; without it there are none.
    in_process: whether boto3 in this process talks to the world by itself; without it only `serve` reaches the world.
    Everything due happens, in its order and at its own moment, whenever the world is called or ticked.
    """

    def __init__(  # noqa: PLR0913 - one parameter per thing that a world can be had with or without
        self,
        root: Path | None = None,
        *,
        clock: Clock,
        content: Content | None = None,
        timings: Timings | None = None,
        machines: Machines | None = None,
        send: Callable[[Event], None] | None = None,
        region: str = "us-east-1",
        seed: int | None = 0,
        in_process: bool = True,
    ) -> None:
        """`seed` settles the ids, so that a failing run can be run again; None: other ids in every world.

        Raises ValueError unless it is either root or content that is given.
        """
        if (root is None) is (content is None):
            raise ValueError("a world has either a root directory or a content")
        self._content = content or DirectoryContent(Path(root or ""))
        self.clock = clock
        self.timings = timings or Timings()
        self.machines = machines or VirtualMachines()
        self.region = region
        self.account = ACCOUNT
        self.journal = Journal()
        self._send = send
        self._seed = seed
        self._in_process = in_process
        self._lock = threading.RLock()
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        self.journal = Journal()
        self._content.begin()
        self._refusals = Refusals()
        self._lag: Callable[[], timedelta] | None = None
        self._past: Past | None = None
        self.cloud = Cloud(
            region=self.region,
            clock=self.clock,
            timings=self.timings,
            content=self._content,
            machines=self.machines,
            events=Outbox(self._send, account=self.account, region=self.region, seed=self._seed),
            chance=random.Random(self._seed),  # noqa: S311 - ids, not secrets
        )
        self._metrics = Metrics(self.cloud)
        self._volumes = Volumes(self.cloud)
        self._snapshots = Snapshots(self.cloud)
        self._direct_blocks = DirectBlocks(self.cloud)
        self._instances = Instances(self.cloud, self._volumes, self._metrics.measure)
        self._images = Images(self.cloud)
        self._launching = Launching(self.cloud, self._volumes, self._instances.begin)
        self._operations: Mapping[str, Mapping[str, Callable[[Params], Reply | None]]] = {
            "ec2": {
                **self._launching.operations,
                **self._instances.operations,
                **self._images.operations,
                **InstanceViews(self.cloud).operations,
                **self._volumes.operations,
                **self._snapshots.operations,
                **Tagging(self.cloud).operations,
            },
            "ebs": self._direct_blocks.operations,
            "ssm": {**Commands(self.cloud).operations, **self._images.parameters},
            "cloudwatch": self._metrics.operations,
            "pricing": {"GetProducts": get_products},
        }
        with ExitStack() as stack:
            stack.callback(self.machines.close)
            if self._in_process:
                stack.enter_context(answered_in_process(self.call, self.passed_on, self.region))
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    # -- time and calls

    def tick(self) -> None:
        """Let happen whatever is due."""
        with self._lock:
            self.cloud.timeline.run(self.cloud.now())
        self.cloud.events.deliver()

    def call(self, asked: wire.Asked, *, refusable: bool = True) -> Mapping[str, Any] | None:
        """Answer a call; None when the world does not have the operation. Raises AwsError.

        refusable: whether it is of those who are refused what the world was told to refuse.
        """
        operation = self._operations[asked.service].get(asked.operation)
        error: str | None = None
        reply: Reply | None = None
        try:
            with self._lock:
                self.cloud.timeline.run(self.cloud.now())
                try:
                    after = self._refusals.check(asked) if refusable else None
                    reply = self._answer(asked, operation)
                    if after is not None:
                        raise after
                except AwsError as refused:
                    error = refused.code
                    raise
                finally:
                    if reply is not None or error is not None:  # else it is passed on, and noted then
                        self._note(asked, error)
                    # What takes no time has happened when the caller looks next; the reply was made before.
                    self.cloud.timeline.run(self.cloud.now())
        finally:
            self.cloud.events.deliver()
        return reply

    def passed_on(self, asked: wire.Asked, error: str | None) -> None:
        """Note a call that moto answered."""
        self._note(asked, error)

    def _answer(self, asked: wire.Asked, operation: Callable[[Params], Reply | None] | None) -> Reply | None:
        if operation is None:
            return None
        if asked.parameters.get("DryRun"):
            raise AwsError("DryRunOperation", "Request would have succeeded, but DryRun flag is set.", 412)
        if self._past is not None and self._lag is not None:
            if asked.operation in LAGGING:
                with self._past.seen(self._lag()):
                    return operation(asked.parameters)
            if not asked.operation.startswith(("Describe", "Get", "List")):
                self._past.before_change(self.cloud.now())
        return operation(asked.parameters)

    def _about_to_change(self) -> None:
        """Called with the lock held, by whoever changes the world without a call."""
        self.cloud.timeline.run(self.cloud.now())
        if self._past is not None:
            self._past.before_change(self.cloud.now())

    def _note(self, asked: wire.Asked, error: str | None) -> None:
        self.journal.add(Call(self.cloud.now(), asked.service, asked.operation, asked.parameters, error))

    # -- for those who make the world

    def launch(
        self,
        *,
        type: str = "t3.medium",  # noqa: A002 - AWS's word
        zone: str | None = None,
        disks: Mapping[str, Mapping[str, Any]] | None = None,
        tags: Mapping[str, str] | None = None,
        volume_tags: Mapping[str, str] | None = None,
        spot: str | None = None,
        jupyter_port: int | None = None,
        **parameters: Any,
    ) -> str:
        """Run an instance by RunInstances, and give its id.

        disks: the `Ebs` of each device, the root device being gp3 of 8 GiB when it is not among them;
        spot: `one-time` or `persistent`; jupyter_port: None for a free one; parameters: any others of RunInstances.
        """
        kinds = {"instance": tags or {}, "volume": volume_tags or {}}
        asked: dict[str, Any] = {
            "ImageId": "ami-00000000000000001",
            "InstanceType": type,
            "Placement": {"AvailabilityZone": zone or f"{self.region}a"},
            "BlockDeviceMappings": [{"DeviceName": device, "Ebs": dict(ebs)} for device, ebs in (disks or {}).items()],
            "TagSpecifications": [
                {"ResourceType": kind, "Tags": [{"Key": key, "Value": value} for key, value in of_kind.items()]}
                for kind, of_kind in kinds.items()
            ],
            **parameters,
        }
        if spot:
            asked["InstanceMarketOptions"] = {"MarketType": "spot", "SpotOptions": {"SpotInstanceType": spot}}
        with self._lock:
            self._about_to_change()
            reply = self._launching.run_instances(asked)
            instance_id = str(reply["Instances"][0]["InstanceId"])
            self.cloud.instances[instance_id].jupyter_port = jupyter_port
        self.tick()
        return instance_id

    def find_templates(self, find: Callable[[str], Params | None]) -> None:
        """From now on, launch templates that were not made here are looked for: by id, their LaunchTemplateData."""
        self._launching.find_template = find

    def root_device(self, image: str, device: str) -> None:
        """From now on, instances of this image have their root at this device (else /dev/sda1)."""
        self._launching.root_devices[image] = device

    def instance(self, instance_id: str) -> Instance:
        """What the world knows of an instance, as of now. Raises AwsError for an unknown one."""
        self.tick()
        return self.cloud.instance(instance_id)

    def volume_path(self, volume_id: str) -> Path:
        """The directory of what is on a volume."""
        return self.cloud.content.volume(volume_id)

    def instance_path(self, instance_id: str) -> Path:
        """The directory of an instance, which holds a link per attached volume: `root`, `data-sdf` and so on."""
        return self.cloud.content.instance(instance_id)

    def disk_path(self, instance_id: str, device: str) -> Path:
        """The way to what is attached at a device of an instance; the same for every volume that comes there."""
        instance = self.instance(instance_id)
        return self.instance_path(instance_id) / mount_name(device, instance.root_device)

    def tag(self, resource_id: str, tags: Mapping[str, str]) -> None:
        """Set tags as AWS itself does: `aws:` ones too."""
        with self._lock:
            self._about_to_change()
            self.cloud.resource(resource_id).tags.update(tags)

    def mark_marketplace(self, instance_id: str, code: str | None) -> None:
        """Let an instance carry a Marketplace product code; None: none any more."""
        with self._lock:
            self._about_to_change()
            self.cloud.instance(instance_id).product_codes = [code] if code else []

    # -- what goes wrong

    @property
    def lag(self) -> Callable[[], timedelta] | None:
        """How old the answers of DescribeInstances, -InstanceStatus, -Volumes and -Snapshots are; asked for each anew.

        None: they tell the truth. Five minutes at most; what was before this was set is not known. Source: `past`.
        """
        return self._lag

    @lag.setter
    def lag(self, lag: Callable[[], timedelta] | None) -> None:
        with self._lock:
            self._lag = lag
            self.cloud.timeline.run(self.cloud.now())
            self._past = Past(self.cloud) if lag else None
            self.cloud.timeline.before = self._past.before_change if self._past else None

    def fail_next(
        self, operation: str, code: str, message: str = "", *, times: int = 1, after: bool = False, status: int = 400
    ) -> None:
        """Let the next calls of an operation fail; `after`: though they have had their effect."""
        error = AwsError(code, message or f"{operation} was told to fail", status)
        with self._lock:
            self._refusals.refuse_next(operation, error, times, after=after)

    def refuse(self, operation: str, code: str, message: str = "", *, status: int = 400) -> None:
        """From now on refuse an operation, of any service."""
        with self._lock:
            self._refusals.refuse(operation, AwsError(code, message or f"{operation} is refused", status))

    def forbid(self, operation: str, *, service: str = "ec2") -> None:
        """From now on refuse an operation as a policy of the organisation does."""
        with self._lock:
            self._refusals.refuse(operation, denial(service, operation, self.account))

    def allow(self, operation: str | None = None) -> None:
        """Lift what `refuse` and `forbid` have set: of this operation, or of all."""
        with self._lock:
            self._refusals.lift(operation)

    def check(self, asked: wire.Asked) -> None:
        """For services that the world does not have. Raises AwsError where their call is refused."""
        with self._lock:
            self._refusals.check(asked)

    def refuses(self, asked: wire.Asked) -> bool:
        """Whether a call is refused until that is lifted."""
        return self._refusals.lasting(asked) is not None

    def encrypt_by_default(self, *, on: bool = True) -> None:
        """From now on every new volume is encrypted, with the account's own key where none is asked for."""
        with self._lock:
            self.cloud.encrypted_by_default = on

    def forbid_key(self, key: str | None = None) -> None:
        """From now on a KMS key may not be used; None: the account's own.

        A volume that needs it vanishes, though CreateVolume succeeds; a start with one falls back to stopped.
        """
        with self._lock:
            self.cloud.forbidden_keys.add(key or self.cloud.default_key())

    def allow_keys(self) -> None:
        """From now on every key may be used."""
        with self._lock:
            self.cloud.forbidden_keys.clear()

    def fail_next_snapshots(self, times: int = 1, *, alone: bool = False) -> None:
        """Let the snapshots of the next calls of CreateSnapshot(s) end in `error`.

        All of a set together, as AWS has it; `alone`: only the first of each, while the others complete.
        """
        self._snapshots.failing, self._snapshots.failing_alone = times, alone

    def fail_next_volumes(self, times: int = 1) -> None:
        """Let the next volumes end in `error`, though CreateVolume succeeds (as for a key that may not be used)."""
        self._volumes.failing = times

    def compare_no_lineage(self) -> None:
        """From now on ListChangedBlocks compares snapshots of one volume only."""
        self._direct_blocks.by_lineage = False

    def fail_next_boots(self, times: int = 1) -> None:
        """Let the next starts fall back to stopped, though StartInstances succeeds."""
        self._instances.failing_boots = times

    def lack_capacity(self, types: Collection[str]) -> None:
        """From now on no instance of these types can be started or launched; of all others it can.

        InsufficientInstanceCapacity comes with status 500: boto3 tries again, and really waits, before it is raised.
        """
        with self._lock:
            self.cloud.lacking = frozenset(types)

    def lose_commands(self, instance_id: str, ended: str | None) -> None:
        """Let Run Command take every command for an instance, and end it so: `DeliveryTimedOut` or `Undeliverable`.

        None: from now on they arrive again.
        """
        self.instance(instance_id).commands_end = ended

    def break_agent(self, instance_id: str, *, broken: bool = True) -> None:
        """Let the SSM agent of an instance be lost, or come back."""
        self.instance(instance_id).agent_broken = broken

    def fail_checks(self, instance_id: str, status: str = "impaired") -> None:
        """Let the status checks of an instance come to this from now on: `insufficient-data` too, or `ok` again."""
        with self._lock:
            self._about_to_change()
            self.cloud.instance(instance_id).checks = status

    def hang_stops(self, instance_id: str, *, hang: bool = True) -> None:
        """Let an instance stay in `stopping` for as long as this holds."""
        with self._lock:
            self._about_to_change()
            self.cloud.instance(instance_id).stop_hangs = hang

    def lose_metrics(self, instance_id: str, *, lost: bool = True) -> None:
        """Let CloudWatch have no data of an instance, old or new; or have them again."""
        self.instance(instance_id).metrics_lost = lost

    def power_off(
        self,
        instance_id: str,
        code: str = "Client.InstanceInitiatedShutdown",
        message: str = "Instance initiated shutdown",
    ) -> None:
        """Stop a running instance without an API call: `poweroff` inside it, or AWS (Server.ScheduledStop)."""
        with self._lock:
            self._about_to_change()
            self._instances.stop(self.cloud.instance(instance_id), (code, f"{code}: {message}"))
        self.tick()

    # -- metrics

    def put_cpu(self, instance_id: str, at: datetime, percent: float) -> None:
        """Publish a point of CPUUtilization; it can be read from `at` (plus the metric delay) on."""
        self.put_metric("AWS/EC2", "CPUUtilization", {"InstanceId": instance_id}, at, percent)

    def put_network(self, instance_id: str, at: datetime, received: float | None, sent: float | None) -> None:
        """Publish points of NetworkIn and NetworkOut, in bytes of the period; None: that one is missing."""
        for name, count in (("NetworkIn", received), ("NetworkOut", sent)):
            if count is not None:
                self.put_metric("AWS/EC2", name, {"InstanceId": instance_id}, at, count)

    def put_metric(self, namespace: str, name: str, dimensions: Mapping[str, str], at: datetime, value: float) -> None:
        """Publish a point of any metric; it can be read from `at` (plus the metric delay) on."""
        with self._lock:
            self._metrics.put(namespace, name, dimensions, at, value, at + self.timings.metric_delay)
