"""What the terminal is given to show: strings of others made harmless, and tables."""

from collections.abc import Sequence


def harmless(text: str) -> str:
    """The text on one line, with escapes for what a terminal would obey (ESC, line ends, a turn of direction)."""
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)


def table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines of left-aligned columns, two spaces apart; the cells are made harmless."""
    cells = [[harmless(cell) for cell in row] for row in rows]
    widths = [max(len(cell) for cell in column) for column in zip(*cells, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells]


def dollars(cost: float) -> str:
    """USD a month."""
    return f"${cost:.2f} a month"
