"""What the page shows for each answer of the API."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from playwright.sync_api import expect

from tests.page import statuses
from tests.page.conftest import Phone
from tests.page.scripted_api import WORKSTATION, Answer, ScriptedApi, Status
from tests.page.statuses import PLACE, asleep, awake, blocked, falling_asleep, idle, instant, status, waking

pytestmark = pytest.mark.page

HOSTILE = "https://evil.example/w/i-1#x <img src=x onerror=alert(1)><script>alert(2)</script>&lt;b&gt;\u202e'\"`${1}"


def berlin(written: str) -> str:
    """The time in the phone's zone, as the page writes it: with its day where that is not today."""
    at = datetime.fromisoformat(written).astimezone(ZoneInfo("Europe/Berlin"))
    day = "" if at.date() == datetime.now(at.tzinfo).date() else f"{at:%a} {at.day} {at:%b}, "
    return f"{day}{at:%H:%M} {at.tzname()}"


def test_the_state_is_one_big_word_with_one_sentence_why(phone: Phone, api: ScriptedApi) -> None:
    settled, asked, since = (instant(minutes) for minutes in (-31, -0.5, -5))
    unknown = {"kind": "unknown", "reasons": ["no answer"]}
    said: list[tuple[str, Status, str]] = [
        ("Asleep", asleep(), f"Since {berlin(settled)}. Nobody was working."),
        ("Asleep", asleep(intent=None), "It was stopped outside Autostop."),
        ("Waking", waking(), f"Asked for at {berlin(asked)}."),
        ("Awake", awake(), "1.42 cores in use (above 0.20)"),
        ("Awake", idle(25), f"Nobody has worked since {berlin(since)}."),
        ("Awake", awake(verdict=unknown), "It cannot be told whether it is in use."),
        ("Awake", awake(verdict=None), ""),
        ("Falling asleep", falling_asleep(), "Nobody was working."),
        ("Blocked", blocked(), ""),
        ("Blocked", blocked(blocked=None), "Blocked while waking: no capacity"),
        ("Unknown", status("a phase of a later version"), "It is a phase of a later version"),
    ]
    page = phone.look(api, status("toString"))
    for word, body, sentence in said:
        phone.look_again(page, api, body)
        expect(page.get_by_role("heading", level=1)).to_have_text(word)
        expect(page.locator("#headline")).to_have_text(sentence)
        expect(page).to_have_title("lab")
        expect(page.locator("#state")).to_contain_text(word)
    assert float(page.locator("#word").evaluate("e => parseFloat(getComputedStyle(e).fontSize)")) >= 44
    expect(page.locator("#state")).to_have_attribute("aria-live", "polite")


def test_waiting_shows_what_for_and_how_far(phone: Phone, api: ScriptedApi) -> None:
    page = phone.look(api, falling_asleep())
    expect(page.locator("#waiting-for")).to_have_text("Snapshots: 40 %")
    expect(page.locator("#so-far")).to_have_text(re.compile("^2 min [0-9] s so far$"))
    expect(page.get_by_role("progressbar")).to_have_attribute("value", "40")
    expect(page.locator("#state")).not_to_contain_text("40 %")  # else a screen reader would speak every 2 seconds


def test_waiting_without_a_number_shows_movement_only(phone: Phone, api: ScriptedApi) -> None:
    page = phone.look(api, waking())
    assert page.get_by_role("progressbar").get_attribute("value") is None


@pytest.mark.parametrize(("seconds", "said", "bar"), [
    (50, "About 1 min 40 s, 50 s so far", "50"),
    (110, "About 1 min 40 s, 1 min 50 s so far", "95"),
    (200, "Longer than usual: 3 min 20 s so far, where about 1 min 40 s are usual", "95"),
])  # fmt: skip
def test_a_wake_says_how_long_such_ones_take(phone: Phone, api: ScriptedApi, seconds: int, said: str, bar: str) -> None:
    now = instant(0)
    asked = waking()["intent"] | {"at": instant(-seconds / 60, datetime.fromisoformat(now))}
    page = phone.look(api, waking(now=now, intent=asked, usual_seconds=100.0))
    expect(page.locator("#so-far")).to_have_text(said)
    expect(page.get_by_role("progressbar")).to_have_attribute("value", bar)


