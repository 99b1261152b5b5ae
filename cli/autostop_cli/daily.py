"""The commands `start`, `stop` and `open`: what the buttons of the page do, from a terminal."""

import shlex
import socket
from urllib.parse import urlsplit

import click

from autostop.app.status import Phase, Status
from autostop.model import WorkstationId, instance_of
from autostop.settings import policy_for
from autostop.sleep.intent import Wanted
from autostop_cli.account import Account
from autostop_cli.links import adopted
from autostop_cli.text import FailedError, json_lines, say, written

_LOOK_EVERY_SECONDS = 5
_ANSWERS_WITHIN_SECONDS = 4


def start(account: Account, workstation: WorkstationId, *, wait: bool, as_json: bool) -> None:
    """Wake it, and say how far it is until it is ready. Raises FailedError, TransientError, DeniedError."""
    adopted(account, workstation)
    account.owner.start(workstation, "the command autostop")
    status = followed(account, workstation, Wanted.RUN, wait=wait)
    _show(status, as_json=as_json)
    if not as_json and status.jupyter_url is not None:
        say(status.jupyter_url)


def stop(account: Account, workstation: WorkstationId, *, wait: bool, as_json: bool) -> None:
    """Stop it; it is shelved as its settings say. Raises FailedError, TransientError, DeniedError."""
    adopted(account, workstation)
    account.owner.stop(workstation, "the command autostop")
    _show(followed(account, workstation, Wanted.STOP, wait=wait), as_json=as_json)


def answers(host: str, port: int) -> bool:
    """True when something takes a connection from here."""
    try:
        with socket.create_connection((host, port), _ANSWERS_WITHIN_SECONDS):
            return True
    except OSError:
        return False


def open_jupyter(account: Account, workstation: WorkstationId, *, in_browser: bool, as_json: bool) -> None:
    """Open the address of its JupyterLab, or say how to get there where the network lets nobody in from here.

    Raises FailedError while it is not awake, TransientError, DeniedError.
    """
    instance = adopted(account, workstation)
    status = account.owner.status(workstation)
    if status.phase is not Phase.AWAKE:
        raise FailedError(f"{status.headline}. Wake it: autostop start {workstation}")
    url, lab = status.jupyter_url, status.lab
    port = lab.port if lab is not None else policy_for(account.stack.policy, instance.tags)[0].jupyter_port
    there = urlsplit(lab.url if lab is not None else f"https://localhost:{port}/lab")
    direct = url is not None and there.hostname is not None and answers(there.hostname, port)
    shown = there.geturl() if direct else there._replace(netloc=f"localhost:{port}").geturl()
    tunnel = None if direct else tunnel_to(account, workstation, port)
    if as_json:
        say(*json_lines({"url": shown, "tunnel": tunnel}))
        return
    if tunnel is not None:
        unseen = "It takes a tunnel" if lab is not None else "No sweep has seen its Jupyter answer yet"
        why = "It does not answer from here" if url is not None else unseen
        say(f"{why}. This opens a tunnel (it needs the AWS CLI and its Session Manager plugin); leave it open:")
        say("", f"  {tunnel}", "", "Then open:")
    say(shown)
    if direct and in_browser:
        click.launch(shown)


def tunnel_to(account: Account, workstation: WorkstationId, port: int) -> str:
    """The command that opens a tunnel to a port of it."""
    words = [
        *("aws", "ssm", "start-session", "--target", instance_of(workstation)),
        *("--document-name", "AWS-StartPortForwardingSession"),
        *("--parameters", f"portNumber={port},localPortNumber={port}"),
        *("--region", account.ec2.meta.region_name),
    ]
    return shlex.join(words)


def followed(account: Account, workstation: WorkstationId, wanted: Wanted, *, wait: bool) -> Status:
    """How it stands once it is there, with every new headline told on standard error.

    Raises FailedError when a person's turn has come, or somebody wants something else.
    """
    told = ""
    try:
        while True:
            status = account.owner.status(workstation)
            if status.headline != told:
                told = status.headline
                say(f"{written(status.now, status.now)}  {told}", err=True)
            intent = status.state.intent
            if status.phase is Phase.BLOCKED:
                raise FailedError(status.headline, *status.problems)
            if intent is not None and intent.wanted is not wanted and Wanted.RUN in (intent.wanted, wanted):
                raise FailedError(f"Something else is wanted of it meanwhile: {intent.why}.")
            if not wait or intent is None or intent.settled:
                return status
            account.sleep(_LOOK_EVERY_SECONDS)
    except KeyboardInterrupt:
        say(f"It goes on without you: autostop status {workstation}", err=True)
        raise


def _show(status: Status, *, as_json: bool) -> None:
    if as_json:
        say(*json_lines(status.as_json()))
