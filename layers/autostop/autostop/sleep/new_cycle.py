"""Begin a cycle of shelving: its manifest describes what is attached at this very stop."""

from dataclasses import replace

from autostop.sleep.from_tags import found_again
from autostop.sleep.manifest import write_manifest
from autostop.sleep.outcomes import Blocked, Outcome, Situation, write_down
from autostop.sleep.restore import whole


def manifest_of_this_stop(it: Situation) -> Outcome | None:
    """Begin a cycle, unless the one of this very stop describes what is attached."""
    if (found := found_again(it.seen, it.manifest, it.instance)) is not None:
        # It goes on for this intent: so a start in the console is told from one before it.
        return write_down(replace(found, intent=it.intent.number), "the table had lost it, its snapshots' tags had not")
    if it.cycle is None:
        return begin_cycle(it, "a new cycle begins")
    others = any(it.cycle.record_of(volume.id) is None for volume in it.seen.attached())
    if others or it.cycle.restored_in(it.seen):
        # Restored and never started, or attached in the console: such a volume has no snapshot of its own.
        return begin_cycle(it, "other volumes are attached now: a new cycle begins")
    return None


def begin_cycle(it: Situation, why: str, *, were_kept: bool = False) -> Outcome:
    """Begin a cycle, with every volume in its place: what is not attached would be in no snapshot."""
    if (missing := whole(it)) is not None:
        return missing
    if not it.seen.attached():
        return Blocked(
            "it has no volume, and the table does not say from which snapshots they could be restored. "
            f"Run `autostop recover {it.seen.workstation}`."
        )
    manifest = write_manifest(it.seen, it.instance, it.intent.number, it.now, it.manifest)
    return write_down(replace(manifest, were_kept=were_kept), why)
