"""The certificate of Let's Encrypt: a real certbot, a real authority, and a real JupyterLab that serves it."""

import contextlib
import http.client
import itertools
import json
import socket
import ssl
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import websocket
from cryptography import x509

from tests.build import row
from tests.probe.jupyter_servers import free_port
from tests.workstation.authority import ENVIRONMENT, Authority
from tests.workstation.authority import authority as authority_in
from tests.workstation.jupyterlab import KEPT, jupyterlab, read
from tests.workstation.machine import Machine
from workstation.boot.public_certificate import Failure, paused

ADDRESSES = (f"127.80.{number // 250}.{number % 250 + 1}" for number in itertools.count())
NOW = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)
HOUR, SECOND = timedelta(hours=1), timedelta(seconds=1)
ASK = (sys.executable, "-m", "workstation.boot.public_certificate")


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Authority]:
    with authority_in(tmp_path_factory.mktemp("authority"), "127.0.0.1") as authority:
        yield authority


@pytest.fixture
def authority(running: Authority) -> Authority:
    running.mood()
    return running


class Chosen(Machine):
    """One whose owner chose Let's Encrypt, at an address of the loopback that is its own."""

    authority: Authority

    def set_up(self, **settings: object) -> None:
        super().set_up(user="root", **settings)
        self.metadata.told["tags/instance/autostop:certificate"] = "letsencrypt"
        (self.root / "opt/autostop").mkdir(parents=True, exist_ok=True)
        (self.root / "opt/autostop/certbot").symlink_to(ENVIRONMENT)
        (self.root / "etc/letsencrypt").mkdir()
        self.move()

    def move(self, *, listens: str | None = None) -> str:
        """To another address. listens: where certbot does, when that is another one."""
        self.address = self.metadata.told["public-ipv4"] = next(ADDRESSES)
        # What an owner writes there holds too.
        server = f"http://127.0.0.1:{self.authority.port}/directory"
        (self.root / "etc/letsencrypt/cli.ini").write_text(
            f"server = {server}\nemail = me@example.org\nhttp-01-address = {listens or self.address}\n"
        )
        return self.address

    def reboot(self) -> list[str]:
        """Lines of its log that concern the certificate."""
        return [line for line in self.boot_all() if "certificate" in line]

    def ask(self) -> list[str]:
        """Lines of its log."""
        return self.inside(*ASK).stdout.splitlines()

    def served(self) -> x509.Certificate:
        return x509.load_pem_x509_certificate((self.root / KEPT / "workstation.pem").read_bytes())

    def names(self) -> set[str]:
        names = self.served().extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        return {str(name.value) for name in names}

    @property
    def failure(self) -> str:
        """Why there is none, as it is written down; empty when there is no failure."""
        file = self.root / KEPT / "public-certificate.json"
        return str(json.loads(file.read_text())["reason"]) if file.exists() else ""

    def wait_an_hour(self) -> None:
        file = self.root / KEPT / "public-certificate.json"
        failure = json.loads(file.read_text())
        failure["at"] = (datetime.fromisoformat(failure["at"]) - HOUR).isoformat()
        file.write_text(json.dumps(failure))


@pytest.fixture
def machine(tmp_path: Path, authority: Authority) -> Iterator[Chosen]:
    """That has booted."""
    machine = Chosen(tmp_path)
    machine.authority = authority
    with machine:
        machine.boot()
        yield machine


# -- when it is asked for ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("failed", "address", "now", "expected"), [
    row("never failed", None, "a", NOW, False),
    row("just now", NOW, "a", NOW, True),
    row("a second less than an hour ago", NOW, "a", NOW + HOUR - SECOND, True),
    row("an hour ago", NOW, "a", NOW + HOUR, False),
    row("for another address", NOW, "b", NOW, False),
    row("ahead of this clock", NOW, "a", NOW - SECOND, False),
])  # fmt: skip
def test_a_failure_is_followed_by_a_pause(failed: datetime | None, address: str, now: datetime, expected: bool) -> None:
    failure = Failure("a", failed.isoformat(), "no reason") if failed else None

    assert paused(failure, address, now) is expected


# -- what the machine gets ---------------------------------------------------------------------------------------------


