"""`autostop create`: what is shown and asked, what is made, and that it is made once, whatever happens in between."""

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import cache, partial
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import click
import pytest
from botocore.exceptions import ClientError, EndpointConnectionError
from click.testing import CliRunner

from autostop import tags
from autostop.aws.owners_url import notice_name
from autostop.model import WorkstationId
from autostop.ports import DeniedError, TransientError
from autostop_cli import VERSION, consent
from autostop_cli import create as creation
from autostop_cli.__main__ import cli
from autostop_cli.account import Account
from autostop_cli.artefacts import Artefacts, artefacts
from autostop_cli.create import upgrade
from autostop_cli.create_plan import Plans
from autostop_cli.deploy import Stacks
from autostop_cli.deployed_stack import is_older, other_version
from autostop_cli.errors import sentence
from autostop_cli.new_machine import (
    FIRST_FIGURES,
    Wish,
    cost_in_words,
    parse_address,
    parse_certificate,
    parse_name,
    parse_notify,
    types_in_words,
)
from autostop_local.world.errors import AwsError
from tests.app.autostop_at_work import SESSION, Answers, at_work
from tests.cli.desk import CONTROLLER, Desk, account_of
from tests.handlers.table import TABLE

TEMPLATE_ID = "lt-0123456789abcdef0"
WORKSTATION = {
    "Resources": {"Topic": {"Type": "AWS::SNS::Topic"}},
    "Outputs": {
        "LaunchTemplateId": {"Value": TEMPLATE_ID},
        "LaunchTemplateVersion": {"Value": "1"},
        "VpcId": {"Value": "default"},
        "BucketName": {"Value": "the-bucket"},
    },
}
ADDRESS = "203.0.113.7"
KEY = f"ssh-ed25519 {'A' * 68}"
CONSOLE = f"""<14>cloud-init: -----BEGIN SSH HOST KEY FINGERPRINTS-----
-----BEGIN SSH HOST KEY KEYS-----
{KEY} root@ip-172-31-0-1
-----END SSH HOST KEY KEYS-----
ubuntu login: -----BEGIN SSH HOST KEY KEYS-----
ssh-ed25519 {"A" * 67}B of-another
-----END SSH HOST KEY KEYS-----
"""
LAB = Wish("lab", allow_from=ADDRESS)


class KilledError(BaseException):
    """The process was killed: nothing of it runs any more."""


@dataclass
class Shop:
    """An account that holds nothing, and the command on a laptop beside it, which can be killed at any of its calls."""

    desk: Desk
    wheel: Artefacts
    on_call: Callable[[str], None] = lambda _: None
    said: list[str] = field(default_factory=list)
    shown: list[str] = field(default_factory=list)
    answers: dict[str, str] = field(default_factory=dict)
    sleep: Callable[[float], None] | None = None

    def account(self) -> Account:
        account = account_of(self.desk.lab, self.sleep)
        PRESENT[:] = [self]
        vars(account).update(laptop())
        return account

    def ask(self, lines: Any, question: str, default: str, parse: Callable[[str], str]) -> str:
        self.said.append(question)
        self.shown += lines
        return parse(self.answers.get(question, default))

    def create(self, wish: Wish = LAB, *, yes: bool = True) -> None:
        creation.Creation(self.account(), wish, self.ask, lambda: self.wheel).run(yes=yes)

    @property
    def instances(self) -> list[Any]:
        self.desk.world.tick()
        return list(self.desk.world.cloud.instances.values())

    @property
    def plan(self) -> Any:
        return Plans(SESSION.client("dynamodb"), TABLE).find("lab")

    def groups(self) -> list[Any]:
        where: Any = [{"Name": f"tag:{tags.CREATED}", "Values": ["lab"]}]
        return list(SESSION.client("ec2").describe_security_groups(Filters=where)["SecurityGroups"])

    def stacks(self) -> list[str]:
        return sorted(each["StackName"] for each in SESSION.client("cloudformation").describe_stacks()["Stacks"])

    def is_whole(self) -> bool:
        """All of it once, and nothing beside."""
        (instance,) = self.instances
        assert instance.state == "running"
        assert instance.tags["Name"] == instance.tags[tags.CREATED] == "lab"
        assert instance.tags[tags.AUTOSTOP] == tags.ON
        volumes = list(self.desk.world.cloud.volumes.values())
        assert sorted(volume.size for volume in volumes) == [30, 100]
        assert all(tags.are_of(volume.tags, instance.id) for volume in volumes)
        (group,) = self.groups()
        assert instance.security_groups == (group["GroupId"],)
        assert [rule["FromPort"] for rule in group["IpPermissions"]] == [22, 443, 8888]
        assert self.stacks() == ["autostop", "autostop-workstation"]
        assert self.plan.instance == instance.id
        assert self.plan.linked
        return True


