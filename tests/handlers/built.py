"""The functions as `sam build` makes them, under Lambda's runtime, in an account of the local cloud."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from autostop_local.deploy import Say, build
from autostop_local.runtime import Runtime, runtime
from tests.handlers.account import VARIABLES
from tests.handlers.functions import ROOT


def built_layer(directory: Path, say: Say) -> Path:
    """Build the template; gives the layer's directory of packages."""
    build(directory, say=say)
    return directory / "AutostopLayer" / "python"


@contextmanager
def function(name: str, layer: Path, url: str, other: Mapping[str, str] | None = None) -> Iterator[Runtime]:
    """One of the functions, not started yet. url: of the account; other: variables beside those of events/env.json.

    Their code is what stands in the repository: sam builds the layer only.
    """
    variables = {**VARIABLES, "AWS_ENDPOINT_URL": url, **(other or {})}
    with runtime(ROOT / "functions" / name, [layer], variables) as running:
        yield running
