"""A workstation beside this machine: its own processes, terminals, users and homes; disk, network and clock are shared.

What runs in it sees nothing of what runs beside it, so the probe finds what one person does and nothing else. It is
made of Linux namespaces, which only root may make, and ends with everything in it when its first process ends.
"""

import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import psutil

from autostop.probe.script import script

PROBE = script().encode()
USER = "ada"
HOME = Path("/home") / USER
_ID = 1815
# As a machine that has just booted: no terminal, nobody's home, nothing in /run. Its first process reaps the orphans,
# as every first process must (a signal that is ignored stays so over exec), and lives until nobody holds its input.
_BOOT = f"""set -e
mount -t devpts -o newinstance,ptmxmode=0666,mode=0620,gid=5 devpts /dev/pts
mount --bind /dev/pts/ptmx /dev/ptmx
mount -t tmpfs -o mode=0755 tmpfs /home
mount -t tmpfs -o mode=0755 tmpfs /run
mount --bind "$1/passwd" /etc/passwd
mount --bind "$1/shadow" /etc/shadow
install -d -m 0755 /run/sshd
install -d -m 0700 -o {_ID} -g {_ID} {HOME} {HOME}/.ssh
echo booted
exec env --ignore-signal=CHLD cat
"""
# Bind mounts at the same paths, with everything around them gone.
_SHOW = """set -e
for folder; do mkdir -p "/run/shown$folder"; mount --rbind "$folder" "/run/shown$folder"; done
for folder; do
    top=/$(echo "$folder" | cut -d/ -f2)
    mountpoint -q "$top" || mount -t tmpfs -o mode=0755 tmpfs "$top"
done
for folder; do mkdir -p "$folder"; mount --move "/run/shown$folder" "$folder"; done
"""


class Workstation:
    """Boots when it is made. folder: an empty directory of this machine; both sides can read it."""

    def __init__(self, folder: Path) -> None:
        assert os.geteuid() == 0, "these tests make namespaces and start sshd, which only root may: sudo make test"
        self.folder = folder
        folder.mkdir(parents=True)
        accounts = Path("/etc/passwd").read_text().splitlines()
        accounts.append(f"{USER}:x:{_ID}:{_ID}::{HOME}:/bin/bash")
        (folder / "passwd").write_text("\n".join(accounts) + "\n")
        (folder / "shadow").write_text(f"root:*:20000::::::\n{USER}:*:20000::::::\n")
        self._first = subprocess.Popen(
            ["unshare", "--pid", "--mount", "--fork", "--kill-child", "--mount-proc", "sh", "-c", _BOOT, "sh", folder],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd="/",
        )
        assert self._first.stdout is not None
        assert self._first.stdout.readline() == b"booted\n"
        (first,) = psutil.Process(self._first.pid).children()
        self._pid = first.pid

    @property
    def within(self) -> list[str]:
        """What to put before a command to run it there, as root."""
        return ["nsenter", f"--target={self._pid}", "--pid", "--mount", "--"]

    def run(self, *command: str | Path) -> str:
        """What the command prints. Raises subprocess.CalledProcessError when it fails."""
        ended = subprocess.run(
            [*self.within, *command], stdin=subprocess.DEVNULL, capture_output=True, check=True, timeout=120
        )
        return ended.stdout.decode()

    def show(self, *folders: Path) -> None:
        """Let its user see these folders of this machine, which may lie in somebody's closed home."""
        closed = {path for path in folders if any(not each.stat().st_mode & stat.S_IXOTH for each in path.parents)}
        self.run("sh", "-c", _SHOW, "sh", *sorted(closed))

    def probe(self, python: str = sys.executable) -> str:
        """What the probe prints, run as Run Command runs it: as root, over all users, its text on standard input."""
        environment = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
        ended = subprocess.run(
            [*self.within, python, "-I", "-"],
            input=PROBE,
            capture_output=True,
            check=True,
            timeout=120,
            cwd="/",
            env=environment,
        )
        assert ended.stderr == b""
        return ended.stdout.decode()

    def pids(self, word: str) -> list[int]:
        """Its processes with this word on their command line, by their numbers on this machine."""
        there = Path(f"/proc/{self._pid}/ns/pid").readlink()
        found = []
        for process in psutil.process_iter():
            try:
                if word in process.cmdline() and Path(f"/proc/{process.pid}/ns/pid").readlink() == there:
                    found.append(process.pid)
            except (psutil.Error, OSError):
                continue  # it ended while we looked
        return found

    def kill(self, word: str) -> None:
        """End its processes with this word on their command line."""
        pids = self.pids(word)
        assert pids, word
        for pid in pids:
            os.kill(pid, signal.SIGKILL)

    def end(self) -> None:
        """Pull the plug: the first process ends, and the kernel ends all others."""
        assert self._first.stdin is not None
        assert self._first.stdout is not None
        self._first.stdin.close()
        self._first.wait(60)
        self._first.stdout.close()
