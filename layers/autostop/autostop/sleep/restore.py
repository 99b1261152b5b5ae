"""Bring every volume of a stopped workstation back into its place."""

from collections.abc import Callable
from dataclasses import replace

from autostop import tags
from autostop.model import LISTS_LAG_FOR, AttachmentState, Volume, VolumeId, VolumeState
from autostop.sleep import law
from autostop.sleep.calls import Call
from autostop.sleep.from_tags import devices_only_in_snapshots, found_again
from autostop.sleep.manifest import Manifest, VolumeRecord
from autostop.sleep.outcomes import (
    A_MOMENT,
    MOST_ATTEMPTS,
    SECONDS,
    Blocked,
    Note,
    Outcome,
    Situation,
    Step,
    Wait,
    write_down,
)


def whole(it: Situation) -> Outcome | None:
    """The next step until every volume is back in its place; None when all are. Pure.

    The manifest tells what belongs there as long as the instance was not started since; after that, only the tags
    of volumes that still exist do, and nothing is ever restored from an older cycle by guess.
    """
    if (found := found_again(it.seen, it.manifest, it.instance)) is not None:
        return write_down(found, "the table had lost it, its snapshots' tags had not")
    if it.cycle is None:
        return _attach_own(it) or _only_in_snapshots(it)
    if (failed := _let_go_of_failed(it, it.cycle)) is not None:
        return failed
    # The root last, as it was detached first.
    records = sorted(it.cycle.volumes, key=lambda record: record.device == it.instance.root_device)
    outcomes = [outcome for record in records if (outcome := _bring_back(it, it.cycle, record)) is not None]
    # Volumes are created before any is attached, so that their creations run side by side; what the manifest does not
    # know but the tags do was detached in the console before it was written.
    return min(outcomes, key=_turn, default=None) or _attach_own(it)


def _turn(outcome: Outcome) -> int:
    """Which of the outcomes of all devices comes first; of two alike, the first device's."""
    if isinstance(outcome, Wait):
        return 3
    calls = {Call.ATTACH: 1, Call.SET_DELETE_ON_TERMINATION: 2}
    return calls.get(outcome.call, 0) if isinstance(outcome, Step) and outcome.call is not None else 0


def _bring_back(it: Situation, manifest: Manifest, record: VolumeRecord) -> Outcome | None:
    if (occupant := it.seen.at_device(record.device)) is not None:
        return _settle_in(it, occupant, manifest, record)
    copies = (volume for volume in it.seen.volumes if volume.exists and manifest.is_restored(volume, record))
    volume = it.seen.volume(record.volume) or next(copies, None)
    if volume is None:
        return _restore(it, manifest, record)
    match volume.state:
        case VolumeState.AVAILABLE:
            refusal = law.why_not_attach(volume, it.seen)
            return Blocked(refusal) if refusal else _attach(it, volume, record.device)
        case VolumeState.CREATING:
            return Wait(f"EBS is creating {volume.id} from its snapshot", A_MOMENT)
        case VolumeState.ERROR:
            return Blocked(f"EBS says that {volume.id} of {record.device} has failed. Look at it in the console.")
        case _ if volume.attached_to not in (None, it.instance.id):
            return Blocked(f"{volume.id} is attached to {volume.attached_to}. Detach it there.")
        case _ if volume.attachment is AttachmentState.ATTACHED:
            return Blocked(
                f"{volume.id} is attached at {volume.device}, and not at {record.device} as before. Detach it to have "
                "it put back, or start the instance in the console to keep it there."
            )
        case _:
            return Wait(f"{volume.id} is {volume.state}", A_MOMENT)


def _attach(it: Situation, volume: Volume, device: str) -> Step:
    return Step(f"attaching {volume.id} at {device}", Call.ATTACH, (volume.id, it.instance.id, device))


def _settle_in(it: Situation, occupant: Volume, manifest: Manifest, record: VolumeRecord) -> Outcome | None:
    if occupant.id != record.volume and not manifest.is_restored(occupant, record):
        return Blocked(
            f"{occupant.id} is attached at {record.device}, where {record.volume} was. Detach it to have "
            "yours restored, or start the instance in the console to keep it."
        )
    if occupant.attachment is not AttachmentState.ATTACHED:
        return Wait(f"EBS is {occupant.attachment or 'attaching'} {occupant.id}", A_MOMENT)
    # Attaching has reset it. It is put back before the start and before the next manifest: later nobody could
    # tell it from an owner's change.
    step = flag_again(it, manifest, record.device)
    if step is None or record.device in manifest.unset_flags:
        return None
    # No start waits for it: without the flag a volume is kept, which is the safe side.
    without = Note(manifest=manifest.without_flag(record.device))
    said = f"{record.device} is kept on termination for now"
    if it.attempts.errors >= MOST_ATTEMPTS:
        return Step(f"{said}: EC2 does not take its flag", first=without)
    return replace(step, refused=lambda why: replace(without, said=f"{said}: {why}"))


def flag_again(it: Situation, manifest: Manifest, device: str) -> Step | None:
    """Let the volume at a device go with the instance, or not, as before it was shelved; None when it does."""
    record = next((each for each in manifest.volumes if each.device == device), None)
    occupant = it.seen.at_device(device)
    if record is None or occupant is None or occupant.delete_on_termination is record.delete_on_termination:
        return None
    if occupant.id != record.volume and not manifest.is_restored(occupant, record):
        return None
    said = f"{device} is {'deleted' if record.delete_on_termination else 'kept'} on termination again"
    args = (it.instance.id, device, occupant.id, record.delete_on_termination)
    return Step(said, Call.SET_DELETE_ON_TERMINATION, args)


