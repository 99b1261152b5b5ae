from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import pytest

from autostop_local.world import Timings, VirtualMachines, WallClock, World, serve
from tests.local.conftest import Refused, query, until

if TYPE_CHECKING:
    from mypy_boto3_cloudwatch import CloudWatchClient
    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_ssm import SSMClient


class Served:
    def __init__(self, world: World, url: str, events: list[dict[str, Any]]) -> None:
        self.world, self.url, self.events = world, url, events
        session = boto3.Session("whoever", "whatever", "some-token", region_name="us-east-1")
        self.ec2: EC2Client = session.client("ec2", endpoint_url=url)
        self.ssm: SSMClient = session.client("ssm", endpoint_url=url)
        self.cloudwatch: CloudWatchClient = session.client("cloudwatch", endpoint_url=url)

    def journal(self, method: str = "GET") -> Any:
        request = urllib.request.Request(f"{self.url}/_world/journal", method=method)  # noqa: S310 - our own server
        with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310 - the same
            return json.loads(answer.read() or "null")


@pytest.fixture(params=[True, False], ids=["boto3 is ours", "boto3 is left alone"])
def served(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Served]:
    events: list[dict[str, Any]] = []
    timings = Timings.none()
    timings.pending = timedelta(seconds=0.3)
    with (
        World(
            tmp_path / "world",
            clock=WallClock(),
            timings=timings,
            machines=VirtualMachines(lambda instance_id, _script: f"hello from {instance_id}"),
            send=events.append,
            in_process=request.param,
        ) as world,
        serve(world) as url,
    ):
        yield Served(world, url, events)


def test_all_three_services_are_at_one_endpoint(served: Served, refused: Refused) -> None:
    instance_id = served.world.launch(tags={"Name": "caf\u00e9 <&>"})
    served.world.put_cpu(instance_id, datetime.now(UTC) - timedelta(minutes=10), 12.5)
    until(lambda: [event["detail"]["state"] for event in served.events] == ["pending", "running"])

    told = served.ec2.describe_instances()["Reservations"][0]["Instances"][0]
    command = served.ssm.send_command(
        InstanceIds=[instance_id], DocumentName="AWS-RunShellScript", Parameters={"commands": ["true"]}
    )["Command"]
    (invocation,) = served.ssm.list_command_invocations(CommandId=command["CommandId"], Details=True)[
        "CommandInvocations"
    ]
    (metric,) = served.cloudwatch.get_metric_data(
        MetricDataQueries=[query(instance_id, period=60)],
        StartTime=datetime.now(UTC) - timedelta(hours=1),
        EndTime=datetime.now(UTC),
    )["MetricDataResults"]

    assert (told["InstanceId"], told["Tags"]) == (instance_id, [{"Key": "Name", "Value": "caf\u00e9 <&>"}])
    assert (invocation["Status"], invocation["CommandPlugins"][0]["Output"]) == ("Success", f"hello from {instance_id}")
    assert metric["Values"] == [12.5]
    assert refused(served.ec2.describe_volumes, VolumeIds=["vol-0123456789abcdef0"])[0] == "InvalidVolume.NotFound"


def test_the_journal_is_read_and_cleared_over_http(served: Served, refused: Refused) -> None:
    served.ssm.put_parameter(Name="/a", Value="b", Type="SecureString")
    refused(served.ssm.get_parameter, Name="/none")
    assert served.ssm.get_parameter(Name="/a", WithDecryption=True)["Parameter"]["Value"] == "b"

    noted = served.journal()
    served.journal("DELETE")

    assert [(call["operation"], call["error"]) for call in noted] == [
        ("PutParameter", None),
        ("GetParameter", "ParameterNotFound"),
        ("GetParameter", None),
    ]
    assert served.journal() == []


def test_older_clients_speak_the_query_protocol(served: Served) -> None:
    served.world.put_metric("Mine", "load", {}, datetime.now(UTC), 1.0)
    scope = (
        "AWS4-HMAC-SHA256 Credential=any/20261123/us-east-1/monitoring/aws4_request, SignedHeaders=host, Signature=x"
    )

    def ask(form: bytes) -> str:
        request = urllib.request.Request(served.url, data=form, headers={"Authorization": scope})  # noqa: S310 - our own server
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310 - the same
                return str(answer.read(), "utf-8")
        except urllib.error.HTTPError as error:
            return str(error.read(), "utf-8")

    form = (
        "Namespace=Mine&MetricName=load&StartTime=2026-01-01T00:00:00Z&EndTime=2126-01-01T00:00:00Z&Period=3155760000"
    )
    told = ask(f"Action=GetMetricStatistics&Version=2010-08-01&Statistics.member.1=Sum&{form}".encode())
    assert "<Sum>1.0</Sum>" in told
    wrong = b"&StartTime=2026-11-23T09:00:00Z&EndTime=2026-11-23T09:00:00Z&MetricDataQueries.member.1.Id=a"
    assert "<Code>ValidationError</Code>" in ask(b"Action=GetMetricData&Version=2010-08-01" + wrong)


@pytest.mark.parametrize("headers", [
    {"Authorization": "AWS4-HMAC-SHA256 Credential=x", "Origin": "https://evil.example"},
    {"Authorization": "AWS4-HMAC-SHA256 Credential=x", "Origin": "null"},
    {"Authorization": "AWS4-HMAC-SHA256 Credential=x", "Host": "evil.example:80"},
    {"Authorization": "AWS4-HMAC-SHA256 Credential=x", "Host": "127.0.0.1.evil.example:80"},
    {},
    {"Authorization": "Basic eDp5"},
], ids=str)  # fmt: skip
def test_no_page_of_a_browser_gets_an_answer(served: Served, headers: dict[str, str]) -> None:
    commands = {"DocumentName": "AWS-RunShellScript", "Parameters": {"commands": ["true"]}, "InstanceIds": ["i-1"]}
    asked = {"X-Amz-Target": "AmazonSSM.SendCommand", "Content-Type": "application/x-amz-json-1.1", **headers}
    for path, body in (("/", json.dumps(commands)), ("/", "Action=DescribeInstances"), ("/moto-api/reset", "")):
        request = urllib.request.Request(f"{served.url}{path}", body.encode(), asked)  # noqa: S310 - our own server
        with pytest.raises(urllib.error.HTTPError, match="403"):
            urllib.request.urlopen(request, timeout=60)  # noqa: S310 - the same
    assert served.journal() == []


def test_who_finds_the_port_and_not_the_place_gets_no_answer(served: Served) -> None:
    root = served.url.rpartition("/")[0]
    signed = {"Authorization": "AWS4-HMAC-SHA256 Credential=x"}
    for place in ("", "/", "/" + "x" * 22, served.url.removeprefix(root)[:-1], "/_world/journal"):
        request = urllib.request.Request(f"{root}{place}", b"Action=DescribeInstances", signed)  # noqa: S310 - our own
        with pytest.raises(urllib.error.HTTPError, match="403"):
            urllib.request.urlopen(request, timeout=60)  # noqa: S310 - the same
    assert served.journal() == []
