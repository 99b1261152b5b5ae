"""`autostop why`: one sentence and a table, now, for a moment, and under other settings; and `autostop keep-awake`."""

import json
import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from autostop.idle.measured import Effect, Sign
from autostop.idle.stop_plan import Warned
from autostop.idle.sweep_record import SweepRecord
from autostop.idle.verdict import Verdict, VerdictKind
from autostop.model import WorkstationId, instance_of
from autostop.sleep.intent import By, Intent, Wanted
from autostop.state import State
from tests.cli.desk import START, Desk, desk
from tests.idle.recorded import Run

MINUTE = timedelta(minutes=1)
BOOTED = timedelta(minutes=10)
BUSY = Sign("kernels", Effect.WORK, "1 of 1 busy", "none busy")
LATELY = Sign("processor", Effect.RECENT, "0.02 cores", "0.25 cores", START - 20 * MINUTE)
QUIET = Sign("keyboard", Effect.QUIET, "nothing", "")
UNREAD = Sign("answer", Effect.UNKNOWN, "no answer", "")


@pytest.fixture
def at(tmp_path: Path) -> Iterator[Desk]:
    with desk(tmp_path / "world", begins=START - BOOTED, over_http=False) as made:
        yield made


@pytest.fixture
def lab(at: Desk) -> WorkstationId:
    """A workstation that runs at START."""
    return at.adopted(runs_for=BOOTED)


@pytest.fixture
def berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def launched_at(at: Desk, lab: WorkstationId) -> datetime:
    found = at.account.instances.find(instance_of(lab))
    assert found is not None
    return found.launched_at


def seen(at: Desk, lab: WorkstationId, verdict: Verdict, when: datetime = START, **fields: Any) -> SweepRecord:
    record = SweepRecord(lab, when, launched_at(at, lab), verdict, **fields)
    at.account.ledger.write_journal([record], when)
    return record


def active(*signs: Sign, headline: str = "Jupyter: 1 busy kernel", when: datetime = START) -> Verdict:
    return Verdict(VerdictKind.ACTIVE, when, (headline,), signs=signs)


def write(at: Desk, records: Sequence[SweepRecord]) -> None:
    for record in records:
        at.account.ledger.write_journal([record], record.at)


def why(at: Desk, lab: WorkstationId, *words: str) -> str:
    result = at.run("why", lab, *words)
    assert result.exit_code == 0, result.output
    return result.output


def test_work_keeps_it_up(at: Desk, lab: WorkstationId) -> None:
    seen(at, lab, active(BUSY, QUIET))
    lines = why(at, lab).splitlines()
    assert lines[0] == f"{lab}  lab"
    assert lines[1] == ("It is up because work is seen on it (Jupyter: 1 busy kernel); it stays up while that lasts.")
    assert lines[3] == "As seen at 09:00 UTC: active"
    assert lines[5].split() == ["SIGNAL", "EFFECT", "VALUE", "THRESHOLD", "LAST", "WORK"]
    assert re.split(" {2,}", lines[6]) == ["kernels", "work", "1 of 1 busy", "none busy", "now"]
    assert lines[7].endswith("never since the start")


def test_a_window_that_is_not_over_says_when_it_sleeps(at: Desk, lab: WorkstationId) -> None:
    headline = "quiet for 20 min of 30 min: processor: last above 0.25 cores at 08:40 UTC"
    seen(at, lab, active(LATELY, QUIET, headline=headline), stop_at=START + 12 * MINUTE)
    output = why(at, lab)
    assert f"because its window is not over ({headline}); if nothing new happens it sleeps at 09:12 UTC." in output
    assert "20 min ago (08:40 UTC)" in output


def test_idle_and_warned(at: Desk, lab: WorkstationId) -> None:
    stop_at = START + 10 * MINUTE
    verdict = Verdict(VerdictKind.IDLE, START, ("idle for 30 min (since 08:30 UTC)",), signs=(QUIET,))
    seen(at, lab, verdict, stop_at=stop_at, warned=Warned(START, stop_at, By.IDLE, "idle"))
    output = why(at, lab)
    assert "It is idle for 30 min (since 08:30 UTC); it sleeps at 09:10 UTC unless somebody works on it" in output
    assert "The warning before the stop was sent at 09:00 UTC." in output