def test_a_wake_shows_its_parts_with_their_times(phone: Phone, api: ScriptedApi) -> None:
    def part(name: str, seconds: float | None, usual: float | None) -> Status:
        began_at = None if seconds is None else instant(-seconds / 60, datetime.fromisoformat(now))
        return {"part": name, "began_at": began_at, "usual_seconds": usual}

    now = instant(0)
    known = [
        part("disks", 35, 24.6),
        part("attach", 8, 5),
        part("start", 8, 0.2),
        part("boot", 3, 40),
        part("server", None, 20),
    ]
    page = phone.look(api, waking(now=now, wake=known))
    rows = page.locator("#parts li")
    expect(rows).to_have_text([
        "Bring its disks back27 s", "EC2 starts it5 s", "It boots3 s of about 40 s",
        "JupyterLab and EC2's checksabout 20 s",
    ])  # fmt: skip
    expect(page.locator("#waiting-for")).to_be_hidden()
    expect(page.locator("[aria-current=step]")).to_contain_text("It boots")
    # What EC2 says is told as soon as it stands in the way; and before the first wake nobody knows how long it takes.
    phone.look_again(
        page, api, waking(now=now, wake=known, hindered_since=now, waiting_for="no capacity for m6a.large")
    )
    expect(rows).to_have_count(0)
    expect(page.locator("#waiting-for")).to_have_text("No capacity for m6a.large")
    first = [part("disks", 35, None), *(part(name, None, None) for name in ("attach", "start", "boot", "server"))]
    phone.look_again(page, api, waking(now=now, wake=first))
    expect(rows).to_have_count(5)
    expect(rows.first).to_have_text("Bring its disks back35 s")


def test_steps_carry_local_times_and_the_zone(phone: Phone, api: ScriptedApi) -> None:
    page = phone.look(api, asleep(steps=[{"at": "2026-11-23T09:00:07Z", "text": "asked EC2 to stop the instance"}]))
    expect(page.locator("#steps-title")).to_have_text("Steps, times in CET")
    expect(page.locator("#steps li")).to_have_text("10:00:07asked EC2 to stop the instance")


def test_the_verdict_shows_its_reasons_and_when_it_would_sleep(phone: Phone, api: ScriptedApi) -> None:
    body = idle(25)
    page = phone.look(api, body)
    due = berlin(body["verdict"]["stop_at"])
    expect(page.locator("#plan")).to_contain_text(re.compile(r"Sleeps at .*if nothing happens \(in 25 min\)"))
    expect(page.locator("#plan")).to_contain_text(due)
    expect(page.locator("#verdict")).to_contain_text("Idle since")
    expect(page.locator("#reasons li")).to_have_text(body["verdict"]["reasons"][1:])
    assert page.locator("html").get_attribute("data-soon") == "no"


def test_only_of_an_idle_one_it_is_told_since_when(phone: Phone, api: ScriptedApi) -> None:
    quiet = idle(20)["verdict"]

    page = phone.look(api, awake(verdict=quiet | {"kind": "active"}))
    expect(page.locator("#verdict")).to_contain_text("In use")
    expect(page.locator("#verdict")).not_to_contain_text("since")
    phone.look_again(page, api, awake(verdict=quiet | {"kind": "unknown"}))
    expect(page.locator("#verdict")).to_contain_text("Unknown")
    expect(page.locator("#verdict")).not_to_contain_text("since")


def test_what_may_be_waiting_is_named_with_the_time_when_it_sleeps(phone: Phone, api: ScriptedApi) -> None:
    doubt = {"name": "prompt", "effect": "doubt", "value": "1 (psql)", "threshold": "for 4 h", "at": None}
    psql = "a program waits for somebody to type (psql)"
    reasons = [f"quiet for 3 h 35 min of 4 h: {psql}", "jobs in terminals: 0", psql]
    verdict = idle(25)["verdict"] | {"kind": "active", "reasons": reasons, "signals": [doubt]}

    page = phone.look(api, awake(verdict=verdict))
    expect(page.locator("#headline")).to_have_text(re.compile(rf"Quiet since .*: {re.escape(psql)}\."))
    expect(page.locator("#plan")).to_contain_text(berlin(verdict["stop_at"]))


