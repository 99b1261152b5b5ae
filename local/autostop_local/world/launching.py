"""RunInstances: from an image, the wishes of the request, and snapshots, to new instances."""

from collections.abc import Callable
from typing import Any

from autostop_local.world.cloud import Cloud, Params, Reply
from autostop_local.world.errors import AwsError
from autostop_local.world.instance_types import INSTANCE_TYPES
from autostop_local.world.instance_views import told
from autostop_local.world.lists import specified_tags
from autostop_local.world.resources import Image, Instance, Spot
from autostop_local.world.volumes import Volumes

_Mappings = dict[str, dict[str, Any]]  # by device, the `Ebs` of it

_METADATA_OPTIONS = {
    "State": "applied", "HttpTokens": "optional", "HttpPutResponseHopLimit": 1, "HttpEndpoint": "enabled",
    "HttpProtocolIpv6": "disabled", "InstanceMetadataTags": "disabled",
}  # fmt: skip


class Launching:
    """RunInstances, by AWS's name in `operations`.

    An image that was registered here is taken at its word; any other id is a public image of the type's architecture,
    with a root of 8 GiB. Subnets are not made here: one belongs to the zone in which it was first used.
    """

    def __init__(self, cloud: Cloud, volumes: Volumes, begin: Callable[[Instance], None]) -> None:
        """`begin` lets an instance start."""
        self._cloud = cloud
        self._volumes = volumes
        self._begin = begin
        # By client token and the zone in which it holds: parameters, instances, reservation.
        self._asked: dict[tuple[str, str | None], tuple[Params, list[str], str]] = {}
        self._zones = {_default_subnet(f"{cloud.region}{letter}"): f"{cloud.region}{letter}" for letter in "abcdef"}
        self.root_devices: dict[str, str] = {}  # by image id; /dev/sda1 for the others
        self._templates: dict[str, Params] = {}
        self.find_template: Callable[[str], Params | None] = lambda _id: None
        self.operations: dict[str, Callable[[Params], Reply]] = {
            "CreateLaunchTemplate": self.create_launch_template,
            "RunInstances": self.run_instances,
        }

    def create_launch_template(self, params: Params) -> Reply:
        """Of one version, and without looking at what is in it."""
        template_id = self._cloud.new_id("lt")
        self._templates[template_id] = params["LaunchTemplateData"]
        told = {"LaunchTemplateId": template_id, "LaunchTemplateName": params["LaunchTemplateName"]}
        return {"LaunchTemplate": told | {"DefaultVersionNumber": 1, "LatestVersionNumber": 1}}

    def run_instances(self, params: Params) -> Reply:
        """The same client token gives the same instances again, until they are terminated (it is kept for ever).

        Where a request says the zone, itself or by its subnet, its token holds in that zone only.
        """
        token, instances = params.get("ClientToken") or "", self._cloud.instances
        scope = token, self._place(params)[1] if _says_where(params) else None
        if scope in self._asked:
            before, instance_ids, reservation_id = self._asked[scope]
            if before != params:
                # rust-lang/bors, issue 830
                raise AwsError(
                    "IdempotentParameterMismatch",
                    "Arguments on this idempotent request are inconsistent with arguments used in previous request(s).",
                )
            if all(one not in instances or instances[one].state == "terminated" for one in instance_ids):
                # boto/boto3, issue 4406
                raise AwsError(
                    "IdempotentInstanceTerminated",
                    "The client token you have provided is associated with a terminated instance. "
                    "Please use a different client token.",
                )
        else:
            instance_ids, reservation_id = self._run(params)
            if token:
                self._asked[scope] = (dict(params), instance_ids, reservation_id)
        return {
            "ReservationId": reservation_id,
            "OwnerId": self._cloud.account,
            "Instances": [told(self._cloud, instances[one]) for one in instance_ids if one in instances],
        }

    def _run(self, params: Params) -> tuple[list[str], str]:
        cloud = self._cloud
        if template := params.get("LaunchTemplate"):
            found = self._templates.get(template["LaunchTemplateId"]) or self.find_template(
                template["LaunchTemplateId"]
            )
            if found is None:
                raise AwsError("InvalidLaunchTemplateId.NotFound", "The specified launch template does not exist.")
            # What the request says itself counts.
            params = {**found, **params}
        kind = params.get("InstanceType") or "m1.small"
        if kind not in INSTANCE_TYPES:
            raise AwsError("InvalidInstanceType", f"The following supplied instance types do not exist: [{kind}]")
        image_id = params.get("ImageId") or ""
        if image_id in cloud.deregistered:
            cloud.image(image_id)
        image = cloud.images.get(image_id) or self._public_image(image_id, kind)
        _check_image(image, kind)
        subnet, zone = self._place(params)
        mappings = _mappings(image, params)
        cloud.check_capacity(kind, zone)
        tags = specified_tags(params, "instance"), specified_tags(params, "volume")
        reservation_id = cloud.new_id("r")
        # All is planned before the first thing is made: a launch that AWS refuses leaves nothing behind.
        planned = [
            {
                device: self._volumes.planned({**ebs, "Size": ebs.get("VolumeSize")}, tags=tags[1], zone=zone)
                for device, ebs in mappings.items()
            }
            for _ in range(max(1, int(params.get("MaxCount") or 1)))
        ]
        launched = []
        for volumes in planned:
            instance = self._instance(params, kind, image, reservation_id)
            instance.tags, instance.zone, instance.subnet_id = dict(tags[0]), zone, subnet
            cloud.instances[instance.id] = instance
            cloud.content.make_instance(instance.id)
            for device, volume in volumes.items():
                self._volumes.create(volume)
                # By the block device mapping of a launch an omitted value counts as true.
                dies = bool(mappings[device].get("DeleteOnTermination", True))
                attachment = self._volumes.attach(volume, instance, device, delete_on_termination=dies)
                attachment.state, attachment.mapped_at = "attached", cloud.now()
            market = params.get("InstanceMarketOptions") or {}
            if market.get("MarketType") == "spot":
                self._bid(instance, (market.get("SpotOptions") or {}).get("SpotInstanceType") or "one-time")
            self._begin(instance)
            launched.append(instance.id)
        return launched, reservation_id

    def _instance(self, params: Params, kind: str, image: Image, reservation_id: str) -> Instance:
        cloud, number = self._cloud, self._cloud.number()
        profile = params.get("IamInstanceProfile") or {}
        groups = params.get("SecurityGroupIds") or _interface(params).get("Groups")
        return Instance(
            id=cloud.new_id("i"),
            number=number,
            reservation_id=reservation_id,
            image_id=image.id,
            type=kind,
            root_device=image.root_device,
            architecture=image.architecture,
            virtualization=image.virtualization,
            ena_support=image.ena_support,
            boot_mode=image.boot_mode,
            private_ip=f"172.31.{number // 250 % 250}.{number % 250 + 4}",
            launched_at=cloud.now(),
            disable_api_stop=bool(params.get("DisableApiStop")),
            disable_api_termination=bool(params.get("DisableApiTermination")),
            hibernation=bool((params.get("HibernationOptions") or {}).get("Configured")),
            key_name=params.get("KeyName"),
            profile=profile.get("Arn")
            or (f"arn:aws:iam::{cloud.account}:instance-profile/{profile['Name']}" if profile.get("Name") else None),
            security_groups=tuple(groups or ("sg-00000001",)),
            shutdown_behavior=params.get("InstanceInitiatedShutdownBehavior") or "stop",
            ebs_optimized=bool(params.get("EbsOptimized")),
            metadata_options={**_METADATA_OPTIONS, **(params.get("MetadataOptions") or {})},
            monitoring="enabled" if (params.get("Monitoring") or {}).get("Enabled") else "disabled",
            client_token=params.get("ClientToken") or "",
            user_data=params.get("UserData"),
            cpu_credits=_credits(params, kind),
        )

    def _public_image(self, image_id: str, kind: str) -> Image:
        return Image(
            id=image_id,
            number=0,
            name=image_id,
            description="",
            architecture=INSTANCE_TYPES[kind]["ProcessorInfo"]["SupportedArchitectures"][-1],
            root_device=self.root_devices.get(image_id, "/dev/sda1"),
            virtualization="hvm",
            ena_support=True,
            created_at=self._cloud.now(),
            mappings={},
        )

    def _place(self, params: Params) -> tuple[str, str]:
        """The subnet and the zone, which the subnet decides."""
        asked_zone = (params.get("Placement") or {}).get("AvailabilityZone")
        interface = _interface(params)
        if interface and (params.get("SubnetId") or params.get("SecurityGroupIds")):
            raise AwsError(
                "InvalidParameterCombination",
                "Network interfaces and an instance-level subnet ID may not be specified on the same request",
            )
        subnet = params.get("SubnetId") or interface.get("SubnetId")
        if not subnet:
            zone = asked_zone or f"{self._cloud.region}a"
            return _default_subnet(zone), zone
        zone = self._zones.setdefault(subnet, asked_zone or f"{self._cloud.region}a")
        if asked_zone not in (None, zone):
            raise AwsError(
                "InvalidParameterValue",
                f"The availability zone '{asked_zone}' is not that of the subnet '{subnet}', which is '{zone}'",
            )
        return subnet, zone

    def _bid(self, instance: Instance, kind: str) -> None:
        cloud = self._cloud
        spot = Spot(
            id=cloud.new_id("sir"), number=cloud.number(), instance_id=instance.id, type=kind, created_at=cloud.now()
        )
        cloud.spots[spot.id] = spot
        instance.spot_request_id = spot.id


