"""Whether the mail address for notices is confirmed at the topic."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from autostop.ports import DeniedError, TransientError

_HOLDS_FOR = timedelta(minutes=10)
# How long AWS keeps an address that nobody confirms: botocore, `Subscribe`.
_PENDING = (
    "Notices by mail do not arrive yet: click the link in the mail that AWS sent to NoticeEmail. It works for two days."
)
_NOBODY = (
    "Notices by mail arrive nowhere: NoticeEmail was not confirmed in time. Subscribe it to the topic again (output "
    "NoticeTopicArn), and click the link in the mail that AWS sends."
)


@dataclass(slots=True)
class MailSubscription:
    """The subscription of the owner's address. ask: as `SnsTopic.subscriptions`. clock: gives aware UTC moments."""

    ask: Callable[[], tuple[int, int]]
    clock: Callable[[], datetime]
    _asked_at: datetime | None = None
    _problem: str | None = None

    def problem(self) -> str | None:
        """Why no mail arrives, and what to do; None when one does. Asked anew when ten minutes have passed."""
        now = self.clock()
        if self._asked_at is None or now - self._asked_at >= _HOLDS_FOR:
            self._asked_at, self._problem = now, self._look()
        return self._problem

    def _look(self) -> str | None:
        try:
            confirmed, pending = self.ask()
        except (TransientError, DeniedError):
            # How a workstation stands is shown all the same, also by an older role that may not ask.
            return None
        if pending:
            return _PENDING
        return None if confirmed else _NOBODY
