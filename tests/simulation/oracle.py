"""The law, checked from outside: against what the world really holds, never against what Autostop believes.

Every disk's content is a stamp, a number that grows with each write. A disk that was restored carries its snapshot's
stamp, so the newest content of a device is the highest stamp of its line, wherever that is kept.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from autostop_local.world import MemoryContent, World
from autostop_local.world.resources import Instance, Snapshot, Volume
from tests.simulation.account import Call, touched
from tests.simulation.hub import Hub, Task
from tests.simulation.table import Table

# In what a look may be out of date when a stop for idleness is asked for: an answer holds 5 minutes, a metric comes
# with its period's end and EC2 need not hurry.
LOOK_HOLDS_FOR = timedelta(minutes=8)
_PUTTING_TO_SLEEP = {"StopInstances", "DetachVolume", "DeleteVolume", "CreateSnapshots"}
_KEPT_IN_TAGS = ("device", "volume", "type", "size", "delete-on-termination", "zone", "launched-at", "cycle", "attempt")


class LawBrokenError(AssertionError):
    """What must never happen has happened."""


@dataclass
class Wish:
    """What the owner last asked for, and which functions were under way then: each may finish one step."""

    wanted: str
    at: datetime
    intent: int
    under_way: set[Task]
    excused: set[Task] = field(default_factory=set)


@dataclass
class Activity:
    """What the owner really does."""

    idle_after: timedelta
    grace: timedelta
    last_work: datetime
    blind_since: datetime | None = None


@dataclass
class Oracle:
    """Watches one workstation.

    newest: by device, the stamp of its latest content that can still be had. lists_lag_for: at most, in this history.
    """

    world: World
    content: MemoryContent
    table: Table
    hub: Hub
    workstation: str
    activity: Activity
    tasks: Callable[[], set[Task]]
    newest: dict[str, int] = field(default_factory=dict)
    line: dict[int, str] = field(default_factory=dict)
    wish: Wish | None = None
    forgiven: list[str] = field(default_factory=list)
    displaced: set[str] = field(default_factory=set)
    ever_attached: set[str] = field(default_factory=set)
    untagged: dict[str, datetime] = field(default_factory=dict)
    deleted_by_hand: dict[str, datetime] = field(default_factory=dict)
    table_hurt_at: datetime | None = None
    reshaped_at: dict[str, datetime] = field(default_factory=dict)
    shape_unknown: set[str] = field(default_factory=set)
    detached_by_hand_at: dict[str, datetime] = field(default_factory=dict)
    checks: int = 0
    lists_lag_for: timedelta = timedelta(minutes=1)
    _stamp: int = 0
    _not_stopped_until: datetime | None = None
    _ran_at: datetime | None = None
    _terminated: bool = False

    # -- what the owner writes

    def adopt(self) -> None:
        """Put first content on every disk of the workstation."""
        for device, volume in self._instance_or_fail().volumes.items():
            self._new_stamp(volume, device)

    def write(self) -> None:
        """The owner's programs write to every disk of the running instance."""
        instance = self.world.cloud.instances.get(self.workstation)
        if instance is None or instance.state != "running":
            return
        for device, volume in instance.volumes.items():
            old = self.content.of_volume(volume) or 0
            line = self.line.get(old)
            if line is None:
                continue
            if old != self.newest.get(line) and line not in self.displaced:
                raise LawBrokenError(f"law 3: {device} runs with content {old}, and {self.newest.get(line)} is newer")
            self._new_stamp(volume, line)

    def written_elsewhere(self, volume: str, line: str) -> None:
        """A person writes to a volume of the workstation on another machine."""
        self._new_stamp(volume, line)

    def _new_stamp(self, volume: str, line: str) -> None:
        self._stamp += 1
        self.line[self._stamp] = line
        self.content.write(volume, self._stamp)
        self.newest[line] = self._stamp

    # -- what is looked at after everything that happens

    def look(self, by: str) -> None:
        """Is everything still there? by: `product`, `person` or `nature`."""
        self.checks += 1
        self.ever_attached |= {each.id for each in self.world.cloud.volumes.values() if each.attachment is not None}
        instance = self.world.cloud.instances.get(self.workstation)
        if instance is None or instance.state in ("shutting-down", "terminated"):
            self._terminated = True
        elif instance.state != "stopped":
            self._not_stopped_until = self.hub.clock.now()
            if instance.state == "running":
                self._ran_at = self._not_stopped_until
        held = self._held()
        # Given up too early: a volume was still being made from a snapshot that is gone by now.
        self.newest.update({line: best for line, best in held.items() if best > self.newest.get(line, 0)})
        for line, stamp in list(self.newest.items()):
            best = held.get(line, 0)
            if best >= stamp:
                continue
            own = by == "product" and not self._just_deleted_by_hand(line)
            if own or (by == "nature" and not self._terminated):
                raise LawBrokenError(f"law 2: the latest content of {line} ({stamp}) is lost; {best} is left ({by})")
            self.forgiven.append(f"{line}: a person destroyed {stamp}, {best} is left")
            if best:
                self.newest[line] = best
            else:
                del self.newest[line]

    def person_deletes(self, snapshot: str) -> None:
        """A snapshot goes by hand: it, and the line whose content it holds."""
        line = self._line_of(snapshot) or ""
        self.deleted_by_hand |= {snapshot: self.hub.clock.now(), line: self.hub.clock.now()}

    def _just_deleted_by_hand(self, what: str) -> bool:
        """Whether a person deleted a snapshot, or one of a line, so lately that EC2's lists need not tell."""
        at = self.deleted_by_hand.get(what)
        return at is not None and self.hub.clock.now() - at < self.lists_lag_for

    def _held(self) -> dict[str, int]:
        """By line, the newest stamp on any volume that is there or in any complete snapshot."""
        best: dict[str, int] = {}
        cloud, content = self.world.cloud, self.content
        kept = [content.of_volume(each.id) for each in cloud.volumes.values() if each.state in ("available", "in-use")]
        kept += [content.of_snapshot(each.id) for each in cloud.snapshots.values() if each.state == "completed"]
        for stamp in kept:
            line = self.line.get(stamp or 0)
            if line is not None and stamp is not None:
                best[line] = max(best.get(line, 0), stamp)
        return best

    # -- calls of the product

    def before(self, call: Call) -> None:
        """The law at this very moment, as AWS would carry the call out."""
        if not call.changes or call.service not in ("ec2", "ssm"):
            return
        asked = call.parameters
        if call.operation in ("DetachVolume", "DeleteVolume"):
            self._not_in_use(call)
        if not self._would_be_refused(call):
            self._only_ours(call)
            self._the_latest_wish(call)
            rule = _RULES.get(call.operation)
            if rule is not None:
                rule(self, asked)

    def after(self, call: Call, error: str | None) -> None:
        if call.changes or error:
            self.look("product")

    def _not_in_use(self, call: Call) -> None:
        """Law 1c, even where EC2 would refuse: nobody asks for what the lists have shown for a minute to be in use."""
        cloud, now = self.world.cloud, self.hub.clock.now()
        volume, instance = cloud.volumes.get(call.parameters["VolumeId"]), cloud.instances.get(self.workstation)
        attached = volume.attachment if volume is not None and call.operation == "DeleteVolume" else None
        if attached is not None and attached.state != "detaching" and now - attached.at > self.lists_lag_for:
            raise LawBrokenError(f"law 1c: {call.parameters['VolumeId']} is to be deleted, and is in use")
        pulled = call.operation == "DetachVolume" and instance is not None and instance.state == "running"
        if pulled and instance is not None and now - instance.launched_at > self.lists_lag_for:
            raise LawBrokenError(f"law 1c: {call.parameters['VolumeId']} is pulled out of a running instance")

    def _would_be_refused(self, call: Call) -> bool:
        """Whether EC2 itself will say no, so that nothing comes of the call."""
        asked, cloud = call.parameters, self.world.cloud
        instance = cloud.instances.get(self.workstation)
        if call.operation == "DeleteVolume":
            volume = cloud.volumes.get(asked["VolumeId"])
            return volume is None or volume.attachment is not None or volume.state not in ("available", "error")
        if call.operation == "DetachVolume":
            volume = cloud.volumes.get(asked["VolumeId"])
            return volume is None or volume.attachment is None
        if call.operation == "CreateVolume" and "SnapshotId" in asked:
            snapshot = cloud.snapshots.get(asked["SnapshotId"])
            return snapshot is None or snapshot.state != "completed"
        if call.operation == "StartInstances":
            return instance is None or instance.state != "stopped" or instance.root_device not in instance.volumes
        if call.operation == "StopInstances":
            return instance is None or instance.state != "running"
        if call.operation == "DeleteSnapshot":
            return asked["SnapshotId"] not in cloud.snapshots
        return False

    def _only_ours(self, call: Call) -> None:
        """Law 7. A tag that was taken away while a function was under way is IAM's to look at."""
        cloud, task = self.world.cloud, self.hub.current
        for one in touched(call):
            found = cloud.instances.get(one) or cloud.volumes.get(one) or cloud.snapshots.get(one)
            if found is None or found.tags.get("autostop") == "on":
                continue
            lost = self.untagged.get(one)
            known = task is not None and lost is not None and task.began < lost + self.lists_lag_for
            if not known:
                raise LawBrokenError(f"law 7: {call.operation} of {one}, which does not carry our tag")

    def _the_latest_wish(self, call: Call) -> None:
        """Law 4: after a tap, whoever was under way may finish one step, and no more."""
        wish, task = self.wish, self.hub.current
        if wish is None or task is None or self._intent().get("number", 0) > wish.intent:
            return
        contrary = call.operation in _PUTTING_TO_SLEEP if wish.wanted == "run" else call.operation == "StartInstances"
        if call.operation == "DeleteVolume":
            volume = self.world.cloud.volumes.get(call.parameters["VolumeId"])
            contrary = contrary and volume is not None and volume.state != "error" and not self._is_unused_copy(volume)
        if not contrary:
            return
        if task not in wish.under_way or task in wish.excused:
            raise LawBrokenError(f"law 4: {call.operation} after the owner asked for {wish.wanted} at {wish.at}")
        wish.excused.add(task)

    def wished(self, wanted: str) -> None:
        """The owner's tap was accepted, and no later one overtook the function that tells so."""
        if self._intent().get("by") == "owner" and self._intent().get("wanted") != wanted:
            return
        self.wish = Wish(wanted, self.hub.clock.now(), self._intent().get("number", 0), self.tasks())

    def _is_unused_copy(self, volume: Volume) -> bool:
        """It was never attached to anything since it was made, and its snapshot and its twin in its place are there."""
        snapshot = self.world.cloud.snapshots.get(volume.snapshot_id or "")
        twins = [each for each in self.world.cloud.volumes.values() if each.snapshot_id == volume.snapshot_id]
        in_place = any(each.attachment is not None and each.id != volume.id for each in twins)
        return volume.id not in self.ever_attached and snapshot is not None and in_place

    def _delete_volume(self, asked: Mapping[str, Any]) -> None:
        """Law 1."""
        volume = self.world.cloud.volumes[asked["VolumeId"]]
        if volume.state == "error" or self._is_unused_copy(volume):
            return
        document = self._state()
        records = {each["volume"]: each for each in (document.get("manifest") or {}).get("volumes", ())}
        record = records.get(volume.id)
        task = self.hub.current
        if record is None and task is not None and self.table_hurt_at is not None and task.began < self.table_hurt_at:
            return  # it was read before somebody damaged it; the snapshot's tags say the same
        if record is None:
            raise LawBrokenError(f"law 1d: {volume.id} is deleted, and no manifest in the table tells of it")
        snapshot = self.world.cloud.snapshots.get(record["snapshot"])
        if snapshot is None and self._just_deleted_by_hand(record["snapshot"]):
            return
        if snapshot is None or snapshot.volume_id != volume.id or snapshot.state != "completed":
            raise LawBrokenError(f"law 1a: {volume.id} is deleted without a complete snapshot of its own")
        if self._not_stopped_until is not None and snapshot.started_at <= self._not_stopped_until:
            raise LawBrokenError(f"law 1b: {snapshot.id} was begun before the instance last stopped")
        missing = [key for key in _KEPT_IN_TAGS if f"autostop:{key}" not in snapshot.tags]
        at = self.reshaped_at.get(volume.id)
        if at is not None and self.hub.clock.now() - at < self.lists_lag_for:
            # Changed in the seconds before its deletion: its content is safe, the change is lost.
            self.shape_unknown.add(self.line.get(self.content.of_volume(volume.id) or 0, ""))
            return
        if missing or not _describes(snapshot, volume):
            raise LawBrokenError(f"law 1d: {snapshot.id} does not say how to restore {volume.id}: {missing}")

    def _delete_snapshot(self, asked: Mapping[str, Any]) -> None:
        """Law 2, beyond the content: a later cycle is whole, and the instance runs from it."""
        snapshot = self.world.cloud.snapshots[asked["SnapshotId"]]
        if snapshot.state == "error":
            return
        instance = self.world.cloud.instances.get(self.workstation)
        lately = self._ran_at is not None and self.hub.clock.now() - self._ran_at < self.lists_lag_for
        if instance is None or not lately:
            raise LawBrokenError(f"law 2: {snapshot.id} is deleted while nothing runs")
        later = [each for each in self.world.cloud.snapshots.values() if _replaces(each, snapshot)]
        lines = {self._line_of(each.id) for each in [snapshot, *later]}
        for device, volume_id in instance.volumes.items():
            volume = self.world.cloud.volumes[volume_id]
            if device in self.displaced or (volume.snapshot_id is None and not self._was_snapshotted(volume_id)):
                continue
            if self.line.get(self.content.of_volume(volume_id) or 0) not in lines:
                continue  # it was away for all later sets, and is back with all its data
            # Of what it was made from, or of itself as it was before the start.
            copies = [each for each in self.world.cloud.snapshots.values() if each.volume_id == volume_id]
            copies += filter(None, [self.world.cloud.snapshots.get(volume.snapshot_id or "")])
            if not any(each.state == "completed" and _replaces(each, snapshot) for each in copies):
                raise LawBrokenError(f"law 2: {snapshot.id} is deleted, and {device} does not run from a later one")

    def _line_of(self, snapshot: str) -> str | None:
        return self.line.get(self.content.of_snapshot(snapshot) or 0)

    def _was_snapshotted(self, volume: str) -> bool:
        """False for one that was in no set: it was away, or not ours, and all its data is on it."""
        return any(each.volume_id == volume for each in self.world.cloud.snapshots.values())

    def _create_volume(self, asked: Mapping[str, Any]) -> None:
        """Law 3: never an empty disk, never another snapshot."""
        stamp = self.content.of_snapshot(asked.get("SnapshotId", "")) or 0
        line = self.line.get(stamp)
        if line is None:
            raise LawBrokenError(f"law 3: a volume is made from {asked.get('SnapshotId')}, which holds nothing of ours")
        if line in self.newest and stamp != self.newest[line]:
            raise LawBrokenError(f"law 3: {line} is restored from {stamp}, and {self.newest[line]} is newer")

    def _start_instances(self, _asked: Mapping[str, Any]) -> None:
        """Law 3: no start with a volume missing or with an older one."""
        instance = self._instance_or_fail()
        here = {self.content.of_volume(volume) for volume in instance.volumes.values()}
        now = self.hub.clock.now()
        for line, stamp in self.newest.items():
            at = self.detached_by_hand_at.get(line)
            # Somebody who pulls a disk in the seconds before a start cannot be seen in time.
            just_now = at is not None and now - at < self.lists_lag_for
            if stamp not in here and line not in self.displaced and not just_now and not self._taken_away(stamp):
                raise LawBrokenError(f"law 3: it is started without the latest content of {line} ({stamp})")

    def _taken_away(self, stamp: int) -> bool:
        """Whether the content is on a volume that a person made no part of the workstation any more."""
        holders = [each for each in self.world.cloud.volumes.values() if self.content.of_volume(each.id) == stamp]
        ours = {"autostop": "on", "autostop:workstation": self.workstation}
        return any(each.tags.get(key) != value for each in holders for key, value in ours.items())

    def _stop_instances(self, _asked: Mapping[str, Any]) -> None:
        """Laws 5 and 6, for a stop by idleness."""
        if self._intent().get("by") != "idle":
            return
        now, activity = self.hub.clock.now(), self.activity
        launched = self._instance_or_fail().launched_at
        if now < launched + activity.grace + activity.idle_after:
            raise LawBrokenError(f"law 6: stopped {now - launched} after its launch")
        if now - activity.idle_after < activity.last_work < now - LOOK_HOLDS_FOR:
            raise LawBrokenError(f"law 5: stopped, and there was work {now - activity.last_work} ago")
        if activity.blind_since is not None and now - activity.blind_since > LOOK_HOLDS_FOR:
            raise LawBrokenError(f"law 5: stopped, though nothing could be seen since {activity.blind_since}")

    # -- what Autostop has written down

    def _state(self) -> dict[str, Any]:
        """Both items together, of the same version."""
        keys = ("states", self.workstation), (self.workstation, "details")
        try:
            first, second = (self.table.items[key] for key in keys)
            if first["version"] != second["version"]:
                raise LawBrokenError(f"a state in two versions: {first['version']}, {second['version']}")
            document = json.loads(first["document"]["S"]) | json.loads(second["document"]["S"])
        except (KeyError, ValueError):
            return {}
        return document if isinstance(document, dict) else {}

    def _intent(self) -> dict[str, Any]:
        return self._state().get("intent") or {}

    def _instance_or_fail(self) -> Instance:
        return self.world.cloud.instances[self.workstation]


_RULES: dict[str, Callable[[Oracle, Mapping[str, Any]], None]] = {
    "DeleteVolume": Oracle._delete_volume,
    "DeleteSnapshot": Oracle._delete_snapshot,
    "CreateVolume": Oracle._create_volume,
    "StartInstances": Oracle._start_instances,
    "StopInstances": Oracle._stop_instances,
}


def _describes(snapshot: Snapshot, volume: Volume) -> bool:
    told = snapshot.tags.get("autostop:type"), snapshot.tags.get("autostop:size"), snapshot.tags.get("autostop:volume")
    return told == (volume.type, str(volume.size), volume.id)


def _replaces(one: Snapshot, other: Snapshot) -> bool:
    """Of a later cycle, or of the same stop: another set was made because one failed or its answer was lost."""
    if one is other:
        return False
    stop, cycle = "autostop:launched-at", "autostop:cycle"
    same = one.tags.get(stop) == other.tags.get(stop) and one.tags.get(cycle) == other.tags.get(cycle)
    return same or int(one.tags.get(cycle, "0")) > int(other.tags.get(cycle, "0"))
