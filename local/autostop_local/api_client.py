"""Calls to the deployed HTTP API, as a phone or curl would make them."""

import http.client
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_WITHIN_SECONDS = 90.0
# A machine that is busy may give a function no time. It is asked again then, as a person does: the API says that this
# is safe. The page does so by itself.
_OUT_OF_TIME = b"Sandbox.Timedout"
_TRIES = 10


@dataclass(frozen=True, slots=True)
class ApiAnswer:
    """headers: names in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """The body, parsed. Raises ValueError when it is not JSON."""
        return json.loads(self.body)


@dataclass(frozen=True, slots=True)
class ApiClient:
    """host: the API's own name, sent as the Host header, since many machines do not resolve names under localhost."""

    address: str
    port: int
    host: str

    def page(self, workstation: str) -> ApiAnswer:
        """The phone page."""
        return self.call("GET", f"/w/{workstation}")

    def status(self, workstation: str, secret: str) -> ApiAnswer:
        """What the page shows."""
        return self.call("GET", f"/api/workstations/{workstation}", secret=secret)

    def post(self, workstation: str, action: str, secret: str) -> ApiAnswer:
        """`start`, `stop` or `keep-awake`."""
        return self.call("POST", f"/api/workstations/{workstation}/{action}", secret=secret)

    def call(self, method: str, path: str, *, secret: str | None = None, body: bytes | None = None) -> ApiAnswer:
        """Any call. Raises OSError when nobody answers in time."""
        for _ in range(_TRIES):
            if _OUT_OF_TIME not in (answer := self._ask(method, path, secret, body)).body:
                break
        return answer

    def _ask(self, method: str, path: str, secret: str | None, body: bytes | None) -> ApiAnswer:
        headers = {"Host": self.host} | ({"Authorization": f"Bearer {secret}"} if secret is not None else {})
        connection = http.client.HTTPConnection(self.address, self.port, timeout=_WITHIN_SECONDS)
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            named = {name.lower(): value for name, value in answer.getheaders()}
            return ApiAnswer(answer.status, named, answer.read())
        finally:
            connection.close()
