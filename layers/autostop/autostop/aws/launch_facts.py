"""What DescribeInstances tells of an instance that RunInstances would need to make another like it."""

from typing import TYPE_CHECKING

from autostop.launch_facts import LaunchFacts

if TYPE_CHECKING:
    from mypy_boto3_ec2.type_defs import InstanceTypeDef

# The options of the metadata service that RunInstances takes; EC2 tells its `State` too.
_METADATA = ("HttpTokens", "HttpPutResponseHopLimit", "HttpEndpoint", "HttpProtocolIpv6", "InstanceMetadataTags")


def launch_facts(shape: "InstanceTypeDef") -> LaunchFacts:
    """The facts of one instance."""
    options = shape.get("MetadataOptions", {})
    return LaunchFacts(
        type=shape.get("InstanceType", ""),
        subnet=shape.get("SubnetId", ""),
        security_groups=tuple(group.get("GroupId", "") for group in shape.get("SecurityGroups", [])),
        # By its name: it is unique in the account, and much shorter than the ARN with its path.
        profile=shape.get("IamInstanceProfile", {}).get("Arn", "").rpartition("/")[2],
        key=shape.get("KeyName", ""),
        architecture=shape.get("Architecture", ""),
        boot_mode=shape.get("BootMode", ""),
        ena=shape.get("EnaSupport", False),
        ebs_optimized=shape.get("EbsOptimized", False),
        monitoring=shape.get("Monitoring", {}).get("State") in ("enabled", "pending"),
        metadata={name: str(options[name]) for name in _METADATA if options.get(name)},  # type: ignore[literal-required]  # names of that shape
    )
