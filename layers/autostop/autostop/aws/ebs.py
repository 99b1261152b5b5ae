"""EBS volumes and snapshots."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from autostop import tags
from autostop.aws.ec2 import tags_of
from autostop.aws.errors import AlreadySo, aws_errors
from autostop.model import (
    AttachmentState,
    Snapshot,
    SnapshotId,
    SnapshotState,
    Volume,
    VolumeId,
    VolumeState,
    WorkstationId,
)
from autostop.sleep.manifest import Manifest, VolumeRecord

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_ec2.type_defs import FilterTypeDef, SnapshotTypeDef, TagTypeDef, VolumeTypeDef

# DescribeVolumes reports IOPS and throughput for more types than CreateVolume takes them for.
TAKES_IOPS = frozenset({"gp3", "io1", "io2"})
TAKES_THROUGHPUT = frozenset({"gp3"})


@dataclass(frozen=True, slots=True)
class EbsDisks:
    """The port `Disks` on EBS."""

    client: "EC2Client"

    def volumes(self, workstation: WorkstationId) -> Sequence[Volume]:
        """Attached to the instance, or tagged as belonging to it."""
        found: dict[str, Volume] = {}
        for name in ("attachment.instance-id", f"tag:{tags.WORKSTATION}"):
            found |= {each.id: each for each in self.find_volumes([{"Name": name, "Values": [workstation]}])}
        return list(found.values())

    def find_volumes(self, filters: list["FilterTypeDef"]) -> Sequence[Volume]:
        """All that match the filters of DescribeVolumes."""
        return [_volume(shape) for shape in self._describe_volumes(filters)]

    def _describe_volumes(self, filters: list["FilterTypeDef"]) -> list["VolumeTypeDef"]:
        with aws_errors():
            pages = self.client.get_paginator("describe_volumes").paginate(Filters=filters)
            return [shape for page in pages for shape in page["Volumes"]]

    def snapshots(self, workstation: WorkstationId) -> Sequence[Snapshot]:
        """By its tag."""
        return self.find_snapshots([{"Name": f"tag:{tags.WORKSTATION}", "Values": [workstation]}])

    def find_snapshots(self, filters: list["FilterTypeDef"]) -> Sequence[Snapshot]:
        """All that match; only of this account, for a shared snapshot can carry any tags."""
        with aws_errors():
            pages = self.client.get_paginator("describe_snapshots").paginate(OwnerIds=["self"], Filters=filters)
            return [_snapshot(shape) for page in pages for shape in page["Snapshots"]]

    def workstations_of(self, ids: Sequence[str]) -> set[WorkstationId]:
        """By their tags; by filter and not by id, so that one that is gone is no error."""
        shapes: list[Any] = []
        volumes = [each for each in ids if each.startswith("vol-")]
        snapshots = [each for each in ids if each.startswith("snap-")]
        if volumes:
            shapes += self._describe_volumes([{"Name": "volume-id", "Values": volumes}])
        if snapshots:
            with aws_errors():
                filters: list[FilterTypeDef] = [{"Name": "snapshot-id", "Values": snapshots}]
                shapes += self.client.describe_snapshots(OwnerIds=["self"], Filters=filters)["Snapshots"]
        carried = [tags_of(shape.get("Tags")) for shape in shapes]
        return {
            WorkstationId(each[tags.WORKSTATION]) for each in carried if tags.is_ours(each) and tags.WORKSTATION in each
        }

    def create_snapshots(self, manifest: Manifest) -> Mapping[VolumeId, SnapshotId]:
        """CreateSnapshots has no client token; a set whose answer is lost is found again by its tags."""
        with aws_errors():
            answer = self.client.create_snapshots(
                InstanceSpecification={"InstanceId": manifest.workstation},
                Description=f"autostop {manifest.workstation} cycle {manifest.cycle}",
                TagSpecifications=[{"ResourceType": "snapshot", "Tags": shapes_of(manifest.set_tags())}],
            )
        return {
            VolumeId(shape.get("VolumeId", "")): SnapshotId(shape.get("SnapshotId", ""))
            for shape in answer["Snapshots"]
        }

    def tag_snapshot(self, snapshot: SnapshotId, tags: Mapping[str, str]) -> None:
        """CreateTags."""
        with aws_errors():
            self.client.create_tags(Resources=[snapshot], Tags=shapes_of(tags))

    def detach(self, volume: VolumeId, workstation: WorkstationId, device: str) -> None:
        """DetachVolume, never by force."""
        with aws_errors(), AlreadySo("InvalidAttachment.NotFound"):
            self.client.detach_volume(VolumeId=volume, InstanceId=workstation, Device=device)

    def attach(self, volume: VolumeId, workstation: WorkstationId, device: str) -> None:
        """AttachVolume. That it is attached already is told by a list that lagged; the next observation shows where."""
        with aws_errors(), AlreadySo("VolumeInUse"):
            self.client.attach_volume(VolumeId=volume, InstanceId=workstation, Device=device)

    def create(self, manifest: Manifest, record: VolumeRecord) -> VolumeId:
        """As `create_from`, for a restore."""
        return self.create_from(record, _token(manifest, record), manifest.volume_tags(record))

    def create_from(self, record: VolumeRecord, token: str, carried: Mapping[str, str]) -> VolumeId:
        """CreateVolume with the recorded settings: its own default type would be gp2.

        token: the same for the same volume, at most 64 ASCII characters. carried: the tags of the volume.
        """
        wanted: dict[str, Any] = {
            "AvailabilityZone": record.zone,
            "SnapshotId": record.snapshot,
            "Size": record.size_gib,
            "VolumeType": record.type,
            "ClientToken": token,
            "TagSpecifications": [{"ResourceType": "volume", "Tags": shapes_of(carried)}],
        }
        if record.iops is not None and record.type in TAKES_IOPS:
            wanted["Iops"] = record.iops
        if record.throughput is not None and record.type in TAKES_THROUGHPUT:
            wanted["Throughput"] = record.throughput
        if record.encrypted:
            wanted["Encrypted"] = True
            if record.kms_key:
                wanted["KmsKeyId"] = record.kms_key
        with aws_errors():
            return VolumeId(self.client.create_volume(**wanted)["VolumeId"])

    def delete(self, volume: VolumeId) -> None:
        """DeleteVolume; EBS itself refuses one that is attached."""
        with aws_errors(), AlreadySo("InvalidVolume.NotFound"):
            self.client.delete_volume(VolumeId=volume)

    def delete_snapshot(self, snapshot: SnapshotId) -> None:
        """DeleteSnapshot."""
        with aws_errors(), AlreadySo("InvalidSnapshot.NotFound"):
            self.client.delete_snapshot(SnapshotId=snapshot)


def _token(manifest: Manifest, record: VolumeRecord) -> str:
    """The same for the same restore."""
    text = f"{manifest.workstation} {manifest.cycle} {record.device} {record.snapshot}"
    if record.restore > 1:
        text += f" {record.restore}"
    return hashlib.sha256(text.encode()).hexdigest()


def shapes_of(mapping: Mapping[str, str]) -> list["TagTypeDef"]:
    """Tags as AWS takes them."""
    return [{"Key": key, "Value": value} for key, value in mapping.items()]


def _volume(shape: "VolumeTypeDef") -> Volume:
    held = [each for each in shape.get("Attachments", []) if each.get("State") != "detached"]
    attachment = held[0] if held else None
    return Volume(
        id=VolumeId(shape.get("VolumeId", "")),
        state=VolumeState(shape.get("State", "")),
        size_gib=shape.get("Size", 0),
        type=shape.get("VolumeType", ""),
        zone=shape.get("AvailabilityZone", ""),
        tags=tags_of(shape.get("Tags")),
        iops=shape.get("Iops"),
        throughput=shape.get("Throughput"),
        encrypted=shape.get("Encrypted", False),
        kms_key=shape.get("KmsKeyId"),
        snapshot=SnapshotId(source) if (source := shape.get("SnapshotId")) else None,
        multi_attach=shape.get("MultiAttachEnabled", False),
        attached_to=WorkstationId(attachment.get("InstanceId", "")) if attachment else None,
        device=attachment.get("Device") if attachment else None,
        attachment=AttachmentState(attachment.get("State", "")) if attachment else None,
        delete_on_termination=attachment.get("DeleteOnTermination") if attachment else None,
    )


def _snapshot(shape: "SnapshotTypeDef") -> Snapshot:
    progress = shape.get("Progress", "").rstrip("%")
    return Snapshot(
        id=SnapshotId(shape.get("SnapshotId", "")),
        volume=VolumeId(shape.get("VolumeId", "")),
        state=SnapshotState(shape.get("State", "")),
        started_at=shape.get("StartTime", datetime.min.replace(tzinfo=UTC)),
        size_gib=shape.get("VolumeSize", 0),
        tags=tags_of(shape.get("Tags")),
        progress=int(progress) if progress.isdigit() else 0,
        stored_bytes=shape.get("FullSnapshotSizeInBytes"),
        message=shape.get("StateMessage", ""),
    )