def _credits(params: Params, kind: str) -> str | None:
    """Of a type whose performance is by credits: as asked, or what most of them have if nothing is asked."""
    asked: str | None = (params.get("CreditSpecification") or {}).get("CpuCredits")
    if INSTANCE_TYPES[kind].get("BurstablePerformanceSupported"):
        return asked or ("standard" if kind.startswith("t2.") else "unlimited")
    if asked:
        raise AwsError(
            "InvalidParameterCombination", f"The {kind} instance type does not support credit specifications."
        )
    return None


def _interface(params: Params) -> dict[str, Any]:
    """The first network interface of the request: the one that says where and behind which groups."""
    interfaces = params.get("NetworkInterfaces") or [{}]
    return dict(interfaces[0])


def _says_where(params: Params) -> bool:
    """Whether a token holds per zone, as the EC2 Developer Guide has it (ec2-api-idempotency)."""
    zone = (params.get("Placement") or {}).get("AvailabilityZone")
    return bool(zone or params.get("SubnetId") or _interface(params).get("SubnetId"))


def _default_subnet(zone: str) -> str:
    return f"subnet-0000000{zone[-1]}"


def _check_image(image: Image, kind: str) -> None:
    """Raises AWS's errors for an image that the type cannot run. The last one's wording is unconfirmed."""
    of_kind = INSTANCE_TYPES[kind]
    architectures = of_kind["ProcessorInfo"]["SupportedArchitectures"]
    if image.architecture not in architectures:
        raise AwsError(
            "InvalidParameterValue",
            f"The architecture '{architectures[-1]}' of the specified instance type does not match the architecture "
            f"'{image.architecture}' of the specified AMI. Specify an instance type and an AMI that have matching "
            "architectures, and try again. You can use 'describe-instance-types' or 'describe-images' to discover the "
            "architecture of the instance type or AMI.",
        )
    if of_kind["NetworkInfo"].get("EnaSupport") == "required" and not image.ena_support:
        raise AwsError(
            "InvalidParameterCombination",
            f"Enhanced networking with the Elastic Network Adapter (ENA) is required for the '{kind}' instance type. "
            "Ensure that you are using an AMI that is enabled for ENA.",
        )
    if image.virtualization not in of_kind["SupportedVirtualizationTypes"]:
        raise AwsError(
            "InvalidParameterCombination",
            f"The virtualization type '{image.virtualization}' is not supported by the instance type '{kind}'.",
        )


def _mappings(image: Image, params: Params) -> _Mappings:
    """The image's block devices, overridden device by device by those of the request."""
    mappings: _Mappings = {device: dict(ebs) for device, ebs in image.mappings.items()}
    for asked in params.get("BlockDeviceMappings") or ():
        device, ebs = asked["DeviceName"], asked.get("Ebs") or {}
        base = mappings.get(device, {})
        if "NoDevice" in asked:
            mappings.pop(device, None)
            continue
        if device == image.root_device and base.get("SnapshotId") != ebs.get("SnapshotId", base.get("SnapshotId")):
            raise AwsError("InvalidBlockDeviceMapping", "snapshotId cannot be modified on root device")
        mappings[device] = {**base, **ebs}
    mappings.setdefault(image.root_device, {"VolumeSize": 8, "VolumeType": "gp3"})  # as images commonly have it
    return mappings
