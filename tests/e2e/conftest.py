"""One cloud on the desk for all end-to-end tests: deploying takes longer than most of them."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from autostop_local.desk import Desk, desk


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """The emulator with the deployed template, and the world with real machines."""
    directory: Path = tmp_path_factory.mktemp("desk")
    with desk(directory, say=print) as running:
        yield running
