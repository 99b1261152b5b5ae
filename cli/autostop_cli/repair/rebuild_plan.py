"""A new instance in the place of one that is gone: what it is built from, and what cannot come back."""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from autostop import tags
from autostop.aws.ebs import TAKES_IOPS, TAKES_THROUGHPUT
from autostop.aws.ec2 import shapes_of
from autostop.launch_facts import LaunchRecord
from autostop.model import InstanceState, Observation, SnapshotState, WorkstationId
from autostop.settings import Policy, Probe, policy_for
from autostop.sleep.from_tags import UnreadableError, made_by_autostop, manifest_from_tags
from autostop.sleep.manifest import Manifest, VolumeRecord
from autostop.sleep.own_type import Fallback, hinted
from autostop_cli.repair.instance_configuration import configuration_from_tags, is_described, launch_parameters
from autostop_cli.terminal import dated

_LOST = (
    "the instance id: links, scripts and dashboards that name it must name the new one",
    "its addresses: the private one is new, and an Elastic IP has to be associated again",
    "what was on instance-store disks, and what no snapshot holds: its memory, and every write since the last shelving",
    "its SSH host keys, if cloud-init makes them: the new instance counts as a first boot",
)
_TOLD_NO_MORE = (
    "what EC2 does not tell of an instance: user data, further network interfaces, CPU credits, termination protection"
)
_USER_DATA = (
    "EC2 still tells its user data, which the new instance gets. cloud-init runs such a script again, as at a first "
    "boot: look whether it would format or overwrite a disk"
)


@dataclass(frozen=True, slots=True)
class RebuildPlan:
    """What to build. manifest: of the workstation that is gone; configuration: of its instance, as it was recorded.

    parameters: of RunInstances, without image, disks and tags. fallback: its own type, by its tag, if it is launched as
    another. lost: what cannot come back. warnings: what the owner should know of this very case.
    """

    manifest: Manifest
    configuration: LaunchRecord
    parameters: Mapping[str, Any]
    fallback: Fallback | None
    lost: tuple[str, ...]
    warnings: tuple[str, ...]

    @property
    def workstation(self) -> WorkstationId:
        return self.manifest.workstation

    @property
    def root(self) -> VolumeRecord:
        return next(each for each in self.manifest.volumes if each.device == self.configuration.root_device)

    @property
    def profile(self) -> str:
        """The name of its instance profile; empty without one."""
        return str(next(iter(self.parameters.get("IamInstanceProfile", {}).values()), "")).rpartition("/")[2]

    @property
    def image_name(self) -> str:
        """The name of the image that it is launched from: the same for the same cycle, so that it is made once."""
        return f"autostop-{self.workstation}-cycle-{self.manifest.cycle}-{self.manifest.attempt}"

    def instance_tags(self) -> dict[str, str]:
        """The new instance's tags at its launch, by which it is found again after a crash."""
        return {
            **self.configuration.tags,
            tags.AUTOSTOP: tags.ON,
            tags.RECOVERED_FROM: self.workstation,
            tags.RECOVERED_CYCLE: str(self.manifest.cycle),
        }

    def manifest_for(self, new: WorkstationId) -> Manifest:
        """The manifest of the new workstation: its volumes are copies restored from the same snapshots."""
        return replace(self.manifest, workstation=new)

    def register_image(self) -> dict[str, Any]:
        """RegisterImage's parameters, of the root's snapshot alone."""
        facts = self.configuration.facts
        ours = {tags.AUTOSTOP: tags.ON, tags.WORKSTATION: self.workstation}
        optional = {"Architecture": facts.architecture, "BootMode": facts.boot_mode}
        return {
            "Name": self.image_name,
            "Description": f"autostop recover {self.workstation}",
            "RootDeviceName": self.root.device,
            # The other disks are named at the launch: there all their settings can be given.
            "BlockDeviceMappings": [{"DeviceName": self.root.device, "Ebs": {"SnapshotId": self.root.snapshot}}],
            "VirtualizationType": "hvm",
            "EnaSupport": facts.ena,
            "TagSpecifications": [{"ResourceType": "image", "Tags": shapes_of(ours)}],
            **{name: value for name, value in optional.items() if value},
        }

    def run_instances(self, image: str) -> dict[str, Any]:
        """RunInstances' parameters; their token is of this image: a new one after a failure launches anew."""
        # At most 64 ASCII characters. What EC2 tells of the old instance is not in it: when EC2 forgets that between
        # two calls, it refuses the second one, and the first one's instance is found by its tags.
        token = hashlib.sha256(f"{self.workstation} {self.manifest.cycle} {image}".encode()).hexdigest()
        return {
            **self.parameters,
            "ImageId": image,
            "MinCount": 1,
            "MaxCount": 1,
            "ClientToken": token,
            "BlockDeviceMappings": [self._mapping(record) for record in self.manifest.volumes],
            "TagSpecifications": [{"ResourceType": "instance", "Tags": shapes_of(self.instance_tags())}],
        }

    def _mapping(self, record: VolumeRecord) -> dict[str, Any]:
        optional = {
            # The root's is the image's own, and EC2 takes no other.
            "SnapshotId": record.snapshot if record is not self.root else None,
            "Iops": record.iops if record.type in TAKES_IOPS else None,
            "Throughput": record.throughput if record.type in TAKES_THROUGHPUT else None,
            "Encrypted": record.encrypted,
            "KmsKeyId": record.kms_key if record.encrypted else None,
        }
        ebs = {
            "VolumeSize": record.size_gib,
            "VolumeType": record.type,
            # Put right once it runs: what EC2 launches and terminates again must leave no volume behind.
            "DeleteOnTermination": True,
        }
        return {"DeviceName": record.device, "Ebs": ebs | {name: value for name, value in optional.items() if value}}


