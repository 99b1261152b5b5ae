"""EventBridge's part in the events of EC2 and EBS: the deployed rules decide which of them go to which queue.

The emulator refuses events whose source begins with `aws.`, as AWS does, so the world's cannot take the way through it.
The rules are still the template's own, read from the emulator. Our own events the emulator brings to their targets.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from moto.events.models import EventPattern

from autostop_local.emulator import Emulator

Event = Mapping[str, Any]


class UnsupportedTargetError(Exception):
    """A rule does with its events what is not imitated here; the text says what."""


@dataclass(frozen=True, slots=True)
class Route:
    """One rule's pattern and the queues it sends to."""

    rule: str
    pattern: EventPattern
    queue_urls: Sequence[str]

    def catches(self, event: Event) -> bool:
        return self.pattern.matches_event(cast("Any", event))  # moto wants a type of its own


def events_sink(emulator: Emulator) -> Callable[[Event], int]:
    """A function that sends one event where the rules deployed by now say, and gives the number of messages.

    Raises UnsupportedTargetError.
    """
    sqs = emulator.session.client("sqs", **emulator.reach)
    routes = deployed_routes(emulator)

    def send(event: Event) -> int:
        urls = [url for route in routes if route.catches(event) for url in route.queue_urls]
        body = json.dumps(event)
        for url in urls:
            sqs.send_message(QueueUrl=url, MessageBody=body)
        return len(urls)

    return send


def deployed_routes(emulator: Emulator) -> Sequence[Route]:
    """The enabled rules of the default bus for events of AWS's services, with their queues."""
    events = emulator.session.client("events", **emulator.reach)
    sqs = emulator.session.client("sqs", **emulator.reach)
    routes = []
    for page in events.get_paginator("list_rules").paginate():
        for rule in page["Rules"]:
            if rule["State"] != "ENABLED" or "EventPattern" not in rule:
                continue
            pattern = EventPattern.load(rule["EventPattern"])
            if not is_for_aws(pattern.get_pattern()):
                continue
            urls = []
            for target in events.list_targets_by_rule(Rule=rule["Name"])["Targets"]:
                if ":sqs:" not in target["Arn"] or {"Input", "InputPath", "InputTransformer"} & target.keys():
                    raise UnsupportedTargetError(f"{rule['Name']}: only whole events to queues are imitated")
                urls.append(sqs.get_queue_url(QueueName=target["Arn"].rpartition(":")[2])["QueueUrl"])
            routes.append(Route(rule["Name"], pattern, urls))
    return routes


def is_for_aws(pattern: Mapping[str, Any]) -> bool:
    """False when only events of others than AWS's services can match, which the emulator delivers itself."""
    sources = pattern.get("source")
    return sources is None or any(not isinstance(each, str) or each.startswith("aws.") for each in sources)
