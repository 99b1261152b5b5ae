"""What a new machine is to be: its type, image, place and disks, and what it will cost."""

import base64
import http.client
import ipaddress
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from autostop import tags
from autostop.aws.ec2 import shapes_of
from autostop.aws.errors import AlreadySo, aws_errors
from autostop.cost import BUILT_IN, Prices, snapshot_cost, volume_cost
from autostop.link import parse_workstation
from autostop.ports import DeniedError
from autostop_cli.secret_parameters import parse_url
from autostop_cli.terminal import dollars, table

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_ec2.type_defs import FilterTypeDef
    from mypy_boto3_ssm import SSMClient

DEFAULT_TYPE = "c5.2xlarge"
# In the owner's words, and as the machine's tag says it.
CERTIFICATES: Mapping[str, str] = {"self-signed": "self-signed", "public": "letsencrypt"}
DATA_DEVICE = "/dev/sdf"  # the boot script's data_device
# By type, what it is, and USD an hour on demand in us-east-1 of the price list of 19 January 2026.
TYPES: Mapping[str, tuple[str, float]] = {
    "c5.2xlarge": ("Intel, 8 vCPU, 16 GiB: the guide's", 0.3400),
    "c6a.2xlarge": ("AMD, 8 vCPU, 16 GiB", 0.3060),
    "c7g.2xlarge": ("Arm, 8 vCPU, 16 GiB", 0.2900),
    "m6a.2xlarge": ("AMD, 8 vCPU, 32 GiB", 0.3456),
    "m7g.2xlarge": ("Arm, 8 vCPU, 32 GiB: take it unless something you need has no build for Arm", 0.3264),
    "m7i-flex.2xlarge": ("Intel, 8 vCPU, 32 GiB", 0.3830),
    "r7g.2xlarge": ("Arm, 8 vCPU, 64 GiB", 0.4284),
}
# For who cannot ask the Price List.
FIRST_FIGURES = replace(
    BUILT_IN, usd={**BUILT_IN.usd, **{f"BoxUsage:{each}": hour for each, (_, hour) in TYPES.items()}}
)
# GiB, by the type of a volume (botocore, `CreateVolume`).
LARGEST: Mapping[str, int] = {
    "gp3": 65536, "gp2": 16384, "io1": 16384, "io2": 65536, "st1": 16384, "sc1": 16384, "standard": 1024,
}  # fmt: skip
_ADDRESS_HOUR = 0.005
_HOURS = 6 * 365 / 12
_CANONICAL = "099720109477"
_IMAGE = "/aws/service/canonical/ubuntu/server/24.04/stable/current/{}/hvm/ebs-gp3/ami-id"
_ARCHITECTURES = {"x86_64": "amd64", "arm64": "arm64"}
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,38}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Wish:
    """What the owner asks for. type: empty while it is not chosen. sizes: GiB by device, where the defaults do not do.

    certificate: of CERTIFICATES, or empty. notify: as `parse_notify` gives it; None while it is not chosen.
    """

    name: str
    type: str = ""
    spot: bool = False
    sizes: Mapping[str, int] = field(default_factory=dict)
    allow_from: str | None = None
    certificate: str = ""
    notify: str | None = None

    @property
    def mail(self) -> str:
        """The address for the notices of all workstations; empty where they go to a URL, or as the stack says."""
        return self.notify if self.notify is not None and "@" in self.notify and "://" not in self.notify else ""


