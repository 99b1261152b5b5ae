"""The command `keep-awake`: the owner's promise of work, made and taken back."""

from datetime import timedelta

from autostop.app.owner import RefusedError
from autostop.model import WorkstationId
from autostop_cli.account import Account
from autostop_cli.links import adopted
from autostop_cli.text import FailedError, say, written


def keep_awake(account: Account, workstation: WorkstationId, lasts: timedelta | None) -> None:
    """Promise work on it, for as long as its settings say or as given.

    Raises FailedError when it is asleep or no workstation, TransientError, DeniedError.
    """
    adopted(account, workstation)
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


def end_promise(account: Account, workstation: WorkstationId) -> None:
    """Take the promise back. Raises FailedError for what is no workstation, TransientError, DeniedError."""
    adopted(account, workstation)
    account.owner.end_promise(workstation, "the command autostop")
    say("No promise keeps it awake. It is judged by what is seen of it, and its limits hold.", err=True)
