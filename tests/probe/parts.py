"""Something else in the place of what has this name, in each part of the probe that uses it: they are one script."""

from importlib import import_module
from typing import Any

import pytest

from autostop.probe.script import PARTS


def everywhere(patch: pytest.MonkeyPatch, **instead: Any) -> None:
    for part in PARTS:
        module = import_module(f"autostop.probe.{part}")
        for name in instead.keys() & vars(module).keys():
            patch.setattr(module, name, instead[name])
