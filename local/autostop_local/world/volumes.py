"""EBS volumes: their calls and their states."""

import re
from collections.abc import Callable
from datetime import datetime
from typing import Any

from autostop_local.world.cloud import Cloud, Params, Reply
from autostop_local.world.content import mount_name
from autostop_local.world.errors import AwsError, invalid_value
from autostop_local.world.lists import Facts, filtered, page, specified_tags, tag_list
from autostop_local.world.resources import Attachment, Instance, Volume
from autostop_local.world.volume_types import performance

# EC2 User Guide, device_naming: no trailing digit, but for the two names that a root device has. An `xvdh` without
# /dev/ is taken too, and told as it was given.
_DEVICE = re.compile(r"/dev/(sd[a-z]|sda[12])|(/dev/)?(xvd[a-c][a-z]|xvdd[a-x]|xvd[a-z])")


class Volumes:
    """The calls on volumes, by AWS's names in `operations`."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._asked: dict[str, tuple[dict[str, Any], str]] = {}  # by client token: the parameters and the volume
        self.failing = 0  # so many of the next volumes end in `error`
        self.operations: dict[str, Callable[[Params], Reply]] = {
            "CreateVolume": self.create_volume,
            "DescribeVolumes": self.describe_volumes,
            "AttachVolume": self.attach_volume,
            "DetachVolume": self.detach_volume,
            "DeleteVolume": self.delete_volume,
            "ListVolumesInRecycleBin": self.list_volumes_in_recycle_bin,
            "ModifyVolume": self.modify_volume,
        }

    def create_volume(self, params: Params) -> Reply:
        """As AWS's, with the client token kept for ever (how long AWS does is unconfirmed)."""
        token = params.get("ClientToken")
        asked = {key: value for key, value in params.items() if key not in _OUTSIDE_THE_TOKEN}
        if token in self._asked:
            before, volume_id = self._asked[token]
            if before != asked:
                # kubernetes-sigs/aws-ebs-csi-driver, issue 1428
                raise AwsError(
                    "IdempotentParameterMismatch",
                    "Parameters on this idempotent request are inconsistent with parameters used in previous "
                    "request(s)",
                )
            known = self._cloud.volumes.get(volume_id)
            if known is None or known.state == "deleting":
                # crossplane-contrib/provider-aws, issue 1858; kubernetes-sigs/aws-ebs-csi-driver, issues 1951 and 3010
                raise AwsError(
                    "IdempotentParameterMismatch",
                    "The client token you have provided is associated with a resource that is already deleted. "
                    "Please use a different client token.",
                )
            return _told(known)
        volume = self.planned(params, tags=specified_tags(params, "volume"))
        self.create(volume)
        if token:
            self._asked[token] = (asked, volume.id)
        return _told(volume) | {"State": "creating"}

    def planned(self, params: Params, *, tags: dict[str, str], zone: str | None = None) -> Volume:
        """A volume by the parameters of CreateVolume, or of `Ebs` in a block device mapping; it is yet to be created.

        Raises AWS's errors for what does not fit.
        """
        cloud, now = self._cloud, self._cloud.now()
        zone = zone or params.get("AvailabilityZone") or ""
        if not re.fullmatch(rf"{cloud.region}[a-f]", zone):
            raise AwsError("InvalidZone.NotFound", f"The zone '{zone}' does not exist.")
        size, key = params.get("Size"), params.get("KmsKeyId")
        encrypted = bool(params.get("Encrypted"))
        if key and not encrypted:
            raise AwsError(
                "InvalidParameterDependency", "The parameter KmsKeyId requires the parameter Encrypted to be set."
            )
        snapshot_id = params.get("SnapshotId")
        if snapshot_id:
            snapshot = cloud.snapshot(snapshot_id)
            if snapshot.state != "completed":
                raise AwsError("IncorrectState", f"Snapshot is in invalid state - {snapshot.state}")
            size = size or snapshot.volume_size
            if size < snapshot.volume_size:
                raise AwsError(
                    "InvalidParameterValue",
                    f"Volume of {size}GiB is smaller than snapshot '{snapshot_id}', "
                    f"expect size >= {snapshot.volume_size}GiB",
                )
            key = key or snapshot.kms_key_id
        encrypted = encrypted or cloud.encrypted_by_default
        if size is None:
            raise AwsError("MissingParameter", "The request must contain the parameter size/snapshot")
        kind = params.get("VolumeType") or "gp2"
        iops, throughput = performance(kind, size, params.get("Iops"), params.get("Throughput"))
        multi_attach = bool(params.get("MultiAttachEnabled"))
        if multi_attach and kind not in ("io1", "io2"):
            raise AwsError("InvalidParameterCombination", f"Multi-Attach is not supported for {kind} volumes.")
        return Volume(
            id=cloud.new_id("vol"),
            number=cloud.number(),
            tags=dict(tags),
            size=size,
            type=kind,
            zone=zone,
            created_at=now,
            iops=iops,
            throughput=throughput,
            kms_key_id=key or (cloud.default_key() if encrypted else None),
            snapshot_id=snapshot_id,
            multi_attach=multi_attach,
        )

    def create(self, volume: Volume) -> None:
        cloud = self._cloud
        cloud.volumes[volume.id] = volume
        cloud.content.make_volume(volume.id, volume.snapshot_id, volume.size)
        fails = self.failing > 0
        self.failing -= fails
        due = volume.created_at + cloud.timings.creating
        cloud.timeline.at(due, lambda at: self._created(volume, at, fails=fails))

    def describe_volumes(self, params: Params) -> Reply:
        cloud = self._cloud
        asked = params.get("VolumeIds")
        volumes = [cloud.volume(one) for one in asked] if asked else list(cloud.volumes.values())
        shown, token = page(filtered(volumes, params, _FACTS), params, ids="VolumeIds", most=500)
        return {"Volumes": [_told(volume) for volume in shown], "NextToken": token}

    def attach_volume(self, params: Params) -> Reply:
        cloud = self._cloud
        volume, instance, device = (
            cloud.volume(params["VolumeId"]),
            cloud.instance(params["InstanceId"]),
            params["Device"],
        )
        if not _DEVICE.fullmatch(device):
            raise invalid_value(device, "device", f"{device} is not a valid EBS device name.")
        if volume.attachment is not None:
            raise AwsError("VolumeInUse", f"{volume.id} is already attached to an instance")
        if volume.state != "available":
            raise AwsError("IncorrectState", f"The volume '{volume.id}' is '{volume.state}'")
        if instance.state not in ("running", "stopped"):
            raise AwsError("IncorrectState", f"Instance '{instance.id}' is not 'running'.")
        if volume.zone != instance.zone:
            raise AwsError(
                "InvalidVolume.ZoneMismatch",
                f"The volume '{volume.id}' is not in the same availability zone as instance '{instance.id}'",
            )
        if device in instance.volumes or cloud.now() < instance.devices_freed_at.get(device, cloud.now()):
            raise AwsError(
                "InvalidParameterValue",
                f"Invalid value '{device}' for unixDevice. Attachment point {device} is already in use",
            )
        # AttachVolume cannot ask for it, and what is attached after the launch is preserved by default.
        attachment = self.attach(volume, instance, device, delete_on_termination=False)
        return _attachment_told(volume, attachment) | {"State": "attaching"}

    def attach(self, volume: Volume, instance: Instance, device: str, *, delete_on_termination: bool) -> Attachment:
        """Attach without asking the rules."""
        cloud, now = self._cloud, self._cloud.now()
        due = now + cloud.timings.attaching
        attachment = Attachment(
            instance.id, device, now, "attaching", delete_on_termination, due + cloud.timings.mapping
        )
        volume.attachment, volume.state = attachment, "in-use"
        instance.volumes[device] = volume.id
        cloud.content.mount(instance.id, mount_name(device, instance.root_device), volume.id)

        def attached(at: datetime) -> None:
            if volume.attachment is attachment and attachment.state == "attaching":
                attachment.state = "attached"
                cloud.events.volume(volume.id, "attachVolume", "attached", at)

        cloud.timeline.at(due, attached)
        return attachment

    def detach_volume(self, params: Params) -> Reply:
        cloud = self._cloud
        volume = cloud.volume(params["VolumeId"])
        attachment = volume.attachment
        if (
            attachment is None
            or params.get("InstanceId", attachment.instance_id) != attachment.instance_id
            or params.get("Device", attachment.device) != attachment.device
        ):
            raise AwsError("InvalidAttachment.NotFound", f"The volume '{volume.id}' is not attached as asked.")
        if attachment.state == "detaching":
            raise AwsError("IncorrectState", f"The volume '{volume.id}' is in the 'detaching' state.")
        instance = cloud.instance(attachment.instance_id)
        if attachment.device == instance.root_device and instance.state not in ("stopped", "terminated"):
            raise AwsError(
                "IncorrectState", f"Unable to detach root volume '{volume.id}' from instance '{instance.id}'"
            )
        self.detach(volume, attachment)
        return _attachment_told(volume, attachment) | {"State": "detaching"}

    def detach(self, volume: Volume, attachment: Attachment) -> None:
        """Detach without asking the rules."""
        cloud = self._cloud
        instance = cloud.instances[attachment.instance_id]
        attachment.state = "detaching"

        def detached(at: datetime) -> None:
            # The device stays taken until the volume has really gone, and in EC2's books for a while longer.
            volume.attachment, volume.state = None, "available"
            instance.volumes.pop(attachment.device, None)
            instance.devices_freed_at[attachment.device] = at + cloud.timings.device_freed
            cloud.content.unmount(instance.id, mount_name(attachment.device, instance.root_device))

        cloud.timeline.at(cloud.now() + cloud.timings.detaching, detached)

    def delete_volume(self, params: Params) -> Reply:
        volume = self._cloud.volume(params["VolumeId"])
        if volume.attachment is not None:
            raise AwsError(
                "VolumeInUse", f"Volume {volume.id} is currently attached to {volume.attachment.instance_id}"
            )
        if volume.state == "deleting":
            raise AwsError("InvalidVolume.NotFound", f"The volume '{volume.id}' does not exist.")
        if volume.state not in ("available", "error"):
            raise AwsError("IncorrectState", f"The volume '{volume.id}' is '{volume.state}'")
        self.delete(volume)
        return {}

    def list_volumes_in_recycle_bin(self, _params: Params) -> Reply:
        kept = self._cloud.recycle_bin
        return {"Volumes": [{"VolumeId": id_, "RecycleBinExitTime": until} for id_, until in kept.items()]}

    def delete(self, volume: Volume) -> None:
        """Delete without asking the rules; the content is gone at once."""
        cloud = self._cloud
        volume.state = "deleting"
        cloud.content.delete_volume(volume.id)
        if cloud.keeps_deleted_for is not None:
            cloud.recycle_bin[volume.id] = cloud.now() + cloud.keeps_deleted_for

        def deleted(at: datetime) -> None:
            cloud.volumes.pop(volume.id, None)
            cloud.events.volume(volume.id, "deleteVolume", "deleted", at)

        cloud.timeline.at(cloud.now() + cloud.timings.deleting, deleted)

    def modify_volume(self, params: Params) -> Reply:
        """At once, and without the limit of modifications a day."""
        volume = self._cloud.volume(params["VolumeId"])
        kind = params.get("VolumeType") or volume.type
        size = params.get("Size") or volume.size
        if size < volume.size:
            raise AwsError("InvalidParameterValue", "New size cannot be smaller than existing size")
        same = kind == volume.type and kind != "gp2"  # gp2 tells IOPS that nobody may ask for
        iops = params.get("Iops") or (volume.iops if same else None)
        throughput = params.get("Throughput") or (volume.throughput if same else None)
        volume.iops, volume.throughput = performance(kind, size, iops, throughput)
        before = {"OriginalSize": volume.size, "OriginalVolumeType": volume.type}
        volume.type, volume.size = kind, size
        now = self._cloud.now()
        return {
            "VolumeModification": before
            | {
                "VolumeId": volume.id,
                "ModificationState": "modifying",
                "TargetSize": size,
                "TargetVolumeType": kind,
                "Progress": 0,
                "StartTime": now,
            }
        }

    def _created(self, volume: Volume, at: datetime, *, fails: bool) -> None:
        if volume.state != "creating":
            return
        if volume.kms_key_id in self._cloud.forbidden_keys:
            # The key is asked only now; EBS takes the volume back, and nothing but the event tells why.
            del self._cloud.volumes[volume.id]
            self._cloud.content.delete_volume(volume.id)
            self._cloud.events.volume(
                volume.id, "createVolume", "failed", at, cause=f"{volume.kms_key_id} is disabled."
            )
        elif fails:
            volume.state = "error"
            self._cloud.events.volume(volume.id, "createVolume", "failed", at, cause="The world was told to fail it")
        else:
            volume.state = "available"
            self._cloud.events.volume(volume.id, "createVolume", "available", at)


