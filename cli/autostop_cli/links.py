"""The commands `link` and `links`: a secret for the phone, shown once, and what becomes of it."""

from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import timedelta
from io import StringIO

import segno

from autostop.app import links
from autostop.aws.codec import to_plain
from autostop.link import Link, Scope
from autostop.model import Instance, WorkstationId, instance_of
from autostop.settings import policy_for
from autostop.spelling import why_not_adopted
from autostop.tags import is_ours
from autostop_cli.account import Account
from autostop_cli.text import FailedError, dated, json_lines, say, table


def adopted(account: Account, workstation: WorkstationId) -> Instance:
    """Its instance. Raises FailedError when EC2 does not know it or nobody adopted it."""
    instance = known_instance(account, workstation)
    if not is_ours(instance.tags):
        why = "".join(f" Its {problem}" for problem in filter(None, [why_not_adopted(instance.tags)]))
        raise FailedError(f"{workstation} is not adopted.{why} Run `autostop adopt {workstation}` first.")
    return instance


def known_instance(account: Account, workstation: WorkstationId) -> Instance:
    """Raises FailedError when EC2 does not know it."""
    instance = account.instances.find(instance_of(workstation))
    if instance is None:
        where = f"{workstation} in {account.ec2.meta.region_name}"
        raise FailedError(f"EC2 knows no instance {where}. Check the id, --region and --profile.")
    return instance


def make_link(
    account: Account,
    workstation: WorkstationId,
    label: str,
    scopes: Sequence[Scope],
    expires_after: timedelta | None,
    *,
    replaces: bool = False,
) -> None:
    """Store a new link, and print its address and QR code. Raises FailedError, TransientError, DeniedError.

    expires_after: None for as its setting links-last says. replaces: withdraw those that had its label.
    """
    instance = adopted(account, workstation)
    expires_after = expires_after or policy_for(account.stack.policy, instance.tags)[0].links_last
    api_url, now = account.stack.api_url, account.clock()
    before = [link for link in account.ledger.links(workstation) if link.label == label] if replaces else []
    new = links.make_link(account.ledger, api_url, workstation, label, scopes, expires_after, now)
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


def show_links(account: Account, workstation: WorkstationId, *, as_json: bool) -> None:
    """Every link that opens it, none with its secret. Raises TransientError, DeniedError."""
    links = _open_links(account, workstation)
    if as_json:
        say(*json_lines([to_plain(replace(link, digest=link.digest[:8])) for link in links]))
        return
    if not links:
        say(f"{workstation} has no link. Make one: autostop link {workstation}")
        return
    zone = account.now(account.instances.find(instance_of(workstation))).tzinfo
    rows = [("LABEL", "MAY", "MADE", "OPENS UNTIL", "LAST USED")]
    for link in links:
        used = dated(link.last_used_at, zone) if link.last_used_at else "never"
        source = f" from {link.last_used_from}" if link.last_used_from else ""
        ends = dated(link.expires_at, zone) if link.expires_at else "you withdraw it"
        may = "everything" if link.scopes == tuple(Scope) else ", ".join(link.scopes)
        rows.append((link.label, may, dated(link.created_at, zone), ends, used + source))
    say(*table(rows))


def withdraw_links(account: Account, workstation: WorkstationId, labels: Collection[str] | None) -> None:
    """Let these open nothing any more; labels: None for all. Raises FailedError, TransientError, DeniedError."""
    links = _open_links(account, workstation)
    for label in labels or ():
        _labelled(links, label)
    for link in links:
        if labels is None or link.label in labels:
            account.ledger.withdraw_link(link)
            say(f"“{link.label}” opens nothing any more.")


def rename_links(account: Account, workstation: WorkstationId, label: str, to: str) -> None:
    """Give the links with a label another. Raises FailedError, TransientError, DeniedError."""
    for link in _labelled(_open_links(account, workstation), label):
        account.ledger.change_link(replace(link, label=to))
    say(f"“{label}” is “{to}” now.")


def _open_links(account: Account, workstation: WorkstationId) -> Sequence[Link]:
    now = account.clock()
    return [link for link in account.ledger.links(workstation) if not link.has_expired(now)]


def _labelled(links: Sequence[Link], label: str) -> Sequence[Link]:
    found = [link for link in links if link.label == label]
    if not found:
        there_are = ", ".join(dict.fromkeys(link.label for link in links)) or "none"
        raise FailedError(f"There is no link “{label}”. There are: {there_are}.")
    return found
