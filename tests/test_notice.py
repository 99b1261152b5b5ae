"""What the owner is told, in words that fit on a phone."""

from dataclasses import replace
from datetime import timedelta
from zoneinfo import ZoneInfo

import pytest

from autostop.idle.stop_plan import Warned
from autostop.idle.verdict import Verdict, VerdictKind
from autostop.notice import Notice, NoticeKind, message_of, stops_soon, unknown_for_long
from autostop.sleep.intent import By
from tests.build import ID, NOW, instance
from tests.hostile import HOSTILE, obeyed

URL = f"https://api.example/w/{ID}#{'A' * 43}"
MINUTE = timedelta(minutes=1)
STOP = NOW + 10 * MINUTE
SOON = Notice(NoticeKind.STOPS_SOON, ID, "lab", NOW, "idle for 20 min", STOP, ("processor: quiet", "Jupyter: quiet"))
UNKNOWN = Notice(NoticeKind.UNKNOWN_FOR_LONG, ID, "lab", NOW, "no answer for 6 h")


def test_a_warning_says_when_why_and_how_to_keep_it_awake() -> None:
    message = message_of(SOON, URL)

    assert message.title == f"Sleeping at {STOP:%H:%M} UTC: lab"
    assert message.text == (
        f"lab ({ID}): idle for 20 min\n\n- processor: quiet\n- Jupyter: quiet\n\nKeep it awake: {URL}"
    )
    assert message.url == URL


def test_what_is_unknown_for_long_is_shown_and_promises_no_stop() -> None:
    message = message_of(UNKNOWN, URL)

    assert message.title == "Cannot tell whether it is in use: lab"
    assert message.text == f"lab ({ID}): no answer for 6 h\n\nSee how it stands: {URL}"


@pytest.mark.parametrize("name", ["", str(ID)])
def test_a_workstation_without_a_name_is_called_by_its_id_once(name: str) -> None:
    message = message_of(replace(SOON, name=name), URL)

    assert message.title.endswith(f": {ID}")
    assert message.text.startswith(f"{ID}: idle")


@pytest.mark.parametrize("text", HOSTILE)
def test_whatever_others_wrote_stays_one_line_and_becomes_no_link(text: str) -> None:
    message = message_of(replace(SOON, name=text, text=text, reasons=(text,)), URL)

    assert obeyed(message.title + message.text) == ""
    assert "\n" not in message.title
    assert message.text.count("\n") == 4
    assert message.text.count("://") == 1


def test_a_name_can_break_no_line_and_fill_no_screen() -> None:
    name = "lab\r\nX-Evil: 1\x1b[2J" + "ä" * 300

    message = message_of(replace(UNKNOWN, name=name), URL)

    assert message.title.isprintable()
    assert len(message.title) < 100
    assert message.text.splitlines()[0].isprintable()


def test_the_longest_message_stays_a_message_for_ntfy() -> None:
    message = message_of(replace(SOON, name="x" * 300, text="y" * 9000, reasons=("ж" * 9000,) * 90), URL)

    assert len(message.text.encode()) <= 4096
    assert message.text.endswith(URL)


def test_the_sweeps_findings_become_notices() -> None:
    verdict = Verdict(VerdictKind.UNKNOWN, NOW, ("Jupyter: does not answer", "processor: quiet"))
    warned = Warned(NOW, STOP, By.LIMIT, "it stops every day at 22:00")

    soon = stops_soon(instance(), verdict, warned, NOW)
    unknown = unknown_for_long(instance(), verdict, NOW - timedelta(hours=6), NOW)

    assert (soon.kind, soon.workstation, soon.stop_at) == (NoticeKind.STOPS_SOON, ID, STOP)
    assert soon.text.startswith("it stops every day at 22:00. ")
    assert f"{STOP:%H:%M} UTC" in soon.text
    berlin = stops_soon(instance(), verdict, warned, NOW, ZoneInfo("Europe/Berlin"))
    there = f"{STOP.astimezone(ZoneInfo('Europe/Berlin')):%H:%M} CET"
    assert f"It stops at {there}" in berlin.text
    assert berlin.title.startswith(f"Sleeping at {there}")
    assert berlin.label.endswith("CET")
    assert (unknown.kind, unknown.stop_at) == (NoticeKind.UNKNOWN_FOR_LONG, None)
    assert "for 6 h it could not be told" in unknown.text
    assert "Jupyter: does not answer" in unknown.text
    assert soon.reasons == unknown.reasons == verdict.reasons


@pytest.mark.parametrize(("cause", "says"), [
    (By.IDLE, "unless somebody works on it or keeps it awake."),
    (By.LIMIT, "UTC, whoever works on it, unless it is kept awake."),
])  # fmt: skip
def test_a_warning_says_what_helps(cause: By, says: str) -> None:
    verdict = Verdict(VerdictKind.ACTIVE, NOW, ("quiet", "processor: quiet"))

    assert stops_soon(instance(), verdict, Warned(NOW, STOP, cause, "it is late"), NOW).text.endswith(says)
