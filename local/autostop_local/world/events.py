"""The events that EC2 and EBS send to EventBridge, in AWS's JSON, and their way out of the world.

Shapes: EC2 User Guide, monitoring-instance-state-changes; EBS User Guide, ebs-cloud-watch-events.
"""

import logging
import random
import threading
import uuid
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from autostop_local.world.resources import Snapshot

Event = dict[str, Any]
Send = Callable[[Event], None]

_log = logging.getLogger(__name__)


def iso(at: datetime) -> str:
    """As in the events: to the second, in UTC."""
    return at.replace(tzinfo=None).isoformat(timespec="seconds") + "Z"


class Outbox:
    """Events wait here while the world is locked, and are delivered, in order, once it is not."""

    def __init__(self, send: Send | None, *, account: str, region: str, seed: int | None = None) -> None:
        """send: None when nobody listens, and nothing is told; seed: of the ids, as the world's."""
        self._send = send
        self._account = account
        self._region = region
        self._chance = random.Random(seed)  # noqa: S311 - ids, not secrets
        self._waiting: deque[Event] = deque()
        self._delivering = threading.Lock()

    def instance_state(self, instance_id: str, state: str, at: datetime) -> None:
        self._put(
            "EC2 Instance State-change Notification",
            at,
            [f"arn:aws:ec2:{self._region}:{self._account}:instance/{instance_id}"],
            {"instance-id": instance_id, "state": state},
        )

    def volume(self, volume_id: str, event: str, result: str, at: datetime, cause: str = "") -> None:
        """`event` and `result`: createVolume available or failed, deleteVolume deleted, attachVolume attached."""
        self._put(
            "EBS Volume Notification",
            at,
            [f"arn:aws:ec2:{self._region}:{self._account}:volume/{volume_id}"],
            {"event": event, "result": result, "cause": cause, "request-id": self._id()},
        )

    def snapshot(self, snapshot: Snapshot, at: datetime, cause: str = "") -> None:
        """The end of one CreateSnapshot; `cause` is why it failed."""
        self._put(
            "EBS Snapshot Notification",
            at,
            [f"arn:aws:ec2::{self._region}:snapshot/{snapshot.id}"],
            {
                "event": "createSnapshot",
                "result": "failed" if cause else "succeeded",
                "cause": cause,
                "request-id": "",
                "snapshot_id": f"arn:aws:ec2::{self._region}:snapshot/{snapshot.id}",
                "source": f"arn:aws:ec2::{self._region}:volume/{snapshot.volume_id}",
                "startTime": iso(snapshot.started_at),
                "endTime": iso(at),
            },
        )

    def snapshots(self, members: Sequence[Snapshot], at: datetime, causes: Mapping[str, str]) -> None:
        """The end of one CreateSnapshots; causes: why it failed, or nothing, by snapshot id."""
        cause = next((causes[one.id] for one in members if causes[one.id]), "")
        self._put(
            "EBS Multi-Volume Snapshots Completion Status",
            at,
            [f"arn:aws:ec2::{self._region}:snapshot/{one.id}" for one in members],
            {
                "event": "createSnapshots",
                "result": "failed" if cause else "succeeded",
                "cause": cause,
                "request-id": "",
                "startTime": iso(members[0].started_at),
                "endTime": iso(at),
                "snapshots": [
                    {
                        # The Region stands where the account belongs: AWS's samples have it so.
                        "snapshot_id": f"arn:aws:ec2::{self._region}:snapshot/{one.id}",
                        "source": f"arn:aws:ec2::{self._region}:volume/{one.volume_id}",
                        "status": "error" if causes[one.id] else "completed",
                    }
                    for one in members
                ],
            },
        )

    def deliver(self) -> None:
        """Hand over what waits. A receiver that fails is logged and gets the next event all the same.

        One thread delivers at a time, so that the order holds; a receiver may call the world, and the events of that
        call are left to the delivery that is under way.
        """
        while self._waiting and self._send is not None:
            if not self._delivering.acquire(blocking=False):
                return
            try:
                while self._waiting:
                    event = self._waiting.popleft()
                    try:
                        self._send(event)
                    except Exception:  # noqa: BLE001 - whatever the receiver's fault, the world goes on
                        _log.exception("the receiver failed on %s", event["detail-type"])
            finally:
                self._delivering.release()

    def _put(self, kind: str, at: datetime, resources: list[str], detail: dict[str, Any]) -> None:
        if self._send is None:
            return
        self._waiting.append(
            {
                "version": "0",
                "id": self._id(),
                "detail-type": kind,
                "source": "aws.ec2",
                "account": self._account,
                "time": iso(at),
                "region": self._region,
                "resources": resources,
                "detail": detail,
            }
        )

    def _id(self) -> str:
        return str(uuid.UUID(int=self._chance.getrandbits(128), version=4))
