"""The command `link`: a secret for the phone, shown once."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from io import StringIO

import click
import segno

from autostop.domain.link import Link, Scope, digest_of
from autostop.domain.tags import is_ours
from autostop.domain.workstation import WorkstationId
from autostop_cli.account import Account

_SECRET_BYTES = 32


@dataclass(frozen=True, slots=True)
class NewLink:
    """A link and the address that opens it: the only place where its secret is."""

    link: Link
    url: str


def make_link(
    account: Account,
    workstation: WorkstationId,
    label: str,
    scopes: Sequence[Scope] = tuple(Scope),
    expires_after: timedelta | None = None,
) -> NewLink:
    """Store a new link. Raises click.ClickException for what is no workstation, TransientError, DeniedError."""
    refuse_unadopted(account, workstation)
    secret = secrets.token_urlsafe(_SECRET_BYTES)
    now = account.clock()
    link = Link(
        workstation=workstation,
        digest=digest_of(secret),
        label=label,
        # In the order of the words, each once, however they were given.
        scopes=tuple(scope for scope in Scope if scope in scopes),
        created_at=now,
        expires_at=None if expires_after is None else now + expires_after,
    )
    account.ledger.put_link(link)
    return NewLink(link, f"{account.stack.api_url}/w/{workstation}#{secret}")


def refuse_unadopted(account: Account, workstation: WorkstationId) -> None:
    """Raises click.ClickException when EC2 does not know it or nobody adopted it."""
    instance = account.instances.find(workstation)
    if instance is None:
        region = account.ec2.meta.region_name
        raise click.ClickException(f"EC2 knows no instance {workstation} in {region}. Check the id and --region.")
    if not is_ours(instance.tags):
        raise click.ClickException(f"{workstation} is not adopted. Run `autostop adopt {workstation}` first.")


def show_link(new: NewLink) -> None:
    """Print the address and its QR code."""
    code = StringIO()
    segno.make(new.url, micro=False).terminal(out=code, compact=True)
    until = f"until {new.link.expires_at:%Y-%m-%d %H:%M} UTC" if new.link.expires_at else "and does not expire"
    click.echo(code.getvalue())
    click.echo(new.url)
    click.echo()
    click.echo(f"It is shown only this once: open it on the phone now. It may: {', '.join(new.link.scopes)}, {until}.")
    click.echo("Whoever has it can do the same; Autostop keeps only its fingerprint.")
    if Scope.STATUS not in new.link.scopes:
        click.echo("Note: without the scope status the page cannot show how things stand.", err=True)
