"""The command `adopt`: what must be tagged so that an instance becomes a workstation, and why it may not become one."""

import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import click

from autostop import tags
from autostop.aws.ec2 import shapes_of
from autostop.aws.errors import AlreadySo, aws_errors
from autostop.aws.owners_url import notice_name
from autostop.aws.probes import token_name
from autostop.cost import cost_now
from autostop.model import AttachmentState, Instance, Observation, Snapshot, Volume, WorkstationId
from autostop.ports import DeniedError
from autostop.settings import SETTINGS, Policy, Probe, policy_for, words
from autostop.sleep.from_tags import devices_only_in_snapshots
from autostop.sleep.unsuitable import why_never_shelve, why_never_stop
from autostop_cli import secret_parameters
from autostop_cli.account import Account
from autostop_cli.arguments import Run, Word, an_instance, dry_run, yes
from autostop_cli.certificate import fingerprint
from autostop_cli.consent import agreed
from autostop_cli.naming import known_instance
from autostop_cli.terminal import FailedError, dollars, refused, say, table

TOKEN_VARIABLE = "AUTOSTOP_JUPYTER_TOKEN"  # noqa: S105 - the name of a variable


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


def _setting(parse: Callable[[str], object], text: str) -> str:
    """Checked as the functions check it, but left as it was typed: that is what becomes a tag."""
    parse(text)
    return text.strip()


def _settings(run: Run) -> Run:
    for setting in reversed(SETTINGS):
        word = Word("text", partial(_setting, setting.parse))
        run = click.option(f"--{setting.name}", type=word, help=f"{setting.meaning}.")(run)
    return run


def _directory(text: str) -> str:
    if not (text.startswith("/") and text.isprintable() and len(text) <= tags.LONGEST_VALUE):
        raise ValueError(f"is not an absolute path of at most {tags.LONGEST_VALUE} printable characters")
    return text


@an_instance
@yes
@dry_run("Show what would be changed, and change nothing.")
@_settings
@click.option(
    "--instance-store-is-scratch",
    is_flag=True,
    help="Your word that its instance-store disks, which every stop empties, hold nothing of worth.",
)
@click.option(
    "--jupyter-runtime",
    type=Word("directory", _directory),
    help="Where the runtime files of the Jupyter servers are, if not in the users' homes; for the probe ssm.",
)
@click.option(
    "--certificate",
    type=Word("file or sha256", fingerprint),
    help="Of Jupyter: a PEM or DER file, or its SHA-256; for the probe https.",
)
@click.option(
    "--notify",
    type=Word("url", secret_parameters.parse_url),
    help="A URL such as ntfy://topic, for its notices alone; `stack`: where those of all workstations go.",
)
@click.option(
    "--token-from-stdin",
    is_flag=True,
    help=f"Read Jupyter's token from standard input, for the probe https; or set {TOKEN_VARIABLE}.",
)
def adopt(
    account: Account,
    workstation: WorkstationId,
    *,
    yes: bool,
    dry_run: bool,
    token_from_stdin: bool,
    instance_store_is_scratch: bool,
    notify: str | None,
    **texts: str | None,
) -> None:
    """Make an INSTANCE a workstation: tag it and its volumes.

    Shows first what changes and asks. An option sets it for this workstation; what is not given stays as it is, and
    what was never set is as the stack says. Safe to run again.
    """
    if token_from_stdin and not (yes or dry_run):
        raise click.UsageError("--token-from-stdin leaves no way to ask you: give --yes or --dry-run too.")
    chosen = {setting.tag: texts[setting.field] for setting in SETTINGS}
    chosen |= {tags.JUPYTER_RUNTIME: texts["jupyter_runtime"], tags.JUPYTER_CERTIFICATE: texts["certificate"]}
    chosen[tags.INSTANCE_STORE_IS_SCRATCH] = tags.YES if instance_store_is_scratch else None
    settings = {key: value for key, value in chosen.items() if value is not None}
    token = _token(from_stdin=token_from_stdin)
    adoption = _plan(account, workstation, settings, has_token=token is not None)
    say(*_shown(adoption))
    if adoption.refusals:
        raise refused(f"{workstation} cannot be adopted", adoption.refusals)
    if token is not None and adoption.policy.probe is not Probe.HTTPS:
        say("Note: the token is not kept, for Jupyter is not asked by https.")
        token = None
    secrets = {
        **({token_name(workstation): token} if token else {}),
        **secret_parameters.notices_to(workstation, notify),
    }
    for name, secret in secrets.items():
        what = "The URL for its notices" if name == notice_name(workstation) else "The token"
        kept = f"{what} goes into the SSM parameter {name}, encrypted."
        say("", kept if secret else "Its notices go where the stack says.")
    if not adoption.changes_tags and not secrets:
        say("", "Nothing is to be changed: it is adopted.")
        return
    if not agreed(f"Adopt {workstation}?", yes=yes, dry_run=dry_run):
        return
    if not yes and _plan(account, workstation, settings, has_token=token is not None) != adoption:
        raise FailedError(f"{workstation} changed meanwhile. Nothing was changed. Run it again.")
    _apply(account, adoption, secrets)
    say("", f"{workstation} is adopted. Make a link for your phone: autostop link {workstation}")


