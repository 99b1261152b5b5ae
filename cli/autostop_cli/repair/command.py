"""The command `recover`: what is broken, what would be done about it, and doing it."""

import json
from collections.abc import Sequence
from datetime import tzinfo

import click

from autostop.model import WorkstationId
from autostop.ports import DeniedError, TransientError
from autostop.sleep.from_tags import UnreadableError
from autostop.tags import INSTANCE_TYPE
from autostop_cli.account import Account
from autostop_cli.arguments import instance_or_none
from autostop_cli.consent import Ask, typed
from autostop_cli.errors import sentence
from autostop_cli.naming import adopted
from autostop_cli.repair.dead_letters import put_back_letters, show_letters
from autostop_cli.repair.leftovers import delete_leftovers, find_leftovers, show_leftovers
from autostop_cli.repair.rebuild import Rebuild
from autostop_cli.repair.rebuild_plan import RebuildPlan
from autostop_cli.repair.recover import Finding, Recovery
from autostop_cli.terminal import FailedError, dated, heading, say, table

# Of RunInstances' parameters, in words of their own; the others are shown as they are.
SHOWN = frozenset({"InstanceType", "SubnetId", "SecurityGroupIds", "IamInstanceProfile", "KeyName"})
_LONGEST_SHOWN = 300
_DRY = "Nothing was changed. Run it at a terminal to be asked, or give --yes."


@instance_or_none
@click.option("--yes", is_flag=True, help="Write what is lost, or build the new instance, without asking.")
@click.option("--instance-profile", default="", help="With --yes: the one that the new instance may get.")
@click.option("--delete-orphans", is_flag=True, help="Ask whether to delete what is left over; you type `delete`.")
@click.option("--retry-dead-letters", is_flag=True, help="Try again what the reconciler failed on, once it is mended.")
def recover(
    account: Account,
    *,
    workstation: WorkstationId | None,
    yes: bool,
    instance_profile: str,
    delete_orphans: bool,
    retry_dead_letters: bool,
) -> None:
    """Put right what is broken. Shows first what would be done; without your yes nothing is changed.

    Rebuilds what the table has lost of every workstation, or of one INSTANCE, from the tags of its snapshots. Builds a
    new instance in the place of an INSTANCE that was terminated while it was shelved. Without INSTANCE it also lists
    what is left over in the account, with its price, and what the reconciler has failed on for good.
    """
    if workstation is None:
        recover_all(account, yes=yes, delete=delete_orphans, retry=retry_dead_letters)
    elif delete_orphans or retry_dead_letters:
        raise click.UsageError("--delete-orphans and --retry-dead-letters are for all; leave out INSTANCE.")
    else:
        recover_one(account, workstation, yes=yes, profile=instance_profile)


def recover_one(
    account: Account, workstation: WorkstationId, *, yes: bool = False, profile: str = "", ask: Ask = typed
) -> None:
    """Mend what the table has lost of one workstation, or build a new one in its place.

    ask: for the owner's consent. yes: it is given already, but to no instance profile other than this one. Raises
    FailedError with the reason when it cannot be, TransientError, DeniedError.
    """
    instance = account.find(workstation)
    if instance is None or instance.is_gone:
        _rebuild(account, workstation, yes=yes, profile=profile, ask=ask)
    else:
        _mend(account, [_recovery(account).look(adopted(account, workstation))], [], yes=yes, ask=ask)


def recover_all(
    account: Account, *, yes: bool = False, delete: bool = False, retry: bool = False, ask: Ask = typed
) -> None:
    """Mend what the table has lost of all workstations; show what is left over and what has failed for good.

    delete: the owner may consent to the deletion of what is left over. retry: what has failed for good is tried again.
    Raises FailedError at the end if anything could not be read or mended, TransientError, DeniedError.
    """
    recovery, findings, failed = _recovery(account), [], []
    for instance in account.workstations():
        try:
            findings.append(recovery.look(instance))
        except (TransientError, DeniedError) as error:
            failed.append(f"{instance.id}: {sentence(error)}")
    problem: FailedError | None = None
    try:
        _mend(account, findings, failed, yes=yes, ask=ask)
    except FailedError as error:
        # What is left over and what has failed is told all the same.
        problem = error
    left = find_leftovers(account)
    show_leftovers(left)
    if delete:
        delete_leftovers(account, left, ask=ask)
    letters = show_letters(account)
    if retry:
        put_back_letters(account, letters)
    if problem is not None:
        raise problem


def _recovery(account: Account) -> Recovery:
    return Recovery(account.instances, account.disks, account.ledger, account.queue, account.clock)


def _mend(account: Account, findings: Sequence[Finding], failed: list[str], *, yes: bool, ask: Ask) -> None:
    """Show the findings, ask, and write. Raises FailedError if any could not be read or mended."""
    lines = [line for finding in findings for line in _shown(finding)]
    say(*(lines or ["There is no workstation here."]))
    lost = [finding for finding in findings if finding.new is not None]
    if lost:
        if yes or ask("\nWrite this into the table?", "yes"):
            _write(account, lost, failed)
        else:
            say("", _DRY)
    failed += [f"{each.workstation} cannot be recovered: {_why_not(each)}" for each in findings if each.why_not]
    if failed:
        raise FailedError(*failed)