def test_a_limit_comes_whoever_works(phone: Phone, api: ScriptedApi) -> None:
    body = idle(25)
    page = phone.look(api, awake(verdict=body["verdict"] | {"kind": "active", "stop_cause": "limit"}))

    expect(page.locator("#plan")).to_contain_text(re.compile(r"Sleeps at .*, even if you work \(in 25 min\)"))


def test_details_are_folded_and_hold_a_table_of_the_signals(phone: Phone, api: ScriptedApi) -> None:
    body = awake()
    page = phone.look(api, body)
    rows = page.locator("#signals tr")
    expect(rows).to_have_count(3)
    expect(rows.first).to_be_hidden()
    page.get_by_text("Details", exact=True).tap()
    expect(page.get_by_role("columnheader")).to_have_text(["Signal", "Effect", "Value", "Limit", "Last work"])
    expect(rows.nth(0).get_by_role("cell")).to_have_text(["processor", "work", "1.42 cores", "0.25 cores", "now"])
    expect(rows.nth(1).get_by_role("cell")).to_have_text(["keyboard", "recent", "at 18:20 UTC", "–", "12 min ago"])
    expect(rows.nth(2)).to_contain_text("at most 30 min more")
    # It stays open, and the page as wide as the phone, whatever the next look brings.
    phone.look_again(page, api, idle(25, verdict=body["verdict"] | {"signals": body["verdict"]["signals"][:1]}))
    expect(rows).to_have_count(1)
    expect(rows.first).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_without_signals_there_is_no_table(phone: Phone, api: ScriptedApi) -> None:
    page = phone.look(api, idle(25))
    page.get_by_text("Details", exact=True).tap()
    expect(page.locator("#verdict-card")).to_be_visible()
    expect(page.locator("#why")).to_be_hidden()


def test_what_was_seen_before_it_slept_is_not_told_of_now(phone: Phone, api: ScriptedApi) -> None:
    page = phone.look(api, asleep(verdict=idle(0)["verdict"]))
    page.get_by_text("Details", exact=True).tap()
    expect(page.locator("#steps-card")).to_be_visible()
    expect(page.locator("#verdict-card")).to_be_hidden()


def test_a_warning_that_was_sent_stands_out(phone: Phone, api: ScriptedApi) -> None:
    warned_at = instant(-3)
    page = phone.look(api, idle(12, warned_at=warned_at))
    expect(page.locator("#plan")).to_contain_text(f"The warning was sent at {berlin(warned_at)}")
    assert page.locator("html").get_attribute("data-soon") == "yes"
    phone.look_again(page, api, idle(12, warned_at=warned_at, keep_awake_until=instant(60)))
    expect(page.locator("#plan")).not_to_contain_text("warning")
    assert page.locator("html").get_attribute("data-soon") == "no"


def test_a_near_sleep_stands_out(phone: Phone, api: ScriptedApi) -> None:
    page = phone.look(api, idle(9))
    assert page.locator("html").get_attribute("data-soon") == "yes"


def test_a_promise_goes_before_the_verdict(phone: Phone, api: ScriptedApi) -> None:
    until = instant(58)
    page = phone.look(api, idle(6, keep_awake_until=until))
    expect(page.locator("#plan li")).to_contain_text([f"{berlin(until)} (in 58 min)", "Then sleeps, unless you work"])
    assert page.locator("html").get_attribute("data-soon") == "no"


def test_a_promise_that_is_over_is_not_shown(phone: Phone, api: ScriptedApi) -> None:
    page = phone.look(api, idle(6, keep_awake_until=instant(-1)))
    expect(page.locator("#plan")).not_to_contain_text("Kept")


