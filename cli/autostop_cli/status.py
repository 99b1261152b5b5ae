"""The command `status`: how the workstations stand."""

from collections.abc import Sequence
from datetime import datetime

from autostop.app.status import Status
from autostop.clock import clock_time
from autostop.misspelt_tags import why_not_adopted
from autostop.model import WorkstationId
from autostop.ports import DeniedError, TransientError
from autostop.tags import is_ours
from autostop_cli.account import Account
from autostop_cli.arguments import as_json, instance_or_none
from autostop_cli.errors import sentence
from autostop_cli.naming import adopted
from autostop_cli.repair.dead_letters import tell_of_letters
from autostop_cli.terminal import FailedError, dollars, heading, json_lines, say, table


@instance_or_none
@as_json()
def show(account: Account, workstation: WorkstationId | None, *, as_json: bool) -> None:
    """Show how every workstation stands, or one INSTANCE in full."""
    if workstation is None:
        show_all(account, as_json=as_json)
    else:
        show_one(account, workstation, as_json=as_json)


def show_one(account: Account, workstation: WorkstationId, *, as_json: bool) -> None:
    """Print one workstation in full."""
    status = account.owner.status(workstation)
    if status.state.intent is None:
        # One with an intent is shown even when its instance is gone: its snapshots are kept.
        adopted(account, workstation)
    say(*(json_lines(status.as_json()) if as_json else _detail(status)))
    tell_of_letters(account)


@as_json()
def show_all(account: Account, *, as_json: bool) -> None:
    """Show every workstation on a line of its own."""
    found: list[Status] = []
    failed: list[str] = []
    for instance in account.workstations():
        try:
            found.append(account.owner.status(instance.workstation))
        except (TransientError, DeniedError) as error:
            # One that cannot be read hides no other.
            failed.append(f"{instance.id}: {sentence(error)}")
    if as_json:
        say(*json_lines([status.as_json() for status in found]))
    elif found:
        say(*table([("WORKSTATION", "NAME", "PHASE", "COST NOW", "HOW IT STANDS"), *map(_row, found)]))
    elif not failed:
        say("There is no workstation here yet. Make one: autostop create lab; or: autostop adopt i-…")
    # Filters heed case, and know wildcards.
    for instance in account.instances.find_all({"Name": "tag-key", "Values": ["?uto*top", "?UTO*TOP"]}):
        # On standard error, in the way of no JSON.
        if not is_ours(instance.tags) and (problem := why_not_adopted(instance.tags)):
            say(f"problem: {instance.id}: {problem} Run `autostop adopt {instance.id}`.", err=True)
    tell_of_letters(account)
    if failed:
        raise FailedError(*failed)


def _row(status: Status) -> Sequence[str]:
    how = f"{status.headline}{' (see its problems)' if status.problems else ''}"
    return (status.state.workstation, status.name, status.phase.value, dollars(status.cost_now), how)


def _detail(status: Status) -> list[str]:
    def at(moment: datetime) -> str:
        return clock_time(moment, status.now.tzinfo, moment, "%Y-%m-%d %H:%M:%S")

    state = status.state
    rows = [("phase", status.phase.value)]
    if state.waiting_for:
        rows.append(("waiting for", state.waiting_for))
    if state.blocked:
        rows.append(("blocked", state.blocked))
    if intent := state.intent:
        rows.append(("intent", f"{intent.wanted} by {intent.by}, {at(intent.at)}: {intent.why}"))
    if status.seen is not None:
        verdict, stop_at = status.seen.verdict, status.seen.stop_at
        ahead = f", sleeps {at(stop_at)} if nothing happens" if stop_at else ""
        rows.append(("verdict", f"{verdict.kind}, {at(verdict.at)}{ahead}"))
        rows += [("", reason) for reason in verdict.reasons]
    if state.kept_awake_until and state.kept_awake_until > status.now:
        rows.append(("kept awake", f"until {at(state.kept_awake_until)}"))
    if status.jupyter_url:
        rows.append(("jupyter", status.jupyter_url))
    rows.append(("cost", f"{dollars(status.cost_now)} now, {dollars(status.cost_awake)} when awake"))
    if status.billed:
        rows.append(("billed", status.billed))
    rows += [("step", f"{at(step.at)}  {step.text}") for step in status.steps]
    rows += [("problem", problem) for problem in status.problems]
    rows += [("told you", f"{at(each.at)}  {each.kind}: {each.text}") for each in state.told]
    return [heading(state.workstation, status.name), status.headline, "", *table(rows)]
