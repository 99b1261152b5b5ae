"""What the tests of the command share."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.desk import Desk, desk


@pytest.fixture
def at(tmp_path: Path) -> Iterator[Desk]:
    with desk(tmp_path / "world") as made:
        yield made
