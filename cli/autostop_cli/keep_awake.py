"""The command `keep-awake`: the owner's promise of work, made and taken back."""

from datetime import timedelta

import click

from autostop.app.owner import RefusedError
from autostop.model import WorkstationId
from autostop_cli.account import Account
from autostop_cli.arguments import DURATION, an_instance, as_json
from autostop_cli.naming import adopted
from autostop_cli.status import show_one
from autostop_cli.terminal import FailedError, say, written


@an_instance
@click.option("--for", "lasts", type=DURATION, help="For how long from now, such as 3h; else as its settings say.")
@click.option("--off", is_flag=True, help="Take the promise back.")
@as_json()
def keep_awake(
    account: Account, workstation: WorkstationId, lasts: timedelta | None, *, off: bool, as_json: bool
) -> None:
    """Promise that an INSTANCE is at work: for so long idleness does not stop it, nor a limit of yours.

    What you give with --for replaces a longer promise, too. Your stop ends it.
    """
    if off and lasts is not None:
        raise click.UsageError("--off takes the promise back; leave out --for.")
    adopted(account, workstation)
    if off:
        account.owner.end_promise(workstation, "the command autostop")
        say("No promise keeps it awake. It is judged by what is seen of it, and its limits hold.", err=True)
    else:
        _promise(account, workstation, lasts)
    if as_json:
        show_one(account, workstation, as_json=True)


def _promise(account: Account, workstation: WorkstationId, lasts: timedelta | None) -> None:
    try:
        account.owner.keep_awake(workstation, "the command autostop", lasts)
    except RefusedError as refusal:
        raise FailedError(f"{refusal} {refusal.remedy}") from refusal
    until = account.ledger.load(workstation).kept_awake_until
    if until is not None:
        now = account.now(adopted(account, workstation))
        say(f"Neither idleness nor a limit stops it before {written(until, now)}.", err=True)
        if lasts is not None and until < now + lasts - timedelta(minutes=1):
            say("Its longest-promise does not allow more.", err=True)
