"""EC2 instances: the calls that look at them."""

import base64
from collections.abc import Callable
from typing import Any

from autostop_local.world.cloud import Cloud, Params, Reply
from autostop_local.world.errors import AwsError
from autostop_local.world.instance_types import INSTANCE_TYPES, vcpus
from autostop_local.world.lists import Facts, filtered, page, tag_list
from autostop_local.world.resources import Instance, Resource, Spot


class InstanceViews:
    """The calls that describe instances, by AWS's names in `operations`."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self.operations: dict[str, Callable[[Params], Reply]] = {
            "DescribeInstances": self.describe_instances,
            "DescribeInstanceStatus": self.describe_instance_status,
            "DescribeInstanceAttribute": self.describe_instance_attribute,
            "GetConsoleOutput": self.get_console_output,
            "GetLaunchTemplateData": self.get_launch_template_data,
            "DescribeInstanceTypes": self.describe_instance_types,
            "DescribeSpotInstanceRequests": self.describe_spot_instance_requests,
        }

    def describe_instances(self, params: Params) -> Reply:
        """Every instance in a reservation of its own entry: a page may end within one."""
        shown, token = page(filtered(self._asked(params), params, _FACTS), params, ids="InstanceIds")
        return {
            "Reservations": [
                {
                    "ReservationId": instance.reservation_id,
                    "OwnerId": self._cloud.account,
                    "Instances": [told(self._cloud, instance)],
                }
                for instance in shown
            ],
            "NextToken": token,
        }

    def describe_instance_status(self, params: Params) -> Reply:
        instances = filtered(self._asked(params), params, _FACTS)
        if not params.get("IncludeAllInstances"):
            instances = [instance for instance in instances if instance.state == "running"]
        shown, token = page(instances, params, ids="InstanceIds")
        return {"InstanceStatuses": [self._status(instance) for instance in shown], "NextToken": token}

    def describe_instance_attribute(self, params: Params) -> Reply:
        instance, name = self._cloud.instance(params["InstanceId"]), params["Attribute"]
        values: dict[str, Any] = {
            "disableApiStop": instance.disable_api_stop,
            "disableApiTermination": instance.disable_api_termination,
            "instanceType": instance.type,
            "instanceInitiatedShutdownBehavior": instance.shutdown_behavior,
            "rootDeviceName": instance.root_device,
            "ebsOptimized": instance.ebs_optimized,
            "sourceDestCheck": instance.source_dest_check,
            "userData": instance.user_data,
        }
        reply: Reply = {"InstanceId": instance.id}
        if name in values:
            return reply | {name[0].upper() + name[1:]: {"Value": values[name]}}
        if name == "blockDeviceMapping":
            return reply | {"BlockDeviceMappings": _devices(self._cloud, instance)}
        if name == "productCodes":
            return reply | {"ProductCodes": _product_codes(instance)}
        raise AwsError("InvalidParameterValue", f"The attribute '{name}' cannot be described here")

    def get_console_output(self, params: Params) -> Reply:
        """The end of it, in base64, with the line ends of a console; without `Output` while there is nothing.

        AWS keeps 64 KB. That it is there at once with `Latest` is unconfirmed, as is what it holds after a stop.
        """
        instance = self._cloud.instance(params["InstanceId"])
        written = self._cloud.machines.console(instance.id).replace("\n", "\r\n").encode()[-65536:]
        output = {"Output": base64.b64encode(written).decode()} if written else {}
        return {"InstanceId": instance.id, "Timestamp": self._cloud.now()} | output

    def get_launch_template_data(self, params: Params) -> Reply:
        """Of a terminated instance what DescribeInstances still tells of it: no network and no profile.

        That EC2 answers for such an instance at all is unconfirmed; of one that it has forgotten it knows nothing.
        """
        return {"LaunchTemplateData": _template_data(self._cloud, self._cloud.instance(params["InstanceId"]))}

    def describe_instance_types(self, params: Params) -> Reply:
        asked = params.get("InstanceTypes") or list(INSTANCE_TYPES)
        unknown = [kind for kind in asked if kind not in INSTANCE_TYPES]
        if unknown:
            raise AwsError(
                "InvalidInstanceType", f"The following supplied instance types do not exist: [{', '.join(unknown)}]"
            )
        kinds = filtered([_KINDS[kind] for kind in asked], params, _TYPE_FACTS)
        shown, token = page(kinds, params, ids="InstanceTypes", most=100)
        return {"InstanceTypes": [INSTANCE_TYPES[kind.id] for kind in shown], "NextToken": token}

    def describe_spot_instance_requests(self, params: Params) -> Reply:
        spots = self._cloud.spots
        asked = params.get("SpotInstanceRequestIds") or list(spots)
        for one in asked:
            if one not in spots:
                raise AwsError(
                    "InvalidSpotInstanceRequestID.NotFound", f"The spot instance request ID '{one}' does not exist"
                )
        found = filtered([spots[one] for one in asked], params, _SPOT_FACTS)
        shown, token = page(found, params, ids="SpotInstanceRequestIds")
        return {
            "SpotInstanceRequests": [
                {
                    "SpotInstanceRequestId": spot.id,
                    "InstanceId": spot.instance_id,
                    "Type": spot.type,
                    "State": spot.state,
                    "CreateTime": spot.created_at,
                    "InstanceInterruptionBehavior": "terminate" if spot.type == "one-time" else "stop",
                    "ProductDescription": "Linux/UNIX",
                    "Tags": tag_list(spot.tags),
                }
                for spot in shown
            ],
            "NextToken": token,
        }

    def _asked(self, params: Params) -> list[Instance]:
        asked = params.get("InstanceIds")
        if asked:
            return [self._cloud.instance(one) for one in asked]
        return list(self._cloud.instances.values())

    def _status(self, instance: Instance) -> dict[str, Any]:
        passed = {"ok": "passed", "impaired": "failed"}
        status = "initializing"
        if instance.running_at is not None and self._cloud.now() >= instance.running_at + self._cloud.timings.checks:
            status = instance.checks
        check: dict[str, Any] = {"Status": "not-applicable"}
        if instance.state == "running" and instance.running_at is not None:
            reachable = passed.get(status, status)
            check = {"Status": status, "Details": [{"Name": "reachability", "Status": reachable}]}
        return {
            "InstanceId": instance.id,
            "AvailabilityZone": instance.zone,
            "InstanceState": {"Code": instance.state_code, "Name": instance.state},
            "InstanceStatus": check,
            "SystemStatus": check,
        }


class _Kind(Resource):
    """An instance type, for the lists."""


_KINDS = {kind: _Kind(id=kind, number=number) for number, kind in enumerate(INSTANCE_TYPES, 1)}

_FACTS: Facts[Instance] = {
    "instance-id": lambda instance: [instance.id],
    "instance-state-name": lambda instance: [instance.state],
    "instance-state-code": lambda instance: [str(instance.state_code)],
    "instance-type": lambda instance: [instance.type],
    "instance-lifecycle": lambda instance: ["spot"] if instance.spot_request_id else [],
    "availability-zone": lambda instance: [instance.zone],
    "image-id": lambda instance: [instance.image_id],
    "key-name": lambda instance: [instance.key_name or ""],
    "reservation-id": lambda instance: [instance.reservation_id],
    "root-device-name": lambda instance: [instance.root_device],
    "root-device-type": lambda _instance: ["ebs"],
    "ip-address": lambda instance: [instance.public_ip or ""],
    "private-ip-address": lambda instance: [instance.private_ip],
    "block-device-mapping.device-name": lambda instance: list(instance.volumes),
    "block-device-mapping.volume-id": lambda instance: list(instance.volumes.values()),
}
_TYPE_FACTS: Facts[_Kind] = {
    "instance-type": lambda kind: [kind.id],
    "current-generation": lambda kind: [str(INSTANCE_TYPES[kind.id]["CurrentGeneration"]).lower()],
    "instance-storage-supported": lambda kind: [str(INSTANCE_TYPES[kind.id]["InstanceStorageSupported"]).lower()],
    "vcpu-info.default-vcpus": lambda kind: [str(vcpus(kind.id))],
}
_SPOT_FACTS: Facts[Spot] = {
    "spot-instance-request-id": lambda spot: [spot.id],
    "instance-id": lambda spot: [spot.instance_id],
    "state": lambda spot: [spot.state],
    "type": lambda spot: [spot.type],
}


def told(cloud: Cloud, instance: Instance) -> dict[str, Any]:
    """An instance as DescribeInstances tells it."""
    public = instance.public_ip
    alive = instance.state != "terminated"
    answer: dict[str, Any] = {
        "InstanceId": instance.id,
        "ImageId": instance.image_id,
        "InstanceType": instance.type,
        "State": {"Code": instance.state_code, "Name": instance.state},
        "StateTransitionReason": instance.transition_reason,
        "LaunchTime": instance.launched_at,
        "Placement": {"AvailabilityZone": instance.zone, "GroupName": "", "Tenancy": "default"},
        "RootDeviceName": instance.root_device,
        "RootDeviceType": "ebs",
        "BlockDeviceMappings": _devices(cloud, instance),
        "Architecture": instance.architecture,
        "BootMode": instance.boot_mode,
        "ClientToken": instance.client_token,
        "CpuOptions": _processor(instance.type),
        "EbsOptimized": instance.ebs_optimized,
        "EnaSupport": instance.ena_support,
        "HibernationOptions": {"Configured": instance.hibernation},
        "Hypervisor": "xen",
        "KeyName": instance.key_name,
        "MetadataOptions": dict(instance.metadata_options),
        "Monitoring": {"State": instance.monitoring},
        "PlatformDetails": "Linux/UNIX",
        "PrivateDnsName": f"ip-{instance.private_ip.replace('.', '-')}.ec2.internal" if alive else "",
        "ProductCodes": _product_codes(instance),
        "PublicDnsName": _dns(public),
        "SourceDestCheck": instance.source_dest_check,
        "Tags": tag_list(instance.tags),
        "VirtualizationType": instance.virtualization,
    }
    if alive:
        answer |= {
            "PrivateIpAddress": instance.private_ip,
            "SubnetId": instance.subnet_id,
            "VpcId": "vpc-00000001",
            "SecurityGroups": [{"GroupId": one, "GroupName": one} for one in instance.security_groups],
        }
    if public:
        answer["PublicIpAddress"] = public
    if instance.state_reason:
        code, message = instance.state_reason
        answer["StateReason"] = {"Code": code, "Message": message}
    if instance.spot_request_id:
        answer |= {"InstanceLifecycle": "spot", "SpotInstanceRequestId": instance.spot_request_id}
    if instance.profile:
        answer["IamInstanceProfile"] = {"Arn": instance.profile, "Id": "AIPA0000000000EXAMPLE"}
    return answer


def _template_data(cloud: Cloud, instance: Instance) -> dict[str, Any]:
    """What would launch another like it, with the addresses of this one, and in base64 its user data."""
    answer: dict[str, Any] = {
        "ImageId": instance.image_id,
        "InstanceType": instance.type,
        "KeyName": instance.key_name,
        "EbsOptimized": instance.ebs_optimized,
        "Monitoring": {"Enabled": instance.monitoring == "enabled"},
        "Placement": {"AvailabilityZone": instance.zone, "GroupName": "", "Tenancy": "default"},
        "BlockDeviceMappings": [
            {"DeviceName": device, "Ebs": _template_disk(cloud, volume)} for device, volume in instance.volumes.items()
        ],
        "DisableApiTermination": instance.disable_api_termination,
        "DisableApiStop": instance.disable_api_stop,
        "InstanceInitiatedShutdownBehavior": instance.shutdown_behavior,
        "MetadataOptions": dict(instance.metadata_options),
        "UserData": instance.user_data,
        "CpuOptions": _processor(instance.type),
        "HibernationOptions": {"Configured": instance.hibernation},
        "CreditSpecification": {"CpuCredits": instance.cpu_credits} if instance.cpu_credits else None,
        "TagSpecifications": [{"ResourceType": "instance", "Tags": tag_list(instance.tags)}],
    }
    if instance.state == "terminated":
        return answer
    if instance.profile:
        answer["IamInstanceProfile"] = {"Arn": instance.profile}
    interface = {
        "NetworkInterfaceId": f"eni-{instance.id.removeprefix('i-')}",
        "DeviceIndex": 0,
        "Description": "",
        "DeleteOnTermination": True,
        "AssociatePublicIpAddress": instance.public_ip is not None,
        "PrivateIpAddresses": [{"Primary": True, "PrivateIpAddress": instance.private_ip}],
        "SubnetId": instance.subnet_id,
        "Groups": list(instance.security_groups),
    }
    return answer | {"NetworkInterfaces": [interface]}


def _template_disk(cloud: Cloud, volume_id: str) -> dict[str, Any]:
    volume = cloud.volumes[volume_id]
    dies = volume.attachment is not None and volume.attachment.delete_on_termination
    return {"DeleteOnTermination": dies, "VolumeSize": volume.size, "VolumeType": volume.type}


def _dns(public: str | None) -> str:
    if public is None:
        return ""
    return "localhost" if public == "127.0.0.1" else f"ec2-{public.replace('.', '-')}.compute-1.amazonaws.com"


def _devices(cloud: Cloud, instance: Instance) -> list[dict[str, Any]]:
    found = []
    for device, volume_id in instance.volumes.items():
        attachment = cloud.volumes[volume_id].attachment
        if attachment is not None:
            found.append(
                {
                    "DeviceName": device,
                    "Ebs": {
                        "VolumeId": volume_id,
                        "AttachTime": attachment.at,
                        "DeleteOnTermination": attachment.delete_on_termination,
                        "Status": attachment.state,
                    },
                }
            )
    return found


def _product_codes(instance: Instance) -> list[dict[str, str]]:
    return [{"ProductCodeId": code, "ProductCodeType": "marketplace"} for code in instance.product_codes]


def _processor(instance_type: str) -> dict[str, int]:
    """Cores, and threads on each: their product are the vCPUs."""
    vcpus = INSTANCE_TYPES[instance_type]["VCpuInfo"]
    return {"CoreCount": vcpus["DefaultCores"], "ThreadsPerCore": vcpus["DefaultVCpus"] // vcpus["DefaultCores"]}
