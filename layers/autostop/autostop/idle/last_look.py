"""What comes next right before a stop for idleness, when minutes may have passed since the sweep's verdict. Pure."""

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from autostop.idle.reading import Reading, Unknown
from autostop.idle.verdict import Verdict, VerdictKind

# How fresh an answer must be to stop a workstation by it. Where answers take longer than that, none would ever be: an
# older one has to do after a while.
_ANSWER_HOLDS_FOR: Final = timedelta(minutes=1)
_ASKED_ANEW_FOR: Final = timedelta(minutes=10)
_OLD_ANSWER_HOLDS_FOR: Final = timedelta(minutes=5)


class LastLook(StrEnum):
    """What comes next right before a stop for idleness; to turn back is to want it running."""

    ASK = "ask the workstation once more"
    WAIT = "wait for its answer"
    MEASURE = "measure and judge once more"
    STOP = "stop it"
    TURN_BACK = "turn back"


def last_look(
    answer: Reading | Unknown | None,
    verdict: Verdict | None,
    *,
    may_ask: bool,
    has_asked: bool,
    wanted_at: datetime,
    now: datetime,
) -> LastLook:
    """What comes next right before a stop for idleness: minutes may have passed since the sweep's verdict. Pure.

    answer: the newest since the stop was wanted, at `wanted_at`. verdict: by that answer and fresh metrics; None before
    they were measured. may_ask: the owner lets Autostop ask. has_asked: this look has asked, or asked for the answer.
    """
    holds_for = _ANSWER_HOLDS_FOR if now - wanted_at < _ASKED_ANEW_FOR else _OLD_ANSWER_HOLDS_FOR
    if may_ask and (answer is None or now - answer.at > holds_for):
        return LastLook.WAIT if has_asked else LastLook.ASK
    if verdict is None:
        return LastLook.MEASURE
    return LastLook.STOP if verdict.kind is VerdictKind.IDLE else LastLook.TURN_BACK
