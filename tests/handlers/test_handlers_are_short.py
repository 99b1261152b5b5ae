"""A handler parses, calls one use case, answers: when it grows past a page, something in it belongs elsewhere."""

from pathlib import Path

import pytest

MOST_LINES = 60
HANDLERS = sorted((Path(__file__).parents[2] / "functions").glob("*/app.py"))


def test_there_are_handlers() -> None:
    assert HANDLERS


@pytest.mark.parametrize("path", HANDLERS, ids=lambda path: path.parent.name)
def test_a_handler_fits_on_a_page(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= MOST_LINES
