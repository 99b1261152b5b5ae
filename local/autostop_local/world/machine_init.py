"""The first process of a machine: starts what runs on it, collects what dies, and ends everything at the shutdown.

A program of its own, standard library only. It takes orders as lines of JSON on its standard input:

    {"start": [argv], "log": path, "environment": {...}, "directory": path}     a service, kept in the machine's log
    {"run": id, "script": text, "timeout": seconds, "environment": ..., "directory": ...}
    {"shutdown": seconds}          terminate all, kill after so many seconds what is left, and exit

and gives one line, {"up": true}, when it takes orders, and then a line per script that ended:
{"ended": id, "code": n, "stdout": text, "stderr": text, "timed_out": bool}.
The end of its input means that the world has died, in whatever way: then it kills all at once, and exits.

Whatever a process of the machine leaves behind becomes a child of this one (a subreaper, on Linux), so that nothing
escapes by forking twice; and its direct children die with it.
"""

import ctypes
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_SECOND_LOOK = 0.02
_ALL_OUTPUT = 100_000  # characters; SSM shows less


class _Script:
    """A script under way."""

    def __init__(self, order: dict[str, Any]) -> None:
        self.id = order["run"]
        self.stdout: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - open for as long as the script runs
        self.stderr: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - the same
        self.ends_at = time.monotonic() + order["timeout"]
        self.timed_out = False
        self.pid = _spawn(["/bin/sh", "-c", order["script"]], order, self.stdout, self.stderr)

    def ended(self, status: int) -> dict[str, Any]:
        return {
            "ended": self.id,
            "code": os.waitstatus_to_exitcode(status),
            "stdout": _text(self.stdout),
            "stderr": _text(self.stderr),
            "timed_out": self.timed_out,
        }


class _Machine:
    """All that runs."""

    def __init__(self) -> None:
        self._scripts: dict[int, _Script] = {}

    def obey(self, order: dict[str, Any]) -> None:
        if "start" in order:
            with Path(order["log"]).open("ab") as log:
                _spawn(order["start"], order, log, log)
        elif "run" in order:
            try:
                script = _Script(order)
                self._scripts[script.pid] = script
            except OSError as error:  # no such directory any more: the script fails, the machine goes on
                failed = {"ended": order["run"], "code": 127, "stdout": "", "stderr": str(error), "timed_out": False}
                print(json.dumps(failed), flush=True)
        elif "shutdown" in order:
            _end_all(order["shutdown"])
            sys.exit(0)

    def look(self) -> None:
        """Collect the dead, and end the scripts whose time is over."""
        with suppress(ChildProcessError):
            while (found := os.waitpid(-1, os.WNOHANG))[0]:
                script = self._scripts.pop(found[0], None)
                if script is not None:
                    print(json.dumps(script.ended(found[1])), flush=True)
        for script in self._scripts.values():
            if time.monotonic() >= script.ends_at and not script.timed_out:
                script.timed_out = True
                os.killpg(script.pid, signal.SIGKILL)


def _spawn(argv: list[str], order: dict[str, Any], stdout: IO[bytes], stderr: IO[bytes]) -> int:
    """Start a process in a session of its own; gives its id. It is waited for by `look`, not by its Popen."""
    process = subprocess.Popen(
        argv,
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=stderr,
        env=order["environment"],
        cwd=order["directory"],
        start_new_session=True,
        preexec_fn=_die_with_parent,  # noqa: PLW1509 - safe here: this process has one thread
    )
    process.returncode = 0
    return process.pid


def _prctl(option: int, value: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def _die_with_parent() -> None:
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _text(output: IO[bytes]) -> str:
    output.seek(0)
    return output.read(_ALL_OUTPUT).decode(errors="replace")


def _end_all(grace: float) -> None:
    """Terminate everything that descends from here, kill it after the grace, and return when nothing is left."""
    for pid in _descendants():
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
    kill_at = time.monotonic() + grace
    while left := _descendants():
        if time.monotonic() >= kill_at:
            for pid in left:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        with suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        time.sleep(_SECOND_LOOK)


def _descendants() -> list[int]:
    """The living and the uncollected below this process, from /proc (elsewhere: from ps)."""
    parents: dict[int, int] = {}
    if Path("/proc/self/stat").exists():
        for stat in Path("/proc").glob("[0-9]*/stat"):
            with suppress(OSError):
                # The name, in brackets, may hold anything.
                parents[int(stat.parent.name)] = int(stat.read_text(errors="replace").rpartition(")")[2].split()[1])
    else:
        rows = subprocess.run(["ps", "-axo", "pid=,ppid="], capture_output=True, text=True, check=True).stdout
        parents = {int(pid): int(parent) for pid, parent in (row.split() for row in rows.splitlines())}
        parents = {pid: parent for pid, parent in parents.items() if _alive(pid)}  # ps itself is gone by now
    found: list[int] = []
    below = {os.getpid()}
    while below:
        below = {pid for pid, parent in parents.items() if parent in below}
        found += below
    return found


def _alive(pid: int) -> bool:
    with suppress(ProcessLookupError):
        os.kill(pid, 0)
        return True
    return False


def main() -> None:
    """Obey until the shutdown, or until the world is gone."""
    os.setsid()
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)
    woken, wake = os.pipe()
    os.set_blocking(wake, False)
    os.set_blocking(woken, False)
    signal.set_wakeup_fd(wake)
    signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
    machine = _Machine()
    rest = b""
    print(json.dumps({"up": True}), flush=True)
    while True:
        ready, _, _ = select.select([0, woken], [], [], 0.25)
        if woken in ready:
            os.read(woken, 4096)
        if 0 in ready:
            read = os.read(0, 65536)
            if not read:
                _end_all(0)
                return
            *lines, rest = (rest + read).split(b"\n")
            for line in lines:
                machine.obey(json.loads(line))
        machine.look()


if __name__ == "__main__":
    main()
