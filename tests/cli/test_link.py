"""`autostop link`: the secret is shown once, and kept nowhere."""

import re
from datetime import timedelta

import pytest

from autostop.link import Scope, is_secret
from autostop.model import workstation_of
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
    link = at.account.owner.link(at.account.instances.tagged()[0].workstation, secret)
    assert link is not None
    assert (link.label, link.scopes, link.expires_at) == ("phone", tuple(Scope), None)
    assert "only this once" in result.output
    assert "▀" in result.output or "█" in result.output


def test_secret_is_not_stored(at: Desk) -> None:
    _, secret = url_in(at.run("link", at.adopted()).output)
    items = at.account.session.client("dynamodb").scan(TableName=at.account.stack.table)["Items"]
    assert len(items) == 1
    assert secret not in str(items)


def test_two_links_are_two_secrets(at: Desk) -> None:
    lab = at.adopted()
    first, second = (url_in(at.run("link", lab).output)[1] for _ in range(2))
    assert first != second


def test_label_scopes_and_expiry(at: Desk) -> None:
    lab = at.adopted()
    result = at.run("link", lab, "--label", "Ada", "--scope", "start", "--scope", "status", "--expires", "90d")
    _, secret = url_in(result.output)
    assert "until 2027-02-21 09:05 UTC" in result.output
    workstation = at.account.instances.tagged()[0].id
    link = at.account.owner.link(workstation_of(workstation), secret)
    assert link is not None
    assert (link.label, link.scopes) == ("Ada", (Scope.STATUS, Scope.START))
    at.clock.advance(timedelta(days=90))
    assert at.account.owner.link(workstation_of(workstation), secret) is None


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
