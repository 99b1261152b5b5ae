"""Bring every volume of a stopped workstation back into its place."""

from datetime import datetime

from autostop import tags
from autostop.model import LISTS_LAG_FOR, AttachmentState, Instance, Observation, Volume, VolumeState
from autostop.sleep import law
from autostop.sleep.attempts import MOST_ATTEMPTS, Tried
from autostop.sleep.from_tags import devices_only_in_snapshots, found_again
from autostop.sleep.manifest import Manifest, VolumeRecord
from autostop.sleep.steps import (
    A_MOMENT,
    SECONDS,
    AttachVolume,
    Blocked,
    CreateVolume,
    DeleteFailedVolume,
    NoteFailedVolume,
    Outcome,
    SetDeleteOnTermination,
    Wait,
    WriteManifest,
)


def bring_whole(
    seen: Observation, instance: Instance, manifest: Manifest | None, tried: Tried, now: datetime
) -> Outcome | None:
    """The next step until every volume is back in its place; None when all are. Pure.

    The manifest tells what belongs there as long as the instance was not started since; after that, only the tags
    of volumes that still exist do, and nothing is ever restored from an older cycle by guess.
    """
    if (found := found_again(seen, manifest, instance)) is not None:
        return WriteManifest(found, "the table had lost it, its snapshots' tags had not")
    if manifest is None or not manifest.holds_since(instance):
        return _reattach_own(seen, instance) or _only_in_snapshots(seen, instance)
    failed = _let_go_of_failed(seen, manifest, tried)
    if failed is not None:
        return failed
    attachments: list[AttachVolume] = []
    flags: list[SetDeleteOnTermination] = []
    waits: list[Wait] = []
    # The root last, as it was detached first.
    for record in sorted(manifest.volumes, key=lambda each: each.device == instance.root_device):
        outcome = _bring_back(seen, manifest, record, tried, now)
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
    # What the manifest does not know but the tags do: detached in the console before it was written.
    return in_turn[0] if in_turn else _reattach_own(seen, instance)


def _bring_back(
    seen: Observation, manifest: Manifest, record: VolumeRecord, tried: Tried, now: datetime
) -> Outcome | None:
    occupant = seen.at_device(record.device)
    if occupant is not None:
        return _settle_in(occupant, manifest, record)
    copies = (volume for volume in seen.volumes if volume.exists and manifest.is_restored(volume, record))
    volume = seen.volume(record.volume) or next(copies, None)
    if volume is None:
        return _restore(seen, manifest, record, tried, now)
    match volume.state:
        case VolumeState.AVAILABLE:
            refusal = law.why_not_attach(volume, seen)
            return Blocked(refusal) if refusal else AttachVolume(volume.id, record.device)
        case VolumeState.CREATING:
            return Wait(f"EBS is creating {volume.id} from its snapshot", A_MOMENT)
        case VolumeState.ERROR:
            return Blocked(f"EBS says that {volume.id} of {record.device} has failed. Look at it in the console.")
        case _ if volume.attached_to not in (None, seen.workstation):
            return Blocked(f"{volume.id} is attached to {volume.attached_to}. Detach it there.")
        case _ if volume.attachment is AttachmentState.ATTACHED:
            return Blocked(
                f"{volume.id} is attached at {volume.device}, and not at {record.device} as before. Detach it to have "
                "it put back, or start the instance in the console to keep it there."
            )
        case _:
            return Wait(f"{volume.id} is {volume.state}", A_MOMENT)


def _settle_in(
    occupant: Volume, manifest: Manifest, record: VolumeRecord
) -> SetDeleteOnTermination | Wait | Blocked | None:
    if occupant.id != record.volume and not manifest.is_restored(occupant, record):
        return Blocked(
            f"{occupant.id} is attached at {record.device}, where {record.volume} was. Detach it to have "
            "yours restored, or start the instance in the console to keep it."
        )
    if occupant.attachment is not AttachmentState.ATTACHED:
        return Wait(f"EBS is {occupant.attachment or 'attaching'} {occupant.id}", A_MOMENT)
    # Attaching has reset it. It is put back before the start and before the next manifest: later nobody could
    # tell it from an owner's change.
    if occupant.delete_on_termination is not record.delete_on_termination:
        return SetDeleteOnTermination(occupant.id, record.device, record.delete_on_termination)
    return None


def _restore(
    seen: Observation, manifest: Manifest, record: VolumeRecord, tried: Tried, now: datetime
) -> CreateVolume | NoteFailedVolume | Wait | Blocked:
    refusal = law.why_not_create_volume(record, seen, manifest)
    if refusal:
        return Blocked(f"{record.device} is not restored: {refusal}")
    if tried.failures_at(record.device) >= MOST_ATTEMPTS:
        return Blocked(
            f"EBS could not create the volume of {record.device} from {record.snapshot}, {MOST_ATTEMPTS} times. May "
            f"Autostop use {f'the KMS key {record.kms_key}' if record.kms_key else 'its KMS key'}? See to that, then "
            "ask for a start."
        )
    made = tried.restored_at(record.device)
    if made is None:
        return CreateVolume(manifest, record)
    if now - made.at < LISTS_LAG_FOR:
        return Wait(f"EC2 does not list {made.volume} yet", SECONDS)
    # EBS takes a volume away whose key it may not use; and to the same request it would tell of the same one again.
    anew = manifest.restoring_anew(record, record.restore)
    return NoteFailedVolume(anew, record.device, made.volume, "it is not there any more")


def _let_go_of_failed(
    seen: Observation, manifest: Manifest, tried: Tried
) -> NoteFailedVolume | DeleteFailedVolume | None:
    """Volumes that could not be restored go before all else: nothing of them is left, whatever comes of the others."""
    why = "EBS could not create it. May Autostop use its KMS key?"
    for volume in seen.volumes:
        record = next((each for each in manifest.volumes if manifest.is_restored(volume, each)), None)
        if record is None or law.why_not_delete_failed_volume(volume, seen, manifest) is not None:
            continue
        if tried.has_failed(volume.id):
            return DeleteFailedVolume(volume.id, why)
        # Before it is deleted: from then on nothing would tell that the next one must be another.
        anew = manifest.restoring_anew(record, tags.number(volume.tags, tags.RESTORE) or 1)
        return NoteFailedVolume(anew, record.device, volume.id, why)
    return None


def _only_in_snapshots(seen: Observation, instance: Instance) -> Blocked | None:
    """The table may have been lost while it was shelved: what is still attached is then not all of it."""
    devices = devices_only_in_snapshots(seen, instance)
    if not devices:
        return None
    return Blocked(
        f"the table does not know its last shelving, and {', '.join(devices)} exist only as snapshots of it. "
        f"Run `autostop recover {seen.workstation}`."
    )


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
    # The root last, as in `bring_whole`.
    if detached:
        device = min(detached, key=lambda each: each == instance.root_device)
        return AttachVolume(detached[device].id, device)
    moving = next((volume for volume in seen.attached() if volume.attachment is not AttachmentState.ATTACHED), None)
    if moving is not None:
        return Wait(f"EBS is {moving.attachment} {moving.id}", A_MOMENT)
    return Wait(f"EBS is creating {creating[0].id} from its snapshot", A_MOMENT) if creating else None
