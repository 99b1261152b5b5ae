"""The modules of this package as the one script that is sent to a workstation."""

import ast
from collections.abc import Iterable
from functools import cache
from importlib.resources import files
from typing import Final

# Each imports of the standard library, and of those before it.
PARTS: Final = (
    "limits", "processes", "process_kinds", "listeners", "process_details", "files", "gpu", "jupyter",
    "believed_servers", "terminals", "process_tree", "report",
)  # fmt: skip
_PACKAGE: Final = "autostop.probe"
_FIRST: Final = "from __future__ import annotations"


@cache
def script() -> str:
    """The whole of it, as source text."""
    return joined((files(_PACKAGE) / f"{part}.py").read_text(encoding="utf-8") for part in PARTS)


def joined(sources: Iterable[str]) -> str:
    """The source of one module that is all of these, in their order, without their docstrings. Pure.

    What they import of the standard library comes first; what of each other is there: so no two may give one name to
    different things. Comments that stand alone, which only authors read, stay here.
    """
    imports, rest = set[str](), list[str]()
    for source in sources:
        lines = source.splitlines()
        for node in ast.parse(source).body:
            if isinstance(node, ast.Import | ast.ImportFrom | ast.Expr):
                lines[node.lineno - 1 : node.end_lineno] = [""] * ((node.end_lineno or node.lineno) - node.lineno + 1)
            if isinstance(node, ast.Import | ast.ImportFrom):
                imports.add(ast.unparse(node))
        rest += [line for line in lines if not line.lstrip().startswith("#")]
    outside = sorted(each for each in imports - {_FIRST} if not each.startswith(f"from {_PACKAGE}."))
    return "\n".join([_FIRST, *outside, *rest, ""])
