"""The command `autostop`: its words, options and help."""

import sys
from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import partial
from typing import Any, Final, TypeVar

import boto3
import click

from autostop import tags
from autostop.link import Scope
from autostop.model import WorkstationId
from autostop.settings import SETTINGS, parse_duration
from autostop_cli import VERSION
from autostop_cli.account import Account
from autostop_cli.adopt import TOKEN_VARIABLE, adopt, given_token
from autostop_cli.certificate import fingerprint
from autostop_cli.create import create, parse_address, upgrade
from autostop_cli.daily import open_jupyter, start, stop
from autostop_cli.doctor import doctor
from autostop_cli.errors import EXPECTED, sentence
from autostop_cli.keep_awake import end_promise, keep_awake
from autostop_cli.links import make_link, rename_links, show_links, withdraw_links
from autostop_cli.machine import DEFAULT_TYPE, Wish, parse_certificate, parse_disk, parse_name, parse_notify
from autostop_cli.naming import workstation_called
from autostop_cli.parameters import parse_url
from autostop_cli.repair.command import recover_all, recover_one
from autostop_cli.resize import resize, take_back
from autostop_cli.ssh import show_ssh
from autostop_cli.status import show_all, show_one
from autostop_cli.text import FailedError, say
from autostop_cli.unadopt import unadopt
from autostop_cli.uninstall import uninstall, uninstall_all
from autostop_cli.verify.command import verify
from autostop_cli.what_if.command import what_if
from autostop_cli.why import explain

_LONGEST_LABEL: Final = 40
Value = TypeVar("Value")


class _Commands(click.Group):
    """Commands whose expected errors end in one sentence and exit code 1."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except EXPECTED as error:
            raise FailedError(sentence(error)) from error


class _Word(click.ParamType[Value]):
    """What a function makes of a word of the command line; its ValueError says what is wrong with the word."""

    def __init__(self, name: str, parse: Callable[[str], Value]) -> None:
        self.name, self._parse = name, parse

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Value:
        try:
            return self._parse(value)
        except ValueError as error:
            self.fail(f"{value!r} {error}", param, ctx)


class _Instance(click.ParamType[WorkstationId]):
    """The id of an instance, or its name."""

    name = "instance"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> WorkstationId:
        account = ctx.find_object(Account) if ctx is not None else None
        if account is None:
            raise LookupError("an instance is looked up in an account")
        try:
            return workstation_called(account, value)
        except LookupError as error:
            self.fail(f"{value!r} {error}", param, ctx)


def _setting(parse: Callable[[str], object], text: str) -> str:
    """Checked as the functions check it, but left as it was typed: that is what becomes a tag."""
    parse(text)
    return text.strip()


def _expiry(text: str) -> timedelta:
    if not (duration := parse_duration(text)):
        raise ValueError("must be longer than 0")
    return duration


def _label(text: str) -> str:
    label = text.strip()
    if not label.isprintable() or not 0 < len(label) <= _LONGEST_LABEL:
        raise ValueError(f"is not 1 to {_LONGEST_LABEL} printable characters")
    return label


def _directory(text: str) -> str:
    if not (text.startswith("/") and text.isprintable() and len(text) <= tags.LONGEST_VALUE):
        raise ValueError(f"is not an absolute path of at most {tags.LONGEST_VALUE} printable characters")
    return text


_INSTANCE: Final = _Instance()
_EXPIRY: Final = _Word("duration", _expiry)


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


@cli.command("create", epilog="Example: autostop create lab --type m7g.2xlarge --allow-from here")
@click.argument("name", type=_Word("name", parse_name))
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--type", help=f"The instance type; else you are asked, or it is {DEFAULT_TYPE}.")
@click.option("--spot", is_flag=True, help="Cheaper; EC2 may stop it at any time, and its disks are never shelved.")
@click.option(
    "--size",
    "sizes",
    multiple=True,
    metavar="DEVICE=GIB",
    type=_Word("size", parse_disk),
    help="Of a disk: sda1 is the system's (else 30 GiB), sdf the data's (else 100).",
)
@click.option(
    "--allow-from",
    type=_Word("address", parse_address),
    help="Let this IPv4 address in at ports 22, 443 and 8888, or `here`: yours. Else Session Manager is the way in.",
)
@click.option(
    "--certificate",
    type=_Word("certificate", parse_certificate),
    help="`self-signed`, or `public`, which publishes address and hour of each wake; else you are asked.",
)
@click.option(
    "--notify",
    type=_Word("url", parse_notify),
    help="Where its notices go: a URL such as ntfy://topic. A mail address is for all workstations of a new stack.",
)
@click.pass_obj
def create_command(
    account: Account, /, *, name: str, yes: bool, sizes: tuple[tuple[str, int], ...], **wished: Any
) -> None:
    """Make a workstation under a NAME, and whatever it needs beside itself.

    Shows first what is made and what it costs, and asks; waits until JupyterLab answers; ends with the link for your
    phone. Run again after whatever happened, it goes on where it was.
    """

    def ask(lines: Sequence[str], question: str, default: str, parse: Callable[[str], str]) -> str:
        if yes or not sys.stdin.isatty():
            return default
        say(*lines)
        return str(click.prompt(question, default=default, type=_Word("text", parse)))

    given = {option: value for option, value in wished.items() if value is not None}
    create(account, Wish(name, sizes=dict(sizes), **given), yes=yes, ask=ask)


@cli.command("upgrade", epilog="Example: autostop upgrade --yes")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.pass_obj
def upgrade_command(account: Account, *, yes: bool) -> None:
    """Bring stacks of an older version up to the command's; parameters, workstations and data stay as they are."""
    upgrade(account, yes=yes)


