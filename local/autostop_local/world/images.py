"""AMIs that were registered here, and Ubuntu's newest; those of others (Amazon's, say) are moto's."""

import re
from collections.abc import Callable, Mapping
from typing import Any

from autostop_local.world.cloud import Cloud, Params, Reply
from autostop_local.world.errors import AwsError
from autostop_local.world.lists import Facts, check_text, filtered, page, specified_tags, tag_list
from autostop_local.world.resources import Image

_NAME = re.compile(r"[\w()\[\] ./'@-]{3,128}", re.ASCII)  # botocore, RegisterImage


# By the public parameter that names each, the id and the architecture.
_UBUNTU = "/aws/service/canonical/ubuntu/server/24.04/stable/current/{}/hvm/ebs-gp3/ami-id"
_PUBLIC = {
    _UBUNTU.format("amd64"): ("ami-00000000000240401", "x86_64"),
    _UBUNTU.format("arm64"): ("ami-00000000000240402", "arm64"),
}


class Images:
    """The calls on images, by AWS's names in `operations`."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self.operations: dict[str, Callable[[Params], Reply | None]] = {
            "RegisterImage": self.register_image,
            "DescribeImages": self.describe_images,
            "DeregisterImage": self.deregister_image,
        }
        self.parameters: dict[str, Callable[[Params], Reply | None]] = {"GetParameter": self.get_parameter}

    def register_image(self, params: Params) -> Reply:
        """From snapshots. What is left out has AWS's defaults, which run on nothing new: i386, paravirtual, no ENA."""
        cloud, name = self._cloud, params["Name"]
        if not _NAME.fullmatch(name):
            raise AwsError("InvalidAMIName.Malformed", "AMI names must be between 3 and 128 characters long")
        for other in cloud.images.values():
            if other.name == name:
                raise AwsError("InvalidAMIName.Duplicate", f"AMI name {name} is already in use by AMI {other.id}")
        check_text(params.get("Description") or "", "Description")
        root = params.get("RootDeviceName") or ""
        mappings = {one["DeviceName"]: self._mapping(one) for one in params.get("BlockDeviceMappings") or ()}
        if "SnapshotId" not in mappings.get(root, {}):
            # The code is AWS's for mappings that do not fit; its words for this are unconfirmed.
            raise AwsError("InvalidBlockDeviceMapping", f"No snapshot is mapped at the root device '{root}'")
        image = Image(
            id=cloud.new_id("ami"),
            number=cloud.number(),
            tags=specified_tags(params, "image"),
            name=name,
            description=params.get("Description") or "",
            architecture=params.get("Architecture") or "i386",
            root_device=root,
            virtualization=params.get("VirtualizationType") or "paravirtual",
            ena_support=bool(params.get("EnaSupport")),
            boot_mode=params.get("BootMode"),
            created_at=cloud.now(),
            mappings=mappings,
        )
        cloud.images[image.id] = image
        return {"ImageId": image.id}

    def describe_images(self, params: Params) -> Reply | None:
        """Those of this account; None for whoever asks for others'."""
        cloud = self._cloud
        asked, owners = params.get("ImageIds") or [], set(params.get("Owners") or ())
        if public := [_public(*each) for each in _PUBLIC.values() if each[0] in asked]:
            return {"Images": public}
        mine = cloud.images.keys() | cloud.deregistered
        if not owners & {"self", cloud.account} and not mine & set(asked):
            return None
        images = [cloud.image(one) for one in asked] if asked else list(cloud.images.values())
        shown, token = page(filtered(images, params, _FACTS), params, ids="ImageIds", least=1)
        return {"Images": [self._told(image) for image in shown], "NextToken": token}

    def get_parameter(self, params: Params) -> Reply | None:
        """Of SSM; None for whoever asks for another."""
        found = _PUBLIC.get(params["Name"])
        return {"Parameter": {"Name": params["Name"], "Type": "String", "Value": found[0]}} if found else None

    def deregister_image(self, params: Params) -> Reply:
        """The snapshots stay."""
        image = self._cloud.image(params["ImageId"])
        if params.get("DeleteAssociatedSnapshots"):
            raise AwsError("InvalidParameterValue", "DeleteAssociatedSnapshots is not to be had here")
        del self._cloud.images[image.id]
        self._cloud.deregistered.add(image.id)
        return {"Return": True}

    def _mapping(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        device, ebs = asked["DeviceName"], asked.get("Ebs") or {}
        if "SnapshotId" not in ebs:
            if "VolumeSize" not in ebs:
                raise AwsError(
                    "InvalidBlockDeviceMapping", f"Either snapshot ID or volume size must be provided for: {device}"
                )
            return dict(ebs)
        snapshot = self._cloud.snapshot(ebs["SnapshotId"])
        if snapshot.state != "completed":
            raise AwsError("IncorrectState", f"Snapshot is in invalid state - {snapshot.state}")
        if "Encrypted" in ebs:
            raise AwsError(
                "InvalidBlockDeviceMapping",
                f"the encrypted flag cannot be specified since device {device} has a snapshot specified.",
            )
        return {"VolumeSize": snapshot.volume_size, "VolumeType": "gp2", **ebs}

    def _told(self, image: Image) -> dict[str, Any]:
        snapshots = self._cloud.snapshots
        return {
            "ImageId": image.id,
            "Name": image.name,
            "Description": image.description,
            "ImageLocation": f"{self._cloud.account}/{image.name}",
            "ImageType": "machine",
            "State": "available",
            "OwnerId": self._cloud.account,
            "Public": False,
            "CreationDate": f"{image.created_at:%Y-%m-%dT%H:%M:%S}.000Z",
            "Architecture": image.architecture,
            "Hypervisor": "xen",
            "PlatformDetails": "Linux/UNIX",
            "RootDeviceName": image.root_device,
            "RootDeviceType": "ebs",
            "VirtualizationType": image.virtualization,
            "EnaSupport": image.ena_support,
            "BootMode": image.boot_mode,
            "BlockDeviceMappings": [
                {
                    "DeviceName": device,
                    "Ebs": {
                        "DeleteOnTermination": True,
                        "Encrypted": "SnapshotId" in ebs and snapshots[ebs["SnapshotId"]].kms_key_id is not None,
                        **ebs,
                    },
                }
                for device, ebs in image.mappings.items()
            ],
            "Tags": tag_list(image.tags),
        }


def _public(image: str, architecture: str) -> dict[str, Any]:
    return {
        "ImageId": image,
        "Name": f"ubuntu/images/hvm-ssd-gp3/ubuntu-noble-24.04-{architecture}-server-20260101",
        "OwnerId": "099720109477",
        "State": "available",
        "Architecture": architecture,
        "RootDeviceName": "/dev/sda1",
        "RootDeviceType": "ebs",
    }


_FACTS: Facts[Image] = {
    "image-id": lambda image: [image.id],
    "name": lambda image: [image.name],
    "state": lambda _image: ["available"],
    "architecture": lambda image: [image.architecture],
    "root-device-name": lambda image: [image.root_device],
    "block-device-mapping.device-name": lambda image: list(image.mappings),
    "block-device-mapping.snapshot-id": lambda image: [
        ebs["SnapshotId"] for ebs in image.mappings.values() if "SnapshotId" in ebs
    ],
}
