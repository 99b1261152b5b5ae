"""stub while being written"""

from collections.abc import Callable
from datetime import datetime

from autostop.domain.reading import Reading, Unread


class HttpsJupyter:
    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now

    def ask(
        self, address: str, port: int, token: str, certificate_sha256: str, base_url: str = "/"
    ) -> Reading | Unread:
        raise NotImplementedError

    def answers(self, address: str, port: int, certificate_sha256: str | None) -> bool:
        raise NotImplementedError
