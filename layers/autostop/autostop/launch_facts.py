"""What a new instance needs to be like one that is gone, and its form in the tags of the root's snapshot.

A tag holds 256 characters and a resource 50 tags, too little for one tag per fact: the facts are one compact JSON
text, cut into pieces. Each piece says of how many it is one, so that a missing piece is noticed.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from autostop import tags

_NEVER_COPIED: Final = frozenset({tags.RECOVERED_FROM, tags.RECOVERED_CYCLE})


@dataclass(frozen=True, slots=True)
class LaunchFacts:
    """An instance as DescribeInstances tells it, as far as RunInstances and RegisterImage take it again.

    profile: the name of the instance profile. metadata: the options of the metadata service, by RunInstances' names.
    Empty texts: there is none, or EC2 does not say.
    """

    type: str
    subnet: str = ""
    security_groups: tuple[str, ...] = ()
    profile: str = ""
    key: str = ""
    architecture: str = ""
    boot_mode: str = ""
    ena: bool = False
    ebs_optimized: bool = False
    monitoring: bool = False
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class LaunchRecord:
    """The facts of one workstation's instance, with its tags.

    root_device: literally as EC2 names it. tags: the owner's own and the settings (`autostop:idle-after`), as many as
    there was room for; left_out: how many there was none for.
    """

    root_device: str
    facts: LaunchFacts
    tags: Mapping[str, str] = field(default_factory=dict)
    left_out: int = 0


def record_launch(root_device: str, facts: LaunchFacts, carried: Mapping[str, str], pieces: int) -> LaunchRecord:
    """The record of an instance whose root's snapshot has room for so many pieces.

    carried: all its tags. The settings come first, then its name; what has no room is counted.
    """
    copied = {key: value for key, value in carried.items() if not key.startswith("aws:") and key not in _NEVER_COPIED}
    kept: dict[str, str] = {}
    for key in sorted(copied, key=lambda each: (not each.startswith(tags.AUTOSTOP), each != "Name", each)):
        # As if others were left out too: their count needs room as well.
        tried = LaunchRecord(root_device, facts, {**kept, key: copied[key]}, len(copied))
        if len(_text(tried)) <= pieces * tags.LONGEST_VALUE:
            kept[key] = copied[key]
    return LaunchRecord(root_device, facts, kept, len(copied) - len(kept))


def launch_tags(record: LaunchRecord) -> dict[str, str]:
    """The pieces, as tags."""
    text, most = _text(record), tags.LONGEST_VALUE
    # It is ASCII, so that no other way of counting characters matters.
    pieces = [text[first : first + most] for first in range(0, len(text), most)]
    return {f"{tags.INSTANCE_PIECE}{number}-of-{len(pieces)}": piece for number, piece in enumerate(pieces, 1)}


def _text(record: LaunchRecord) -> str:
    facts = record.facts
    data: dict[str, Any] = {
        "type": facts.type,
        "subnet": facts.subnet,
        "groups": list(facts.security_groups),
        "profile": facts.profile,
        "key": facts.key,
        "architecture": facts.architecture,
        "boot": facts.boot_mode,
        "ena": facts.ena,
        "ebs-optimized": facts.ebs_optimized,
        "monitoring": facts.monitoring,
        "metadata": dict(facts.metadata),
        "tags": dict(record.tags),
        "left-out": record.left_out,
    }
    text = json.dumps({key: value for key, value in data.items() if value}, separators=(",", ":"))
    # A piece must not begin or end with a space, which the way to EC2 may take off. They are in strings only.
    return text.replace(" ", "\\u0020")
