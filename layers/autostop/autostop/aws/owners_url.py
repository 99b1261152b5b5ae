"""An owner's URL as a way to be told: which one, and how it is posted to."""

import http.client
import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from autostop.aws.errors import AlreadySo, aws_errors
from autostop.aws.webhook_formats import Posting, posting
from autostop.model import WorkstationId
from autostop.notice import Message
from autostop.ports import DeniedError, TransientError

if TYPE_CHECKING:
    from mypy_boto3_ssm import SSMClient

_LIMIT_SECONDS: Final = 5.0
_PAUSE: Final = timedelta(seconds=1)
_TRIES: Final = 2
_LATER: Final = frozenset({408, 425, 429})


def notice_name(workstation: WorkstationId) -> str:
    """The SSM parameter (SecureString) that holds the URL for the notices of one workstation."""
    return f"/autostop/{workstation}/notice-url"


def notice_url(ssm: "SSMClient", workstation: WorkstationId, of_stack: str | None) -> str | None:
    """Where its notices go: the name of its own parameter where there is one, else what the stack says.

    Of what cannot be read it is the name too: the channel says what is wrong with it, and hides no other.
    """
    own = notice_name(workstation)
    try:
        with aws_errors(), AlreadySo("ParameterNotFound"):
            ssm.get_parameter(Name=own)
            return own
    except (TransientError, DeniedError):
        return own
    return of_stack


@dataclass(frozen=True, slots=True)
class OwnersUrl:
    """The port `Channel` on a URL of the owner's, which `webhook_formats` knows how to post to.

    The URL is a secret, for who knows an ntfy topic can read it: no error repeats it. No redirect is followed: the
    message holds a link, which goes to the host that the owner named and to no other. sleep: takes seconds.
    """

    url: str = field(repr=False)  # or the name of the SSM parameter that holds it
    sleep: Callable[[float], None]
    limit_seconds: float = _LIMIT_SECONDS
    tls: ssl.SSLContext | None = None
    ssm: "SSMClient | None" = None
    name: Final = "url"

    def send(self, message: Message) -> None:
        """POST it, at most twice. A first one whose answer was lost may have arrived: then it arrives twice."""
        post = posting(self._address(), message)
        for tries_left in reversed(range(_TRIES)):
            try:
                return self._post(post)
            except TransientError:
                if not tries_left:
                    raise
                self.sleep(_PAUSE.total_seconds())
        return None

    def _address(self) -> str:
        """Read anew each time: notices are few, and the owner may have changed it."""
        if self.ssm is None or not self.url.startswith("/"):
            return self.url
        with aws_errors():
            return self.ssm.get_parameter(Name=self.url, WithDecryption=True)["Parameter"].get("Value", "").strip()

    def _post(self, posting: Posting) -> None:
        """One POST within the limit, in a thread: no limit of a socket holds for looking up a name too."""
        outcome: list[int | Exception] = []
        host = posting.to.hostname

        def post() -> None:
            try:
                outcome.append(self._status(posting))
            except Exception as error:  # noqa: BLE001 - carried over to the thread that waits
                outcome.append(error)

        worker = threading.Thread(target=post, daemon=True)
        worker.start()
        worker.join(self.limit_seconds)
        if not outcome or isinstance(outcome[0], TimeoutError):
            raise TransientError(f"{host} did not answer within {self.limit_seconds:g} s")
        [status] = outcome
        if isinstance(status, Exception):
            raise TransientError(f"{host} could not be reached: {type(status).__name__}") from None
        _judge(status, str(host))

    def _status(self, posting: Posting) -> int:
        parts = posting.to
        host, port = str(parts.hostname), parts.port
        connection = http.client.HTTPConnection(host, port, timeout=self.limit_seconds)
        if parts.scheme == "https":
            tls = self.tls or ssl.create_default_context()
            connection = http.client.HTTPSConnection(host, port, timeout=self.limit_seconds, context=tls)
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        try:
            connection.request("POST", target, posting.body, dict(posting.headers))
            return connection.getresponse().status
        finally:
            connection.close()


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
