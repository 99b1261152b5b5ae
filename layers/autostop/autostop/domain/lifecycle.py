"""Find the one next step from what is, to what is wanted.

Pure: no clock, no network, no environment. The step is computed from what *is*, each time anew, so a crash, a lost
or doubled event, a tap in the middle and a person in the console are all the same case.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from autostop.domain import law, tags
from autostop.domain.intent import By, Intent, Wanted
from autostop.domain.manifest import Manifest, VolumeRecord, write_manifest
from autostop.domain.reading import Reading
from autostop.domain.refusals import why_never_shelve, why_never_stop, why_not_ours
from autostop.domain.settings import words
from autostop.domain.workstation import (
    AttachmentState,
    Checks,
    Instance,
    InstanceState,
    Observation,
    Snapshot,
    SnapshotId,
    SnapshotState,
    Volume,
    VolumeId,
    VolumeState,
)

MOST_ATTEMPTS = 3
# EC2's lists may lag behind its writes; a snapshot set that is not listed after this long was never made.
LISTS_LAG_FOR = timedelta(minutes=2)
# How long Jupyter may take to answer after a launch before the start counts as done without it.
JUPYTER_ANSWERS_WITHIN = timedelta(minutes=10)

SECONDS = timedelta(seconds=5)
A_MINUTE = timedelta(seconds=60)


@dataclass(frozen=True, slots=True)
class StopInstance:
    """Ask EC2 to stop the instance, letting its system shut down."""


@dataclass(frozen=True, slots=True)
class StartInstance:
    """Ask EC2 to start the instance."""


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
    """Delete a snapshot that a later cycle has replaced."""

    snapshot: SnapshotId
    cycle: int


@dataclass(frozen=True, slots=True)
class ChangeIntent:
    """Yield to what a person did meanwhile."""

    wanted: Wanted
    by: By
    why: str


Step = (
    StopInstance
    | StartInstance
    | WriteManifest
    | CreateSnapshots
    | TagSnapshot
    | DetachVolume
    | DeleteVolume
    | CreateVolume
    | AttachVolume
    | SetDeleteOnTermination
    | DeleteSnapshot
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


def next_step(seen: Observation, intent: Intent, manifest: Manifest | None, now: datetime) -> Outcome:
    """The next step of a workstation toward its intent. Pure.

    manifest: of the latest cycle, as it is kept in the table; None before the first.
    """
    if intent.settled:
        return Settled()
    instance = seen.instance
    if instance is None or instance.state in (InstanceState.TERMINATED, InstanceState.SHUTTING_DOWN):
        return Blocked(
            f"the instance {seen.workstation} is terminated or not there. Its snapshots are kept; "
            "a new instance can be built from them."
        )
    if not tags.is_ours(instance.tags):
        return Blocked(f"it does not carry the tag `autostop = on`. Run `autostop adopt {seen.workstation}` again.")
    match intent.wanted:
        case Wanted.RUN:
            return _toward_run(seen, instance, manifest, now)
        case Wanted.STOP:
            return _toward_stop(instance)
        case Wanted.SHELVE:
            return _toward_shelve(seen, instance, intent, manifest, now)


def _toward_stop(instance: Instance) -> Outcome:
    match instance.state:
        case InstanceState.STOPPED:
            return Settled()
        case InstanceState.STOPPING:
            return Wait("EC2 is stopping the instance", A_MINUTE)
        case InstanceState.PENDING:
            return Wait("EC2 is starting the instance; it can be stopped then", SECONDS)
        case _:
            reason = why_never_stop(instance)
            return Blocked(f"it is not stopped: {reason}") if reason else StopInstance()


def _toward_shelve(
    seen: Observation, instance: Instance, intent: Intent, manifest: Manifest | None, now: datetime
) -> Outcome:
    if instance.state is not InstanceState.STOPPED:
        if instance.state is InstanceState.RUNNING and _started_by_a_person(instance, intent, manifest):
            return ChangeIntent(Wanted.RUN, By.FOUND, "it was started outside Autostop while it was being shelved")
        # Spot is only stopped, and whatever may not be shelved is refused before it is half done.
        reason = why_never_shelve(instance, seen.attached()) if instance.spot is None else None
        return Blocked(f"it is not shelved: {reason}") if reason else _toward_stop(instance)
    if instance.spot is not None:
        return Settled("A Spot instance is only stopped: EC2 may end one whose root volume is gone.")
    # It may have been stopped by others: hibernated in the console, or set aside by its Auto Scaling group.
    reason = (
        why_never_stop(instance)
        or why_never_shelve(instance, seen.attached())
        or why_not_ours(seen.attached(), seen.workstation)
    )
    if reason:
        return Blocked(f"it is stopped, and its volumes stay: {reason}")
    if manifest is None or not manifest.holds_since(instance):
        return _begin_cycle(seen, instance, intent, None, now, "a new cycle begins")
    return _shelve(seen, instance, intent, manifest, now)


def _started_by_a_person(instance: Instance, intent: Intent, manifest: Manifest | None) -> bool:
    """True when it was seen stopped under this very intent and runs again: a start is a later wish than the intent."""
    return manifest is not None and manifest.intent == intent.number and not manifest.holds_since(instance)


def _begin_cycle(
    seen: Observation, instance: Instance, intent: Intent, manifest: Manifest | None, now: datetime, why: str
) -> Outcome:
    """Begin a cycle, with every volume in its place: what is not attached would be in no snapshot."""
    missing = _bring_whole(seen, instance, manifest)
    if missing is not None:
        return missing
    if not seen.attached():
        return Blocked("it has no volume, and nothing says from which snapshots they could be restored.")
    return WriteManifest(write_manifest(seen, instance, intent.number, now), why)


def _shelve(seen: Observation, instance: Instance, intent: Intent, manifest: Manifest, now: datetime) -> Outcome:
    """Go on with the cycle of this stop: snapshot, wait, detach, delete."""
    remaining = [volume for record in manifest.volumes if (volume := seen.volume(record.volume))]
    strangers = [volume for volume in seen.attached() if manifest.record_of(volume.id) is None]
    restored = [
        volume
        for volume in seen.volumes
        if volume.exists and any(manifest.is_restored(volume, record) for record in manifest.volumes)
    ]
    if strangers or restored:
        # Restored and never started, or attached in the console: such a volume has no snapshot of its own.
        return _begin_cycle(seen, instance, intent, manifest, now, "other volumes are attached now: a new cycle begins")
    if any(record.snapshot is None for record in manifest.volumes):
        return _make_snapshots(seen, instance, manifest, now)
    waiting = _await_snapshots(seen, instance, intent, manifest, now)
    return waiting or _remove_volumes(seen, instance, intent, manifest, remaining, now)


def _make_snapshots(seen: Observation, instance: Instance, manifest: Manifest, now: datetime) -> Outcome:
    """Find the set by its tags, or make it. A set whose answer was lost is found, not made twice."""
    found: dict[VolumeId, Snapshot] = {}
    for snapshot in seen.snapshots:
        if manifest.made(snapshot):
            found.setdefault(snapshot.volume, snapshot)
    if len(found) == len(manifest.volumes):
        known = {volume: snapshot.id for volume, snapshot in found.items()}
        return WriteManifest(manifest.with_snapshots(known), "its snapshots are known")
    if found:
        if now - manifest.written_at < LISTS_LAG_FOR:
            return Wait("EC2 lists only some of the snapshots yet", SECONDS)
        return _try_again(manifest, now, "EC2 lists only some of its snapshots")
    missing = _bring_whole(seen, instance, manifest)
    return missing if missing is not None else CreateSnapshots(manifest)


def _await_snapshots(
    seen: Observation, instance: Instance, intent: Intent, manifest: Manifest, now: datetime
) -> Outcome | None:
    """None once the whole set is complete and carries its manifest."""
    pending: list[Snapshot] = []
    for record in manifest.volumes:
        snapshot = seen.snapshot(record.snapshot)
        if snapshot is None:
            if now - manifest.written_at < LISTS_LAG_FOR:
                return Wait("EC2 does not list the snapshots yet", SECONDS)
            return _replace_set(seen, instance, intent, manifest, now, f"the snapshot {record.snapshot} was deleted")
        if snapshot.state not in (SnapshotState.PENDING, SnapshotState.COMPLETED):
            why = f"EBS failed the snapshot {snapshot.id}: {snapshot.message}"
            return _replace_set(seen, instance, intent, manifest, now, why)
        wanted = manifest.snapshot_tags(record)
        if any(snapshot.tags.get(key) != value for key, value in wanted.items()):
            return TagSnapshot(snapshot.id, wanted)
        if snapshot.state is SnapshotState.PENDING:
            pending.append(snapshot)
    if pending:
        percent = min(snapshot.progress for snapshot in pending)
        return Wait(f"snapshots: {percent} %", A_MINUTE)
    return None


def _replace_set(
    seen: Observation, instance: Instance, intent: Intent, manifest: Manifest, now: datetime, why: str
) -> Outcome:
    """Make the set again after one of its snapshots was lost."""
    if any(seen.volume(record.volume) is None for record in manifest.volumes):
        # Another attempt would forget the snapshots that are the only copy of the volumes deleted already: those
        # are restored first. Blocked there when it is a deleted volume's own snapshot that was lost.
        return _begin_cycle(seen, instance, intent, manifest, now, f"{why}: a new cycle begins")
    return _try_again(manifest, now, why)


def _try_again(manifest: Manifest, now: datetime, why: str) -> Outcome:
    if manifest.attempt >= MOST_ATTEMPTS:
        return Blocked(
            f"{why}. {MOST_ATTEMPTS} snapshot sets failed; its volumes stay. Ask for a start or a stop to go on."
        )
    return WriteManifest(manifest.next_attempt(now), f"{why}; they are made again")


def _remove_volumes(
    seen: Observation, instance: Instance, intent: Intent, manifest: Manifest, remaining: list[Volume], now: datetime
) -> Outcome:
    """Detach all, then delete all, each only as long as the law allows it at that moment."""
    for volume in remaining:
        refusal = law.why_not_detach(volume, seen, manifest)
        if refusal:
            return _begin_cycle(seen, instance, intent, manifest, now, f"{refusal}: a new cycle begins")
    # The root first: a start in the console is then refused by EC2, not made with half of the volumes.
    for volume in sorted(remaining, key=lambda each: each.device != instance.root_device):
        if volume.attached_to not in (None, seen.workstation):
            return Blocked(f"{volume.id} is attached to {volume.attached_to}. Detach it there, or start this one.")
        if volume.attachment is AttachmentState.ATTACHED and volume.device:
            return DetachVolume(volume.id, volume.device)
    for volume in remaining:
        if volume.attached_to is not None or volume.state is not VolumeState.AVAILABLE:
            return Wait(f"EBS is detaching {volume.id}", SECONDS)
        refusal = law.why_not_delete_volume(volume, seen, manifest)
        if refusal:
            return Blocked(f"{refusal}, so the volumes stay. Run `autostop adopt {seen.workstation}` again.")
        record = manifest.record_of(volume.id)
        if record is not None and record.snapshot is not None:
            return DeleteVolume(volume.id, record.snapshot)
    ids = {record.volume for record in manifest.volumes}
    if any(volume.id in ids and volume.state is VolumeState.DELETING for volume in seen.volumes):
        return Wait("EBS is deleting the volumes", SECONDS)
    return Settled()


def _toward_run(seen: Observation, instance: Instance, manifest: Manifest | None, now: datetime) -> Outcome:
    match instance.state:
        case InstanceState.RUNNING:
            return _finish_start(seen, instance, manifest, now)
        case InstanceState.PENDING:
            return Wait("EC2 is starting the instance", SECONDS)
        case InstanceState.STOPPING:
            return Wait("EC2 is still stopping the instance; it is started right after", SECONDS)
        case _:
            missing = _bring_whole(seen, instance, manifest)
            if missing is not None:
                return missing
            refusal = law.why_not_start(seen, manifest)
            return Blocked(f"it is not started: {refusal}.") if refusal else StartInstance()


def _bring_whole(seen: Observation, instance: Instance, manifest: Manifest | None) -> Outcome | None:
    """The next step until every volume is back in its place; None when all are.

    The manifest tells what belongs there as long as the instance was not started since; after that, only the tags
    of volumes that still exist do, and nothing is ever restored from an older cycle by guess.
    """
    if manifest is None or not manifest.holds_since(instance):
        return _reattach_own(seen, instance)
    attachments: list[AttachVolume] = []
    flags: list[SetDeleteOnTermination] = []
    waits: list[Wait] = []
    # The root last, as it was detached first.
    for record in sorted(manifest.volumes, key=lambda each: each.device == instance.root_device):
        outcome = _bring_back(seen, manifest, record)
        if isinstance(outcome, AttachVolume):
            attachments.append(outcome)
        elif isinstance(outcome, SetDeleteOnTermination):
            flags.append(outcome)
        elif isinstance(outcome, Wait):
            waits.append(outcome)
        elif outcome is not None:
            # Volumes are created before any is attached, so that their creations run side by side.
            return outcome
    in_turn: list[AttachVolume | SetDeleteOnTermination | Wait] = [*attachments, *flags, *waits]
    return in_turn[0] if in_turn else None


def _bring_back(
    seen: Observation, manifest: Manifest, record: VolumeRecord
) -> CreateVolume | AttachVolume | SetDeleteOnTermination | Wait | Blocked | None:
    occupant = seen.at_device(record.device)
    if occupant is not None:
        if occupant.id != record.volume and not manifest.is_restored(occupant, record):
            return Blocked(
                f"{occupant.id} is attached at {record.device}, where {record.volume} was. Detach it to have "
                "yours restored, or start the instance in the console to keep it."
            )
        if occupant.attachment is not AttachmentState.ATTACHED:
            return Wait(f"EBS is {occupant.attachment or 'attaching'} {occupant.id}", SECONDS)
        # Attaching has reset it. It is put back before the start and before the next manifest: later nobody could
        # tell it from an owner's change.
        if occupant.delete_on_termination is not record.delete_on_termination:
            return SetDeleteOnTermination(occupant.id, record.device, record.delete_on_termination)
        return None
    original = seen.volume(record.volume)
    copies = [volume for volume in seen.volumes if volume.exists and manifest.is_restored(volume, record)]
    volume = original or next(iter(sorted(copies, key=lambda copy: copy.state is VolumeState.ERROR)), None)
    if volume is None:
        refusal = law.why_not_create_volume(record, seen, manifest)
        return Blocked(f"{record.device} is not restored: {refusal}") if refusal else CreateVolume(manifest, record)
    match volume.state:
        case VolumeState.AVAILABLE:
            return AttachVolume(volume.id, record.device)
        case VolumeState.CREATING:
            return Wait(f"EBS is creating {volume.id} from its snapshot", SECONDS)
        case VolumeState.ERROR:
            return Blocked(f"EBS could not create {volume.id} from {record.snapshot}. May Autostop use its KMS key?")
        case _ if volume.attached_to not in (None, seen.workstation):
            return Blocked(f"{volume.id} is attached to {volume.attached_to}. Detach it there.")
        case _ if volume.attachment is AttachmentState.ATTACHED:
            return Blocked(
                f"{volume.id} is attached at {volume.device}, and not at {record.device} as before. Detach it to have "
                "it put back, or start the instance in the console to keep it there."
            )
        case _:
            return Wait(f"{volume.id} is {volume.state}", SECONDS)


def _reattach_own(seen: Observation, instance: Instance) -> Outcome | None:
    """Attach volumes that carry this workstation's tags and stand detached, where their device is free."""
    detached: dict[str, Volume] = {}
    creating: list[Volume] = []
    for volume in seen.volumes:
        device = volume.tags.get(tags.DEVICE)
        ours = tags.is_ours(volume.tags) and volume.tags.get(tags.WORKSTATION) == seen.workstation
        if not ours or not device or seen.at_device(device) is not None:
            continue
        if volume.state is VolumeState.CREATING:
            creating.append(volume)
        if volume.state is VolumeState.AVAILABLE:
            if device in detached:
                return Blocked(
                    f"{detached[device].id} and {volume.id} both belong at {device}, and nothing says which. "
                    "Attach one of them there."
                )
            detached[device] = volume
    # The root last, as in `_bring_whole`.
    if detached:
        device = min(detached, key=lambda each: each == instance.root_device)
        return AttachVolume(detached[device].id, device)
    moving = next((volume for volume in seen.attached() if volume.attachment is not AttachmentState.ATTACHED), None)
    if moving is not None:
        return Wait(f"EBS is {moving.attachment} {moving.id}", SECONDS)
    return Wait(f"EBS is creating {creating[0].id} from its snapshot", SECONDS) if creating else None


