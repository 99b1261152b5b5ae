"""The domain imports the standard library, itself and one pure library; the probe the standard library alone.

import-linter keeps the layers, but cannot name "all that is not the standard library"; this reads the sources instead.
The probe is sent to the workstation as text and runs there on whatever Python it has, so it may not even import the
domain.
"""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from autostop.probe.script import script
from tests.build import row

PACKAGE = Path(__file__).parents[1] / "layers" / "autostop" / "autostop"
OUTSIDE = {"ports.py", "http_api.py", "queue_messages.py"}
DOMAIN = sorted(
    [
        *(PACKAGE / "idle").glob("*.py"),
        *(PACKAGE / "sleep").glob("*.py"),
        *(path for path in PACKAGE.glob("*.py") if path.name not in OUTSIDE),
    ]
)
# What reads cron expressions: calculation only, without a clock, a file or a network.
ALSO = {"schedule": ["cronsim"]}


def imported(source: str) -> Iterator[str]:
    """Names of the modules that `source` imports anywhere, inside functions too; a relative import keeps its dots."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield "." * node.level + (node.module or "")


def foreign(source: str, *, own: str | None) -> list[str]:
    """Imports of `source` that are neither of the standard library nor of the package `own`."""
    return [
        name
        for name in imported(source)
        if name.partition(".")[0] not in sys.stdlib_module_names
        and not (own and (name == own or name.startswith(f"{own}.")))
    ]


@pytest.mark.parametrize("path", DOMAIN, ids=lambda path: path.stem)
def test_the_domain_imports_only_the_standard_library_and_itself(path: Path) -> None:
    assert foreign(path.read_text(encoding="utf-8"), own="autostop") == ALSO.get(path.stem, [])


def test_the_probe_imports_only_the_standard_library() -> None:
    assert foreign(script(), own=None) == []


@pytest.mark.parametrize(("source", "expected"), [
    row("a package", "import boto3", ["boto3"]),
    row("inside a function", "def f():\n    from botocore.client import Config", ["botocore.client"]),
    row("a name that only begins alike", "from autostop_cli import text", ["autostop_cli"]),
    row("an outer layer, by dots", "from ..aws import ec2", ["..aws"]),
    row("what is allowed", "import os.path, autostop.sleep.law", []),
])  # fmt: skip
def test_a_foreign_import_is_seen(source: str, expected: list[str]) -> None:
    assert foreign(source, own="autostop") == expected
