"""What the machine does at each boot."""

from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial

from workstation.boot import block_devices, mount_data, parts, secret_files
from workstation.boot.certificate import make_certificate
from workstation.boot.home import furnish
from workstation.boot.names import names
from workstation.boot.settings import Settings


def main() -> None:
    """Prints a line for each thing done, and nothing when there was nothing to do."""
    settings = Settings.read()
    parts.do(
        [
            mount_data.write_fstab,
            mount_data.guard_mount_point,
            partial(mount_data.mount_data, settings.data_device, settings.wait_for_disk),
            mount_data.grow_data,
            lambda: mount_data.give_data(settings.owner()),
            partial(_furnish, settings),
            lambda: secret_files.keep_token(settings.owner()),
            partial(_be_reachable, settings),
        ]
    )


def _furnish(settings: Settings) -> Iterator[str]:
    mounted = block_devices.mounted_at(mount_data.DATA) is not None
    yield from furnish(settings.home(), mount_data.DATA, mounted=mounted, owner=settings.owner())


def _be_reachable(settings: Settings) -> Iterator[str]:
    """By the names of this start."""
    own, owner = names(settings.metadata, settings.wait_for_network), settings.owner()
    if own.address is None:
        yield "NOT DONE: EC2 does not tell the address of this machine"
    yield from secret_files.keep_cookie_secret(own.address, owner)
    yield from make_certificate(own.every, owner, datetime.now(UTC))


if __name__ == "__main__":
    main()
