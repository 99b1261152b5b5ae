"""Lambda's runtime on this machine: a function under the runtime interface emulator, which comes with aws-sam-cli."""

import http.client
import json
import os
import platform
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autostop_local.emulator import ROOT
from autostop_local.process import free_port
from autostop_local.stack import FunctionFailedError

# The runtime's own Python, where one is at hand; otherwise the one that runs this.
_OWN_PYTHON = ROOT / ".venv-runtime" / "bin" / "python"
_INVOCATION = "/2015-03-31/functions/function/invocations"
_LISTENS_WITHIN = 120.0
_ANSWERS_WITHIN = 90.0


class NoRuntimeError(Exception):
    """The emulator does not run on this machine; the text says why."""


@dataclass(frozen=True, slots=True)
class Runtime:
    """A function that starts when it is first invoked, as on Lambda. log_file: what it and the emulator write."""

    port: int
    log_file: Path

    def invoke(self, event: Mapping[str, Any]) -> Any:
        """What it returns. Raises FunctionFailedError when it raises, with its log."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=_ANSWERS_WITHIN)
        try:
            connection.request("POST", _INVOCATION, json.dumps(event))
            returned = json.loads(connection.getresponse().read())
        finally:
            connection.close()
        if isinstance(returned, dict) and "errorType" in returned:
            raise FunctionFailedError(f"{json.dumps(returned)}\n{self.log_file.read_text(encoding='utf-8')}")
        return returned

    def logged(self) -> Sequence[Mapping[str, Any]]:
        """The lines that the function itself wrote."""
        lines = self.log_file.read_text(encoding="utf-8").splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]


@contextmanager
def runtime(code: Path, layers: Sequence[Path], variables: Mapping[str, str]) -> Iterator[Runtime]:
    """Lambda with one function, whose handler is `app.handler`. layers: the directories that it imports from.

    Raises NoRuntimeError where the emulator does not run.
    """
    port = free_port()
    imported = os.pathsep.join([str(code), *map(str, layers)])
    environment = {
        "PATH": os.environ.get("PATH", os.defpath),
        "PYTHONPATH": imported,
        "PYTHONDONTWRITEBYTECODE": "1",  # a function's directories are read-only on Lambda
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_REGION": "us-east-1",
        "AWS_LAMBDA_FUNCTION_NAME": code.name,
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "256",
        "LAMBDA_TASK_ROOT": str(code),
        **variables,
    }
    command = [_emulator(), "--runtime-interface-emulator-address", f"127.0.0.1:{port}"]
    command += ["--runtime-api-address", f"127.0.0.1:{free_port()}", str(python()), "-m", "awslambdaric", "app.handler"]
    with tempfile.TemporaryDirectory() as directory:
        log_file = Path(directory) / "log"
        with log_file.open("wb") as log:
            process = subprocess.Popen(
                command, cwd=code, env=environment, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
            )
        try:
            _wait_until_it_listens(process, port, log_file)
            yield Runtime(port, log_file)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def python() -> Path:
    """The Python that functions run on here."""
    return _OWN_PYTHON if _OWN_PYTHON.exists() else Path(sys.executable)


def _emulator() -> str:
    machine = {"x86_64": "x86_64", "aarch64": "arm64"}.get(platform.machine())
    found = sorted((ROOT / ".venv-sam").glob(f"lib/*/site-packages/samcli/local/rapid/aws-lambda-rie-{machine}"))
    if sys.platform != "linux" or not found:
        raise NoRuntimeError(f"Lambda's runtime interface emulator is for Linux, not {sys.platform} {machine}")
    return str(found[0])


def _wait_until_it_listens(process: subprocess.Popen[bytes], port: int, log_file: Path) -> None:
    until = time.monotonic() + _LISTENS_WITHIN
    while time.monotonic() < until and process.poll() is None:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1.0):
            return
        time.sleep(0.02)
    raise NoRuntimeError(f"Lambda's runtime interface emulator does not run here: {log_file.read_text('utf-8')}")
