"""The command `doctor`: how the machine itself is, asked by Run Command, each thing with what to do about it."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from autostop.aws.errors import AlreadySo, aws_errors
from autostop.model import InstanceId, InstanceState, WorkstationId
from autostop_cli.account import Account
from autostop_cli.arguments import an_instance
from autostop_cli.naming import adopted
from autostop_cli.terminal import FailedError, say, table

_LOOKS = 40
_SCRIPT = """tell() { printf '%s=%s\\n' "$1" "$2"; }
tell ours "$(ls /opt/autostop)"
tell boot "$(systemctl is-active autostop-boot)"
tell data "$(findmnt --noheadings --output=SOURCE --mountpoint /data)"
tell environments "$(systemctl is-active autostop-environments)"
tell made "$(ls /opt/autostop/jupyterlab/made)"
tell jupyterlab "$(systemctl is-active autostop-jupyterlab)"
tell answer "$(curl --silent --insecure --max-time 5 https://127.0.0.1:8888/api)"
tell public "$(cat /var/lib/autostop/public-certificate.json)"
"""
_LOG = "Look there: sudo journalctl --unit"


@an_instance
def doctor(account: Account, workstation: WorkstationId) -> None:
    """Ask an INSTANCE that `create` made how it is: boot, data volume, JupyterLab, certificate; with the next step."""
    instance = adopted(account, workstation)
    if instance.state is not InstanceState.RUNNING:
        raise FailedError(
            f"{workstation} is {instance.state} and cannot be asked. Wake it: autostop start {workstation}"
        )
    output = _output(account, instance.id)
    told = dict(line.split("=", 1) for line in output.splitlines() if "=" in line)
    say(*table([*findings(told)]))


def findings(told: Mapping[str, str]) -> Iterator[tuple[str, str, str]]:
    """What it is about, how it is, and what to do where it is not well. told: what the script printed. Pure."""
    if not told.get("ours"):
        yield "machine", "not made by `autostop create`", "Its own system knows more: nothing of Autostop is on it."
        return
    boot, data, jupyterlab = told.get("boot", ""), told.get("data", ""), told.get("jupyterlab", "")
    yield "boot", boot, "" if boot == "active" else f"{_LOG} autostop-boot"
    yield "data volume", data or "not mounted", "" if data else f"{_LOG} autostop-boot"
    if not told.get("made"):
        failed = told.get("environments") == "failed"
        then = f"{_LOG} autostop-environments" if failed else "It takes some minutes at the first boot."
        yield "JupyterLab", "not installed yet", then
    elif '"version"' in told.get("answer", ""):
        yield "JupyterLab", "answers", ""
    else:
        yield "JupyterLab", f"{jupyterlab}, and does not answer", f"{_LOG} autostop-jupyterlab"
    if failure := told.get("public"):
        yield "public certificate", _reason(failure), "Its own one is served. It asks again at each boot and each hour."


def _reason(failure: str) -> str:
    try:
        written = json.loads(failure)
        return f"none since {written['at']}: {written['reason']}"
    except (ValueError, TypeError, KeyError):
        return "none, and why cannot be read"


def _output(account: Account, instance: InstanceId) -> str:
    asked: Any = None
    with aws_errors():
        with AlreadySo("InvalidInstanceId"):
            asked = account.ssm.send_command(
                InstanceIds=[instance],
                DocumentName="AWS-RunShellScript",
                Parameters={"commands": [_SCRIPT], "executionTimeout": ["30"]},
            )
        if asked is None:
            raise FailedError(
                f"The SSM agent of {instance} is not reached: the machine is booting, has no way to the internet, or "
                f"no role for it. Its console: aws ec2 get-console-output --latest --instance-id {instance}"
            )
        for _ in range(_LOOKS):
            account.sleep(1)
            with AlreadySo("InvocationDoesNotExist"):
                answer = account.ssm.get_command_invocation(
                    CommandId=asked["Command"]["CommandId"], InstanceId=instance
                )
                if answer["Status"] not in ("Pending", "InProgress", "Delayed"):
                    return answer["StandardOutputContent"]
    raise FailedError(f"{instance} took the question and gave no answer. Run it again.")
