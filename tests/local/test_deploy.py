"""What a build is taken for another's."""

import shutil
from pathlib import Path

import pytest

from autostop_local.deploy import digest
from autostop_local.emulator import ROOT


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    for folder in ("layers", "requirements"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    for file in ("template.yaml", "samconfig.toml"):
        shutil.copy(ROOT / file, tmp_path)
    return tmp_path


def test_the_same_sources_are_built_once_wherever_they_are_and_whatever_bytecode_lies_there(repository: Path) -> None:
    (repository / "layers/autostop/autostop/another.pyc").touch()

    assert digest(repository) == digest(ROOT)


@pytest.mark.parametrize(
    "file", ["template.yaml", "samconfig.toml", "requirements/sam.txt", "layers/autostop/Makefile",
             "layers/autostop/find-python", "layers/autostop/requirements.txt", "layers/autostop/autostop/clock.py"]
)  # fmt: skip
def test_whatever_is_changed_is_built_anew(repository: Path, file: str) -> None:
    with (repository / file).open("a") as written:
        written.write("#\n")

    assert digest(repository) != digest(ROOT)


def test_a_file_that_goes_from_one_place_to_another_is_built_anew(repository: Path) -> None:
    (repository / "layers/autostop/autostop/clock.py").rename(repository / "layers/autostop/autostop/clocks.py")

    assert digest(repository) != digest(ROOT)
