"""A message to the owner's own URL, in the way that ntfy takes it: the text as body, the rest in headers.

Source: https://docs.ntfy.sh/publish/ (read 2026-11-24): title, click, priority, tags; RFC 2047 for other than ASCII.
"""

import base64
import http.client
import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from email.header import Header
from typing import Final
from urllib.parse import SplitResult, unquote, urlsplit

from autostop.notice import Message, NoticeKind
from autostop.ports import DeniedError, TransientError

_LIMIT_SECONDS: Final = 5.0
_PAUSE: Final = timedelta(seconds=1)
_TRIES: Final = 2
_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})
_LATER: Final = frozenset({408, 425, 429})
_PRIORITIES: Final = {NoticeKind.STOPS_SOON: "high", NoticeKind.UNKNOWN_FOR_LONG: "default"}
# Names of emoji, which ntfy puts before the title.
_TAGS: Final = {NoticeKind.STOPS_SOON: "zzz", NoticeKind.UNKNOWN_FOR_LONG: "question"}


@dataclass(frozen=True, slots=True)
class Ntfy:
    """The port `Channel` on a URL. It is a secret, for who knows an ntfy topic can read it: no error repeats it.

    `https` only, and `http` to this very machine, which no network sees. No redirect is followed: the message holds a
    link, which goes to the host that the owner named and to no other. sleep: takes seconds.
    """

    url: str = field(repr=False)
    sleep: Callable[[float], None]
    limit_seconds: float = _LIMIT_SECONDS
    tls: ssl.SSLContext | None = None
    name: Final = "url"

    def send(self, message: Message) -> None:
        """POST it, at most twice. A first one whose answer was lost may have arrived: then it arrives twice."""
        parts = _checked(self.url)
        for tries_left in reversed(range(_TRIES)):
            try:
                return self._post(parts, message)
            except TransientError:
                if not tries_left:
                    raise
                self.sleep(_PAUSE.total_seconds())
        return None

    def _post(self, parts: SplitResult, message: Message) -> None:
        """One POST within the limit, in a thread: no limit of a socket holds for looking up a name too."""
        outcome: list[int | Exception] = []

        def post() -> None:
            try:
                outcome.append(self._status(parts, message))
            except Exception as error:  # noqa: BLE001 - carried over to the thread that waits
                outcome.append(error)

        worker = threading.Thread(target=post, daemon=True)
        worker.start()
        worker.join(self.limit_seconds)
        if not outcome:
            raise TransientError(f"{parts.hostname} did not answer within {self.limit_seconds:g} s")
        [status] = outcome
        if isinstance(status, Exception):
            raise TransientError(f"{parts.hostname} could not be reached: {type(status).__name__}") from None
        _judge(status, str(parts.hostname))

    def _status(self, parts: SplitResult, message: Message) -> int:
        host, port = str(parts.hostname), parts.port
        connection = http.client.HTTPConnection(host, port, timeout=self.limit_seconds)
        if parts.scheme == "https":
            tls = self.tls or ssl.create_default_context()
            connection = http.client.HTTPSConnection(host, port, timeout=self.limit_seconds, context=tls)
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        try:
            connection.request("POST", target, message.text.encode("utf-8", "replace"), _headers(parts, message))
            return connection.getresponse().status
        finally:
            connection.close()


def _checked(url: str) -> SplitResult:
    """The parts of a usable URL. Raises DeniedError with the remedy."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        host = port = None
        parts = SplitResult("", "", "", "", "")
    if not host or port == 0 or not (url.isascii() and url.isprintable() and " " not in url):
        raise DeniedError("NoticeUrl is no address; set it to one like https://ntfy.sh/your-secret-topic")
    if parts.scheme != "https" and not (parts.scheme == "http" and host in _LOOPBACK):
        raise DeniedError("NoticeUrl must begin with https://, as the notice holds a link that works like a key")
    return parts


def _headers(parts: SplitResult, message: Message) -> dict[str, str]:
    headers = {
        "Title": header(message.title),
        "Click": header(message.url),
        "Priority": _PRIORITIES[message.kind],
        "Tags": _TAGS[message.kind],
        "Content-Type": "text/plain; charset=utf-8",
        "User-Agent": "autostop",
    }
    if parts.username or parts.password:
        login = f"{unquote(parts.username or '')}:{unquote(parts.password or '')}"
        headers["Authorization"] = f"Basic {base64.b64encode(login.encode()).decode()}"
    return headers


def header(text: str) -> str:
    """The text as the value of one header: printable ASCII on one line, whatever it was.

    What is not ASCII becomes encoded words of RFC 2047, which ntfy decodes; so does what looks like one.
    """
    line = "".join(each if each.isprintable() else " " for each in text).strip()
    if line.isascii() and "=?" not in line:
        return line
    # Without a line end, the encoded words that folding would put on lines of their own stand side by side.
    return Header(line, "utf-8", maxlinelen=75).encode(linesep="")


def _judge(status: int, host: str) -> None:
    """Raises for every answer but success."""
    if 200 <= status < 300:
        return
    if status >= 500 or status in _LATER:
        raise TransientError(f"{host} answered {status}")
    if 300 <= status < 400:
        raise DeniedError(
            f"{host} sends elsewhere ({status}), which is not followed: set NoticeUrl to the final address"
        )
    raise DeniedError(f"{host} refused it ({status}): look at NoticeUrl, and at who may publish there")
