"""The command `resize`: another type, or larger disks, from the next wake on; the wish is kept in the table alone."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING

import click

from autostop.aws.errors import aws_errors
from autostop.cost import volume_cost
from autostop.model import Instance, OtherType, Volume, WorkstationId
from autostop.settings import Policy
from autostop.sleep.capacity import why_never_become
from autostop.sleep.manifest import VolumeRecord
from autostop.sleep.own_type import own_type
from autostop.sleep.resize import Resize, not_in_effect, resize_in_words
from autostop.state import State
from autostop_cli.account import Account
from autostop_cli.arguments import an_instance, sizes
from autostop_cli.naming import adopted
from autostop_cli.new_machine import LARGEST
from autostop_cli.terminal import dollars, refused, say

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client


@dataclass(frozen=True, slots=True)
class Hardware:
    """What a system must be made for to boot on a type: `required`, `supported` or `unsupported`, as EC2 says it.

    offered: in the zone of the workstation.
    """

    nvme: str
    ena: str
    offered: bool


@an_instance
@click.option("--type", "type_", metavar="TYPE", help="Another type of instance, such as m5.2xlarge.")
@sizes("A larger disk, such as /dev/sdf=300; give it several times.")
@click.option("--off", is_flag=True, help="Take back what is wanted and has not taken effect.")
def resize(
    account: Account,
    workstation: WorkstationId,
    *,
    type_: str | None = None,
    sizes: Sequence[tuple[str, int]] = (),
    off: bool = False,
) -> None:
    """Give an INSTANCE another type or larger disks, from its next wake on. Disks only grow.

    Without an option it shows what is wanted. Where EC2 has no capacity for the type, it starts as the one before.
    """
    if off and (type_ or sizes):
        raise click.UsageError("--off takes all back; leave out --type and --size.")
    instance = adopted(account, workstation)
    if off:
        account.ledger.change(workstation, lambda state: replace(state, resize=None))
        say("It wakes as it is.")
        return
    state, volumes = account.ledger.load(workstation), account.disks.volumes(workstation)
    attached = [each for each in volumes if each.attached_to == instance.id]
    if type_ is None and not sizes:
        wanted = not_in_effect(state.resize, instance, state.fallback, attached)
        say(resize_in_words(wanted) if wanted is not None else "Nothing else is wanted of it.")
        return
    policy = account.policy(instance)
    disks = {each.device: each for each in disks_of(state, instance, attached)}
    named = {_device(name, disks): size for name, size in dict(sizes).items()}
    refusals = [*why_not_sizes(named, disks, instance, policy)]
    if type_ is not None:
        hardware = _hardware(account.ec2, (instance.type, type_), instance.zone)
        other = account.instances.types([type_])[0]
        refusals += [f"{type_}: {why}" for why in why_not_type(instance, other, hardware)]
    if refusals:
        raise refused(f"{workstation} is not resized", refusals)

    asked = Resize(account.clock(), instance.type, type_, named)
    _, after = account.ledger.change(workstation, lambda before: with_wish(before, asked, instance, attached))
    say(resize_in_words(after.resize) if after.resize is not None else "It is so already.")
    if named and policy.delete_after != timedelta(0):
        say(
            "Its delete-after keeps its disks, and a wake takes them back as they are: they grow once they were let go."
        )
    for device, size in named.items():
        disk = disks[device]
        costs = [volume_cost(disk.type, gib, disk.iops, disk.throughput) for gib in (disk.size_gib, size)]
        say(
            f"{device} costs {dollars(costs[1])} awake then, now {dollars(costs[0])}. Its file system grows "
            "by `growpart` and `xfs_growfs` or `resize2fs`, that of the root mostly by itself."
        )


def with_wish(state: State, asked: Resize, instance: Instance, attached: Sequence[Volume]) -> State:
    """The state with what is asked for beside what was, as far as it is not so already. Pure."""
    own = Resize(asked.at, own_type(instance, state.fallback))
    known = not_in_effect(state.resize, instance, state.fallback, attached) or own
    was = known.was if known.type is not None else own.was
    both = Resize(asked.at, was, asked.type or known.type, {**known.sizes, **asked.sizes})
    return replace(state, resize=not_in_effect(both, instance, state.fallback, attached))


def disks_of(state: State, instance: Instance, attached: Sequence[Volume]) -> list[VolumeRecord]:
    """The disks as they are: attached, or else written down before they became snapshots."""
    manifest = state.manifest
    recorded = manifest.volumes if manifest is not None and manifest.holds_since(instance) else ()
    known = {each.device: each for each in recorded}
    for each in attached:
        settings = (each.size_gib, each.type, each.zone, bool(each.delete_on_termination), each.iops, each.throughput)
        known[each.device or ""] = VolumeRecord(each.device or "", each.id, *settings)
    return list(known.values())


def _device(name: str, disks: Mapping[str, object]) -> str:
    return f"/dev/{name}" if name not in disks and f"/dev/{name}" in disks else name


def why_not_sizes(
    sizes: Mapping[str, int], disks: Mapping[str, VolumeRecord], instance: Instance, policy: Policy
) -> Iterator[str]:
    """Why its disks may not have these sizes, each with what would do. Pure."""
    if sizes and (instance.spot is not None or policy.shelve_after is None):
        why = "a Spot instance" if instance.spot is not None else "one whose shelve-after is off"
        yield f"the disks of {why} are never made anew. Enlarge them in the console."
        return
    for device, size in sizes.items():
        disk = disks.get(device)
        if disk is None:
            yield f"{device} is none of its disks: {', '.join(sorted(disks)) or 'it has none'}."
        elif size <= disk.size_gib:
            yield f"{device} has {disk.size_gib} GiB, and can only grow."
        elif size > (most := LARGEST.get(disk.type, 0)):
            yield f"{device} is of the type {disk.type}, which has at most {most} GiB."


def why_not_type(instance: Instance, other: OtherType, hardware: Mapping[str, Hardware]) -> Iterator[str]:
    """Why it may not become of another type. Pure. hardware: of its present type and of the other one."""
    if (reason := why_never_become(instance, other)) is not None:
        yield reason
        return
    now, then = hardware.get(instance.type), hardware[other.name]
    if not then.offered:
        yield f"EC2 does not offer it in {instance.zone}, where its disks are."
    if then.nvme == "required" and now is not None and now.nvme == "unsupported":
        yield f"its disks are NVMe, which {instance.type} never had, so that its system may not find them."
    if then.ena == "required" and instance.launch is not None and not instance.launch.ena:
        yield "it needs enhanced networking (ENA), which is not enabled for this instance."


def _hardware(client: "EC2Client", names: Sequence[str], zone: str) -> Mapping[str, Hardware]:
    """Of those that EC2 knows. Raises TransientError, DeniedError."""
    wanted = [*dict.fromkeys(names)]
    with aws_errors():
        found = client.describe_instance_types(Filters=[{"Name": "instance-type", "Values": wanted}])["InstanceTypes"]
        offered = client.describe_instance_type_offerings(
            LocationType="availability-zone",
            Filters=[{"Name": "instance-type", "Values": wanted}, {"Name": "location", "Values": [zone]}],
        )["InstanceTypeOfferings"]
    there = {each.get("InstanceType") for each in offered}
    known: dict[str, Hardware] = {}
    for each in found:
        nvme, ena = each.get("EbsInfo", {}).get("NvmeSupport", ""), each.get("NetworkInfo", {}).get("EnaSupport", "")
        known[each.get("InstanceType", "")] = Hardware(nvme, ena, each.get("InstanceType") in there)
    return known
