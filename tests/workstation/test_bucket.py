"""The bucket at home: a signed package, a file system that does not answer, and nobody who waits for it."""

import contextlib
import functools
import http.server
import os
import re
import shutil
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.probe.jupyter_servers import wait_for
from tests.workstation.machine import REPOSITORY, Machine

MOUNT = (sys.executable, "-m", "workstation.boot.bucket")
UNIT = REPOSITORY / "workstation/boot/units/autostop-s3.service"

# Stands for Mountpoint, and for an S3 that does not answer: it takes the kernel's requests and sleeps.
HANGS = """#!/usr/bin/python3
import ctypes, os, signal, sys
print("mount-s3", *sys.argv[1:], flush=True)
fuse = os.open("/dev/fuse", os.O_RDWR)
options = f"fd={fuse},rootmode=40000,user_id=0,group_id=0,allow_other".encode()
libc = ctypes.CDLL(None, use_errno=True)
if libc.mount(b"mountpoint-s3", sys.argv[-1].encode(), b"fuse", 0, options):
    sys.exit(os.strerror(ctypes.get_errno()))
signal.signal(signal.SIGTERM, signal.SIG_IGN)
while True:
    signal.pause()
"""
FAILS = "#!/bin/sh\necho 'Failed to create S3 client' >&2\nexit 1\n"


def build_package(folder: Path, program: str) -> None:
    """folder/mount-s3.deb, with this as /usr/bin/mount-s3."""
    tree = folder / "tree"
    shutil.rmtree(tree, ignore_errors=True)
    (tree / "DEBIAN").mkdir(parents=True)
    (tree / "DEBIAN/control").write_text(
        "Package: mount-s3\nVersion: 1.0\nArchitecture: all\nMaintainer: tests\nDescription: of the tests\n"
    )
    (tree / "usr/bin").mkdir(parents=True)
    (tree / "usr/bin/mount-s3").write_text(program)
    (tree / "usr/bin/mount-s3").chmod(0o755)
    run("dpkg-deb", "--root-owner-group", "--build", str(tree), str(folder / "mount-s3.deb"))


def run(*command: str) -> str:
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, (command, done.stdout, done.stderr)
    return done.stdout


class Release:
    """The web server of the releases: url, and the fingerprint of the key that they are signed by."""

    def __init__(self, folder: Path) -> None:
        self._home = folder / "gpg"
        self._home.mkdir(mode=0o700)
        self.key = self.make_key("mountpoint")
        self._files = folder / "files"
        architecture = {"aarch64": "arm64"}.get(os.uname().machine, os.uname().machine)
        self._latest = self._files / "latest" / architecture
        self._latest.mkdir(parents=True)
        (self._files / "public_keys").mkdir()
        handler = functools.partial(_Quiet, directory=str(self._files))
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> "Release":
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        run("gpgconf", "--homedir", str(self._home), "--kill", "all")

    def _gpg(self, *command: str) -> str:
        options = ("--batch", "--passphrase", "", "--pinentry-mode", "loopback")
        return run("gpg", "--homedir", str(self._home), *options, *command)

    def make_key(self, name: str) -> str:
        """Its fingerprint."""
        self._gpg("--quick-generate-key", f"{name}@example.org", "ed25519", "sign", "never")
        told = self._gpg("--with-colons", "--fingerprint", f"{name}@example.org")
        return next(line.split(":")[9] for line in told.splitlines() if line.startswith("fpr:"))

    def publish(self, program: str, signed_by: str) -> None:
        build_package(self._latest, program)
        keys = self._gpg("--armor", "--export")
        (self._files / "public_keys/KEYS").write_text(keys)
        package = self._latest / "mount-s3.deb"
        self._gpg("--yes", "--armor", "--local-user", signed_by, "--detach-sign", str(package))

    def spoil(self) -> None:
        """The package, after it was signed."""
        with (self._latest / "mount-s3.deb").open("ab") as package:
            package.write(b"more")


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 # its name in the base class
        pass


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Release]:
    # A socket of gpg's agent lies in there, whose path must be short.
    with Release(tmp_path_factory.mktemp("r")) as running:
        yield running


