"""What AWS says now of one workstation: its instance, volumes and snapshots."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from enum import StrEnum
from typing import NewType

from autostop import tags
from autostop.launch_facts import LaunchFacts

WorkstationId = NewType("WorkstationId", str)
InstanceId = NewType("InstanceId", str)
VolumeId = NewType("VolumeId", str)
SnapshotId = NewType("SnapshotId", str)

# EC2's lists may lag a few minutes behind its writes; what is not listed after this long was never made, or is gone.
LISTS_LAG_FOR = timedelta(minutes=5)


class InstanceState(StrEnum):
    """The states of an EC2 instance, as EC2 names them."""

    PENDING = "pending"
    RUNNING = "running"
    SHUTTING_DOWN = "shutting-down"
    TERMINATED = "terminated"
    STOPPING = "stopping"
    STOPPED = "stopped"


class VolumeState(StrEnum):
    """The states of an EBS volume, as EBS names them."""

    CREATING = "creating"
    AVAILABLE = "available"
    IN_USE = "in-use"
    DELETING = "deleting"
    DELETED = "deleted"
    ERROR = "error"


class AttachmentState(StrEnum):
    """The states of a volume's attachment, as EBS names them."""

    ATTACHING = "attaching"
    ATTACHED = "attached"
    DETACHING = "detaching"
    DETACHED = "detached"
    BUSY = "busy"


class SnapshotState(StrEnum):
    """The states of an EBS snapshot, as EBS names them."""

    PENDING = "pending"
    COMPLETED = "completed"
    ERROR = "error"
    RECOVERABLE = "recoverable"
    RECOVERING = "recovering"


class Checks(StrEnum):
    """EC2's status checks of a running instance, system and instance together."""

    OK = "ok"
    INITIALIZING = "initializing"
    IMPAIRED = "impaired"
    UNKNOWN = "unknown"


class Jupyter(StrEnum):
    """What is known of Jupyter since the last start."""

    NOT_ASKED = "the owner chose that nobody asks"
    SILENT = "no answer"
    NO_SERVER = "no server runs"
    SERVES = "a server answers"


class SpotKind(StrEnum):
    """How a Spot instance was requested; only a persistent request survives a stop."""

    PERSISTENT = "persistent"
    ONE_TIME = "one-time"


def instance_of(workstation: WorkstationId) -> InstanceId:
    """The instance that a workstation is now: here alone is it said that both have one id."""
    return InstanceId(workstation)


def workstation_of(instance: InstanceId) -> WorkstationId:
    """The workstation that an instance is."""
    return WorkstationId(instance)


@dataclass(frozen=True, slots=True)
class Instance:
    """An EC2 instance.

    launched_at: the *last* start, UTC; it moves with each start (botocore, `Instance.LaunchTime`).
    stopped_at: when the last stop was asked for, by EC2's clock; None when EC2 does not say.
    vcpus: cores × threads; 0 when EC2 does not say. root_device: literally as EC2 names it, e.g. `/dev/xvda`.
    spot: None for an On-Demand instance. instance_store_gb: of the type's disks that a stop empties; 0 without such.
    address: where the workstation can be reached now; None while it has none. public: whether from anywhere.
    architecture: as EC2 names it, e.g. `x86_64`. state_reason: why it is in its state, in EC2's words.
    launch: what a new instance would need to be like it; None where nobody asked.
    operator: the service of AWS that manages it, as EC2 names it, e.g. `eks.amazonaws.com`; empty for the owner's own.
    """

    id: InstanceId
    state: InstanceState
    launched_at: datetime
    type: str
    vcpus: int
    zone: str
    root_device: str
    tags: Mapping[str, str]
    stopped_at: datetime | None = None
    root_is_ebs: bool = True
    spot: SpotKind | None = None
    hibernation: bool = False
    stop_protected: bool = False
    instance_store_gb: int = 0
    marketplace: bool = False
    address: str | None = None
    state_reason: str = ""
    architecture: str = ""
    launch: LaunchFacts | None = None
    operator: str = ""
    public: bool = True

    @property
    def workstation(self) -> WorkstationId:
        return workstation_of(self.id)

    @property
    def is_gone(self) -> bool:
        """True once it is terminated, or about to be."""
        return self.state in (InstanceState.TERMINATED, InstanceState.SHUTTING_DOWN)

    @property
    def is_up(self) -> bool:
        """True while it runs, or is about to."""
        return self.state in (InstanceState.PENDING, InstanceState.RUNNING)

    @property
    def name(self) -> str:
        """The owner's name for it, or the id."""
        return self.tags.get("Name") or self.id


