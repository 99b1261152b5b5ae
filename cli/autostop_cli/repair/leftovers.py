"""What is left over in the account, and what the reconciler has failed on for good: shown, and dealt with."""

from collections.abc import Sequence

import click

from autostop.messages import workstations_in
from autostop.ports import DeniedError, TransientError
from autostop_cli.account import Account
from autostop_cli.consent import Ask
from autostop_cli.errors import sentence
from autostop_cli.repair.dead_letters import DeadLetter
from autostop_cli.repair.orphans import Orphan
from autostop_cli.terminal import dollars, harmless, table

_OLDER_STACK = "The stack does not say where its dead letters are. Deploy the present version to see them."


def show_orphans(left: Sequence[Orphan]) -> None:
    """Print what is left over: what may be deleted, and what may be the only copy of something."""
    plain, precious = _parted(left)
    if not left:
        click.echo("\nNothing is left over.")
    if plain:
        click.echo(
            f"\nLeft over, {dollars(sum(each.cost for each in plain))}; they hold nothing that is not elsewhere:"
        )
        click.echo("\n".join(f"  {line}" for line in table([_row(each) for each in plain])))
        click.echo("Delete them: autostop recover --delete-orphans")
    if precious:
        total = dollars(sum(each.cost for each in precious))
        click.echo(f"\nWARNING: left over, {total}, but each may be the only copy of data. This command keeps them:")
        click.echo("\n".join(f"  {line}" for line in table([_row(each) for each in precious])))
        click.echo("If you are sure that you need none of it, delete them in the EC2 console.")


def delete_orphans(account: Account, left: Sequence[Orphan], *, ask: Ask) -> None:
    """Delete what may be deleted, when the owner types the word. Raises TransientError, DeniedError."""
    plain, _ = _parted(left)
    if not plain:
        return
    if not ask(f"\nDelete these {len(plain)} for ever?", "delete"):
        click.echo("\nNothing was deleted: that needs the word `delete`, typed at a terminal.")
        return
    deleted = account.orphans.delete(plain)
    click.echo("".join(f"{each.id} is deleted.\n" for each in deleted), nl=False)
    for each in plain:
        if each not in deleted:
            click.echo(f"{each.id} changed meanwhile, and stays.")


def show_letters(account: Account) -> Sequence[DeadLetter]:
    """Print what the reconciler failed on five times, and give it. Raises TransientError, DeniedError."""
    if account.dead_letters is None:
        click.echo(f"\n{_OLDER_STACK}")
        return ()
    letters = account.dead_letters.read()
    if not letters:
        return letters
    click.echo(f"\n{len(letters)} messages on which the reconciler failed five times:")
    rows = [(f"{each.sent_at:%Y-%m-%d %H:%M} UTC", _whose(account, each)) for each in letters]
    click.echo("\n".join(f"  {line}" for line in table(rows)))
    click.echo("The function's log says why. Once that is mended: autostop recover --retry-dead-letters")
    return letters


def put_back_letters(account: Account, letters: Sequence[DeadLetter]) -> None:
    """Let the reconciler try them again. Raises TransientError, DeniedError."""
    for letter in letters:
        if account.dead_letters is not None:
            account.dead_letters.put_back(letter)
    click.echo(f"{len(letters)} messages were put back into the queue.")


def letters_problem(account: Account) -> str | None:
    """That there are dead letters, in a sentence, or that they cannot be counted; None when there are none."""
    try:
        count = account.dead_letters.count() if account.dead_letters is not None else 0
    except (TransientError, DeniedError) as error:
        return f"Whether there are dead letters is not known: {sentence(error)}"
    return f"The reconciler failed on {count} messages for good. See them: autostop recover" if count else None


def _parted(left: Sequence[Orphan]) -> tuple[list[Orphan], list[Orphan]]:
    return [each for each in left if not each.precious], [each for each in left if each.precious]


def _row(orphan: Orphan) -> Sequence[str]:
    return orphan.id, dollars(orphan.cost), orphan.workstation, orphan.why


def _whose(account: Account, letter: DeadLetter) -> str:
    """The workstations that a message is about; the message itself when it says none that can be read."""
    try:
        found = sorted(workstations_in(letter.body, account.disks.workstations_of))
    except (ValueError, RecursionError):
        found = []
    return ", ".join(found) or f"unreadable: {harmless(letter.body[:80])}"