def test_unknown_says_what_could_not_be_read(at: Desk, lab: WorkstationId) -> None:
    reasons = ("asked: the SSM agent is silent: start it", "processor: at most 0.25 cores since 08:00 UTC")
    seen(at, lab, Verdict(VerdictKind.UNKNOWN, START, reasons, signs=(UNREAD, QUIET)))
    output = why(at, lab)
    assert "unknown: asked: the SSM agent is silent: start it. Not knowing is not idle, so it stays up." in output
    assert output.endswith("\nasked: the SSM agent is silent: start it\n")


def test_what_keeps_it_up_without_measuring(at: Desk, lab: WorkstationId) -> None:
    verdict = replace(active(headline="the owner keeps it awake"), due_at=START + timedelta(hours=2))
    seen(at, lab, verdict)
    output = why(at, lab)
    assert "It is up because the owner keeps it awake; idleness stops nothing before 11:00 UTC." in output
    assert "What was measured did not matter then." in output


def test_nobody_has_looked_since_the_start(at: Desk, lab: WorkstationId) -> None:
    assert "unknown: it is up, but no sweep of the last hour has looked at it yet" in why(at, lab)
    record = seen(at, lab, active(BUSY))
    at.account.ledger.write_journal([replace(record, launched_at=START - timedelta(days=1))], START + MINUTE)
    at.clock.advance(2 * MINUTE)
    assert "unknown: it is up, but no sweep" in why(at, lab)


def test_a_stopped_workstation_says_why_and_what_was_seen_then(at: Desk, lab: WorkstationId) -> None:
    verdict = Verdict(VerdictKind.IDLE, START, ("idle for 30 min (since 08:30 UTC)",), signs=(QUIET,))
    seen(at, lab, verdict, stop_at=START)
    intent = Intent(1, Wanted.SHELVE, By.IDLE, START, verdict.headline, settled_at=START + 5 * MINUTE)
    at.account.ledger.save(State(lab, intent=intent))
    at.clock.advance(MINUTE)
    at.account.ec2.stop_instances(InstanceIds=[lab])
    at.clock.advance(timedelta(hours=9))
    output = why(at, lab)
    assert "It was stopped at 09:01 UTC because it was idle for 30 min (since 08:30 UTC) (wanted by the idle" in output
    assert "As seen at 09:00 UTC: idle" in output
    assert json.loads(why(at, lab, "--json"))["intent"]["by"] == "idle"


def test_a_stop_outside_autostop_has_no_reason(at: Desk, lab: WorkstationId) -> None:
    at.account.ec2.stop_instances(InstanceIds=[lab])
    at.clock.advance(timedelta(hours=9))
    assert "unknown: it was stopped at 09:00 UTC outside Autostop" in why(at, lab)


def test_what_is_under_way_is_said(at: Desk, lab: WorkstationId) -> None:
    intent = Intent(1, Wanted.SHELVE, By.LIMIT, START, "stop-at is 22:00 (Europe/Berlin)")
    at.account.ledger.save(State(lab, intent=intent, waiting_for="snapshots: 40 %"))
    output = why(at, lab)
    assert "It is falling asleep because stop-at is 22:00 (Europe/Berlin) (wanted by a limit of its owner" in output
    assert "waiting for snapshots: 40 %." in output


def test_a_moment_of_the_past(at: Desk, lab: WorkstationId) -> None:
    seen(at, lab, active(BUSY), stop_at=None)
    seen(at, lab, active(LATELY, headline="quiet for 5 min"), START + 5 * MINUTE, stop_at=START + 30 * MINUTE)
    at.clock.advance(timedelta(hours=1))
    assert "It was up because work was seen on it (Jupyter: 1 busy kernel); it stayed up" in why(
        at, lab, "--at", "09:04"
    )
    assert "it was to sleep at 09:30 UTC" in why(at, lab, "--at", "2026-11-23T09:05")
    assert "it was to sleep at 09:30 UTC" in why(at, lab, "--at", "2026-11-23T10:07+01:00")


def test_a_moment_without_record_names_the_nearest_ones(at: Desk, lab: WorkstationId) -> None:
    seen(at, lab, active(BUSY))
    seen(at, lab, active(LATELY, headline="quiet for 5 min"), START + timedelta(hours=2))
    at.clock.advance(timedelta(hours=3))
    output = why(at, lab, "--at", "10:00")
    assert "unknown: no sweep recorded it at 10:00 UTC" in output
    assert "the one before is of 09:00 UTC (active: Jupyter: 1 busy kernel)" in output
    assert "the one after is of 11:00 UTC (active: quiet for 5 min)" in output
    assert "there is none within 3 d of it" in why(at, lab, "--at", "2026-06-01T10:00")


