"""What the owner finds at home: a way to the data, or a notice that it is missing."""

import os
from collections.abc import Iterator
from pathlib import Path

from workstation.boot import whole_files

LINK = "data"
NOTICE = "THE DATA VOLUME IS MISSING.txt"
_NOTICE_SAYS = """The data volume is not mounted, so that nothing can be written to ~/data.
Why: sudo journalctl --boot --unit autostop-boot
To try again: sudo systemctl restart autostop-boot
"""


def furnish(home: Path, data: Path, *, mounted: bool, owner: tuple[int, int]) -> Iterator[str]:
    """What an owner put in these places stays, but for the notice."""
    notice = home / NOTICE
    yield from link(home / LINK, data, owner)
    if mounted:
        notice.unlink(missing_ok=True)
    elif not notice.exists():
        whole_files.replace(notice, _NOTICE_SAYS, owner=owner)
        yield f"{notice} says so"


def link(place: Path, to: Path, owner: tuple[int, int]) -> Iterator[str]:
    """Unless something is there."""
    if not os.path.lexists(place):
        place.symlink_to(to)
        os.lchown(place, *owner)
        yield f"{place} leads to {to}"
