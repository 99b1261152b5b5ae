"""A rehearsal: a cycle with the deletion left out, on scratch volumes; what it may do, and what it showed.

Pure. What a rehearsal makes carries its own tag and none that names a workstation or a cycle, so no other part of
Autostop ever takes it for a workstation's volume or for the snapshot of a shelving.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from autostop import tags
from autostop.cost import snapshot_cost, volume_cost
from autostop.model import AttachmentState, Instance, InstanceState, Observation, Snapshot, Volume, WorkstationId
from autostop.sleep.intent import Intent, Wanted
from autostop.sleep.law import why_never_shelve, why_never_stop, why_not_ours
from autostop.sleep.manifest import Manifest, VolumeRecord


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """One rehearsal. manifest: as a shelving would write it now; its cycle and attempt mean nothing here."""

    manifest: Manifest

    @property
    def name(self) -> str:
        """What its tag says: whose it is, and when it began."""
        return f"{self.manifest.workstation}/{self.manifest.written_at:%Y-%m-%dT%H:%M:%SZ}"

    def set_tags(self) -> dict[str, str]:
        """The tags of everything it makes."""
        return {tags.AUTOSTOP: tags.ON, tags.REHEARSAL: self.name}

    def volume_tags(self, record: VolumeRecord) -> dict[str, str]:
        """The tags of a scratch volume: the owner's too, as a restore would give them."""
        return {**(record.own_tags or {}), **self.set_tags()}

    def token(self, record: VolumeRecord) -> str:
        """The same for the same scratch volume, at most 64 ASCII characters."""
        return hashlib.sha256(f"rehearsal {self.name} {record.device} {record.snapshot}".encode()).hexdigest()

    def made(self, thing: Volume | Snapshot) -> bool:
        """True for what this very rehearsal made."""
        return is_of(thing, self.manifest.workstation) and thing.tags[tags.REHEARSAL] == self.name


def is_of(thing: Volume | Snapshot, workstation: WorkstationId) -> bool:
    """True for what some rehearsal of this workstation made: the only things that a rehearsal deletes.

    One that carries the tags of a workstation or of a cycle as well is somebody's mistake, and is left alone.
    """
    ours = tags.is_ours(thing.tags) and thing.tags.get(tags.REHEARSAL, "").startswith(f"{workstation}/")
    return ours and tags.WORKSTATION not in thing.tags and tags.CYCLE not in thing.tags


def was_stopped_by_one(instance: Instance) -> bool:
    """True when a rehearsal stopped the instance, or was about to, and it was not started since."""
    return instance.tags.get(tags.REHEARSAL) == instance.launched_at.isoformat()


def why_not_rehearse(seen: Observation, intent: Intent | None) -> Iterator[str]:
    """Why it cannot be rehearsed, with what to do: all that keeps it from being shelved, and what is in the way now.

    intent: the present one of the controller; None when there is none, or no controller.
    """
    instance, workstation = seen.instance, seen.workstation
    if instance is None or instance.is_gone:
        yield "it is terminated or not there. Check the id, --region and --profile."
        return
    if not tags.is_ours(instance.tags):
        yield (
            f"it is not adopted. Run `autostop adopt {workstation} --shelve-after off` first: then it is never shelved "
            "until you adopt it again with another --shelve-after."
        )
        return
    if instance.spot is not None:
        yield "it is a Spot instance: it is only stopped, never shelved, so there is nothing to rehearse."
        return
    attached = seen.attached()
    reasons = (why_never_stop(instance), why_never_shelve(instance, attached), why_not_ours(attached, workstation))
    yield from (reason for reason in reasons if reason)
    yield from _not_now(seen, instance, intent)


def _not_now(seen: Observation, instance: Instance, intent: Intent | None) -> Iterator[str]:
    attached = seen.attached()
    if instance.state not in (InstanceState.RUNNING, InstanceState.STOPPED):
        yield f"it is {instance.state}. Wait until that is over."
    if intent is not None and not intent.settled:
        yield f"Autostop is on the way to `{intent.wanted}` ({intent.why}). Wait until it is there: `autostop status`."
    if not attached:
        yield "it has no volumes: it is asleep. Start it, and rehearse then."
    elif not any(volume.device == instance.root_device for volume in attached):
        yield f"it has no volume at its root device {instance.root_device}. Attach it."
    for volume in attached:
        if volume.attachment is not AttachmentState.ATTACHED:
            yield f"volume {volume.id} at {volume.device} is {volume.attachment}. Wait until that is over."
    for volume in seen.volumes:
        if volume.exists and volume.attached_to is None:
            yield f"volume {volume.id} belongs to it and is not attached. Attach it, or remove its tags."


def may_start(intent: Intent | None) -> bool:
    """False when the owner wished otherwise after the rehearsal had stopped it. intent: as it is now."""
    return intent is None or intent.wanted is Wanted.RUN


