"""Look whether anybody works on this machine, and print one line of JSON.

Runs on the workstation, as root, as `python3 -I - [RUNTIME_DIR ...]`, sent by Run Command. So it is alone (standard
library, Python 3.8 or newer, no import of the package) and it must not hold two opening braces in a row, which Run
Command would take for a parameter. It reads and never writes, and asks Jupyter so that the question does not count as
activity. It is done in 5 seconds, whatever hangs. `idle/reading.py` reads the line, and refuses what is none.

    {"v":3, "at":<seconds since the epoch, this machine's clock>, "servers":[<server>, ...], "machine":<machine>,
     "errors":["<word>", ...]}

A server that answered is {"port", "status":"ok", "uid", "busy", "idle", "starting", "other", "kernel_at", "busy_at",
"together", "terminals", "terminal_at", "connections", "server_at", "saved_at", "plain", "base", "local"}: whose it is,
left out of root's; kernels by state; the newest `last_activity` of a kernel, of a busy one, of a terminal and of the
server; 1 if the kernels to which somebody is connected were all used in the same second, which is what a browser leaves
behind that reconnects; when the newest file of an open notebook was saved; 1 without TLS; its path; 1 if it listens
inside alone. Moments are seconds or null. A server that did not answer is {"port", "status"} with http<code>, timeout,
refused, tls, bad, or nofile: a server process without a runtime file that can be trusted, with its "user". Port 0
stands for a Unix socket or a port that is not known. "more":N marks an entry that stands for N servers.

The machine is null when it could not be looked at, else {"boot", "cpu", "typed_at", "wrote_at", "jobs", "job", "gpu",
"logins", "editors", "edited_at", "muxes", "held", "visits", "doubts"}:
  boot       eight digits that change with each boot
  cpu        {<session>: processor seconds since the boot} of what runs under Jupyter servers, connections and
             terminals, of kernels without a server, of desktops and of jobs that were left behind; of each process that
             listens on the network under a name that begins with p; of all that hold a GPU as g, and as pg where they
             listen. Left out: Jupyter's servers themselves (a tab that polls is no work), viewers such as top, and
             editor servers with what they started, but for their terminals
  typed_at   the last keystroke on a terminal
  wrote_at   when a program last wrote to a terminal that it reads key by key, and that is no viewer or editor
  jobs, job  programs for which a terminal waits; the name of one
  gpu        percent, the busiest GPU in three samples; null without a GPU
  logins, editors, muxes    connections; servers of remote editors; tmux and screen
  edited_at  when a remote editor last saved a file
  visits     connections to what listens, but for those of the programs whose processor time counts
  held       1 while somebody holds a lock on the file .autostop-keep-awake in his home
  doubts     [[<word>, <name>], ...] of a person's programs that are there and may wait for the world, six at most: job
             in the background or left behind, prompt that waits for a person, server that listens, kernel without a
             Jupyter server, editor's child, desktop

How a terminal is set tells what its foreground does: a shell, a prompt and an editor read key by key; while a command
runs, the terminal reads lines. Then only who is in read() of the terminal waits for a person.

The line is shorter than 2,000 bytes, and has no secret and no word that a user chose but the names of programs, which
are left out if they are more than letters, digits and ._+-, and the paths of servers

Every user of the machine can write files, run processes and answer, and this runs as root. So what a user writes speaks
only of his own processes: a runtime file is believed if it is a regular file of the user whose process it names,
written after that process began, and if that very process listens on the socket. What contradicts itself, or is more
than a user may have, is unknown, told with his name, and takes nothing from others. Root connects to an address of this
machine in this network, or to a Unix socket of that user, while that very process listens there, and sends the token of
the file nowhere else. Root follows no link out of a home, and runs nothing but nvidia-smi of folders that only root
writes to.
"""

from __future__ import annotations

import json
import os
import sys
import time
from typing import Any

from autostop.probe.believed_servers import jupyter_servers
from autostop.probe.files import edited_at, homes_of, is_held
from autostop.probe.gpu import gpu_use
from autostop.probe.limits import DEADLINE_SECONDS, PROC, Aside, Limits, user_name
from autostop.probe.process_details import Looks, typed_at
from autostop.probe.process_tree import seconds_of, survey
from autostop.probe.processes import every_task

