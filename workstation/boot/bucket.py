"""The owner's bucket as a folder: Mountpoint for Amazon S3, which nothing waits for.

It ends up as Mountpoint itself, for systemd to watch; without a bucket it does nothing.
"""

import base64
import os
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from workstation.boot import boot_steps, home, metadata
from workstation.boot.programs import FailedError, run
from workstation.boot.settings import Settings

S3 = Path("/s3")
_PROGRAM = Path("/usr/bin/mount-s3")
_KEYS, _PACKAGE, _SIGNATURE = "public_keys/KEYS", "mount-s3.deb", "mount-s3.deb.asc"
# The bucket keeps for a while what is overwritten or deleted. By root: nobody else can write where it is missing.
_OPTIONS = ("--foreground", "--allow-delete", "--allow-overwrite", "--allow-other", "--dir-mode", "0700")


def main() -> None:
    """Ends with 1 when it could not be had, for systemd to try again."""
    settings = Settings.read()
    told = metadata.tell(settings.metadata, [metadata.BUCKET], settings.wait_for_network)
    if bucket := told.get(metadata.BUCKET):
        if not boot_steps.do([partial(_prepare, settings)]):
            sys.exit(1)
        uid, gid = settings.owner()
        os.execv(_PROGRAM, [_PROGRAM.name, *_OPTIONS, "--uid", str(uid), "--gid", str(gid), bucket, str(S3)])  # noqa: S606 # a program of our own


def _prepare(settings: Settings) -> Iterator[str]:
    S3.mkdir(exist_ok=True)
    # A link: who looks at what is at home does not ask S3.
    yield from home.link(settings.home() / "s3", S3, settings.owner())
    if not _PROGRAM.exists():
        with tempfile.TemporaryDirectory() as folder:
            _install(settings.mountpoint, settings.mountpoint_key, Path(folder))
        yield "Mountpoint is installed"


def _install(release: str, key: str, folder: Path) -> None:
    """Only what is signed by this key. Source: doc/INSTALL.md of awslabs/mountpoint-s3."""
    machine = {"aarch64": "arm64"}.get(os.uname().machine, os.uname().machine)
    for file in (_KEYS, f"latest/{machine}/{_PACKAGE}", f"latest/{machine}/{_SIGNATURE}"):
        with urllib.request.urlopen(f"{release}/{file}", timeout=60) as answer:  # noqa: S310 # of our settings
            (folder / Path(file).name).write_bytes(answer.read())
    # gpgv comes with apt, and takes no armor.
    armored = (folder / "KEYS").read_text(encoding="ascii").replace("\r", "").partition("\n\n")[2]
    coded = [line for line in armored.splitlines() if not line.startswith(("=", "-"))]
    (folder / "keys.gpg").write_bytes(base64.b64decode("".join(coded)))
    signed = ("--keyring", str(folder / "keys.gpg"), str(folder / _SIGNATURE), str(folder / _PACKAGE))
    checked = run("gpgv", "--homedir", str(folder), "--status-fd", "1", *signed, ends=(0, 1, 2))
    # The last word of that line is the key itself, also where a subkey of it signed.
    valid = [line.split()[-1] for line in checked.stdout.splitlines() if line.startswith("[GNUPG:] VALIDSIG")]
    if checked.returncode or valid != [key]:
        raise FailedError(f"{_PACKAGE} of {release} is not signed by {key}")
    apt = ("env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "--quiet", "--option=DPkg::Lock::Timeout=300")
    run(*apt, "install", "--yes", "--no-install-recommends", str(folder / _PACKAGE), within=900)


if __name__ == "__main__":
    main()