@cli.command("uninstall", epilog="Example: autostop uninstall lab --dry-run")
@click.argument("name", type=_Word("name", parse_name), required=False)
@click.option("--all", "everything", is_flag=True, help="The stacks, once nobody needs them.")
@click.option("--delete-data", metavar="NAME", help="Its disks and snapshots, too: type its name once more.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--dry-run", is_flag=True, help="Show what would be removed, and remove nothing.")
@click.pass_obj
def uninstall_command(
    account: Account, *, name: str | None, everything: bool, delete_data: str | None, yes: bool, dry_run: bool
) -> None:
    """Remove the workstation that `create` made under a NAME. Its last snapshots stay, unless you say otherwise."""
    if everything == (name is not None):
        raise click.UsageError("Give a NAME, or --all.")
    if delete_data is not None and delete_data != name:
        raise click.UsageError("--delete-data takes the very name of the workstation, and nothing else.")
    if name is None:
        uninstall_all(account, yes=yes, dry_run=dry_run)
    else:
        uninstall(account, name, delete_data=delete_data is not None, yes=yes, dry_run=dry_run)


def _with_settings(command: Any) -> Any:
    for setting in reversed(SETTINGS):
        option = click.option(
            f"--{setting.name}", type=_Word("text", partial(_setting, setting.parse)), help=f"{setting.meaning}."
        )
        command = option(command)
    return command


@cli.command("adopt", epilog="Example: autostop adopt lab --idle-after 45m")
@click.argument("instance", type=_INSTANCE)
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--dry-run", is_flag=True, help="Show what would be changed, and change nothing.")
@_with_settings
@click.option(
    "--instance-store-is-scratch",
    is_flag=True,
    help="Your word that its instance-store disks, which every stop empties, hold nothing of worth.",
)
@click.option(
    "--jupyter-runtime",
    type=_Word("directory", _directory),
    help="Where the runtime files of the Jupyter servers are, if not in the users' homes; for the probe ssm.",
)
@click.option(
    "--certificate",
    type=_Word("file or sha256", fingerprint),
    help="Of Jupyter: a PEM or DER file, or its SHA-256; for the probe https.",
)
@click.option(
    "--notify",
    type=_Word("url", parse_url),
    help="A URL such as ntfy://topic, for its notices alone; `stack`: where those of all workstations go.",
)
@click.option(
    "--token-from-stdin",
    is_flag=True,
    help=f"Read Jupyter's token from standard input, for the probe https; or set {TOKEN_VARIABLE}.",
)
@click.pass_obj
def adopt_command(
    account: Account,
    /,
    *,
    instance: WorkstationId,
    yes: bool,
    dry_run: bool,
    token_from_stdin: bool,
    instance_store_is_scratch: bool,
    notify: str | None,
    **texts: str | None,
) -> None:
    """Make an INSTANCE a workstation: tag it and its volumes.

    Shows first what changes and asks. An option sets it for this workstation; what is not given stays as it is, and
    what was never set is as the stack says. Safe to run again.
    """
    if token_from_stdin and not (yes or dry_run):
        raise click.UsageError("--token-from-stdin leaves no way to ask you: give --yes or --dry-run too.")
    chosen = {setting.tag: texts[setting.field] for setting in SETTINGS}
    chosen |= {tags.JUPYTER_RUNTIME: texts["jupyter_runtime"], tags.JUPYTER_CERTIFICATE: texts["certificate"]}
    chosen[tags.INSTANCE_STORE_IS_SCRATCH] = tags.YES if instance_store_is_scratch else None
    given = {key: value for key, value in chosen.items() if value is not None}
    token = given_token(from_stdin=token_from_stdin)
    adopt(account, instance, given, token=token, notify=notify, yes=yes, dry_run=dry_run)


