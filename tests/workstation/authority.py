"""A certificate authority that runs for a while."""

import contextlib
import json
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path

from tests.workstation.machine import REPOSITORY

ENVIRONMENT = REPOSITORY / ".venv-acme"


class Authority:
    """port: where it takes requests. certificate: its own. mood: see `acme_server.mood`."""

    def __init__(self, folder: Path, port: int) -> None:
        self._folder = folder
        self.port = port
        self.certificate = folder / "ca.pem"
        self.mood()

    def mood(self, **mood: object) -> None:
        (self._folder / "mood.json").write_text(json.dumps(mood))

    @property
    def issued(self) -> int:
        return len(list((self._folder / "issued").iterdir()))

    @property
    def profiles(self) -> set[str]:
        """What was ever asked for."""
        with contextlib.closing(sqlite3.connect(self._folder / "acme.db")) as orders:
            return {profile for (profile,) in orders.execute("SELECT profile FROM orders")}


@contextlib.contextmanager
def authority(folder: Path, *listens: str) -> Iterator[Authority]:
    """listens: at which addresses."""
    (folder / "issued").mkdir()
    (folder / "crl.pem").touch()
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-noenc", "-keyout", str(folder / "ca-key.pem")]
    subject = ["-subj", "/CN=the authority of the tests", "-days", "30", "-out", str(folder / "ca.pem")]
    subprocess.run(["openssl", "req", "-x509", *key, *subject], check=True, capture_output=True)
    command = [str(ENVIRONMENT / "bin/python"), str(Path(__file__).with_name("acme_server.py")), str(folder), *listens]
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
    try:
        assert server.stdout
        port = server.stdout.readline().strip()
        assert port, (folder / "log").read_text()
        yield Authority(folder, int(port))
    finally:
        server.kill()
        server.communicate()
