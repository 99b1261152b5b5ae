"""What no longer serves: snapshots that failed, and those that later ones have replaced."""

from autostop.model import Observation
from autostop.sleep import law
from autostop.sleep.manifest import Manifest
from autostop.sleep.steps import DeleteFailedSnapshot, DeleteSnapshot


def failed_snapshot(seen: Observation, manifest: Manifest | None) -> DeleteFailedSnapshot | None:
    """The deletion of the next snapshot that EBS could not make; None when there is none, or it is still looked at."""
    for snapshot in seen.snapshots:
        if law.why_not_delete_failed_snapshot(snapshot, seen, manifest) is None:
            return DeleteFailedSnapshot(snapshot.id)
    return None


def replaced_snapshot(seen: Observation, manifest: Manifest | None) -> DeleteSnapshot | None:
    """The deletion of the next snapshot that the manifest's cycle has replaced; None when there is none.

    The caller has seen the workstation ready.
    """
    for snapshot in seen.snapshots:
        if manifest and law.why_not_delete_snapshot(snapshot, seen, manifest) is None and snapshot.cycle is not None:
            return DeleteSnapshot(snapshot.id, snapshot.cycle)
    return None