def _write(account: Account, lost: Sequence[Finding], failed: list[str]) -> None:
    recovery = _recovery(account)
    say("")
    for finding in lost:
        try:
            recovery.mend(finding)
        except (TransientError, DeniedError) as error:
            failed.append(f"{finding.workstation}: {sentence(error)}")
            continue
        say(f"{finding.workstation} is recovered.")
        if finding.links_lost:
            say(f"  Its links went with the table. Make a new one: autostop link {finding.workstation}")


def _shown(finding: Finding) -> list[str]:
    title = heading(finding.workstation, finding.name)
    copies = [f"  {each}" for each in finding.copies]
    if finding.lost is None:
        return [title, *(copies or ["  all is well: the table and the tags agree"])]
    lines = [title, f"  {finding.lost}", *copies]
    new = finding.new
    if finding.damaged:
        lines.append("  the damaged item is kept in the table, under the kind `damaged#…`, for a person to read")
    if new is not None and new.intent is not None:
        settled = "reached" if new.intent.settled else "it goes on"
        lines.append(f"  to be written: intent {new.intent.number}, {new.intent.wanted} ({settled})")
        lines.append(f"  {new.intent.why}")
        if new.fallback is not None:
            own = f"its next start changes its type to {new.fallback.own}, which is its own by its tag {INSTANCE_TYPE}"
            lines.append(f"  {own}")
        if new.manifest is not None:
            lines += [
                f"  {record.device}: {record.volume}, {record.type}, {record.size_gib} GiB, {record.snapshot}"
                for record in new.manifest.volumes
            ]
    return lines


def _why_not(finding: Finding) -> str:
    return (
        f"{finding.why_not}. Nothing is deleted, and nothing restored in part. If what is attached to it is all "
        "you want, start it in the EC2 console: from then on that is what counts."
    )


def _rebuild(account: Account, gone: WorkstationId, *, yes: bool, profile: str, ask: Ask) -> None:
    """Build a new instance after showing what that means and asking, or finish what was begun."""
    question, role = "Finish it?", ""
    rebuild = Rebuild(account, gone)
    begun = rebuild.built()
    if begun is not None and rebuild.is_finished():
        say(f"{gone} is gone, and {begun} was built in its place. Nothing is left to do.")
        return
    if begun is not None:
        say(f"{gone} is gone, and {begun} is being built in its place. That is to be finished.")
    else:
        try:
            plan = rebuild.plan()
            say(*_shown_plan(plan, account.now().tzinfo))
            question, role = "Build it?", plan.profile
        except UnreadableError as error:
            raise FailedError(f"{gone} is gone, and no new one is built: {error}.") from error
    if role:
        # A tag says which it was, and who may only tag must not choose what the new instance may do.
        say("", f"Whoever gets into the new instance may do what its profile {role} may. Look whether that is right.")
    if not (yes and profile == role) and not ask(f"\n{question}", role or "yes"):
        say("", f"{_DRY} Its profile is named by --instance-profile {role}." if role else _DRY)
        return
    say("")
    new = rebuild.build()
    say("", f"{new} is in the place of {gone}. Autostop now sees to it that it comes up: autostop status {new}")
    say(f"Links of the old one do not open it. Make a new one: autostop link {new}")


def _shown_plan(plan: RebuildPlan, zone: tzinfo | None) -> list[str]:
    manifest, facts, parameters = plan.manifest, plan.configuration.facts, plan.parameters
    interfaces = parameters.get("NetworkInterfaces") or [{}]
    groups = parameters.get("SecurityGroupIds") or interfaces[0].get("Groups", [])
    rows = [
        ("type", parameters["InstanceType"]),
        ("subnet", parameters.get("SubnetId") or interfaces[0].get("SubnetId") or "the default"),
        ("security groups", ", ".join(groups) or "the default"),
        ("profile", next(iter(parameters.get("IamInstanceProfile", {}).values()), "none")),
        ("key pair", parameters.get("KeyName") or "none"),
        ("image", f"{facts.architecture}, {facts.boot_mode or 'default boot mode'}, made from the root's snapshot"),
        *((each.device, f"{each.type}, {each.size_gib} GiB, from {each.snapshot}") for each in manifest.volumes),
        *(
            (name, json.dumps(parameters[name], default=str)[:_LONGEST_SHOWN])
            for name in sorted(parameters.keys() - SHOWN)
        ),
        *(("tag", f"{key} = {value}") for key, value in plan.configuration.tags.items()),
    ]
    return [
        f"{plan.workstation} is gone. A new instance can be built in its place, from its last shelving:",
        f"cycle {manifest.cycle}, stopped {dated(manifest.stopped_at, zone)}.",
        "",
        *(f"  {line}" for line in table(rows)),
        "",
        "It is started at once, and costs what its type costs. What cannot come back:",
        *(f"  - {each}" for each in plan.lost),
        *(f"Note: {each}." for each in plan.warnings),
    ]
