"""A new instance in the place of one that is gone: what it is built from, and what cannot come back."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from autostop import tags
from autostop.model import InstanceState, Observation, SnapshotState, WorkstationId
from autostop.settings import Policy, Probe, policy_for
from autostop.sleep.configuration import LaunchRecord, has_launch
from autostop.sleep.from_tags import Unreadable, is_gone, made_by_autostop, manifest_from_tags
from autostop.sleep.manifest import Manifest

_LOST = (
    "the instance id: links, scripts and dashboards that name it must name the new one",
    "its addresses: the private one is new, and an Elastic IP has to be associated again",
    "what was on instance-store disks, and what no snapshot holds: its memory, and every write since the last shelving",
    "its SSH host keys, if cloud-init makes them: the new instance counts as a first boot",
    "what EC2 does not tell of an instance: user data, further network interfaces, CPU credits, termination protection",
)


@dataclass(frozen=True, slots=True)
class Replacement:
    """What to build. manifest: of the workstation that is gone.

    lost: what cannot come back. warnings: what the owner should know of this very case.
    """

    manifest: Manifest
    launch: LaunchRecord
    lost: tuple[str, ...]
    warnings: tuple[str, ...]

    @property
    def workstation(self) -> WorkstationId:
        """The one that is gone."""
        return self.manifest.workstation

    @property
    def image_name(self) -> str:
        """The name of the image that it is launched from: the same for the same cycle, so that it is made once."""
        return f"autostop-{self.workstation}-cycle-{self.manifest.cycle}-{self.manifest.attempt}"

    def instance_tags(self) -> dict[str, str]:
        """The new instance's tags at its launch, by which it is found again after a crash."""
        return {
            **self.launch.tags,
            tags.AUTOSTOP: tags.ON,
            tags.RECOVERED_FROM: self.workstation,
            tags.RECOVERED_CYCLE: str(self.manifest.cycle),
        }

    def manifest_for(self, new: WorkstationId) -> Manifest:
        """The manifest of the new workstation: its volumes are copies restored from the same snapshots."""
        return replace(self.manifest, workstation=new)


def plan_replacement(seen: Observation, defaults: Policy) -> Replacement | Unreadable:
    """What a new instance is built from, or why it is not. Only from a set that is whole and complete. Pure."""
    if not is_gone(seen.instance):
        return Unreadable("the instance is there; nothing needs to be built")
    if seen.instance is not None and seen.instance.state is InstanceState.SHUTTING_DOWN:
        return Unreadable("EC2 is still terminating the instance. Try again in a minute")
    manifest = manifest_from_tags(seen)
    if isinstance(manifest, Unreadable):
        return manifest
    for record in manifest.volumes:
        snapshot = seen.snapshot(record.snapshot)
        if snapshot is None or snapshot.state is not SnapshotState.COMPLETED:
            state = snapshot.state if snapshot is not None else "gone"
            wait = ". Try again when it is completed" if state is SnapshotState.PENDING else ""
            return Unreadable(f"the snapshot {record.snapshot} of {record.device} is {state}{wait}")
    if manifest.launch is None:
        damaged = any(has_launch(snapshot.tags) for snapshot in seen.snapshots)
        how = "are damaged" if damaged else "are missing: an older version of Autostop made them"
        return Unreadable(
            f"the tags that describe the instance {how}. Its disks can be had: create volumes from "
            f"{', '.join(str(record.snapshot) for record in manifest.volumes)} and attach them to an instance of yours"
        )
    policy, _ = policy_for(defaults, manifest.launch.tags)
    return Replacement(manifest, manifest.launch, _LOST, tuple(_warnings(seen, manifest, manifest.launch, policy)))


def _warnings(seen: Observation, manifest: Manifest, launch: LaunchRecord, policy: Policy) -> Iterator[str]:
    if seen.instance is not None and not manifest.holds_since(seen.instance):
        yield (
            f"it was started again after its last shelving, at {seen.instance.launched_at:%Y-%m-%d %H:%M} UTC: "
            "what was written since then is in no snapshot"
        )
    if launch.left_out:
        yield f"{launch.left_out} of its tags had no room on the snapshot, and do not come back"
    if policy.probe is Probe.HTTPS:
        yield "Jupyter's token is kept under the old id. Give it again: autostop adopt, with --token-from-stdin"
    for volume in seen.volumes:
        if volume.exists:
            yield (
                f"{volume.id} ({volume.tags.get(tags.DEVICE, 'of no known device')}) still exists, and may hold newer "
                "data than its snapshot. It stays as it is; the new instance gets a copy from the snapshot"
            )
    made = {record.snapshot for record in manifest.volumes}
    begun = max(snapshot.started_at for snapshot in seen.snapshots if snapshot.id in made)
    for snapshot in seen.snapshots:
        if snapshot.started_at > begun and not made_by_autostop(snapshot, seen):
            yield f"{snapshot.id} is newer, but not one of Autostop's: it is not used"