def test_what_the_owner_was_told_and_still_holds_is_listed(phone: Phone, api: ScriptedApi) -> None:
    at, text = instant(-90), "snap-1 stays: AWS refused DeleteSnapshot. It costs at most $4.00 a month. <b>"
    page = phone.look(api, awake(told=[{"kind": "housekeeping", "at": at, "text": text}]))
    expect(page.get_by_role("heading", name="You were told")).to_be_visible()
    expect(page.locator("#told li span")).to_contain_text([berlin(at), text])
    phone.look_again(page, api, awake())
    expect(page.locator("#told-card")).to_be_hidden()


def test_what_is_billed_while_it_sleeps_is_said(phone: Phone, api: ScriptedApi) -> None:
    billed = "Billed now: at most $4.10 a month for its snapshots."
    page = phone.look(api, asleep(billed=billed))
    expect(page.locator("#plan li")).to_have_text([billed])
    phone.look_again(page, api, awake(billed=""))
    expect(page.locator("#plan")).not_to_contain_text("Billed")


def test_what_keeps_it_up_is_said(phone: Phone, api: ScriptedApi) -> None:
    page = phone.look(api, awake())
    expect(page.locator("#plan")).to_contain_text("while you work")
    unknown: Status = {"kind": "unknown", "since": None, "at": instant(0), "stop_at": None, "reasons": []}
    phone.look_again(page, api, awake(verdict=unknown))
    expect(page.locator("#plan")).to_contain_text("not knowing is not idle")


def test_another_day_is_named(phone: Phone, api: ScriptedApi) -> None:
    tomorrow = datetime.now(ZoneInfo("Europe/Berlin")) + timedelta(hours=30)
    page = phone.look(api, awake(keep_awake_until=instant(30 * 60)))
    expect(page.locator("#plan")).to_contain_text(f"{tomorrow:%a}")


def test_a_block_says_what_to_do(phone: Phone, api: ScriptedApi) -> None:
    page = phone.look(api, blocked())
    expect(page.locator("#alarms")).to_contain_text("or add other instance types")
    expect(page.locator("#alarms")).to_have_attribute("role", "alert")


def test_cost_and_problems_are_listed(phone: Phone, api: ScriptedApi) -> None:
    page = phone.look(api, asleep(problems=["autostop:idle-after = 'abc' is not a duration"]))
    expect(page.locator("#cost li")).to_have_text(["$3.20now", "$14.10when awake"])
    expect(page.locator("#problems li")).to_have_text(["autostop:idle-after = 'abc' is not a duration"])


@pytest.mark.parametrize(("reach", "url", "says", "command", "then"), [
    ("private", "https://10.0.0.5:8888/lab", "its own network", f"autostop open {WORKSTATION}", ""),
    ("plain", "http://localhost:8888/lab", "not encrypted", "ssh -N -L 8888:localhost:8888 ann@203.0.113.9", "http://localhost:8888/lab"),
    ("local", "https://localhost:8888/lab", "the machine itself", "ssh -N -L 8888:localhost:8888 ann@203.0.113.9", "https://localhost:8888/lab"),
])  # fmt: skip
def test_a_jupyterlab_that_does_not_open_here_tells_its_way(
    phone: Phone, api: ScriptedApi, reach: str, url: str, says: str, command: str, then: str
) -> None:
    page = phone.look(api, awake(jupyter={"url": url, "port": 8888, "reach": reach}, address=PLACE, ssh_user="ann"))
    expect(page.locator("#jupyter")).to_be_hidden()
    expect(page.locator("#way")).to_contain_text(says)
    expect(page.locator("#tunnel")).to_have_text(command)
    expect(page.locator("#tunnelled")).to_contain_text(then)


