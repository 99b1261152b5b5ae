"""The commands `start`, `stop` and `open`: what the buttons of the page do, from a terminal."""

import shlex
import socket
from urllib.parse import urlsplit

import click

from autostop.app.status import Phase, Status
from autostop.model import WorkstationId, instance_of
from autostop.sleep.intent import Wanted
from autostop_cli.account import Account
from autostop_cli.arguments import an_instance, as_json
from autostop_cli.naming import adopted
from autostop_cli.ssh import show_ssh
from autostop_cli.terminal import FailedError, json_lines, say, written

_LOOK_EVERY_SECONDS = 5
_ANSWERS_WITHIN_SECONDS = 4


@an_instance
@click.option("--no-wait", is_flag=True, help="Ask for it, and do not wait until it is ready.")
@as_json()
def start(account: Account, workstation: WorkstationId, *, no_wait: bool, as_json: bool) -> None:
    """Wake an INSTANCE, and say how far it is until it is ready. Ctrl-C ends the telling, not the wake."""
    adopted(account, workstation)
    account.owner.start(workstation, "the command autostop")
    status = followed(account, workstation, Wanted.RUN, wait=not no_wait)
    if as_json:
        say(*json_lines(status.as_json()))
    elif status.jupyter_url is not None:
        say(status.jupyter_url)


@an_instance
@click.option("--wait", is_flag=True, help="Wait until it is stopped.")
@as_json()
def stop(account: Account, workstation: WorkstationId, *, wait: bool, as_json: bool) -> None:
    """Stop an INSTANCE, whoever works on it; it is shelved as its settings say. It ends a promise of work."""
    adopted(account, workstation)
    account.owner.stop(workstation, "the command autostop")
    status = followed(account, workstation, Wanted.STOP, wait=wait)
    if as_json:
        say(*json_lines(status.as_json()))


def answers(host: str, port: int) -> bool:
    """True when something takes a connection from here."""
    try:
        with socket.create_connection((host, port), _ANSWERS_WITHIN_SECONDS):
            return True
    except OSError:
        return False


@an_instance
@click.option("--print", "print_only", is_flag=True, help="Print the address, and open no browser.")
@click.option(
    "--ssh", is_flag=True, help="Print what ssh needs instead: its configuration, and the machine's host key."
)
@as_json("The same for programs.")
def open_jupyter(account: Account, workstation: WorkstationId, *, print_only: bool, ssh: bool, as_json: bool) -> None:
    """Open the JupyterLab of an INSTANCE, or print the tunnel to it where the network lets nobody in from here."""
    if ssh:
        show_ssh(account, workstation)
        return
    instance = adopted(account, workstation)
    status = account.owner.status(workstation)
    if status.phase is not Phase.AWAKE:
        raise FailedError(f"{status.headline}. Wake it: autostop start {workstation}")
    url, lab = status.jupyter_url, status.lab
    port = lab.port if lab is not None else account.policy(instance).jupyter_port
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
    if direct and not print_only:
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
