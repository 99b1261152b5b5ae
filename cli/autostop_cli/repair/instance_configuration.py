"""The configuration of an instance that is gone: as its root's snapshot has it in tags, and as EC2 still tells it."""

import json
import re
from base64 import b64decode
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from autostop import tags
from autostop.aws.codec import from_plain
from autostop.aws.errors import AlreadySo, aws_errors
from autostop.launch_facts import LaunchFacts, LaunchRecord
from autostop.model import Snapshot, WorkstationId

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client

_PIECE_KEY: Final = re.compile(rf"{re.escape(tags.INSTANCE_PIECE)}(\d{{1,2}})-of-(\d{{1,2}})", re.ASCII)

# The names in the tags that are not those of the fields.
_FIELDS: Final = {"groups": "security_groups", "boot": "boot_mode", "ebs-optimized": "ebs_optimized"}

# What RunInstances takes as GetLaunchTemplateData gives it. Not what is decided here (image, disks, tags), nor what a
# type may refuse although it is only its default (processor options).
_TAKEN_AS_IT_IS: Final = (
    "InstanceType",
    "KeyName",
    "EbsOptimized",
    "CreditSpecification",
    "DisableApiTermination",
    "DisableApiStop",
    "InstanceInitiatedShutdownBehavior",
)
# Not the interface's own id and addresses: they went with the instance, and others may have them by now.
_OF_AN_INTERFACE: Final = (
    "DeviceIndex",
    "NetworkCardIndex",
    "SubnetId",
    "Groups",
    "Description",
    "InterfaceType",
    "DeleteOnTermination",
    "AssociatePublicIpAddress",
)


def is_described(carried: Mapping[str, str]) -> bool:
    """True when a snapshot carries any piece of a configuration."""
    return any(_PIECE_KEY.fullmatch(key) for key in carried)


def configuration_from_tags(snapshots: Sequence[Snapshot]) -> LaunchRecord | None:
    """What the root's snapshot, one of a whole set, says of the instance; None when a part is missing or damaged."""
    roots = [snapshot for snapshot in snapshots if is_described(snapshot.tags)]
    return read(roots[0].tags[tags.DEVICE], roots[0].tags) if len(roots) == 1 else None


def read(root_device: str, carried: Mapping[str, str]) -> LaunchRecord | None:
    """The record in a snapshot's tags; None when a piece is missing or damaged. Never a part of it."""
    found = {key: match for key in carried if (match := _PIECE_KEY.fullmatch(key))}
    pieces = {int(match[1]): carried[key] for key, match in found.items()}
    counts = {int(match[2]) for match in found.values()}
    if counts != {len(found)} or sorted(pieces) != list(range(1, len(found) + 1)):
        return None
    try:
        data = json.loads("".join(pieces[number] for number in sorted(pieces)))
        facts = {_FIELDS.get(name, name): value for name, value in data.items()}
        record = {"root_device": root_device, "facts": facts}
        record |= {"tags": data.get("tags", {}), "left_out": data.get("left-out", 0)}
        return from_plain(LaunchRecord, record)
    except (AttributeError, ValueError, RecursionError):
        return None


def told_by_ec2(client: "EC2Client", workstation: WorkstationId) -> dict[str, Any]:
    """What EC2 still tells of the instance, as RunInstances takes it; empty when it tells nothing any more.

    Of an instance that is terminated EC2 tells no network and no profile, and after a while nothing at all. What is
    empty or false then says nothing, and is left out. Raises TransientError, DeniedError.
    """
    data: Mapping[str, Any] = {}
    with aws_errors(), AlreadySo("InvalidInstanceID.NotFound", "IncorrectInstanceState"):
        data = client.get_launch_template_data(InstanceId=workstation)["LaunchTemplateData"]
    known = {name: data[name] for name in _TAKEN_AS_IT_IS if data.get(name)}
    if options := data.get("MetadataOptions"):
        known["MetadataOptions"] = {name: value for name, value in options.items() if name != "State"}
    if profile := data.get("IamInstanceProfile"):
        # RunInstances takes one of its names.
        known["IamInstanceProfile"] = {name: profile[name] for name in list(profile)[:1]}
    if data.get("Monitoring", {}).get("Enabled"):
        known["Monitoring"] = {"Enabled": True}
    if interfaces := data.get("NetworkInterfaces"):
        known["NetworkInterfaces"] = _interfaces(interfaces)
    if user_data := data.get("UserData"):
        # boto3 encodes it again.
        known["UserData"] = b64decode(user_data)
    return known


def launch_parameters(recorded: LaunchFacts, told: Mapping[str, Any]) -> dict[str, Any]:
    """RunInstances' parameters that make an instance like it: what EC2 tells, and what was recorded of the rest."""
    metadata = {
        name: int(value) if name == "HttpPutResponseHopLimit" else value for name, value in recorded.metadata.items()
    }
    network = {"SubnetId": recorded.subnet, "SecurityGroupIds": list(recorded.security_groups)}
    known = {
        "InstanceType": recorded.type,
        "KeyName": recorded.key,
        "IamInstanceProfile": {"Name": recorded.profile} if recorded.profile else None,
        "EbsOptimized": recorded.ebs_optimized,
        "Monitoring": {"Enabled": True} if recorded.monitoring else None,
        "MetadataOptions": metadata,
        # RunInstances takes a subnet and groups, or interfaces that say both.
        **({} if "NetworkInterfaces" in told else network),
    }
    return {name: value for name, value in known.items() if value} | dict(told)


def _interfaces(shapes: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    kept = [{name: shape[name] for name in _OF_AN_INTERFACE if name in shape} for shape in shapes]
    if len(kept) > 1:
        # With several interfaces RunInstances gives no public address.
        kept = [{name: shape[name] for name in shape if name != "AssociatePublicIpAddress"} for shape in kept]
    return kept
