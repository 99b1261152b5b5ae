"""The certificate of a Jupyter server that is to be pinned."""

import hashlib
import re
import ssl
from pathlib import Path

_SHA256 = re.compile(r"[0-9a-f]{64}", re.ASCII)
_PEM = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)
# DER begins with a SEQUENCE whose length takes two bytes, as that of every certificate does.
_DER_START = b"\x30\x82"


class NotACertificateError(ValueError):
    """Neither a fingerprint nor a file with a certificate; its text says why."""


def fingerprint(text: str) -> str:
    """SHA-256 of the DER form, in lower-case hex, from the fingerprint itself (colons allowed) or a PEM or DER file.

    Of a chain it is the first certificate, the server's own. Raises NotACertificateError.
    """
    digest = text.replace(":", "").lower()
    if _SHA256.fullmatch(digest):
        return digest
    try:
        content = Path(text).expanduser().read_bytes()
    except (OSError, ValueError, RuntimeError):
        raise NotACertificateError("is neither a SHA-256 in hexadecimal nor a file that can be read") from None
    pem = _PEM.search(content.decode("ascii", errors="replace"))
    if pem is None and not content.startswith(_DER_START):
        raise NotACertificateError("holds no certificate, in neither PEM nor DER form")
    try:
        der = ssl.PEM_cert_to_DER_cert(pem[0]) if pem else content
    except ValueError:
        raise NotACertificateError("holds a damaged certificate") from None
    return hashlib.sha256(der).hexdigest()
