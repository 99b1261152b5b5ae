"""The command `why`: why a workstation is up, or why it was stopped."""

import json
from collections.abc import Sequence
from datetime import datetime

import click

from autostop.idle.record import SweepRecord
from autostop.idle.signs import Effect, Sign
from autostop.model import WorkstationId
from autostop.ports import DamagedError
from autostop.settings import words
from autostop_cli.account import Account
from autostop_cli.links import refuse_unadopted
from autostop_cli.terminal import harmless, table
from autostop_cli.text import NotAMomentError, parse_past, told
from autostop_cli.why import Explanation, Why


def explain(account: Account, workstation: WorkstationId, at: str | None, *, as_json: bool) -> None:
    """Print why it is up or was stopped, now or at a moment as it was typed.

    Raises click.ClickException, click.BadParameter, TransientError, DeniedError.
    """
    moment = None if at is None else _moment(at, account.clock())
    refuse_unknown(account, workstation)
    why = why_of(account)
    explanation = why.now(workstation) if moment is None else why.at(workstation, moment)
    click.echo(as_text(explanation.as_json()) if as_json else "\n".join(_told(explanation, account.clock())))


def why_of(account: Account) -> Why:
    """Who answers, in moments as this terminal tells them."""

    def written(moment: datetime) -> str:
        return told(moment, account.clock())

    return Why(account.instances, account.ledger, account.stack.policy, account.clock, written)


def refuse_unknown(account: Account, workstation: WorkstationId) -> None:
    """Raises click.ClickException for what is no workstation; one with a history is told of even when it is gone."""
    try:
        known = account.ledger.load(workstation).intent is not None
    except DamagedError:
        known = True
    if not known:
        refuse_unadopted(account, workstation)


def _moment(text: str, now: datetime) -> datetime:
    try:
        return parse_past(text, now)
    except NotAMomentError as error:
        raise click.BadParameter(f"{text!r} {error}", param_hint="--at") from None


def as_text(body: object) -> str:
    """JSON for people and programs."""
    # JSON's own escapes leave nothing for a terminal to obey.
    return json.dumps(body, indent=2)


def _told(explanation: Explanation, now: datetime) -> list[str]:
    name = "" if explanation.name == explanation.workstation else f"  {harmless(explanation.name)}"
    lines = [f"{explanation.workstation}{name}", harmless(explanation.sentence)]
    seen = explanation.seen
    if seen is None:
        return lines
    lines += ["", f"As seen at {told(seen.at, now)}: {seen.verdict.kind}"]
    if seen.warned is not None:
        lines.append(f"The warning before the stop was sent at {told(seen.warned.at, now)}.")
    if not seen.verdict.signs:
        return [*lines, "What was measured did not matter then."]
    rows = [
        ("SIGNAL", "EFFECT", "VALUE", "THRESHOLD", "LAST WORK"),
        *(_row(each, seen) for each in seen.verdict.signs),
    ]
    return [*lines, "", *table(rows), *_why_unknown(seen)]


def _row(sign: Sign, seen: SweepRecord) -> Sequence[str]:
    return (sign.name, sign.effect.value, sign.value, sign.threshold, _last_work(sign, seen.at))


def _last_work(sign: Sign, seen_at: datetime) -> str:
    if sign.effect is Effect.WORK:
        return "now"
    if sign.at is None:
        return "-" if sign.effect in (Effect.UNKNOWN, Effect.WEAK) else "never since the start"
    return f"{words(seen_at - sign.at)} ago ({sign.at:%H:%M} UTC)"


def _why_unknown(seen: SweepRecord) -> list[str]:
    """The reasons of what could not be read, which no cell of a table holds."""
    names = {sign.name for sign in seen.verdict.signs if sign.effect is Effect.UNKNOWN}
    prefixes = tuple(f"{name}: " for name in names) + (("asked: ",) if "answer" in names else ())
    found = [reason for reason in seen.verdict.reasons if reason.startswith(prefixes)] if prefixes else []
    return ["", *(harmless(reason) for reason in found)] if found else []
