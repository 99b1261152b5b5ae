"""The certificate that JupyterLab serves: made by the machine itself, for the names and addresses of this start."""

import ipaddress
import ssl
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from workstation.boot import whole_files
from workstation.boot.host_names import is_address
from workstation.boot.programs import FailedError, run

# Key and certificate in one file: replaced by one rename, and JupyterLab reads it at every connection.
PEM = Path("/var/lib/autostop/workstation.pem")
VALID_FOR = timedelta(days=397)  # no browser takes one that is valid for longer
RENEWED_BEFORE = timedelta(hours=48)
_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-sha256", "-days", str(VALID_FOR.days))
_OUTPUT = ("-keyout", "-", "-out", "-")


@dataclass(frozen=True, slots=True)
class Certificate:
    """names: as `Names` spells them; the moments are aware, UTC."""

    names: frozenset[str]
    begins_at: datetime
    ends_at: datetime


def serves(certificate: Certificate, wanted: Collection[str], now: datetime, left: timedelta = RENEWED_BEFORE) -> bool:
    """Whether it does for all these names, and for so long. Pure.

    One that begins later than now was made when the clock was wrong: browsers refuse it until then.
    """
    valid = certificate.begins_at <= now < certificate.ends_at - left
    return valid and certificate.names.issuperset(wanted)


def make_certificate(wanted: Sequence[str], owner: tuple[int, int], now: datetime) -> Iterator[str]:
    """Keep the one that is there, or replace it by one that names all of these."""
    if (present := read()) and serves(present, wanted, now):
        return
    made = run("openssl", "req", "-x509", *_KEY, *_OUTPUT, "-config", "/dev/stdin", given=_request(wanted))
    whole_files.replace(PEM, made.stdout, mode=0o600, owner=owner)
    yield f"the certificate names {', '.join(wanted)}"


def read(pem: Path = PEM, key: Path | None = None) -> Certificate | None:
    """The one that is there; None when there is none that a server could use. key: where it is in a file of its own."""
    try:
        # Refuses what is cut off, a key of another certificate, and a key that is too small for TLS.
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(pem, key)
        fields = ("-startdate", "-enddate", "-dateopt", "iso_8601", "-ext", "subjectAltName")
        return parse(run("openssl", "x509", "-in", str(pem), "-noout", *fields).stdout)
    except (OSError, FailedError, ValueError):  # an SSLError is an OSError
        return None


def parse(told: str) -> Certificate:
    """told: as openssl writes the two dates and the names. Raises ValueError."""
    dates = dict(line.split("=", 1) for line in told.splitlines() if line.startswith("not"))
    if not {"notBefore", "notAfter"} <= dates.keys():
        raise ValueError(f"no dates in {told!r}")
    names = set()
    for part in told.splitlines()[-1].split(","):
        kind, _, name = part.strip().partition(":")
        if kind == "DNS":
            names.add(name)
        elif kind == "IP Address":
            names.add(str(ipaddress.ip_address(name)))
    return Certificate(frozenset(names), _moment(dates["notBefore"]), _moment(dates["notAfter"]))


def _moment(written: str) -> datetime:
    return datetime.strptime(written, "%Y-%m-%d %H:%M:%SZ").replace(tzinfo=UTC)


def _request(names: Sequence[str]) -> str:
    """What openssl is asked to certify: a server of these names, and no authority."""
    alternative = ",".join(f"{'IP' if is_address(name) else 'DNS'}:{name}" for name in names)
    return f"""
[req]
prompt = no
encrypt_key = no
distinguished_name = subject
x509_extensions = extensions
[subject]
commonName = workstation
[extensions]
basicConstraints = critical,CA:FALSE
keyUsage = critical,digitalSignature
extendedKeyUsage = serverAuth
subjectKeyIdentifier = hash
subjectAltName = {alternative}
"""
