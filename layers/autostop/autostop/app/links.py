"""Make a link, which is the one place where its secret is seen; open one; and bound how many wrong ones are tried."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from autostop.link import Link, Scope, digest_of, is_secret
from autostop.model import WorkstationId

if TYPE_CHECKING:
    from autostop.aws.ledger import DynamoLedger

_SECRET_BYTES = 32
# A page that is open asks every few seconds.
_NOTED_EVERY = timedelta(minutes=1)
# So many wrong secrets are answered in a minute: of one address, for one workstation. A right one opens all the same.
_MOST_WRONG_OF_AN_ADDRESS, _MOST_WRONG_FOR_A_WORKSTATION = 20, 200


@dataclass(frozen=True, slots=True)
class NewLink:
    """A link and the address that opens it: the only place where its secret is."""

    link: Link
    url: str


def make_link(
    ledger: "DynamoLedger",
    api_url: str,
    workstation: WorkstationId,
    label: str,
    scopes: Sequence[Scope],
    expires_after: timedelta | None,
    now: datetime,
) -> NewLink:
    """Store a new link. api_url: without a slash at its end. Raises TransientError, DeniedError."""
    secret = secrets.token_urlsafe(_SECRET_BYTES)
    link = Link(
        workstation=workstation,
        digest=digest_of(secret),
        label=label,
        # In the order of the words, each once, however they were given.
        scopes=tuple(scope for scope in Scope if scope in scopes),
        created_at=now,
        expires_at=None if expires_after is None else now + expires_after,
    )
    ledger.put_link(link)
    return NewLink(link, f"{api_url}/w/{workstation}#{secret}")


def open_link(
    ledger: "DynamoLedger", workstation: WorkstationId, secret: str, now: datetime, source: str | None = None
) -> Link | None:
    """The valid link that a secret opens, noted as used from there; None for everything else, all alike."""
    link = ledger.find_link(workstation, secret) if is_secret(secret) else None
    if link is None or not link.opens_with(secret, now):
        return None
    if link.last_used_at is None or now - link.last_used_at >= _NOTED_EVERY:
        ledger.change_link(replace(link, last_used_at=now, last_used_from=source))
    return link


def are_too_many(ledger: "DynamoLedger", workstation: WorkstationId, source: str, now: datetime) -> bool:
    """Count one more wrong secret. True when no more of them are answered in this minute."""
    of_the_address = ledger.count_wrong_secret(source, now) > _MOST_WRONG_OF_AN_ADDRESS
    return of_the_address or ledger.count_wrong_secret(workstation, now) > _MOST_WRONG_FOR_A_WORKSTATION