PRESENT: list[Shop] = []


@cache
def laptop() -> dict[str, Any]:
    """The command's clients, which tell the present shop of their calls; made once, for that takes long."""
    made = {service: SESSION.client(service) for service in ("ec2", "ssm", "dynamodb", "cloudformation", "s3")}
    for client in made.values():
        client.meta.events.register("before-call", lambda model, **_: PRESENT[0].on_call(f"before {model.name}"))
        client.meta.events.register("after-call", lambda model, **_: PRESENT[0].on_call(model.name))
    return made


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shop]:
    with opened(tmp_path, monkeypatch) as made:
        yield made


@contextmanager
def opened(root: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shop]:
    wheel = root / "artefacts"
    wheel.mkdir(parents=True)
    (wheel / "controller.yaml").write_text(json.dumps(CONTROLLER | {"Description": "s3://code/api-1.zip"}))
    (wheel / "workstation.yaml").write_text(json.dumps(WORKSTATION))
    (wheel / "api-1.zip").write_bytes(b"code")
    (wheel / "user-data.gz").write_bytes(b"user data")
    with at_work(root / "world") as lab:
        lab.world.find_templates(
            lambda asked: {"InstanceInitiatedShutdownBehavior": "stop"} if asked == TEMPLATE_ID else None
        )
        monkeypatch.setattr(creation, "jupyter_answers", lambda _host: True)
        made = Shop(Desk(lab, account_of(lab)), Artefacts(wheel))
        monkeypatch.setattr(consent, "confirm", made.said.append)
        yield made


def test_an_empty_account_gets_all_of_it_after_it_was_shown_with_its_cost_and_asked(
    shop: Shop, capsys: pytest.CaptureFixture[str]
) -> None:
    shop.create(yes=False)

    assert shop.is_whole()
    assert shop.said == ["Which type", "Which certificate", "Where its notices go", "\nCreate it?"]
    assert "c5.2xlarge        $0.3400 an hour" in "\n".join(shop.shown)
    assert any(each.startswith("Prices: on demand, of us-east-1 on 2026-11-23") for each in shop.shown)
    printed = capsys.readouterr().out
    shown, _, done = printed.partition("Uploading the code")
    assert "c5.2xlarge: 8 vCPU, 16 GiB, on demand, in us-east-1a" in shown
    assert "awake for 6 hours a day" in shown
    assert f"lets {ADDRESS} in" in shown
    (instance,) = shop.instances
    assert f"https://{instance.public_ip}/lab" in done
    assert f"/w/{instance.id}#" in done
    assert f"aws ssm start-session --target {instance.id} --region us-east-1" in done
    template = SESSION.client("cloudformation").get_template(StackName="autostop")["TemplateBody"]
    assert "s3://autostop-code-123456789012-us-east-1/api-1.zip" in json.dumps(template)


