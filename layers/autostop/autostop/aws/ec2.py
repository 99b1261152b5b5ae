"""EC2 instances."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from autostop.aws.configuration import launch_facts
from autostop.aws.errors import AlreadySo, aws_errors
from autostop.model import Checks, Instance, InstanceState, OtherType, SpotKind, VolumeId, WorkstationId
from autostop.tags import AUTOSTOP, INSTANCE_TYPE, ON, is_ours

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_ec2.type_defs import InstanceStatusTypeDef, InstanceTypeDef, InstanceTypeInfoTypeDef, TagTypeDef

# "User initiated (2026-11-23 18:30:05 GMT)"; EC2 gives the moment of a stop nowhere else.
_REASON_TIME = re.compile(r"\((\d{4}-\d\d-\d\d \d\d:\d\d:\d\d) (?:GMT|UTC)\)")


@dataclass(frozen=True, slots=True)
class Ec2Instances:
    """The port `Instances` on EC2."""

    client: "EC2Client"
    _stores: dict[str, bool] = field(default_factory=dict)
    _types: dict[str, OtherType] = field(default_factory=dict)

    def tagged(self) -> Sequence[Instance]:
        """All pages of DescribeInstances by tag."""
        pages = self.client.get_paginator("describe_instances")
        with aws_errors():
            found = [
                _instance(shape)
                for page in pages.paginate(
                    Filters=[{"Name": f"tag:{AUTOSTOP}", "Values": [ON]}], PaginationConfig={"PageSize": 1000}
                )
                for reservation in page["Reservations"]
                for shape in reservation.get("Instances", [])
            ]
        return [instance for instance in found if not instance.is_gone]

    def find(self, workstation: WorkstationId, *, for_adoption: bool = False) -> Instance | None:
        """One instance; while it runs, also what decides whether it may be stopped.

        for_adoption: look at that in every state and before it carries the tag; for the owner's own permissions.
        """
        with aws_errors(), AlreadySo("InvalidInstanceID.NotFound", "InvalidInstanceID.Malformed"):
            answer = self.client.describe_instances(InstanceIds=[workstation])
            shapes = [shape for reservation in answer["Reservations"] for shape in reservation.get("Instances", [])]
            return self._in_full(shapes[0], for_adoption=for_adoption) if shapes else None
        return None

    def _in_full(self, shape: "InstanceTypeDef", *, for_adoption: bool) -> Instance:
        instance = replace(_instance(shape), launch=launch_facts(shape))
        if shape.get("InstanceLifecycle") == "spot":
            instance = replace(instance, spot=self._spot_kind(shape.get("SpotInstanceRequestId", "")))
        # Without the tag it is never stopped, and the role may not ask.
        stoppable = instance.state is InstanceState.RUNNING and is_ours(instance.tags)
        if instance.is_gone or not (stoppable or for_adoption):
            return instance
        attribute = self.client.describe_instance_attribute(InstanceId=instance.id, Attribute="disableApiStop")
        return replace(
            instance,
            stop_protected=bool(attribute.get("DisableApiStop", {}).get("Value", False)),
            instance_store=self._has_instance_store(instance.type),
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

    def _has_instance_store(self, type_: str) -> bool:
        if type_ not in self._stores:
            answer = self.client.describe_instance_types(InstanceTypes=[type_])  # type: ignore[list-item]  # any type
            self._stores[type_] = any(each.get("InstanceStorageSupported", False) for each in answer["InstanceTypes"])
        return self._stores[type_]

    def checks(self, workstation: WorkstationId) -> Checks:
        """System and instance checks together; unknown while EC2 does not list them."""
        with aws_errors():
            answer = self.client.describe_instance_status(InstanceIds=[workstation])
        return _checks(answer["InstanceStatuses"])

    def start(self, workstation: WorkstationId) -> None:
        """StartInstances."""
        with aws_errors():
            self.client.start_instances(InstanceIds=[workstation])

    def stop(self, workstation: WorkstationId) -> None:
        """StopInstances, never by force: its system flushes what it has in memory."""
        with aws_errors():
            self.client.stop_instances(InstanceIds=[workstation])

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

    def note_type(self, workstation: WorkstationId, note: str) -> None:
        """CreateTags."""
        with aws_errors():
            self.client.create_tags(Resources=[workstation], Tags=[{"Key": INSTANCE_TYPE, "Value": note}])

    def change_type(self, workstation: WorkstationId, type_: str) -> None:
        """ModifyInstanceAttribute."""
        with aws_errors():
            self.client.modify_instance_attribute(InstanceId=workstation, InstanceType={"Value": type_})

    def set_delete_on_termination(self, workstation: WorkstationId, device: str, volume: VolumeId, flag: bool) -> None:
        """ModifyInstanceAttribute; the volume is named too, so that another at the device is never meant."""
        with aws_errors():
            self.client.modify_instance_attribute(
                InstanceId=workstation,
                BlockDeviceMappings=[{"DeviceName": device, "Ebs": {"VolumeId": volume, "DeleteOnTermination": flag}}],
            )


def tags_of(shapes: Sequence["TagTypeDef"] | None) -> Mapping[str, str]:
    """Tags as a mapping."""
    return {shape.get("Key", ""): shape.get("Value", "") for shape in shapes or ()}


def _instance(shape: "InstanceTypeDef") -> Instance:
    options = shape.get("CpuOptions", {})
    reason = _REASON_TIME.search(shape.get("StateTransitionReason", ""))
    return Instance(
        id=WorkstationId(shape.get("InstanceId", "")),
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
        architecture=shape.get("Architecture", ""),
        state_reason=shape.get("StateReason", {}).get("Message", ""),
    )


def _other_type(shape: "InstanceTypeInfoTypeDef") -> OtherType:
    return OtherType(
        shape.get("InstanceType", ""),
        tuple(shape.get("ProcessorInfo", {}).get("SupportedArchitectures", ())),
        shape.get("InstanceStorageSupported", False),
    )


def _checks(statuses: Sequence["InstanceStatusTypeDef"]) -> Checks:
    if not statuses:
        return Checks.UNKNOWN
    both = {
        statuses[0].get("SystemStatus", {}).get("Status", ""),
        statuses[0].get("InstanceStatus", {}).get("Status", ""),
    }
    if "impaired" in both:
        return Checks.IMPAIRED
    if both == {"ok"}:
        return Checks.OK
    return Checks.INITIALIZING