def test_its_shell_and_its_editor_are_a_tap_away_while_it_runs(phone: Phone, api: ScriptedApi) -> None:
    page = phone.look(api, awake(address=PLACE))
    expect(page.locator("#address")).to_contain_text("203.0.113.9")
    editor = page.get_by_role("link", name="Open in VS Code")
    expect(editor).to_have_attribute("href", "vscode://vscode-remote/ssh-remote+ubuntu@203.0.113.9/home/ubuntu")
    page.evaluate("() => { navigator.clipboard.writeText = async (text) => { window.copied = text; }; }")
    page.get_by_role("button", name="Copy ssh command").tap()
    expect(page.locator("#reason")).to_have_text("Copied: ssh ubuntu@203.0.113.9")
    assert page.evaluate("window.copied") == "ssh ubuntu@203.0.113.9"
    page.evaluate("() => { navigator.clipboard.writeText = async () => { throw new Error('no'); }; }")
    page.get_by_role("button", name="Copy ssh command").tap()
    expect(page.locator("#reason")).to_contain_text("The command is ssh ubuntu@203.0.113.9")
    for body in (asleep(), awake(address=f"{PLACE}; reboot"), awake()):
        phone.look_again(page, api, body)
        expect(page.locator("#ways-card")).to_be_hidden()
        assert page.locator("#vscode").get_attribute("href") is None


def test_jupyterlab_is_the_main_button_when_it_answers(phone: Phone, api: ScriptedApi) -> None:
    page = phone.look(api, awake())
    jupyter = page.get_by_role("link", name="Open JupyterLab")
    expect(jupyter).to_have_attribute("href", "https://203.0.113.9:8888/lab")
    expect(jupyter).to_have_attribute("rel", "noopener noreferrer")
    expect(jupyter).to_have_attribute("referrerpolicy", "no-referrer")


def test_an_address_that_is_not_http_opens_nothing(phone: Phone, api: ScriptedApi) -> None:
    page = phone.look(api, awake())
    for address in ("javascript:alert(1)", " JavaScript:alert(1)", "data:text/html,x", "//evil", "", None, 7, {"a": 1}):
        phone.look_again(page, api, awake())
        expect(page.locator("#jupyter")).to_be_visible()
        phone.look_again(page, api, awake(jupyter={"url": address, "port": 8888, "reach": "open"}))
        expect(page.locator("#jupyter")).to_be_hidden()
        assert page.locator("#jupyter").get_attribute("href") is None


def test_hostile_strings_stay_text(phone: Phone, api: ScriptedApi) -> None:
    signal = {"name": HOSTILE, "effect": HOSTILE, "value": HOSTILE, "threshold": HOSTILE, "at": HOSTILE}
    verdict: Status = {"kind": "idle", "since": HOSTILE, "at": instant(0), "stop_at": HOSTILE, "reasons": [HOSTILE]}
    verdict |= {"signals": [signal]}
    intent = {"number": 1, "wanted": "run", "by": HOSTILE, "at": instant(0), "why": HOSTILE, "settled_at": None}
    told = dict.fromkeys(("name", "headline", "waiting_for", "blocked"), HOSTILE)
    page = phone.look(
        api,
        status("awake", **told, verdict=verdict | {"kind": "active", "reasons": [HOSTILE] * 2}, intent=intent,
               problems=[HOSTILE], steps=[{"at": instant(0), "text": HOSTILE}]),
    )  # fmt: skip
    for part in ("name", "headline", "waiting-for", "blocked", "reasons", "signals", "intent", "problems", "steps"):
        expect(page.locator(f"#{part}")).to_contain_text("<img src=x onerror=alert(1)>")
    assert page.locator("img").count() == 0
    assert page.locator("script").count() == 1
    assert page.locator("a:not(#jupyter, #vscode)").count() == 0


def test_an_answer_of_another_shape_breaks_nothing(phone: Phone, api: ScriptedApi) -> None:
    shapes: list[Any] = [
        {},
        [],
        {
            "phase": 7,
            "steps": [None, 3, {}],
            "verdict": "x",
            "intent": [],
            "cost": None,
            "scopes": "start",
            "problems": 1,
        },
        status("asleep", verdict={"kind": "idle", "signals": [None, 3, {}, {"name": 1}, "x"]}, cost={}),
        status(
            "asleep", steps={"at": 1}, cost={"now": "3", "awake": None}, verdict={"kind": None}, intent={"wanted": "x"}
        ),
    ]
    page = phone.look(api, [])
    for body in shapes:
        phone.look_again(page, api, awake())
        phone.look_again(page, api, body)
        expect(page.locator("#word")).to_have_text("Asleep" if "name" in body else "Unknown")
        expect(page.locator("#cost-card")).to_be_hidden()


