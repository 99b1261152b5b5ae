from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.app.autostop_at_work import AtWork, at_work
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


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[AtWork]:
    """The product at work in a world, without the command and without HTTP."""
    with at_work(tmp_path / "world", over_http=False) as running:
        yield running
