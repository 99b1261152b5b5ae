"""Asks Jupyter servers by their REST API over TLS, with a pinned certificate."""

import hashlib
import hmac
import http.client
import ipaddress
import json
import socket
import ssl
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final
from urllib.parse import quote

from autostop.idle.reading import VERSION, Reading, Unknown, broken_server, read_document
from autostop.probe.jupyter import Answer, changed_at, fetch, notebooks, summarise, unverified_tls
from autostop.probe.limits import newest, remaining

_LIMIT_SECONDS: Final = 3.0
_MOST_NOTEBOOKS: Final = 8


class _OtherCertificateError(Exception):
    """The server showed a certificate that is not the pinned one."""


class _RefusedError(Exception):
    """The server answered with this HTTP status."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


class HttpsJupyter:
    """Jupyter servers that listen on an address that Autostop can reach. now: the clock, aware."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now

    def ask(
        self, address: str, port: int, token: str, certificate_sha256: str, base_url: str = "/"
    ) -> Reading | Unknown:
        """What the server's kernels and terminals do, within 3 seconds; never raises.

        address: an IP address, because looking up a name knows no time limit. certificate_sha256: of the DER
        certificate, hexadecimal, colons allowed. The token goes only to a server that showed that certificate.
        """
        asked_at = self._now()
        until = time.monotonic() + _LIMIT_SECONDS
        token = token.strip()
        wrong = _wrong_setting(address, port, token, certificate_sha256)
        if wrong:
            return Unknown(asked_at, wrong)
        server = _PinnedServer(address, port, _digest(certificate_sha256), token, base_url, until)
        try:
            kernels = server.get("kernels")
            terminals = server.get("terminals", optional=True)
            status = server.get("status", optional=True)
            sessions = server.get("sessions", optional=True)
            summary = summarise(_decoded(kernels), _decoded(terminals, []), _decoded(status, None))
            summary["saved_at"] = server.saved_at(notebooks(_decoded(sessions, [])))
        except _RefusedError as refused:
            return Unknown(asked_at, broken_server(port, f"http{refused.status}", over_https=True))
        except (OSError, ValueError, RecursionError, http.client.HTTPException, _OtherCertificateError) as error:
            return Unknown(asked_at, broken_server(port, _word_for(error), over_https=True))
        # The kernels' times are by the server's clock, so the moment of asking must be too; it says it in every answer.
        base = f"/{base_url.strip('/')}/".replace("//", "/")
        entry = {"port": port, "status": "ok", "base": base, **summary}
        measured_at = _dated(kernels, asked_at).timestamp()
        document = {"v": VERSION, "at": measured_at, "servers": [entry], "machine": None, "errors": []}
        return read_document(document, asked_at)


@dataclass(frozen=True, slots=True)
class _PinnedServer:
    """A server that is asked until then (by time.monotonic()), and only if it shows the pinned certificate."""

    address: str
    port: int
    pinned: bytes
    token: str
    base_url: str
    until: float

    def get(self, what: str, *, optional: bool = False) -> Answer:
        """The answer to one question of the API. optional: it may not know it, as terminals that are switched off.

        Raises _RefusedError, OSError, ValueError, http.client.HTTPException, _OtherCertificateError.
        """
        path = "/".join(part for part in (self.base_url.strip("/"), "api", what) if part)
        without_content = "content=0&" if what.startswith("contents/") else ""
        answer = self._get(f"/{path}?{without_content}no_track_activity=1")
        if answer.status != 200 and not (optional and answer.status == 404):
            raise _RefusedError(answer.status)
        return answer

    def _get(self, target: str) -> Answer:
        """The answer to one GET, after the certificate was compared."""
        ip = ipaddress.ip_address(self.address)
        with socket.create_connection((self.address, self.port), timeout=remaining(self.until)) as plain:
            plain.settimeout(remaining(self.until))
            with unverified_tls().wrap_socket(plain) as connection:
                shown = hashlib.sha256(connection.getpeercert(binary_form=True) or b"").digest()
                if not hmac.compare_digest(shown, self.pinned):
                    raise _OtherCertificateError
                host = f"[{ip}]" if ip.version == 6 else str(ip)
                return fetch(connection, f"{host}:{self.port}", target, self.token, self.until)

    def saved_at(self, paths: Sequence[str]) -> float | None:
        """The newest change of these files; None without any. Only the first few, each of which is a question."""
        stamps = []
        for path in paths[:_MOST_NOTEBOOKS]:
            # A console has a path and no file.
            answer = self.get(f"contents/{quote(path.strip('/'))}", optional=True)
            if answer.status == 200:
                stamps.append(changed_at(_decoded(answer)))
        return newest(stamps)


def _wrong_setting(address: str, port: int, token: str, certificate_sha256: str) -> str | None:
    """What the owner set that cannot be used, with the remedy; None when all can. It never repeats the token."""
    try:
        ipaddress.ip_address(address)
    except ValueError:
        return "the workstation has no address at which its Jupyter server could be asked"
    if not 0 < port < 65536:
        return "autostop:jupyter-port is no port number; correct the tag"
    if not (token.isascii() and token.isprintable() and " " not in token):
        return (
            "the SSM parameter /autostop/<instance-id>/jupyter-token holds characters that no token has; store it again"
        )
    try:
        _digest(certificate_sha256)
    except ValueError:
        return "autostop:jupyter-certificate is not a SHA-256 in hexadecimal; run autostop adopt again"
    return None


def _digest(text: str) -> bytes:
    """The 32 bytes of a SHA-256 in hexadecimal. Raises ValueError."""
    digest = bytes.fromhex(text.replace(":", ""))
    if len(digest) != hashlib.sha256().digest_size:
        raise ValueError("not as long as a SHA-256")
    return digest


def _decoded(answer: Answer, otherwise: object = None) -> object:
    """What it says; `otherwise` when the server does not know the question."""
    content: object = json.loads(answer.body) if answer.status == 200 else otherwise
    return content


def _dated(answer: Answer, otherwise: datetime) -> datetime:
    """The server's clock when it answered, in whole seconds."""
    try:
        at = parsedate_to_datetime(answer.date or "")
    except (ValueError, OverflowError):
        return otherwise
    return at if at.tzinfo is not None else at.replace(tzinfo=UTC)


def _word_for(error: Exception) -> str:
    """Why there is no answer; nothing of the error's own text, which may repeat what was sent or received."""
    if isinstance(error, _OtherCertificateError):
        return "certificate"
    if isinstance(error, TimeoutError):
        return "timeout"
    if isinstance(error, ssl.SSLError):
        return "tls"
    return "refused" if isinstance(error, OSError) else "bad"
