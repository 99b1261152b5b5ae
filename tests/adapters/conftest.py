"""What the tests of the adapters share."""

from collections.abc import Iterator

import pytest

from tests.adapters.jupyter_servers import RealServers, real_servers


@pytest.fixture(scope="session")
def jupyters(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealServers]:
    with real_servers(tmp_path_factory.mktemp("jupyter")) as servers:
        yield servers
