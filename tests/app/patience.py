"""Retries of the SDK, as patient as they can be, on the world's clock instead of the one on the wall."""

from collections.abc import Generator
from contextlib import contextmanager
from datetime import timedelta
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import botocore.endpoint
from botocore.retries.quota import RetryQuota
from botocore.retries.standard import ExponentialBackoff

from tests.app.autostop_at_work import AtWork


@contextmanager
def patient(lab: AtWork) -> Generator[None, None, None]:
    """Within it each retry waits as long as it ever may, and no time passes in truth."""

    def sleep(seconds: float) -> None:
        lab.clock.advance(timedelta(seconds=seconds))

    def longest(_self: ExponentialBackoff, context: Any) -> float:
        return float(min(2 ** (context.attempt_number - 1), 20))

    with (
        patch.object(botocore.endpoint, "time", SimpleNamespace(sleep=sleep)),
        patch.object(ExponentialBackoff, "delay_amount", longest),
        patch.object(RetryQuota, "acquire", lambda *_: True),
    ):
        yield
