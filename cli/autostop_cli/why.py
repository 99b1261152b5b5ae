"""The command `why`: why a workstation is up, why it was stopped, and when it stops."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

import click

from autostop.app.status import verdict_as_json
from autostop.clock import clock_time
from autostop.idle.measured import Effect, Sign
from autostop.idle.sweep_record import SweepRecord
from autostop.idle.verdict import VerdictKind
from autostop.model import Instance, InstanceState, WorkstationId
from autostop.settings import words
from autostop.sleep.intent import By, Intent, Wanted
from autostop.sleep.resize import resize_in_words
from autostop.state import State
from autostop_cli.account import Account
from autostop_cli.arguments import an_instance, as_json
from autostop_cli.naming import refuse_unknown
from autostop_cli.terminal import NotAMomentError, heading, json_lines, parse_past, say, table, written
from autostop_cli.what_if.command import what_if

# A verdict speaks for the time until the next sweep; three may have failed.
_SPEAKS_FOR: Final = timedelta(minutes=15)
# How far around a moment without a record the nearest ones are looked for: a weekend and a day.
_LOOK_AROUND: Final = timedelta(days=3)
# The last look before a stop: EC2 notes the stop minutes after the sweep that wanted it.
_BEFORE_A_STOP: Final = timedelta(hours=2)

_BY_WHOM: Final[Mapping[By, str]] = {
    By.OWNER: "its owner",
    By.PROMISE: "its owner, who keeps it awake",
    By.IDLE: "the idle verdict",
    By.LIMIT: "a limit of its owner",
    By.FOUND: "others",
}


@dataclass(frozen=True, slots=True)
class Explanation:
    """One answer. at: the moment that it is about; seen: the record that it rests on, None without one.

    intent: what is wanted now; None when the question is about another moment. ahead: what changes at the next wake, in
    words.
    """

    workstation: WorkstationId
    name: str
    at: datetime
    sentence: str
    seen: SweepRecord | None = None
    intent: Intent | None = None
    ahead: str = ""

    def as_json(self) -> dict[str, object]:
        """The same as plain data for JSON; moments in ISO 8601, UTC."""
        intent, seen = self.intent, self.seen
        return {
            "workstation": self.workstation,
            "name": self.name,
            "at": self.at.astimezone(UTC).isoformat(),
            "sentence": self.sentence,
            "ahead": self.ahead,
            "verdict": verdict_as_json(seen) if seen is not None else None,
            "warned_at": seen.warned.at.isoformat() if seen is not None and seen.warned is not None else None,
            "intent": intent
            and {"wanted": intent.wanted.value, "by": intent.by.value, "at": intent.at.isoformat(), "why": intent.why},
        }


@an_instance
@click.option("--at", metavar="TIME", help="Then instead of now: 14:05 by this terminal's clock, or ISO 8601.")
@click.option(
    "--what-if",
    "settings",
    multiple=True,
    metavar="NAME=VALUE",
    help="Replay the last days under another setting, such as idle-after=15m; give it several times.",
)
@click.option("--days", type=click.IntRange(1, 30), default=7, show_default=True, help="How many, for --what-if.")
@as_json("The same for programs.")
def why(
    account: Account, workstation: WorkstationId, at: str | None, settings: tuple[str, ...], days: int, *, as_json: bool
) -> None:
    """Say why an INSTANCE is up and when it sleeps, or why it was stopped; with what every signal showed."""
    if settings and at is not None:
        raise click.UsageError("--at and --what-if are two questions; ask one at a time.")
    if settings:
        what_if(account, workstation, settings, days, as_json=as_json)
        return
    try:
        moment = None if at is None else parse_past(at, account.now())
    except NotAMomentError as error:
        raise click.BadParameter(f"{at!r} {error}", param_hint="--at") from None
    refuse_unknown(account, workstation)
    explanation = why_now(account, workstation) if moment is None else why_at(account, workstation, moment)
    say(*(json_lines(explanation.as_json()) if as_json else _shown(explanation, account.now_of(workstation))))


def why_now(account: Account, workstation: WorkstationId) -> Explanation:
    """Why it is up, or why it is not. Raises TransientError, DeniedError."""
    state, instance = account.ledger.load(workstation), account.find(workstation)
    now = account.now(instance)
    name, intent, seen = instance.name if instance is not None else workstation, state.intent, None
    if intent is not None and not intent.settled:
        sentence = _on_its_way(state, intent, now)
    elif instance is not None and instance.state is InstanceState.RUNNING:
        seen = account.ledger.latest_sweep(now).get(workstation)
        if seen is not None and seen.launched_at == instance.launched_at:
            sentence = _up(seen, now, now, was=False)
        else:
            seen = None
            sentence = "unknown: it is up, but no sweep of the last hour has looked at it yet since its start"
    else:
        stopped_at = _stopped_at(instance, intent)
        seen = _last(account, workstation, stopped_at - _BEFORE_A_STOP, stopped_at) if stopped_at is not None else None
        sentence = _asleep(instance, intent, f" at {written(stopped_at, now)}" if stopped_at is not None else "")
    ahead = resize_in_words(state.resize) if state.resize is not None else ""
    return Explanation(workstation, name, now, sentence, seen, intent, ahead)


def why_at(account: Account, workstation: WorkstationId, moment: datetime) -> Explanation:
    """Why it was up then, by the record of the last sweep before. Raises TransientError, DeniedError."""
    instance, now = account.find(workstation), account.now_of(workstation)
    seen = _last(account, workstation, moment - _SPEAKS_FOR, moment)
    sentence = _without_record(account, workstation, moment) if seen is None else _up(seen, moment, now, was=True)
    return Explanation(workstation, instance.name if instance is not None else workstation, moment, sentence, seen)


def _last(account: Account, workstation: WorkstationId, since: datetime, until: datetime) -> SweepRecord | None:
    return max(account.ledger.sweep_records(workstation, since, until), key=lambda seen: seen.at, default=None)


def _stopped_at(instance: Instance | None, intent: Intent | None) -> datetime | None:
    if instance is not None and instance.stopped_at is not None:
        return instance.stopped_at
    return intent.at if intent is not None and intent.wanted is not Wanted.RUN else None


def _up(seen: SweepRecord, moment: datetime, now: datetime, *, was: bool) -> str:
    """Why it is up at a moment, or was, by the record that speaks for it."""
    verdict, stop = seen.verdict, seen.stop_at
    headline = _plain(verdict.headline)
    is_, stays = ("was", "stayed up") if was else ("is", "stays up")
    sleeps = f"{'was to sleep' if was else 'sleeps'} at {written(stop, now)}" if stop is not None else ""
    if verdict.kind is VerdictKind.UNKNOWN:
        until = f", until {written(stop, now)} at most" if stop is not None else ""
        return f"unknown: {headline}. Not knowing is not idle, so it {stays}{until}."
    if verdict.kind is VerdictKind.IDLE:
        if stop is None or stop <= moment:
            return f"It {is_} {headline}; the stop {is_} due."
        unless = "worked on it or kept it awake" if was else "works on it or keeps it awake"
        return f"It {is_} {headline}; it {sleeps} unless somebody {unless}."
    if stop is not None and seen.stop_cause is By.LIMIT:
        ahead = f"a limit is set: it {sleeps}, whoever works"
    elif stop is not None:
        late = stop <= moment and not was
        ahead = "it is to sleep now" if late else f"if nothing new happens it {sleeps}"
    elif verdict.due_at is not None and verdict.due_at > moment:
        ahead = f"idleness {'could stop' if was else 'stops'} nothing before {written(verdict.due_at, now)}"
    else:
        ahead = f"it {stays} while that {'lasted' if was else 'lasts'}"
    return f"It {is_} up because {_cause(seen, headline, is_)}; {ahead}."


def _cause(seen: SweepRecord, headline: str, is_: str) -> str:
    effects = {sign.effect for sign in seen.verdict.signs}
    if Effect.WORK in effects:
        return f"work {is_} seen on it ({headline})"
    return f"its window is not over ({headline})" if effects else headline


def _on_its_way(state: State, intent: Intent, now: datetime) -> str:
    doing = "waking up" if intent.wanted is Wanted.RUN else "falling asleep"
    how = f"blocked: {state.blocked}" if state.blocked else f"waiting for {state.waiting_for or 'its first step'}"
    by = f"wanted by {_BY_WHOM[intent.by]} at {written(intent.at, now)}"
    return f"It is {doing} because {_plain(intent.why)} ({by}); {how}."


def _asleep(instance: Instance | None, intent: Intent | None, when: str) -> str:
    if instance is None or instance.is_gone:
        return "The instance is terminated or not there."
    if intent is None or intent.wanted is Wanted.RUN:
        return f"unknown: it was stopped{when} outside Autostop, and nobody wrote down why."
    why = _plain(intent.why)
    why = f"it was {why}" if intent.by is By.IDLE and why.startswith("idle") else why
    return f"It was stopped{when} because {why} (wanted by {_BY_WHOM[intent.by]})."


def _without_record(account: Account, workstation: WorkstationId, moment: datetime) -> str:
    now = account.now_of(workstation)
    before = _last(account, workstation, moment - _LOOK_AROUND, moment)
    later = account.ledger.sweep_records(workstation, moment, min(moment + _LOOK_AROUND, now))
    near = [("before", before)] if before is not None else []
    near += [("after", later[0])] if later else []
    told = " and ".join(
        f"the one {side} is of {written(seen.at, now)} ({seen.verdict.kind}: {seen.verdict.headline})"
        for side, seen in near
    )
    return (
        f"unknown: no sweep recorded it at {written(moment, now)}; "
        f"{told or f'there is none within {words(_LOOK_AROUND)} of it'}. "
        "Nothing is recorded while it is stopped, wakes up or falls asleep."
    )


def _plain(text: str) -> str:
    """A reason as a part of a sentence."""
    return text.removesuffix(".")


def _shown(explanation: Explanation, now: datetime) -> list[str]:
    lines = [heading(explanation.workstation, explanation.name), explanation.sentence]
    lines += [explanation.ahead] if explanation.ahead else []
    seen = explanation.seen
    if seen is None:
        return lines
    lines += ["", f"As seen at {written(seen.at, now)}: {seen.verdict.kind}"]
    if seen.warned is not None:
        lines.append(f"The warning before the stop was sent at {written(seen.warned.at, now)}.")
    if not seen.verdict.signs:
        return [*lines, "What was measured did not matter then."]
    head = ("SIGNAL", "EFFECT", "VALUE", "THRESHOLD", "LAST WORK")
    lines += ["", *table([head, *(_row(sign, seen, now) for sign in seen.verdict.signs)])]
    reasons = _why_unknown(seen)
    return [*lines, "", *reasons] if reasons else lines


def _row(sign: Sign, seen: SweepRecord, now: datetime) -> Sequence[str]:
    if sign.effect is Effect.WORK:
        last_work = "now"
    elif sign.at is None:
        last_work = "-" if sign.effect in (Effect.UNKNOWN, Effect.DOUBT, Effect.WEAK) else "never since the start"
    else:
        last_work = f"{words(seen.at - sign.at)} ago ({clock_time(sign.at, now.tzinfo, seen.at)})"
    return (sign.name, sign.effect.value, sign.value, sign.threshold, last_work)


def _why_unknown(seen: SweepRecord) -> list[str]:
    """The reasons of what could not be read, which no cell of a table holds."""
    names = {sign.name for sign in seen.verdict.signs if sign.effect is Effect.UNKNOWN}
    prefixes = tuple(f"{name}: " for name in names) + (("asked: ",) if "answer" in names else ())
    return [reason for reason in seen.verdict.reasons if prefixes and reason.startswith(prefixes)]
