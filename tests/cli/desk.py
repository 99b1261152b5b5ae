"""An account with the stack in it, in this process, and the command on top."""

import json
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from click.testing import CliRunner, Result

from autostop.model import WorkstationId
from autostop_cli import VERSION
from autostop_cli.__main__ import cli
from autostop_cli.account import Account
from autostop_cli.deployed_stack import Stack
from autostop_cli.verify.scratch import EbsScratch
from autostop_local.world import Timings, VirtualClock, World
from tests.app.autostop_at_work import SESSION, AtWork, at_work
from tests.handlers.table import TABLE

START = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)
API_URL = "https://abc123.execute-api.us-east-1.amazonaws.com"

CONTROLLER = {
    "Parameters": {
        "IdleAfter": {"Type": "String", "Default": "40m"},
        "ShelveAfter": {"Type": "String", "Default": "0"},
        "Probe": {"Type": "String", "Default": "ssm"},
        "NoticeEmail": {"Type": "String", "Default": ""},
        "NoticeUrl": {"Type": "String", "Default": ""},
        "SweepEvery": {"Type": "String", "Default": "rate(5 minutes)"},
    },
    "Resources": {
        "Queue": {"Type": "AWS::SQS::Queue"},
        "DeadLetterQueue": {"Type": "AWS::SQS::Queue"},
        "NoticeTopic": {"Type": "AWS::SNS::Topic"},
    },
    "Outputs": {
        "Version": {"Value": VERSION},
        "ApiUrl": {"Value": API_URL},
        "TableName": {"Value": TABLE},
        "QueueUrl": {"Value": {"Ref": "Queue"}},
        "DeadLetterQueueUrl": {"Value": {"Ref": "DeadLetterQueue"}},
        "NoticeTopicArn": {"Value": {"Ref": "NoticeTopic"}},
    },
}


# Each client is made once, which takes longer than its calls.
_LAPTOP: Any = SimpleNamespace(client=cache(SESSION.client), region_name=SESSION.region_name)


@dataclass(frozen=True)
class Desk:
    """Autostop at work, and the account as the command sees it."""

    lab: AtWork
    account: Account

    @property
    def world(self) -> World:
        return self.lab.world

    @property
    def clock(self) -> VirtualClock:
        return self.lab.clock

    def run(self, *words: str, stdin: str | None = None, environment: Mapping[str, str] | None = None) -> Result:
        """One call of the command; what it prints for errors is in `output` too."""
        fresh = account_of(self.lab, self.account.sleep)
        return CliRunner().invoke(cli, words, input=stdin, env=environment, obj=fresh, catch_exceptions=False)

    def launch(self, **parameters: Any) -> WorkstationId:
        """A running workstation with a root volume and a data volume, which nobody has adopted."""
        disks = {"/dev/sdf": {"VolumeType": "gp3", "VolumeSize": 100}}
        return WorkstationId(self.world.launch(**{"disks": disks, "tags": {"Name": "lab"}, **parameters}))

    def adopted(self, name: str = "lab", runs_for: timedelta = timedelta(minutes=5)) -> WorkstationId:
        """A workstation that has run for a while."""
        lab = self.launch(tags={"Name": name})
        self.lab.adopt(lab)
        self.clock.advance(runs_for)
        return lab

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
def desk(root: Path, *, begins: datetime = START, over_http: bool = True, **parameters: str) -> Generator[Desk]:
    """A new account; parameters: of the stack, which CloudFormation tells only over HTTP."""
    with at_work(root, begins=begins, over_http=over_http, snapshot=Timings().snapshot) as lab:
        if over_http:
            SESSION.client("cloudformation").create_stack(
                StackName="autostop",
                TemplateBody=json.dumps(CONTROLLER),
                Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()],
            )
        yield Desk(lab, account_of(lab))


def account_of(lab: AtWork, sleep: Callable[[float], None] | None = None) -> Account:
    """The account over Autostop at work; without HTTP with its clients, its queue and a stack that was read already."""
    account = Account(_LAPTOP, clock=lab.clock, sleep=sleep or lab.sleep)
    if not lab.over_http:
        policy = replace(lab.defaults, idle_after=timedelta(minutes=40))
        stack = Stack("autostop", API_URL, TABLE, "queue", policy, version=VERSION)
        vars(account).update(ec2=lab.ec2, ledger=lab.ledger, queue=lab.queue, stack=stack)
        vars(account).update(scratch=EbsScratch(lab.ec2, lab.clients.ebs))
    return account