VERSION = 3
_LONGEST_LINE = 1_999
_MOST_PRINTED = 6
_MOST_NAMED = 3
_SYS_PTRACE = 19


def look(named: list[str], until: float) -> tuple[list[dict[str, Any]], dict[str, Any] | None, list[str]]:
    """The entries of all servers, what the machine does, and words for what could not be looked at.

    named: the only directories to look for servers at; empty for those of every user of the machine.
    """
    limits = Limits()
    tasks, uids = every_task(limits)
    homes = homes_of(tasks, uids)
    errors = [] if _sees_all() else ["notroot"]
    # Each by itself: what hangs, hangs alone.
    edited = Aside(lambda: edited_at(homes))
    held = Aside(lambda: is_held(homes))
    gpu = Aside(lambda: gpu_use(until))
    entries = jupyter_servers(named, tasks, homes, until, errors, limits)
    looks = Looks()
    machine = dict(survey(tasks, looks), boot=(PROC / "sys/kernel/random/boot_id").read_text()[:8])
    machine["typed_at"] = typed_at(tasks)
    machine["edited_at"] = edited.result(until, None, errors)
    machine["held"] = held.result(until, 0, errors)
    machine["gpu"], failed, holders = gpu.result(until, (None, [], set()), errors)
    for name, serves in (("g", False), ("pg", True)):
        holding = [task.ticks for task in tasks if task.pid in holders and looks.listens(task) is serves]
        if holding:
            machine["cpu"][name] = seconds_of(sum(holding))
    crowds = [f"many:{user_name(uid)}" for uid in sorted(limits.over)[:_MOST_NAMED]]
    return entries, machine, sorted(set(errors + failed + crowds))


def _sees_all() -> bool:
    """Whether it may look into the processes of others: root may, unless CAP_SYS_PTRACE was taken from it."""
    rights = (PROC / "self/status").read_bytes().partition(b"\nCapEff:")[2].split()[0]
    return os.geteuid() == 0 and bool(int(rights, 16) >> _SYS_PTRACE & 1)


_SUMS = ("busy", "idle", "starting", "other", "terminals", "connections")
_LATEST_OF = ("kernel_at", "busy_at", "terminal_at", "server_at", "saved_at")


def report(at: float, servers: list[dict[str, Any]], machine: dict[str, Any] | None, errors: list[str]) -> str:
    """The line to print. Of many servers the first stand alone, the rest together: nothing busy or failed is lost."""
    failed = [server for server in servers if server["status"] != "ok"]
    answered = [server for server in servers if server["status"] == "ok"]
    failed.sort(key=lambda server: (server["status"], server["port"]))
    answered.sort(key=lambda server: (-server["busy"], server["port"]))
    text = ""
    for most in range(_MOST_PRINTED, 1, -1):
        failures = _shortened(failed, most // 2 if answered else most)
        printed = failures + _shortened(answered, most - len(failures))
        line = {"v": VERSION, "at": round(at, 3), "servers": printed, "machine": machine, "errors": errors}
        text = json.dumps(line, separators=(",", ":"))
        if len(text) <= _LONGEST_LINE:
            break
    return text


def _shortened(servers: list[dict[str, Any]], most: int) -> list[dict[str, Any]]:
    if len(servers) <= most:
        return servers
    alone, rest = servers[: most - 1], servers[most - 1 :]
    together = dict(rest[0], port=0, more=len(rest))
    if together["status"] == "ok":
        for key in _SUMS:
            together[key] = sum(server[key] for server in rest)
        for key in _LATEST_OF:
            together[key] = max((server[key] for server in rest if server[key] is not None), default=None)
        together["together"] = min((server["together"] for server in rest if server["connections"]), default=0)
    return [*alone, together]


def main(arguments: list[str]) -> None:
    """Look, print, and leave, whatever hangs."""
    at, until = time.time(), time.monotonic() + DEADLINE_SECONDS
    errors: list[str] = []
    # Aside, because a dead network file system holds whoever looks into a home on it.
    looking = Aside(lambda: look(arguments, until))
    servers, machine, seen = looking.result(until + 0.2, ([], None, []), errors)
    sys.stdout.write(report(at, servers, machine, errors + seen) + "\n")
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1:])
