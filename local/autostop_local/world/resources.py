"""The things of the world: instances, volumes, snapshots, images."""

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Self

INSTANCE_STATES = {"pending": 0, "running": 16, "shutting-down": 32, "terminated": 48, "stopping": 64, "stopped": 80}


@dataclass(slots=True, kw_only=True)
class Resource:
    """What has an id and tags; `number` grows with each new one, for lists that are read page by page."""

    id: str
    number: int
    tags: dict[str, str] = field(default_factory=dict)

    def copy(self) -> Self:
        """As it is now, whatever becomes of the original."""
        kept = copy.copy(self)
        kept.tags = self.tags.copy()
        return kept


@dataclass(slots=True)
class Attachment:
    """A volume at a device of an instance; state: attaching, attached or detaching.

    mapped_at: from then on the instance's own attributes know of it.
    """

    instance_id: str
    device: str
    at: datetime
    state: str
    delete_on_termination: bool
    mapped_at: datetime


@dataclass(slots=True, kw_only=True)
class Volume(Resource):
    """An EBS volume; state: creating, available, in-use, deleting or error; size in GiB, throughput in MiB/s."""

    size: int
    type: str
    zone: str
    created_at: datetime
    state: str = "creating"
    iops: int | None = None
    throughput: int | None = None
    kms_key_id: str | None = None  # of an encrypted one
    snapshot_id: str | None = None
    multi_attach: bool = False
    attachment: Attachment | None = None
    last_snapshot_at: datetime | None = None

    def copy(self) -> Self:
        kept = Resource.copy(self)
        kept.attachment = copy.copy(self.attachment)
        return kept


@dataclass(slots=True, kw_only=True)
class Snapshot(Resource):
    """An EBS snapshot; state: pending, completed or error."""

    volume_id: str
    volume_size: int
    description: str
    started_at: datetime
    due_at: datetime
    size: int  # bytes of content
    kms_key_id: str | None = None
    state: str = "pending"
    state_message: str | None = None
    completed_at: datetime | None = None
    doomed: bool = False  # deleted while pending: goes when it is complete
    owner: str = "self"  # or the account that shares it


@dataclass(slots=True, kw_only=True)
class Image(Resource):
    """An AMI; mappings: by device, its `Ebs` as RegisterImage takes it."""

    name: str
    description: str
    architecture: str
    root_device: str
    virtualization: str
    ena_support: bool
    created_at: datetime
    mappings: dict[str, dict[str, Any]]
    boot_mode: str | None = None


@dataclass(slots=True, kw_only=True)
class Spot(Resource):
    """A Spot instance request; type: one-time or persistent; state: active, disabled, cancelled or closed."""

    instance_id: str
    type: str
    created_at: datetime
    state: str = "active"


@dataclass(slots=True, kw_only=True)
class Instance(Resource):
    """An EC2 instance; state: a key of INSTANCE_STATES."""

    reservation_id: str
    image_id: str
    type: str
    root_device: str
    private_ip: str
    launched_at: datetime
    zone: str = ""
    subnet_id: str = ""
    security_groups: tuple[str, ...] = ()
    architecture: str = "x86_64"
    virtualization: str = "hvm"
    ena_support: bool = True
    boot_mode: str | None = None
    state: str = "pending"
    running_at: datetime | None = None
    public_ip: str | None = None
    transition_reason: str = ""
    state_reason: tuple[str, str] | None = None  # code, message
    stop_reason: tuple[str, str] | None = None  # becomes state_reason when it has stopped
    volumes: dict[str, str] = field(default_factory=dict)  # device: volume id, attached or about to be
    devices_freed_at: dict[str, datetime] = field(default_factory=dict)  # where a volume was
    spot_request_id: str | None = None
    disable_api_stop: bool = False
    disable_api_termination: bool = False
    hibernation: bool = False
    product_codes: list[str] = field(default_factory=list)
    key_name: str | None = None
    profile: str | None = None  # ARN of the instance profile
    shutdown_behavior: str = "stop"
    metadata_options: Mapping[str, Any] = field(default_factory=dict)
    ebs_optimized: bool = False
    source_dest_check: bool = True
    monitoring: str = "disabled"
    client_token: str = ""
    user_data: str | None = None  # in base64, as RunInstances takes it
    cpu_credits: str | None = None
    jupyter_port: int | None = None
    agent_broken: bool = False
    commands_end: str | None = None  # how Run Command ends what it cannot deliver; None where it can
    checks: str = "ok"  # what the status checks come to after their time: ok, impaired or insufficient-data
    stop_hangs: bool = False
    metrics_lost: bool = False

    def copy(self) -> Self:
        kept = Resource.copy(self)
        kept.volumes, kept.product_codes = self.volumes.copy(), self.product_codes.copy()
        return kept

    @property
    def state_code(self) -> int:
        return INSTANCE_STATES[self.state]
