"""The command `adopt`: what it reads, shows, asks and does."""

import os
import sys
from collections.abc import Callable, Mapping

import click

from autostop.aws.errors import AlreadySo, aws_errors
from autostop.aws.probes import token_name
from autostop.model import WorkstationId
from autostop.settings import Policy, Probe, words
from autostop_cli.account import Account
from autostop_cli.adoption import Adoption, apply, plan_adoption
from autostop_cli.terminal import dollars, harmless, table

TOKEN_VARIABLE = "AUTOSTOP_JUPYTER_TOKEN"  # noqa: S105 - the name of a variable


def ask_at_terminal(question: str) -> None:
    """Return when the owner says yes. Raises click.Abort on no, click.ClickException when nobody is there to ask."""
    if not sys.stdin.isatty():
        raise click.ClickException("Nobody is at the terminal to confirm it. Nothing was changed. Give --yes.")
    click.confirm(question, abort=True)


def adopt(
    account: Account,
    workstation: WorkstationId,
    settings: Mapping[str, str],
    *,
    token: str | None = None,
    yes: bool = False,
    dry_run: bool = False,
    confirm: Callable[[str], None] = ask_at_terminal,
) -> None:
    """Make an instance a workstation, after showing what that changes and asking.

    settings: valid ones, by tag. token: of Jupyter, kept only where it is asked by https. confirm: raises on a no.
    Raises click.ClickException for what is refused, click.Abort when the owner says no, TransientError, DeniedError.
    """
    adoption = _plan(account, workstation, settings, has_token=token is not None)
    click.echo("\n".join(_shown(adoption)))
    if adoption.refusals:
        reasons = "\n".join(f"  - {harmless(each)}" for each in adoption.refusals)
        raise click.ClickException(f"{workstation} cannot be adopted. Nothing was changed.\n{reasons}")
    if token is not None and adoption.policy.probe is not Probe.HTTPS:
        click.echo("Note: the token is not kept, for Jupyter is not asked by https.")
        token = None
    if token is not None:
        click.echo(f"\nThe token goes into the SSM parameter {token_name(workstation)}, encrypted.")
    if not adoption.changes_tags and token is None:
        click.echo("\nNothing is to be changed: it is adopted.")
        return
    if dry_run:
        click.echo("\nNothing was changed: this was a dry run.")
        return
    if not yes:
        confirm(f"\nAdopt {workstation}?")
        if _plan(account, workstation, settings, has_token=token is not None) != adoption:
            raise click.ClickException(f"{workstation} changed meanwhile. Nothing was changed. Run it again.")
    apply(adoption, token, account.ec2, account.ssm)
    click.echo(f"\n{workstation} is adopted. Make a link for your phone: autostop link {workstation}")


def given_token(*, from_stdin: bool) -> str | None:
    """Jupyter's token as the owner gives it; None when none is given. Raises click.UsageError for what is no token."""
    token = sys.stdin.readline() if from_stdin else os.environ.get(TOKEN_VARIABLE)
    if token is None:
        return None
    token = token.strip()
    if not token or not (token.isascii() and token.isprintable()) or " " in token:
        source = "standard input" if from_stdin else TOKEN_VARIABLE
        raise click.UsageError(f"{source} holds no token: one line of ASCII characters without spaces.")
    return token


def _plan(account: Account, workstation: WorkstationId, settings: Mapping[str, str], *, has_token: bool) -> Adoption:
    instance = account.instances.find(workstation, for_adoption=True)
    if instance is None:
        raise click.ClickException(
            f"EC2 knows no instance {workstation} in {account.ec2.meta.region_name}. "
            "Check the id, --region and --profile."
        )
    volumes, snapshots = account.disks.volumes(workstation), account.disks.snapshots(workstation)

    def plan(*, has_token: bool) -> Adoption:
        return plan_adoption(instance, volumes, snapshots, settings, account.stack.policy, has_token=has_token)

    adoption = plan(has_token=True)
    # Whether a token is needed at all is known only from the settings as they will be.
    if adoption.policy.probe is Probe.HTTPS and not has_token and not _is_token_stored(account, workstation):
        return plan(has_token=False)
    return adoption


def _is_token_stored(account: Account, workstation: WorkstationId) -> bool:
    """Without decryption: the owner need not be allowed to read it."""
    with aws_errors(), AlreadySo("ParameterNotFound"):
        account.ssm.get_parameter(Name=token_name(workstation))
        return True
    return False


def _shown(adoption: Adoption) -> list[str]:
    lines = []
    for each in (*adoption.volumes, adoption.instance):
        lines.append(f"{each.resource}  {harmless(each.what)}")
        rows = [[change.key, _old(change.old), "->", change.new] for change in each.changes]
        lines += [f"  {line}" for line in table(rows)] if rows else ["  no tag changes"]
    lines += ["", f"Its disks and snapshots cost at most {dollars(adoption.cost)} now.", _promise(adoption.policy)]
    lines += [f"Note: {harmless(each)}" for each in adoption.warnings]
    return lines


def _old(value: str | None) -> str:
    return "(none)" if value is None else value


def _promise(policy: Policy) -> str:
    """What will happen to it, in one line."""
    stop = (
        "Idleness never stops it" if policy.idle_after is None else f"It stops when idle for {words(policy.idle_after)}"
    )
    if policy.shelve_after is None:
        shelve = "its disks are never shelved"
    else:
        shelve = f"its disks become snapshots {words(policy.shelve_after)} after a stop"
        shelve = shelve if policy.shelve_after else "its disks become snapshots as soon as it is stopped"
    ask = {
        Probe.SSM: "Jupyter is asked by Run Command",
        Probe.HTTPS: f"Jupyter is asked by https at port {policy.jupyter_port}",
        Probe.NONE: "Jupyter is not asked",
    }
    return f"{stop}; {shelve}. {ask[policy.probe]}."
