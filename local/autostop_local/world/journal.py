"""Every call that reached the world, in order."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any


@dataclass(frozen=True, slots=True)
class Call:
    """One API call.

    service: `ec2`, `ssm` or `cloudwatch`; parameters: as AWS names them; error: AWS's code, None when it went well.
    """

    at: datetime
    service: str
    operation: str
    parameters: Mapping[str, Any]
    error: str | None


class Journal:
    """The calls since it was last cleared, oldest first."""

    def __init__(self) -> None:
        self._calls: list[Call] = []
        self._lock = threading.Lock()

    def add(self, call: Call) -> None:
        with self._lock:
            self._calls.append(call)

    def calls(self, operation: str | None = None) -> list[Call]:
        """The calls, or those of one operation such as `StopInstances`."""
        with self._lock:
            return [call for call in self._calls if operation in (None, call.operation)]

    def clear(self) -> None:
        with self._lock:
            self._calls.clear()