@dataclass(frozen=True, slots=True)
class Machine:
    """What it comes to in this Region. disks: GiB by device, the root's first."""

    wish: Wish
    vcpus: int
    memory_gib: float
    image: str
    image_name: str
    zone: str
    subnet: str
    vpc: str
    disks: Mapping[str, int]

    def shown(self, prices: Prices) -> list[str]:
        spot = "Spot" if self.wish.spot else "on demand"
        disks = ", ".join(f"{device} {size} GiB" for device, size in self.disks.items())
        rows = [
            ("instance", f"{self.wish.type}: {self.vcpus} vCPU, {self.memory_gib:g} GiB, {spot}, in {self.zone}"),
            ("image", f"{self.image_name} ({self.image})"),
            ("disks", f"{disks}; gp3, encrypted"),
        ]
        return [*table(rows), "", cost_in_words(self.wish.type, self.disks.values(), prices, spot=self.wish.spot)]

    def request(self, token: str, group: str, stack: Mapping[str, str], user_data: bytes) -> dict[str, Any]:
        """RunInstances' parameters. stack: the outputs of the workstation's."""
        of_all = {tags.AUTOSTOP: tags.ON}
        of_instance = {
            "Name": self.wish.name,
            tags.CREATED: self.wish.name,
            tags.CERTIFICATE: CERTIFICATES[self.wish.certificate or "self-signed"],
            tags.BUCKET: stack["BucketName"],
        }
        root, gp3 = next(iter(self.disks)), {"VolumeType": "gp3", "Encrypted": True}
        template = {"LaunchTemplateId": stack["LaunchTemplateId"], "Version": stack["LaunchTemplateVersion"]}
        request = {
            "LaunchTemplate": template,
            "ClientToken": token,
            "ImageId": self.image,
            "InstanceType": self.wish.type,
            "Placement": {"AvailabilityZone": self.zone},
            "SubnetId": self.subnet,
            "SecurityGroupIds": [group],
            "UserData": base64.b64encode(user_data).decode(),
            "MinCount": 1,
            "MaxCount": 1,
            "BlockDeviceMappings": [
                # The owner's data outlives a termination by mistake.
                {"DeviceName": device, "Ebs": {**gp3, "VolumeSize": size, "DeleteOnTermination": device == root}}
                for device, size in self.disks.items()
            ],
            # All of them, also those of the launch template: whether EC2 joins both is not relied on.
            "TagSpecifications": [
                {"ResourceType": "instance", "Tags": shapes_of(of_all | of_instance)},
                {"ResourceType": "volume", "Tags": shapes_of(of_all)},
            ],
        }
        if self.wish.spot:
            request["InstanceMarketOptions"] = {
                "MarketType": "spot",
                "SpotOptions": {"SpotInstanceType": "persistent", "InstanceInterruptionBehavior": "stop"},
            }
        return request


def parse_name(text: str) -> str:
    """Raises ValueError for what cannot be a workstation's name."""
    if not _NAME.fullmatch(text) or parse_workstation(text) is not None:
        raise ValueError("is no name: a letter, then up to 38 letters, digits and hyphens")
    return text


def parse_disk(text: str) -> tuple[str, int]:
    """`/dev/sdf=300`, in GiB; whether the name has its directory is as it was typed. Raises ValueError."""
    device, _, size = text.partition("=")
    digits = size.strip().removesuffix("GiB").strip()
    if not device.strip() or not re.fullmatch("[0-9]{1,8}", digits) or not int(digits):
        raise ValueError("is no size of a disk; write it like /dev/sdf=300, in GiB")
    return device.strip(), int(digits)


def parse_address(text: str) -> str:
    """One public IPv4 address; `here` asks AWS which one calls come from. Raises ValueError."""
    try:
        address = ipaddress.IPv4Address(_own_address() if text == "here" else text)
    except (OSError, http.client.HTTPException, ValueError):
        raise ValueError("is no IPv4 address, and could not be found out") from None
    return str(address)


def _own_address() -> str:
    connection = http.client.HTTPSConnection("checkip.amazonaws.com", timeout=4)
    with suppress(http.client.HTTPException):
        connection.request("GET", "/")
    return connection.getresponse().read(64).decode("ascii", "replace").strip()


def parse_certificate(text: str) -> str:
    """One of CERTIFICATES. Raises ValueError."""
    if text not in CERTIFICATES:
        raise ValueError(f"is none of {', '.join(CERTIFICATES)}")
    return text


def parse_notify(text: str) -> str:
    """A mail address, a URL, or `stack`. Raises ValueError."""
    return text if re.fullmatch(r"[^@\s:/]+@[^@\s:/]+", text) else parse_url(text)


def types_in_words(prices: Prices) -> list[str]:
    """What there is to choose from, for a question."""
    hours = {each: prices.hour(each) for each in TYPES}
    told = {each: "unknown" if math.isnan(hour) else f"${hour:.4f} an hour" for each, hour in hours.items()}
    return [
        *table([(each, told[each], what) for each, (what, _) in TYPES.items()]),
        f"Prices: on demand, {_when(prices)}. Memory runs out before the processor does.",
    ]


def _when(prices: Prices) -> str:
    return f"of {prices.region} {f'on {prices.at:%Y-%m-%d}' if prices.at else 'in January 2026'}"