def test_it_is_issued_kept_and_issued_anew_for_another_address(machine: Chosen, authority: Authority) -> None:
    assert "localhost" in machine.names()
    own = read(machine, "workstation.pem")
    before = authority.issued

    log = machine.ask()

    assert any(
        line.startswith(f"the certificate is of Let's Encrypt, and names {machine.address} until") for line in log
    )
    assert "nobody opens port 80 for Let's Encrypt" in log[0]
    assert machine.names() == {machine.address}
    assert machine.served().issuer.rfc4514_string() == "CN=the authority of the tests"
    assert machine.inside("stat", "--format", "%U %a", f"/{KEPT}/workstation.pem").stdout == "root 600\n"
    assert machine.failure == ""

    # The next boots change nothing, and ask nobody.
    first = read(machine, "workstation.pem")
    authority.mood(refuses=True)
    assert machine.reboot() == machine.ask() == []
    assert read(machine, "workstation.pem") == first

    # At another address the machine's own serves until there is a new one.
    authority.mood()
    address = machine.move()
    machine.boot()
    assert {address, "localhost"} <= machine.names()
    machine.ask()
    assert machine.names() == {address}
    assert authority.issued == before + 2
    assert authority.profiles == {"shortlived"}

    # Whatever happens to the file that JupyterLab reads, nobody has to be asked for it.
    authority.mood(refuses=True)
    (machine.root / KEPT / "workstation.pem").write_text(own)
    assert len(machine.reboot()) == 1
    assert machine.names() == {address}

    # Nobody tells the machine anything: what it has stays.
    machine.metadata.broken = True
    machine.boot()
    assert machine.ask() == []
    assert machine.names() == {address}

    # Its owner chose otherwise.
    machine.metadata.broken = False
    del machine.metadata.told["tags/instance/autostop:certificate"]
    assert machine.ask() == []
    machine.boot()
    assert {address, "localhost"} <= machine.names()


def test_a_refusal_is_told_and_not_repeated_before_its_time(machine: Chosen, authority: Authority) -> None:
    authority.mood(refuses=True)

    assert any("NOT DONE: certbot: " in line and "enrollment failed" in line for line in machine.ask())

    assert "enrollment failed" in machine.failure
    assert "localhost" in machine.names()
    # Neither at once nor after a boot is anybody asked again.
    authority.mood()
    machine.boot()
    assert machine.ask() == []
    assert "localhost" in machine.names()
    machine.wait_an_hour()
    machine.ask()
    assert machine.names() == {machine.address}
    assert machine.failure == ""


def test_one_that_does_not_serve_here_is_not_served(machine: Chosen, authority: Authority) -> None:
    moods: dict[str, dict[str, object]] = {
        "of another address": {"names": "127.99.9.9"},
        "by another clock": {"clock": 86_400},
    }
    for what, mood in moods.items():
        authority.mood(**mood)
        machine.move()
        machine.boot()

        machine.ask()

        assert "localhost" in machine.names(), what
        assert "the certificate of Let's Encrypt names 127." in machine.failure, what
        issued = authority.issued
        assert machine.ask() == [], what
        assert authority.issued == issued, what


def test_one_that_ends_soon_or_has_ended_is_replaced_and_serves_until_its_end(
    machine: Chosen, authority: Authority
) -> None:
    day = 86_400
    authority.mood(clock=-5 * day)  # of its 160 hours 40 are left
    machine.ask()
    address = machine.address
    ending = read(machine, "workstation.pem")
    assert machine.names() == {address}

    # Whoever cannot have another has this one as long as it is valid.
    authority.mood(refuses=True)
    machine.boot()
    machine.ask()
    assert "enrollment failed" in machine.failure
    assert read(machine, "workstation.pem") == ending

    # In its place the authority gives one that is over: the machine's own serves.
    machine.wait_an_hour()
    authority.mood(clock=-8 * day)
    machine.ask()
    assert "the certificate of Let's Encrypt names" in machine.failure
    assert {address, "localhost"} <= machine.names()

    machine.wait_an_hour()
    authority.mood()
    machine.ask()
    assert machine.names() == {address}, machine.failure
    assert machine.served().not_valid_after_utc > datetime.now(UTC) + timedelta(days=6)
    assert machine.failure == ""


def test_a_port_that_is_closed_or_taken_leaves_the_machines_own(machine: Chosen) -> None:
    machine.move(listens=next(ADDRESSES))
    machine.boot()
    machine.ask()
    assert "problems" in machine.failure
    assert {machine.address, "localhost"} <= machine.names()

    with socket.create_server((machine.move(), 80)):
        machine.ask()
    assert "Could not bind TCP port 80" in machine.failure
    assert "localhost" in machine.names()


def test_an_authority_that_is_slow_is_given_up(machine: Chosen, authority: Authority) -> None:
    authority.mood(waits=600)
    file = machine.root / "etc/autostop/workstation.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"wait_for_certificate": 3}))

    machine.ask()

    assert machine.failure == "/opt/autostop/certbot/bin/certbot had not ended after 3 seconds"
    assert "localhost" in machine.names()


