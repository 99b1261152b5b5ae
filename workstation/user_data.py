"""User data of a workstation: it installs the boot script and its unit, once; the unit does the work at each boot."""

import gzip
import json
from collections.abc import Mapping
from pathlib import Path

LIMIT = 16 * 1024  # bytes, before base64 (EC2 User Guide, instance user data)

_BOOT = Path(__file__).parent / "boot"
_INSTALLED = "/opt/autostop/workstation/boot"
_UNITS = {
    "autostop-boot.service": "/etc/systemd/system/autostop-boot.service",
    "autostop-https.service": "/etc/systemd/system/autostop-https.service",
    "autostop-https.socket": "/etc/systemd/system/autostop-https.socket",
}
_APT_TIMERS = ("apt-daily", "apt-daily-upgrade")


def user_data(settings: Mapping[str, object]) -> bytes:
    """As RunInstances takes it before base64: cloud-init unpacks gzip. The same settings give the same bytes.

    settings: of `workstation.boot.settings.Settings`, where the defaults do not do.
    """
    files = {f"{_INSTALLED}/{source.name}": source for source in sorted(_BOOT.glob("*")) if source.is_file()}
    files |= {path: _BOOT / "units" / name for name, path in _UNITS.items()}
    files |= {
        f"/etc/systemd/system/{timer}.timer.d/after-the-wake.conf": _BOOT / "units/after-the-wake.conf"
        for timer in _APT_TIMERS
    }
    contents = {path: source.read_text(encoding="utf-8") for path, source in files.items()}
    contents["/etc/autostop/workstation.json"] = json.dumps(dict(settings))
    config = {
        "write_files": [{"path": path, "content": content} for path, content in contents.items()],
        "runcmd": [
            ["systemctl", "daemon-reload"],
            ["systemctl", "restart", *(f"{timer}.timer" for timer in _APT_TIMERS)],
            ["systemctl", "enable", "--now", "autostop-boot.service", "autostop-https.socket"],
        ],
    }
    # JSON is YAML, and needs no library that a laptop may lack.
    return gzip.compress(b"#cloud-config\n" + json.dumps(config).encode(), mtime=0)
