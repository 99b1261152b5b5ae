"""What the tests of the adapters share: a workstation in the world, and real Jupyter servers."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.adapters.jupyter_servers import RealServers, real_servers
from tests.usecases.autostop_at_work import AtWork, at_work


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[AtWork]:
    with at_work(tmp_path / "world") as running:
        yield running


@pytest.fixture(scope="session")
def jupyters(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealServers]:
    with real_servers(tmp_path_factory.mktemp("jupyter")) as servers:
        yield servers
