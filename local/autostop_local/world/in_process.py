"""boto3 in this process talks to the world: no port, no server.

The way in is moto's one object that answers in place of botocore's HTTP: while the context lasts, its `process_request`
is ours, which hands on to moto's what is not for the world. No class or module of moto or botocore is changed.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any
from unittest.mock import patch
from urllib.parse import urlsplit

from botocore.awsrequest import AWSPreparedRequest
from moto import mock_aws
from moto.core.botocore_stubber import BotocoreStubber
from moto.core.models import botocore_stubber
from moto.core.request import normalize_request

from autostop_local.world import wire


@contextmanager
def answered_in_process(
    call: wire.Call, passed_on: Callable[[wire.Asked, str | None], None], region: str
) -> Iterator[None]:
    """Let every boto3 client of this process reach `call`; `passed_on` is told of what moto answered, and its error."""

    def process_request(prepared: AWSPreparedRequest) -> Any:
        """In place of moto's: gives status, headers and body, or None to let the request out to the network."""
        others = partial(BotocoreStubber.process_request, botocore_stubber)
        if not (urlsplit(prepared.url).hostname or "").endswith((".amazonaws.com", ".api.aws")):
            return others(prepared)
        request = normalize_request(prepared)
        asked = wire.read(request)
        if asked is None:
            return others(prepared)
        answered = wire.answer(request, asked, call)
        if answered is not None:
            return answered
        passed = others(prepared)
        if passed is not None:
            passed_on(asked, wire.error_code(int(passed[0]), passed[2]))
        return passed

    with (
        mock_aws(),
        patch.dict(os.environ, {"AWS_DEFAULT_REGION": region}),
        patch.object(botocore_stubber, "process_request", process_request),
    ):
        yield
