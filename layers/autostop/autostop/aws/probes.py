"""The two ways to ask workstations about Jupyter: Run Command, and Jupyter's own API over TLS."""

import base64
import shlex
import zlib
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

from autostop.aws.jupyter import HttpsJupyter
from autostop.idle.reading import Reading, Unknown, parse_reading
from autostop.model import Instance, WorkstationId
from autostop.ports import Asked
from autostop.settings import Policy, Probe
from autostop.tags import JUPYTER_CERTIFICATE, JUPYTER_RUNTIME

if TYPE_CHECKING:
    from mypy_boto3_ssm import SSMClient
    from mypy_boto3_ssm.type_defs import CommandInvocationTypeDef

# SendCommand takes 50 instances a call, ListCommandInvocations gives 50 a page (botocore, SSM).
_MOST_INSTANCES = 50
_UNDER_WAY = frozenset({"Pending", "InProgress", "Delayed", "Cancelling"})
# Not delivered within this time, it is dropped: an answer that speaks for a later moment than it was asked at
# would make activity look older than it is.
_DELIVERY_SECONDS = 60
_EXECUTION_SECONDS = "20"
# What one instance of many makes SSM refuse for all (AWS Systems Manager API Reference, SendCommand).
_FOR_ONE = {
    "InvalidInstanceId": "Run Command does not reach it: is the SSM agent running, with a role that lets it register?",
    "UnsupportedPlatformType": "Run Command has no shell there: only Linux can be asked; set autostop:probe to none",
    "AccessDeniedException": "Run Command is not allowed there: does it still carry the tag autostop = on?",
}
_GIVEN_UP_AFTER = timedelta(minutes=3)
_THREADS = 16


@dataclass(frozen=True, slots=True)
class Askers:
    """The port `Asker`: each workstation by the way that its policy names."""

    client: "SSMClient"
    jupyter: HttpsJupyter

    def ask(
        self, asked: Sequence[tuple[Instance, Policy]], now: datetime
    ) -> Mapping[WorkstationId, Asked | Reading | Unknown]:
        """Run Command to all at once, and Jupyter servers side by side."""
        by_command = [instance for instance, policy in asked if policy.probe is Probe.SSM]
        by_https = [(instance, policy) for instance, policy in asked if policy.probe is Probe.HTTPS]
        answers: dict[WorkstationId, Asked | Reading | Unknown] = {}
        for runtime in sorted({instance.tags.get(JUPYTER_RUNTIME, "") for instance in by_command}):
            group = [each.id for each in by_command if each.tags.get(JUPYTER_RUNTIME, "") == runtime]
            for first in range(0, len(group), _MOST_INSTANCES):
                answers |= self._send(group[first : first + _MOST_INSTANCES], runtime, now)
        if by_https:
            with ThreadPoolExecutor(_THREADS) as pool:
                replies = pool.map(lambda each: self._ask_https(each[0], each[1], now), by_https)
                answers |= {instance.id: reply for (instance, _), reply in zip(by_https, replies, strict=True)}
        return answers

    def _send(
        self, group: Sequence[WorkstationId], runtime: str, now: datetime
    ) -> dict[WorkstationId, Asked | Unknown]:
        """SendCommand. One instance without agent makes EC2 refuse all; halving finds it."""
        try:
            answer = self.client.send_command(
                InstanceIds=list(group),
                DocumentName="AWS-RunShellScript",
                Comment="autostop: is Jupyter in use?",
                TimeoutSeconds=_DELIVERY_SECONDS,
                Parameters={"commands": [_script(runtime)], "executionTimeout": [_EXECUTION_SECONDS]},
            )
        except ClientError as error:
            code = error.response.get("Error", {}).get("Code", "")
            if code not in _FOR_ONE:
                return dict.fromkeys(group, Unknown(now, f"Run Command was refused: {error}"))
            if len(group) == 1:
                return {group[0]: Unknown(now, _FOR_ONE[code])}
            half = len(group) // 2
            return self._send(group[:half], runtime, now) | self._send(group[half:], runtime, now)
        except BotoCoreError as error:
            return dict.fromkeys(group, Unknown(now, f"Run Command could not be reached: {error}"))
        return dict.fromkeys(group, Asked(answer["Command"].get("CommandId", ""), now))

    def collect(self, asked: Mapping[WorkstationId, Asked], now: datetime) -> Mapping[WorkstationId, Reading | Unknown]:
        """ListCommandInvocations, one command for many workstations."""
        answers: dict[WorkstationId, Reading | Unknown] = {}
        for command in sorted({each.command for each in asked.values()}):
            try:
                pages = self.client.get_paginator("list_command_invocations").paginate(
                    CommandId=command, Details=True, PaginationConfig={"PageSize": _MOST_INSTANCES}
                )
                invocations = [each for page in pages for each in page["CommandInvocations"]]
            except (ClientError, BotoCoreError):
                # Not read yet; what stays so for long is told below.
                continue
            for invocation in invocations:
                workstation = WorkstationId(invocation.get("InstanceId", ""))
                if workstation in asked and invocation.get("Status") not in _UNDER_WAY:
                    answers[workstation] = _answer(invocation, asked[workstation].at)
        for workstation, each in asked.items():
            if workstation not in answers and now - each.at >= _GIVEN_UP_AFTER:
                answers[workstation] = Unknown(now, "it gave no answer for minutes: is the SSM agent running?")
        return answers

    def _ask_https(self, instance: Instance, policy: Policy, now: datetime) -> Reading | Unknown:
        certificate = instance.tags.get(JUPYTER_CERTIFICATE)
        if not certificate or not instance.address:
            what = "no address" if certificate else "no pinned certificate"
            return Unknown(now, f"there is {what} to ask Jupyter at. Run `autostop adopt {instance.id}` again.")
        name = token_name(instance.id)
        try:
            token = self.client.get_parameter(Name=name, WithDecryption=True)["Parameter"].get("Value", "")
        except (ClientError, BotoCoreError):
            return Unknown(now, f"the SSM parameter {name} with Jupyter's token cannot be read.")
        try:
            return self.jupyter.ask(instance.address, policy.jupyter_port, token, certificate)
        except Exception:  # noqa: BLE001 - whatever one server makes of its answer, the others are still asked
            return Unknown(now, "its Jupyter server gave an answer that this version cannot read")


def token_name(workstation: WorkstationId) -> str:
    """The SSM parameter that holds the token of a workstation's Jupyter server."""
    return f"/autostop/{workstation}/jupyter-token"


@cache
def _script(runtime: str) -> str:
    # Compressed, it is less than half as long. A document of Systems Manager may have 64 KB, and no limit is published
    # for the parameters of a command, so it stays far below. On standard input and not with -c, which would show all
    # of it to everybody who lists the processes.
    probe = base64.b64encode(zlib.compress((files("autostop.probe") / "probe.py").read_bytes(), 9)).decode("ascii")
    argument = f" {shlex.quote(runtime)}" if runtime else ""
    return (
        f"python3 -I -{argument} <<'AUTOSTOP_PROBE'\n"
        f'import base64, zlib\nexec(zlib.decompress(base64.b64decode("{probe}")))\n'
        "AUTOSTOP_PROBE\n"
    )


def _answer(invocation: "CommandInvocationTypeDef", asked_at: datetime) -> Reading | Unknown:
    plugins = invocation.get("CommandPlugins", [])
    if invocation.get("Status") != "Success" or not plugins:
        return Unknown(asked_at, f"the probe ended as {invocation.get('StatusDetails') or invocation.get('Status')}")
    return parse_reading(plugins[0].get("Output", ""), asked_at)
