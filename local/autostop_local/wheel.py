"""`make wheel`: the command, with all that `autostop create` deploys inside."""

import hashlib
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

from autostop_local.deploy import Say, built
from autostop_local.emulator import ROOT
from workstation.user_data import user_data

_PACKAGES = ("layers/autostop/autostop", "cli/autostop_cli")
_OF_THE_PROJECT = ("pyproject.toml", "README.md", "LICENSE")
_UV = ROOT / ".tools" / "bin" / "uv"
# CloudFormation takes 51,200 bytes of a template that is in no bucket; the comments are for readers of the repository.
_COMMENT = re.compile(r"^ *#.*\n", re.MULTILINE)
_CODE_URI = re.compile(r"(CodeUri|ContentUri): (?:functions|layers)/(\w+)")


def build_wheel(directory: Path, *, say: Say) -> Path:
    """The wheel, made in a directory of its own, which is emptied first. Raises DeployError, CalledProcessError."""
    shutil.rmtree(directory, ignore_errors=True)
    sources = directory / "sources"
    for package in _PACKAGES:
        shutil.copytree(ROOT / package, sources / package, ignore=shutil.ignore_patterns("__pycache__"))
    for file in _OF_THE_PROJECT:
        shutil.copy(ROOT / file, sources / file)
    write_artefacts(built(say=say), sources / "cli/autostop_cli/artefacts")
    say("uv build")
    command = [str(_UV), "build", "--quiet", "--wheel", "--python", sys.executable, "--out-dir", str(directory)]
    subprocess.run([*command, str(sources)], check=True, cwd=directory)
    (wheel,) = directory.glob("*.whl")
    return wheel


def write_artefacts(sam: Path, to: Path) -> None:
    """What `autostop_cli.artefacts` reads. sam: what `sam build` made."""
    to.mkdir()
    write_controller(sam, ROOT, to)
    workstation = without_comments(ROOT / "workstation/template.yaml")
    (to / "workstation.yaml").write_text(workstation, encoding="utf-8")
    (to / "user-data.gz").write_bytes(user_data({}))


def write_controller(sam: Path, root: Path, to: Path) -> None:
    """The controller's part of it. root: of the repository that it comes from, beside the built layer."""
    keys = {
        name: _zipped(directory, name, to)
        for name, directory in (
            ("autostop", sam / "AutostopLayer"),
            *((each.name, each) for each in (root / "functions").iterdir() if each.is_dir()),
        )
    }
    controller = without_comments(root / "template.yaml")
    controller = _CODE_URI.sub(lambda found: f"{found[1]}: s3://code/{keys[found[2]]}", controller)
    (to / "controller.yaml").write_text(controller, encoding="utf-8")


def without_comments(template: Path) -> str:
    """As it is deployed."""
    return _COMMENT.sub("", template.read_text(encoding="utf-8"))


def _zipped(directory: Path, name: str, to: Path) -> str:
    """Its name tells its content: the same files give the same bytes."""
    archive = to / f"{name}.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
        for path in sorted(directory.rglob("*")):
            # The layer's bytecode was made for it; a function's is what tests left in the repository.
            if path.is_file() and (name == "autostop" or path.suffix != ".pyc"):
                entry = zipfile.ZipInfo(path.relative_to(directory).as_posix())
                entry.external_attr = 0o644 << 16
                packed.writestr(entry, path.read_bytes(), zipfile.ZIP_DEFLATED)
    key = f"{name}-{hashlib.sha256(archive.read_bytes()).hexdigest()[:16]}.zip"
    archive.rename(to / key)
    return key


if __name__ == "__main__":
    print(build_wheel(ROOT / "build" / "wheel", say=print))
