"""Compare what the table knows of a workstation with what its tags say, and write it anew where it is lost."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from autostop import tags
from autostop.aws.ebs import EbsDisks
from autostop.aws.ec2 import Ec2Instances
from autostop.aws.errors import aws_errors
from autostop.aws.ledger import DynamoLedger
from autostop.aws.queue import SqsQueue
from autostop.model import (
    AttachmentState,
    Instance,
    InstanceState,
    Observation,
    SnapshotState,
    WorkstationId,
    instance_of,
)
from autostop.ports import ConflictError, DamagedError, TransientError
from autostop.sleep.from_tags import UnreadableError, devices_only_in_snapshots, manifest_from_tags, place_of
from autostop.sleep.intent import By, Intent, Wanted
from autostop.sleep.manifest import Manifest, VolumeRecord
from autostop.sleep.own_type import hinted
from autostop.state import Happened, State
from autostop_cli.repair.instance_configuration import configuration_from_tags


@dataclass(frozen=True, slots=True)
class Truth:
    """What the table should say of a workstation.

    manifest: None where its volumes are in their places, and nothing needs one. why: for the intent, in words.
    """

    manifest: Manifest | None
    wanted: Wanted
    settled: bool
    why: str


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found of one workstation.

    lost: what the table does not know, in words; None when all is well. new: the state to write; None when nothing is
    to be written. why_not: why it cannot be recovered. damaged: a document is in the way, which is kept aside.
    copies: what others snapshotted of volumes that are gone, and what to do with it, in words.
    """

    workstation: WorkstationId
    name: str
    lost: str | None = None
    new: State | None = None
    why_not: str | None = None
    damaged: bool = False
    copies: tuple[str, ...] = ()

    @property
    def links_lost(self) -> bool:
        """True when the table knew nothing at all, so that its links are gone too."""
        return self.new is not None and self.new.version == 0 and not self.damaged


@dataclass(frozen=True, slots=True)
class Recovery:
    """The ports of a recovery. `clock` gives aware UTC moments."""

    instances: Ec2Instances
    disks: EbsDisks
    ledger: DynamoLedger
    queue: SqsQueue
    clock: Callable[[], datetime]

    def look(self, instance: Instance) -> Finding:
        """What is lost of a workstation that is there; nothing is changed. Raises TransientError, DeniedError."""
        workstation = instance.workstation
        try:
            state, damaged = self.ledger.load(workstation), False
        except DamagedError:
            state, damaged = State(workstation), True
        volumes, snapshots = self.disks.volumes(workstation), self.disks.snapshots(workstation)
        seen = Observation(workstation, instance, tuple(volumes), tuple(snapshots))
        truth, why_not = None, None
        try:
            truth = truth_from_tags(seen, instance)
        except UnreadableError as error:
            why_not = str(error)
        hint = hinted(instance.type, instance.tags) if state.fallback is None else None
        lost = "its item in the table is damaged" if damaged else _what_is_lost(state, truth, instance)
        if lost is None and hint is not None:
            # As when the table was lost once, or an older version wrote it.
            lost = f"the table does not know that it is {instance.type} for want of capacity, as its tag says"
        copies = self._copies(state.manifest, seen) if state.manifest is not None else ()
        if lost is None:
            return Finding(workstation, instance.name, copies=copies)
        new = _state(state, truth, latest_intent(seen), self.clock()) if truth is not None else None
        if new is not None and hint is not None:
            new = replace(new, fallback=hint)
        return Finding(workstation, instance.name, lost, new, why_not, damaged, copies)

    def _copies(self, manifest: Manifest, seen: Observation) -> tuple[str, ...]:
        """What others made of its volumes: Compute Optimizer may snapshot and delete one that is long detached."""
        gone = {record.volume: record for record in manifest.volumes if _is_gone(record, manifest, seen)}
        if not gone:
            return ()
        found = self.disks.find_snapshots([{"Name": "volume-id", "Values": list(gone)}])
        return tuple(
            f"the volume of {record.device} is gone, and Autostop has no snapshot of it, but {snapshot.id} is one, of "
            f"{snapshot.started_at:%Y-%m-%d}: make a volume of it in {record.zone}, attach it there, and adopt it"
            for snapshot in sorted(found, key=lambda each: each.started_at)
            for record in [gone[snapshot.volume]]
        )

    def mend(self, finding: Finding) -> State:
        """Write what was found, and let the reconciler go on. Raises TransientError, DeniedError."""
        new = finding.new
        if new is None or new.intent is None:
            raise ValueError("there is nothing to write")
        if finding.damaged:
            set_aside(self.ledger, finding.workstation)
        try:
            saved = self.ledger.save(new)
        except ConflictError:
            raise TransientError(f"{finding.workstation} changed meanwhile, and nothing was written.") from None
        self.ledger.record(finding.workstation, Happened(self.clock(), new.intent.number, new.intent.why, new.intent))
        if not new.intent.settled:
            self.queue.wake(finding.workstation)
        return saved