def cost_an_hour(volumes: Sequence[Volume]) -> float:
    """USD an hour at most for what a rehearsal makes: each volume once more, and two snapshots of each."""
    month = sum(
        volume_cost(each.type, each.size_gib, each.iops, each.throughput) + 2 * snapshot_cost(each.size_gib)
        for each in volumes
    )
    hours_a_month = 730
    return month / hours_a_month


@dataclass(frozen=True, slots=True)
class Compared:
    """One setting of a volume: what it was, and what it is on the scratch volume."""

    what: str
    was: str
    restored: str

    @property
    def equal(self) -> bool:
        """True when nothing is lost."""
        return self.was == self.restored


def compare(record: VolumeRecord, restored: Volume) -> tuple[Compared, ...]:
    """Every setting that can be compared without attaching the scratch volume."""
    return (
        Compared("size", f"{record.size_gib} GiB", f"{restored.size_gib} GiB"),
        Compared("type", record.type, restored.type),
        Compared("IOPS", _or_none(record.iops), _or_none(restored.iops)),
        Compared("throughput", _or_none(record.throughput), _or_none(restored.throughput)),
        Compared("encryption", _yes(record.encrypted), _yes(restored.encrypted)),
        Compared("key", _or_none(record.kms_key), _or_none(restored.kms_key)),
        Compared("zone", record.zone, restored.zone),
        Compared("own tags", _tags(record.own_tags or {}), _tags(tags.own(restored.tags))),
    )


def _or_none(value: object) -> str:
    return "none" if value is None else str(value)


def _yes(flag: bool) -> str:
    return "yes" if flag else "no"


def _tags(own: Mapping[str, str]) -> str:
    return ", ".join(f"{key}={value}" for key, value in sorted(own.items())) or "none"


@dataclass(frozen=True, slots=True)
class Content:
    """Whether EBS says that the blocks are the same.

    changed: how many differ; None when they were not compared, for the reason `why_not`.
    """

    changed: int | None
    why_not: str = ""


@dataclass(frozen=True, slots=True)
class Rehearsed:
    """What became of one volume.

    snapshot_took, restore_took: None when it did not come so far. settings: empty then.
    failure: what AWS failed, in words; empty when nothing.
    """

    record: VolumeRecord
    snapshot_took: timedelta | None = None
    restore_took: timedelta | None = None
    settings: tuple[Compared, ...] = ()
    content: Content | None = None
    failure: str = ""

    @property
    def differences(self) -> tuple[str, ...]:
        """What is not as it was."""
        found = [f"{each.what} was {each.was}, would be {each.restored}" for each in self.settings if not each.equal]
        if self.content is not None and self.content.changed:
            found.append(f"{self.content.changed} blocks of its content differ")
        return tuple(found)

    @property
    def equal(self) -> bool:
        """True when it was restored, and all that was compared is as it was."""
        return bool(self.settings) and not self.failure and not self.differences


@dataclass(frozen=True, slots=True)
class Report:
    """What a rehearsal showed.

    stop_took, start_took: None when it was not stopped, or not started again. failures: what kept it from its end.
    left: what it made and could not remove, in words. cost_awake, cost_asleep: USD a month; None without all snapshots.
    """

    devices: tuple[Rehearsed, ...] = ()
    stop_took: timedelta | None = None
    start_took: timedelta | None = None
    failures: tuple[str, ...] = ()
    left: tuple[str, ...] = ()
    cost_awake: float | None = None
    cost_asleep: float | None = None

    @property
    def passed(self) -> bool:
        """True when everything compared is equal, and nothing is left over."""
        return bool(self.devices) and not self.failures and not self.left and all(each.equal for each in self.devices)

    @property
    def shelve_takes(self) -> timedelta | None:
        """The stop, if it was measured, and the slowest snapshot; detaching and deleting take seconds more."""
        return _together(self.stop_took, [each.snapshot_took for each in self.devices])

    @property
    def wake_takes(self) -> timedelta | None:
        """The slowest volume, and the start, if it was measured; attaching and booting take more."""
        return _together(self.start_took, [each.restore_took for each in self.devices])


def _together(alone: timedelta | None, at_once: Sequence[timedelta | None]) -> timedelta | None:
    known = [each for each in at_once if each is not None]
    return max(known) + (alone or timedelta(0)) if known and len(known) == len(at_once) else None


def began_at(name: str) -> str:
    """When the rehearsal of a tag began, as it says there; empty for a damaged tag."""
    return name.partition("/")[2]


def stopped_mark(launched_at: datetime) -> dict[str, str]:
    """The tag of an instance that is stopped for a rehearsal; it means nothing any more after another start."""
    return {tags.REHEARSAL: launched_at.isoformat()}
