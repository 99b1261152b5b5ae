"""What a workstation is in, and what can come of looking at it: one step, a wait, the goal, or a person's turn."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from autostop.model import Instance, Observation
from autostop.sleep.calls import Call
from autostop.sleep.intent import By, Intent, Wanted, following
from autostop.sleep.leftovers import Housekeeping
from autostop.sleep.manifest import Manifest
from autostop.sleep.own_type import Fallback
from autostop.sleep.resize import Resize
from autostop.sleep.start_attempts import Attempts

# EBS attaches and detaches in a second or two, EC2 boots in a minute or two.
A_MOMENT = timedelta(seconds=1)
SECONDS = timedelta(seconds=5)
A_MINUTE = timedelta(seconds=60)
# EC2 starts and stops an instance, and EBS detaches a volume, in minutes; after this long a person has to look.
HANGS_AFTER = timedelta(minutes=30)
# After so many failures of one thing a person is asked.
MOST_ATTEMPTS = 3


@dataclass(frozen=True, slots=True)
class Note:
    """What the table must hold; what is None stays as it is. said: where it is not the step's sentence."""

    manifest: Manifest | None = None
    attempts: Attempts | None = None
    fallback: Fallback | None = None
    resize: Resize | None = None
    intent: Intent | None = None
    housekeeping: Housekeeping | None = None
    waiting_for: str | None = None
    said: str = ""


@dataclass(frozen=True, slots=True)
class Step:
    """One call at most, and what the table must hold before and after it.

    said: the sentence for the owner. call: None where only the table changes. first: held before the call, so that
    it is known of a call whose answer is lost. then: what follows from the answer. lacking: when EC2 has no
    capacity. burned: when nothing comes of its client token any more. refused: what follows from a refusal, in EC2's
    words; None where the refusal blocks the workstation.
    """

    said: str
    call: Call | None = None
    args: tuple[Any, ...] = ()
    first: Note | None = None
    then: Callable[[Any], Note] | None = field(default=None, compare=False)
    lacking: Note | None = None
    burned: Note | None = field(default=None, compare=False)
    refused: Callable[[str], Note] | None = field(default=None, compare=False)

    def repeats(self, other: "Step | None") -> bool:
        """True when it makes the very call of the other."""
        return self.call is not None and other is not None and (self.call, self.args) == (other.call, other.args)


def write_down(manifest: Manifest, why: str) -> Step:
    """Keep this manifest as the workstation's latest."""
    said = f"cycle {manifest.cycle}: wrote down {len(manifest.volumes)} volumes ({why})"
    return Step(said, first=Note(manifest=manifest))


def want(intent: Intent, wanted: Wanted, by: By, why: str, now: datetime) -> Step:
    """Yield to something else than the present intent."""
    return Step(why, first=Note(intent=following(intent, wanted, by, why, now)))


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing to do until something changes; look again after `at_most`, whatever events come.

    gets_on: whether AWS is known to work on it; False where it may have refused what a function that died asked for.
    """

    why: str
    at_most: timedelta
    gets_on: bool = True


@dataclass(frozen=True, slots=True)
class Settled:
    """The intent is reached. note: what the owner should know about it."""

    note: str = ""


@dataclass(frozen=True, slots=True)
class Blocked:
    """Nothing can be done until a person acts; all data is safe."""

    reason: str


Outcome = Step | Wait | Settled | Blocked


@dataclass(frozen=True, slots=True)
class Situation:
    """What is, what is wanted, and what was tried for it.

    manifest: of the latest cycle, as it is kept in the table; None before the first. fallback, resize: likewise.
    """

    seen: Observation
    instance: Instance
    intent: Intent
    manifest: Manifest | None
    attempts: Attempts
    now: datetime
    fallback: Fallback | None = None
    resize: Resize | None = None

    @property
    def cycle(self) -> Manifest | None:
        """The manifest, while the instance was not started since it was written; None otherwise."""
        return self.manifest if self.manifest is not None and self.manifest.holds_since(self.instance) else None

    @property
    def this_cycle(self) -> Manifest:
        """The same, where the chain has come by `manifest_of_this_stop`. Raises LookupError where it has not."""
        if self.cycle is None:
            raise LookupError("no manifest of this stop")
        return self.cycle
