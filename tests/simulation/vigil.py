"""Whether a machine that ran was judged, and its owner told what had to be known: seen from outside.

What is looked at is the world, what was announced on the bus, and what stands in the table. Each look is after a sweep,
for only sweeps judge and tell.
"""

import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from autostop.ports import DeniedError, TransientError
from autostop.state import State
from autostop_local.world import World

# After its boot a machine may be looked at in peace; and so long a sweep may be busy with others.
UNJUDGED_FOR = timedelta(minutes=30)
UNTOLD_FOR = timedelta(hours=2)
LEFT_OVER_FOR = timedelta(days=2)
# What is refused is tried again within the hour.
TRIED_AGAIN = timedelta(minutes=75)
_SWEEPS = 6
_WARNING = "stops-soon"
_COST = "housekeeping"
# For the warning before a stop at a limit, for an hour in which a passing error is no news, and for sweeps.
_PATIENCE = timedelta(minutes=90)
# As in template.yaml: all of an hour.
_ALARMING = 12


@dataclass(frozen=True, slots=True)
class Announced:
    """One notice as it came onto the bus."""

    at: datetime
    kind: str
    text: str


@dataclass
class Vigil:
    """Watches one workstation. problems: the first of each kind, as a history tells them.

    forgiven: whether a volume is a person's to put back. wished_at: when the owner last asked for a start.
    """

    world: World
    workstation: str
    state: Callable[[], State]
    clock: Callable[[], datetime]
    told: list[Announced] = field(default_factory=list)
    problems: dict[str, str] = field(default_factory=dict)
    forgiven: Callable[[str], bool] = lambda _volume: False
    max_run: timedelta | None = None
    wished_at: datetime | None = None
    has_outline: Callable[[], bool] = lambda: False
    _judged_at: datetime | None = None
    _refused: list[tuple[datetime, str]] = field(default_factory=list)
    _sweeps: list[datetime] = field(default_factory=list)
    _blocked: str = ""
    _erred_in: int = 0
    _blocked_since: datetime | None = None
    _left: dict[str, datetime] = field(default_factory=dict)
    _failures: int = 0

    # -- what is heard

    def heard(self, detail_type: str, detail: Mapping[str, Any]) -> None:
        """An event that the bus took."""
        if detail.get("workstation") == self.workstation:
            self.told.append(Announced(self.clock(), detail_type, str(detail.get("text"))))

    def refused(self, operation: str) -> None:
        """A call that was refused, and will be until somebody lifts that."""
        self._refused.append((self.clock(), operation))

    def written(self, item: Mapping[str, Any]) -> None:
        """An item of the table: a sweep's records hold a line of each workstation that was judged."""
        document = item.get("document", {}).get("B")
        if document is not None and f"{self.workstation} ".encode() in zlib.decompress(document):
            self._judged_at = self.clock()

    # -- what is looked at after each sweep

    def swept(self, error: Exception | None = None) -> None:
        """A sweep has ended, as it should or by an error. A passing one excuses it; the alarm counts them all."""
        self._failures = self._failures + 1 if error is not None else 0
        if self._failures == _ALARMING:
            self.told.append(Announced(self.clock(), "alarm", f"sweeps fail: {error}"))
        if isinstance(error, TransientError):
            return
        self._sweeps = [*self._sweeps[1 - _SWEEPS :], self.clock()]
        self._judges()
        self._limits()
        self._tells()
        self._keeps_house()

    def reconciled(self, error: Exception | None = None) -> None:
        """The reconciler has ended. Its alarm looks at two quarters of an hour, and wants an error in each."""
        if error is None or isinstance(error, TransientError):
            return
        quarter = int(self.clock().timestamp()) // 900
        if quarter == self._erred_in + 1:
            self.told.append(Announced(self.clock(), "alarm", f"the reconciler fails: {error}"))
        self._erred_in = quarter

    def _judges(self) -> None:
        instance, now = self.world.cloud.instances.get(self.workstation), self.clock()
        if instance is None or instance.state != "running" or instance.tags.get("autostop") != "on":
            self._sweeps.clear()
            return
        since = max(filter(None, (instance.running_at, self._judged_at)))
        if 0 < self._failures < _ALARMING + _SWEEPS or self._alarmed(since):
            return
        if len(self._sweeps) == _SWEEPS and self._sweeps[0] > since and now - since > UNJUDGED_FOR:
            self._wrong(
                "unjudged", f"it runs since {instance.running_at:%d %H:%M} and is not judged since {since:%H:%M}"
            )

    def _limits(self) -> None:
        """Whoever works and whatever else is open: past its `max-run` it stops, or somebody is told why not."""
        instance, now = self.world.cloud.instances.get(self.workstation), self.clock()
        if self.max_run is None or instance is None or instance.state != "running" or instance.running_at is None:
            return
        try:
            state = self.state()
        except DeniedError:
            return
        since = max(filter(None, (instance.running_at, self.wished_at, state.kept_awake_until)))
        # What was told in the hours before, of the same cause, is not told again.
        told = self._was_told(since - timedelta(hours=6), (state.blocked or "")[:40])
        if now - since > self.max_run + _PATIENCE and instance.tags.get("autostop") == "on" and not told:
            self._wrong("unjudged", f"it runs since {since:%d %H:%M}, and its max-run is {self.max_run}", "limit")

    def _alarmed(self, since: datetime) -> bool:
        """Where sweeps fail nobody can be judged, and the alarm says so."""
        return self._failures > 0 and any(each.kind == "alarm" and each.at >= since for each in self.told)

    def _tells(self) -> None:
        now = self.clock()
        try:
            state = self.state()
        except DeniedError as error:
            # With a whole outline a sweep cannot know; the reconciler does, and its errors ring the alarm. And what is
            # not tagged is not looked for.
            instance = self.world.cloud.instances.get(self.workstation)
            known = instance is not None and instance.tags.get("autostop") == "on" and not self.has_outline()
            blocked, begun, unreached = str(error) if known else "", None, False
        else:
            blocked, begun = state.blocked or "", state.intent.at if state.intent else None
            unreached = state.intent is not None and not state.intent.settled
        # A second cause during the first is to be told too.
        if not blocked or blocked != self._blocked:
            self._blocked, self._blocked_since = blocked, now
        # Who taps is shown it on the page.
        since = max(filter(None, (self._blocked_since or now, self.wished_at)))
        if now - since > UNTOLD_FOR and blocked and not self._was_told_of(blocked[:40], since):
            self._wrong("untold", f"blocked since {since:%d %H:%M}: {blocked}")
        refused = [each for each in self._refused if begun is not None and each[0] >= begun]
        # What waits for something else by now (a first night's snapshots take hours) is refused no more.
        if not unreached or not refused or now - refused[-1][0] > TRIED_AGAIN or now - refused[0][0] < UNTOLD_FOR:
            return
        if not self._was_told(refused[0][0], refused[-1][1]):
            self._wrong("untold", f"unreached, and {refused[-1][1]} is refused since {refused[0][0]:%d %H:%M}")

    def _was_told_of(self, words: str, since: datetime) -> bool:
        """By a notice of just this, whenever it came; or by an alarm since then."""
        notices = [each for each in self.told if each.kind != _WARNING]
        return any(words in each.text or (each.kind == "alarm" and each.at >= since) for each in notices)

    def _was_told(self, since: datetime, words: str) -> bool:
        """By any notice or alarm since then, or by an earlier one of the same words; of none, where there are none."""
        notices = [each for each in self.told if each.kind != _WARNING]
        return any(each.at >= since or (words and words in each.text) for each in notices)

    def _keeps_house(self) -> None:
        now, left = self.clock(), self._left_over()
        instance = self.world.cloud.instances.get(self.workstation)
        # The snapshots of the night before are needed until a start from the newer ones was seen to work.
        runs = instance is not None and instance.state == "running" and instance.tags.get("autostop") == "on"
        self._left = {each: self._left.get(each, now) for each in left if runs or each in self._left}
        for each, since in self._left.items() if instance is not None and instance.tags.get("autostop") == "on" else ():
            costs = [one for one in self.told if one.kind == _COST and one.at >= since and "$" in one.text]
            if now - since > LEFT_OVER_FOR and not costs:
                self._wrong("left untold", f"{each} is left over since {since:%d %H:%M}, and its cost was not told")

    def _left_over(self) -> list[str]:
        """What is billed and not needed: beside the newest cycle's snapshots, and volumes that stand alone.

        A snapshot that failed is billed by nobody.
        """
        try:
            manifest = self.state().manifest
        except DeniedError:
            return []
        if manifest is None:
            return []
        needed = {each.snapshot for each in manifest.volumes} | {each.volume for each in manifest.volumes}
        ours = {"autostop": "on", "autostop:workstation": self.workstation}
        cloud = self.world.cloud
        whole = [each for each in cloud.snapshots.values() if each.state == "completed"]
        alone = [
            each
            for each in cloud.volumes.values()
            if each.state in ("available", "error") and not self.forgiven(each.id)
        ]
        return [
            each.id
            for each in (*whole, *alone)
            if each.id not in needed
            and all(each.tags.get(key) == value for key, value in ours.items())
            # The last cycle's set is kept until the next is complete, also where a tap came before it was written down.
            and each.tags.get("autostop:cycle") != str(manifest.cycle)
        ]

    def _wrong(self, kind: str, what: str, key: str = "") -> None:
        self.problems.setdefault(key or kind, f"{kind}: {self.clock():%d %H:%M} {what}")
