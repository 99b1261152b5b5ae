"""An account in which the example events happen: the world with one workstation, and what the template makes."""

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from unittest.mock import patch

import boto3

from autostop import tags
from autostop.aws.ledger import DynamoLedger
from autostop.link import Link, Scope, digest_of
from autostop.model import WorkstationId
from autostop_local.world import Timings, WallClock, World, serve
from tests.handlers.functions import EXAMPLE_SECRET, ROOT, event
from tests.handlers.table import make_table

# What the functions are told of the account, in the form that sam takes (sam local invoke --env-vars).
VARIABLES: Mapping[str, str] = json.loads((ROOT / "events/env.json").read_text(encoding="utf-8"))["Parameters"]


@dataclass(frozen=True, slots=True)
class ExampleAccount:
    """url: the endpoint of all services, for processes of their own; boto3 in this one is there already."""

    world: World
    url: str
    workstation: WorkstationId
    ledger: DynamoLedger
    ids: Mapping[str, str]

    def event(self, name: str) -> Any:
        """An example event, about what is in this account."""
        return event(name, **self.ids)

    def woken(self) -> list[str]:
        """The workstations that the reconciler is to look at."""
        received = boto3.client("sqs").receive_message(QueueUrl=VARIABLES["QUEUE_URL"], MaxNumberOfMessages=10)
        return [json.loads(message["Body"])["workstation"] for message in received.get("Messages", [])]


@contextmanager
def example_account(directory: Path) -> Iterator[ExampleAccount]:
    """The account, while the block lasts. The workstation is running, and the example's secret opens its page."""
    variables = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing", **VARIABLES}
    world = World(directory, clock=WallClock(), timings=Timings.none())
    with patch.dict(os.environ, variables), world, serve(world) as url:
        table, ec2 = make_table(boto3.client("dynamodb")), boto3.client("ec2")
        boto3.client("sqs").create_queue(QueueName=VARIABLES["QUEUE_URL"].rpartition("/")[2])
        boto3.client("sns").create_topic(Name=VARIABLES["TOPIC_ARN"].rpartition(":")[2])
        workstation = WorkstationId(world.launch(tags={tags.AUTOSTOP: tags.ON}))
        ours = {tags.AUTOSTOP: tags.ON, tags.WORKSTATION: workstation, tags.DEVICE: "/dev/sda1"}
        [volume] = ec2.describe_volumes()["Volumes"]
        world.tag(volume["VolumeId"], ours)
        snapshot = ec2.create_snapshot(VolumeId=volume["VolumeId"])["SnapshotId"]
        world.tag(snapshot, ours)
        ids = {
            "i_0123456789abcdef0": str(workstation),
            "vol_0123456789abcdef0": volume["VolumeId"],
            "snap_0123456789abcdef0": snapshot,
        }
        ledger = DynamoLedger(table, VARIABLES["TABLE_NAME"])
        scopes = tuple(Scope)
        ledger.put_link(Link(workstation, digest_of(EXAMPLE_SECRET), "phone", scopes, created_at=datetime.now(UTC)))
        world.journal.clear()
        yield ExampleAccount(world, url, workstation, ledger, ids)