@pytest.fixture
def machine(tmp_path: Path, release: Release) -> Iterator[Machine]:
    """With a bucket, and nothing installed."""
    with Machine(tmp_path) as running:
        running.set_up(mountpoint=release.url, mountpoint_key=release.key)
        running.metadata.told["tags/instance/autostop:bucket"] = "a-bucket"
        os.mknod(running.root / "dev/fuse", stat.S_IFCHR | 0o666, os.makedev(10, 229))
        yield running


def mounted(machine: Machine) -> bool:
    return machine.inside("grep", "--quiet", " /s3 ", "/proc/self/mountinfo", check=False).returncode == 0


@contextlib.contextmanager
def hanging(machine: Machine) -> Iterator[Path]:
    """While Mountpoint runs, and S3 does not answer: its log."""
    log = machine.root / "tmp/log-of-mountpoint"
    with log.open("wb") as output:
        process = subprocess.Popen(
            machine.entering(*MOUNT), env=machine.environment(), stdout=output, stderr=subprocess.STDOUT
        )
    try:
        wait_for(lambda: process.poll() is not None or mounted(machine), log.read_text)
        assert process.poll() is None, log.read_text()
        yield log
    finally:
        # As systemd does.
        process.kill()
        process.wait()
        (stop,) = re.findall(r"^ExecStopPost=-(.*)$", UNIT.read_text(), re.MULTILINE)
        machine.inside(*stop.split())
    assert not mounted(machine)


def test_s3_that_does_not_answer_stops_nothing(machine: Machine, release: Release) -> None:
    release.publish(HANGS, release.key)

    with hanging(machine) as log:
        installed, told = log.read_text().splitlines()[-2:]
        assert installed == "Mountpoint is installed"
        assert told.startswith("mount-s3 --foreground --allow-delete --allow-overwrite --allow-other")
        assert told.endswith("--uid 1500 --gid 1500 a-bucket /s3")

        before = machine.boot_all()
        assert [line for line in machine.boot_all() if "volume" not in line] == [], before
        within = ("timeout", "20", "runuser", "--user", "analyst", "--")
        assert "s3" in machine.inside(*within, "ls", "-l", "/home/analyst").stdout
        assert machine.inside("timeout", "1", "ls", "/s3", check=False).returncode == 124

    # Once it is there, nobody asks for it again.
    release.spoil()
    with hanging(machine) as log:
        assert log.read_text().startswith("mount-s3 ")
    assert machine.inside("runuser", "--user", "analyst", "--", "touch", "/s3/thought", check=False).returncode != 0


@pytest.mark.parametrize("spoiled", [True, False])
def test_what_is_not_signed_by_the_key_is_not_installed(machine: Machine, release: Release, spoiled: bool) -> None:
    if spoiled:
        release.publish(FAILS, release.key)
        release.spoil()
    else:
        release.publish(FAILS, release.make_key("a-stranger"))

    done = machine.inside(*MOUNT, check=False)

    assert done.returncode == 1
    assert f"NOT DONE: mount-s3.deb of {release.url} is not signed by {release.key}" in done.stdout
    assert not (machine.root / "usr/bin/mount-s3").exists()


def test_without_a_network_it_is_tried_again(machine: Machine) -> None:
    machine.set_up(mountpoint="http://127.0.0.1:9")

    done = machine.inside(*MOUNT, check=False)

    assert (done.returncode, "NOT DONE: " in done.stdout) == (1, True)
    assert "Restart=on-failure" in UNIT.read_text()


def test_without_a_bucket_there_is_nothing_to_do(machine: Machine) -> None:
    del machine.metadata.told["tags/instance/autostop:bucket"]

    assert machine.inside(*MOUNT).stdout == ""
    assert not (machine.root / "home/analyst/s3").is_symlink()