def test_a_time_of_day_is_the_last_one_by_this_terminals_clock(at: Desk, lab: WorkstationId, berlin: None) -> None:
    at.clock.advance(timedelta(hours=3))
    # 12:00 UTC is 13:00 in Berlin; 14:00 was yesterday.
    assert "at 09:30 UTC (10:30 CET)" in why(at, lab, "--at", "10:30")
    assert "at 2026-11-22 13:00 UTC (14:00 CET)" in why(at, lab, "--at", "14:00")
    assert "at 09:30 UTC (10:30 CET)" in why(at, lab, "--at", "2026-11-23T10:30")


def test_times_are_told_by_the_owners_clock_and_by_this_terminals(at: Desk, lab: WorkstationId, berlin: None) -> None:
    at.world.tag(lab, {"autostop:time-zone": "America/New_York"})
    at.clock.advance(timedelta(hours=3))
    assert "at 04:30 EST (10:30 CET)" in why(at, lab, "--at", "10:30")
    assert "before 08:00 EST (14:00 CET)" in at.run("keep-awake", lab).output
    assert "until 2026-11-23 08:00:00 EST" in at.run("status", lab).output


@pytest.mark.parametrize(("typed", "words"), [
    ("noon", "'noon' is no moment; write it like 14:05, or 2026-11-23T14:05"),
    ("25:00", "'25:00' is no moment"),
    ("2026-11-23", "is no moment"),
    ("2026-11-31T10:00", "is no moment"),
    ("2026-11-23T09:01Z", "lies in the future: it is 09:00 UTC now"),
    ("\x1b[31m", r"'\x1b[31m' is no moment"),
])  # fmt: skip
def test_a_time_that_is_none_is_refused(at: Desk, lab: WorkstationId, typed: str, words: str) -> None:
    result = at.run("why", lab, "--at", typed)
    assert result.exit_code == 2
    assert words in result.output.replace("\n", " ")


def test_json_has_the_verdict_as_the_page_has_it(at: Desk, lab: WorkstationId) -> None:
    seen(at, lab, active(LATELY, BUSY), stop_at=START + 30 * MINUTE)
    body = json.loads(why(at, lab, "--json"))
    assert body["verdict"] == json.loads(at.run("status", lab, "--json").output)["verdict"]
    assert body["verdict"]["stop_at"] == "2026-11-23T09:30:00+00:00"
    assert body["verdict"]["signals"][0] == {
        "name": "processor", "effect": "recent", "value": "0.02 cores", "threshold": "0.25 cores",
        "at": "2026-11-23T08:40:00+00:00",
    }  # fmt: skip
    assert body["sentence"] in why(at, lab)


def test_unadopted_and_unknown_are_told(at: Desk) -> None:
    for words, workstation in (("is not adopted", at.launch()), ("EC2 knows no instance", "i-0123456789abcdef0")):
        for more in ([], ["--what-if", "idle-after=15m"]):
            result = at.run("why", workstation, *more)
            assert result.exit_code == 1
            assert words in result.output


# --- under other settings --------------------------------------------------------------------------------------------


def a_day_with_a_pause(at: Desk, lab: WorkstationId) -> None:
    """Cells from 05:05 to 06:00 and from 06:25 to 07:00; stopped at 07:40 by the 40 minutes of the stack."""
    policy = at.account.stack.policy
    run = Run(began=START - timedelta(hours=4), workstation=lab, policy=policy, cells=[(5, 60), (85, 120)])
    write(at, run.recorded())


def test_other_settings_are_replayed(at: Desk, lab: WorkstationId) -> None:
    a_day_with_a_pause(at, lab)
    output = why(at, lab, "--what-if", "idle-after=10m", "--what-if", "warn-before=0")
    lines = output.splitlines()
    assert lines[1] == "From 2026-11-16 09:00 UTC to 09:00 UTC"
    assert re.split(" {2,}", lines[3].strip()) == ["STOPS", "STOPPED AT WORK", "HOURS UP", "NOT KNOWN"]
    assert lines[4].split()[:5] == ["as", "it", "was", "1", "0"]
    assert lines[5].split()[:4] == ["idle-after=10m,", "warn-before=0", "2", "1"]
    assert "would have saved" in output
    assert "would have stopped you at work once" in output
    assert "yes," in output


def test_longer_windows_cost_more(at: Desk, lab: WorkstationId) -> None:
    a_day_with_a_pause(at, lab)
    output = why(at, lab, "--what-if", "idle-after=2h")
    assert "idle-after=2h would have cost 1.3 hours more, and would have stopped nobody at work" in output
    assert "lie after a real stop" in output


