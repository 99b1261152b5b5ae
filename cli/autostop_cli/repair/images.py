"""Instances that are built anew from snapshots by way of images, and all that carries our tag."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from autostop import tags
from autostop.aws.ebs import TAKES_IOPS, TAKES_THROUGHPUT, EbsDisks, shapes_of
from autostop.aws.ec2 import tags_of
from autostop.aws.errors import AlreadySo, aws_errors
from autostop.model import Snapshot, Volume, WorkstationId
from autostop.ports import DeniedError, TransientError
from autostop.sleep.manifest import VolumeRecord
from autostop_cli.repair.replacement import Replacement

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_ec2.type_defs import FilterTypeDef, ImageTypeDef

_ALIVE = ["pending", "running", "stopping", "stopped"]


@dataclass(frozen=True, slots=True)
class Ec2Builder:
    """The port `Builder` on EC2."""

    client: "EC2Client"

    def built(self, workstation: WorkstationId) -> WorkstationId | None:
        """By the tag that it was launched with."""
        filters: list[FilterTypeDef] = [
            {"Name": f"tag:{tags.RECOVERED_FROM}", "Values": [workstation]},
            {"Name": "instance-state-name", "Values": _ALIVE},
        ]
        with aws_errors():
            pages = self.client.get_paginator("describe_instances").paginate(Filters=filters)
            found = [
                WorkstationId(shape.get("InstanceId", ""))
                for page in pages
                for reservation in page["Reservations"]
                for shape in reservation.get("Instances", [])
            ]
        if len(found) > 1:
            raise DeniedError(
                f"{' and '.join(found)} both carry the tag {tags.RECOVERED_FROM} = {workstation}. Remove it from the "
                "one that does not replace it, or terminate that one."
            )
        return found[0] if found else None

    def images(self, workstation: WorkstationId) -> Mapping[str, str]:
        """By tag."""
        wanted: FilterTypeDef = {"Name": f"tag:{tags.WORKSTATION}", "Values": [workstation]}
        found = _described(self.client, [wanted, *_ours()])
        return {shape.get("ImageId", ""): shape.get("Name", "") for shape in found}

    def register(self, replacement: Replacement) -> str:
        """RegisterImage of the root's snapshot alone. It has no client token: it is found again by its name."""
        found = _described(self.client, [{"Name": "name", "Values": [replacement.image_name]}])
        if found:
            return found[0].get("ImageId", "")
        facts = replacement.launch.facts
        root = next(each for each in replacement.manifest.volumes if each.device == replacement.launch.root_device)
        wanted: dict[str, Any] = {
            "Name": replacement.image_name,
            "Description": f"autostop recover {replacement.workstation}",
            "RootDeviceName": root.device,
            # The other disks are named at the launch: there all their settings can be given.
            "BlockDeviceMappings": [{"DeviceName": root.device, "Ebs": {"SnapshotId": root.snapshot}}],
            "VirtualizationType": "hvm",
            "EnaSupport": facts.ena,
            "TagSpecifications": [
                {
                    "ResourceType": "image",
                    "Tags": shapes_of({tags.AUTOSTOP: tags.ON, tags.WORKSTATION: replacement.workstation}),
                }
            ],
        }
        if facts.architecture:
            wanted["Architecture"] = facts.architecture
        if facts.boot_mode:
            wanted["BootMode"] = facts.boot_mode
        with aws_errors(), AlreadySo("InvalidAMIName.Duplicate"):
            return str(self.client.register_image(**wanted)["ImageId"])
        raise TransientError(f"EC2 has the image {replacement.image_name} and does not list it yet.")

    def is_available(self, image: str) -> bool:
        """By its state."""
        with aws_errors(), AlreadySo("InvalidAMIID.NotFound"):
            shapes = self.client.describe_images(ImageIds=[image], Owners=["self"])["Images"]
            if shapes and shapes[0].get("State") in ("failed", "error", "invalid"):
                raise DeniedError(f"EC2 could not make the image {image} of the root's snapshot.")
            return bool(shapes) and shapes[0].get("State") == "available"
        return False

    def launch(self, replacement: Replacement, image: str) -> WorkstationId:
        """RunInstances; its client token is of this very image, so that a new image after a failure launches anew."""
        facts = replacement.launch.facts
        wanted: dict[str, Any] = {
            "ImageId": image,
            "MinCount": 1,
            "MaxCount": 1,
            "InstanceType": facts.type,
            "ClientToken": _token(replacement, image),
            "BlockDeviceMappings": [_mapping(replacement, record) for record in replacement.manifest.volumes],
            "TagSpecifications": [{"ResourceType": "instance", "Tags": shapes_of(replacement.instance_tags())}],
        }
        optional: dict[str, Any] = {
            "SubnetId": facts.subnet,
            "SecurityGroupIds": list(facts.security_groups),
            "KeyName": facts.key,
            "IamInstanceProfile": {"Name": facts.profile} if facts.profile else None,
            "EbsOptimized": facts.ebs_optimized,
            "Monitoring": {"Enabled": True} if facts.monitoring else None,
            "MetadataOptions": {
                name: int(value) if name == "HttpPutResponseHopLimit" else value
                for name, value in facts.metadata.items()
            },
        }
        with aws_errors():
            answer = self.client.run_instances(**wanted, **{key: value for key, value in optional.items() if value})
        return WorkstationId(answer["Instances"][0].get("InstanceId", ""))

    def tag(self, resource: str, given: Mapping[str, str]) -> None:
        """CreateTags."""
        with aws_errors():
            self.client.create_tags(Resources=[resource], Tags=shapes_of(given))

    def deregister(self, image: str) -> None:
        """DeregisterImage; its snapshots stay."""
        with aws_errors(), AlreadySo("InvalidAMIID.NotFound", "InvalidAMIID.Unavailable"):
            self.client.deregister_image(ImageId=image)


