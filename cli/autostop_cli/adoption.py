"""What must be tagged so that an instance becomes a workstation, and why it may not become one."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from autostop import tags
from autostop.aws.errors import aws_errors
from autostop.aws.probes import token_name
from autostop.cost import cost_now
from autostop.model import (
    AttachmentState,
    Instance,
    Snapshot,
    Volume,
    WorkstationId,
)
from autostop.settings import Policy, Probe, policy_for, words
from autostop.sleep.law import why_never_shelve, why_never_stop

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_ssm import SSMClient

# EC2 allows a resource 50 tags; AWS's own, whose keys begin with `aws:`, do not count.
_MOST_TAGS = 50


@dataclass(frozen=True, slots=True)
class Change:
    """One tag that is to be set. old: None when there is none now."""

    key: str
    old: str | None
    new: str


@dataclass(frozen=True, slots=True)
class Tagging:
    """The changes of one resource. what: it in a person's words."""

    resource: str
    what: str
    changes: tuple[Change, ...]


@dataclass(frozen=True, slots=True)
class Adoption:
    """A plan. volumes, then the instance: also those where nothing changes, for a person sees the whole.

    policy: what will hold for the workstation. cost: USD a month at most, of its disks and snapshots now.
    refusals: why nothing may be done, with what to do instead; empty when it may. warnings: what the owner should know.
    """

    workstation: WorkstationId
    volumes: tuple[Tagging, ...]
    instance: Tagging
    policy: Policy
    cost: float
    refusals: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def changes_tags(self) -> bool:
        """False when every tag is as it should be."""
        return any(each.changes for each in (*self.volumes, self.instance))


def plan_adoption(
    instance: Instance,
    volumes: Sequence[Volume],
    snapshots: Sequence[Snapshot],
    settings: Mapping[str, str],
    defaults: Policy,
    *,
    has_token: bool,
) -> Adoption:
    """What adopting an instance means. Pure.

    instance: in full, whatever its state. settings: valid ones, by tag. has_token: Jupyter's is stored or at hand.
    """
    attached = sorted((each for each in volumes if each.attached_to == instance.id), key=lambda each: each.device or "")
    after = {**instance.tags, **settings, tags.AUTOSTOP: tags.ON}
    policy, problems = policy_for(defaults, after)
    plan_volumes = tuple(_volume_tagging(volume, instance.id) for volume in attached)
    # The tag that makes it a workstation comes last to the eye too; CreateTags sets all of one resource at once.
    wanted = {**settings, tags.AUTOSTOP: tags.ON}
    plan_instance = Tagging(instance.id, f"{instance.name}, {instance.type}", _changes(instance.tags, wanted))
    refusals = [
        *_refusals_of_instance(instance, attached, policy),
        *_refusals_of_volumes(instance.id, attached),
        *_refusals_of_probe(instance.id, policy, after, has_token=has_token),
        *_refusals_of_room(instance, attached, plan_volumes, plan_instance),
    ]
    return Adoption(
        instance.id,
        plan_volumes,
        plan_instance,
        policy,
        cost_now(volumes, snapshots),
        tuple(refusals),
        (*problems, *_warnings(instance, policy)),
    )


def apply(adoption: Adoption, token: str | None, ec2: "EC2Client", ssm: "SSMClient") -> None:
    """Do what is planned, the instance last: it is a workstation only when all of it is. Safe to repeat.

    token: of Jupyter, to be stored; None leaves what is stored. Raises TransientError or DeniedError.
    """
    with aws_errors():
        if token is not None:
            ssm.put_parameter(Name=token_name(adoption.workstation), Value=token, Type="SecureString", Overwrite=True)
        for each in (*adoption.volumes, adoption.instance):
            if each.changes:
                shapes = [{"Key": change.key, "Value": change.new} for change in each.changes]
                ec2.create_tags(Resources=[each.resource], Tags=shapes)  # type: ignore[arg-type]  # dicts of that shape


def _volume_tagging(volume: Volume, workstation: WorkstationId) -> Tagging:
    wanted = {tags.AUTOSTOP: tags.ON, tags.WORKSTATION: workstation, tags.DEVICE: volume.device or ""}
    what = f"{volume.device}, {volume.type}, {volume.size_gib} GiB"
    return Tagging(volume.id, what, _changes(volume.tags, wanted))


def _changes(now: Mapping[str, str], wanted: Mapping[str, str]) -> tuple[Change, ...]:
    return tuple(Change(key, now.get(key), new) for key, new in wanted.items() if now.get(key) != new)


def _refusals_of_instance(instance: Instance, attached: Sequence[Volume], policy: Policy) -> Iterator[str]:
    if instance.is_gone:
        yield "it is terminated. Adopt another instance."
        return
    if reason := why_never_stop(instance):
        yield reason
    # A Spot instance is only stopped, and so is one that its owner never wants shelved.
    if policy.shelve_after is not None and instance.spot is None and (reason := why_never_shelve(instance, attached)):
        yield f"{reason} Or adopt it with `--shelve-after off`: then it is only stopped."
    has_root = any(each.device == instance.root_device for each in attached)
    # One that is adopted already may be shelved: then its settings are all there is to change.
    if not has_root and instance.root_is_ebs and not tags.is_ours(instance.tags):
        yield f"it has no volume at its root device {instance.root_device}. Attach it, then adopt it."


def _refusals_of_volumes(workstation: WorkstationId, attached: Sequence[Volume]) -> Iterator[str]:
    for volume in attached:
        other = volume.tags.get(tags.WORKSTATION, workstation)
        if other != workstation:
            yield (
                f"volume {volume.id} at {volume.device} is tagged as a part of the workstation {other}. Detach it, or "
                f"remove its tag {tags.WORKSTATION} if it belongs here now."
            )
        if volume.attachment is not AttachmentState.ATTACHED:
            yield f"volume {volume.id} at {volume.device} is {volume.attachment}. Wait until that is over."


def _refusals_of_probe(
    workstation: WorkstationId, policy: Policy, after: Mapping[str, str], *, has_token: bool
) -> Iterator[str]:
    if policy.probe is not Probe.HTTPS:
        return
    if tags.JUPYTER_CERTIFICATE not in after:
        yield "Jupyter is asked by https, and no certificate is pinned. Give it with --certificate."
    if not has_token:
        yield (
            f"Jupyter is asked by https, and {token_name(workstation)} holds no token. Give it with "
            "--token-from-stdin or in AUTOSTOP_JUPYTER_TOKEN."
        )


def _refusals_of_room(
    instance: Instance, attached: Sequence[Volume], plan_volumes: Sequence[Tagging], plan_instance: Tagging
) -> Iterator[str]:
    resources = ((each.tags, plan) for each, plan in zip(attached, plan_volumes, strict=True))
    for now, plan in (*resources, (instance.tags, plan_instance)):
        keys = {*now, *(change.key for change in plan.changes)}
        if sum(not key.startswith("aws:") for key in keys) > _MOST_TAGS:
            yield f"{plan.resource} has no room for Autostop's tags: EC2 allows {_MOST_TAGS}. Remove some of yours."


def _warnings(instance: Instance, policy: Policy) -> Iterator[str]:
    if instance.spot is not None:
        yield "It is a Spot instance: it is only stopped, never shelved."
    if policy.idle_after is None:
        yield "Its idle-after is off: idleness never stops it."
    if policy.stop_at is not None:
        yield f"Its stop-at is {policy.stop_at.text}: it is put to sleep then even if somebody works."
    if policy.max_run is not None:
        yield f"Its max-run is {words(policy.max_run)}: it is put to sleep then even if somebody works."
