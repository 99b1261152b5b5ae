"""The command `why --what-if`: what other settings would have made of a workstation's last days."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import click

from autostop.model import WorkstationId
from autostop.settings import SETTINGS, InvalidSettingError, Probe, policy_for, words
from autostop.tags import PREFIX
from autostop_cli.account import Account
from autostop_cli.naming import refuse_unknown
from autostop_cli.terminal import heading, json_lines, say, table, written
from autostop_cli.what_if.replay import AT_WORK_WITHIN, Replay, Stop, as_it_was, replay

_HOUR: Final = timedelta(hours=1)
# What a record cannot be judged by anew, and why.
NOT_REPLAYED: Final[Mapping[str, str]] = {
    "cpu-period": "the record was measured with the period that it has",
    "jupyter-port": "the record has only what was asked then",
    "instance-types": "it changes no stop",
    "keep-awake-for": "the record has the promises that were made",
    "report-unknown-after": "it changes no stop",
    "report-awake-after": "it changes no stop",
    "quiet-hours": "it changes no stop",
    "time-zone": "it changes no stop",
    "longest-promise": "the record has the promises that were made",
    "links-last": "it changes no stop",
    "initialization-rate": "it changes no stop",
    "delete-after": "it changes what follows a stop, and not when one comes",
    "shelve-after": "it changes what follows a stop, and not when one comes",
}
_BY_NAME: Final = {setting.name: setting for setting in SETTINGS}


@dataclass(frozen=True, slots=True)
class WhatIf:
    """A recorded time under other settings, beside what it was."""

    workstation: WorkstationId
    name: str
    since: datetime
    until: datetime
    settings: Mapping[str, str]
    was: Replay
    would: Replay

    def as_json(self) -> dict[str, object]:
        """The same as plain data for JSON; moments in ISO 8601, UTC; durations in hours."""
        return {
            "workstation": self.workstation,
            "name": self.name,
            "since": self.since.isoformat(),
            "until": self.until.isoformat(),
            "settings": dict(self.settings),
            "as_it_was": _replay_as_json(self.was),
            "what_if": _replay_as_json(self.would),
        }


def what_if(account: Account, workstation: WorkstationId, settings: Sequence[str], days: int, *, as_json: bool) -> None:
    """Print what other settings, each as it was typed, would have made of the last days.

    Raises FailedError, click.BadParameter, TransientError, DeniedError.
    """
    given = _settings(settings)
    refuse_unknown(account, workstation)
    instance, now = account.find(workstation), account.clock()
    name, tags = (instance.name, instance.tags) if instance is not None else (workstation, {})
    in_force, _ = policy_for(account.stack.policy, tags)
    policy, _ = policy_for(in_force, {f"{PREFIX}{key}": text for key, text in given.items()})
    since = now - timedelta(days=days)
    record = account.ledger.sweep_records(workstation, since, now)
    was, would = as_it_was(record, in_force), replay(record, policy, in_force)
    answer = WhatIf(workstation, name, since, now, given, was, would)
    say(*(json_lines(answer.as_json()) if as_json else _compared(answer, account.now_of(workstation))))


def _settings(given: Sequence[str]) -> dict[str, str]:
    """Settings by name, checked as the functions check them. Raises click.BadParameter."""
    settings: dict[str, str] = {}
    known = ", ".join(name for name in _BY_NAME if name not in NOT_REPLAYED)
    for each in given:
        name, equals, text = each.partition("=")
        name, text = name.strip(), text.strip()
        if not equals or name not in _BY_NAME:
            raise _bad(f"{each!r} is no setting; write it like idle-after=15m, with one of {known}")
        if name in settings:
            raise _bad(f"{name} is given twice")
        if name in NOT_REPLAYED:
            raise _bad(f"{name} cannot be replayed: {NOT_REPLAYED[name]}")
        try:
            value = _BY_NAME[name].parse(text)
        except InvalidSettingError as error:
            raise _bad(f"{name} = {text!r} {error}") from None
        if name == "probe" and value is not Probe.NONE:
            raise _bad("the record has the answers of then; only probe=none can be replayed")
        settings[name] = text
    return settings


def _bad(text: str) -> click.BadParameter:
    return click.BadParameter(text, param_hint="--what-if")


def _compared(answer: WhatIf, now: datetime) -> list[str]:
    setting = ", ".join(f"{key}={value}" for key, value in answer.settings.items())
    lines = [heading(answer.workstation, answer.name)]
    lines += [f"From {written(answer.since, now)} to {written(answer.until, now)}"]
    if not answer.was.recorded:
        return [*lines, "unknown: no sweep recorded it running in this time."]
    lines += ["", *_both(answer, setting), "", _verdict(answer, setting)]
    stops = answer.would.stops
    if stops:
        rows = [("WOULD HAVE STOPPED", "UNTIL", "SAVED", "AT WORK", "WHY"), *(_stop(each, now) for each in stops)]
        lines += ["", *table(rows)]
    return [*lines, *_notes(answer.would, setting)]


def _both(answer: WhatIf, setting: str) -> list[str]:
    rows = [("", "STOPS", "STOPPED AT WORK", "HOURS UP", "NOT KNOWN")]
    for name, days in (("as it was", answer.was), (setting, answer.would)):
        hours = f"{days.up / _HOUR:.1f}"
        rows.append((name, str(len(days.stops)), str(days.at_work), hours, f"{days.unknown / _HOUR:.1f}"))
    return table(rows)


def _verdict(answer: WhatIf, setting: str) -> str:
    would, was = answer.would, answer.was
    hours = (was.up - would.up) / _HOUR
    less = f"saved {hours:.1f} hours" if hours >= 0 else f"cost {-hours:.1f} hours more"
    if would.at_work:
        times = "once" if would.at_work == 1 else f"{would.at_work} times"
        what = f"work or a start within {words(AT_WORK_WITHIN)} after a stop"
        hit = f"and would have stopped you at work {times} ({what})"
    else:
        hit = "and would have stopped nobody at work, as far as the record shows"
    return f"{setting} would have {less}, {hit}."


def _stop(stop: Stop, now: datetime) -> Sequence[str]:
    at_work = "no"
    if stop.at_work and stop.work_at is not None:
        after = stop.work_at - stop.at
        at_work = f"yes, {words(after)} later" if after else "yes"
    return (written(stop.at, now), written(stop.until, now), words(stop.saved), at_work, stop.why)


def _notes(would: Replay, setting: str) -> list[str]:
    notes = []
    if would.longer:
        notes.append(f"{words(would.longer)} of the hours up lie after a real stop: until the stop then in sight.")
    if would.open_ended:
        notes.append(f"For {would.open_ended} real stops it is not known how much longer it would have been up.")
    if would.unknown:
        notes.append(
            f"For {words(would.unknown)} the record cannot tell whether it was in use under {setting}, mostly because "
            "nobody was asked while the processor was at work; that time counts as not idle."
        )
    return ["", *notes] if notes else []


def _replay_as_json(replayed: Replay) -> dict[str, object]:
    return {
        "hours_up": _hours(replayed.up),
        "hours_saved": _hours(replayed.saved),
        "hours_longer": _hours(replayed.longer),
        "hours_unknown": _hours(replayed.unknown),
        "runs_of_unknown_length": replayed.open_ended,
        "stopped_at_work": replayed.at_work,
        "stops": [
            {
                "at": stop.at.isoformat(),
                "cause": stop.cause.value,
                "why": stop.why,
                "until": stop.until.isoformat(),
                "work_at": stop.work_at.isoformat() if stop.work_at is not None else None,
                "at_work": stop.at_work,
            }
            for stop in replayed.stops
        ],
    }


def _hours(time: timedelta) -> float:
    return round(time / _HOUR, 2)
