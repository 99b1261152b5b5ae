"""Programs of the system, run to their end."""

import subprocess
from collections.abc import Sequence


class FailedError(Exception):
    """A part of the boot could not be done; the text is a sentence for the owner."""


def run(
    *command: str, ends: Sequence[int] = (0,), within: float = 300, given: str = ""
) -> subprocess.CompletedProcess[str]:
    """What it printed. ends: the exit codes that are an answer. given: its input.

    Raises FailedError on any other, and after `within` seconds.
    """
    try:
        done = subprocess.run(command, check=False, input=given, capture_output=True, text=True, timeout=within)
    except subprocess.TimeoutExpired as error:
        raise FailedError(f"{command[0]} had not ended after {within:g} seconds") from error
    except OSError as error:
        raise FailedError(f"{command[0]}: {error}") from error
    if done.returncode not in ends:
        said = " ".join((done.stderr or done.stdout).split())
        raise FailedError(f"{command[0]} ended with {done.returncode}: {said[-400:]}")
    return done
