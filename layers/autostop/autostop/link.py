"""A secret that opens the phone page of one workstation, with scopes."""

import hashlib
import hmac
import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from autostop.model import WorkstationId

_WORKSTATION = re.compile(r"i-[0-9a-f]{8,17}", re.ASCII)
# 256 random bits in base64url without padding.
_SECRET = re.compile(r"[A-Za-z0-9_-]{43}", re.ASCII)


class Scope(StrEnum):
    """What a link may be used for."""

    STATUS = "status"
    START = "start"
    STOP = "stop"
    KEEP_AWAKE = "keep-awake"


# No start: a notice that is forwarded, or read late, can never start a machine.
SCOPES_OF_A_NOTICE = (Scope.STATUS, Scope.KEEP_AWAKE)
# Whoever picks up the phone may press the button there, and see nothing.
SCOPES_OF_A_LOCK_SCREEN = (Scope.KEEP_AWAKE,)
NOTICE_LINK_LASTS = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class Link:
    """A stored link: never the secret, only its SHA-256 in hex. expires_at, last_used_at: None for never.

    last_used_from: the address that asked then.
    """

    workstation: WorkstationId
    digest: str
    label: str
    scopes: tuple[Scope, ...]
    created_at: datetime
    expires_at: datetime | None = None
    last_used_at: datetime | None = None
    last_used_from: str | None = None

    def opens_with(self, secret: str, now: datetime) -> bool:
        """True when the secret is this link's and it has not expired; compared in constant time."""
        return hmac.compare_digest(self.digest, digest_of(secret)) and not self.has_expired(now)

    def has_expired(self, now: datetime) -> bool:
        return self.expires_at is not None and now >= self.expires_at


def digest_of(secret: str) -> str:
    """The SHA-256 of a secret, in hex."""
    return hashlib.sha256(secret.encode()).hexdigest()


def is_secret(text: str) -> bool:
    """True when the text has the shape of a link's secret."""
    return _SECRET.fullmatch(text) is not None


def parse_workstation(text: str) -> WorkstationId | None:
    """The id of an EC2 instance, or None when the text is not one."""
    return WorkstationId(text) if _WORKSTATION.fullmatch(text) else None
