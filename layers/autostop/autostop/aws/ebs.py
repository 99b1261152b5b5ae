"""EBS: volumes and snapshots."""

import hashlib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from autostop import tags
from autostop.aws.ec2 import operator_of, shapes_of, tags_of
from autostop.aws.errors import AlreadySo, aws_errors
from autostop.model import (
    AttachmentState,
    InstanceId,
    Snapshot,
    SnapshotId,
    SnapshotState,
    Volume,
    VolumeId,
    VolumeState,
    WorkstationId,
    instance_of,
)
from autostop.ports import DeniedError
from autostop.sleep.manifest import Manifest, VolumeRecord

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_ec2.type_defs import FilterTypeDef, SnapshotTypeDef, VolumeTypeDef

# DescribeVolumes reports IOPS and throughput for more types than CreateVolume takes them for.
TAKES_IOPS = frozenset({"gp3", "io1", "io2"})
TAKES_THROUGHPUT = frozenset({"gp3"})


@dataclass(frozen=True, slots=True)
class EbsDisks:
    """EBS volumes and snapshots. Every method raises TransientError or DeniedError."""

    client: "EC2Client"

    def volumes(self, workstation: WorkstationId) -> Sequence[Volume]:
        """Attached to the instance, or tagged as belonging to it."""
        attached = self.find_volumes([{"Name": "attachment.instance-id", "Values": [instance_of(workstation)]}])
        tagged = self.find_volumes([{"Name": f"tag:{tags.WORKSTATION}", "Values": [workstation]}])
        return list({each.id: each for each in (*attached, *tagged)}.values())

    def find_volumes(self, filters: list["FilterTypeDef"]) -> Sequence[Volume]:
        """All that match the filters of DescribeVolumes."""
        with aws_errors():
            pages = self.client.get_paginator("describe_volumes").paginate(Filters=filters)
            return [_volume(shape) for page in pages for shape in page["Volumes"]]

    def snapshots(self, workstation: WorkstationId) -> Sequence[Snapshot]:
        return self.find_snapshots([{"Name": f"tag:{tags.WORKSTATION}", "Values": [workstation]}])

    def find_snapshots(self, filters: list["FilterTypeDef"]) -> Sequence[Snapshot]:
        """All that match; only of this account, for a shared snapshot can carry any tags."""
        with aws_errors():
            pages = self.client.get_paginator("describe_snapshots").paginate(
                OwnerIds=["self"], Filters=filters, PaginationConfig={"PageSize": 1000}
            )
            return [_snapshot(shape) for page in pages for shape in page["Snapshots"]]

    def workstations_of(self, ids: Sequence[str]) -> set[WorkstationId]:
        """By their tags; by filter and not by id, so that one that is gone is no error."""
        volumes = [each for each in ids if each.startswith("vol-")]
        snapshots = [each for each in ids if each.startswith("snap-")]
        found: list[Volume | Snapshot] = []
        if volumes:
            found += self.find_volumes([{"Name": "volume-id", "Values": volumes}])
        if snapshots:
            found += self.find_snapshots([{"Name": "snapshot-id", "Values": snapshots}])
        carried = [each.tags for each in found if tags.is_ours(each.tags)]
        return {WorkstationId(each[tags.WORKSTATION]) for each in carried if tags.WORKSTATION in each}

    def create_snapshots(self, manifest: Manifest) -> Mapping[VolumeId, SnapshotId]:
        """CreateSnapshots has no client token; a set whose answer is lost is found again by its tags."""
        with aws_errors():
            answer = self.client.create_snapshots(
                InstanceSpecification={"InstanceId": instance_of(manifest.workstation)},
                Description=f"autostop {manifest.workstation} cycle {manifest.cycle}",
                TagSpecifications=[{"ResourceType": "snapshot", "Tags": shapes_of(manifest.set_tags())}],
            )
        return {
            VolumeId(shape.get("VolumeId", "")): SnapshotId(shape.get("SnapshotId", ""))
            for shape in answer["Snapshots"]
        }

    def tag_snapshot(self, snapshot: SnapshotId, tags: Mapping[str, str]) -> None:
        with aws_errors():
            self.client.create_tags(Resources=[snapshot], Tags=shapes_of(tags))

    def detach(self, volume: VolumeId, instance: InstanceId, device: str) -> None:
        """DetachVolume, never by force."""
        with aws_errors(), AlreadySo("InvalidAttachment.NotFound"):
            self.client.detach_volume(VolumeId=volume, InstanceId=instance, Device=device)

    def attach(self, volume: VolumeId, instance: InstanceId, device: str) -> None:
        """AttachVolume. That it is attached already is told by a list that lagged; the next observation shows where."""
        with aws_errors(), AlreadySo("VolumeInUse"):
            self.client.attach_volume(VolumeId=volume, InstanceId=instance, Device=device)

    def create(self, manifest: Manifest, record: VolumeRecord, rate: int | None = None) -> VolumeId:
        """As `create_from`, for a restore."""
        carried = manifest.volume_tags(record)
        grown = replace(record, size_gib=record.grows_to or record.size_gib)
        if rate is not None:
            # EBS refuses a rate that it cannot give, or of which the Region's quota has none left, by which code it
            # does not say. The wake goes on without; it is another request, for what was refused may be remembered.
            with suppress(DeniedError):
                return self.create_from(grown, _token(manifest, record, rate), carried, rate)
        return self.create_from(grown, _token(manifest, record), carried)

    def create_from(
        self, record: VolumeRecord, token: str, carried: Mapping[str, str], rate: int | None = None
    ) -> VolumeId:
        """CreateVolume with the recorded settings: its own default type would be gp2.

        token: the same for the same volume, at most 64 ASCII characters. carried: the tags of the volume.
        rate: MiB a second at which EBS fills it from its snapshot; None: as it is read.
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
        if rate is not None:
            wanted["VolumeInitializationRate"] = rate
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

    def volumes_in_recycle_bin(self) -> Mapping[VolumeId, datetime]:
        """What a rule of the Region keeps of deleted volumes, billed as before, and until when; tags are not told.

        ListVolumesInRecycleBin, which the botocore of Lambda may be too old for: then nothing is known of any.
        """
        if not hasattr(self.client, "list_volumes_in_recycle_bin"):
            return {}
        found: dict[VolumeId, datetime] = {}
        more: dict[str, Any] = {}
        while True:
            with aws_errors():
                answer: Any = self.client.list_volumes_in_recycle_bin(**more)
            found |= {VolumeId(shape["VolumeId"]): shape["RecycleBinExitTime"] for shape in answer.get("Volumes", ())}
            if not answer.get("NextToken"):
                return found
            more = {"NextToken": answer["NextToken"]}

    def delete_snapshot(self, snapshot: SnapshotId) -> None:
        with aws_errors(), AlreadySo("InvalidSnapshot.NotFound"):
            self.client.delete_snapshot(SnapshotId=snapshot)


def _token(manifest: Manifest, record: VolumeRecord, rate: int | None = None) -> str:
    """The same for the same restore at the same rate."""
    text = f"{manifest.workstation} {manifest.cycle} {record.device} {record.snapshot}"
    if record.restore > 1:
        text += f" {record.restore}"
    if record.grows_to is not None:
        text += f" {record.grows_to} GiB"
    if rate is not None:
        text += f" {rate} MiB/s"
    return hashlib.sha256(text.encode()).hexdigest()


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
        attached_to=InstanceId(attachment.get("InstanceId", "")) if attachment else None,
        device=attachment.get("Device") if attachment else None,
        attachment=AttachmentState(attachment.get("State", "")) if attachment else None,
        delete_on_termination=attachment.get("DeleteOnTermination") if attachment else None,
        operator=operator_of(shape),
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
        archived=shape.get("StorageTier") == "archive",
        stored_bytes=shape.get("FullSnapshotSizeInBytes"),
        message=shape.get("StateMessage", ""),
    )
