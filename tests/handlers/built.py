"""The functions as `sam build` makes them, under Lambda's runtime, in an account of the local cloud."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

from autostop_local.deploy import Say, build
from autostop_local.runtime import Runtime, runtime
from tests.handlers.account import VARIABLES
from tests.handlers.functions import ROOT


def built_layer(directory: Path, say: Say) -> Path:
    """Build the template, whatever pip is set to; gives the layer's directory of packages."""
    with patch.dict(os.environ, {"PIP_USER": "1", "PIP_REQUIRE_VIRTUALENV": "1"}):
        build(directory, say=say)
    return directory / "AutostopLayer" / "python"


def variables_in(url: str) -> Mapping[str, str]:
    """What a function is told in the account at this endpoint."""
    return {**VARIABLES, "AWS_ENDPOINT_URL": url}


@contextmanager
def function(name: str, layer: Path, url: str) -> Iterator[Runtime]:
    """One of the functions, not started yet. Its code is what stands in the repository: sam builds the layer only."""
    with runtime(ROOT / "functions" / name, [layer], variables_in(url)) as running:
        yield running
