from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.usecases.autostop_at_work import AtWork, at_work


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[AtWork]:
    with at_work(tmp_path / "world") as running:
        yield running
