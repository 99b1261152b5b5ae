"""The command `link`: a secret for the phone, shown once."""

from collections.abc import Sequence
from datetime import timedelta
from io import StringIO

import segno

from autostop.app import links
from autostop.link import Scope
from autostop.model import Instance, WorkstationId, instance_of
from autostop.spelling import why_not_adopted
from autostop.tags import is_ours
from autostop_cli.account import Account
from autostop_cli.text import FailedError, dated, say


def adopted(account: Account, workstation: WorkstationId) -> Instance:
    """Its instance. Raises FailedError when EC2 does not know it or nobody adopted it."""
    instance = known_instance(account, workstation)
    if not is_ours(instance.tags):
        why = "".join(f" Its {problem}" for problem in filter(None, [why_not_adopted(instance.tags)]))
        raise FailedError(f"{workstation} is not adopted.{why} Run `autostop adopt {workstation}` first.")
    return instance


def known_instance(account: Account, workstation: WorkstationId) -> Instance:
    """Raises FailedError when EC2 does not know it."""
    instance = account.instances.find(instance_of(workstation))
    if instance is None:
        where = f"{workstation} in {account.ec2.meta.region_name}"
        raise FailedError(f"EC2 knows no instance {where}. Check the id, --region and --profile.")
    return instance


def make_link(
    account: Account, workstation: WorkstationId, label: str, scopes: Sequence[Scope], expires_after: timedelta | None
) -> None:
    """Store a new link, and print its address and QR code. Raises FailedError, TransientError, DeniedError."""
    instance = adopted(account, workstation)
    api_url, now = account.stack.api_url, account.clock()
    new = links.make_link(account.ledger, api_url, workstation, label, scopes, expires_after, now)
    code = StringIO()
    segno.make(new.url, micro=False).terminal(out=code, compact=True)
    zone, ends_at = account.now(instance).tzinfo, new.link.expires_at
    until = f"until {dated(ends_at, zone)}" if ends_at else "and does not expire"
    say(*code.getvalue().split("\n"), new.url, "")
    say(f"It is shown only this once: open it on the phone now. It may: {', '.join(new.link.scopes)}, {until}.")
    say("Whoever has it can do the same; Autostop keeps only its fingerprint.")
    if Scope.STATUS not in new.link.scopes:
        say("Note: without the scope status the page cannot show how things stand.", err=True)
