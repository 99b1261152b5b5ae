"""`autostop link` and `autostop links`: a secret is shown once and kept nowhere, and a lost one opens nothing again."""

import json
import re
from datetime import timedelta

import pytest

from autostop.app.links import open_link
from autostop.link import Link, Scope, is_secret
from autostop.model import InstanceId, workstation_of
from tests.cli.desk import API_URL, Desk

_URL = re.compile(rf"^{re.escape(API_URL)}/w/(i-[0-9a-f]+)#(\S+)$", re.MULTILINE)


def url_in(output: str) -> tuple[str, str]:
    found = _URL.search(output)
    assert found, output
    return found[1], found[2]


def test_link_opens_the_workstation(at: Desk) -> None:
    lab = at.adopted()
    result = at.run("link", lab)
    assert result.exit_code == 0, result.output
    shown, secret = url_in(result.output)
    assert shown == lab
    assert is_secret(secret)
    link = open_link(at.account.ledger, at.account.instances.tagged()[0].workstation, secret, at.clock())
    assert link is not None
    assert (link.label, link.scopes, link.expires_at) == ("phone", tuple(Scope), None)
    assert "only this once" in result.output
    assert "▀" in result.output or "█" in result.output


def test_label_scopes_and_expiry(at: Desk) -> None:
    lab = at.adopted()
    result = at.run("link", lab, "--label", "Ada", "--scope", "start", "--scope", "status", "--expires", "90d")
    _, secret = url_in(result.output)
    assert "until 2027-02-21 09:05 UTC" in result.output
    workstation = at.account.instances.tagged()[0].id
    link = open_link(at.account.ledger, workstation_of(workstation), secret, at.clock())
    assert link is not None
    assert (link.label, link.scopes) == ("Ada", (Scope.STATUS, Scope.START))
    at.clock.advance(timedelta(days=90))
    assert open_link(at.account.ledger, workstation_of(workstation), secret, at.clock()) is None
    at.lab.world.tag(lab, {"autostop:links-last": "7d"})
    assert "until 2027-02-28 09:05 UTC" in at.run("link", lab).output


@pytest.mark.parametrize(
    "words",
    [["--expires", "0"], ["--expires", "soon"], ["--scope", "root"], ["--label", "a\x1bb"], ["--label", " "]],
    ids=" ".join,
)
def test_bad_options_are_usage_errors(at: Desk, words: list[str]) -> None:
    result = at.run("link", "i-0123456789abcdef0", *words)
    assert result.exit_code == 2
    assert at.world.journal.calls() == []


def test_what_is_no_workstation_gets_no_link(at: Desk) -> None:
    unknown = at.run("link", "i-0123456789abcdef0")
    foreign = at.run("link", at.launch())
    assert (unknown.exit_code, foreign.exit_code) == (1, 1)
    assert "EC2 knows no instance" in unknown.output
    assert "is not adopted" in foreign.output
    assert "#" not in unknown.output + foreign.output


def opened(at: Desk, lab: str, secret: str, source: str = "203.0.113.7") -> Link | None:
    return open_link(at.account.ledger, workstation_of(InstanceId(lab)), secret, at.clock(), source)


def test_links_tell_whose_they_are_and_from_where_they_were_used_last(at: Desk) -> None:
    lab = at.adopted()
    assert "has no link" in at.run("links", lab).output
    phone = url_in(at.run("link", lab).output)[1]
    at.clock.advance(timedelta(minutes=1))
    at.run("link", lab, "--label", "a notice", "--scope", "status", "--expires", "1d")
    at.clock.advance(timedelta(hours=1))
    assert opened(at, lab, phone)

    shown = at.run("links", lab).output
    assert "2026-11-23 10:06 UTC from 203.0.113.7" in shown
    assert "2026-11-24 09:06 UTC" in shown
    assert phone not in shown
    told = json.loads(at.run("links", lab, "--json").stdout)
    assert [(each["label"], each["scopes"], each["last_used_from"]) for each in told] == [
        ("phone", ["status", "start", "stop", "keep-awake"], "203.0.113.7"),
        ("a notice", ["status"], None),
    ]
    at.clock.advance(timedelta(days=1))
    assert "a notice" not in at.run("links", lab).output


def test_a_lost_phone_is_one_command(at: Desk) -> None:
    lab = at.adopted()
    tablet = url_in(at.run("link", lab, "--label", "tablet").output)[1]
    at.clock.advance(timedelta(minutes=1))
    phone = url_in(at.run("link", lab).output)[1]

    unknown = at.run("links", lab, "--withdraw", "fone")
    assert unknown.exit_code == 1
    assert "There is no link “fone”. There are: tablet, phone" in unknown.output
    assert at.run("links", lab, "--withdraw", "phone").exit_code == 0
    assert opened(at, lab, phone) is None
    assert opened(at, lab, tablet)
    assert at.run("links", lab, "--withdraw-all").exit_code == 0
    assert opened(at, lab, tablet) is None
    # Again is no error, and a page that was open does not bring it back.
    assert at.run("links", lab, "--withdraw-all").exit_code == 0


def test_a_link_is_replaced_and_renamed(at: Desk) -> None:
    lab = at.adopted()
    first = url_in(at.run("link", lab).output)[1]
    second = url_in(at.run("link", lab, "--replace").output)[1]
    assert (opened(at, lab, first), opened(at, lab, second) is not None) == (None, True)
    assert at.run("links", lab, "--rename", "phone", "old phone").exit_code == 0
    link = opened(at, lab, second)
    assert link is not None
    assert link.label == "old phone"
    assert at.run("links", lab, "--rename", "phone", "x").exit_code == 1
