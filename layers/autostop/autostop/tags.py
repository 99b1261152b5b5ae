"""The tags by which Autostop knows its own workstations, volumes and snapshots."""

from collections.abc import Iterable, Mapping
from typing import Final

PREFIX: Final = "autostop:"

AUTOSTOP: Final = "autostop"
ON: Final = "on"

WORKSTATION: Final = "autostop:workstation"
DEVICE: Final = "autostop:device"
CYCLE: Final = "autostop:cycle"
ATTEMPT: Final = "autostop:attempt"
INTENT: Final = "autostop:intent"
LAUNCHED_AT: Final = "autostop:launched-at"
STOPPED_AT: Final = "autostop:stopped-at"
WRITTEN_AT: Final = "autostop:written-at"
# All devices of a set, on each of its snapshots: a set with one missing is recognised.
DEVICES: Final = "autostop:devices"
VOLUME: Final = "autostop:volume"
TYPE: Final = "autostop:type"
SIZE: Final = "autostop:size"
IOPS: Final = "autostop:iops"
THROUGHPUT: Final = "autostop:throughput"
ENCRYPTED: Final = "autostop:encrypted"
KMS_KEY: Final = "autostop:kms-key"
DELETE_ON_TERMINATION: Final = "autostop:delete-on-termination"
ZONE: Final = "autostop:zone"
# On a restored volume: which attempt at it this is.
RESTORE: Final = "autostop:restore"

# On an instance that runs as another type for want of capacity: its own type, and the present one; only a hint.
INSTANCE_TYPE: Final = "autostop:instance-type"

# On all that a verification makes, and on nothing else; never together with the tags of a workstation.
VERIFICATION: Final = "autostop:verification"

# The instance, in pieces on the root's snapshot: `autostop:instance-1-of-3`.
INSTANCE_PIECE: Final = "autostop:instance-"

# On an instance that `autostop recover` built: the workstation that it replaces, and the cycle that it was built from.
RECOVERED_FROM: Final = "autostop:recovered-from"
RECOVERED_CYCLE: Final = "autostop:recovered-cycle"

# On what `autostop create` made, and so `autostop uninstall` takes away: the name that it was made under.
CREATED: Final = "autostop:created"

JUPYTER_CERTIFICATE: Final = "autostop:jupyter-certificate"
JUPYTER_RUNTIME: Final = "autostop:jupyter-runtime"

# For the workstation itself, which reads them: `letsencrypt` or `self-signed`, and the bucket that it mounts.
CERTIFICATE: Final = "autostop:certificate"
BUCKET: Final = "autostop:bucket"

# The owner's word, `yes`, that the instance-store disks of this type hold nothing of worth: a stop empties them.
INSTANCE_STORE_IS_SCRATCH: Final = "autostop:instance-store-is-scratch"
YES: Final = "yes"

# What of ours may stand on an instance beside its settings.
BESIDE_SETTINGS: Final = frozenset({
    INSTANCE_TYPE, RECOVERED_FROM, RECOVERED_CYCLE, JUPYTER_CERTIFICATE, JUPYTER_RUNTIME,
    CERTIFICATE, BUCKET, INSTANCE_STORE_IS_SCRATCH, CREATED,
})  # fmt: skip

AUTO_SCALING_GROUP: Final = "aws:autoscaling:groupName"

# EC2's limits; a value's in characters.
MOST_TAGS: Final = 50
LONGEST_VALUE: Final = 256
# A snapshot carries the volume's own tags and up to 19 of ours; the root's also what is needed to build the instance
# anew, which without the instance's own tags is never longer than 5 tags.
OF_A_SNAPSHOT: Final = 19
_OF_AN_INSTANCE: Final = 5
MOST_OWN_TAGS: Final = MOST_TAGS - OF_A_SNAPSHOT
MOST_OWN_TAGS_OF_ROOT: Final = MOST_OWN_TAGS - _OF_AN_INSTANCE


def is_ours(tags: Mapping[str, str]) -> bool:
    """True when the resource carries the tag that lets Autostop touch it."""
    return tags.get(AUTOSTOP) == ON


def are_of(tags: Mapping[str, str], workstation: str) -> bool:
    """True when the tags of a volume or snapshot are ours and name this workstation."""
    return is_ours(tags) and tags.get(WORKSTATION) == workstation


def instance_store_is_scratch(tags: Mapping[str, str]) -> bool:
    """True when an instance carries its owner's word that a stop may empty its instance store."""
    return tags.get(INSTANCE_STORE_IS_SCRATCH, "").strip().lower() == YES


def own(tags: Mapping[str, str]) -> dict[str, str]:
    """The owner's own tags: without Autostop's, and without AWS's, which nobody else may set."""
    return {
        key: value
        for key, value in tags.items()
        if key != AUTOSTOP and not key.startswith(PREFIX) and not key.startswith("aws:")
    }


def number(tags: Mapping[str, str], key: str) -> int | None:
    """The whole number in a tag; None when the tag is missing or holds something else, or too much to be ours."""
    value = tags.get(key, "")
    return int(value) if value.isascii() and value.isdigit() and len(value) < 10 else None


def device_names(devices: Iterable[str]) -> str:
    """Devices as one tag's value: `sda1 sdf`, sorted, without /dev/."""
    return " ".join(sorted(device.removeprefix("/dev/") for device in devices))