def test_port_80_is_asked_for_and_given_back_whatever_happens(machine: Chosen, authority: Authority) -> None:
    program = machine.root / "etc/autostop/port-80"
    program.write_text(f'#!/bin/sh\necho "$@" >>/{KEPT}/asked\ntest ! -e /{KEPT}/refuse\n')
    program.chmod(0o755)
    with socket.create_server((machine.address, 80)):
        log = machine.ask()

    assert read(machine, "asked").splitlines() == [f"open {machine.address}", f"close {machine.address}"]
    assert not any("nobody opens" in line for line in log)

    # Who is not let in asks nobody.
    (machine.root / KEPT / "refuse").touch()
    machine.move()
    issued = authority.issued
    machine.ask()
    assert "port-80 ended with 1" in machine.failure
    assert authority.issued == issued


def test_what_a_power_cut_left_of_it_is_replaced(machine: Chosen) -> None:
    kept = machine.root / "etc/letsencrypt"
    for part in ("live", "archive"):
        (kept / part / "workstation").mkdir(parents=True)
    (kept / "live/workstation/README").touch()
    (kept / "renewal").mkdir()
    (kept / "renewal/workstation.conf").touch()

    machine.ask()

    assert machine.names() == {machine.address}, machine.failure
    assert [folder.name for folder in (kept / "live").iterdir() if folder.is_dir()] == ["workstation"]


def test_on_a_full_disk_what_is_served_stays(machine: Chosen) -> None:
    served = read(machine, "workstation.pem")
    machine.inside("dd", "if=/dev/zero", "of=/filler", check=False)

    assert any(line.startswith("NOT DONE: ") for line in machine.ask())
    machine.move()
    machine.boot()
    assert read(machine, "workstation.pem") == served


def test_without_an_address_in_the_internet_nobody_is_asked(machine: Chosen) -> None:
    del machine.metadata.told["public-ipv4"]
    machine.boot()

    machine.ask()

    assert "no public address" in machine.failure
    assert {"10.0.0.5", "localhost"} <= machine.names()


# -- JupyterLab --------------------------------------------------------------------------------------------------------


def pinned(machine: Machine) -> ssl.SSLContext:
    """A client that takes the certificate that the machine has now, and no other."""
    context = ssl.create_default_context(cadata=read(machine, "workstation.pem"))
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return context


def call(machine: Chosen, port: int, method: str, path: str) -> Any:
    """The decoded answer of its API."""
    connection = http.client.HTTPSConnection("127.0.0.1", port)
    plain = socket.create_connection(("127.0.0.1", port), timeout=60)
    connection.sock = pinned(machine).wrap_socket(plain, server_hostname=machine.address)
    with contextlib.closing(connection):
        connection.request(method, path, headers={"Authorization": f"token {read(machine, 'token')}"})
        content = connection.getresponse().read()
        return json.loads(content) if content else None


@contextlib.contextmanager
def channels(machine: Chosen, port: int, kernel: str, context: ssl.SSLContext) -> Iterator[websocket.WebSocket]:
    plain = socket.create_connection(("127.0.0.1", port), timeout=60)
    tls = context.wrap_socket(plain, server_hostname=machine.address)
    url = f"wss://{machine.address}/api/kernels/{kernel}/channels?token={read(machine, 'token')}"
    connection = websocket.create_connection(url, socket=tls)
    try:
        yield connection
    finally:
        connection.close()


def run_cell(connection: websocket.WebSocket, code: str) -> str:
    """What it printed."""
    content = {"code": code, "silent": False}
    header = {"msg_id": code, "msg_type": "execute_request", "username": "", "session": "a", "version": "5.3"}
    message = {"header": header, "parent_header": {}, "metadata": {}, "content": content, "channel": "shell"}
    connection.send(json.dumps(message))
    printed = ""
    while True:
        answer = json.loads(connection.recv())
        if answer["parent_header"].get("msg_id") != code:
            continue
        if answer["msg_type"] == "stream":
            printed += answer["content"]["text"]
        # What it printed comes before that, on the same channel.
        if answer["msg_type"] == "status" and answer["content"]["execution_state"] == "idle":
            return printed


def test_jupyterlab_serves_it_without_a_restart_and_the_kernel_lives_on(machine: Chosen, authority: Authority) -> None:
    port = free_port()
    with jupyterlab(machine, port) as process:
        kernel = call(machine, port, "POST", "/api/kernels")["id"]
        with channels(machine, port, kernel, pinned(machine)) as before:
            run_cell(before, "thought = 41")
            own = pinned(machine)

            machine.ask()

            # Who was connected is not disturbed; who pinned the machine's own has to pin anew, and who knows the
            # authority has nothing to do.
            assert run_cell(before, "print(thought)") == "41\n"
            public = ssl.create_default_context(cafile=authority.certificate)
            with channels(machine, port, kernel, public) as after:
                assert run_cell(after, "print(thought + 1)") == "42\n"
            for stranger in (own, ssl.create_default_context()):
                with pytest.raises(ssl.SSLCertVerificationError), channels(machine, port, kernel, stranger):
                    pass
        assert process.poll() is None
        call(machine, port, "DELETE", f"/api/kernels/{kernel}")
