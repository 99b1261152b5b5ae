"""The certificate, the token and the cookies, and a real JupyterLab that lives by them."""

import socket
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

from tests.build import row
from tests.probe.jupyter_servers import free_port
from tests.workstation.jupyterlab import KEPT, ask, jupyterlab, read
from tests.workstation.machine import ADDRESS, Machine
from workstation.boot.certificate import Certificate, parse, serves

NEXT_ADDRESS = "203.0.113.8"
NOW = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)
FOR_AN_HOUR, FOR_TWO_DAYS = NOW + timedelta(hours=1), NOW + timedelta(hours=48)


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    with Machine(tmp_path) as running:
        running.set_up(user="root")  # reads the Python of the tests
        yield running


# -- whether it is kept ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("names", "begins_at", "ends_at", "expected"), [
    row("as it was made", {"a", "b"}, NOW, NOW + timedelta(days=397), True),
    row("with a name more", {"a", "b", "c"}, NOW, NOW + timedelta(days=397), True),
    row("a name is missing", {"a"}, NOW, NOW + timedelta(days=397), False),
    row("it begins a second from now", {"a", "b"}, NOW + timedelta(seconds=1), NOW + timedelta(days=397), False),
    row("it ends in 48 hours and a second", {"a", "b"}, NOW, FOR_TWO_DAYS + timedelta(seconds=1), True),
    row("it ends in 48 hours", {"a", "b"}, NOW, FOR_TWO_DAYS, False),
    row("it is over", {"a", "b"}, NOW - timedelta(days=2), NOW - timedelta(days=1), False),
])  # fmt: skip
def test_a_certificate_is_kept_while_it_serves(
    names: set[str], begins_at: datetime, ends_at: datetime, expected: bool
) -> None:
    assert serves(Certificate(frozenset(names), begins_at, ends_at), ["a", "b"], NOW) is expected


def test_what_openssl_tells_is_read() -> None:
    told = """notBefore=2026-11-29 00:58:05Z
notAfter=2027-12-31 00:58:05Z
X509v3 Subject Alternative Name: 
    IP Address:1.2.3.4, DNS:localhost, IP Address:0:0:0:0:0:0:0:1"""  # noqa: W291 # as it writes it

    assert parse(told) == Certificate(
        frozenset({"1.2.3.4", "localhost", "::1"}),
        datetime(2026, 11, 29, 0, 58, 5, tzinfo=UTC),
        datetime(2027, 12, 31, 0, 58, 5, tzinfo=UTC),
    )


# -- on the machine ----------------------------------------------------------------------------------------------------


def presented(machine: Machine) -> x509.Certificate:
    return x509.load_pem_x509_certificate((machine.root / KEPT / "workstation.pem").read_bytes())


def names_of(certificate: x509.Certificate) -> set[str]:
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return {str(name.value) for name in names}


def test_it_names_this_start_and_is_the_owners_alone(machine: Machine) -> None:
    machine.metadata.told |= {"public-hostname": "EC2-203-0-113-7.compute-1.amazonaws.com", "ipv6": "2001:db8:0::1"}
    machine.set_up(user="analyst")

    log = machine.boot_all()

    certificate = presented(machine)
    assert names_of(certificate) >= {
        ADDRESS, "10.0.0.5", "2001:db8::1", "ec2-203-0-113-7.compute-1.amazonaws.com", "localhost", "127.0.0.1", "::1",
    }  # fmt: skip
    assert isinstance(certificate.public_key(), ec.EllipticCurvePublicKey)
    assert any(line.startswith(f"the certificate names {ADDRESS}, ") for line in log)
    for file in ("workstation.pem", "token", "cookie-secret"):
        told = machine.inside("stat", "--format", "%U %a", f"/{KEPT}/{file}").stdout
        assert told == "analyst 600\n", file
    assert machine.boot() == machine.boot_all()


def test_another_address_gets_another_certificate_and_voids_the_cookies_but_not_the_token(machine: Machine) -> None:
    machine.boot()
    token, cookies = read(machine, "token"), read(machine, "cookie-secret")
    machine.metadata.told["public-ipv4"] = NEXT_ADDRESS

    machine.boot()

    assert ADDRESS not in names_of(presented(machine))
    assert NEXT_ADDRESS in names_of(presented(machine))
    assert read(machine, "token") == token
    assert read(machine, "cookie-secret") != cookies


