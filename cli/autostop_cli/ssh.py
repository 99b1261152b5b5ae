"""How a workstation is reached by ssh, and by which key it proves that it is the very one.

cloud-init writes a new machine's host keys onto the console at its first boot, and EC2 shows the console to whoever may
ask for it: so the first connection need not be trusted blindly.
"""

import re
from dataclasses import replace

from autostop import tags
from autostop.aws.errors import AlreadySo, aws_errors
from autostop.model import InstanceId, WorkstationId
from autostop_cli.account import Account
from autostop_cli.create_plan import Plan
from autostop_cli.naming import adopted
from autostop_cli.terminal import say

_WRITTEN = re.compile(r"-----BEGIN SSH HOST KEY KEYS-----\s(.*?)-----END SSH HOST KEY KEYS-----", re.DOTALL)
_KEY = re.compile(r"\b((?:ssh-ed25519|ssh-rsa|ecdsa-sha2-nistp\d{3}) AAAA[A-Za-z0-9+/]{40,1000}={0,2})(?:\s|$)")


def keys_in(console: str) -> list[str]:
    """The public host keys that a console shows, the first that were written. Pure."""
    written = _WRITTEN.search(console)
    return _KEY.findall(written[1]) if written else []


def with_host_keys(account: Account, plan: Plan) -> Plan:
    """The plan with the keys of its machine, kept in the table; without, where the console shows none now.

    The console is that of the present start, and tells them at the first one only. Raises TransientError, DeniedError.
    """
    if plan.host_keys:
        return plan
    keys = _host_keys(account, InstanceId(plan.instance))
    return account.plans.put(replace(plan, host_keys=keys), plan) if keys else plan


def show_ssh(account: Account, workstation: WorkstationId) -> None:
    """Print what ssh needs to reach it by Session Manager. Raises FailedError, TransientError, DeniedError."""
    instance = adopted(account, workstation)
    plan = account.plans.find(instance.tags.get(tags.CREATED, ""))
    if plan is not None and plan.instance == instance.id:
        host, keys = plan.name, with_host_keys(account, plan).host_keys
    else:
        host, keys = str(workstation), _host_keys(account, instance.id)
    say(
        "Into ~/.ssh/config:",
        "",
        f"  Host {host}",
        f"      HostName {instance.id}",
        "      User ubuntu",
        f"      HostKeyAlias {host}",
        "      ServerAliveInterval 60",
        "      ProxyCommand aws ssm start-session --target %h --document-name AWS-StartSSHSession "
        f"--parameters portNumber=%p --region {account.region}",
        "",
    )
    if keys:
        say("Into ~/.ssh/known_hosts:", "", *(f"  {host} {key}" for key in keys), "")
    else:
        say("Its console shows no host key now, so the first connection is taken on trust.", "")
    say("Your own public key goes into ~/.ssh/authorized_keys there, by a terminal of its JupyterLab.")


def _host_keys(account: Account, instance: InstanceId) -> list[str]:
    # Older types, which are no Nitro, show the console only some time later, and refuse to be asked for the latest.
    with aws_errors(), AlreadySo("UnsupportedOperation"):
        return keys_in(account.ec2.get_console_output(InstanceId=instance, Latest=True).get("Output", ""))
    return []
