"""What its owner wants a workstation to be from the next wake on: of another type, or with larger disks.

`capacity.py` carries the type out, `restore.py` the disks.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from autostop.model import Instance, Volume
from autostop.sleep.own_type import Fallback, own_type
from autostop.sleep.start_attempts import Attempts


@dataclass(frozen=True, slots=True)
class Resize:
    """at: when it was asked for, UTC. type: None: its own. was: its own type then. sizes: GiB, by device.

    Until it took effect, the wanted type is its own; where EC2 refuses that, or has no capacity for it, it starts as
    what it was.
    """

    at: datetime
    was: str
    type: str | None = None
    sizes: Mapping[str, int] = field(default_factory=dict)

    def grows_to(self, device: str, size_gib: int) -> int | None:
        """The size of a disk that is to be larger than it was; None for one that stays as it is."""
        wanted = self.sizes.get(device, 0)
        return wanted if wanted > size_gib else None

    def without(self, device: str) -> "Resize":
        """The same, but for a disk."""
        return replace(self, sizes={each: size for each, size in self.sizes.items() if each != device})


def own_type_now(instance: Instance, fallback: Fallback | None, resize: Resize | None, attempts: Attempts) -> str:
    """Its own type, or the one that its owner wants it to have."""
    if resize is None or resize.type is None:
        return own_type(instance, fallback)
    return resize.type if attempts.why_refused(resize.type) is None else resize.was


def not_in_effect(
    resize: Resize | None, instance: Instance, fallback: Fallback | None, volumes: Iterable[Volume]
) -> Resize | None:
    """What of it has not taken effect; None when all has. volumes: those that are attached. Pure."""
    if resize is None:
        return None
    here = {each.device: each.size_gib for each in volumes}
    sizes = {device: size for device, size in resize.sizes.items() if here.get(device, 0) < size}
    wanted = None if resize.type in (instance.type, own_type(instance, fallback)) else resize.type
    return replace(resize, type=wanted, sizes=sizes) if wanted or sizes else None


def resize_in_words(resize: Resize) -> str:
    """What changes at the next wake, in one sentence."""
    parts = [f"it becomes {resize.type}"] if resize.type is not None else []
    parts += [f"{device} becomes {size} GiB" for device, size in resize.sizes.items()]
    return f"At its next wake {', and '.join(parts)}, as you asked. `autostop resize --off` takes that back."
