"""Messages to the owner's own URL, against a real server."""

import json
import ssl
import time
from collections.abc import Iterator
from dataclasses import replace
from email.header import decode_header, make_header
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autostop.aws.owners_url import OwnersUrl
from autostop.aws.webhook_formats import header, posting
from autostop.harmless import harmless
from autostop.notice import Button, Message, NoticeKind
from autostop.ports import DeniedError, TransientError
from autostop_cli.secret_parameters import parse_url
from autostop_local.world.certificate import make_certificate
from tests.aws.receiver import Receiver, receiving
from tests.hostile import HOSTILE, obeyed

LINK = "https://api.example/w/i-0123456789abcdef0#bWFkZS11cC1zZWNyZXQtZm9yLWV4YW1wbGVzLW9ubHk"
MESSAGE = Message(NoticeKind.STOPS_SOON, "Sleeping at 18:30 UTC: lab", f"idle ä 🧪\n\nKeep it awake: {LINK}", LINK)


@pytest.fixture
def phone() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


def ntfy(url: str, *, pauses: list[float] | None = None, limit: float = 5.0) -> OwnersUrl:
    return OwnersUrl(url, (pauses if pauses is not None else []).append, limit)


def test_the_text_is_the_body_and_the_rest_stands_in_headers(phone: Receiver) -> None:
    ntfy(phone.url).send(MESSAGE)

    [posted] = phone.posted
    assert (posted.method, posted.path, posted.text) == ("POST", "/secret-topic?auth=key", MESSAGE.text)
    headers = posted.headers
    assert (headers["Title"], headers["Click"]) == (MESSAGE.title, LINK)
    assert (headers["Priority"], headers["Tags"]) == ("high", "zzz")


def test_what_is_less_urgent_says_so(phone: Receiver) -> None:
    ntfy(phone.url).send(replace(MESSAGE, kind=NoticeKind.UNKNOWN_FOR_LONG))

    assert phone.posted[0].headers["Priority"] == "default"


def test_a_title_of_any_language_arrives(phone: Receiver) -> None:
    title = "Sleeping at 18:30 UTC: größe лаборатория 🧪 " + "長い名前" * 10

    ntfy(phone.url).send(replace(MESSAGE, title=title))

    on_the_wire = phone.posted[0].headers["Title"]
    assert on_the_wire.isascii()
    assert str(make_header(decode_header(on_the_wire))) == title


def test_a_title_that_looks_encoded_arrives_as_it_is() -> None:
    value = header("=?utf-8?b?eA==?= lab")

    assert str(make_header(decode_header(value))) == "=?utf-8?b?eA==?= lab"


@given(st.text(st.characters()))
def test_a_header_is_one_line_of_printable_ascii_whatever_the_text(text: str) -> None:
    value = header(text)

    assert value.isascii()
    assert value.isprintable()
    assert harmless(text.strip()) in {str(make_header(decode_header(value))), value}


@pytest.mark.parametrize("text", HOSTILE)
def test_nothing_that_others_wrote_is_obeyed_from_a_header(phone: Receiver, text: str) -> None:
    ntfy(phone.url).send(replace(MESSAGE, title=text))

    [posted] = phone.posted
    shown = str(make_header(decode_header(posted.headers["Title"])))
    assert obeyed(shown) == ""
    assert "\n" not in shown
    assert set(posted.headers) == {
        "Host", "Accept-Encoding", "Content-Length", "Title", "Click", "Priority", "Tags", "Content-Type", "User-Agent",
    }  # fmt: skip
    assert posted.text == MESSAGE.text


def test_a_login_in_the_url_becomes_a_header(phone: Receiver) -> None:
    ntfy(phone.url.replace("//", "//:tk%5Ftoken@")).send(MESSAGE)

    assert phone.posted[0].headers["Authorization"] == "Basic OnRrX3Rva2Vu"


@pytest.mark.parametrize("status", [429, 500, 503])
def test_what_may_pass_is_tried_once_more_after_a_pause(phone: Receiver, status: int) -> None:
    pauses: list[float] = []
    phone.answers = [status]

    ntfy(phone.url, pauses=pauses).send(MESSAGE)

    assert (len(phone.posted), pauses) == (2, [1.0])


def test_what_does_not_pass_is_given_up_without_telling_the_secret(phone: Receiver) -> None:
    phone.answers = [503, 503]

    with pytest.raises(TransientError, match=r"127\.0\.0\.1 answered 503") as raised:
        ntfy(phone.url).send(MESSAGE)
    assert "secret-topic" not in str(raised.value)


def test_a_refusal_is_not_repeated_and_says_what_to_look_at(phone: Receiver) -> None:
    phone.answers = [403, 200]

    with pytest.raises(DeniedError, match=r"403.*NoticeUrl"):
        ntfy(phone.url).send(MESSAGE)
    assert len(phone.posted) == 1


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_no_redirect_is_followed(phone: Receiver, status: int) -> None:
    with receiving() as other:
        phone.answers, phone.elsewhere = [status], other.url

        with pytest.raises(DeniedError, match="not followed"):
            ntfy(phone.url).send(MESSAGE)
        assert other.posted == []