@dataclass(frozen=True, slots=True)
class OtherType:
    """A type of instance. architectures: none when EC2 does not know it. instance_store_gb: as of an instance."""

    name: str
    architectures: tuple[str, ...] = ()
    instance_store_gb: int = 0


@dataclass(frozen=True, slots=True)
class Volume:
    """An EBS volume.

    size_gib: GiB. iops, throughput (MiB/s): as EBS reports them; None when the type has none.
    attached_to, device, attachment: None together while it is attached to nothing.
    delete_on_termination: None while it is attached to nothing. operator: as of an instance.
    """

    id: VolumeId
    state: VolumeState
    size_gib: int
    type: str
    zone: str
    tags: Mapping[str, str]
    iops: int | None = None
    throughput: int | None = None
    encrypted: bool = False
    kms_key: str | None = None
    snapshot: SnapshotId | None = None
    multi_attach: bool = False
    attached_to: InstanceId | None = None
    device: str | None = None
    attachment: AttachmentState | None = None
    delete_on_termination: bool | None = None
    operator: str = ""

    @property
    def exists(self) -> bool:
        """False once its deletion has begun: nothing can bring such a volume back."""
        return self.state not in (VolumeState.DELETING, VolumeState.DELETED)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """An EBS snapshot of this account.

    progress: percent, 0 to 100. archived: nothing can be restored from it for days. size_gib: of its volume.
    stored_bytes: the full size of its data, not what is billed (snapshots share blocks); None when EBS does not say.
    """

    id: SnapshotId
    volume: VolumeId
    state: SnapshotState
    started_at: datetime
    size_gib: int
    tags: Mapping[str, str]
    progress: int = 0
    archived: bool = False
    stored_bytes: int | None = None
    message: str = ""

    @property
    def cycle(self) -> int | None:
        """The cycle that made it; None when its tag is missing or damaged."""
        return tags.number(self.tags, tags.CYCLE)


@dataclass(frozen=True, slots=True)
class Observation:
    """What AWS says now, read fresh each time.

    instance: None when EC2 does not know the id.
    volumes: those attached to the instance and those whose tag names this workstation.
    snapshots: those of this account whose tag names this workstation.
    checks, jupyter: looked at only while running.
    other_types: those that the owner names, in his order; looked at only when a start lacked capacity.
    delete_after: how long its owner has detached volumes kept; None: for ever.
    zone: by whose clock its owner is told times. initialization_rate: MiB a second, at which its owner has EBS fill
    restored volumes; None: as they are read.
    """

    workstation: WorkstationId
    instance: Instance | None
    volumes: tuple[Volume, ...] = ()
    snapshots: tuple[Snapshot, ...] = ()
    checks: Checks = Checks.UNKNOWN
    jupyter: Jupyter = Jupyter.SILENT
    other_types: tuple[OtherType, ...] = ()
    zone: tzinfo = UTC
    initialization_rate: int | None = None
    delete_after: timedelta | None = timedelta(0)

    def attached(self) -> tuple[Volume, ...]:
        """Volumes that are attached to the instance, or on their way to or from it, by device name."""
        instance = instance_of(self.workstation)
        here = (volume for volume in self.volumes if volume.attached_to == instance and volume.device)
        return tuple(sorted(here, key=lambda volume: volume.device or ""))

    def at_device(self, device: str) -> Volume | None:
        return next((volume for volume in self.attached() if volume.device == device), None)

    def volume(self, volume_id: VolumeId) -> Volume | None:
        """The volume with this id if it still exists, or None."""
        return next((volume for volume in self.volumes if volume.id == volume_id and volume.exists), None)

    def snapshot(self, snapshot_id: SnapshotId | None) -> Snapshot | None:
        return next((snapshot for snapshot in self.snapshots if snapshot.id == snapshot_id), None)
