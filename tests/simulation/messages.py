"""The reconciler's queue, and the way of AWS's events into it: late, twice, in another order, or never."""

import json
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from tests.simulation.hub import Hub

# As in template.yaml.
VISIBILITY = timedelta(minutes=6)
MOST_RECEIVES = 5


@dataclass(eq=False)
class Message:
    """One message of the queue."""

    body: str
    receives: int = 0
    done: bool = False


@dataclass
class Disorder:
    """How unreliable delivery is: probabilities, and how late an event may be."""

    lost: float = 0.0
    doubled: float = 0.0
    late: float = 0.0
    latest: timedelta = timedelta(minutes=15)


@dataclass
class Messages:
    """At least once, in any order; `deliver` is called with each message that becomes visible."""

    hub: Hub
    deliver: Callable[[Message], None]
    chance: random.Random
    disorder: Disorder = field(default_factory=Disorder)
    waiting: list[Message] = field(default_factory=list)
    dead: list[Message] = field(default_factory=list)

    def send(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """SendMessage."""
        self._put(asked["MessageBody"], timedelta(seconds=asked.get("DelaySeconds", 0)))
        return {"MessageId": "m"}

    def take_event(self, event: Mapping[str, Any]) -> None:
        """Of EventBridge, whose rules hand everything of EC2 and EBS to the queue."""
        chance, disorder = self.chance, self.disorder
        if chance.random() < disorder.lost:
            return
        late = chance.random() < disorder.late
        self._put(json.dumps(event), chance.random() * disorder.latest if late else timedelta(seconds=1))

    def _put(self, body: str, after: timedelta) -> None:
        for _ in range(2 if self.chance.random() < self.disorder.doubled else 1):
            message = Message(body)
            self.waiting.append(message)
            self._show(message, self.hub.clock.now() + after)

    def _show(self, message: Message, at: datetime) -> None:
        self.hub.at(at, lambda: self._receive(message))

    def _receive(self, message: Message) -> None:
        if message.done:
            return
        if message.receives >= MOST_RECEIVES:
            self.waiting.remove(message)
            self.dead.append(message)
            return
        message.receives += 1
        # Should the function die, the message is seen again.
        self._show(message, self.hub.clock.now() + VISIBILITY)
        self.deliver(message)

    def delete(self, message: Message) -> None:
        """It was handled."""
        if not message.done:
            message.done = True
            self.waiting.remove(message)