def cost_in_words(type_: str, sizes: Iterable[int], prices: Prices, *, spot: bool = False) -> str:
    """USD a month, awake for six hours a day and asleep; disks cost their share while awake, snapshots always."""
    sizes = list(sizes)
    disks = sum(volume_cost("gp3", size, None, None, prices) for size in sizes)
    snapshots = sum(snapshot_cost(size, prices) for size in sizes)
    asleep = f"asleep all month, at most {dollars(snapshots)}, less where the disks are not full"
    if spot:
        return f"It costs what Spot costs that hour, and {dollars(disks)} for its disks, awake or asleep."
    awake = (prices.hour(type_) + _ADDRESS_HOUR) * _HOURS + disks / 4 + snapshots
    if math.isnan(awake):
        return f"What {type_} costs an hour is not known here. Its disks: {dollars(disks)} while awake; {asleep}."
    return f"It costs some {dollars(awake)} awake for 6 hours a day (prices {_when(prices)}); {asleep}."


def find_machine(ec2: "EC2Client", ssm: "SSMClient", wish: Wish, vpc: str) -> Machine:
    """What the wish comes to here. vpc: an id, or `default`. Raises DeniedError with what to do, TransientError."""
    region = ec2.meta.region_name
    of_type: list[FilterTypeDef] = [{"Name": "instance-type", "Values": [wish.type]}]
    with aws_errors():
        types = ec2.describe_instance_types(Filters=of_type)["InstanceTypes"]
        offered = ec2.describe_instance_type_offerings(LocationType="availability-zone", Filters=of_type)
        where: FilterTypeDef = {"Name": "default-for-az", "Values": ["true"]}
        if vpc != "default":
            where = {"Name": "vpc-id", "Values": [vpc]}
        subnets = ec2.describe_subnets(Filters=[where])["Subnets"]
    runs = types[0]["ProcessorInfo"]["SupportedArchitectures"] if types else []
    architecture = next((each for each in runs if each in _ARCHITECTURES), None)
    if architecture is None or not offered["InstanceTypeOfferings"]:
        raise DeniedError(
            f"{region} has no type {wish.type} that runs Ubuntu. Take another with --type, such as m7g.2xlarge."
        )
    if not subnets:
        raise DeniedError(f"{region} has no default VPC. Make one: aws ec2 create-default-vpc --region {region}")
    zones = {each.get("Location", "") for each in offered["InstanceTypeOfferings"]}
    places = sorted((each["AvailabilityZone"], each["SubnetId"], each["VpcId"]) for each in subnets)
    place = next((each for each in places if each[0] in zones), None)
    if place is None:
        raise DeniedError(
            f"No zone with a subnet has {wish.type}; it is in {', '.join(sorted(zones))}. Take another with --type, or "
            "make a default subnet there: aws ec2 create-default-subnet --availability-zone ZONE"
        )
    image = _image(ec2, ssm, architecture)
    disks = {image["RootDeviceName"]: 30, DATA_DEVICE: 100}
    sizes = {f"/dev/{device.removeprefix('/dev/')}": size for device, size in wish.sizes.items()}
    if unknown := sizes.keys() - disks.keys():
        raise DeniedError(f"It has no disk {min(unknown)}; its disks are {' and '.join(disks)}.")
    if (largest := max(sizes.values(), default=0)) > LARGEST["gp3"]:
        raise DeniedError(f"No disk of its type has {largest} GiB; the largest has {LARGEST['gp3']}.")
    vcpus, gib = types[0]["VCpuInfo"]["DefaultVCpus"], types[0]["MemoryInfo"]["SizeInMiB"] / 1024
    return Machine(wish, vcpus, gib, image["ImageId"], image["Name"], *place, {**disks, **sizes})


def _image(ec2: "EC2Client", ssm: "SSMClient", architecture: str) -> Any:
    """Canonical's newest Ubuntu: a parameter of AWS names it, and its owner is looked at all the same."""
    name = _IMAGE.format(_ARCHITECTURES[architecture])
    images: Sequence[Any] = []
    with aws_errors(), AlreadySo("ParameterNotFound", "InvalidAMIID.NotFound"):
        image = ssm.get_parameter(Name=name)["Parameter"]["Value"]
        images = ec2.describe_images(ImageIds=[image])["Images"]
    for each in images:
        if each["OwnerId"] == _CANONICAL and each["RootDeviceType"] == "ebs" and each["Architecture"] == architecture:
            return each
    raise DeniedError(f"{ec2.meta.region_name} has no image of Canonical's at {name}. Take another Region.")
