"""Real ssh logins to a workstation: its sshd on loopback, and the client on a terminal of this machine."""

import contextlib
import os
import pty
import subprocess
import threading
import time
from pathlib import Path
from typing import Final

from tests.person.workstation import HOME, USER, Workstation
from tests.probe.jupyter_servers import free_port

_PATIENCE_SECONDS: Final = 120
_CONFIGURATION: Final = """
ListenAddress 127.0.0.1
PidFile none
UsePAM no
UseDNS no
PasswordAuthentication no
KbdInteractiveAuthentication no
PrintMotd no
PrintLastLog no
"""


class Sshd:
    """The workstation's sshd, with a host key of its own, and the only key that it lets in."""

    def __init__(self, workstation: Workstation) -> None:
        self._folder = workstation.folder
        self.port = free_port()
        host_key, self.key = _make_key(self._folder / "host"), _make_key(self._folder / "key")
        self._hosts = self._folder / "known_hosts"
        self._hosts.write_text(f"[127.0.0.1]:{self.port} {host_key.with_suffix('.pub').read_text()}")
        workstation.run(
            "install", f"--owner={USER}", "--mode=0600", self.key.with_suffix(".pub"), HOME / ".ssh/authorized_keys"
        )
        configuration = self._folder / "sshd_config"
        configuration.write_text(f"Port {self.port}\nHostKey {host_key}\n{_CONFIGURATION}")
        workstation.run("/usr/sbin/sshd", "-f", configuration, "-E", self._folder / "sshd.log")

    def _client(self, *options: str) -> list[str]:
        return [
            *("ssh", "-F", "/dev/null", "-p", str(self.port), "-i", str(self.key)),
            *("-o", f"UserKnownHostsFile={self._hosts}", "-o", "StrictHostKeyChecking=yes", "-o", "IdentitiesOnly=yes"),
            *options,
            f"{USER}@127.0.0.1",
        ]

    def login(self, *options: str) -> "Login":
        """A shell on a terminal. options: those of ssh."""
        return Login(self._client(*options), self._folder / "sshd.log")

    def run(self, command: str) -> None:
        """A command without a terminal, as `ssh host command` gives one."""
        subprocess.run([*self._client(), command], stdin=subprocess.DEVNULL, check=True, timeout=_PATIENCE_SECONDS)


class Login:
    """An ssh client as a person holds it: what the keyboard sends, and what the screen showed."""

    def __init__(self, command: list[str], log: Path) -> None:
        self._log = log
        self._shown = ""
        self._seen = 0
        self._keyboard, terminal = pty.openpty()
        self._client = subprocess.Popen(
            command, stdin=terminal, stdout=terminal, stderr=terminal, start_new_session=True, env=_ENVIRONMENT
        )
        os.close(terminal)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.see("$ ")

    def _read(self) -> None:
        # A screen that nobody reads fills up and stops the program behind it.
        with contextlib.suppress(OSError):  # how the kernel says that the other side has gone
            while piece := os.read(self._keyboard, 65_536):
                self._shown += piece.decode(errors="replace")

    def type(self, text: str) -> None:
        os.write(self._keyboard, text.encode())

    def see(self, text: str) -> None:
        """Wait until the screen shows the text, after what was seen on it before."""
        until = time.monotonic() + _PATIENCE_SECONDS
        while (at := self._shown.find(text, self._seen)) < 0:
            assert time.monotonic() < until, (self._shown, self._log.read_text())
            time.sleep(0.05)
        self._seen = at + len(text)

    def enter(self, command: str) -> None:
        """Type a command line and wait for the prompt that follows it."""
        self.type(f"{command}; echo do''ne\r")
        self.see("done")
        self.see("$ ")

    def leave(self) -> None:
        """Log out and wait until the client has gone."""
        self.type("exit\r")
        self._client.wait(_PATIENCE_SECONDS)

    def drop(self) -> None:
        """The client is gone, without a word."""
        self._client.kill()

    def end(self) -> None:
        self.drop()
        self._client.wait()
        self._reader.join()
        os.close(self._keyboard)


_ENVIRONMENT: Final = {"PATH": os.environ["PATH"], "TERM": "xterm", "LANG": "C.UTF-8"}


def _make_key(path: Path) -> Path:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", path], check=True)
    return path