def test_a_look_that_brings_nothing_new_leaves_the_document_alone(phone: Phone, api: ScriptedApi) -> None:
    page = phone.look(api, statuses.idle(25))
    page.evaluate(
        "window.changes = 0; new MutationObserver(l => window.changes += l.length)"
        ".observe(document.querySelector('#page'), { subtree: true, childList: true, characterData: true })"
    )
    phone.look_again(page, api)
    assert page.evaluate("window.changes") == 0


def test_the_last_30_days_are_a_picture_with_words_and_a_table(phone: Phone, api: ScriptedApi) -> None:
    now = datetime(2026, 9, 20, 12, 0, tzinfo=ZoneInfo("Europe/Berlin"))

    def at(days: float) -> str:
        return (now - timedelta(days=days)).isoformat()

    runs: list[Status] = [
        {"from": at(29.25), "until": at(28.75), "by": "idle", "why": "idle for 30 minutes"},  # from six to six
        {"from": at(10.25), "until": at(9.25), "by": "idle", "why": "idle for 30 minutes"},  # over a midnight
        {"from": at(3), "until": at(2.5), "by": "owner", "why": "the link"},
        {"from": at(0.125), "until": None, "by": None, "why": None},
    ]
    days: Status = {
        "since": at(30), "now": at(0), "runs": runs, "shelved": [], "hours": {"awake": 51.0, "asleep": 669.0},
        "prices": {"region": "eu-central-1", "at": at(0.5)}, "cost": {"instance": 9.5, "disks": 3.25},
        "saved": {"instance": None, "disks": 4.0},
    }  # fmt: skip
    api.always["days"] = Answer(200, days)
    page = phone.look(api, awake())
    card = page.locator("#days-card")
    expect(page.get_by_role("heading", name="The last 30 days")).to_be_visible()
    picture = page.get_by_role("img", name="The last 30 days Awake 51 h of 720 h.")
    expect(picture.locator("[data-is=day]")).to_have_count(31)
    expect(picture.locator("[data-is=run]")).to_have_count(5)
    first = picture.locator("[data-is=run]").first
    assert [float(first.get_attribute(side) or "") for side in ("y", "height")] == [2 + 6 * 4, 12 * 4]
    expect(card).to_contain_text("Stopped 1 × by you, 2 × because nobody worked.")
    expect(card).to_contain_text("It cost $12.75: its instance $9.50, its disks $3.25.")
    expect(card).to_contain_text("Sleeping saved its instance (price unknown), its disks $4.00.")
    expect(card).to_contain_text(re.compile("By AWS's list prices of eu-central-1, read Sun,? 20 Sept?,? 00:00"))
    card.get_by_text("Each time it ran").tap()
    rows = card.locator("tbody tr")
    expect(rows).to_have_count(4)
    expect(rows.first).to_have_text(re.compile("3 hit runs$"))
    expect(rows.last).to_have_text(re.compile("12 hbecause nobody worked$"))
    # It is asked for once, and what it says of another shape breaks nothing.
    phone.look_again(page, api, idle(25))
    assert [request.path for request in api.requests if request.path.endswith("/days")] == [
        f"/api/workstations/{WORKSTATION}/days"
    ]


@pytest.mark.parametrize("body", [{}, {"runs": [None, {"from": "x"}], "hours": 1, "cost": [], "prices": None}])
def test_days_of_another_shape_break_nothing(phone: Phone, api: ScriptedApi, body: Status) -> None:
    api.always["days"] = Answer(200, body)
    page = phone.look(api, awake())
    expect(page.locator("#days-cost")).to_contain_text("price unknown")


def test_without_days_there_is_no_picture(phone: Phone, api: ScriptedApi) -> None:
    page = phone.look(api, awake())
    phone.drawn(page)
    expect(page.locator("#days-card")).to_be_hidden()
