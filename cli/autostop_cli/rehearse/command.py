"""The command `rehearse`: what it shows, asks, does and reports."""

import secrets
from collections.abc import Callable, Iterator
from datetime import timedelta

import click

from autostop import tags
from autostop.model import InstanceState, Snapshot, Volume, WorkstationId
from autostop.settings import words
from autostop_cli.account import Account
from autostop_cli.adopt import ask_at_terminal
from autostop_cli.rehearse.hold import Hold
from autostop_cli.rehearse.pause import Pause
from autostop_cli.rehearse.rehearsal import Rehearsed, Report, began_at, cost_an_hour
from autostop_cli.rehearse.rehearse import Look, Rehearser
from autostop_cli.rehearse.remove_scratch import Remover
from autostop_cli.stack import NoStackError
from autostop_cli.text import dollars, harmless, table

_WHAT_IT_DOES = (
    "It snapshots these volumes together, makes scratch volumes from the snapshots as a start after shelving does, "
    "compares them with yours, and removes all that it made. Nothing of yours is detached or deleted."
)


def rehearse(
    account: Account,
    workstation: WorkstationId,
    *,
    yes: bool = False,
    stop: bool = False,
    dry_run: bool = False,
    confirm: Callable[[str], None] = ask_at_terminal,
) -> None:
    """Try out a cycle, after showing what that means and asking.

    stop: the owner agrees that it is stopped if it runs. confirm: raises on a no.
    Raises click.ClickException for what is refused or did not pass, click.Abort when the owner says no,
    TransientError, DeniedError.
    """
    hold = _hold(account, workstation)
    look = _rehearser(account, workstation, hold).look()
    if look.left or look.marked:
        click.echo("\n".join(_shown_left(look)))
        if not dry_run:
            if not yes:
                confirm("\nPut that right first? If another rehearsal of it is running just now, let that end instead.")
            _clean(_rehearser(account, workstation, hold), workstation)
            look = _rehearser(account, workstation, hold).look()
    runs = look.seen.instance is not None and look.seen.instance.state is InstanceState.RUNNING
    click.echo("\n".join(_shown(look, runs=runs)))
    if hold is None:
        click.echo(
            f"Note: there is no stack {account.stack_name} in {account.ec2.meta.region_name}, so no Autostop is held "
            "off meanwhile. If it is deployed under another name, give that with --stack."
        )
    if look.refusals:
        reasons = "\n".join(f"  - {harmless(each)}" for each in look.refusals)
        raise click.ClickException(f"{workstation} cannot be rehearsed now. Nothing was changed.\n{reasons}")
    if dry_run:
        click.echo("\nNothing was changed: this was a dry run.")
        return
    if runs and not stop:
        if yes:
            raise click.ClickException(
                f"{workstation} runs, and is stopped for a rehearsal. Nothing was changed. "
                "Give --stop too, or stop it first."
            )
        confirm(f"\n{workstation} runs. Stop it now for some minutes? What runs on it ends.")
    elif not yes:
        confirm(f"\nRehearse {workstation}?")
    _run(_rehearser(account, workstation, hold), workstation, may_stop=runs)


def _hold(account: Account, workstation: WorkstationId) -> Hold | None:
    """None where no controller is deployed. Raises DeniedError when the owner may not know."""
    try:
        ledger, queue = account.ledger, account.queue
    except NoStackError:
        return None
    return Hold(ledger, queue, workstation, f"rehearsal-{secrets.token_hex(8)}", account.clock)


def _rehearser(account: Account, workstation: WorkstationId, hold: Hold | None) -> Rehearser:
    """A new one: each does one thing."""
    pause = Pause(
        workstation, account.instances, account.disks, account.scratch, hold, account.clock, account.sleep, _tell
    )
    remover = Remover(workstation, account.disks, account.scratch, account.clock, account.sleep)
    return Rehearser(pause, account.scratch, remover)


def _tell(text: str) -> None:
    click.echo(f"  {harmless(text)}")


def _shown_left(look: Look) -> Iterator[str]:
    yield "A rehearsal that did not end left this behind:"
    rows: list[tuple[str, str, str]] = [
        (each.id, _what(each), f"begun {began_at(each.tags[tags.REHEARSAL])}") for each in look.left
    ]
    if look.marked and look.seen.instance is not None:
        rows.append((look.seen.instance.id, f"the instance, {look.seen.instance.state}", "its mark is still there"))
    yield from (f"  {line}" for line in table(rows))
    yield "These are removed; an instance that it stopped is started again, unless it was started or wanted otherwise."
    yield ""


