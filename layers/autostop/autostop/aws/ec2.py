"""EC2: instances, and EBS volumes and snapshots."""

import hashlib
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from autostop import tags
from autostop.aws.errors import AlreadySo, aws_errors
from autostop.aws.launch_facts import launch_facts
from autostop.model import (
    AttachmentState,
    Checks,
    Instance,
    InstanceId,
    InstanceState,
    OtherType,
    Snapshot,
    SnapshotId,
    SnapshotState,
    SpotKind,
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
    from mypy_boto3_ec2.type_defs import (
        FilterTypeDef,
        InstanceStatusTypeDef,
        InstanceTypeDef,
        InstanceTypeInfoTypeDef,
        SnapshotTypeDef,
        TagTypeDef,
        VolumeTypeDef,
    )

# "User initiated (2026-11-23 18:30:05 GMT)"; EC2 gives the moment of a stop nowhere else.
_REASON_TIME = re.compile(r"\((\d{4}-\d\d-\d\d \d\d:\d\d:\d\d) (?:GMT|UTC)\)")


@dataclass(frozen=True, slots=True)
class Ec2Instances:
    """EC2 instances; every method raises TransientError or DeniedError."""

    client: "EC2Client"
    _types: dict[str, OtherType] = field(default_factory=dict)

    def tagged(self) -> Sequence[Instance]:
        """All that are workstations."""
        return self.find_all({"Name": f"tag:{tags.AUTOSTOP}", "Values": [tags.ON]})

    def find_all(self, only: "FilterTypeDef") -> Sequence[Instance]:
        """All that match the filter of DescribeInstances, and are not gone."""
        pages = self.client.get_paginator("describe_instances")
        with aws_errors():
            found = [
                _instance(shape)
                for page in pages.paginate(Filters=[only], PaginationConfig={"PageSize": 1000})
                for reservation in page["Reservations"]
                for shape in reservation.get("Instances", [])
            ]
        return [instance for instance in found if not instance.is_gone]

    def find(self, instance: InstanceId) -> Instance | None:
        """One instance; while it runs, also what decides whether it may be stopped."""
        with aws_errors(), AlreadySo("InvalidInstanceID.NotFound", "InvalidInstanceID.Malformed"):
            answer = self.client.describe_instances(InstanceIds=[instance])
            shapes = [shape for reservation in answer["Reservations"] for shape in reservation.get("Instances", [])]
            return self._in_full(shapes[0]) if shapes else None
        return None

    def _in_full(self, shape: "InstanceTypeDef") -> Instance:
        instance = replace(_instance(shape), launch=launch_facts(shape))
        if shape.get("InstanceLifecycle") == "spot":
            instance = replace(instance, spot=self._spot_kind(shape.get("SpotInstanceRequestId", "")))
        # Without the tag it is never stopped, and the role may not ask.
        stoppable = instance.state is InstanceState.RUNNING and tags.is_ours(instance.tags)
        return self.with_what_forbids_a_stop(instance) if stoppable else instance

    def with_what_forbids_a_stop(self, instance: Instance) -> Instance:
        """With its stop protection, and whether a stop would empty disks of it; the instance is not gone."""
        with aws_errors():
            attribute = self.client.describe_instance_attribute(InstanceId=instance.id, Attribute="disableApiStop")
        return replace(
            instance,
            stop_protected=bool(attribute.get("DisableApiStop", {}).get("Value", False)),
            instance_store_gb=self.types([instance.type])[0].instance_store_gb,
        )

    def _spot_kind(self, request: str) -> SpotKind:
        """A request that EC2 does not tell of is taken for one-time, which is never stopped."""
        if request:
            with aws_errors(), AlreadySo("InvalidSpotInstanceRequestID.NotFound"):
                answer = self.client.describe_spot_instance_requests(SpotInstanceRequestIds=[request])
                for each in answer["SpotInstanceRequests"]:
                    if each.get("Type") == "persistent":
                        return SpotKind.PERSISTENT
        return SpotKind.ONE_TIME

    def checks(self, instance: InstanceId) -> Checks:
        """System and instance checks together; unknown while EC2 does not list them."""
        with aws_errors():
            return _checks(self.client.describe_instance_status(InstanceIds=[instance])["InstanceStatuses"])

    def start(self, instance: InstanceId) -> None:
        with aws_errors():
            self.client.start_instances(InstanceIds=[instance])

    def stop(self, instance: InstanceId) -> None:
        """StopInstances, never by force: its system flushes what it has in memory."""
        with aws_errors():
            self.client.stop_instances(InstanceIds=[instance])

    def types(self, names: Sequence[str]) -> Sequence[OtherType]:
        """DescribeInstanceTypes, by filter and not by name, so that an unknown one is no error for the others."""
        missing = [name for name in names if name not in self._types]
        if missing:
            with aws_errors():
                answer = self.client.describe_instance_types(Filters=[{"Name": "instance-type", "Values": missing}])
            self._types.update({name: OtherType(name) for name in missing})
            known = [_other_type(shape) for shape in answer["InstanceTypes"]]
            self._types.update({each.name: each for each in known})
        return [self._types[name] for name in names]

    def note_type(self, instance: InstanceId, note: str) -> None:
        with aws_errors():
            self.client.create_tags(Resources=[instance], Tags=[{"Key": tags.INSTANCE_TYPE, "Value": note}])

    def change_type(self, instance: InstanceId, type_: str) -> None:
        with aws_errors():
            self.client.modify_instance_attribute(InstanceId=instance, InstanceType={"Value": type_})

    def set_delete_on_termination(self, instance: InstanceId, device: str, volume: VolumeId, flag: bool) -> None:
        """The volume is named too, so that another at the device is never meant."""
        with aws_errors():
            self.client.modify_instance_attribute(
                InstanceId=instance,
                BlockDeviceMappings=[{"DeviceName": device, "Ebs": {"VolumeId": volume, "DeleteOnTermination": flag}}],
            )


def tags_of(shapes: Sequence["TagTypeDef"] | None) -> Mapping[str, str]:
    """Tags as a mapping."""
    return {shape.get("Key", ""): shape.get("Value", "") for shape in shapes or ()}


def _instance(shape: "InstanceTypeDef") -> Instance:
    options = shape.get("CpuOptions", {})
    reason = _REASON_TIME.search(shape.get("StateTransitionReason", ""))
    return Instance(
        id=InstanceId(shape.get("InstanceId", "")),
        state=InstanceState(shape.get("State", {}).get("Name", "")),
        launched_at=shape.get("LaunchTime", datetime.max.replace(tzinfo=UTC)),
        type=shape.get("InstanceType", ""),
        vcpus=options.get("CoreCount", 0) * options.get("ThreadsPerCore", 0),
        zone=shape.get("Placement", {}).get("AvailabilityZone", ""),
        root_device=shape.get("RootDeviceName", ""),
        tags=tags_of(shape.get("Tags")),
        stopped_at=datetime.strptime(reason[1], "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC) if reason else None,
        root_is_ebs=shape.get("RootDeviceType", "ebs") == "ebs",
        # The sweep needs no more than that it is Spot; `find` asks for the kind.
        spot=SpotKind.ONE_TIME if shape.get("InstanceLifecycle") == "spot" else None,
        hibernation=shape.get("HibernationOptions", {}).get("Configured", False),
        marketplace=any(code.get("ProductCodeType") == "marketplace" for code in shape.get("ProductCodes", [])),
        address=shape.get("PublicIpAddress") or shape.get("PrivateIpAddress"),
        public=bool(shape.get("PublicIpAddress")),
        architecture=shape.get("Architecture", ""),
        state_reason=shape.get("StateReason", {}).get("Message", ""),
        operator=_operator(shape),
    )


def _operator(shape: "InstanceTypeDef | VolumeTypeDef") -> str:
    """Who manages it; empty when its owner does."""
    operator = shape.get("Operator", {})
    return (operator.get("Principal") or "AWS") if operator.get("Managed") else ""


def _other_type(shape: "InstanceTypeInfoTypeDef") -> OtherType:
    return OtherType(
        shape.get("InstanceType", ""),
        tuple(shape.get("ProcessorInfo", {}).get("SupportedArchitectures", ())),
        # A size that EC2 does not tell is one all the same.
        shape.get("InstanceStorageInfo", {}).get("TotalSizeInGB", int(shape.get("InstanceStorageSupported", False))),
    )


def _checks(statuses: Sequence["InstanceStatusTypeDef"]) -> Checks:
    if not statuses:
        return Checks.UNKNOWN
    system, own = statuses[0].get("SystemStatus", {}), statuses[0].get("InstanceStatus", {})
    both = {system.get("Status", ""), own.get("Status", "")}
    if "impaired" in both:
        return Checks.IMPAIRED
    return Checks.OK if both == {"ok"} else Checks.INITIALIZING


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
        attached_to=InstanceId(attachment.get("InstanceId", "")) if attachment else None,
        device=attachment.get("Device") if attachment else None,
        attachment=AttachmentState(attachment.get("State", "")) if attachment else None,
        delete_on_termination=attachment.get("DeleteOnTermination") if attachment else None,
        operator=_operator(shape),
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