@dataclass(frozen=True, slots=True)
class Ec2Estate:
    """The port `Estate` on EC2 and EBS."""

    client: "EC2Client"

    def volumes(self) -> Sequence[Volume]:
        """By tag."""
        return EbsDisks(self.client).find_volumes(_ours())

    def snapshots(self) -> Sequence[Snapshot]:
        """By tag."""
        return EbsDisks(self.client).find_snapshots(_ours())

    def images(self) -> Mapping[WorkstationId, Mapping[str, str]]:
        """By tag."""
        found: dict[WorkstationId, dict[str, str]] = {}
        for shape in _described(self.client, _ours()):
            if workstation := tags_of(shape.get("Tags")).get(tags.WORKSTATION):
                found.setdefault(WorkstationId(workstation), {})[shape.get("ImageId", "")] = shape.get("Name", "")
        return found


def _ours() -> list["FilterTypeDef"]:
    return [{"Name": f"tag:{tags.AUTOSTOP}", "Values": [tags.ON]}]


def _described(client: "EC2Client", filters: list["FilterTypeDef"]) -> list["ImageTypeDef"]:
    with aws_errors():
        pages = client.get_paginator("describe_images").paginate(Owners=["self"], Filters=filters)
        return [shape for page in pages for shape in page["Images"]]


def _token(replacement: Replacement, image: str) -> str:
    """The same for the same launch, at most 64 ASCII characters."""
    text = f"{replacement.workstation} {replacement.manifest.cycle} {image}"
    return hashlib.sha256(text.encode()).hexdigest()


def _mapping(replacement: Replacement, record: VolumeRecord) -> dict[str, Any]:
    ebs: dict[str, Any] = {
        "VolumeSize": record.size_gib,
        "VolumeType": record.type,
        # Put right once it runs: what EC2 launches and terminates again must leave no volume behind.
        "DeleteOnTermination": True,
    }
    # The root's is the image's own, and EC2 takes no other.
    if record.device != replacement.launch.root_device:
        ebs["SnapshotId"] = record.snapshot
    if record.iops is not None and record.type in TAKES_IOPS:
        ebs["Iops"] = record.iops
    if record.throughput is not None and record.type in TAKES_THROUGHPUT:
        ebs["Throughput"] = record.throughput
    if record.encrypted:
        ebs["Encrypted"] = True
        if record.kms_key:
            ebs["KmsKeyId"] = record.kms_key
    return {"DeviceName": record.device, "Ebs": ebs}
