"""The deployed stack: what it is made of, and what can be done with it from outside."""

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from autostop_local.api_client import ApiClient
from autostop_local.emulator import ROOT, Emulator

Service = Literal["cloudwatch", "ec2", "pricing", "ssm"]


class FunctionFailedError(Exception):
    """A deployed function raised, or ran out of time; the text has what it raised and the end of its log."""


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line that a function wrote. function: as in `Stack.functions`; at: UTC, when its invocation ended."""

    at: datetime
    function: str
    text: str


@dataclass(frozen=True, slots=True)
class Stack:
    """A deployed stack. functions: the deployed names, by `sweep`, `reconcile`, `api` and `notify`."""

    emulator: Emulator
    table_name: str
    queue_url: str
    api_url: str
    functions: Mapping[str, str]

    @classmethod
    def find(cls, emulator: Emulator, name: str) -> "Stack":
        """Read a deployed stack's outputs."""
        cloudformation = emulator.session.client("cloudformation", **emulator.reach)
        (found,) = cloudformation.describe_stacks(StackName=name)["Stacks"]
        outputs = {output["OutputKey"]: output["OutputValue"] for output in found["Outputs"]}
        functions = {
            short: outputs[f"{short.title()}FunctionName"] for short in ("sweep", "reconcile", "api", "notify")
        }
        return cls(emulator, outputs["TableName"], outputs["QueueUrl"], outputs["ApiUrl"], functions)

    @property
    def api(self) -> ApiClient:
        """The deployed HTTP API."""
        return ApiClient("127.0.0.1", self.emulator.port, host=self.api_url.removeprefix("http://"))

    def wire(self, endpoints: Mapping[Service, str]) -> None:
        """Let the functions find these services of AWS at these URLs, by the variables that boto3 reads.

        Their other variables stay. Nothing of this is in the template: there, AWS is AWS.
        """
        wired = {f"AWS_ENDPOINT_URL_{service.upper()}": url for service, url in endpoints.items()}
        for function in self.functions:
            self._change_variables(function, wired)

    def send_notices_to(self, url: str) -> None:
        """Let notices be posted to this URL; one on this machine, which the template's own parameter refuses."""
        self._change_variables("notify", {"NOTICE_URL": url})

    def _change_variables(self, function: str, changed: Mapping[str, str]) -> None:
        lambda_ = self.emulator.session.client("lambda", **self.emulator.reach)
        name = self.functions[function]
        configuration = lambda_.get_function_configuration(FunctionName=name)
        variables = {**configuration["Environment"]["Variables"], **changed}
        lambda_.update_function_configuration(FunctionName=name, Environment={"Variables": variables})

    def invoke_sweep(self) -> Any:
        """Invoke the deployed sweep as the schedule would, and wait; gives what it returned.

        Raises FunctionFailedError.
        """
        event = json.loads((ROOT / "events" / "sweep-schedule.json").read_text(encoding="utf-8"))
        return self.invoke("sweep", event)

    def invoke(self, function: str, event: Mapping[str, Any]) -> Any:
        """Invoke a function (`sweep`, `reconcile`, `api`, `notify`) and wait; gives what it returned.

        Raises FunctionFailedError.
        """
        lambda_ = self.emulator.session.client("lambda", **self.emulator.reach)
        answer = lambda_.invoke(
            FunctionName=self.functions[function], Payload=json.dumps(event).encode(), LogType="Tail"
        )
        returned = json.loads(answer["Payload"].read() or "null")
        if answer.get("FunctionError"):
            log = base64.b64decode(answer.get("LogResult", "")).decode(errors="replace")
            raise FunctionFailedError(f"{function} failed: {json.dumps(returned)}\n{log}")
        return returned

    def dead_letters(self) -> Sequence[str]:
        """The bodies of up to ten messages that the reconciler failed on five times; they stay where they are."""
        sqs = self.emulator.session.client("sqs", **self.emulator.reach)
        attributes = sqs.get_queue_attributes(QueueUrl=self.queue_url, AttributeNames=["RedrivePolicy"])["Attributes"]
        arn = json.loads(attributes["RedrivePolicy"])["deadLetterTargetArn"]
        url = sqs.get_queue_url(QueueName=arn.rpartition(":")[2])["QueueUrl"]
        received = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, VisibilityTimeout=0)
        return [message["Body"] for message in received.get("Messages", [])]

    def function_logs(self, function: str | None = None) -> Sequence[LogLine]:
        """What the functions wrote to their own log groups, oldest first; without Lambda's START, END and REPORT."""
        lambda_ = self.emulator.session.client("lambda", **self.emulator.reach)
        logs = self.emulator.session.client("logs", **self.emulator.reach)
        lines = []
        for short in [function] if function else self.functions:
            configuration = lambda_.get_function_configuration(FunctionName=self.functions[short])
            group = configuration["LoggingConfig"]["LogGroup"]
            for page in logs.get_paginator("filter_log_events").paginate(logGroupName=group):
                lines += [
                    LogLine(datetime.fromtimestamp(event["timestamp"] / 1000, UTC), short, event["message"])
                    for event in page["events"]
                    if not event["message"].startswith(("START RequestId", "END RequestId", "REPORT RequestId"))
                ]
        return sorted(lines, key=lambda line: line.at)
