"""Asks workstations whether anybody works there: by Run Command, or by Jupyter's own API."""

import base64
import shlex
import zlib
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from autostop.aws.https_jupyter import HttpsJupyter
from autostop.idle.reading import Reading, Unknown, parse_reading
from autostop.idle.signs_of_answer import ANSWER_COMES_WITHIN
from autostop.model import Instance, InstanceId, WorkstationId, workstation_of
from autostop.probe.script import script
from autostop.settings import Policy, Probe
from autostop.state import Asked
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
_UNREACHABLE = "Run Command does not reach it: is the SSM agent running, with a role that lets it register?"
_FOR_ONE = {
    "InvalidInstanceId": _UNREACHABLE,
    "UnsupportedPlatformType": "Run Command has no shell there: only Linux can be asked; set autostop:probe to none",
    "AccessDeniedException": "Run Command is not allowed there: does it still carry the tag autostop = on?",
}
# What SSM says of a command that came to nothing, without its blanks (User Guide, monitor-commands).
_ENDED = {
    "Undeliverable": _UNREACHABLE,
    "DeliveryTimedOut": "Run Command did not reach it within a minute: is the SSM agent running, and has it a way out?",
    "ExecutionTimedOut": f"the probe did not end within {_EXECUTION_SECONDS} s: is the machine short of memory?",
}
# By the exit status of the shell: 126 and 127 for a program that cannot be run or found (POSIX, sh).
_NO_PYTHON = "there is no python3 that can be run: install Python 3.8 or later, or set autostop:probe to none"
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
            group = [each for each in by_command if each.tags.get(JUPYTER_RUNTIME, "") == runtime]
            for first in range(0, len(group), _MOST_INSTANCES):
                answers |= self._send(group[first : first + _MOST_INSTANCES], runtime, now)
        if by_https:
            with ThreadPoolExecutor(_THREADS) as pool:
                replies = pool.map(lambda each: self._ask_https(each[0], each[1], now), by_https)
                answers |= {instance.workstation: reply for (instance, _), reply in zip(by_https, replies, strict=True)}
        return answers

    def _send(self, group: Sequence[Instance], runtime: str, now: datetime) -> dict[WorkstationId, Asked | Unknown]:
        """SendCommand. One instance without agent makes SSM refuse all: it says which have one, or halving finds it."""
        everybody = [each.workstation for each in group]
        try:
            answer = self.client.send_command(
                InstanceIds=[each.id for each in group],
                DocumentName="AWS-RunShellScript",
                Comment="autostop: is Jupyter in use?",
                TimeoutSeconds=_DELIVERY_SECONDS,
                Parameters={"commands": [_script(runtime)], "executionTimeout": [_EXECUTION_SECONDS]},
            )
        except ClientError as error:
            code = error.response.get("Error", {}).get("Code", "")
            if code not in _FOR_ONE:
                return dict.fromkeys(everybody, Unknown(now, f"Run Command was refused: {error}"))
            if len(group) == 1:
                return {group[0].workstation: Unknown(now, _FOR_ONE[code])}
            online = self._online(group) if code == "InvalidInstanceId" else frozenset(everybody)
            reached = [each for each in group if each.workstation in online]
            lost = {each: Unknown(now, _UNREACHABLE) for each in everybody if each not in online}
            if lost:
                return lost | (self._send(reached, runtime, now) if reached else {})
            half = len(group) // 2
            return self._send(group[:half], runtime, now) | self._send(group[half:], runtime, now)
        except BotoCoreError as error:
            return dict.fromkeys(everybody, Unknown(now, f"Run Command could not be reached: {error}"))
        return dict.fromkeys(everybody, Asked(answer["Command"].get("CommandId", ""), now))

    def _online(self, group: Sequence[Instance]) -> frozenset[WorkstationId]:
        """Those whose agent SSM has heard lately; all of them where it does not say."""
        filters: Any = [{"Key": "InstanceIds", "Values": [each.id for each in group]}]
        try:
            pages = self.client.get_paginator("describe_instance_information").paginate(Filters=filters)
            agents = [each for page in pages for each in page["InstanceInformationList"]]
        except (ClientError, BotoCoreError):
            return frozenset(each.workstation for each in group)
        online = [each.get("InstanceId", "") for each in agents if each.get("PingStatus") == "Online"]
        return frozenset(workstation_of(InstanceId(each)) for each in online)

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
                workstation = workstation_of(InstanceId(invocation.get("InstanceId", "")))
                if workstation in asked and invocation.get("Status") not in _UNDER_WAY:
                    answers[workstation] = _answer(invocation, asked[workstation].at)
        for workstation, each in asked.items():
            if workstation not in answers and now - each.at >= ANSWER_COMES_WITHIN:
                answers[workstation] = Unknown(now, "it gave no answer for minutes: is the SSM agent running?")
        return answers

    def _ask_https(self, instance: Instance, policy: Policy, now: datetime) -> Reading | Unknown:
        certificate = instance.tags.get(JUPYTER_CERTIFICATE)
        if not certificate or not instance.address:
            what = "no address" if certificate else "no pinned certificate"
            return Unknown(now, f"there is {what} to ask Jupyter at. Run `autostop adopt {instance.id}` again.")
        name = token_name(instance.workstation)
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
    probe = base64.b64encode(zlib.compress(script().encode(), 9)).decode("ascii")
    argument = f" {shlex.quote(runtime)}" if runtime else ""
    return (
        f"python3 -I -{argument} <<'AUTOSTOP_PROBE'\n"
        f'import base64, zlib\nexec(zlib.decompress(base64.b64decode("{probe}")))\n'
        "AUTOSTOP_PROBE\n"
    )


def _answer(invocation: "CommandInvocationTypeDef", asked_at: datetime) -> Reading | Unknown:
    plugins = invocation.get("CommandPlugins", [])
    if invocation.get("Status") != "Success" or not plugins:
        ended = invocation.get("StatusDetails") or invocation.get("Status", "")
        if any(plugin.get("ResponseCode") in (126, 127) for plugin in plugins):
            return Unknown(asked_at, _NO_PYTHON)
        return Unknown(asked_at, _ENDED.get(ended.replace(" ", ""), f"the probe ended as {ended}"))
    return parse_reading(plugins[0].get("Output", ""), asked_at)
