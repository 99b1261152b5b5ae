"""`sam build` and `sam deploy` of the repository's own template into the emulator."""

import fcntl
import hashlib
import os
import re
import shutil
import signal
import subprocess
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from autostop_local.emulator import ROOT, Emulator
from autostop_local.stack import Stack

if TYPE_CHECKING:
    from mypy_boto3_ec2.type_defs import RequestLaunchTemplateDataTypeDef

Say = Callable[[str], None]

_SAM = ROOT / ".venv-sam" / "bin"
_BUILD_WITHIN = 900.0
_DEPLOY_WITHIN = 900.0
_MADE = re.compile(r"(?:CREATE|UPDATE)_COMPLETE\s+AWS::(\S+)\s+(\S+)")


class DeployError(Exception):
    """sam failed, or took too long; the text has the end of what it wrote."""


def deploy(emulator: Emulator, *, say: Say, parameters: Mapping[str, str] | None = None) -> Stack:
    """Build the template and deploy it, as an owner would; gives the deployed stack.

    say: gets a line for each thing that was made, while it is.
    parameters: the template's, where the defaults do not do.
    Raises DeployError.
    """
    template = built(say=say) / "template.yaml"
    say("sam deploy")
    command = ["sam", "deploy", "--template-file", str(template)]
    command += ["--config-file", str(ROOT / "samconfig.toml")]
    if parameters:
        command += ["--parameter-overrides", *(f'{name}="{value}"' for name, value in parameters.items())]
    # The width keeps sam from breaking the names in its table.
    environment = _with_sam(emulator.environment()) | {"COLUMNS": "200"}
    _run(command, environment=environment, within=_DEPLOY_WITHIN, say=say)
    return Stack.find(emulator, "autostop")


def deploy_workstation(emulator: Emulator) -> "RequestLaunchTemplateDataTypeDef":
    """Deploy the stack beside the machines; gives what its launch template holds."""
    cloudformation = emulator.session.client("cloudformation", **emulator.reach)
    template = (ROOT / "workstation" / "template.yaml").read_text(encoding="utf-8")
    name = "autostop-workstation"
    cloudformation.create_stack(StackName=name, TemplateBody=template, Capabilities=["CAPABILITY_IAM"])
    cloudformation.get_waiter("stack_create_complete").wait(StackName=name, WaiterConfig={"Delay": 1})
    (made,) = cloudformation.describe_stacks(StackName=name)["Stacks"]
    outputs = {output["OutputKey"]: output["OutputValue"] for output in made["Outputs"]}
    return launch_template(emulator, outputs["LaunchTemplateId"])


def launch_template(emulator: Emulator, template_id: str) -> "RequestLaunchTemplateDataTypeDef":
    """What the latest version of a launch template of the emulator holds."""
    ec2 = emulator.session.client("ec2", **emulator.reach)
    (version,) = ec2.describe_launch_template_versions(LaunchTemplateId=template_id, Versions=["$Latest"])[
        "LaunchTemplateVersions"
    ]
    version["LaunchTemplateData"]["MetadataOptions"].pop("State", None)  # it is told, and cannot be asked for
    return version["LaunchTemplateData"]  # type: ignore[return-value] # as it is told it may be asked for


def built(*, say: Say) -> Path:
    """The directory with what `sam build` makes of the template as it stands: built once for all who ask.

    Nobody changes what is in it. Raises DeployError.
    """
    with _alone(ROOT / "build" / "sam.lock"):
        kept = ROOT / "build" / "sam"
        found = kept / digest(ROOT)
        if not found.exists():
            shutil.rmtree(kept, ignore_errors=True)
            build(kept / "begun", say=say)
            (kept / "begun").rename(found)
    return found


def digest(root: Path) -> str:
    """Tells all that a build is made from: not the functions, which sam deploys as they stand in the repository."""
    layer = (path for path in (root / "layers").rglob("*") if path.is_file() and path.suffix != ".pyc")
    found = hashlib.sha256()
    for path in sorted([root / "template.yaml", root / "samconfig.toml", root / "requirements/sam.txt", *layer]):
        content = path.read_bytes()
        found.update(f"{path.relative_to(root)} {len(content)}\n".encode() + content)
    return found.hexdigest()[:16]


def build(directory: Path, *, say: Say) -> None:
    """`sam build` of the template into a directory. say: gets a line that says so.

    Raises DeployError.
    """
    say("sam build")
    command = ["sam", "build", "--no-cached", "--build-dir", str(directory)]
    _run(command, environment=_build_environment(), within=_BUILD_WITHIN)


def _build_environment() -> dict[str, str]:
    """The caller's environment, whose pip may need its proxy and certificates, without settings of Python and AWS."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "PYTHON", "SAM_"))}
    return _with_sam(kept) | {"AWS_DEFAULT_REGION": "us-east-1", "PYTHONDONTWRITEBYTECODE": "1"}


def _with_sam(environment: Mapping[str, str]) -> dict[str, str]:
    # First in the path, so that the layer's Makefile finds this environment's python3, which has pip.
    path = os.pathsep.join([str(_SAM), environment.get("PATH", os.defpath)])
    return {**environment, "PATH": path, "SAM_CLI_TELEMETRY": "0"}


def _run(command: list[str], *, environment: Mapping[str, str], within: float, say: Say | None = None) -> None:
    """Run sam to its end, or end it and all it started after `within` seconds. Raises DeployError."""
    last: deque[str] = deque(maxlen=40)
    process = subprocess.Popen(
        [str(_SAM / command[0]), *command[1:]],
        cwd=ROOT,
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    alarm = threading.Timer(within, _kill, [process])
    alarm.start()
    try:
        for line in process.stdout or ():
            last.append(line.rstrip())
            if say and (made := _MADE.match(line)):
                say(f"made {made[2]} ({made[1]})")
        code = process.wait()
    finally:
        # Also on Ctrl-C: nothing that was started here stays.
        timed_out = not alarm.is_alive()
        alarm.cancel()
        _kill(process)
        process.wait()
    if code:
        why = f"took longer than {within:g} s" if timed_out else f"failed with {code}"
        raise DeployError(f"{' '.join(command[:2])} {why}:\n" + "\n".join(last))


def _kill(process: subprocess.Popen[str]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """One at a time on this machine."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