def _restore(it: Situation, manifest: Manifest, record: VolumeRecord) -> Outcome:
    if (refusal := law.why_not_create_volume(record, it.seen, manifest)) is not None:
        return Blocked(f"{record.device} is not restored: {refusal}")
    if it.attempts.failures_at(record.device) >= MOST_ATTEMPTS:
        return Blocked(
            f"EBS could not create the volume of {record.device} from {record.snapshot}, {MOST_ATTEMPTS} times. May "
            f"Autostop use {f'the KMS key {record.kms_key}' if record.kms_key else 'its KMS key'}? See to that, then "
            "ask for a start."
        )
    anew = manifest.restoring_anew(record, record.restore)
    made = it.attempts.restored_at(record.device)
    if made is None:
        if (grows := _grows(it, manifest, record)) is not None:
            return grows
        said = f"restoring {record.device} from {record.snapshot}"
        burned = f"nothing came of an earlier request for {record.device}; EBS is asked anew"
        return Step(
            said,
            Call.CREATE_VOLUME,
            (manifest, record, it.seen.initialization_rate),
            then=lambda volume: Note(
                attempts=it.attempts.restoring(record.device, volume, it.now), said=f"{said} as {volume}"
            ),
            # An earlier intent's, of which nothing is remembered but the number in the manifest.
            burned=Note(manifest=anew, attempts=it.attempts.failing(record.device, None), said=burned),
            refused=_as_it_was(it, manifest, record),
        )
    if it.now - made.at < LISTS_LAG_FOR:
        return Wait(f"EC2 does not list {made.volume} yet", SECONDS)
    # EBS takes a volume away whose key it may not use; and to the same request it would tell of the same one again.
    return _note_failed(it, anew, record.device, made.volume, "it is not there any more")


def _grows(it: Situation, manifest: Manifest, record: VolumeRecord) -> Step | None:
    """Write down that the volume is to be larger than it was, before it is asked for: its client token tells it."""
    size = it.resize.grows_to(record.device, record.size_gib) if it.resize is not None else None
    if size == record.grows_to:
        return None
    said = f"{record.device} is to be {size or record.size_gib} GiB"
    return Step(said, first=Note(manifest=manifest.growing(record, size)))


def _as_it_was(it: Situation, manifest: Manifest, record: VolumeRecord) -> Callable[[str], Note] | None:
    """No start waits for a larger disk: where EBS refuses it, the wish for it is given up."""
    resize = it.resize
    if record.grows_to is None or resize is None:
        return None
    said = f"{record.device} stays at {record.size_gib} GiB"
    note = Note(manifest=manifest.growing(record, None), resize=resize.without(record.device))
    return lambda why: replace(note, said=f"{said}: {why}")


def _let_go_of_failed(it: Situation, manifest: Manifest) -> Step | None:
    """Volumes that could not be restored go before all else: nothing of them is left, whatever comes of the others."""
    why = "EBS could not create it. May Autostop use its KMS key?"
    for volume in it.seen.volumes:
        record = next((each for each in manifest.volumes if manifest.is_restored(volume, each)), None)
        if record is None or law.why_not_delete_failed_volume(volume, it.seen, manifest) is not None:
            continue
        if it.attempts.has_failed(volume.id):
            return Step(f"deleted {volume.id}, which holds nothing: {why}", Call.DELETE_VOLUME, (volume.id,))
        # Before it is deleted: from then on nothing would tell that the next one must be another.
        anew = manifest.restoring_anew(record, tags.number(volume.tags, tags.RESTORE) or 1)
        return _note_failed(it, anew, record.device, volume.id, why)
    return None


def _note_failed(it: Situation, anew: Manifest, device: str, volume: VolumeId, why: str) -> Step:
    """Keep that a restored volume came to nothing, with the manifest by which the next one is another."""
    note = Note(manifest=anew, attempts=it.attempts.failing(device, volume))
    return Step(f"{volume} for {device} came to nothing: {why}", first=note)


def _only_in_snapshots(it: Situation) -> Blocked | None:
    """The table may have been lost while it was shelved: what is still attached is then not all of it."""
    devices = devices_only_in_snapshots(it.seen)
    if not devices:
        return None
    return Blocked(
        f"the table does not know its last shelving, and {', '.join(devices)} exist only as snapshots of it. "
        f"Run `autostop recover {it.seen.workstation}`."
    )


def _attach_own(it: Situation) -> Outcome | None:
    """Attach volumes that carry this workstation's tags and stand detached, where their device is free."""
    detached: dict[str, Volume] = {}
    creating: list[Volume] = []
    for volume in it.seen.volumes:
        device = volume.tags.get(tags.DEVICE)
        if not tags.are_of(volume.tags, it.seen.workstation) or not device or it.seen.at_device(device) is not None:
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
    if detached:
        # The root last, as in `whole`.
        device = min(detached, key=lambda each: each == it.instance.root_device)
        return _attach(it, detached[device], device)
    moving = next((volume for volume in it.seen.attached() if volume.attachment is not AttachmentState.ATTACHED), None)
    if moving is not None:
        return Wait(f"EBS is {moving.attachment} {moving.id}", A_MOMENT)
    return Wait(f"EBS is creating {creating[0].id} from its snapshot", A_MOMENT) if creating else None