def adopt_new(account: Account, workstation: WorkstationId) -> None:
    """Adopt what was just made to be a workstation. Raises FailedError, TransientError, DeniedError."""
    adoption = _plan(account, workstation, {}, has_token=False)
    if adoption.refusals:
        raise FailedError(f"{workstation} cannot be adopted: {adoption.refusals[0]}")
    _apply(account, adoption, {})


def _token(*, from_stdin: bool) -> str | None:
    """Jupyter's token as the owner gives it; None when none is given. Raises click.UsageError for what is no token."""
    token = sys.stdin.readline() if from_stdin else os.environ.get(TOKEN_VARIABLE)
    if token is None:
        return None
    token = token.strip()
    if not token or not (token.isascii() and token.isprintable()) or " " in token:
        source = "standard input" if from_stdin else TOKEN_VARIABLE
        raise click.UsageError(f"{source} holds no token: one line of ASCII characters without spaces.")
    return token


def plan_adoption(
    instance: Instance,
    volumes: Sequence[Volume],
    snapshots: Sequence[Snapshot],
    settings: Mapping[str, str],
    defaults: Policy,
    *,
    has_token: bool,
    encrypts: bool = False,
) -> Adoption:
    """What adopting an instance means. Pure.

    instance: in full, whatever its state. settings: valid ones, by tag. has_token: Jupyter's is stored or at hand.
    encrypts: the account encrypts every new volume.
    """
    attached = sorted((each for each in volumes if each.attached_to == instance.id), key=lambda each: each.device or "")
    after = {**instance.tags, **settings, tags.AUTOSTOP: tags.ON}
    policy, problems = policy_for(defaults, after)
    plan_volumes = tuple(_volume_tagging(volume, instance.workstation) for volume in attached)
    # The tag that makes it a workstation comes last to the eye too; CreateTags sets all of one resource at once.
    wanted = {**settings, tags.AUTOSTOP: tags.ON}
    plan_instance = Tagging(instance.id, f"{instance.name}, {instance.type}", _changes(instance.tags, wanted))
    seen = Observation(instance.workstation, instance, tuple(volumes), tuple(snapshots))
    in_snapshots = devices_only_in_snapshots(seen)
    refusals = [
        *_refusals_of_instance(instance, attached, after, policy, in_snapshots),
        *_refusals_of_volumes(instance.workstation, attached),
        *_refusals_of_probe(instance.workstation, policy, after, has_token=has_token),
        *_refusals_of_room(instance, attached, plan_volumes, plan_instance),
    ]
    return Adoption(
        plan_volumes,
        plan_instance,
        policy,
        cost_now(volumes, snapshots),
        tuple(refusals),
        (*problems, *_warnings(replace(instance, tags=after), attached, policy, encrypts=encrypts)),
    )


def _plan(account: Account, workstation: WorkstationId, settings: Mapping[str, str], *, has_token: bool) -> Adoption:
    instance = known_instance(account, workstation)
    if not instance.is_gone:
        instance = account.instances.with_what_forbids_a_stop(instance)
    policy, _ = policy_for(account.stack.policy, {**instance.tags, **settings})
    # Whether a token is needed at all is known only from the settings as they will be.
    has_token = has_token or policy.probe is not Probe.HTTPS or _is_token_stored(account, workstation)
    volumes, snapshots = account.disks.volumes(workstation), account.disks.snapshots(workstation)
    known = (instance, volumes, snapshots, settings, account.stack.policy)
    return plan_adoption(*known, has_token=has_token, encrypts=_encrypts_by_default(account))


def _encrypts_by_default(account: Account) -> bool:
    try:
        with aws_errors():
            return account.ec2.get_ebs_encryption_by_default()["EbsEncryptionByDefault"]
    except DeniedError:
        # Only for a note: nobody needs the permission to adopt.
        return False


def _is_token_stored(account: Account, workstation: WorkstationId) -> bool:
    """Without decryption: the owner need not be allowed to read it."""
    with aws_errors(), AlreadySo("ParameterNotFound"):
        account.ssm.get_parameter(Name=token_name(workstation))
        return True
    return False


