"""What the snapshots that a workstation would be restored from are worth, disk by disk.

Pure. What a verification makes carries its own tag and none of a workstation or a cycle, so that no other part of
Autostop ever takes it for a workstation's volume, or for the snapshot of a shelving.
"""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from autostop import tags
from autostop.cost import snapshot_cost, volume_cost
from autostop.model import Observation, Snapshot, SnapshotId, SnapshotState, Volume, WorkstationId
from autostop.sleep import law
from autostop.sleep.manifest import Manifest, VolumeRecord

_HOURS_A_MONTH = 730


class Worth(StrEnum):
    """What can come of looking at a disk's snapshot."""

    GOOD = "good"
    DAMAGED = "damaged"
    MISSING = "missing"
    FOREIGN = "foreign"
    UNKNOWN = "not known"


@dataclass(frozen=True, slots=True)
class Verdict:
    """Of one disk. why, remedy: in words, with the next step; empty where it is good.

    compared: what was found equal. not_compared: what was not, and why.
    """

    record: VolumeRecord
    worth: Worth
    why: str = ""
    remedy: str = ""
    compared: tuple[str, ...] = ()
    not_compared: str = ""


@dataclass(frozen=True, slots=True)
class Verification:
    """One verification. began_at: UTC."""

    workstation: WorkstationId
    began_at: datetime

    @property
    def name(self) -> str:
        """What its tag says: whose it is, and when it began."""
        return f"{self.workstation}/{self.began_at:%Y-%m-%dT%H:%M:%S.%fZ}"

    @property
    def tags(self) -> dict[str, str]:
        """The tags of all that it makes; a scratch volume has the owner's too, as a restore would give them."""
        return {tags.VERIFICATION: self.name}

    def token(self, record: VolumeRecord) -> str:
        """The same for the same scratch volume, at most 64 ASCII characters."""
        return hashlib.sha256(f"verification {self.name} {record.device} {record.snapshot}".encode()).hexdigest()

    def made(self, thing: Volume | Snapshot) -> bool:
        """True for what this very verification made."""
        return is_of(thing, self.workstation) and thing.tags[tags.VERIFICATION] == self.name


def is_of(thing: Volume | Snapshot, workstation: WorkstationId) -> bool:
    """True for what some verification of this workstation made: the only things that one deletes.

    One that carries a tag of a workstation or of a cycle as well is somebody's mistake, and is left alone.
    """
    ours = thing.tags.get(tags.VERIFICATION, "").startswith(f"{workstation}/")
    return ours and not {tags.AUTOSTOP, tags.WORKSTATION, tags.CYCLE} & thing.tags.keys()


def judge_snapshot(
    record: VolumeRecord, seen: Observation, manifest: Manifest, strangers: Mapping[SnapshotId, str]
) -> Verdict | None:
    """What can be said without a scratch volume; None where nothing speaks against the snapshot.

    seen: with the snapshots that the manifest names, whatever their tags. strangers: those of others, and whose.
    """
    snapshot = seen.snapshot(record.snapshot)
    if record.snapshot is not None and record.snapshot in strangers:
        why = f"{record.snapshot} belongs to the account {strangers[record.snapshot]}, and nothing is restored from it"
        remedy = f"Ask who changed the table. `autostop recover {seen.workstation}` looks for your own snapshots"
        return Verdict(record, Worth.FOREIGN, why, remedy)
    if snapshot is None:
        remedy = (
            f"Its volume {record.volume} is still there: a start uses that"
            if seen.volume(record.volume) is not None
            else "Restore it from the Recycle Bin of EBS today: it keeps them only where a rule says so, for its days"
        )
        return Verdict(record, Worth.MISSING, f"EC2 knows no snapshot {record.snapshot or ''}".rstrip(), remedy)
    other = snapshot.tags.get(tags.WORKSTATION, seen.workstation)
    if other != seen.workstation:
        why = f"the tag {tags.WORKSTATION} of {snapshot.id} names {other}"
        return Verdict(record, Worth.FOREIGN, why, f"Ask who changed it. A start needs it to be {seen.workstation}")
    if snapshot.state is SnapshotState.PENDING:
        return Verdict(record, Worth.UNKNOWN, f"{snapshot.id} is not complete yet", "Verify it again when it is")
    if (why_not := law.why_not_restorable(record, seen, manifest)) is not None:
        return Verdict(record, Worth.DAMAGED, why_not, _remedy(snapshot, record, manifest))
    if snapshot.size_gib != record.size_gib:
        why = f"{snapshot.id} is of {snapshot.size_gib} GiB, and its volume had {record.size_gib}"
        return Verdict(record, Worth.DAMAGED, why, _remedy(snapshot, record, manifest))
    return None


def _remedy(snapshot: Snapshot, record: VolumeRecord, manifest: Manifest) -> str:
    if snapshot.archived:
        return "Restore it from the archive, which takes up to three days"
    wanted = manifest.snapshot_tags(record)
    wrong = [f"{key} = {value}" for key, value in wanted.items() if snapshot.tags.get(key) != value]
    if snapshot.volume == record.volume and snapshot.state is SnapshotState.COMPLETED and wrong:
        return f"Put back its tags: {', '.join(wrong)}"
    return f"Keep its older snapshots, start {manifest.workstation}, and see what is missing"


def differences(record: VolumeRecord, restored: Volume) -> Iterator[str]:
    """What of a disk would not be as it was, of all that can be compared without attaching the scratch volume."""
    for what, was, is_now in _settings(record, restored):
        if was != is_now:
            yield f"its {what} was {was}, and would be {is_now}"


def compared(record: VolumeRecord, restored: Volume) -> tuple[str, ...]:
    """The names of what is compared."""
    return tuple(what for what, _, _ in _settings(record, restored))


def _settings(record: VolumeRecord, restored: Volume) -> Iterator[tuple[str, str, str]]:
    yield "size", f"{record.size_gib} GiB", f"{restored.size_gib} GiB"
    yield "type", record.type, restored.type
    yield "IOPS", _or_none(record.iops), _or_none(restored.iops)
    yield "throughput", _or_none(record.throughput), _or_none(restored.throughput)
    # Where an account encrypts every new volume, what was not encrypted comes back so: nothing is lost by that.
    if record.encrypted or not restored.encrypted:
        yield "encryption", _or_none(record.encrypted), _or_none(restored.encrypted)
        yield "key", _or_none(record.kms_key), _or_none(restored.kms_key)
    yield "zone", record.zone, restored.zone
    yield "own tags", _tags(record.own_tags or {}), _tags(tags.own(restored.tags))


def _or_none(value: object) -> str:
    return "none" if value in (None, False) else str(value)


def _tags(own: Mapping[str, str]) -> str:
    return ", ".join(f"{key}={value}" for key, value in sorted(own.items())) or "none"


def cost_an_hour(manifest: Manifest) -> float:
    """USD an hour at most for what is made: each volume once more, and a snapshot of it."""
    month = sum(
        volume_cost(each.type, each.size_gib, each.iops, each.throughput) + snapshot_cost(each.size_gib)
        for each in manifest.volumes
    )
    return month / _HOURS_A_MONTH
