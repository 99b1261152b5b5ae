"""User data of a workstation: it installs the boot script and its units, once; the units do the work at each boot."""

import ast
import gzip
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

from workstation.boot.settings import Settings

LIMIT = 16 * 1024  # bytes, before base64 (EC2 User Guide, instance user data)

_BOOT = Path(__file__).parent / "boot"
_ENVIRONMENTS = _BOOT / "environments"
_UV_LOCK = Path(__file__).parents[1] / "requirements/uv.txt"
_INSTALLED = "/opt/autostop/workstation/boot"
_SYSTEM = "/etc/systemd/system"
_ENABLED = (
    "autostop-boot.service",
    "autostop-https.socket",
    "autostop-environments.service",
    "autostop-jupyterlab.service",
    "autostop-certificate.timer",
    "autostop-s3.service",
)
_APT = ("apt-daily", "apt-daily-upgrade")
# At each boot until it came to its end: what cloud-init does once it takes for done as soon as it has begun.
_INSTALL = f"""#!/bin/sh
test -e /var/lib/autostop/installed && exit
systemctl daemon-reload
systemctl restart {" ".join(f"{timer}.timer" for timer in _APT)}
systemctl enable --now {" ".join(_ENABLED)}
mkdir -p /var/lib/autostop
touch /var/lib/autostop/installed
"""


def user_data(settings: Mapping[str, object]) -> bytes:
    """As RunInstances takes it before base64: cloud-init unpacks gzip. The same settings give the same bytes.

    settings: of `workstation.boot.settings.Settings`, where the defaults do not do.
    """
    config = {
        "write_files": [
            *({"path": path, "content": content} for path, content in files(settings).items()),
            {"path": "/var/lib/cloud/scripts/per-boot/autostop", "permissions": "0755", "content": _INSTALL},
        ],
    }
    # JSON is YAML, and needs no library that a laptop may lack.
    return gzip.compress(b"#cloud-config\n" + json.dumps(config).encode(), mtime=0)


def files(settings: Mapping[str, object]) -> dict[str, str]:
    """What it installs, by path."""
    sources = {f"{_INSTALLED}/{source.name}": source for source in _BOOT.glob("*") if source.is_file()}
    sources |= {f"{_SYSTEM}/{unit.name}": unit for unit in _BOOT.glob("units/autostop-*")}
    sources |= {f"{_SYSTEM}/{timer}.timer.d/after-the-wake.conf": _BOOT / "units/after-the-wake.conf" for timer in _APT}
    sources[f"{_INSTALLED}/environments/uv.txt"] = _UV_LOCK
    contents = {path: _content(sources[path]) for path in sorted(sources)}
    newest = (_ENVIRONMENTS / "newest").read_text(encoding="ascii").strip()
    for lock in sorted(_ENVIRONMENTS.glob("*.txt")):
        contents[f"{_INSTALLED}/environments/{lock.stem}.json"] = json.dumps(pinned(_content(lock), newest))
    contents["/etc/autostop/workstation.json"] = json.dumps(dict(settings))
    user = Settings(**settings).user  # type: ignore[arg-type]  # it refuses what it does not know
    contents[f"{_SYSTEM}/autostop-jupyterlab.service.d/user.conf"] = f"[Service]\nUser={user}\n"
    return contents


def pinned(lock: str, newest: str) -> dict[str, object]:
    """A lock without its hashes, which would not fit, but with theirs: the machine has uv find them again.

    lock: without comments. newest: files that came to a version later are not in it.
    """
    pins = [line.removesuffix(" \\") for line in lock.splitlines() if not line.startswith(" ")]
    return {"newest": newest, "pins": pins, "sha256": hashlib.sha256(lock.encode()).hexdigest()}


def _content(file: Path) -> str:
    """Without the words for readers of the repository, which would not fit either."""
    content = file.read_text(encoding="utf-8")
    if file.suffix == ".txt":
        return "".join(line for line in content.splitlines(keepends=True) if not line.lstrip().startswith("#"))
    if file.suffix == ".py":
        tree = ast.parse(content)
        for node in ast.walk(tree):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None:
                node.body[0] = ast.Pass()
        return ast.unparse(tree) + "\n"
    return content
