"""What no longer serves: snapshots that failed, and those that later ones have replaced."""

from autostop.domain import law
from autostop.domain.manifest import Manifest
from autostop.domain.steps import DeleteFailedSnapshot, DeleteSnapshot
from autostop.domain.workstation import Observation


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