def plan_rebuild(seen: Observation, told: Mapping[str, Any], defaults: Policy) -> RebuildPlan:
    """What a new instance is built from: only from a set that is whole and complete. Pure.

    told: what EC2 still tells of the instance, in RunInstances' parameters. Raises UnreadableError with the reason.
    """
    if seen.instance is not None and not seen.instance.is_gone:
        raise UnreadableError("the instance is there; nothing needs to be built")
    if seen.instance is not None and seen.instance.state is InstanceState.SHUTTING_DOWN:
        raise UnreadableError("EC2 is still terminating the instance. Try again in a minute")
    manifest = manifest_from_tags(seen)
    snapshots = []
    for record in manifest.volumes:
        snapshot = seen.snapshot(record.snapshot)
        if snapshot is None or snapshot.state is not SnapshotState.COMPLETED:
            state = snapshot.state if snapshot is not None else "gone"
            wait = ". Try again when it is completed" if state is SnapshotState.PENDING else ""
            raise UnreadableError(f"the snapshot {record.snapshot} of {record.device} is {state}{wait}")
        snapshots.append(snapshot)
    configuration = configuration_from_tags(snapshots)
    if configuration is None:
        damaged = any(is_described(snapshot.tags) for snapshot in seen.snapshots)
        how = "are damaged" if damaged else "are missing: an older version of Autostop made them"
        raise UnreadableError(
            f"the tags that describe the instance {how}. Its disks can be had: create volumes from "
            f"{', '.join(str(record.snapshot) for record in manifest.volumes)} and attach them to an instance of yours"
        )
    manifest = replace(manifest, launch=configuration)
    policy, _ = policy_for(defaults, configuration.tags)
    parameters = launch_parameters(configuration.facts, told)
    fallback = hinted(parameters["InstanceType"], configuration.tags)
    warnings = [*_warnings(seen, manifest, configuration, told, policy)]
    if fallback is not None:
        warnings.append(f"by its tag its own type is {fallback.own}: its next start after this one changes it to that")
    lost = _LOST if told else (*_LOST, _TOLD_NO_MORE)
    return RebuildPlan(manifest, configuration, parameters, fallback, lost, tuple(warnings))


def _warnings(
    seen: Observation, manifest: Manifest, configuration: LaunchRecord, told: Mapping[str, Any], policy: Policy
) -> Iterator[str]:
    if seen.instance is not None and not manifest.holds_since(seen.instance):
        yield (
            f"it was started again after its last shelving, at {dated(seen.instance.launched_at, policy.time_zone)}: "
            "what was written since then is in no snapshot"
        )
    if configuration.left_out:
        yield f"{configuration.left_out} of its tags had no room on the snapshot, and do not come back"
    if "UserData" in told:
        yield _USER_DATA
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