def until_the_controller_sees_jupyter(shop: Shop, seconds: float) -> None:
    """Which asks by Session Manager, where nobody is let in."""
    for instance in shop.instances:
        shop.desk.lab.answers.setdefault(WorkstationId(instance.id), Answers(shop.desk.clock()))
        shop.desk.lab.machines.consoles[instance.id] = CONSOLE
    shop.desk.lab.pass_time(timedelta(seconds=20 * seconds))


def test_its_notices_its_certificate_and_its_host_key_are_its_own(
    shop: Shop, capsys: pytest.CaptureFixture[str]
) -> None:
    shop.answers = {"Where its notices go": "https://ntfy.sh/topic", "Which certificate": "public"}
    shop.desk.world.refuse("GetProducts", "AccessDeniedException", "No")
    shop.sleep = partial(until_the_controller_sees_jupyter, shop)
    shop.create(Wish("lab"))

    (instance,) = shop.instances
    assert instance.tags[tags.CERTIFICATE] == "letsencrypt"
    printed = capsys.readouterr().out
    assert "publishes its address and the hour" in printed
    assert "prices of us-east-1 in January 2026" in printed
    assert "stays with its own until a later version" in printed
    assert "lets nobody in" in printed
    assert shop.groups()[0]["IpPermissions"] == []
    kept = SESSION.client("ssm").get_parameter(Name=notice_name(instance.id), WithDecryption=True)["Parameter"]
    assert (kept["Type"], kept["Value"]) == ("SecureString", "https://ntfy.sh/topic")
    assert "ntfy.sh/topic" not in printed + str(SESSION.client("cloudformation").describe_stacks())

    assert shop.plan.host_keys == [KEY]
    shop.desk.lab.machines.consoles.clear()  # a later start does not tell them again
    ssh = shop.desk.run("open", "lab", "--ssh").output
    assert f"  Host lab\n      HostName {instance.id}\n" in ssh
    assert f"\n  lab {KEY}\n" in ssh

    shop.create(Wish("lab", notify="stack"))
    assert SESSION.client("ssm").get_parameters(Names=[notice_name(instance.id)])["Parameters"] == []


