"""What the machine does at each boot."""

from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial

from workstation.boot import (
    block_devices,
    boot_steps,
    certificate,
    metadata,
    mount_data,
    public_certificate,
    secret_files,
)
from workstation.boot.home import furnish
from workstation.boot.host_names import KEYS, names
from workstation.boot.settings import Settings


def main() -> None:
    """Prints a line for each thing done, and nothing when there was nothing to do."""
    settings = Settings.read()
    boot_steps.do(
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
    told = metadata.tell(settings.metadata, [*KEYS, metadata.CERTIFICATE], settings.wait_for_network)
    own, owner, now = names(told), settings.owner(), datetime.now(UTC)
    yield from secret_files.keep_cookie_secret(own.address, owner)
    if own.address is None:
        yield "NOT DONE: EC2 does not tell the address of this machine"
        if (present := certificate.read()) and certificate.serves(present, (), now):
            return
    if told.get(metadata.CERTIFICATE) == public_certificate.CHOSEN:
        yield from public_certificate.serve(own, owner, now)
    else:
        yield from certificate.make_certificate(own.every, owner, now)


if __name__ == "__main__":
    main()
