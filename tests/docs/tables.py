"""The tables of docs/ that follow from the code and the template: `make docs` writes them."""

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from autostop.settings import SETTINGS
from tests.handlers.template import PATH, Statement, as_list, load

DOCS: Final = PATH.parent / "docs"
_PLACE: Final = re.compile(
    r"(?P<begin><!-- made by `make docs`: (?P<name>[a-z]+) -->\n).*?(?P<end><!-- end -->)", re.DOTALL
)


def renewed(text: str) -> str:
    """The page with each of its made tables as it must be."""
    return _PLACE.sub(lambda place: f"{place['begin']}{_TABLES[place['name']]()}\n{place['end']}", text)


def _table(head: tuple[str, ...], rows: Iterator[tuple[str, ...]]) -> str:
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, ("---",) * len(head), *rows))


def _settings() -> str:
    parameters = load().parameters

    def rows() -> Iterator[tuple[str, ...]]:
        for each in SETTINGS:
            parameter = f"`{each.parameter}`" if each.parameter in parameters else "–"
            gentler = each.gentler.words if each.gentler else "–"
            yield f"`{each.tag}`", parameter, f"`{each.default}`", each.meaning, gentler

    return _table(("tag on the instance", "parameter", "default", "meaning", "gentler"), rows())


def _parameters() -> str:
    settings = {each.parameter for each in SETTINGS}
    rest = {name: each for name, each in load().parameters.items() if name not in settings}
    rows = (
        (f"`{name}`", f"`{each['Default']}`" if each["Default"] else "none", each["Description"])
        for name, each in rest.items()
    )
    return _table(("parameter", "default", "meaning"), rows)


def _permissions() -> str:
    template = load()
    reasons = _reasons(PATH.read_text(encoding="utf-8"))
    roles = template.of_type("AWS::IAM::Role")

    def who(resource: str) -> str:
        holders = [
            name for name, role in roles.items() if {"Ref": resource} in role["Properties"].get("ManagedPolicyArns", [])
        ]
        return ", ".join(name.removesuffix("Role").lower() for name in holders or [resource])

    def rows() -> Iterator[tuple[str, ...]]:
        for name, statement in template.statements():
            actions = ", ".join(f"`{action}`" for action in as_list(statement["Action"]))
            on = ", ".join(f"`{_short(resource)}`" for resource in as_list(statement["Resource"]))
            yield who(name.partition(".")[0]), actions, on, _condition(statement), reasons.get(name, "–")

    return _table(("who", "may", "on", "only if", "because"), rows())


def _reasons(template: str) -> Mapping[str, str]:
    """The comment above each statement, by the statement's name."""
    reasons, comment, resource = {}, list[str](), ""
    for line in template.splitlines():
        text = line.strip()
        if text.startswith("# "):
            comment.append(text.removeprefix("# "))
            continue
        if found := re.fullmatch(r"  (\w+):", line):
            resource = found[1]
        if text.startswith("- Sid:") and comment:
            reasons[f"{resource}.{text.removeprefix('- Sid:').strip()}"] = " ".join(comment)
        comment = []
    return reasons


def _short(resource: Any) -> str:
    """A resource without what every ARN has: `instance/*`, `Table`."""
    match resource:
        case {"Fn::GetAtt": [str(name), _]} | {"Ref": str(name)}:
            return name
        case {"Fn::Sub": str(text)}:
            return text.rpartition(":")[2].replace("${Table.Arn}", "Table")
        case _:
            return str(resource)


def _text(value: Any) -> str:
    return str(value["Fn::Sub"] if isinstance(value, dict) else value)


def _condition(statement: Statement) -> str:
    """What a statement demands, one after the other; – for nothing."""
    demands = [
        f"`{key}` {'≠' if 'Not' in operator else '='} {' or '.join(f'`{_text(value)}`' for value in as_list(values))}"
        for operator, demanded in statement.get("Condition", {}).items()
        for key, values in demanded.items()
    ]
    return " and ".join(demands) or "–"


_TABLES: Final[Mapping[str, Callable[[], str]]] = {
    "settings": _settings,
    "parameters": _parameters,
    "permissions": _permissions,
}

if __name__ == "__main__":
    for page in sorted(DOCS.glob("*.md")):
        Path(page).write_text(renewed(page.read_text(encoding="utf-8")), encoding="utf-8")
