"""An account with the stack in it, in this process, and the command on top."""

import json
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
from click.testing import CliRunner, Result

from autostop.model import WorkstationId
from autostop_cli.__main__ import cli
from autostop_cli.account import Account
from autostop_local.world import VirtualClock, VirtualMachines, World
from tests.handlers.template import table_properties

START = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)
API_URL = "https://abc123.execute-api.us-east-1.amazonaws.com"

_TEMPLATE = {
    "Parameters": {
        "IdleAfter": {"Type": "String", "Default": "40m"},
        "ShelveAfter": {"Type": "String", "Default": "0"},
        "Probe": {"Type": "String", "Default": "ssm"},
        "SweepEvery": {"Type": "String", "Default": "rate(5 minutes)"},
    },
    "Resources": {
        "Table": {"Type": "AWS::DynamoDB::Table", "Properties": table_properties()},
        "Queue": {"Type": "AWS::SQS::Queue"},
        "DeadLetterQueue": {"Type": "AWS::SQS::Queue"},
    },
    "Outputs": {
        "ApiUrl": {"Value": API_URL},
        "TableName": {"Value": {"Ref": "Table"}},
        "QueueUrl": {"Value": {"Ref": "Queue"}},
        "DeadLetterQueueUrl": {"Value": {"Ref": "DeadLetterQueue"}},
    },
}


@dataclass(frozen=True)
class Desk:
    """The world, its clock, and the account as the command sees it."""

    world: World
    clock: VirtualClock
    account: Account

    def run(self, *words: str, stdin: str | None = None, environment: Mapping[str, str] | None = None) -> Result:
        """One call of the command; what it prints for errors is in `output` too."""
        fresh = Account(self.account.session, self.account.stack_name, self.clock, self.account.sleep)
        return CliRunner().invoke(cli, words, input=stdin, env=environment, obj=fresh, catch_exceptions=False)

    def launch(self, **parameters: Any) -> WorkstationId:
        """A running workstation with a root volume and a data volume, which nobody has adopted."""
        disks = {"/dev/sdf": {"VolumeType": "gp3", "VolumeSize": 100}}
        return WorkstationId(self.world.launch(**{"disks": disks, "tags": {"Name": "lab"}, **parameters}))

    def tags(self, resource: str) -> dict[str, str]:
        """The tags of an instance or a volume."""
        return dict(self.world.cloud.resource(resource).tags)

    def volume_at(self, workstation: WorkstationId, device: str) -> str:
        """The id of what is attached there."""
        (found,) = [each.id for each in self.account.disks.volumes(workstation) if each.device == device]
        return found

    def calls(self, operation: str) -> list[Mapping[str, Any]]:
        """The parameters of the calls of one operation that AWS took, oldest first."""
        return [each.parameters for each in self.world.journal.calls(operation) if each.error is None]


@contextmanager
def desk(root: Path, *, begins: datetime = START, **parameters: str) -> Generator[Desk]:
    """A new account; parameters: of the stack."""
    clock = VirtualClock(begins)
    with World(root, clock=clock, machines=VirtualMachines()) as world:
        session = boto3.Session(region_name="us-east-1")
        session.client("cloudformation").create_stack(
            StackName="autostop",
            TemplateBody=json.dumps(_TEMPLATE),
            Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()],
        )

        def sleep(seconds: float) -> None:
            clock.advance(timedelta(seconds=seconds))

        yield Desk(world, clock, Account(session, clock=clock, sleep=sleep))
