"""What is posted to show a message on a phone or in a chat, by the URL that its owner gives. Pure.

The URLs are spelled as Apprise spells them, for what people use most; an https one is ntfy's, Discord's or Slack's own.
"""

import base64
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from email.header import Header
from typing import Any, Final
from urllib.parse import SplitResult, unquote, urlsplit

from autostop.harmless import harmless
from autostop.notice import Message, NoticeKind
from autostop.ports import DeniedError

_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})
_URGENT: Final = frozenset({NoticeKind.STOPS_SOON, NoticeKind.SNAPSHOT_LOST})
# Names of emoji, which ntfy puts before the title.
_TAGS: Final = {
    NoticeKind.STOPS_SOON: "zzz",
    NoticeKind.UNKNOWN_FOR_LONG: "question",
    NoticeKind.AWAKE_FOR_LONG: "hourglass",
    NoticeKind.BLOCKED: "construction",
    NoticeKind.SNAPSHOT_LOST: "warning",
    NoticeKind.HOUSEKEEPING: "broom",
    NoticeKind.BAD_SETTING: "label",
    NoticeKind.IS_UP: "sunny",
}


@dataclass(frozen=True, slots=True)
class Posting:
    """One POST. to: https, or http to this very machine."""

    to: SplitResult
    body: bytes
    headers: Mapping[str, str]


def _discord(message: Message, _ids: Sequence[str]) -> Any:
    return {"content": _short(f"{message.title}\n\n{message.text}", 2000), "allowed_mentions": {"parse": []}}


def _slack(message: Message, _ids: Sequence[str]) -> Any:
    return {"text": f"{message.title}\n\n{message.text}", "unfurl_links": False}


def _telegram(message: Message, ids: Sequence[str]) -> Any:
    text = _short(f"{message.title}\n\n{message.text}", 4096)
    return {"chat_id": ids[1], "text": text, "link_preview_options": {"is_disabled": True}}


def _pushover(message: Message, ids: Sequence[str]) -> Any:
    user, token = ids
    shown = {"title": message.title, "message": _short(message.text, 1024), "url": message.url}
    return {"user": user, "token": token, "priority": int(message.kind in _URGENT), **shown}


def _gotify(message: Message, _ids: Sequence[str]) -> Any:
    return {"title": message.title, "message": message.text, "priority": 8 if message.kind in _URGENT else 5}


def _any_json(message: Message, _ids: Sequence[str]) -> Any:
    type_ = "warning" if message.kind in _URGENT else "info"
    return {"version": "1.0", "title": message.title, "message": message.text, "type": type_, "url": message.url}


# Source: Apprise's wiki, and the services' own pages for what they take; read 2026-11-29. None: as ntfy takes it.
_SERVICES: Final[Sequence[tuple[str, str, Callable[[Message, Sequence[str]], Any] | None]]] = (
    (r"(?:discord://|https://discord\.com/api/webhooks/)(\d+)/([\w-]+)/?", "https://discord.com/api/webhooks/{0}/{1}",
     _discord),
    (r"(?:slack://|https://hooks\.slack\.com/services/)(\w+/\w+/\w+)/?", "https://hooks.slack.com/services/{0}",
     _slack),
    (r"tgram://(\d+:[\w-]+)/(-?\w+)/?", "https://api.telegram.org/bot{0}/sendMessage", _telegram),
    (r"pover://(\w+)@(\w+)/?", "https://api.pushover.net/1/messages.json", _pushover),
    (r"gotifys://(.+)/([\w.-]+)/?", "https://{0}/message?token={1}", _gotify),
    (r"json(s?://.+)", "http{0}", _any_json),
    (r"ntfys?://([\w-]+)/?", "https://ntfy.sh/{0}", None),
    (r"ntfys://(.+)", "https://{0}", None),
    (r"(https?://.+)", "{0}", None),
)  # fmt: skip


def posting(url: str, message: Message) -> Posting:
    """What the owner's URL gets. Raises DeniedError with the remedy; it does not repeat the URL, which is a secret."""
    for pattern, address, body_of in _SERVICES:
        if (found := re.fullmatch(pattern, url, re.ASCII)) is not None:
            to = _checked(address.format(*found.groups()))
            headers = {"User-Agent": "autostop", **_login(to)}
            if body_of is None:
                return Posting(to, message.text.encode("utf-8", "replace"), headers | _for_ntfy(message))
            body = json.dumps(body_of(message, found.groups())).encode()
            return Posting(to, body, headers | {"Content-Type": "application/json"})
    raise DeniedError("NoticeUrl is no address; set it to one like https://ntfy.sh/your-secret-topic")


def _short(text: str, most: int) -> str:
    """No longer than a service takes; the end, with the link, stays."""
    head, _, link = text.rpartition("\n\n")
    return text if len(text) <= most else f"{head[: most - len(link) - 3]}…\n\n{link}"


def _checked(url: str) -> SplitResult:
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


def _login(parts: SplitResult) -> dict[str, str]:
    if not (parts.username or parts.password):
        return {}
    login = f"{unquote(parts.username or '')}:{unquote(parts.password or '')}"
    return {"Authorization": f"Basic {base64.b64encode(login.encode()).decode()}"}


def _for_ntfy(message: Message) -> dict[str, str]:
    """Source: https://docs.ntfy.sh/publish/ (read 2026-11-24): title, click, priority, tags, actions."""
    headers = {
        "Title": header(message.title),
        "Click": header(message.url),
        "Priority": "high" if message.kind in _URGENT else "default",
        "Tags": _TAGS[message.kind],
        "Content-Type": "text/plain; charset=utf-8",
    }
    if (button := message.button) is None:
        return headers
    asks = f"http, {button.label}, {button.url}, method=POST, headers.Authorization=Bearer {button.secret}, clear=true"
    return headers | {"Actions": asks}


def header(text: str) -> str:
    """The text as the value of one header: printable ASCII on one line, whatever it was.

    What is not ASCII becomes encoded words of RFC 2047, which ntfy decodes; so does what looks like one.
    """
    line = harmless(text.strip())
    if line.isascii() and "=?" not in line:
        return line
    # Without a line end, the encoded words that folding would put on lines of their own stand side by side.
    return Header(line, "utf-8", maxlinelen=75).encode(linesep="")