def set_aside(ledger: DynamoLedger, workstation: WorkstationId) -> None:
    """Keep what is damaged of a state for a person to read, in the way of nothing. Raises TransientError, DeniedError.

    Its items are copied under other kinds and deleted at once; one that is not damaged stays.
    """
    try:
        ledger.load(workstation)
    except DamagedError:
        moves: list[Any] = []
        for item in filter(None, ledger.items_of(workstation)):
            digest = hashlib.sha256(repr(sorted(item.items())).encode()).hexdigest()[:16]
            aside = {**item, "workstation": {"S": workstation}, "kind": {"S": f"damaged#{digest}"}}
            key = {name: item[name] for name in ("workstation", "kind")}
            moves += [{"Put": {"TableName": ledger.table, "Item": aside}}]
            moves += [{"Delete": {"TableName": ledger.table, "Key": key}}]
        with aws_errors():
            ledger.client.transact_write_items(TransactItems=moves)


def truth_from_tags(seen: Observation, instance: Instance) -> Truth:
    """What a workstation's state must be, from what is. Nothing is started by it, and no volume is given up. Pure.

    Raises UnreadableError.
    """
    match instance.state:
        case InstanceState.RUNNING:
            return Truth(None, Wanted.RUN, settled=True, why="it runs")
        case InstanceState.PENDING:
            return Truth(None, Wanted.RUN, settled=False, why="EC2 is starting it")
        case InstanceState.STOPPING:
            return Truth(None, Wanted.STOP, settled=False, why="EC2 is stopping it")
        case InstanceState.STOPPED:
            return _of_stopped(seen, instance)
        case InstanceState.TERMINATED | InstanceState.SHUTTING_DOWN:
            raise UnreadableError("the instance is terminated")


def latest_intent(seen: Observation) -> int:
    """The highest intent number on any snapshot; 0 where there is none."""
    return max((tags.number(snapshot.tags, tags.INTENT) or 0 for snapshot in seen.snapshots), default=0)


def _of_stopped(seen: Observation, instance: Instance) -> Truth:
    stopped = Truth(None, Wanted.STOP, settled=True, why="it is stopped, with its volumes")
    try:
        manifest = manifest_from_tags(seen)
    except UnreadableError as error:
        if missing := devices_only_in_snapshots(seen):
            raise UnreadableError(f"{', '.join(missing)} exist only as snapshots, and {error}") from None
        if not any(place_of(volume, seen) == instance.root_device for volume in seen.volumes):
            root = instance.root_device
            raise UnreadableError(f"there is no volume for its root device {root}, and {error}") from None
        return stopped
    snapshots = [snapshot for record in manifest.volumes if (snapshot := seen.snapshot(record.snapshot))]
    manifest = replace(manifest, launch=configuration_from_tags(snapshots))
    cycle = f"the snapshots of cycle {manifest.cycle}"
    originals = [volume for record in manifest.volumes if (volume := seen.volume(record.volume))]
    restored = any(
        manifest.is_restored(volume, record) for volume in seen.volumes if volume.exists for record in manifest.volumes
    )
    if restored or any(manifest.record_of(volume.id) is None for volume in seen.attached()):
        return Truth(manifest, Wanted.STOP, settled=True, why=f"it is stopped, partly restored from {cycle}")
    own = instance_of(seen.workstation)
    if len(originals) == len(manifest.volumes) and all(
        volume.attached_to == own and volume.attachment is AttachmentState.ATTACHED for volume in originals
    ):
        # Shelved again or not: that is for its settings to say, and nothing is lost by waiting for the next sweep.
        return replace(stopped, manifest=manifest)
    if originals or any(snapshot.state is not SnapshotState.COMPLETED for snapshot in snapshots):
        return Truth(manifest, Wanted.SHELVE, settled=False, why=f"it was being shelved in {cycle}")
    return Truth(manifest, Wanted.SHELVE, settled=True, why=f"it is shelved: its disks are in {cycle}")


def _is_gone(record: VolumeRecord, manifest: Manifest, seen: Observation) -> bool:
    """True when neither its volume, nor one restored from it, nor its snapshot is there."""
    alive = [volume for volume in seen.volumes if volume.exists]
    there = any(volume.id == record.volume or manifest.is_restored(volume, record) for volume in alive)
    return not there and seen.snapshot(record.snapshot) is None


def _what_is_lost(state: State, truth: Truth | None, instance: Instance) -> str | None:
    """truth: None when the tags do not tell it."""
    if state.version == 0:
        return "the table knows nothing of it"
    known = state.manifest if state.manifest is not None and state.manifest.holds_since(instance) else None
    if truth is None:
        stopped = instance.state is InstanceState.STOPPED
        return "the table does not know its last shelving" if known is None and stopped else None
    if truth.manifest is None:
        return None
    if known is None:
        return "the table does not know its last shelving"
    # As after a restore of the table from a backup.
    older = (known.cycle, known.attempt) < (truth.manifest.cycle, truth.manifest.attempt)
    return f"the table knows only cycle {known.cycle} of it, an older one" if older else None


def _state(state: State, truth: Truth, latest: int, now: datetime) -> State:
    """The state to write. An owner's start that is under way stays: the latest intent wins."""
    manifest = truth.manifest or state.manifest
    if state.intent is not None and state.intent.wanted is Wanted.RUN and not state.intent.settled:
        return replace(state.wanting(state.intent), manifest=manifest)
    number = max(state.intent.number if state.intent else 0, latest) + 1
    why = f"recovered from its tags: {truth.why}"
    intent = Intent(number, truth.wanted, By.FOUND, now, why, settled_at=now if truth.settled else None)
    if manifest is not None and not intent.settled:
        # The shelving goes on for this intent: so a start in the console is told from one before it.
        manifest = replace(manifest, intent=number)
    return replace(state.wanting(intent), manifest=manifest)
