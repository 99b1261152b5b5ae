"""What was tried for the present intent, and came to nothing or is not to be seen yet; the next intent forgets it."""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from autostop.model import VolumeId


@dataclass(frozen=True, slots=True)
class NoCapacity:
    """A type that EC2 had no capacity for. at: the last time; times: how often."""

    type: str
    at: datetime
    times: int = 1


@dataclass(frozen=True, slots=True)
class RefusedType:
    """A type that EC2 does not let the instance become or start as, and why, in its words."""

    type: str
    why: str


@dataclass(frozen=True, slots=True)
class AskedStart:
    """The last start that EC2 accepted.

    at: by our clock. launched_at: the instance's launch time before; another one means that it has begun.
    number: how many were accepted. volumes: what was in its place then.
    """

    at: datetime
    launched_at: datetime
    number: int = 1
    volumes: tuple[VolumeId, ...] = ()


@dataclass(frozen=True, slots=True)
class RestoredVolume:
    """The volume that EBS said it makes for a device. at: when it said so first, by our clock."""

    device: str
    volume: VolumeId
    at: datetime


@dataclass(frozen=True, slots=True)
class FailedVolume:
    """A restored volume that came to nothing. volume: None where EBS did not name it again."""

    device: str
    volume: VolumeId | None


@dataclass(frozen=True, slots=True)
class Attempts:
    """All of it. errors: how many passing errors there were in a row."""

    no_capacity: tuple[NoCapacity, ...] = ()
    refused_types: tuple[RefusedType, ...] = ()
    start: AskedStart | None = None
    restored: tuple[RestoredVolume, ...] = ()
    failed_volumes: tuple[FailedVolume, ...] = ()
    errors: int = 0

    def lacking(self, type_: str, now: datetime) -> "Attempts":
        """After EC2 had no capacity for a type; no start is under way then."""
        others = tuple(each for each in self.no_capacity if each.type != type_)
        return replace(self, no_capacity=(*others, NoCapacity(type_, now, self.times(type_) + 1)), start=None)

    def times(self, type_: str) -> int:
        """How often EC2 had no capacity for a type."""
        return sum(each.times for each in self.no_capacity if each.type == type_)

    def refusing(self, type_: str, why: str) -> "Attempts":
        """After EC2 refused a type."""
        others = tuple(each for each in self.refused_types if each.type != type_)
        return replace(self, refused_types=(*others, RefusedType(type_, why)))

    def why_refused(self, type_: str) -> str | None:
        """Why EC2 refused a type; None when it did not."""
        return next((each.why for each in self.refused_types if each.type == type_), None)

    def starting(self, launched_at: datetime, now: datetime, volumes: tuple[VolumeId, ...] = ()) -> "Attempts":
        """After EC2 accepted a start of the instance that was last launched then, with these volumes."""
        number = self.start.number + 1 if self.start else 1
        return replace(self, start=AskedStart(now, launched_at, number, volumes))

    def restoring(self, device: str, volume: VolumeId, now: datetime) -> "Attempts":
        """After EBS said that it makes a volume. Said again of the same, it counts from the first time."""
        if any(each.volume == volume for each in self.restored):
            return self
        others = tuple(each for each in self.restored if each.device != device)
        return replace(self, restored=(*others, RestoredVolume(device, volume, now)))

    def restored_at(self, device: str) -> RestoredVolume | None:
        """What EBS makes for a device, and is not known to have failed; None when nothing."""
        return next(
            (each for each in self.restored if each.device == device and not self.has_failed(each.volume)), None
        )

    def failing(self, device: str, volume: VolumeId | None) -> "Attempts":
        """After a restored volume came to nothing."""
        return replace(self, failed_volumes=(*self.failed_volumes, FailedVolume(device, volume)))

    def has_failed(self, volume: VolumeId) -> bool:
        """True when this volume is known to have come to nothing."""
        return any(each.volume == volume for each in self.failed_volumes)

    def failures_at(self, device: str) -> int:
        """How many volumes for a device came to nothing."""
        return sum(each.device == device for each in self.failed_volumes)


NO_ATTEMPTS: Final = Attempts()