def _finish_start(seen: Observation, instance: Instance, manifest: Manifest | None, now: datetime) -> Outcome:
    """Wait until it works, then let go of what it replaced."""
    if seen.checks is Checks.IMPAIRED:
        return Wait("the instance runs, but EC2's status checks fail", A_MINUTE)
    answered = isinstance(seen.jupyter, Reading)
    serving = isinstance(seen.jupyter, Reading) and bool(seen.jupyter.servers)
    # An answering Jupyter is seen minutes before EC2's checks are through; the page shows it then.
    if seen.checks is not Checks.OK:
        why = "Jupyter answers; EC2's status checks are running" if serving else "the instance is booting"
        return Wait(why, SECONDS)
    if seen.asks_jupyter and not serving:
        if now - instance.launched_at < JUPYTER_ANSWERS_WITHIN:
            return Wait("the instance runs; Jupyter does not answer yet", SECONDS)
        if not answered:
            within = words(JUPYTER_ANSWERS_WITHIN)
            return Settled(f"It runs, but nothing was heard of Jupyter for {within}. Older snapshots are kept.")
    return _retire(seen, manifest) or Settled()


def _retire(seen: Observation, manifest: Manifest | None) -> DeleteSnapshot | None:
    for snapshot in seen.snapshots:
        if manifest and law.why_not_delete_snapshot(snapshot, seen, manifest) is None and snapshot.cycle is not None:
            return DeleteSnapshot(snapshot.id, snapshot.cycle)
    return None
