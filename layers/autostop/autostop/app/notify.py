"""Bring a notice to people, by every way there is."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from autostop.app.links import make_link
from autostop.link import NOTICE_LINK_LASTS, SCOPES_OF_A_LOCK_SCREEN, SCOPES_OF_A_NOTICE
from autostop.model import WorkstationId
from autostop.notice import Button, Notice, NoticeKind, message_of
from autostop.ports import Channel

if TYPE_CHECKING:
    from autostop.aws.ledger import DynamoLedger

# Longer than EventBridge and Lambda try, and as long as what comes and goes is no news.
_SENT_FOR = timedelta(hours=6)


class NobodyToldError(Exception):
    """Every way failed, or there is none; the text says which failed and why."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """What became of a notice. late, again: it was not sent. sent: names of channels. failed: why, by channel."""

    late: bool = False
    again: bool = False
    sent: tuple[str, ...] = ()
    failed: Mapping[str, str] | None = None

    def as_log(self) -> dict[str, object]:
        """The same as plain data, without a secret."""
        return {"late": self.late, "again": self.again, "sent": list(self.sent), "failed": dict(self.failed or {})}


def notify(
    notice: Notice, ledger: "DynamoLedger", channels: Sequence[Channel], api_url: str, now: datetime, holder: str
) -> Delivery:
    """Send a notice with a fresh link, unless the stop it warns of was due already, or another told of the same.

    The link is made here and not where the notice was, so that no event carries a secret. holder: this invocation, by
    the name that Lambda keeps when it tries again: what it began it may finish. A channel that fails hides no other.
    Raises NobodyToldError when all fail, so that Lambda tries again; TransientError, DeniedError when there is no link
    to be had.
    """
    if is_late(notice, now):
        return Delivery(late=True)
    if not ledger.take_lease(WorkstationId(f"notice {notice.key}"), holder, now, now + _SENT_FOR):
        return Delivery(again=True)
    asked = (ledger, api_url, notice.workstation)
    new, button = make_link(*asked, notice.label, SCOPES_OF_A_NOTICE, NOTICE_LINK_LASTS, now), None
    if notice.kind is NoticeKind.STOPS_SOON:
        label = f"{notice.label}, lock screen"
        locked = make_link(*asked, label, SCOPES_OF_A_LOCK_SCREEN, NOTICE_LINK_LASTS, now)
        url = f"{api_url}/api/workstations/{notice.workstation}/keep-awake"
        button = Button("Keep awake", url, locked.url.partition("#")[2])
    message = message_of(notice, new.url, button)
    sent: list[str] = []
    failed: dict[str, str] = {}
    for channel in channels:
        try:
            channel.send(message)
        except Exception as error:  # noqa: BLE001 - one channel in a loop: whatever breaks it, the next is tried
            failed[channel.name] = str(error) or type(error).__name__
        else:
            sent.append(channel.name)
    if not sent:
        raise NobodyToldError("; ".join(f"{name}: {why}" for name, why in failed.items()) or "there is no channel")
    return Delivery(sent=tuple(sent), failed=failed)


def is_late(notice: Notice, now: datetime) -> bool:
    """True when the stop it warns of was due already: the owner could do nothing with it any more."""
    return notice.stop_at is not None and now >= notice.stop_at