def test_a_machine_that_is_told_nothing_keeps_what_it_has(machine: Machine) -> None:
    machine.boot()
    before = [read(machine, file) for file in ("workstation.pem", "token", "cookie-secret")]
    machine.metadata.broken = True

    log = machine.boot_all()

    assert "NOT DONE: EC2 does not tell the address of this machine" in log
    assert [read(machine, file) for file in ("workstation.pem", "token", "cookie-secret")] == before


def test_a_machine_that_was_never_told_anything_can_be_reached_from_itself(machine: Machine) -> None:
    machine.metadata.broken = True

    machine.boot()

    assert {"localhost", "127.0.0.1"} <= names_of(presented(machine))


def signed(machine: Machine, key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey, begins_at: datetime) -> bytes:
    """Key and certificate, with the names of the one that is there."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "workstation")])
    names = presented(machine).extensions.get_extension_for_class(x509.SubjectAlternativeName)
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    dated = builder.not_valid_before(begins_at).not_valid_after(begins_at + timedelta(days=397))
    certificate = dated.add_extension(names.value, critical=False).sign(key, hashes.SHA256())
    plain = (serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return key.private_bytes(serialization.Encoding.PEM, *plain) + certificate.public_bytes(serialization.Encoding.PEM)


def test_one_that_a_server_could_not_use_is_made_anew(machine: Machine) -> None:
    machine.boot()
    now = datetime.now(UTC)
    good = (machine.root / KEPT / "workstation.pem").read_bytes()
    key, other = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    certificate = good[good.index(b"-----BEGIN CERT") :]
    other_key = signed(machine, other, now).partition(b"-----BEGIN CERT")[0]
    bad = {
        "empty": b"",
        "cut off": good[: len(good) // 2],
        "of another key": other_key + certificate,
        "too small": signed(machine, rsa.generate_private_key(65_537, 1024), now),  # noqa: S505 # for that
        "made by a clock that was ahead": signed(machine, key, now + timedelta(days=1)),
        "made by a clock that was behind": signed(machine, key, now - timedelta(days=400)),
    }
    for what, content in bad.items():
        (machine.root / KEPT / "workstation.pem").write_bytes(content)

        machine.boot()

        assert (machine.root / KEPT / "workstation.pem").read_bytes() != content, what
        assert ADDRESS in names_of(presented(machine)), what
    as_good = signed(machine, key, now)
    (machine.root / KEPT / "workstation.pem").write_bytes(as_good)
    machine.boot()
    assert (machine.root / KEPT / "workstation.pem").read_bytes() == as_good


def test_a_token_of_the_owners_own_loses_the_newline_of_an_editor(machine: Machine) -> None:
    machine.boot()
    (machine.root / KEPT / "token").write_text("my own token\n")

    log = machine.boot_all()

    assert read(machine, "token") == "my own token"
    assert "the token is written anew, without the space around it" in log


# -- JupyterLab --------------------------------------------------------------------------------------------------------


def test_jupyterlab_lives_by_them_through_a_change_of_address(machine: Machine) -> None:
    machine.boot()
    token, port = read(machine, "token"), free_port()

    with jupyterlab(machine, port):
        status, cookies = ask(machine, port, f"/lab?token={token}")
        assert (status, bool(cookies)) == (200, True)
        assert ask(machine, port, "/api/contents", Cookie=cookies)[0] == 200
        assert ask(machine, port, "/api/contents", Authorization="token wrong")[0] == 403
        with pytest.raises(ssl.SSLCertVerificationError):
            ssl.create_default_context().wrap_socket(
                socket.create_connection(("127.0.0.1", port)), server_hostname=ADDRESS
            )

        # The same process serves what the file holds now.
        machine.metadata.told["public-ipv4"] = NEXT_ADDRESS
        before = read(machine, "workstation.pem")
        machine.boot()
        assert read(machine, "workstation.pem") != before
        assert ask(machine, port, "/api/contents", NEXT_ADDRESS, Cookie=cookies)[0] == 200

    with jupyterlab(machine, port):
        assert ask(machine, port, "/api/contents", NEXT_ADDRESS, Cookie=cookies)[0] == 403
        status, cookies = ask(machine, port, f"/lab?token={token}", NEXT_ADDRESS)
        assert status == 200

    machine.boot()
    with jupyterlab(machine, port):
        assert ask(machine, port, "/api/contents", NEXT_ADDRESS, Cookie=cookies)[0] == 200