def test_what_if_as_json(at: Desk, lab: WorkstationId) -> None:
    a_day_with_a_pause(at, lab)
    body = json.loads(why(at, lab, "--what-if", "idle-after=10m", "--what-if", "warn-before=0", "--json"))
    assert body["settings"] == {"idle-after": "10m", "warn-before": "0"}
    assert body["as_it_was"]["stopped_at_work"] == 0
    assert body["what_if"]["stopped_at_work"] == 1
    assert body["what_if"]["hours_saved"] > 0
    assert "dollar" not in json.dumps(body), "nobody knows what an hour of this type costs"


def test_the_tags_of_the_workstation_are_in_force(at: Desk, lab: WorkstationId) -> None:
    a_day_with_a_pause(at, lab)
    at.world.tag(lab, {"autostop:idle-after": "10m", "autostop:warn-before": "0"})
    tagged = json.loads(why(at, lab, "--what-if", "grace=15m", "--json"))
    assert len(tagged["what_if"]["stops"]) == 2


def test_only_the_days_asked_for_are_replayed(at: Desk, lab: WorkstationId) -> None:
    a_day_with_a_pause(at, lab)
    at.clock.advance(timedelta(days=2))
    assert "unknown: no sweep recorded it running in this time." in why(
        at, lab, "--what-if", "idle-after=10m", "--days", "1"
    )
    assert "as it was" in why(at, lab, "--what-if", "idle-after=10m", "--days", "3")


@pytest.mark.parametrize(("typed", "words"), [
    ("idle-after=soon", "idle-after = 'soon' is not a duration; write it like 90s"),
    ("idle-after", "'idle-after' is no setting; write it like idle-after=15m"),
    ("colour=red", "'colour=red' is no setting"),
    ("idle_after=15m", "'idle_after=15m' is no setting"),
    ("protected-hours=always", "protected-hours = 'always' is no schedule"),
    ("cpu-period=1m", "cpu-period cannot be replayed: the record was measured with the period that it has"),
    ("shelve-after=0", "shelve-after cannot be replayed"),
    ("probe=https", "only probe=none can be replayed"),
    ("\x1b[31m=1", r"'\x1b[31m=1' is no setting"),
])  # fmt: skip
def test_a_setting_that_cannot_be_replayed_is_refused(at: Desk, lab: WorkstationId, typed: str, words: str) -> None:
    result = at.run("why", lab, "--what-if", typed)
    assert result.exit_code == 2
    assert words in " ".join(result.output.split())


def test_two_questions_at_once_are_refused(at: Desk, lab: WorkstationId) -> None:
    assert at.run("why", lab, "--at", "08:00", "--what-if", "idle-after=15m").exit_code == 2
    result = at.run("why", lab, "--what-if", "idle-after=15m", "--what-if", "idle-after=20m")
    assert "idle-after is given twice" in result.output


# --- keep-awake ------------------------------------------------------------------------------------------------------


def test_keep_awake_promises_what_the_settings_say_or_what_is_given(at: Desk, lab: WorkstationId) -> None:
    assert at.run("keep-awake", lab).output == "Neither idleness nor a limit stops it before 10:00 UTC.\n"
    assert "before 12:00 UTC" in at.run("keep-awake", lab, "--for", "3h").output
    assert "before 12:00 UTC" in at.run("keep-awake", lab).output, "a longer promise stays"
    assert "before 09:05 UTC" in at.run("keep-awake", lab, "--for", "5m").output, "a named time replaces it"
    assert at.account.ledger.load(lab).kept_awake_until == START + timedelta(minutes=5)
    assert "Its longest-promise does not allow more." in at.run("keep-awake", lab, "--for", "5d").output


def test_keep_awake_is_taken_back(at: Desk, lab: WorkstationId) -> None:
    at.run("keep-awake", lab, "--for", "3h")
    assert "No promise keeps it awake." in at.run("keep-awake", lab, "--off").output
    assert at.account.ledger.load(lab).kept_awake_until == START
    assert at.run("keep-awake", lab, "--off", "--for", "3h").exit_code == 2


def test_keep_awake_of_one_that_sleeps_says_what_to_do(at: Desk, lab: WorkstationId) -> None:
    at.account.ledger.save(State(lab, intent=Intent(1, Wanted.STOP, By.OWNER, START, "asked", START)))
    result = at.run("keep-awake", lab)
    assert result.exit_code == 1
    assert "Start it instead." in result.output
    assert at.run("keep-awake", lab, "--for", "0").exit_code == 2
