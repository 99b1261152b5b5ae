"""What AWS's instance types are, from the data that moto brings; no network."""

from typing import Any

from moto.utilities.utils import load_resource

INSTANCE_TYPES: dict[str, dict[str, Any]] = load_resource("ec2/resources/instance_types.json")


def vcpus(instance_type: str) -> int:
    """How many it has when it is launched without CpuOptions."""
    return int(INSTANCE_TYPES[instance_type]["VCpuInfo"]["DefaultVCpus"])
