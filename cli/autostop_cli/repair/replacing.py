"""Building a new instance in the place of one that is gone: what is shown, asked and done."""

import click

from autostop.model import WorkstationId
from autostop.sleep.from_tags import Unreadable
from autostop_cli.account import Account
from autostop_cli.consent import Ask
from autostop_cli.repair.rebuild import Replacer
from autostop_cli.repair.replacement import Replacement
from autostop_cli.terminal import harmless, table


def replace_gone(account: Account, gone: WorkstationId, *, yes: bool, ask: Ask) -> None:
    """Build it after showing what that means and asking, or finish what was begun.

    Raises click.ClickException with the reason when it cannot be, TransientError, DeniedError.
    """
    replacer = Replacer(
        account.instances,
        account.disks,
        account.builder,
        account.ledger,
        account.queue,
        account.stack.policy,
        account.clock,
        account.sleep,
    )
    begun = replacer.already(gone)
    if begun is not None and replacer.is_finished(gone):
        click.echo(f"{gone} is gone, and {begun} was built in its place. Nothing is left to do.")
        return
    plan = replacer.plan(gone)
    if begun is not None:
        click.echo(f"{gone} is gone, and {begun} is being built in its place. That is to be finished.")
    elif isinstance(plan, Unreadable):
        raise click.ClickException(f"{gone} is gone, and no new one is built: {harmless(plan.reason)}.")
    else:
        click.echo("\n".join(_shown(plan)))
    if not yes and not ask("\nBuild it?" if begun is None else "\nFinish it?", "yes"):
        click.echo("\nNothing was changed. Run it at a terminal to be asked, or give --yes.")
        return
    click.echo("")
    new = replacer.build(gone, lambda text: click.echo(harmless(text)))
    click.echo(f"\n{new} is in the place of {gone}. Autostop now sees to it that it comes up: autostop status {new}")
    click.echo(f"Links of the old one do not open it. Make a new one: autostop link {new}")


def _shown(plan: Replacement) -> list[str]:
    facts, manifest = plan.launch.facts, plan.manifest
    rows = [
        ("type", facts.type),
        ("subnet", facts.subnet or "the default"),
        ("security groups", ", ".join(facts.security_groups) or "the default"),
        ("profile", facts.profile or "none"),
        ("key pair", facts.key or "none"),
        ("image", f"{facts.architecture}, {facts.boot_mode or 'default boot mode'}, made from the root's snapshot"),
        *((record.device, _disk(record.type, record.size_gib, record.snapshot)) for record in manifest.volumes),
        *(("tag", f"{key} = {value}") for key, value in plan.launch.tags.items()),
    ]
    return [
        f"{plan.workstation} is gone. A new instance can be built in its place, from its last shelving:",
        f"cycle {manifest.cycle}, stopped {manifest.stopped_at:%Y-%m-%d %H:%M} UTC.",
        "",
        *(f"  {line}" for line in table(rows)),
        "",
        "It is started at once, and costs what its type costs. What cannot come back:",
        *(f"  - {each}" for each in plan.lost),
        *(f"Note: {harmless(each)}." for each in plan.warnings),
    ]


def _disk(type_: str, size_gib: int, snapshot: str | None) -> str:
    return f"{type_}, {size_gib} GiB, from {snapshot}"
