"""A machine in a mount namespace of its own: this system's files beneath its own, loop devices, the boot script.

Its files, and the marks on them, are in memory and go with it. It needs root, loop devices, overlayfs and XFS.
"""

import json
import os
import stat
import subprocess
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Self

from autostop_local.machine.metadata import Metadata

ADDRESS = "203.0.113.7"


REPOSITORY = Path(__file__).parents[2]
MIB = 1024 * 1024

# Ends when its input does, that is when this process does, and takes the namespace along.
_KEEP = """
set -e
mount -t tmpfs -o size=64m machine "$1"
cd "$1"
mkdir upper work root
mount -t overlay -o lowerdir=/,upperdir=upper,workdir=work machine root
cd root
mount -t proc proc proc
mount --rbind /sys sys
mount -t tmpfs dev dev
for node in 'null 1 3' 'zero 1 5' 'full 1 7' 'random 1 8' 'urandom 1 9'; do
    set -- $node
    mknod -m 666 dev/$1 c $2 $3
done
ln -s /proc/self/fd dev/fd
ln -s /proc/self/fd/0 dev/stdin
rm -rf data var/lib/autostop etc/autostop
echo 'analyst:x:1500:1500::/home/analyst:/bin/sh' >>etc/passwd
mkdir -p home/analyst
chown 1500:1500 home/analyst
printf 'UUID=0815 / ext4 defaults 0 1' >etc/fstab
touch a-machine-of-the-tests
exec chroot . sh -c 'echo up; exec cat'
"""


class Disk:
    """An EBS volume: a file, and a loop device over it."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.loop = Path(_output("losetup", "--find", "--show", str(file)))

    @classmethod
    def new(cls, file: Path, mib: int = 400) -> "Disk":
        """One that reads as zeros."""
        with file.open("xb") as content:
            content.truncate(mib * MIB)
        return cls(file)

    def restored(self, file: Path) -> "Disk":
        """Another volume, of the same content."""
        self.settle()
        _output("cp", "--sparse=always", str(self.file), str(file))
        return Disk(file)

    def write(self, at: int, content: bytes) -> None:
        with self.loop.open("r+b") as device:
            device.seek(at)
            device.write(content)
        self.settle()

    def read(self, at: int, length: int) -> bytes:
        with self.loop.open("rb") as device:
            device.seek(at)
            return device.read(length)

    def make(self, *command: str) -> None:
        """What a program makes of it, such as a file system; it gets the device as its last argument."""
        _output(*command, str(self.loop))
        self.settle()

    def grow(self, mib: int) -> None:
        os.truncate(self.file, mib * MIB)
        _output("losetup", "--set-capacity", str(self.loop))

    def written(self) -> dict[int, bytes]:
        """All that was ever written to it, by where."""
        self.settle()
        found: dict[int, bytes] = {}
        with self.file.open("rb") as content:
            end, at = self.file.stat().st_size, 0
            while at < end:
                try:
                    at = os.lseek(content.fileno(), at, os.SEEK_DATA)
                except OSError:  # a hole up to the end
                    break
                hole = os.lseek(content.fileno(), at, os.SEEK_HOLE)
                if any(part := os.pread(content.fileno(), hole - at, at)):
                    found[at] = part
                at = hole
        return found

    def settle(self) -> None:
        descriptor = os.open(self.loop, os.O_RDONLY)
        os.fsync(descriptor)
        os.close(descriptor)

    def end(self) -> None:
        subprocess.run(["losetup", "--detach", self.loop], check=True, capture_output=True)


class Machine:
    """Boots as often as asked, on one root volume."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._stack = ExitStack()
        self._disks = 0
        self.metadata = Metadata(("127.0.0.1", 0), {"public-ipv4": ADDRESS, "local-ipv4": "10.0.0.5"})

    def __enter__(self) -> Self:
        self._stack.enter_context(self.metadata)
        own = self._folder / "machine"
        own.mkdir()
        command = ["unshare", "--mount", "--propagation", "private", "sh", "-c", _KEEP, "sh", str(own)]
        self._keeper = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._stack.callback(self._end)
        assert self._keeper.stdout
        assert self._keeper.stdout.readline() == "up\n"
        self.root = Path(f"/proc/{self._keeper.pid}/root")
        assert (self.root / "a-machine-of-the-tests").exists(), "this would write to the system that runs the tests"
        self.set_up()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _end(self) -> None:
        self._keeper.communicate()

    def set_up(self, **settings: object) -> None:
        """What the user data wrote down."""
        settings = {
            "user": "analyst",
            "wait_for_disk": 0,
            "wait_for_network": 0,
            "metadata": self.metadata.host,
        } | settings
        file = self.root / "etc/autostop/workstation.json"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(settings), encoding="utf-8")

    def disk(self, mib: int = 400) -> Disk:
        """A new one, attached nowhere."""
        return self._own(Disk.new(self._file(), mib))

    def restore(self, disk: Disk) -> Disk:
        return self._own(disk.restored(self._file()))

    def _file(self) -> Path:
        self._disks += 1
        return self._folder / f"volume-{self._disks}"

    def _own(self, disk: Disk) -> Disk:
        self._stack.callback(disk.end)
        return disk

    def attach(self, disk: Disk, name: str = "sdf") -> None:
        os.mknod(self.root / "dev" / name, stat.S_IFBLK | 0o600, disk.loop.stat().st_rdev)

    def detach(self, name: str = "sdf") -> None:
        (self.root / "dev" / name).unlink()

    def inside(self, *command: str, check: bool = True) -> "subprocess.CompletedProcess[str]":
        done = subprocess.run(
            self.entering(*command), text=True, capture_output=True, env=self.environment(), check=False
        )
        assert not check or done.returncode == 0, (done.stdout, done.stderr)
        return done

    def entering(self, *command: str) -> list[str]:
        target = str(self._keeper.pid)
        return ["nsenter", "--target", target, "--mount", "--root", "--wdns=/", *command]

    def environment(self, **more: str) -> Mapping[str, str]:
        path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        return {"PATH": path, "PYTHONPATH": str(REPOSITORY), "PYTHONDONTWRITEBYTECODE": "1"} | more

    def boot(self) -> list[str]:
        """Lines of its log that concern the data volume."""
        return [line for line in self.boot_all() if not line.startswith(OTHER_LINES)]

    def boot_all(self) -> list[str]:
        """Lines of its log."""
        return self.inside(*BOOT).stdout.splitlines()

    def shut_down(self) -> None:
        """As far as a next boot could tell."""
        if self.mounted():
            self.inside("umount", "/data")

    def mounted(self) -> str | None:
        """Device at /data."""
        done = self.inside(
            "findmnt", "--noheadings", "--output", "MAJ:MIN,FSTYPE", "--mountpoint", "/data", check=False
        )
        return " ".join(done.stdout.split()) or None


BOOT = (sys.executable, "-m", "workstation.boot")
OTHER_LINES = (
    "there is a token",
    "there is a new secret",
    "the certificate names",
    *(f"/{home}/" for home in ("home", "root")),
)


def _output(*command: str) -> str:
    done = subprocess.run(command, text=True, capture_output=True, check=False)
    assert done.returncode == 0, (command, done.stdout, done.stderr)
    return done.stdout.strip()
