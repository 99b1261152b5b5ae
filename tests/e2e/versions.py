"""The version before, as whoever has it does: deployed from its own files, with its own command beside it.

`make version-before` keeps it. Its dependencies are today's; all else is as it was.
"""

import re
import shutil
import sys
import tarfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from autostop_cli.artefacts import Artefacts
from autostop_cli.deploy import Stacks, code_bucket, upload
from autostop_local.deploy import built
from autostop_local.desk import Cloud
from autostop_local.emulator import ACCOUNT, REGION, ROOT
from autostop_local.stack import Stack
from autostop_local.wheel import write_artefacts, write_controller

_BEFORE = Path(__file__).parent / "data" / "version-before.tar.xz"


@dataclass(frozen=True)
class Version:
    """directory: what it deploys. paths: from which its command is imported."""

    directory: Path
    paths: tuple[str, ...]

    @property
    def template(self) -> str:
        return (self.directory / "controller.yaml").read_text(encoding="utf-8")

    def deploy(self, cloud: Cloud, parameters: Mapping[str, str]) -> Stack:
        """As `autostop create` does. parameters: it gets those that it has."""
        reach = cloud.emulator.reach
        artefacts, bucket = Artefacts(self.directory), code_bucket(ACCOUNT, REGION)
        upload(cloud.emulator.session.client("s3", **reach), bucket, ACCOUNT, artefacts.code)
        stacks = Stacks(cloud.emulator.session.client("cloudformation", **reach), time.sleep, print)
        known = {name: value for name, value in parameters.items() if self.has(name)}
        stacks.create("autostop", artefacts.template("controller", bucket), known)
        return Stack.find(cloud.emulator, "autostop")

    def has(self, parameter: str) -> bool:
        return f"\n  {parameter}:\n" in self.template

    def adapt(self, world_url: str, defaults: Mapping[str, str]) -> None:
        """Let its functions find EC2 there from their first moment on, and its parameters have these defaults."""
        names = ("EC2", "SSM", "CLOUDWATCH", "PRICING")
        wired = "".join(rf"\g<1>AWS_ENDPOINT_URL_{name}: {world_url}\n" for name in names)
        text = re.sub(r"(?m)^( +)TABLE_NAME: .*\n", rf"\g<0>{wired}", self.template)
        for name, value in defaults.items():
            text, changed = re.subn(rf"(\n  {name}:\n(?:    .*\n)*?    Default: ).*", rf'\g<1>"{value}"', text)
            assert changed == 1, name
        (self.directory / "controller.yaml").write_text(text, encoding="utf-8")


def before_and_now(directory: Path, cloud: Cloud, parameters: Mapping[str, str]) -> tuple[Version, Version]:
    """The version before and the present one.

    parameters: what only the present one has gets them as its defaults; the others are for who deploys the one before.
    """
    with tarfile.open(_BEFORE) as packed:
        packed.extractall(directory / "before", filter="data")
    sam, command, layer = directory / "sam", directory / "command", directory / "before/layers/autostop"
    shutil.copytree(built(say=print), sam)
    shutil.copytree(ROOT / "cli/autostop_cli", command / "autostop_cli", ignore=shutil.ignore_patterns("__pycache__"))
    write_artefacts(sam, command / "autostop_cli/artefacts")

    shutil.rmtree(sam / "AutostopLayer/python/autostop")
    shutil.copytree(layer / "autostop", sam / "AutostopLayer/python/autostop")
    (directory / "artefacts").mkdir()
    write_controller(sam, directory / "before", directory / "artefacts")
    others = [path for path in sys.path if Path(path).resolve() not in (ROOT / "cli", ROOT / "layers/autostop")]
    before = Version(directory / "artefacts", (str(directory / "before/cli"), str(layer), *others))
    now = Version(command / "autostop_cli/artefacts", (str(command), str(ROOT / "layers/autostop"), *others))
    new = {name: value for name, value in parameters.items() if not before.has(name)}
    before.adapt(cloud.world_url, {})
    now.adapt(cloud.world_url, new)
    return before, now
