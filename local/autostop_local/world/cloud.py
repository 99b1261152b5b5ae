"""What there is in the world: the state that the calls of all services share."""

import random
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, TypeVar

from autostop_local.world.clocks import Clock
from autostop_local.world.content import Content
from autostop_local.world.errors import AwsError
from autostop_local.world.events import Outbox
from autostop_local.world.machines import Machines
from autostop_local.world.resources import Image, Instance, Resource, Snapshot, Spot, Volume
from autostop_local.world.timeline import Timeline
from autostop_local.world.timings import Timings

Params = Mapping[str, Any]  # of a call, as AWS names them
Reply = dict[str, Any]

ACCOUNT = "123456789012"

R = TypeVar("R", bound=Resource)


@dataclass
class Cloud:
    """One account in one Region, with its clock and what is due to happen."""

    region: str
    clock: Clock
    timings: Timings
    content: Content
    machines: Machines
    events: Outbox
    chance: random.Random
    account: str = ACCOUNT
    timeline: Timeline = field(default_factory=Timeline)
    instances: dict[str, Instance] = field(default_factory=dict)
    volumes: dict[str, Volume] = field(default_factory=dict)
    snapshots: dict[str, Snapshot] = field(default_factory=dict)
    spots: dict[str, Spot] = field(default_factory=dict)
    images: dict[str, Image] = field(default_factory=dict)
    deregistered: set[str] = field(default_factory=set)  # ids of images that were
    lacking: frozenset[str] = frozenset()  # the instance types of which there are none
    encrypted_by_default: bool = False  # new volumes are, whatever was asked for
    forbidden_keys: set[str] = field(default_factory=set)  # KMS keys that may not be used
    keeps_deleted_for: timedelta | None = None  # a retention rule of the Recycle Bin for volumes
    recycle_bin: dict[str, datetime] = field(default_factory=dict)  # until when it keeps each
    member_events: bool = False  # CreateSnapshots also sends an event per snapshot: nobody knows whether AWS does
    _numbers: int = 0

    def now(self) -> datetime:
        """The time, or the moment of what is happening, which may be noticed only later."""
        return self.timeline.moment or self.clock.now()

    def number(self) -> int:
        self._numbers += 1
        return self._numbers

    def new_id(self, prefix: str) -> str:
        return f"{prefix}-0{self.chance.getrandbits(64):016x}"

    def new_uuid(self) -> str:
        return str(uuid.UUID(int=self.chance.getrandbits(128), version=4))

    def instance(self, instance_id: str) -> Instance:
        """Raises InvalidInstanceID.Malformed or .NotFound."""
        return _find(self.instances, instance_id, "i", "InvalidInstanceID", "The instance ID '{}' does not exist")

    def volume(self, volume_id: str) -> Volume:
        """Raises InvalidVolumeID.Malformed or InvalidVolume.NotFound."""
        return _find(self.volumes, volume_id, "vol", "InvalidVolume", "The volume '{}' does not exist.")

    def snapshot(self, snapshot_id: str) -> Snapshot:
        """Raises InvalidSnapshotID.Malformed or InvalidSnapshot.NotFound."""
        return _find(self.snapshots, snapshot_id, "snap", "InvalidSnapshot", "The snapshot '{}' does not exist.")

    def image(self, image_id: str) -> Image:
        """Raises InvalidAMIID.Malformed or .NotFound."""
        return _find(self.images, image_id, "ami", "InvalidAMIID", "The image id '[{}]' does not exist")

    def check_capacity(self, instance_type: str, zone: str) -> None:
        """Raises InsufficientInstanceCapacity, which is a fault of the server's: SDKs try again by themselves."""
        if instance_type in self.lacking:
            raise AwsError(
                "InsufficientInstanceCapacity",
                f"We currently do not have sufficient {instance_type} capacity in the Availability Zone you requested "
                f"({zone}). Our system will be working on provisioning additional capacity.",
                500,
            )

    def resource(self, resource_id: str) -> Resource:
        """Whatever has this id. Raises AWS's error for its kind, InvalidID for a kind that the world does not have."""
        prefix = resource_id.partition("-")[0]
        if prefix == "i":
            return self.instance(resource_id)
        if prefix == "vol":
            return self.volume(resource_id)
        if prefix == "snap":
            return self.snapshot(resource_id)
        if prefix == "ami":
            return self.image(resource_id)
        if prefix == "sir" and resource_id in self.spots:
            return self.spots[resource_id]
        raise AwsError("InvalidID", f"The ID '{resource_id}' is not valid")

    def default_key(self) -> str:
        """The KMS key of an encrypted volume for which none was named."""
        return f"arn:aws:kms:{self.region}:{self.account}:key/00000000-0000-4000-8000-000000000000"


def _find(things: dict[str, R], thing_id: str, prefix: str, code: str, missing: str) -> R:
    found = things.get(thing_id)
    if found is not None:
        return found
    if not re.fullmatch(rf"{prefix}-[0-9a-f]{{8}}(?:[0-9a-f]{{9}})?", thing_id):
        malformed = code if code.endswith("ID") else f"{code}ID"
        raise AwsError(f"{malformed}.Malformed", f'Invalid id: "{thing_id}"')
    raise AwsError(f"{code}.NotFound", missing.format(thing_id))