def _shown(adoption: Adoption) -> list[str]:
    lines = []
    for each in (*adoption.volumes, adoption.instance):
        lines.append(f"{each.resource}  {each.what}")
        rows = [
            [change.key, "(none)" if change.old is None else change.old, "->", change.new] for change in each.changes
        ]
        lines += [f"  {line}" for line in table(rows)] if rows else ["  no tag changes"]
    lines += ["", f"Its disks and snapshots cost at most {dollars(adoption.cost)} now.", _promise(adoption.policy)]
    lines += [f"Note: {each}" for each in adoption.warnings]
    return lines


def _promise(policy: Policy) -> str:
    """What will happen to it, in one line."""
    stop = (
        "Idleness never stops it" if policy.idle_after is None else f"It stops when idle for {words(policy.idle_after)}"
    )
    if policy.shelve_after is None:
        shelve = "its disks are never shelved"
    else:
        shelve = f"its disks become snapshots {words(policy.shelve_after)} after a stop"
        shelve = shelve if policy.shelve_after else "its disks become snapshots as soon as it is stopped"
        if (keep := policy.delete_after) is None or keep:
            shelve += f", and stay beside them, detached,{'' if keep is None else f' for {words(keep)}'}".rstrip(",")
    ask = {
        Probe.SSM: "Jupyter is asked by Run Command",
        Probe.HTTPS: f"Jupyter is asked by https at port {policy.jupyter_port}",
        Probe.NONE: "Jupyter is not asked",
    }
    return f"{stop}; {shelve}. {ask[policy.probe]}."


def _apply(account: Account, adoption: Adoption, secrets: Mapping[str, str]) -> None:
    """Do what is planned, the instance last: it is a workstation only when all of it is. Safe to repeat."""
    secret_parameters.keep(account, secrets)
    with aws_errors():
        for each in (*adoption.volumes, adoption.instance):
            if each.changes:
                changed = shapes_of({change.key: change.new for change in each.changes})
                account.ec2.create_tags(Resources=[each.resource], Tags=changed)


def _volume_tagging(volume: Volume, workstation: WorkstationId) -> Tagging:
    wanted = {tags.AUTOSTOP: tags.ON, tags.WORKSTATION: workstation, tags.DEVICE: volume.device or ""}
    what = f"{volume.device}, {volume.type}, {volume.size_gib} GiB"
    return Tagging(volume.id, what, _changes(volume.tags, wanted))


def _changes(now: Mapping[str, str], wanted: Mapping[str, str]) -> tuple[Change, ...]:
    return tuple(Change(key, now.get(key), new) for key, new in wanted.items() if now.get(key) != new)


def _refusals_of_instance(
    instance: Instance,
    attached: Sequence[Volume],
    after: Mapping[str, str],
    policy: Policy,
    in_snapshots: Sequence[str],
) -> Iterator[str]:
    if instance.is_gone:
        yield "it is terminated. Adopt another instance."
        return
    if reason := why_never_stop(replace(instance, tags=after)):
        yield reason
    # A Spot instance is only stopped, and so is one that its owner never wants shelved.
    if policy.shelve_after is not None and instance.spot is None and (reason := why_never_shelve(instance, attached)):
        yield f"{reason} Or adopt it with `--shelve-after off`: then it is only stopped."
    has_root = instance.root_device in (*in_snapshots, *(each.device for each in attached))
    # One that is adopted already may be shelved: then its settings are all there is to change. So may one that was
    # unadopted asleep.
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
        if sum(not key.startswith("aws:") for key in keys) > tags.MOST_TAGS:
            yield f"{plan.resource} has no room for Autostop's tags: EC2 allows {tags.MOST_TAGS}. Remove some of yours."


def _warnings(instance: Instance, attached: Sequence[Volume], policy: Policy, *, encrypts: bool) -> Iterator[str]:
    if instance.spot is not None:
        yield "It is a Spot instance: it is only stopped, never shelved."
    if instance.instance_store_gb:
        yield (
            f"Its instance-store disks ({instance.instance_store_gb} GB) are scratch by your word: each stop empties "
            "them, and no snapshot holds them. They come back without a file system; what /etc/fstab mounts of them "
            "needs `nofail`, or the next start stays in emergency mode."
        )
    if encrypts and policy.shelve_after is not None and not all(volume.encrypted for volume in attached):
        yield (
            "This account encrypts every new volume: its disks come back encrypted with the account's default key. If "
            "that is a key of your own, its policy must let the role of Autostop's reconciler use it."
        )
    if policy.idle_after is None:
        yield "Its idle-after is off: idleness never stops it."
    if policy.stop_at is not None:
        yield f"Its stop-at is {policy.stop_at.text}: it is put to sleep then even if somebody works."
    if policy.max_run is not None:
        yield f"Its max-run is {words(policy.max_run)}: it is put to sleep then even if somebody works."
