"""A notice goes every way there is, with a link that can do no harm."""

import re
from dataclasses import dataclass, field, replace
from datetime import timedelta

import pytest

from autostop.app.links import open_link
from autostop.app.notify import Delivery, NobodyToldError, is_late, notify
from autostop.link import NOTICE_LINK_LASTS, Scope
from autostop.model import WorkstationId
from autostop.notice import Message, Notice, NoticeKind
from autostop.ports import DeniedError, TransientError
from tests.app.autostop_at_work import START, AtWork
from tests.build import row

ID = WorkstationId("i-0123456789abcdef0")
API = "https://api.example"
NOTICE = Notice(NoticeKind.STOPS_SOON, ID, "lab", START, "idle", START + timedelta(minutes=10))


@dataclass
class Way:
    """A channel that keeps what it was given, or fails."""

    name: str
    breaks: Exception | None = None
    got: list[Message] = field(default_factory=list)

    def send(self, message: Message) -> None:
        if self.breaks is not None:
            raise self.breaks
        self.got.append(message)


def secret_in(message: Message) -> str:
    found = re.fullmatch(rf"{re.escape(API)}/w/{ID}#(\S{{43}})", message.url)
    assert found, message.url
    return found[1]


@pytest.mark.parametrize(("notice", "later", "late"), [
    row("just before the stop", NOTICE, timedelta(minutes=10, seconds=-1), False),
    row("at the stop", NOTICE, timedelta(minutes=10), True),
    row("hours later", NOTICE, timedelta(hours=10), True),
    row("a clock that is behind", NOTICE, timedelta(minutes=-1), False),
    row("a notice of no stop", replace(NOTICE, stop_at=None), timedelta(hours=10), False),
])  # fmt: skip
def test_a_warning_is_late_once_its_stop_was_due(notice: Notice, later: timedelta, *, late: bool) -> None:
    assert is_late(notice, START + later) is late


def test_every_way_gets_the_same_link_which_may_look_and_keep_awake_for_a_day(lab: AtWork) -> None:
    mail, phone = Way("mail"), Way("phone")

    assert notify(NOTICE, lab.ledger, [mail, phone], API, lab.clock(), "one") == Delivery(
        sent=("mail", "phone"), failed={}
    )

    assert mail.got == phone.got
    link = open_link(lab.ledger, ID, secret_in(mail.got[0]), lab.clock())
    assert link is not None
    assert (link.label, link.scopes) == ("notice 08:00 UTC", (Scope.STATUS, Scope.KEEP_AWAKE))
    assert link.expires_at == START + NOTICE_LINK_LASTS == START + timedelta(hours=24)


def test_the_secret_is_kept_nowhere(lab: AtWork) -> None:
    phone = Way("phone")

    told = notify(NOTICE, lab.ledger, [phone], API, lab.clock(), "one")

    secret = secret_in(phone.got[0])
    items = [item for item in lab.table.items.values() if secret in str(item) or "document" in item]
    assert secret not in str(lab.table.items)
    item = items[0]
    assert secret not in str(told.as_log())
    # The table lets go of it once it has expired.
    assert item["expires_at"]["N"] == str(int((lab.clock() + NOTICE_LINK_LASTS).timestamp()))


@pytest.mark.parametrize("broken", [TransientError("slow"), DeniedError("no"), RuntimeError("a bug")])
def test_a_way_that_fails_hides_no_other(lab: AtWork, broken: Exception) -> None:
    mail, phone = Way("mail", broken), Way("phone")

    told = notify(NOTICE, lab.ledger, [mail, phone], API, lab.clock(), "one")

    assert told == Delivery(sent=("phone",), failed={"mail": str(broken)})
    assert phone.got


def test_when_all_fail_it_is_an_error_that_says_why(lab: AtWork) -> None:
    ways = [Way("mail", TransientError("slow")), Way("phone", DeniedError("no"))]

    with pytest.raises(NobodyToldError, match="mail: slow; phone: no"):
        notify(NOTICE, lab.ledger, ways, API, lab.clock(), "one")


def test_a_warning_that_comes_after_its_stop_is_not_sent_and_makes_no_link(lab: AtWork) -> None:
    phone = Way("phone")

    told = notify(NOTICE, lab.ledger, [phone], API, START + timedelta(minutes=10), "one")

    assert told == Delivery(late=True)
    assert not phone.got
    assert lab.table.items == {}


def test_an_event_that_came_twice_is_one_notice_and_what_failed_is_tried_again(lab: AtWork) -> None:
    down, phone = Way("phone", TransientError("slow")), Way("phone")

    with pytest.raises(NobodyToldError):
        notify(NOTICE, lab.ledger, [down], API, lab.clock(), "one")
    assert notify(NOTICE, lab.ledger, [phone], API, lab.clock(), "another") == Delivery(again=True)
    assert notify(NOTICE, lab.ledger, [phone], API, lab.clock(), "one").sent == ("phone",)
    assert notify(NOTICE, lab.ledger, [phone], API, lab.clock(), "a third") == Delivery(again=True)

    assert len(phone.got) == 1
    other = replace(NOTICE, stop_at=START + timedelta(minutes=20))
    assert notify(other, lab.ledger, [phone], API, lab.clock(), "a third").sent == ("phone",)


def test_the_lock_screen_gets_a_link_that_keeps_awake_and_nothing_else(lab: AtWork) -> None:
    phone = Way("phone")

    notify(NOTICE, lab.ledger, [phone], API, lab.clock(), "one")
    notify(replace(NOTICE, kind=NoticeKind.BLOCKED), lab.ledger, [phone], API, lab.clock(), "two")

    warning, other = (message.button for message in phone.got)
    assert other is None
    assert warning is not None
    link = open_link(lab.ledger, ID, warning.secret, lab.clock())
    assert link is not None
    assert (link.scopes, link.expires_at) == ((Scope.KEEP_AWAKE,), START + timedelta(hours=24))
    assert warning.url == f"{API}/api/workstations/{ID}/keep-awake"
