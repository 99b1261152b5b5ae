"""The command `recover`: what is broken, what would be done about it, and doing it."""

from collections.abc import Sequence

import click

from autostop.model import WorkstationId
from autostop.ports import DeniedError, TransientError
from autostop.sleep.from_tags import is_gone
from autostop.tags import is_ours
from autostop_cli.account import Account
from autostop_cli.consent import Ask, typed
from autostop_cli.errors import sentence
from autostop_cli.repair.leftovers import delete_orphans, put_back_letters, show_letters, show_orphans
from autostop_cli.repair.recover import Finding, Recovery
from autostop_cli.repair.replacing import replace_gone
from autostop_cli.terminal import harmless

_DRY = "Nothing was changed. Run it at a terminal to be asked, or give --yes."


def recover_one(account: Account, workstation: WorkstationId, *, yes: bool = False, ask: Ask = typed) -> None:
    """Mend what the table has lost of one workstation, or build a new one in its place.

    ask: for the owner's consent. Raises click.ClickException with the reason when it cannot be, TransientError,
    DeniedError.
    """
    instance = account.instances.find(workstation)
    if instance is None or is_gone(instance):
        replace_gone(account, workstation, yes=yes, ask=ask)
        return
    if not is_ours(instance.tags):
        raise click.ClickException(f"{workstation} is not adopted. Run `autostop adopt {workstation}` first.")
    _mend(account, [_recovery(account).look(instance)], [], yes=yes, ask=ask)


def recover_all(
    account: Account, *, yes: bool = False, delete: bool = False, retry: bool = False, ask: Ask = typed
) -> None:
    """Mend what the table has lost of all workstations; show what is left over and what has failed for good.

    delete: the owner may consent to the deletion of what is left over. retry: what has failed for good is tried again.
    Raises click.ClickException at the end if anything could not be read or mended, TransientError, DeniedError.
    """
    recovery, findings, failed = _recovery(account), [], []
    for instance in sorted(account.instances.tagged(), key=lambda each: (each.name, each.id)):
        try:
            findings.append(recovery.look(instance))
        except (TransientError, DeniedError) as error:
            failed.append(f"{instance.id}: {sentence(error)}")
    problem: click.ClickException | None = None
    try:
        _mend(account, findings, failed, yes=yes, ask=ask)
    except click.ClickException as error:
        # What is left over and what has failed is told all the same.
        problem = error
    left = account.orphans.find()
    show_orphans(left)
    if delete:
        delete_orphans(account, left, ask=ask)
    letters = show_letters(account)
    if retry:
        put_back_letters(account, letters)
    if problem is not None:
        raise problem


def _recovery(account: Account) -> Recovery:
    return Recovery(account.instances, account.disks, account.ledger, account.queue, account.clock)


def _mend(account: Account, findings: Sequence[Finding], failed: list[str], *, yes: bool, ask: Ask) -> None:
    """Show the findings, ask, and write. Raises click.ClickException if any could not be read or mended."""
    click.echo("\n".join(line for finding in findings for line in _shown(finding)) or "There is no workstation here.")
    lost = [finding for finding in findings if finding.new is not None]
    if lost:
        if yes or ask("\nWrite this into the table?", "yes"):
            _write(account, lost, failed)
        else:
            click.echo(f"\n{_DRY}")
    failed += [f"{each.workstation} cannot be recovered: {_why_not(each)}" for each in findings if each.why_not]
    if failed:
        raise click.ClickException("\n".join(harmless(each) for each in failed))


def _write(account: Account, lost: Sequence[Finding], failed: list[str]) -> None:
    recovery = _recovery(account)
    click.echo("")
    for finding in lost:
        try:
            recovery.mend(finding)
        except (TransientError, DeniedError) as error:
            failed.append(f"{finding.workstation}: {sentence(error)}")
            continue
        click.echo(f"{finding.workstation} is recovered.")
        if finding.links_lost:
            click.echo(f"  Its links went with the table. Make a new one: autostop link {finding.workstation}")


def _shown(finding: Finding) -> list[str]:
    name = "" if finding.name == finding.workstation else f"  {harmless(finding.name)}"
    if finding.lost is None:
        return [f"{finding.workstation}{name}", "  all is well: the table and the tags agree"]
    lines = [f"{finding.workstation}{name}", f"  {harmless(finding.lost)}"]
    new = finding.new
    if finding.damaged:
        lines.append("  the damaged item is kept in the table, under the kind `damaged#…`, for a person to read")
    if new is not None and new.intent is not None:
        settled = "reached" if new.intent.settled else "it goes on"
        lines.append(f"  to be written: intent {new.intent.number}, {new.intent.wanted} ({settled})")
        lines.append(f"  {harmless(new.intent.why)}")
        if new.manifest is not None:
            lines += [
                f"  {harmless(record.device)}: {record.volume}, {record.type}, {record.size_gib} GiB, {record.snapshot}"
                for record in new.manifest.volumes
            ]
    return lines


def _why_not(finding: Finding) -> str:
    return (
        f"{finding.why_not}. Nothing is deleted, and nothing restored in part. If what is attached to it is all "
        "you want, start it in the EC2 console: from then on that is what counts."
    )
