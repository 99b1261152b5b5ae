"""The type that its owner gave a workstation, while it runs as another for want of capacity."""

from collections.abc import Mapping
from dataclasses import dataclass

from autostop import tags
from autostop.model import Instance


@dataclass(frozen=True, slots=True)
class Fallback:
    """own: the type that its owner gave it. present: the one it became, and only while it is that does this hold.

    After a person's own change of the type it says nothing any more.
    """

    own: str
    present: str

    @property
    def hint(self) -> str:
        """What its tag says, should the table be lost."""
        return f"{self.own} {self.present}"

    def holds_of(self, instance: Instance) -> bool:
        """True while the instance is what it became."""
        return instance.type == self.present


def own_type(instance: Instance, fallback: Fallback | None) -> str:
    """The type that its owner gave it: by the table alone, for whoever may tag it could write another."""
    return fallback.own if fallback is not None and fallback.holds_of(instance) else instance.type


def fallback_in_words(instance: Instance, fallback: Fallback | None) -> str | None:
    """As what it runs instead of its own type, and why; None when it is its own."""
    own = own_type(instance, fallback)
    if own == instance.type:
        return None
    return f"It runs as {instance.type}: {own} had no capacity. The next start tries {own} first."


def hinted(type_: str, carried: Mapping[str, str]) -> Fallback | None:
    """What the tag of an instance of this type says, for `autostop recover` to show; None when it says nothing."""
    own, _, present = carried.get(tags.INSTANCE_TYPE, "").partition(" ")
    return Fallback(own, present) if own and own != present == type_ else None
