"""What a look may call for: one step, a wait, or an end. Plain values; nothing here is done."""

from dataclasses import dataclass
from datetime import timedelta

from autostop.model import SnapshotId, VolumeId
from autostop.sleep.intent import By, Wanted
from autostop.sleep.manifest import Manifest, VolumeRecord

# EBS attaches and detaches in a second or two, EC2 boots in a minute or two.
A_MOMENT = timedelta(seconds=1)
SECONDS = timedelta(seconds=5)
A_MINUTE = timedelta(seconds=60)


@dataclass(frozen=True, slots=True)
class StopInstance:
    """Ask EC2 to stop the instance, letting its system shut down."""


@dataclass(frozen=True, slots=True)
class StartInstance:
    """Ask EC2 to start the instance."""


@dataclass(frozen=True, slots=True)
class NoteType:
    """Write on the instance from which type to which it is changed; an empty note takes the old one back."""

    note: str


@dataclass(frozen=True, slots=True)
class ChangeType:
    """Make the stopped instance another type. note: what must be on it before; empty when it becomes its own type."""

    type: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class NoteNoCapacity:
    """Keep that EC2 had no capacity for a type, though it had taken the start."""

    type: str


@dataclass(frozen=True, slots=True)
class WriteManifest:
    """Keep this manifest as the workstation's latest."""

    manifest: Manifest
    why: str


@dataclass(frozen=True, slots=True)
class CreateSnapshots:
    """Snapshot all attached volumes together."""

    manifest: Manifest


@dataclass(frozen=True, slots=True)
class TagSnapshot:
    """Write the manifest of one volume on its snapshot."""

    snapshot: SnapshotId
    tags: dict[str, str]


@dataclass(frozen=True, slots=True)
class DetachVolume:
    """Detach a volume from the stopped instance."""

    volume: VolumeId
    device: str


@dataclass(frozen=True, slots=True)
class DeleteVolume:
    """Delete a volume whose data the snapshot holds."""

    volume: VolumeId
    snapshot: SnapshotId


@dataclass(frozen=True, slots=True)
class CreateVolume:
    """Restore a volume from its snapshot."""

    manifest: Manifest
    record: VolumeRecord


@dataclass(frozen=True, slots=True)
class NoteFailedVolume:
    """Keep that a restored volume came to nothing, with the manifest by which the next one is another."""

    manifest: Manifest
    device: str
    volume: VolumeId
    why: str


@dataclass(frozen=True, slots=True)
class DeleteFailedVolume:
    """Delete a volume that EBS could not restore; it holds nothing."""

    volume: VolumeId
    why: str


@dataclass(frozen=True, slots=True)
class AttachVolume:
    """Attach a volume at its device."""

    volume: VolumeId
    device: str


@dataclass(frozen=True, slots=True)
class SetDeleteOnTermination:
    """Put back what an attachment has reset: whether the volume goes with its instance."""

    volume: VolumeId
    device: str
    delete_on_termination: bool


@dataclass(frozen=True, slots=True)
class DeleteSnapshot:
    """Delete a snapshot that another has replaced."""

    snapshot: SnapshotId
    cycle: int


@dataclass(frozen=True, slots=True)
class DeleteFailedSnapshot:
    """Delete a snapshot that EBS could not make; it holds nothing."""

    snapshot: SnapshotId


@dataclass(frozen=True, slots=True)
class ChangeIntent:
    """Yield to what a person did meanwhile."""

    wanted: Wanted
    by: By
    why: str


Step = (
    StopInstance
    | StartInstance
    | NoteType
    | ChangeType
    | NoteNoCapacity
    | WriteManifest
    | CreateSnapshots
    | TagSnapshot
    | DetachVolume
    | DeleteVolume
    | CreateVolume
    | NoteFailedVolume
    | DeleteFailedVolume
    | AttachVolume
    | SetDeleteOnTermination
    | DeleteSnapshot
    | DeleteFailedSnapshot
    | ChangeIntent
)


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing to do until something changes; look again after `at_most`, whatever events come."""

    why: str
    at_most: timedelta


@dataclass(frozen=True, slots=True)
class Settled:
    """The intent is reached. note: what the owner should know about it."""

    note: str = ""


@dataclass(frozen=True, slots=True)
class Blocked:
    """Nothing can be done until a person acts; all data is safe."""

    reason: str


Outcome = Step | Wait | Settled | Blocked
