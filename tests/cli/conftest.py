from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.desk import Desk, desk


@pytest.fixture
def at(tmp_path: Path) -> Iterator[Desk]:
    with desk(tmp_path / "world") as made:
        yield made


@pytest.fixture
def near(tmp_path: Path) -> Iterator[Desk]:
    """Without HTTP: nights go by quickly."""
    with desk(tmp_path / "world", over_http=False) as made:
        yield made
