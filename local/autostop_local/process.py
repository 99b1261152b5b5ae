"""Programs of our own: run one to its end, find a port for one."""

import socket
import subprocess
from collections.abc import Mapping, Sequence

_WITHIN_SECONDS = 240


class CommandError(Exception):
    """A program failed; the text has what it printed."""


def run(command: Sequence[str], environment: Mapping[str, str], stdin: str = "") -> str:
    """What the program printed. Raises CommandError when it fails or takes longer than a minute."""
    try:
        done = subprocess.run(
            command,
            env=dict(environment),
            input=stdin,
            capture_output=True,
            text=True,
            timeout=_WITHIN_SECONDS,
            check=True,
        )
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        raise CommandError(f"{' '.join(command[2:])}: {error}\n{error.stdout!s}\n{error.stderr!s}") from error
    return done.stdout


def free_port() -> int:
    """A port on the loopback that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
