"""The command `autostop`. What each of its commands takes is declared beside the function that does it."""

from collections.abc import Callable, Mapping
from typing import Any, Final

import boto3
import click

from autostop_cli import VERSION
from autostop_cli.account import Account
from autostop_cli.adopt import adopt
from autostop_cli.create import create, upgrade
from autostop_cli.doctor import doctor
from autostop_cli.errors import EXPECTED, sentence
from autostop_cli.keep_awake import keep_awake
from autostop_cli.links import make_link, manage_links
from autostop_cli.repair.command import recover
from autostop_cli.resize import resize
from autostop_cli.start_stop_open import open_jupyter, start, stop
from autostop_cli.status import show, show_all
from autostop_cli.terminal import FailedError
from autostop_cli.unadopt import unadopt
from autostop_cli.uninstall import uninstall_as_named
from autostop_cli.verify.command import verify
from autostop_cli.why import why

# Each with what the example in its help gives it. A function gets the account; its docstring is the help.
_COMMANDS: Final[Mapping[str, tuple[Callable[..., None], str]]] = {
    "adopt": (adopt, "lab --idle-after 45m"),
    "create": (create, "lab --type m7g.2xlarge --allow-from here"),
    "doctor": (doctor, "lab"),
    "keep-awake": (keep_awake, "lab --for 3h"),
    "link": (make_link, "lab --label tablet --expires 90d"),
    "links": (manage_links, "lab --withdraw phone"),
    "list": (show_all, "--json"),
    "open": (open_jupyter, "lab"),
    "recover": (recover, "lab"),
    "resize": (resize, "lab --type m5.2xlarge --size /dev/sdf=300"),
    "start": (start, "lab"),
    "status": (show, "lab"),
    "stop": (stop, "lab --wait"),
    "unadopt": (unadopt, "lab --wake-first"),
    "uninstall": (uninstall_as_named, "lab --dry-run"),
    "upgrade": (upgrade, "--yes"),
    "verify": (verify, "lab --dry-run"),
    "why": (why, "lab --at 02:30"),
}


class _Commands(click.Group):
    """Commands whose expected errors end in one sentence and exit code 1."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except EXPECTED as error:
            raise FailedError(sentence(error)) from error


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.option("--region", help="The AWS Region; else your AWS configuration's.")
@click.option("--profile", help="The profile of your AWS configuration.")
@click.option("--stack", default="autostop", show_default=True, envvar="AUTOSTOP_STACK", help="Autostop's own stack.")
@click.version_option(VERSION, message="autostop %(version)s")
@click.pass_context
def cli(context: click.Context, region: str | None, profile: str | None, stack: str) -> None:
    """Put EC2 workstations to sleep when you stop working, and bring them back at a tap on a link.

    An INSTANCE is named by its id or by its name.
    """
    # Who calls it from Python may hand in an account of its own.
    if context.obj is None:
        context.obj = Account(boto3.Session(region_name=region, profile_name=profile), stack)


for _name, (_run, _example) in _COMMANDS.items():
    cli.command(_name, epilog=f"Example: autostop {_name} {_example}")(click.pass_obj(_run))


def main() -> None:
    """Run the command with the arguments of the process."""
    cli(prog_name="autostop")


if __name__ == "__main__":
    main()
