"""The one way from Autostop's adapters to the account: every call passes here, and here everything can go wrong.

The adapters' boto3 clients are real; only the method that would send a request is replaced, so a call costs
microseconds and time stands still but for what the simulation lets pass. What the SDK does about a refused or lost
answer (standard mode: other attempts after a random wait) is done here too, on the virtual clock.
"""

import json
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Protocol

from botocore.exceptions import ReadTimeoutError

from autostop_local.world import World
from autostop_local.world.errors import AwsError
from autostop_local.world.resources import Resource
from autostop_local.world.wire import Asked
from tests.direct import client_error, without_none
from tests.simulation.hub import Hub
from tests.simulation.table import Table

ATTEMPTS = 4
# botocore.retries.standard: what another attempt is made for.
RETRIED = frozenset(
    {
        "InternalError", "InternalServerError", "ProvisionedThroughputExceededException", "RequestLimitExceeded",
        "ServiceUnavailable", "Throttling", "ThrottlingException", "Unavailable",
    }
)  # fmt: skip
READS = ("BatchGet", "Describe", "Get", "List", "Query", "TransactGet")


@dataclass(frozen=True, slots=True)
class Call:
    """One attempt of one call. number: of all attempts in this history, from 1."""

    number: int
    service: str
    operation: str
    parameters: Mapping[str, Any]

    @property
    def changes(self) -> bool:
        """Whether it can change anything in the account."""
        return not self.operation.startswith(READS)


class Weather(Protocol):
    """What goes wrong with a call."""

    def latency(self) -> timedelta: ...

    def refusal(self, call: Call) -> AwsError | None: ...

    def loses_the_answer(self, call: Call) -> bool: ...

    def kills(self, call: Call, when: str) -> bool:
        """Whether the function dies now; when: `before` or `after` the call has its effect."""
        ...


class Watch(Protocol):
    """Looks on at every call."""

    def before(self, call: Call) -> None: ...

    def after(self, call: Call, error: str | None) -> None: ...

    def announced(self, detail_type: str, detail: Mapping[str, Any]) -> None: ...


@dataclass
class Account:
    """EC2, CloudWatch and SSM of a world, a table and a queue, as functions reach them."""

    hub: Hub
    world: World
    table: Table
    weather: Weather
    watch: Watch
    send_message: Callable[[Mapping[str, Any]], dict[str, Any]]
    chance: random.Random
    calls: int = 0
    crashes: int = 0
    faults: int = 0
    by_operation: dict[str, int] = field(default_factory=dict)

    def call(self, service: str, operation: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """One call of the SDK, with its attempts. Raises ClientError or ReadTimeoutError."""
        attempt = 1
        while True:
            try:
                return self._attempt(service, operation, parameters)
            except AwsError as error:
                if error.code not in RETRIED or attempt == ATTEMPTS:
                    raise client_error(error, operation) from error
            except ReadTimeoutError:
                if attempt == ATTEMPTS:
                    raise
            self.hub.pause(timedelta(seconds=self.chance.uniform(0, 2 ** (attempt - 1))))
            attempt += 1

    def _attempt(self, service: str, operation: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
        self.hub.pause(self.weather.latency())
        self.calls += 1
        call = Call(self.calls, service, operation, parameters)
        self._maybe_die(call, "before")
        refusal = self.weather.refusal(call)
        if refusal is not None:
            self.faults += 1
            raise refusal
        self.watch.before(call)
        try:
            reply = self._effect(call)
        except AwsError as error:
            self.watch.after(call, error.code)
            raise
        self.watch.after(call, None)
        self._maybe_die(call, "after")
        if self.weather.loses_the_answer(call):
            self.faults += 1
            raise ReadTimeoutError(endpoint_url=f"https://{service}")
        self.hub.pause(self.weather.latency())
        return reply

    def _effect(self, call: Call) -> dict[str, Any]:
        self.by_operation[call.operation] = self.by_operation.get(call.operation, 0) + 1
        if call.service in ("dynamodb", "sqs", "events"):
            self.world.check(Asked(call.service, call.operation, call.parameters))
        if call.service == "dynamodb":
            return self.table.operations[call.operation](call.parameters)
        if call.service == "sqs":
            return self.send_message(call.parameters)
        if call.service == "events":
            for each in call.parameters["Entries"]:
                self.watch.announced(each["DetailType"], json.loads(each["Detail"]))
            return {"FailedEntryCount": 0, "Entries": [{"EventId": "e"} for _ in call.parameters["Entries"]]}
        self._allowed(call)
        reply = self.world.call(Asked(call.service, call.operation, call.parameters))
        if reply is None:
            raise AwsError("InvalidAction", f"the world has no {call.operation}")
        plain: dict[str, Any] = without_none(reply)
        return plain

    def _allowed(self, call: Call) -> None:
        """The condition of template.yaml's policies: what changes something is for resources with our tag only."""
        for one in touched(call) if call.changes else ():
            found = self._found(one)
            if found is not None and found.tags.get("autostop") != "on":
                code = "AccessDeniedException" if call.service == "ssm" else "UnauthorizedOperation"
                raise AwsError(code, f"You are not authorized to perform {call.operation} on {one}", 403)

    def _found(self, one: str) -> Resource | None:
        cloud = self.world.cloud
        return cloud.instances.get(one) or cloud.volumes.get(one) or cloud.snapshots.get(one)

    def _maybe_die(self, call: Call, when: str) -> None:
        if self.hub.current is not None and self.weather.kills(call, when):
            self.crashes += 1
            self.hub.die()


def touched(call: Call) -> list[str]:
    """The ids of what a call is about."""
    asked = call.parameters
    ids = [asked[key] for key in ("VolumeId", "SnapshotId", "InstanceId") if asked.get(key)]
    ids += [*asked.get("InstanceIds", ()), *asked.get("Resources", ())]
    return ids + ([asked["InstanceSpecification"]["InstanceId"]] if "InstanceSpecification" in asked else [])