# "Same parameters" leaves out Region and zone (EC2 Developer Guide, ec2-api-idempotency).
_OUTSIDE_THE_TOKEN = ("ClientToken", "DryRun", "AvailabilityZone", "AvailabilityZoneId")


def _attached(get: Callable[[Attachment], str]) -> Callable[[Volume], list[str]]:
    return lambda volume: [get(volume.attachment)] if volume.attachment else []


_FACTS: Facts[Volume] = {
    "volume-id": lambda volume: [volume.id],
    "status": lambda volume: [volume.state],
    "size": lambda volume: [str(volume.size)],
    "volume-type": lambda volume: [volume.type],
    "availability-zone": lambda volume: [volume.zone],
    "snapshot-id": lambda volume: [volume.snapshot_id or ""],
    "encrypted": lambda volume: [str(volume.kms_key_id is not None).lower()],
    "multi-attach-enabled": lambda volume: [str(volume.multi_attach).lower()],
    "attachment.instance-id": _attached(lambda attachment: attachment.instance_id),
    "attachment.device": _attached(lambda attachment: attachment.device),
    "attachment.status": _attached(lambda attachment: attachment.state),
    "attachment.delete-on-termination": _attached(lambda attachment: str(attachment.delete_on_termination).lower()),
}


def _attachment_told(volume: Volume, attachment: Attachment) -> dict[str, Any]:
    return {
        "VolumeId": volume.id,
        "InstanceId": attachment.instance_id,
        "Device": attachment.device,
        "State": attachment.state,
        "AttachTime": attachment.at,
        "DeleteOnTermination": attachment.delete_on_termination,
    }


def _told(volume: Volume) -> dict[str, Any]:
    return {
        "VolumeId": volume.id,
        "Size": volume.size,
        "VolumeType": volume.type,
        "Iops": volume.iops,
        "Throughput": volume.throughput,
        "SnapshotId": volume.snapshot_id or "",
        "AvailabilityZone": volume.zone,
        "State": volume.state,
        "CreateTime": volume.created_at,
        "Encrypted": volume.kms_key_id is not None,
        "KmsKeyId": volume.kms_key_id,
        "MultiAttachEnabled": volume.multi_attach,
        "Attachments": [_attachment_told(volume, volume.attachment)] if volume.attachment else [],
        "Tags": tag_list(volume.tags),
    }
