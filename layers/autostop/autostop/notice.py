"""What the owner must be told: the facts of it, and the words that reach a phone."""

import hashlib
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final, assert_never
from zoneinfo import ZoneInfo

from autostop.clock import clock_time
from autostop.cost import BUILT_IN, Prices, cost_running
from autostop.harmless import harmless
from autostop.idle.stop_plan import Warned
from autostop.idle.verdict import Verdict
from autostop.model import Instance, WorkstationId
from autostop.settings import words
from autostop.sleep.intent import By, Intent

# SNS takes less than 100 characters as a mail's subject (botocore, `Publish`), and a phone shows fewer.
_LONGEST_NAME: Final = 50
# EventBridge takes 256 KB of ten notices together, and a state remembers what was told: tags could fill both.
_LONGEST: Final = 1000
_LONGEST_CAUSE: Final = 200
# ntfy makes a file of a message that is longer than 4,096 bytes; the link has to fit too.
_LONGEST_TEXT: Final = 500
_LONGEST_REASON: Final = 160
_MOST_REASONS: Final = 8
_UTC: Final = ZoneInfo("UTC")


class NoticeKind(StrEnum):
    """What the owner is told of; the detail-type of the event."""

    STOPS_SOON = "stops-soon"
    UNKNOWN_FOR_LONG = "unknown-for-long"
    AWAKE_FOR_LONG = "awake-for-long"
    BLOCKED = "blocked"
    SNAPSHOT_LOST = "snapshot-lost"
    HOUSEKEEPING = "housekeeping"
    BAD_SETTING = "bad-setting"
    IS_UP = "is-up"


@dataclass(frozen=True, slots=True)
class Notice:
    """One thing that the owner must be told, without any secret.

    name: the owner's name for the workstation, or its id. at: when it was noticed. text: why, in one sentence.
    stop_at: when the stop comes that it warns of; None when it warns of none. reasons: the verdict's.
    cause: what it is told of, once as long as it holds; two notices of one kind and cause are the same.
    time_zone: by whose clock times are told, an IANA name.
    """

    kind: NoticeKind
    workstation: WorkstationId
    name: str
    at: datetime
    text: str
    stop_at: datetime | None = None
    reasons: tuple[str, ...] = ()
    cause: str = ""
    time_zone: str = "UTC"

    def __post_init__(self) -> None:
        """Cut what others may have written into it; a long cause stays another than one that begins alike."""
        object.__setattr__(self, "text", _cut(self.text, _LONGEST))
        if len(self.cause) > _LONGEST_CAUSE:
            digest = hashlib.sha256(self.cause.encode()).hexdigest()[:16]
            object.__setattr__(self, "cause", f"{self.cause[: _LONGEST_CAUSE - 17]} {digest}")

    @property
    def title(self) -> str:
        """One line, less than 100 characters."""
        return f"{self._headline}: {_one_line(self.name, _LONGEST_NAME) or self.workstation}"

    @property
    def _headline(self) -> str:
        match self.kind:
            case NoticeKind.STOPS_SOON:
                return f"Sleeping at {self._clock(self.stop_at)}" if self.stop_at else "Sleeping soon"
            case NoticeKind.UNKNOWN_FOR_LONG:
                return "Cannot tell whether it is in use"
            case NoticeKind.AWAKE_FOR_LONG:
                return "Awake for long"
            case NoticeKind.BLOCKED:
                return "Needs you"
            case NoticeKind.SNAPSHOT_LOST:
                return "A snapshot is lost"
            case NoticeKind.HOUSEKEEPING:
                return "Left over, and billed"
            case NoticeKind.BAD_SETTING:
                return "A setting that is none"
            case NoticeKind.IS_UP:
                return "It is up"
            case _:
                assert_never(self.kind)

    def _clock(self, at: datetime) -> str:
        return clock_time(at, ZoneInfo(self.time_zone), self.at)

    @property
    def label(self) -> str:
        """Of the link that it offers, for who looks through his links."""
        return f"notice {self._clock(self.at)}"

    @property
    def key(self) -> str:
        """The same for all events that tell of the same: EventBridge delivers twice, and a sweep announces it again."""
        about = (self.workstation, self.kind, self.cause, self.stop_at and self.stop_at.isoformat())
        return hashlib.sha256(repr(about).encode()).hexdigest()[:32]


