import gc
import os
from collections.abc import Generator, Iterator
from functools import cache
from pathlib import Path

import botocore.session
import botocore.useragent
import moto.core.responses
import pytest
from hypothesis import HealthCheck, settings
from playwright.sync_api import Playwright, sync_playwright

from tests.app.autostop_at_work import AtWork, at_work
from tests.probe.jupyter_servers import RealServers, real_servers

# Most tests take less time than a session that reads the services' models, or a moto that makes Amazon's images.
botocore.session.create_loader = cache(botocore.session.create_loader)
os.environ["MOTO_EC2_LOAD_DEFAULT_AMIS"] = "false"
# What each call over HTTP works out anew, letter by letter and name by name: a seventh of its time.
for module, name in (
    (botocore.useragent, "sanitize_user_agent_string_component"),
    (moto.core.responses, "method_names_from_class"),
):
    setattr(module, name, cache(getattr(module, name)))

# How long Hypothesis takes says how busy the machine is.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """What is collected lives to the end: to look for garbage in it takes half of the collecting, in each process.

    Later it is looked for at each 50,000 objects that are made, not at each 700: what tests leave is little.
    """
    gc.disable()
    collected = yield
    gc.freeze()
    gc.set_threshold(50_000)
    gc.enable()
    return collected


def pytest_unconfigure() -> None:
    """Then pytest looks for garbage five times, to tell what failed in it: almost two seconds, in each process."""
    gc.freeze()


@pytest.fixture(scope="session")
def playwright() -> Iterator[Playwright]:
    """One for all tests of a process: a second one beside it would not start."""
    with sync_playwright() as running:
        yield running


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[AtWork]:
    """A workstation's world with the product at work in it, without HTTP: nights go by quickly."""
    with at_work(tmp_path / "world", over_http=False) as running:
        yield running


@pytest.fixture
def lab_over_http(tmp_path: Path) -> Iterator[AtWork]:
    """The same, whose calls go through boto3's HTTP, and are tried again by it."""
    with at_work(tmp_path / "world") as running:
        yield running


@pytest.fixture(scope="session")
def jupyters(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealServers]:
    """Real Jupyter servers, started as they are asked for."""
    with real_servers(tmp_path_factory.mktemp("jupyter")) as servers:
        yield servers
