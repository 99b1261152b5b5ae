"""The tags by which Autostop knows its own workstations, volumes and snapshots."""

from collections.abc import Mapping
from typing import Final

PREFIX: Final = "autostop:"

AUTOSTOP: Final = "autostop"
ON: Final = "on"

WORKSTATION: Final = "autostop:workstation"
DEVICE: Final = "autostop:device"
CYCLE: Final = "autostop:cycle"
ATTEMPT: Final = "autostop:attempt"
LAUNCHED_AT: Final = "autostop:launched-at"
VOLUME: Final = "autostop:volume"
TYPE: Final = "autostop:type"
SIZE: Final = "autostop:size"
IOPS: Final = "autostop:iops"
THROUGHPUT: Final = "autostop:throughput"
ENCRYPTED: Final = "autostop:encrypted"
KMS_KEY: Final = "autostop:kms-key"
DELETE_ON_TERMINATION: Final = "autostop:delete-on-termination"
ZONE: Final = "autostop:zone"

JUPYTER_CERTIFICATE: Final = "autostop:jupyter-certificate"
JUPYTER_RUNTIME: Final = "autostop:jupyter-runtime"

AUTO_SCALING_GROUP: Final = "aws:autoscaling:groupName"

# EC2 allows 50 tags; a snapshot carries the volume's own tags and up to 15 of ours.
MOST_OWN_TAGS: Final = 35


def is_ours(tags: Mapping[str, str]) -> bool:
    """True when the resource carries the tag that lets Autostop touch it."""
    return tags.get(AUTOSTOP) == ON


def own(tags: Mapping[str, str]) -> dict[str, str]:
    """The owner's own tags: without Autostop's, and without AWS's, which nobody else may set."""
    return {
        key: value
        for key, value in tags.items()
        if key != AUTOSTOP and not key.startswith(PREFIX) and not key.startswith("aws:")
    }


def number(tags: Mapping[str, str], key: str) -> int | None:
    """The whole number in a tag; None when the tag is missing or holds something else."""
    value = tags.get(key, "")
    return int(value) if value.isascii() and value.isdigit() else None
