"""SSM Run Command: shell scripts on the instances, by their agents.

What is cut: 2,500 characters of output in ListCommandInvocations, 24,000 and 8,000 (errors) in GetCommandInvocation.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from autostop_local.world.cloud import Cloud, Params, Reply
from autostop_local.world.errors import AwsError
from autostop_local.world.machines import Execution, Outcome
from autostop_local.world.resources import Instance

_DOCUMENT = "AWS-RunShellScript"


@dataclass(slots=True)
class _Invocation:
    """One command on one instance."""

    command_id: str
    instance_id: str
    comment: str
    asked_at: datetime
    timeout: timedelta
    delivery: timedelta
    execution: Execution | None  # None: it never arrives, and ends as `lost`
    lost: str = ""
    outcome: Outcome | None = None
    ended_at: datetime | None = None


class Commands:
    """Run Command and the agents, by AWS's names in `operations`."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._invocations: list[_Invocation] = []
        self.operations: dict[str, Callable[[Params], Reply]] = {
            "SendCommand": self.send_command,
            "ListCommandInvocations": self.list_command_invocations,
            "GetCommandInvocation": self.get_command_invocation,
            "DescribeInstanceInformation": self.describe_instance_information,
        }

    def send_command(self, params: Params) -> Reply:
        cloud, now = self._cloud, self._cloud.now()
        instance_ids = params.get("InstanceIds") or []
        if not 1 <= len(instance_ids) <= 50:
            raise AwsError(
                "ValidationException",
                f"1 validation error detected: Value '{instance_ids}' at 'instanceIds' failed to satisfy constraint: "
                "Member must have length less than or equal to 50",
            )
        if params["DocumentName"] != _DOCUMENT:
            raise AwsError("InvalidDocument", f"Document with name {params['DocumentName']} does not exist.")
        if any(not self._reachable(cloud.instances.get(one), now) for one in instance_ids):
            raise AwsError("InvalidInstanceId", f"Instances not in a valid state for account {cloud.account}")
        script, timeout = _script(params.get("Parameters") or {})
        command_id, comment = cloud.new_uuid(), params.get("Comment") or ""
        delivery = timedelta(seconds=params.get("TimeoutSeconds") or 3600)
        for one in instance_ids:
            lost = cloud.instances[one].commands_end or ""
            execution = None if lost else cloud.machines.run(one, script, timeout)
            self._invocations.append(_Invocation(command_id, one, comment, now, timeout, delivery, execution, lost))
        return {
            "Command": {
                "CommandId": command_id,
                "DocumentName": _DOCUMENT,
                "Comment": comment,
                "Parameters": params.get("Parameters") or {},
                "InstanceIds": instance_ids,
                "RequestedDateTime": now,
                "Status": "Pending",
                "StatusDetails": "Pending",
                "TargetCount": len(instance_ids),
                "CompletedCount": 0,
                "ErrorCount": 0,
            }
        }

    def list_command_invocations(self, params: Params) -> Reply:
        command, instance = params.get("CommandId"), params.get("InstanceId")
        listed = [
            one
            for one in self._invocations
            if command in (None, one.command_id) and instance in (None, one.instance_id)
        ]
        begin, most = int(params.get("NextToken") or 0), params.get("MaxResults") or 50
        end = begin + most
        details = bool(params.get("Details"))
        return {
            "CommandInvocations": [self._told(one, details=details) for one in listed[begin:end]],
            "NextToken": str(end) if end < len(listed) else None,
        }

    def get_command_invocation(self, params: Params) -> Reply:
        for one in self._invocations:
            if (one.command_id, one.instance_id) == (params["CommandId"], params["InstanceId"]):
                status, details = self._status(one)
                outcome = one.outcome or Outcome(-1)
                return {
                    "CommandId": one.command_id,
                    "InstanceId": one.instance_id,
                    "Comment": one.comment,
                    "DocumentName": _DOCUMENT,
                    "PluginName": "aws:runShellScript",
                    "ResponseCode": outcome.code,
                    "Status": status,
                    "StatusDetails": details,
                    "StandardOutputContent": outcome.stdout[:24_000],
                    "StandardErrorContent": _errors(outcome)[:8_000],
                }
        raise AwsError("InvocationDoesNotExist", "")

    def describe_instance_information(self, _params: Params) -> Reply:
        """Every instance that is not terminated; filters are not looked at."""
        now = self._cloud.now()
        return {
            "InstanceInformationList": [
                {
                    "InstanceId": instance.id,
                    "PingStatus": "Online" if self._reachable(instance, now) else "ConnectionLost",
                    "LastPingDateTime": now,
                    "PlatformType": "Linux",
                    "ResourceType": "EC2Instance",
                }
                for instance in self._cloud.instances.values()
                if instance.state not in ("pending", "shutting-down", "terminated")
            ]
        }

    def _reachable(self, instance: Instance | None, now: datetime) -> bool:
        return (
            instance is not None
            and instance.state == "running"
            and instance.running_at is not None
            and now >= instance.running_at + self._cloud.timings.agent
            and not instance.agent_broken
        )

    def _status(self, one: _Invocation) -> tuple[str, str]:
        """AWS's Status and StatusDetails."""
        now = self._cloud.now()
        if one.execution is None:
            if one.lost != "DeliveryTimedOut":
                return "Failed", one.lost
            return ("TimedOut", one.lost) if now >= one.asked_at + one.delivery else ("Pending", "Delayed")
        if one.outcome is None and now >= one.asked_at + self._cloud.timings.command:
            one.outcome = one.execution.poll()
            if one.outcome is None and now >= one.asked_at + one.timeout:
                one.outcome = Outcome(-1, timed_out=True)  # the machine went down under the command
            one.ended_at = now if one.outcome else None
        if one.outcome is None:
            return ("Pending", "Pending") if now == one.asked_at else ("InProgress", "InProgress")
        if one.outcome.timed_out:
            return "TimedOut", "Execution Timed Out"
        return ("Success", "Success") if one.outcome.code == 0 else ("Failed", "Failed")

    def _told(self, one: _Invocation, *, details: bool) -> dict[str, Any]:
        status, status_details = self._status(one)
        outcome = one.outcome or Outcome(-1)
        errors = f"\n----------ERROR-------\n{_errors(outcome)}" if _errors(outcome) else ""
        plugin = {
            "Name": "aws:runShellScript", "Status": status, "StatusDetails": status_details,
            "ResponseCode": outcome.code, "ResponseStartDateTime": one.asked_at,
            "ResponseFinishDateTime": one.ended_at, "Output": (outcome.stdout + errors)[:2_500],
        }  # fmt: skip
        return {
            "CommandId": one.command_id,
            "InstanceId": one.instance_id,
            "InstanceName": "",
            "Comment": one.comment,
            "DocumentName": _DOCUMENT,
            "RequestedDateTime": one.asked_at,
            "Status": status,
            "StatusDetails": status_details,
            "CommandPlugins": [plugin] if details else [],
        }


def _errors(outcome: Outcome) -> str:
    """Standard error, with what the agent says below it of a shell that failed (aws/amazon-ssm-agent)."""
    failed = f"failed to run commands: exit status {outcome.code}" if outcome.code > 0 else ""
    return outcome.stderr + failed


def _script(parameters: dict[str, list[str]]) -> tuple[str, timedelta]:
    """The shell script and how long it may run. Raises InvalidParameters."""
    commands = parameters.get("commands")
    seconds = (parameters.get("executionTimeout") or ["3600"])[0]
    if not commands or not seconds.isdigit() or not 1 <= int(seconds) <= 172_800:
        raise AwsError("InvalidParameters", "commands must be given, and executionTimeout be 1 to 172800 seconds")
    return "\n".join(commands) + "\n", timedelta(seconds=int(seconds))
