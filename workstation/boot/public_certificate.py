"""The certificate of Let's Encrypt for the machine's own address, where its owner chose that one.

It takes the place of the machine's own one when it is there: JupyterLab does not wait for it.
Source of what is asked: Let's Encrypt certifies addresses in its profile "shortlived" only (160 hours), and asks port
80 of the address from places that it does not tell.
"""

import json
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from workstation.boot import certificate, metadata, whole_files
from workstation.boot.host_names import KEYS, Names, names
from workstation.boot.programs import FailedError, run
from workstation.boot.settings import Settings

CHOSEN = "letsencrypt"  # value of the tag
CERTBOT = Path("/opt/autostop/certbot/bin/certbot")
FAILURE = Path("/var/lib/autostop/public-certificate.json")
# Called with "open" or "close", and the address; whoever opens port 80 to all puts a program there.
PORT_80 = Path("/etc/autostop/port-80")
# Let's Encrypt takes 5 failures an hour.
_PAUSE = timedelta(hours=1)
_LINEAGE = "workstation"
_LIVE, _ARCHIVE, _RENEWAL = (
    Path("/etc/letsencrypt", part) for part in (f"live/{_LINEAGE}", f"archive/{_LINEAGE}", f"renewal/{_LINEAGE}.conf")
)
_COMMAND = (
    "certonly", "--standalone", "--non-interactive", "--agree-tos", "--register-unsafely-without-email",
    "--required-profile", "shortlived", "--cert-name", _LINEAGE, "--ip-address",
)  # fmt: skip
# What certbot says whatever happened.
_NOISE = ("Saving debug log", "Ask for help", "Renewing an existing", "Requesting a certificate", "Account registered")


@dataclass(frozen=True, slots=True)
class Failure:
    """Why there is no such certificate. address: what it was asked for; empty when nobody was asked. at: UTC."""

    address: str
    at: str
    reason: str


def paused(failure: Failure | None, address: str, now: datetime) -> bool:
    """Whether it is too soon to ask again for this address. Pure.

    A failure that lies ahead was written by a clock that was wrong.
    """
    if failure is None or failure.address != address:
        return False
    return datetime.fromisoformat(failure.at) <= now < datetime.fromisoformat(failure.at) + _PAUSE


def serve(own: Names, owner: tuple[int, int], now: datetime) -> Iterator[str]:
    """The one that certbot keeps, to its last hour; the machine's own where there is none that does."""
    try:
        yield from _put_in_place(own.public, owner, now, timedelta(0))
    except FailedError:
        yield from certificate.make_certificate(own.every, owner, now)


def _put_in_place(address: str | None, owner: tuple[int, int], now: datetime, left: timedelta) -> Iterator[str]:
    """Have JupyterLab serve what certbot keeps. Raises FailedError when that does not do for this address so long."""
    if address is None:
        raise FailedError("this machine has no public address, and Let's Encrypt certifies no other")
    try:
        kept = "".join((_LIVE / name).read_text(encoding="ascii") for name in ("privkey.pem", "fullchain.pem"))
    except FileNotFoundError:
        raise FailedError("there is no certificate of Let's Encrypt") from None
    found = certificate.read(_LIVE / "fullchain.pem", _LIVE / "privkey.pem")
    if found is None or not certificate.serves(found, [address], now, left):
        raise FailedError(f"the certificate of Let's Encrypt {_in_words(found)}")
    if not certificate.PEM.exists() or certificate.PEM.read_text(encoding="ascii", errors="replace") != kept:
        whole_files.replace(certificate.PEM, kept, mode=0o600, owner=owner)
        yield f"the certificate is of Let's Encrypt, and names {address} until {found.ends_at}"


def keep(own: Names, settings: Settings, clock: Callable[[], datetime]) -> Iterator[str]:
    """Have one, and ask for it where what is kept ends soon. A failure is told, written down, and tried again later.

    The command is the same each time, and given only when none is there that does.
    """
    address, asked = own.public, ""
    try:
        try:
            yield from _put_in_place(address, settings.owner(), clock(), certificate.RENEWED_BEFORE)
        except FailedError:
            if address is None:
                raise
            if not CERTBOT.exists():
                raise FailedError("certbot is not there yet: sudo journalctl --unit autostop-environments") from None
            if paused(recall(), address, clock()):
                return
            asked = address
            yield from _ask(address, settings.wait_for_certificate)
            yield from _put_in_place(address, settings.owner(), clock(), timedelta(0))
    except FailedError as error:
        whole_files.replace(FAILURE, json.dumps(asdict(Failure(asked, clock().isoformat(), str(error)))))
        yield f"NOT DONE: {error}"
        yield from serve(own, settings.owner(), clock())
    else:
        FAILURE.unlink(missing_ok=True)


def _ask(address: str, within: float) -> Iterator[str]:
    """Raises FailedError."""
    if not _whole():
        # Left by a power cut. certbot neither mends it nor makes another of this name.
        _RENEWAL.unlink(missing_ok=True)
        shutil.rmtree(_LIVE, ignore_errors=True)
        shutil.rmtree(_ARCHIVE, ignore_errors=True)
    opens = os.access(PORT_80, os.X_OK)
    if opens:
        run(str(PORT_80), "open", address)
    else:
        yield "nobody opens port 80 for Let's Encrypt: it is reached where the machine's security group lets all in"
    try:
        done = run(str(CERTBOT), *_COMMAND, address, ends=(0, 1), within=within)
    finally:
        if opens:
            run(str(PORT_80), "close", address)
    if done.returncode != 0:
        said = [line.strip() for line in (done.stdout + done.stderr).splitlines() if not line.startswith(_NOISE)]
        raise FailedError(f"certbot: {' '.join(line for line in said if line)}")


def _whole() -> bool:
    kept = certificate.read(_LIVE / "fullchain.pem", _LIVE / "privkey.pem")
    return kept is not None and _RENEWAL.exists() and _RENEWAL.stat().st_size > 0


def _in_words(found: certificate.Certificate | None) -> str:
    """Why it does not do."""
    if found is None:
        return "is broken"
    return f"names {', '.join(sorted(found.names))}, from {found.begins_at} to {found.ends_at}"


def recall() -> Failure | None:
    """The last one; None when there was none, or what is written makes no sense."""
    try:
        failure = Failure(**json.loads(FAILURE.read_text(encoding="utf-8")))
        return failure if datetime.fromisoformat(failure.at).tzinfo else None
    except (OSError, ValueError, TypeError):
        return None


def main() -> None:
    """Prints a line for each thing done, and nothing when there was nothing to do."""
    settings = Settings.read()
    told = metadata.tell(settings.metadata, [*KEYS, metadata.CERTIFICATE], settings.wait_for_network)
    if told.get(metadata.CERTIFICATE) == CHOSEN:
        try:
            for line in keep(names(told), settings, lambda: datetime.now(UTC)):
                print(line, flush=True)
        except OSError as error:  # of a disk that is full
            print(f"NOT DONE: {error}", flush=True)
    elif told:
        FAILURE.unlink(missing_ok=True)


if __name__ == "__main__":
    main()
