"""The token that lets its owner in, which survives all; and the secret of the cookies, which belongs to an address."""

import secrets
from collections.abc import Iterator
from pathlib import Path

from workstation.boot import whole_files

TOKEN = Path("/var/lib/autostop/token")
COOKIE_SECRET = Path("/var/lib/autostop/cookie-secret")
_ADDRESS = Path("/var/lib/autostop/cookies-of")


def keep_token(owner: tuple[int, int]) -> Iterator[str]:
    """Made once. JupyterLab takes the file as it is: the newline that an editor adds would be part of the token."""
    present = _content(TOKEN)
    token = present.strip() or secrets.token_urlsafe(32)
    if token != present:
        whole_files.replace(TOKEN, token, mode=0o600, owner=owner)
        yield "the token is written anew, without the space around it" if present.strip() else "there is a token"


def keep_cookie_secret(address: str | None, owner: tuple[int, int]) -> Iterator[str]:
    """Cookies survive a restart; at a new address, which was another's before, those of the old one are void.

    address: None when it is not known, and then nothing is void.
    """
    if _content(COOKIE_SECRET) and address in (None, _content(_ADDRESS)):
        return
    whole_files.replace(COOKIE_SECRET, secrets.token_hex(32), mode=0o600, owner=owner)
    whole_files.replace(_ADDRESS, address or "")
    yield "there is a new secret for cookies"


def _content(path: Path) -> str:
    """Empty when it is not there."""
    return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
