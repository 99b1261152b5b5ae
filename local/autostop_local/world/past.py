"""How the world was a moment ago: what EC2's lists tell while they lag behind the calls.

EC2 Developer Guide, eventual-consistency: what a call has done "might not be immediately visible to all subsequent
commands"; the id of what was just created may be unknown, and one should be ready to wait up to five minutes. Here the
lists alone lag; the calls that change something always see the truth.
"""

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta

from autostop_local.world.cloud import Cloud
from autostop_local.world.resources import Instance, Snapshot, Spot, Volume

LAGGING = frozenset({"DescribeInstances", "DescribeInstanceStatus", "DescribeVolumes", "DescribeSnapshots"})

_KEPT_FOR = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class _Scene:
    """What there was from a moment on."""

    since: datetime
    instances: dict[str, Instance]
    volumes: dict[str, Volume]
    snapshots: dict[str, Snapshot]
    spots: dict[str, Spot]


class Past:
    """The last five minutes of a world, from when this was made on.

    A copy is taken only when something is about to change at a later moment than the change before: what many calls do
    at one moment costs one copy.
    """

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._since = cloud.now()  # how the world is, it is since then
        self._scenes: deque[_Scene] = deque([self._copy()])

    def before_change(self, at: datetime) -> None:
        """Keep how the world is: at this moment something is going to change."""
        if at <= self._since:
            return
        self._scenes.append(self._copy())
        self._since = at
        while len(self._scenes) > 1 and self._scenes[1].since <= at - _KEPT_FOR:
            self._scenes.popleft()

    @contextmanager
    def seen(self, lag: timedelta) -> Iterator[None]:
        """Within it, the cloud is as it was so long ago (five minutes at most); nothing may be changed meanwhile."""
        cloud = self._cloud
        truth = cloud.instances, cloud.volumes, cloud.snapshots, cloud.spots
        moment = cloud.now() - min(lag, _KEPT_FOR)
        if moment < self._since:
            scene = next((scene for scene in reversed(self._scenes) if scene.since <= moment), self._scenes[0])
            cloud.instances, cloud.volumes = scene.instances, scene.volumes
            cloud.snapshots, cloud.spots = scene.snapshots, scene.spots
        cloud.timeline.moment = moment  # what is told by the clock (progress, checks) is as old
        try:
            yield
        finally:
            cloud.instances, cloud.volumes, cloud.snapshots, cloud.spots = truth
            cloud.timeline.moment = None

    def _copy(self) -> _Scene:
        cloud = self._cloud
        return _Scene(
            self._since,
            {key: one.copy() for key, one in cloud.instances.items()},
            {key: one.copy() for key, one in cloud.volumes.items()},
            {key: one.copy() for key, one in cloud.snapshots.items()},
            {key: one.copy() for key, one in cloud.spots.items()},
        )
