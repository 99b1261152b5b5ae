"""The volumes of a complete cycle: detached, kept beside their snapshots for as long as wanted, then deleted."""

from datetime import timedelta

from autostop.model import AttachmentState, Volume, VolumeState
from autostop.settings import words
from autostop.sleep import law
from autostop.sleep.calls import Call
from autostop.sleep.new_cycle import begin_cycle
from autostop.sleep.outcomes import (
    A_MOMENT,
    HANGS_AFTER,
    SECONDS,
    Blocked,
    Note,
    Outcome,
    Settled,
    Situation,
    Step,
    Wait,
)

# What stands detached for less than this, nobody takes for free.
_UNWATCHED_FOR = timedelta(minutes=30)


def volumes_looked_after(it: Situation) -> Outcome | None:
    """Begin another cycle where the volumes had stood detached for long when the present intent came.

    Whoever attached one elsewhere meanwhile may have written to it, and EBS tells nobody of that.
    """
    manifest, keep = it.this_cycle, it.seen.delete_after
    since = manifest.detached_at
    if since is None or manifest.intent == it.intent.number or it.intent.at - since < _UNWATCHED_FOR:
        return None
    if not manifest.remaining_in(it.seen):
        return None
    were_kept = keep is not None and it.intent.at - since >= keep
    return begin_cycle(it, "its volumes stood detached: a new cycle begins", were_kept=were_kept)


def volumes_detached(it: Situation) -> Outcome | None:
    """Detach all, each only as long as the law allows its deletion at that moment."""
    manifest = it.this_cycle
    remaining = manifest.remaining_in(it.seen)
    for volume in remaining:
        if (refusal := law.why_not_detach(volume, it.seen, manifest)) is not None:
            return begin_cycle(it, f"{refusal}: a new cycle begins")
    # The root first: a start in the console is then refused by EC2, not made with half of the volumes.
    for volume in sorted(remaining, key=lambda each: each.device != it.instance.root_device):
        if volume.attached_to not in (None, it.instance.id):
            return Blocked(f"{volume.id} is attached to {volume.attached_to}. Detach it there, or start this one.")
        if volume.attachment is AttachmentState.ATTACHED and volume.device:
            # Noted before the call: lists may go on to show it attached. And who tapped meanwhile keeps it.
            noted = Note(manifest=manifest.detaching(it.now))
            said = f"detaching {volume.id} from {volume.device}"
            return Step(said, Call.DETACH, (volume.id, it.instance.id, volume.device), first=noted)
    return None


def volumes_kept(it: Situation) -> Outcome | None:
    """Let all stand detached for as long as their owner wants; a sweep comes back to them."""
    manifest, keep = it.this_cycle, it.seen.delete_after
    remaining = manifest.remaining_in(it.seen)
    if not remaining or (keep is not None and (manifest.were_kept or not keep)):
        return None
    if (waits := next((one for each in remaining if (one := _detaching(it, each)) is not None), None)) is not None:
        return waits
    if manifest.detached_at is None:
        return Step("noted that its volumes stand detached", first=Note(manifest=manifest.detaching(it.now)))
    return Settled() if keep is None or it.now < manifest.detached_at + keep else None


def _detaching(it: Situation, volume: Volume) -> Wait | Blocked | None:
    """None once it is detached."""
    if volume.attached_to is None and volume.state is VolumeState.AVAILABLE:
        return None
    since = it.this_cycle.detached_at
    if since is not None and it.now - since >= HANGS_AFTER:
        return Blocked(f"EBS has been detaching {volume.id} for over {words(HANGS_AFTER)}. Detach it in the console.")
    return Wait(f"EBS is detaching {volume.id}", A_MOMENT)


def volumes_deleted(it: Situation) -> Outcome | None:
    """Delete all that are detached, each only as long as the law allows it at that moment."""
    manifest = it.this_cycle
    for volume in manifest.remaining_in(it.seen):
        if (waits := _detaching(it, volume)) is not None:
            return waits
        if (refusal := law.why_not_delete_volume(volume, it.seen, manifest)) is not None:
            return Blocked(f"{refusal}, so the volumes stay. Run `autostop adopt {it.seen.workstation}` again.")
        record = manifest.record_of(volume.id)
        said = f"deleted {volume.id}; {record and record.snapshot} holds its data"
        return Step(said, Call.DELETE_VOLUME, (volume.id,))
    ids = {record.volume for record in manifest.volumes}
    if any(volume.id in ids and volume.state is VolumeState.DELETING for volume in it.seen.volumes):
        return Wait("EBS is deleting the volumes", SECONDS)
    return None