def test_a_server_that_hangs_costs_no_more_than_the_limit(phone: Receiver) -> None:
    phone.answers = [0, 0]  # it would hang until the test ends

    with pytest.raises(TransientError, match=r"did not answer within 0\.2 s"):
        ntfy(phone.url, limit=0.2).send(MESSAGE)


def test_a_server_that_is_not_there_is_tried_again_later() -> None:
    with receiving() as gone:
        url = gone.url

    with pytest.raises(TransientError, match="could not be reached: ConnectionRefusedError"):
        ntfy(url).send(MESSAGE)


@pytest.mark.parametrize("url", [
    "", "ntfy.sh/topic", "https://", "https:///topic", "http://ntfy.sh/topic", "http://127.0.0.1.example.com/topic",
    "ftp://ntfy.sh/topic", "file:///etc/passwd", "https://ntfy.sh:0/topic", "https://ntfy.sh:99999/topic",
    "https://ntfy.sh/to pic", "ntfy://ntfy.sh/topic", "mailto://me@example.com", "discord://x/y", "json://example.com/",
    "tgram://token", "slack://T1/A1", "https://ntfy.sh/topic\r\nEvil: 1", "https://[::1/topic", "https://ntfy.sh/tópic",
])  # fmt: skip
def test_an_address_that_cannot_be_used_is_refused_with_the_remedy(url: str) -> None:
    with pytest.raises(DeniedError, match="NoticeUrl"):
        ntfy(url).send(MESSAGE)


def test_the_lock_screens_button_is_an_action(phone: Receiver) -> None:
    button = Button("Keep awake", "https://api.example/api/workstations/i-0123456789abcdef0/keep-awake", "c2VjcmV0")
    ntfy(phone.url).send(replace(MESSAGE, button=button))

    assert phone.posted[0].headers["Actions"] == (
        "http, Keep awake, https://api.example/api/workstations/i-0123456789abcdef0/keep-awake, method=POST, "
        "headers.Authorization=Bearer c2VjcmV0, clear=true"
    )


@pytest.mark.parametrize(("url", "to", "said"), [
    ("ntfy://topic", "https://ntfy.sh/topic", None),
    ("ntfys://user:pass@ntfy.example.com/topic", "https://user:pass@ntfy.example.com/topic", None),
    ("https://ntfy.sh/topic", "https://ntfy.sh/topic", None),
    ("discord://417/JHMHI8q_V-s/", "https://discord.com/api/webhooks/417/JHMHI8q_V-s", "content"),
    ("https://discord.com/api/webhooks/417/JHMHI8", "https://discord.com/api/webhooks/417/JHMHI8", "content"),
    ("slack://T1JJ3T3L2/A1BRTD4JD/TIiajk", "https://hooks.slack.com/services/T1JJ3T3L2/A1BRTD4JD/TIiajk", "text"),
    ("https://hooks.slack.com/services/T1/A1/TI", "https://hooks.slack.com/services/T1/A1/TI", "text"),
    ("tgram://123:abc_de-f/-12315544/", "https://api.telegram.org/bot123:abc_de-f/sendMessage", "text"),
    ("pover://user@token", "https://api.pushover.net/1/messages.json", "message"),
    ("gotifys://gotify.example.com:8443/a/To.x", "https://gotify.example.com:8443/a/message?token=To.x", "message"),
    ("jsons://chat.example.com/hook?key=1", "https://chat.example.com/hook?key=1", "message"),
    ("json://127.0.0.1:8080/hook", "http://127.0.0.1:8080/hook", "message"),
])  # fmt: skip
def test_a_url_as_apprise_spells_it_is_posted_as_its_service_takes_it(url: str, to: str, said: str | None) -> None:
    long = replace(MESSAGE, text=f"{'x' * 5000}\n\nKeep it awake: {LINK}")
    for message in (MESSAGE, long):
        posted = posting(url, message)
        assert posted.to.geturl() == to
        text = posted.body.decode() if said is None else json.loads(posted.body)[said]
        assert text.endswith(f"Keep it awake: {LINK}")
        assert len(text) <= {"content": 2000}.get(said or "", 6000)
    assert parse_url(url) == url


def test_the_url_is_in_no_representation() -> None:
    assert "secret-topic" not in repr(ntfy("https://ntfy.sh/secret-topic"))


def test_tls_is_verified(tmp_path: Path) -> None:
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    make_certificate(certificate, key, name="ntfy")
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(certificate, key)
    with receiving(server) as phone:
        with pytest.raises(TransientError, match="SSLCertVerificationError"):
            ntfy(phone.url).send(MESSAGE)
        assert phone.posted == []

        trusting = ssl.create_default_context(cafile=str(certificate))
        OwnersUrl(phone.url, time.sleep, tls=trusting).send(MESSAGE)
        assert phone.posted[0].text == MESSAGE.text
