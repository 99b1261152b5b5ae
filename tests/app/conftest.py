"""The use cases are tried without HTTP, but for what is about boto3's own retries."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.app.autostop_at_work import AtWork, at_work


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[AtWork]:
    """A workstation in the world, with the product at work on it."""
    with at_work(tmp_path / "world", over_http=False) as running:
        yield running


@pytest.fixture
def lab_over_http(tmp_path: Path) -> Iterator[AtWork]:
    """The same, whose calls go through boto3's HTTP."""
    with at_work(tmp_path / "world") as running:
        yield running
