"""boto3 clients without HTTP: their calls go straight to an account in this process, as parameters and replies.

A call costs microseconds so, against milliseconds through moto; what the wire does to a call is for tests/aws and
tests/local to try.
"""

import itertools
from collections.abc import Mapping
from functools import cache
from typing import Any, Protocol

import boto3
from botocore.exceptions import ClientError

from autostop_local.world.errors import AwsError
from tests.simulation.table import CancelledError

SERVICES = ("ec2", "cloudwatch", "ssm", "dynamodb", "sqs", "events")


class Account(Protocol):
    """Whatever answers the calls."""

    def call(self, service: str, operation: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """May raise what boto3 raises."""
        ...


class Clients:
    """A client of each service; their calls go to whichever account is the present one."""

    def __init__(self) -> None:
        self.account: Account | None = None
        self._tokens = itertools.count()
        session = boto3.Session("simulated", "simulated", region_name="us-east-1")
        self.ec2, self.cloudwatch, self.ssm, self.dynamodb, self.sqs, self.events = (
            self._made(session, service) for service in SERVICES
        )
        self.ebs, self.pricing = (self._made(session, service) for service in ("ebs", "pricing"))

    def _made(self, session: boto3.Session, service: Any) -> Any:
        client = session.client(service)

        def make_api_call(operation: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
            if self.account is None:
                raise RuntimeError("no account is present")
            if operation == "TransactWriteItems":
                # As botocore does: all attempts of one call have one token.
                parameters = {"ClientRequestToken": f"token-{next(self._tokens)}", **parameters}
            return self.account.call(service, operation, parameters)

        # botocore's own seam between a client's methods and its HTTP; paginators come through here too.
        client._make_api_call = make_api_call
        # Each is a class that botocore makes anew.
        client.get_paginator = cache(client.get_paginator)
        return client


@cache
def clients(_whose: str = "the product's") -> Clients:
    """One set of each kind for the process: making them reads the services' models from disk."""
    return Clients()


def client_error(error: AwsError, operation: str) -> ClientError:
    """As boto3 raises it."""
    shown: dict[str, Any] = {"Error": {"Code": error.code, "Message": error.message}}
    if isinstance(error, CancelledError):
        shown["CancellationReasons"] = error.reasons
    if error.reason:
        shown["Reason"] = error.reason
    return ClientError(shown | {"ResponseMetadata": {"HTTPStatusCode": error.status}}, operation)  # type: ignore[arg-type]  # as little as is read


_NESTED = (dict, list)


def without_none(value: Any) -> Any:
    """A reply as it would come over the wire: nothing where there is nothing."""
    if isinstance(value, list):
        return [without_none(each) if isinstance(each, _NESTED) else each for each in value]
    return {
        key: without_none(each) if isinstance(each, _NESTED) else each
        for key, each in value.items()
        if each is not None
    }