@cli.command("resize", epilog="Example: autostop resize lab --type m5.2xlarge --size /dev/sdf=300")
@click.argument("instance", type=_INSTANCE)
@click.option("--type", "type_", metavar="TYPE", help="Another type of instance, such as m5.2xlarge.")
@click.option(
    "--size",
    "sizes",
    multiple=True,
    metavar="DEVICE=GIB",
    type=_Word("size", parse_disk),
    help="A larger disk, such as /dev/sdf=300; give it several times.",
)
@click.option("--off", is_flag=True, help="Take back what is wanted and has not taken effect.")
@click.pass_obj
def resize_command(
    account: Account, instance: WorkstationId, *, type_: str | None, sizes: tuple[tuple[str, int], ...], off: bool
) -> None:
    """Give an INSTANCE another type or larger disks, from its next wake on. Disks only grow.

    Without an option it shows what is wanted. Where EC2 has no capacity for the type, it starts as the one before.
    """
    if off and (type_ or sizes):
        raise click.UsageError("--off takes all back; leave out --type and --size.")
    if off:
        take_back(account, instance)
    else:
        resize(account, instance, type_, dict(sizes))


@cli.command("unadopt", epilog="Example: autostop unadopt lab --wake-first")
@click.argument("instance", type=_INSTANCE)
@click.option("--wake-first", is_flag=True, help="Wake it if it is asleep, so that you have its disks.")
@click.option("--keep-snapshots", is_flag=True, help="Delete no snapshot; while it is asleep they hold all its data.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--dry-run", is_flag=True, help="Show what would be done and what stays, and change nothing.")
@click.pass_obj
def unadopt_command(
    account: Account, instance: WorkstationId, *, wake_first: bool, keep_snapshots: bool, yes: bool, dry_run: bool
) -> None:
    """Make an INSTANCE one like any other: take Autostop's tags, its snapshots, its links and its record away.

    Shows first what goes, what stays and what that costs, and asks. A snapshot is deleted only where its disk runs.
    Safe to run again.
    """
    unadopt(account, instance, wake_first=wake_first, keep_snapshots=keep_snapshots, yes=yes, dry_run=dry_run)


@cli.command("verify", epilog="Example: autostop verify lab --dry-run")
@click.argument("instance", type=_INSTANCE)
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--dry-run", is_flag=True, help="Show what would be done and what it costs, and make nothing.")
@click.pass_obj
def verify_command(account: Account, instance: WorkstationId, *, yes: bool, dry_run: bool) -> None:
    """Try whether the last snapshots of an INSTANCE bring its disks back as they were.

    Makes scratch volumes from them, compares these, removes them, and says of each disk whether its snapshot is good,
    damaged, missing or foreign, and what to do. What an interrupted one left is removed when it is run again.
    """
    verify(account, instance, yes=yes, dry_run=dry_run)