def test_a_no_makes_nothing(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    def no(_question: str) -> None:
        raise click.Abort

    monkeypatch.setattr(consent, "confirm", no)
    with pytest.raises(click.Abort):
        shop.create(yes=False)

    assert shop.instances == shop.groups() == shop.stacks() == []
    assert SESSION.client("s3").list_buckets()["Buckets"] == []


def test_twice_is_once_also_with_a_newer_image_and_another_wish(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    shop.create()
    capsys.readouterr()
    shop.said.clear()
    written = {"name": "lab", "request": shop.plan.request, "instance": shop.plan.instance, "linked": True, "later": 1}
    of_another_version: Any = {
        "workstation": {"S": "plans"},
        "kind": {"S": "lab"},
        "client_token": {"S": shop.plan.token},
    }
    of_another_version["document"] = {"S": json.dumps(written)}
    SESSION.client("dynamodb").put_item(TableName=TABLE, Item=of_another_version)
    shop.wheel.directory.joinpath("user-data.gz").write_bytes(b"newer")  # type: ignore[attr-defined] # it is a path here

    shop.create(yes=False)
    shop.create(replace(LAB, type="m7g.2xlarge"))

    assert shop.is_whole()
    printed = capsys.readouterr().out
    assert "was begun before" in printed
    assert shop.said == []
    assert "#" not in printed  # no second link


def calls_of_one(shop: Shop) -> list[str]:
    happened: list[str] = []
    shop.on_call = happened.append
    shop.create()
    assert shop.is_whole()
    return happened


def kill_at(nth: int) -> Callable[[str], None]:
    left = iter(range(nth + 1))

    def kill(_call: str) -> None:
        if next(left, -1) == nth:
            raise KilledError

    return kill


def test_killed_after_each_change_and_run_again_it_is_one_machine_and_no_orphan(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(tmp_path / "undisturbed", monkeypatch) as shop:
        happened = calls_of_one(shop)
    # What only looks, and what is about to change something, leaves behind what the change before it did.
    moments = [nth for nth, each in enumerate(happened) if not re.match("before|Describe|Get|TransactGet|Query", each)]
    assert len(moments) > 10
    for nth in moments:
        with opened(tmp_path / str(nth), monkeypatch) as shop:
            shop.on_call = kill_at(nth)
            with pytest.raises(KilledError):
                shop.create()
            shop.on_call = lambda _: None
            plan = shop.plan if "autostop" in shop.stacks() else None
            if not (plan is not None and plan.linked):
                shop.create()
            assert shop.is_whole(), happened[nth]


def test_killed_before_and_after_each_call_a_call_later_each_time_it_is_one_machine_too(shop: Shop) -> None:
    for nth in count():
        shop.on_call = kill_at(nth)
        try:
            shop.create()
        except KilledError:
            continue
        break
    assert nth > 30
    assert shop.is_whole()


def test_two_at_once_end_in_one_machine(shop: Shop) -> None:
    def other(call: str) -> None:
        # While the first was about to write its plan, another came all the way.
        if call == "before PutItem":
            shop.on_call = lambda _: None
            shop.create()

    shop.on_call = other
    shop.create()

    assert shop.is_whole()


def test_lists_that_lag_make_no_second_machine_and_no_disk_is_forgotten(shop: Shop) -> None:
    shop.desk.world.lag = lambda: timedelta(seconds=50)

    def kill(call: str) -> None:
        if call == "RunInstances":
            raise KilledError

    shop.on_call = kill
    with pytest.raises(KilledError):
        shop.create()
    shop.on_call = lambda _: None
    shop.create()
    shop.desk.world.lag = None

    assert shop.is_whole()


def test_a_name_that_another_instance_has_is_refused(shop: Shop) -> None:
    taken = shop.desk.launch(tags={"Name": "lab"})
    with pytest.raises(DeniedError, match=taken):
        shop.create()
    assert shop.stacks() == []


def test_a_machine_that_was_terminated_is_made_anew_by_another_token(shop: Shop) -> None:
    shop.create()
    first, token = shop.plan.instance, shop.plan.token
    SESSION.client("ec2").terminate_instances(InstanceIds=[first])
    shop.desk.lab.sleep(600)

    shop.create()

    assert shop.plan.instance != first
    assert shop.plan.token != token
    assert [each.id for each in shop.instances if each.state == "running"] == [shop.plan.instance]


@pytest.mark.parametrize(("operation", "error", "words"), [
    ("RunInstances", AwsError("VcpuLimitExceeded", "You have requested more vCPU capacity"), "Nothing was launched"),
    ("RunInstances", AwsError("Unsupported", "not supported in your requested zone"), "Nothing was launched"),
    ("RunInstances", AwsError("InsufficientInstanceCapacity", "no capacity", 500), "Nothing was launched"),
    ("RunInstances", AwsError("UnauthorizedOperation", "You may not", 403), "permission for RunInstances"),
    ("DescribeSubnets", AwsError("UnauthorizedOperation", "You may not", 403), "permission for DescribeSubnets"),
])  # fmt: skip
def test_what_aws_refuses_is_said_and_the_next_run_goes_on(
    shop: Shop, operation: str, error: AwsError, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    shop.desk.world.refuse(operation, error.code, error.message, status=error.status)
    with pytest.raises((DeniedError, TransientError)) as refused:
        shop.create()
    assert words in sentence(refused.value)
    if operation == "RunInstances":
        assert "security group autostop-lab" in capsys.readouterr().err
        assert shop.plan is None
    shop.desk.world.allow()
    shop.create(replace(LAB, type="m7g.2xlarge"))
    assert shop.is_whole()


def test_what_the_region_lacks_is_said_before_anything_is_made(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DeniedError, match=r"has no type m99.large that runs Ubuntu\. Take another"):
        shop.create(Wish("lab", "m99.large"))
    with pytest.raises(DeniedError, match="It has no disk /dev/sdx"):
        shop.create(Wish("lab", sizes={"/dev/sdx": 7}))
    with pytest.raises(DeniedError, match="No disk of its type has 70000 GiB"):
        shop.create(Wish("lab", sizes={"/dev/sdf": 70000}))
    shop.desk.world.refuse("DescribeImages", "InvalidAMIID.NotFound", "No such image")
    with pytest.raises(DeniedError, match="no image of Canonical's"):
        shop.create()
    shop.desk.world.allow()
    ec2 = SESSION.client("ec2")
    with monkeypatch.context() as elsewhere:
        offers = {"InstanceTypeOfferings": [{"InstanceType": "c5.2xlarge", "Location": "us-east-1z"}]}
        elsewhere.setattr(laptop()["ec2"], "describe_instance_type_offerings", lambda **_: offers)
        with pytest.raises(DeniedError, match=r"has c5\.2xlarge; it is in us-east-1z\. Take another"):
            shop.create()
    for subnet in ec2.describe_subnets()["Subnets"]:
        ec2.delete_subnet(SubnetId=subnet["SubnetId"])
    with pytest.raises(DeniedError, match="create-default-vpc"):
        shop.create()
    assert shop.stacks() == []


def test_spot_and_sizes_are_asked_for(shop: Shop) -> None:
    shop.create(replace(LAB, spot=True, sizes={"sdf": 7}))
    (instance,) = shop.instances
    assert shop.desk.world.cloud.spots[instance.spot_request_id].type == "persistent"
    assert sorted(volume.size for volume in shop.desk.world.cloud.volumes.values()) == [7, 30]


def scripted(*statuses: str) -> Any:
    """CloudFormation, with a stack that goes through these, and of which one resource failed."""
    left = list(statuses)
    event = {"EventId": "1", "LogicalResourceId": "Table", "ResourceStatus": "CREATE_FAILED"}
    event["ResourceStatusReason"] = "Resource handler returned message: quota"

    def describe_stacks(StackName: str) -> Any:  # noqa: N803 - AWS's name
        status = left.pop(0)
        if not status:
            response: Any = {"Error": {"Code": "ValidationError", "Message": f"{StackName} does not exist"}}
            raise ClientError(response, "DescribeStacks")
        return {"Stacks": [{"StackId": "arn", "StackStatus": status}]}

    return SimpleNamespace(
        create_stack=lambda **_: {},
        describe_stacks=describe_stacks,
        describe_stack_events=lambda StackName: {"StackEvents": [event]},  # noqa: N803 - likewise
    )


@pytest.mark.parametrize(("statuses", "words"), [
    (("", "CREATE_IN_PROGRESS", "DELETE_IN_PROGRESS", "DELETE_COMPLETE"), "nothing of it is left: Table: .* quota"),
    (("ROLLBACK_COMPLETE", "ROLLBACK_COMPLETE"), "is ROLLBACK_COMPLETE: Table: .* quota. Delete it"),
])  # fmt: skip
def test_a_stack_that_fails_says_why_and_what_is_left(statuses: tuple[str, ...], words: str) -> None:
    stacks = Stacks(scripted(*statuses), lambda _seconds: None, print)
    with pytest.raises(DeniedError, match=words):
        stacks.create("autostop", "{}", {})


def test_one_that_another_makes_is_waited_for() -> None:
    waited: list[float] = []
    client = scripted("CREATE_IN_PROGRESS", "CREATE_IN_PROGRESS", "CREATE_COMPLETE")
    assert Stacks(client, waited.append, print).create("autostop", "{}", {}) == {}
    assert len(waited) == 1


def test_ctrl_c_says_what_exists_and_how_to_go_on_or_undo(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupt(call: str) -> None:
        if call == "before RunInstances":
            raise KeyboardInterrupt

    shop.on_call = interrupt
    with pytest.raises(KeyboardInterrupt):
        shop.create()
    said = capsys.readouterr().err
    assert "stack autostop, stack autostop-workstation, security group autostop-lab" in said
    assert "autostop uninstall lab" in said


def test_a_stack_of_another_version_is_said_and_upgraded_with_its_parameters(
    shop: Shop, capsys: pytest.CaptureFixture[str]
) -> None:
    cloudformation = SESSION.client("cloudformation")
    older: Any = json.loads(json.dumps(CONTROLLER))
    older["Outputs"]["Version"]["Value"] = "0.0.9"
    values = {key: each["Default"] for key, each in older["Parameters"].items()} | {"IdleAfter": "7m"}
    given: Any = [{"ParameterKey": key, "ParameterValue": value} for key, value in values.items()]
    cloudformation.create_stack(StackName="autostop", TemplateBody=json.dumps(older), Parameters=given)
    assert "is of 0.0.9. Upgrade it: autostop upgrade" in shop.desk.run("list").stderr

    upgrade(shop.account(), yes=True, wheel=lambda: shop.wheel)

    (stack,) = cloudformation.describe_stacks(StackName="autostop")["Stacks"]
    assert {"OutputKey": "Version", "OutputValue": VERSION} in stack["Outputs"]
    assert {"ParameterKey": "IdleAfter", "ParameterValue": "7m"} in stack["Parameters"]
    assert "note:" not in shop.desk.run("list").stderr
    upgrade(shop.account(), yes=True, wheel=lambda: shop.wheel)
    assert f"The stack autostop is of {VERSION}: it stays." in capsys.readouterr().out
    newer = other_version(replace(shop.account().stack, version="1.10.0"))
    assert "is of 1.10.0. Upgrade the command: pipx upgrade autostop" in newer
    assert not is_older("0.10.0")


def test_a_region_that_is_none_is_named() -> None:
    error = TransientError("AWS could not be reached.")
    error.__cause__ = EndpointConnectionError(endpoint_url="https://ec2.eu-nowhere-9.amazonaws.com")
    assert sentence(error).endswith("Look at the Region and at your network, then try again.")


def test_words_of_the_command_line() -> None:
    assert parse_name("lab-2") == "lab-2"
    for odd in ("", "2lab", "i-0123456789abcdef0", "a b", "ä", "a" * 40):
        with pytest.raises(ValueError, match="is no name"):
            parse_name(odd)
    assert [Wish("lab", notify=parse_notify(each)).mail for each in ("a@b.c", "https://a@b.c/t", "stack")] == [
        "a@b.c",
        "",
        "",
    ]
    for odd in ("", "here", "http://n.example/t", "https://", "a@b@c"):
        with pytest.raises(ValueError, match="is no URL"):
            parse_notify(odd)
    with pytest.raises(ValueError, match="self-signed, public"):
        parse_certificate("letsencrypt")
    assert parse_address(ADDRESS) == ADDRESS
    for odd in ("0.0.0.0/0", "::1", "there"):
        with pytest.raises(ValueError, match="no IPv4 address"):
            parse_address(odd)
    assert CliRunner().invoke(cli, ["--version"]).output == "autostop 0.1.0\n"


def test_the_cost_of_six_hours_a_day() -> None:
    # 182.5 hours of 0.345, a quarter of 130 GiB of gp3, and snapshots of all of it at most
    assert "some $72.06 a month awake" in cost_in_words("c5.2xlarge", [30, 100], FIRST_FIGURES)
    assert "at most $6.50 a month" in cost_in_words("c5.2xlarge", [30, 100], FIRST_FIGURES)
    assert "of us-east-1 in January 2026" in types_in_words(FIRST_FIGURES)[-1]
    assert "not known here" in cost_in_words("x9.huge", [30], FIRST_FIGURES)


def test_another_copy_than_the_wheel_says_that_it_has_nothing_to_deploy() -> None:
    with pytest.raises(DeniedError, match="make wheel"):
        artefacts()
