"""Make a link: the one place where its secret is seen."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from autostop.link import Link, Scope, digest_of
from autostop.model import WorkstationId

if TYPE_CHECKING:
    from autostop.aws.table import DynamoLedger

_SECRET_BYTES = 32


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
