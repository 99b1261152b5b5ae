"""EC2: instances."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from autostop import tags
from autostop.aws.errors import AlreadySo, aws_errors
from autostop.aws.launch_facts import launch_facts
from autostop.model import Checks, Instance, InstanceId, InstanceState, OtherType, SpotKind, VolumeId

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_ec2.type_defs import (
        FilterTypeDef,
        InstanceStatusTypeDef,
        InstanceTypeDef,
        InstanceTypeInfoTypeDef,
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


def shapes_of(mapping: Mapping[str, str]) -> list["TagTypeDef"]:
    """Tags as AWS takes them."""
    return [{"Key": key, "Value": value} for key, value in mapping.items()]


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
        operator=operator_of(shape),
    )


def operator_of(shape: "InstanceTypeDef | VolumeTypeDef") -> str:
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
