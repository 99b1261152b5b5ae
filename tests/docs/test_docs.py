"""What the pages say is there: files, functions, anchors, targets, and tables that follow from code and template."""

import ast
import re
from pathlib import Path

import pytest

from tests.docs.tables import DOCS, renewed

ROOT = DOCS.parent
PAGES = sorted([*ROOT.glob("*.md"), *DOCS.glob("*.md")])
BASES = [ROOT, ROOT / "layers/autostop/autostop", DOCS]
NOT_OURS = ("build/", "autostop.py")  # made by targets and not kept; SageMaker's

_CODE = re.compile(r"`([^`\n]+)`")
_PATH = re.compile(r"[a-z][\w.-]*(?:/[\w.-]+)*/|(?:[a-z.][\w.-]*/)*[\w.-]+\.(?:py|md|svg|yaml|toml|html)(?::[\w.]+)?")
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)|<img src=\"([^\"]+)\"")
_FENCED = re.compile(r"^```.*?^```", re.DOTALL | re.MULTILINE)


def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def anchors(page: Path) -> set[str]:
    titles = re.findall(r"^#+ (.+)$", _FENCED.sub("", text_of(page)), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


def names_in(module: Path) -> set[str]:
    """Functions, classes and constants of a module, and `Class.method`."""
    names = set[str]()
    for node in ast.parse(module.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ClassDef):
            names |= {
                node.name,
                *(f"{node.name}.{each.name}" for each in node.body if isinstance(each, ast.FunctionDef)),
            }
        elif isinstance(node, ast.FunctionDef):
            names.add(node.name)
        elif isinstance(node, ast.Assign):
            names |= {target.id for target in node.targets if isinstance(target, ast.Name)}
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            names.add(node.target.id)
    return names


# `law.why_not_start` is short for `sleep/law.py:why_not_start`.
HEARTS = {module.stem: module for folder in ("idle", "sleep", "app") for module in (BASES[1] / folder).glob("*.py")}


def find(path: str) -> Path | None:
    return next((base / path for base in BASES if (base / path).exists()), None)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_path_and_function_that_a_page_names_is_there(page: Path) -> None:
    named = [text for text in _CODE.findall(_FENCED.sub("", text_of(page))) if _PATH.fullmatch(text)]
    missing = []
    for text in named:
        path, _, name = text.partition(":")
        found = find(path)
        if not text.startswith(NOT_OURS) and (found is None or (name and name not in names_in(found))):
            missing.append(text)

    assert missing == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_function_that_a_page_names_by_its_module_is_there(page: Path) -> None:
    named = [text.partition(".") for text in _CODE.findall(_FENCED.sub("", text_of(page)))]
    found = [(module, name) for module, _, name in named if module in HEARTS and name.isidentifier() and name != "py"]

    assert [f"{module}.{name}" for module, name in found if name not in names_in(HEARTS[module])] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    links = ["".join(pair) for pair in _LINK.findall(_FENCED.sub("", text_of(page)))]
    broken = []
    for link in links:
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        if not link.startswith("https://") and not (target.exists() and (not anchor or anchor in anchors(target))):
            broken.append(link)

    assert broken == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_target_is_in_the_makefile(page: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))

    assert set(re.findall(r"`make ([a-z-]+)|^make ([a-z-]+)", text_of(page), re.MULTILINE)) <= {
        pair for target in targets for pair in ((target, ""), ("", target))
    }


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_what_is_made_is_as_make_docs_would_write_it(page: Path) -> None:
    assert text_of(page) == renewed(text_of(page))


def test_every_page_can_be_reached_from_the_readme() -> None:
    linked = {link for pair in _LINK.findall(text_of(ROOT / "README.md")) for link in pair}

    assert {f"docs/{page.name}" for page in DOCS.glob("*.md")} <= {link.partition("#")[0] for link in linked}


def test_the_readme_is_read_in_one_go_and_its_pictures_load_at_once() -> None:
    assert len(text_of(ROOT / "README.md").split()) <= 1200
    assert all(picture.stat().st_size < 100_000 for picture in (DOCS / "pictures").iterdir())


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_test_that_a_page_names_is_there(page: Path) -> None:
    tests = {module: text_of(module) for module in (ROOT / "tests").rglob("test_*.py")}

    named = set(re.findall(r"`(test_\w+\.py)::(\w+)", text_of(page)))
    there = {
        (file, name)
        for file, name in named
        for module in tests
        if module.name == file and f"def {name}" in tests[module]
    }
    assert named - there == set()
