"""What the types of EBS volumes allow. Source: CreateVolume in botocore's EC2 model.

The codes for a wrong Iops or Throughput parameter are unconfirmed; they are EC2's usual ones for the situation.
"""

from dataclasses import dataclass

from autostop_local.world.errors import AwsError, invalid_value


@dataclass(frozen=True, slots=True)
class VolumeType:
    """Sizes in GiB; a range of None: the parameter must be left out. The least IOPS of the range go with any size."""

    sizes: tuple[int, int]
    iops: tuple[int, int] | None = None
    iops_required: bool = False
    throughput: tuple[int, int] | None = None
    most_iops_per_gib: int = 0


VOLUME_TYPES = {
    "gp3": VolumeType((1, 65536), iops=(3000, 80000), throughput=(125, 2000), most_iops_per_gib=500),
    "gp2": VolumeType((1, 16384)),
    "io1": VolumeType((4, 16384), iops=(100, 64000), iops_required=True, most_iops_per_gib=50),
    "io2": VolumeType((4, 65536), iops=(100, 256000), iops_required=True, most_iops_per_gib=1000),
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
    _check_ratios(rules, size, iops, throughput)
    if kind == "gp2":
        return max(100, min(16000, 3 * size)), None
    if kind == "gp3":
        return iops or 3000, throughput or 125
    return iops, None


def _check_ratios(rules: VolumeType, size: int, iops: int | None, throughput: int | None) -> None:
    """EBS User Guide, ebs-volume-types. In the words of rocicorp/mono, pull 4410, and runs-on/runs-on, issue 260."""
    least = rules.iops[0] if rules.iops else 0
    if iops is not None and iops > max(least, size * rules.most_iops_per_gib):
        raise AwsError(
            "InvalidParameterValue",
            f"Iops to volume size ratio of {iops / size:.6f} is too high; maximum is {rules.most_iops_per_gib}",
        )
    if throughput is not None and throughput > (iops or least) / 4:
        raise AwsError(
            "InvalidParameterValue",
            f"Throughput (MiBps) to iops ratio of {throughput / (iops or least):.6f} is too high; "
            "maximum is 0.250000 MiBps per iops",
        )


def _check_parameter(name: str, kind: str, value: int | None, allowed: tuple[int, int] | None) -> None:
    if value is None:
        return
    if allowed is None:
        raise AwsError("InvalidParameterCombination", f"The parameter {name} is not supported for {kind} volumes.")
    least, most = allowed
    if not least <= value <= most:
        raise invalid_value(value, name, f"It must be between {least} and {most} for {kind} volumes.")
