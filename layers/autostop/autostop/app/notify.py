"""Bring a notice to people, by every way there is."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from autostop.app.links import make_link
from autostop.link import Scope
from autostop.notice import Notice, message_of
from autostop.ports import Channel

if TYPE_CHECKING:
    from autostop.aws.table import DynamoLedger

LINK_LASTS = timedelta(hours=24)
# No start: a notice that is forwarded, or read late, can never start a machine.
_SCOPES = (Scope.STATUS, Scope.KEEP_AWAKE)


class NobodyToldError(Exception):
    """Every way failed, or there is none; the text says which failed and why."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """What became of a notice. late: it was not sent. sent: names of channels. failed: why, by channel."""

    late: bool = False
    sent: tuple[str, ...] = ()
    failed: Mapping[str, str] | None = None

    def as_log(self) -> dict[str, object]:
        """The same as plain data, without a secret."""
        return {"late": self.late, "sent": list(self.sent), "failed": dict(self.failed or {})}


def notify(
    notice: Notice, ledger: "DynamoLedger", channels: Sequence[Channel], api_url: str, now: datetime
) -> Delivery:
    """Send a notice with a fresh link, unless the stop it warns of was due already.

    The link is made here and not where the notice was, so that no event carries a secret. Nothing is remembered of what
    was sent: an event that EventBridge delivers twice is sent twice, each time with a link of its own. A channel
    that fails hides no other. Raises NobodyToldError when all fail, so that Lambda tries again; TransientError,
    DeniedError when there is no link to be had.
    """
    if notice.is_late(now):
        return Delivery(late=True)
    new = make_link(ledger, api_url, notice.workstation, notice.label, _SCOPES, LINK_LASTS, now)
    message = message_of(notice, new.url)
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