@dataclass(frozen=True, slots=True)
class Told:
    """What the owner was told of, at `at`, and still holds."""

    kind: NoticeKind
    cause: str
    at: datetime
    text: str

    def is_of(self, notice: Notice) -> bool:
        """True when it tells of the notice's cause."""
        return (self.kind, self.cause) == (notice.kind, notice.cause)


def stops_soon(instance: Instance, verdict: Verdict, warned: Warned, now: datetime, zone: ZoneInfo = _UTC) -> Notice:
    """The warning before a stop, for idleness or at a limit of the owner's."""
    helps = "somebody works on it or keeps it awake" if warned.cause is By.IDLE else "it is kept awake"
    whoever = "" if warned.cause is By.IDLE else ", whoever works on it,"
    text = f"{warned.why}. It stops at {clock_time(warned.stop_at, zone, now)}{whoever} unless {helps}."
    kind, workstation, name = NoticeKind.STOPS_SOON, instance.workstation, instance.name
    return Notice(kind, workstation, name, now, text, warned.stop_at, verdict.reasons, time_zone=zone.key)


def unknown_for_long(instance: Instance, verdict: Verdict, since: datetime, now: datetime) -> Notice:
    """That a workstation runs on because nobody can tell whether it is at work, and what could not be read."""
    text = f"for {words(now - since)} it could not be told whether it is in use, so it runs on: {verdict.headline}"
    return _of_running(NoticeKind.UNKNOWN_FOR_LONG, instance, verdict, text, since, now)


def awake_for_long(
    instance: Instance, verdict: Verdict, now: datetime, zone: ZoneInfo = _UTC, by: Prices = BUILT_IN
) -> Notice:
    """That a workstation has run without a pause for long, why, and what it costs."""
    since = instance.launched_at
    text = (
        f"it has been awake for {words(now - since)}, since {clock_time(since, zone, now)}: {verdict.headline}. "
        f"{cost_running(instance.type, by)} If nobody needs it, let it sleep."
    )
    return _of_running(NoticeKind.AWAKE_FOR_LONG, instance, verdict, text, since, now)


def is_up(instance: Instance, intent: Intent, now: datetime) -> Notice:
    """That a wake is over, for who wanted to know."""
    text, cause = f"it is ready, {words(now - intent.at)} after {intent.why}", str(intent.number)
    return Notice(NoticeKind.IS_UP, instance.workstation, instance.name, now, text, cause=cause)


def _of_running(
    kind: NoticeKind, instance: Instance, verdict: Verdict, text: str, since: datetime, now: datetime
) -> Notice:
    name, cause = instance.name, since.isoformat()
    return Notice(kind, instance.workstation, name, now, text, reasons=verdict.reasons, cause=cause)


@dataclass(frozen=True, slots=True)
class Button:
    """What a lock screen may offer: a POST to the URL with the secret, which opens nothing else."""

    label: str
    url: str
    secret: str


@dataclass(frozen=True, slots=True)
class Message:
    """A notice as it is sent. title: one line. url: opens the phone page, and is as good as a key to it."""

    kind: NoticeKind
    title: str
    text: str
    url: str
    button: Button | None = None


def message_of(notice: Notice, url: str, button: Button | None = None) -> Message:
    """The notice in words, with the link that it offers. At most some 2,000 characters beside the link."""
    name = _one_line(notice.name, _LONGEST_NAME)
    who = f"{name} ({notice.workstation})" if name not in {"", notice.workstation} else notice.workstation
    reasons = [f"- {_one_line(each, _LONGEST_REASON)}" for each in notice.reasons[:_MOST_REASONS]]
    parts = [f"{who}: {_one_line(notice.text, _LONGEST_TEXT)}", "\n".join(reasons), f"{_offer(notice.kind)}: {url}"]
    return Message(notice.kind, notice.title, "\n\n".join(part for part in parts if part), url, button)


def _offer(kind: NoticeKind) -> str:
    match kind:
        case NoticeKind.STOPS_SOON:
            return "Keep it awake"
        case NoticeKind.IS_UP:
            return "Open it"
        case _:
            return "See how it stands"


def _one_line(text: str, longest: int) -> str:
    """A tag may hold anything, and this stands in headers and subjects; no address in it becomes a link."""
    return _cut(harmless(" ".join(text.split())).replace("://", ": //"), longest)


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else f"{text[: longest - 1]}…"
