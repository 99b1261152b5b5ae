"""What the types of EBS volumes allow. Source: CreateVolume in botocore's EC2 model.

The codes for a wrong Iops or Throughput parameter are unconfirmed; they are EC2's usual ones for the situation.
"""

from dataclasses import dataclass

from autostop_local.world.errors import AwsError, invalid_value


@dataclass(frozen=True, slots=True)
class VolumeType:
    """Sizes in GiB; a range of None: the parameter must be left out."""

    sizes: tuple[int, int]
    iops: tuple[int, int] | None = None
    iops_required: bool = False
    throughput: tuple[int, int] | None = None


VOLUME_TYPES = {
    "gp3": VolumeType((1, 65536), iops=(3000, 80000), throughput=(125, 2000)),
    "gp2": VolumeType((1, 16384)),
    "io1": VolumeType((4, 16384), iops=(100, 64000), iops_required=True),
    "io2": VolumeType((4, 65536), iops=(100, 256000), iops_required=True),
    "st1": VolumeType((125, 16384)),
    "sc1": VolumeType((125, 16384)),
    "standard": VolumeType((1, 1024)),
}


def performance(kind: str, size: int, iops: int | None, throughput: int | None) -> tuple[int | None, int | None]:
    """IOPS and throughput (MiB/s) as DescribeVolumes tells them. Raises AWS's error for what does not fit."""
    rules = VOLUME_TYPES.get(kind)
    if rules is None:
        raise AwsError("InvalidParameterValue", f"Unknown volume type '{kind}'.")
    least, most = rules.sizes
    if size < least:
        raise AwsError(
            "InvalidParameterValue", f"Volume of {size}GiB is too small for {kind} volumes; minimum is {least}GiB."
        )
    if size > most:
        raise AwsError(
            "InvalidParameterValue", f"Volume of {size}GiB is too large for {kind} volumes; maximum is {most}GiB."
        )
    _check_parameter("iops", kind, iops, rules.iops)
    _check_parameter("throughput", kind, throughput, rules.throughput)
    if rules.iops_required and iops is None:
        raise AwsError("MissingParameter", f"The parameter iops must be specified for {kind} volumes.")
    if kind == "gp2":
        return max(100, min(16000, 3 * size)), None
    if kind == "gp3":
        return iops or 3000, throughput or 125
    return iops, None


def _check_parameter(name: str, kind: str, value: int | None, allowed: tuple[int, int] | None) -> None:
    if value is None:
        return
    if allowed is None:
        raise AwsError("InvalidParameterCombination", f"The parameter {name} is not supported for {kind} volumes.")
    least, most = allowed
    if not least <= value <= most:
        raise invalid_value(value, name, f"It must be between {least} and {most} for {kind} volumes.")