@cli.command("link", epilog="Example: autostop link lab --label tablet --expires 90d")
@click.argument("instance", type=_INSTANCE)
@click.option(
    "--label", default="phone", show_default=True, type=_Word("text", _label), help="Whose or what it is, for you."
)
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    type=click.Choice([each.value for each in Scope]),
    help="What it may be used for; give it several times. Without: everything.",
)
@click.option("--expires", type=_EXPIRY, help="After how long it opens nothing, such as 90d; else as links-last says.")
@click.option("--replace", "replaces", is_flag=True, help="Withdraw the links that had this label.")
@click.pass_obj
def link_command(
    account: Account,
    instance: WorkstationId,
    label: str,
    scopes: tuple[str, ...],
    expires: timedelta | None,
    *,
    replaces: bool,
) -> None:
    """Make a new link that opens the phone page of an INSTANCE, and show it as a QR code, once."""
    allowed = [Scope(each) for each in scopes] or tuple(Scope)
    make_link(account, instance, label, allowed, expires, replaces=replaces)


_json = click.option("--json", "as_json", is_flag=True, help="The same as the page's API gives it.")


@cli.command("links", epilog="Example: autostop links lab --withdraw phone")
@click.argument("instance", type=_INSTANCE)
@click.option("--withdraw", "labels", multiple=True, help="Let the links with this label open nothing any more.")
@click.option("--withdraw-all", is_flag=True, help="Let no link open it any more.")
@click.option("--rename", nargs=2, type=_Word("text", _label), help="Give the links with a label another.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@click.pass_obj
def links_command(
    account: Account,
    instance: WorkstationId,
    *,
    labels: tuple[str, ...],
    withdraw_all: bool,
    rename: tuple[str, str] | None,
    as_json: bool,
) -> None:
    """Show the links of an INSTANCE, when and from where each was used last, or withdraw or rename them.

    The label says which; a page that is open with a withdrawn one is refused at its next look.
    """
    if labels or withdraw_all:
        withdraw_links(account, instance, None if withdraw_all else labels)
    elif rename:
        rename_links(account, instance, *rename)
    else:
        show_links(account, instance, as_json=as_json)


@cli.command("list", epilog="Example: autostop list --json")
@_json
@click.pass_obj
def list_command(account: Account, *, as_json: bool) -> None:
    """Show every workstation on a line of its own."""
    show_all(account, as_json=as_json)


@cli.command("start", epilog="Example: autostop start lab")
@click.argument("instance", type=_INSTANCE)
@click.option("--no-wait", is_flag=True, help="Ask for it, and do not wait until it is ready.")
@_json
@click.pass_obj
def start_command(account: Account, instance: WorkstationId, *, no_wait: bool, as_json: bool) -> None:
    """Wake an INSTANCE, and say how far it is until it is ready. Ctrl-C ends the telling, not the wake."""
    start(account, instance, wait=not no_wait, as_json=as_json)


@cli.command("stop", epilog="Example: autostop stop lab --wait")
@click.argument("instance", type=_INSTANCE)
@click.option("--wait", is_flag=True, help="Wait until it is stopped.")
@_json
@click.pass_obj
def stop_command(account: Account, instance: WorkstationId, *, wait: bool, as_json: bool) -> None:
    """Stop an INSTANCE, whoever works on it; it is shelved as its settings say. It ends a promise of work."""
    stop(account, instance, wait=wait, as_json=as_json)


@cli.command("open", epilog="Example: autostop open lab")
@click.argument("instance", type=_INSTANCE)
@click.option("--print", "print_only", is_flag=True, help="Print the address, and open no browser.")
@click.option(
    "--ssh", is_flag=True, help="Print what ssh needs instead: its configuration, and the machine's host key."
)
@click.option("--json", "as_json", is_flag=True, help="The same for programs.")
@click.pass_obj
def open_command(account: Account, instance: WorkstationId, *, print_only: bool, ssh: bool, as_json: bool) -> None:
    """Open the JupyterLab of an INSTANCE, or print the tunnel to it where the network lets nobody in from here."""
    if ssh:
        return show_ssh(account, instance)
    return open_jupyter(account, instance, in_browser=not print_only, as_json=as_json)


@cli.command("status", epilog="Example: autostop status lab")
@click.argument("instance", type=_INSTANCE, required=False)
@_json
@click.pass_obj
def status_command(account: Account, instance: WorkstationId | None, *, as_json: bool) -> None:
    """Show how every workstation stands, or one INSTANCE in full."""
    if instance is None:
        show_all(account, as_json=as_json)
    else:
        show_one(account, instance, as_json=as_json)


@cli.command("doctor", epilog="Example: autostop doctor lab")
@click.argument("instance", type=_INSTANCE)
@click.pass_obj
def doctor_command(account: Account, instance: WorkstationId) -> None:
    """Ask an INSTANCE that `create` made how it is: boot, data volume, JupyterLab, certificate; with the next step."""
    doctor(account, instance)


@cli.command("why", epilog="Example: autostop why lab --at 02:30")
@click.argument("instance", type=_INSTANCE)
@click.option("--at", metavar="TIME", help="Then instead of now: 14:05 by this terminal's clock, or ISO 8601.")
@click.option(
    "--what-if",
    "settings",
    multiple=True,
    metavar="NAME=VALUE",
    help="Replay the last days under another setting, such as idle-after=15m; give it several times.",
)
@click.option("--days", type=click.IntRange(1, 30), default=7, show_default=True, help="How many, for --what-if.")
@click.option("--json", "as_json", is_flag=True, help="The same for programs.")
@click.pass_obj
def why_command(
    account: Account, instance: WorkstationId, at: str | None, settings: tuple[str, ...], days: int, *, as_json: bool
) -> None:
    """Say why an INSTANCE is up and when it sleeps, or why it was stopped; with what every signal showed."""
    if settings and at is not None:
        raise click.UsageError("--at and --what-if are two questions; ask one at a time.")
    if settings:
        what_if(account, instance, settings, days, as_json=as_json)
    else:
        explain(account, instance, at, as_json=as_json)


@cli.command("keep-awake", epilog="Example: autostop keep-awake lab --for 3h")
@click.argument("instance", type=_INSTANCE)
@click.option("--for", "lasts", type=_EXPIRY, help="For how long from now, such as 3h; else as its settings say.")
@click.option("--off", is_flag=True, help="Take the promise back.")
@_json
@click.pass_obj
def keep_awake_command(
    account: Account, instance: WorkstationId, lasts: timedelta | None, *, off: bool, as_json: bool
) -> None:
    """Promise that an INSTANCE is at work: for so long idleness does not stop it, nor a limit of yours.

    What you give with --for replaces a longer promise, too. Your stop ends it.
    """
    if off and lasts is not None:
        raise click.UsageError("--off takes the promise back; leave out --for.")
    if off:
        end_promise(account, instance)
    else:
        keep_awake(account, instance, lasts)
    if as_json:
        show_one(account, instance, as_json=True)


@cli.command("recover", epilog="Example: autostop recover lab")
@click.argument("instance", type=_INSTANCE, required=False)
@click.option("--yes", is_flag=True, help="Write what is lost, or build the new instance, without asking.")
@click.option("--instance-profile", default="", help="With --yes: the one that the new instance may get.")
@click.option("--delete-orphans", is_flag=True, help="Ask whether to delete what is left over; you type `delete`.")
@click.option("--retry-dead-letters", is_flag=True, help="Try again what the reconciler failed on, once it is mended.")
@click.pass_obj
def recover_command(
    account: Account,
    /,
    *,
    instance: WorkstationId | None,
    yes: bool,
    instance_profile: str,
    delete_orphans: bool,
    retry_dead_letters: bool,
) -> None:
    """Put right what is broken. Shows first what would be done; without your yes nothing is changed.

    Rebuilds what the table has lost of every workstation, or of one INSTANCE, from the tags of its snapshots. Builds a
    new instance in the place of an INSTANCE that was terminated while it was shelved. Without INSTANCE it also lists
    what is left over in the account, with its price, and what the reconciler has failed on for good.
    """
    if instance is None:
        recover_all(account, yes=yes, delete=delete_orphans, retry=retry_dead_letters)
    elif delete_orphans or retry_dead_letters:
        raise click.UsageError("--delete-orphans and --retry-dead-letters are for all; leave out INSTANCE.")
    else:
        recover_one(account, instance, yes=yes, profile=instance_profile)


def main() -> None:
    """Run the command with the arguments of the process."""
    cli(prog_name="autostop")


if __name__ == "__main__":
    main()
