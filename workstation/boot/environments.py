"""Python environments of the machine's own: each is made once, of what is pinned for it, when there is a network."""

import hashlib
import json
import shutil
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from workstation.boot import boot_steps, metadata, public_certificate, whole_files
from workstation.boot.programs import FailedError, run
from workstation.boot.settings import Settings

FOLDER = Path("/opt/autostop")
_PINNED = Path(__file__).parent / "environments"
_PIP = (sys.executable, "-m", "pip")
# As `make lock` has them.
_COMPILE = (
    "pip", "compile", "--quiet", "--universal", "--python-version", "3.11", "--generate-hashes",
    "--no-emit-index-url", "--no-header", "--no-annotate", "--no-deps",
)  # fmt: skip


def main() -> None:
    """Ends with 1 when one could not be made, for systemd to try again."""
    settings = Settings.read()
    if not boot_steps.do([partial(_jupyterlab, settings), partial(_certbot, settings)]):
        sys.exit(1)


def _jupyterlab(settings: Settings) -> Iterator[str]:
    """Its environment is the owner's, who adds what the notebooks need."""
    if made := list(make("jupyterlab", settings.user, settings.home())):
        yield from made
        run("systemctl", "start", "--no-block", "autostop-jupyterlab.service")


def _certbot(settings: Settings) -> Iterator[str]:
    """Only where its owner chose Let's Encrypt."""
    told = metadata.tell(settings.metadata, [metadata.CERTIFICATE], settings.wait_for_network)
    if told.get(metadata.CERTIFICATE) == public_certificate.CHOSEN and (made := list(make("certbot"))):
        yield from made
        run("systemctl", "start", "--no-block", "autostop-certificate.service")


def make(name: str, user: str = "root", home: Path = Path("/root")) -> Iterator[str]:
    """Nothing when it is there, whatever was added to it. user: whose it is."""
    environment = FOLDER / name
    made = environment / "made"
    if made.exists():
        return
    # What an attempt left that did not come to its end.
    shutil.rmtree(environment, ignore_errors=True)
    environment.mkdir(parents=True)
    shutil.chown(environment, user)
    uv = ("runuser", "--user", user, "--", "env", f"HOME={home}", _uv())
    pinned = json.loads((_PINNED / f"{name}.json").read_text(encoding="utf-8"))
    lock = run(*uv, *_COMPILE, "--exclude-newer", pinned["newest"], "-", given="\n".join(pinned["pins"])).stdout
    if hashlib.sha256(lock.encode()).hexdigest() != pinned["sha256"]:
        raise FailedError(f"{environment} is not made: the index of packages has other files than were locked")
    whole_files.replace(_PINNED / f"{name}.txt", lock)
    run(*uv, "venv", "--quiet", "--allow-existing", "--python", "/usr/bin/python3", str(environment))
    # The lock is whole: as a dependency, what it leaves out on purpose would be asked for, and have no hash.
    run(*uv, "pip", "install", "--quiet", "--require-hashes", "--no-deps", "--python", str(environment),
        "--requirements", str(_PINNED / f"{name}.txt"), within=1800)  # fmt: skip
    made.touch()
    yield f"{environment} is made"


def _uv() -> str:
    """Itself installed by pip, which Ubuntu's image lacks."""
    folder = FOLDER / "uv"
    if not (folder / "bin/uv").exists():
        if run(*_PIP, "--version", ends=(0, 1)).returncode:
            apt = ("env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "--quiet", "--option=DPkg::Lock::Timeout=300")
            run(*apt, "update")
            run(*apt, "install", "--yes", "--no-install-recommends", "python3-pip", within=900)
        run(*_PIP, "install", "--quiet", "--require-hashes", "--only-binary=:all:", f"--target={folder}",
            "--requirement", str(_PINNED / "uv.txt"))  # fmt: skip
    return str(folder / "bin/uv")


if __name__ == "__main__":
    main()
