"""A local process that takes the real `sam deploy`: ministack, started for a while and stopped for sure.

It gives Lambda, SQS, DynamoDB, EventBridge, Scheduler, HTTP APIs, IAM and CloudFormation. Its EC2 is only a catalogue,
so EC2, SSM and CloudWatch are the world's (see `Stack.wire`).
"""

import http.client
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

import boto3
import botocore.session
from botocore.config import Config

from autostop_local.process import free_port

ROOT = Path(__file__).parents[2]
PYTHON = ROOT / ".venv-emulator" / "bin" / "python"
REGION = "eu-central-1"
ACCOUNT = "000000000000"
# The one key that the emulator takes for the account's owner; everybody else is judged by policies.
OWNER_KEY = "test"

_READY_WITHIN = 240.0
_STOPPED_WITHIN = 5.0

# Runs the emulator and watches the pipe from whoever started it. When that end closes, be it that its owner was killed,
# everything in the group goes at once: a function's subprocess would otherwise finish what it does.
_GUARD = """
import os, signal, subprocess, sys, threading

def end_with_owner():
    os.read(0, 1)
    os.killpg(0, signal.SIGKILL)

emulator = subprocess.Popen([sys.executable, "-c", sys.argv[1]], stdin=subprocess.DEVNULL)
signal.signal(signal.SIGTERM, signal.SIG_IGN)  # it reaches the emulator too, and this ends with the emulator
threading.Thread(target=end_with_owner, daemon=True).start()
sys.exit(emulator.wait())
"""

# The emulator takes whoever signs nothing for the account's owner, and lets every page of a browser ask it: no page but
# its own, and no host that was only pointed here, gets to it. An image or a form names no origin; browsers say of each
# request whether it crosses sites.
_FENCED = """
from ministack import app as ministack

ask = ministack.app

async def fenced(scope, receive, send):
    said = {name: value.decode("latin-1") for name, value in scope.get("headers", ())}
    host = said.get(b"host", "")
    name, page = host.partition(":")[0], "http://" + host
    ours = name in ("127.0.0.1", "localhost") or name.endswith(".localhost")
    own = said.get(b"origin", page) == page and said.get(b"sec-fetch-site", "none") in ("none", "same-origin")
    if scope["type"] == "lifespan" or (ours and own):
        return await ask(scope, receive, send)
    await send({"type": "http.response.start", "status": 403, "headers": []})
    await send({"type": "http.response.body", "body": b"A page has nothing to ask here."})

ministack.app = fenced
ministack.main()
"""


class EmulatorError(Exception):
    """The emulator did not do what the cloud on your desk needs; the text says what, and where to read more."""


class Reach(TypedDict):
    """How a boto3 client reaches the emulator: `session.client("sqs", **emulator.reach)`."""

    endpoint_url: str
    config: Config


@dataclass(frozen=True, slots=True)
class Emulator:
    """A running emulator.

    url: without a trailing slash. directory: all that it keeps. log: what it and the functions wrote.
    """

    url: str
    port: int
    directory: Path
    log: Path
    session: boto3.Session
    process: subprocess.Popen[bytes]

    @property
    def reach(self) -> Reach:
        """Endpoint and limits of a client; no call outlasts a minute and a half (an invoked function may take one)."""
        return Reach(
            endpoint_url=self.url,
            # No proxies: a caller's HTTP_PROXY is not for the loopback.
            config=Config(connect_timeout=5, read_timeout=90, retries={"total_max_attempts": 2}, proxies={}),
        )

    def environment(self) -> dict[str, str]:
        """The variables of a program that shall see this emulator as AWS, and nothing of the caller's own AWS."""
        return _plain_environment() | {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": OWNER_KEY,
            "AWS_SECRET_ACCESS_KEY": OWNER_KEY,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_REGION": REGION,
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def check_alive(self) -> None:
        """Raises EmulatorError, with the end of its log, when it has ended."""
        if (code := self.process.poll()) is not None:
            raise EmulatorError(f"the emulator ended by itself with {code}; the end of {self.log}:\n{_tail(self.log)}")


@contextmanager
def emulator(directory: Path, *, enforce_iam: bool = True) -> Iterator[Emulator]:
    """A fresh emulator on a free loopback port; all it keeps goes into `directory`, which must exist.

    enforce_iam: the functions' calls to it are judged by the roles that the template gave them.
    It ends with the block, or with this process, whatever happens to either.
    Raises EmulatorError when it is not ready within a minute.
    """
    port = free_port()
    log = directory / "emulator.log"
    with log.open("wb") as sink:
        process = subprocess.Popen(
            [PYTHON, "-c", _GUARD, _FENCED],
            env=_emulator_environment(directory, port, enforce_iam=enforce_iam),
            cwd=directory,
            stdin=subprocess.PIPE,
            stdout=sink,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # its functions' subprocesses join its group, and end with it
        )
    running = Emulator(f"http://127.0.0.1:{port}", port, directory, log, _session(), process)
    try:
        _wait_until_ready(running)
        yield running
    finally:
        _end(process)


def _session() -> boto3.Session:
    """A session that reads nothing of the caller's AWS set-up: no profile, no files."""
    unread = (None, None, os.devnull, None)
    plain = botocore.session.Session(
        {"profile": (None, None, None, None), "config_file": unread, "credentials_file": unread}
    )
    return boto3.Session(
        aws_access_key_id=OWNER_KEY, aws_secret_access_key=OWNER_KEY, region_name=REGION, botocore_session=plain
    )


def _wait_until_ready(running: Emulator) -> None:
    give_up = time.monotonic() + _READY_WITHIN
    while time.monotonic() < give_up:
        running.check_alive()
        if _is_ready(running.port):
            return
        time.sleep(0.1)
    raise EmulatorError(
        f"the emulator is not ready after {_READY_WITHIN:g} s; the end of {running.log}:\n{_tail(running.log)}"
    )


def _is_ready(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", "/_ministack/health")
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the emulator and every process of its group: kindly at first, then for sure."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    with suppress(subprocess.TimeoutExpired):
        process.wait(timeout=_STOPPED_WITHIN)
    # The group can outlive its leader: a function's subprocess that was busy just now.
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    if process.stdin:
        process.stdin.close()


def _emulator_environment(directory: Path, port: int, *, enforce_iam: bool) -> dict[str, str]:
    temporary = directory / "tmp"
    temporary.mkdir(exist_ok=True)
    # The functions' subprocesses inherit all of this: nothing of the caller's AWS set-up may be in it.
    return _plain_environment() | {
        "TMPDIR": str(temporary),
        "STATE_DIR": str(directory / "state"),
        "S3_DATA_DIR": str(directory / "s3"),
        "GATEWAY_PORT": str(port),
        "BIND_HOST": "127.0.0.1",
        "AUTH": "true" if enforce_iam else "false",
        "MINISTACK_REGION": REGION,
        "MINISTACK_ACCOUNT_ID": ACCOUNT,
        "PYTHONUNBUFFERED": "1",
        "TZ": "UTC",  # as on Lambda
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    }


def _plain_environment() -> dict[str, str]:
    return {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TERM") if name in os.environ}


def _tail(log: Path, lines: int = 20) -> str:
    return "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])
