"""The commands `link` and `links`: a secret for the phone, shown once, and what becomes of it."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from io import StringIO
from typing import Final

import click
import segno

from autostop.app import links
from autostop.aws.codec import to_plain
from autostop.link import Link, Scope
from autostop.model import WorkstationId
from autostop_cli.account import Account
from autostop_cli.arguments import DURATION, Word, an_instance, as_json
from autostop_cli.naming import adopted
from autostop_cli.terminal import FailedError, dated, json_lines, say, table

_LONGEST_LABEL: Final = 40


def _label(text: str) -> str:
    label = text.strip()
    if not label.isprintable() or not 0 < len(label) <= _LONGEST_LABEL:
        raise ValueError(f"is not 1 to {_LONGEST_LABEL} printable characters")
    return label


_LABEL: Final = Word("text", _label)


@an_instance
@click.option("--label", default="phone", show_default=True, type=_LABEL, help="Whose or what it is, for you.")
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    type=click.Choice([each.value for each in Scope]),
    help="What it may be used for; give it several times. Without: everything.",
)
@click.option("--expires", type=DURATION, help="After how long it opens nothing, such as 90d; else as links-last says.")
@click.option("--replace", "replaces", is_flag=True, help="Withdraw the links that had this label.")
def make_link(
    account: Account,
    workstation: WorkstationId,
    label: str = "phone",
    scopes: Sequence[str] = (),
    expires: timedelta | None = None,
    *,
    replaces: bool = False,
) -> None:
    """Make a new link that opens the phone page of an INSTANCE, and show it as a QR code, once."""
    instance = adopted(account, workstation)
    allowed = [Scope(each) for each in scopes] or tuple(Scope)
    expires_after = expires or account.policy(instance).links_last
    api_url, now = account.stack.api_url, account.clock()
    before = [link for link in account.ledger.links(workstation) if link.label == label] if replaces else []
    new = links.make_link(account.ledger, api_url, workstation, label, allowed, expires_after, now)
    for link in before:
        account.ledger.withdraw_link(link)
    code = StringIO()
    segno.make(new.url, micro=False).terminal(out=code, compact=True)
    zone, ends_at = account.now(instance).tzinfo, new.link.expires_at
    until = f"until {dated(ends_at, zone)}" if ends_at else "and does not expire"
    say(*code.getvalue().split("\n"), new.url, "")
    say(f"It is shown only this once: open it on the phone now. It may: {', '.join(new.link.scopes)}, {until}.")
    say("Whoever has it can do the same; Autostop keeps only its fingerprint.")
    if Scope.STATUS not in new.link.scopes:
        say("Note: without the scope status the page cannot show how things stand.", err=True)


@an_instance
@click.option("--withdraw", "labels", multiple=True, help="Let the links with this label open nothing any more.")
@click.option("--withdraw-all", is_flag=True, help="Let no link open it any more.")
@click.option("--rename", nargs=2, type=_LABEL, help="Give the links with a label another.")
@as_json("For programs.")
def manage_links(
    account: Account,
    workstation: WorkstationId,
    *,
    labels: tuple[str, ...],
    withdraw_all: bool,
    rename: tuple[str, str] | None,
    as_json: bool,
) -> None:
    """Show the links of an INSTANCE, when and from where each was used last, or withdraw or rename them.

    The label says which; a page that is open with a withdrawn one is refused at its next look.
    """
    now = account.clock()
    links = [link for link in account.ledger.links(workstation) if not link.has_expired(now)]
    if labels or withdraw_all:
        going = links if withdraw_all else [link for label in labels for link in _labelled(links, label)]
        for link in links:
            if link in going:
                account.ledger.withdraw_link(link)
                say(f"“{link.label}” opens nothing any more.")
    elif rename:
        before, after = rename
        for link in _labelled(links, before):
            account.ledger.change_link(replace(link, label=after))
        say(f"“{before}” is “{after}” now.")
    elif as_json:
        say(*json_lines([to_plain(replace(link, digest=link.digest[:8])) for link in links]))
    else:
        _show_links(account, workstation, links)


def _show_links(account: Account, workstation: WorkstationId, links: Sequence[Link]) -> None:
    """None with its secret."""
    if not links:
        say(f"{workstation} has no link. Make one: autostop link {workstation}")
        return
    zone = account.now_of(workstation).tzinfo
    rows = [("LABEL", "MAY", "MADE", "OPENS UNTIL", "LAST USED")]
    for link in links:
        used = dated(link.last_used_at, zone) if link.last_used_at else "never"
        source = f" from {link.last_used_from}" if link.last_used_from else ""
        ends = dated(link.expires_at, zone) if link.expires_at else "you withdraw it"
        may = "everything" if link.scopes == tuple(Scope) else ", ".join(link.scopes)
        rows.append((link.label, may, dated(link.created_at, zone), ends, used + source))
    say(*table(rows))


def _labelled(links: Sequence[Link], label: str) -> Sequence[Link]:
    found = [link for link in links if link.label == label]
    if not found:
        there_are = ", ".join(dict.fromkeys(link.label for link in links)) or "none"
        raise FailedError(f"There is no link “{label}”. There are: {there_are}.")
    return found