def _what(each: Volume | Snapshot) -> str:
    return f"scratch volume, {each.size_gib} GiB" if isinstance(each, Volume) else f"snapshot, {each.state}"


def _clean(rehearser: Rehearser, workstation: WorkstationId) -> None:
    try:
        left = rehearser.clean()
    except KeyboardInterrupt:
        raise _interrupted(workstation) from None
    if left:
        raise click.ClickException(_left_over(workstation, left))
    click.echo("That is put right.\n")


def _shown(look: Look, *, runs: bool) -> Iterator[str]:
    instance = look.seen.instance
    if instance is None:
        return
    yield f"{instance.id}  {harmless(instance.name)}, {instance.type}, {instance.state}"
    attached = look.seen.attached()
    rows = [(each.device or "", each.id, each.type, f"{each.size_gib} GiB") for each in attached]
    yield from (f"  {line}" for line in table(rows)) if rows else ("  no volumes",)
    yield ""
    yield _WHAT_IT_DOES
    if runs:
        yield "It runs: it is stopped for some minutes, until the snapshots are begun, and started again at once."
    yield (
        f"What it makes costs at most ${cost_an_hour(attached):.2f} an hour while it is there. First snapshots of "
        "large disks can take hours; later ones of the same volume take minutes."
    )


def _run(rehearser: Rehearser, workstation: WorkstationId, *, may_stop: bool) -> None:
    try:
        report = rehearser.rehearse(may_stop=may_stop)
    except KeyboardInterrupt:
        raise _interrupted(workstation) from None
    click.echo("")
    click.echo("\n".join(_reported(report)))
    problems = [*report.failures]
    problems += [f"{each.record.device}: {each.failure}" for each in report.devices if each.failure]
    problems += [f"{each.record.device}: {text}" for each in report.devices for text in each.differences]
    if report.left:
        problems.append(_left_over(workstation, report.left))
    if not report.passed:
        lines = "\n".join(f"  - {harmless(each)}" for each in problems)
        raise click.ClickException(f"The rehearsal did not pass. Your volumes are as they were.\n{lines}")
    click.echo("\nIt passed: everything compared is equal, and nothing is left over.")


class _InterruptedError(click.ClickException):
    exit_code = 130  # as of a program that SIGINT ends


def _interrupted(workstation: WorkstationId) -> click.ClickException:
    return _InterruptedError(
        f"Interrupted. Your volumes are as they were. `autostop rehearse {workstation}` removes what may be left, and "
        "starts the instance if it is still stopped."
    )


def _left_over(workstation: WorkstationId, left: tuple[str, ...]) -> str:
    return f"Not everything is put right: {'; '.join(left)}. Run `autostop rehearse {workstation}` again."


def _reported(report: Report) -> Iterator[str]:
    if report.devices:
        yield from table([("DEVICE", "SNAPSHOT", "RESTORE", "COMPARED", "EQUAL"), *map(_row, report.devices)])
        yield ""
        yield "Not compared: delete-on-termination, which only an attached volume has."
    reasons = {each.content.why_not for each in report.devices if each.content is not None and each.content.why_not}
    yield from (f"Content not compared: {harmless(each)}" for each in sorted(reasons))
    if report.shelve_takes is not None:
        stop = "with the stop" if report.stop_took is not None else "without the stop"
        yield f"Shelving it takes about {words(report.shelve_takes)} ({stop}), and some seconds to delete the volumes."
    if report.wake_takes is not None:
        start = "with the start" if report.start_took is not None else "without the start"
        yield (
            f"Waking it takes about {words(report.wake_takes)} ({start}), and until its system is up. Blocks come from "
            "the snapshot when they are first read."
        )
    if report.cost_awake is not None and report.cost_asleep is not None:
        yield f"Its disks cost {dollars(report.cost_awake)} awake, and at most {dollars(report.cost_asleep)} asleep."


def _row(each: Rehearsed) -> tuple[str, str, str, str, str]:
    settings = ", ".join(compared.what for compared in each.settings)
    content = ", content" if each.content is not None and each.content.changed is not None else ""
    equal = "failed" if each.failure else "yes" if each.equal else "no" if each.settings else "not compared"
    return each.record.device, _seconds(each.snapshot_took), _seconds(each.restore_took), settings + content, equal


def _seconds(took: timedelta | None) -> str:
    return "-" if took is None else f"{took.total_seconds():.0f} s"
