"""With systemd as the first process: what waits for others is in nobody's way."""

import gzip
import ipaddress
import json
from pathlib import Path

from cryptography import x509

from autostop_local.machine.machine import ROOT, Machine, Wire, make_root, make_volume, write_seed
from tests.workstation.authority import Authority, authority
from tests.workstation.test_bucket import HANGS
from tests.workstation.test_real_boots import answers, is_up, kept, log, wait_until, when
from workstation.user_data import user_data

TOLD = {"tags/instance/autostop:certificate": "letsencrypt", "tags/instance/autostop:bucket": "a-bucket"}

_BEFORE = "[Service]\nExecStartPre=/usr/local/sbin/write-cli-ini\n"
# The machine reaches this system at the address below its own. Its other address has the metadata service on port 80.
_CLI_INI = """#!/bin/sh
own=$(ip -4 -o address show eth0 | sed 's|.* inet ||; s|/.*||')
mkdir -p /etc/letsencrypt
cat >/etc/letsencrypt/cli.ini <<INI
email = me@example.org
server = http://${{own%.*}}.$((${{own##*.}} - 1)):{port}/directory
http-01-address = $own
INI
"""


def seed(server: Authority) -> bytes:
    """User data, with a certificate authority and a Mountpoint of the tests: S3 does not answer."""
    content = gzip.decompress(user_data({})).partition(b"\n")[2]
    config = json.loads(content)
    config["write_files"] += [
        {"path": "/etc/systemd/system/autostop-certificate.service.d/tests.conf", "content": _BEFORE},
        {"path": "/usr/local/sbin/write-cli-ini", "content": _CLI_INI.format(port=server.port), "permissions": "0755"},
        {"path": "/usr/bin/mount-s3", "content": HANGS, "permissions": "0755"},
    ]
    return b"#cloud-config\n" + json.dumps(config).encode()


def is_public(machine: Machine) -> bool:
    """Whether JupyterLab has the authority's certificate, for this address and nothing else."""
    certificate = x509.load_pem_x509_certificate(kept(machine, "workstation.pem").encode())
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return list(names) == [x509.IPAddress(ipaddress.ip_address(machine.address))]


def is_mounted(machine: Machine) -> bool:
    return " /s3 fuse " in machine.run("cat", "/proc/mounts").stdout


def test_neither_a_certificate_nor_a_bucket_that_hangs_keeps_anything_waiting(tmp_path: Path) -> None:
    (tmp_path / "authority").mkdir()
    volumes = {ROOT: tmp_path / "root", "sdf": tmp_path / "data"}
    for file, mib in zip(volumes.values(), (8192, 400), strict=True):
        make_volume(file, mib)
    make_root(volumes[ROOT])
    nights = [Wire(), Wire()]
    with authority(tmp_path / "authority", *(wire.gateway for wire in nights)) as server:
        write_seed(tmp_path / "seed", seed(server), "i-0123456789abcdef0")
        with Machine(tmp_path, volumes, TOLD, wire=nights[0]) as machine:
            for reached in (answers, is_up, is_mounted, is_public, answers):
                wait_until(machine, reached)
            first = machine.address
            machine.power_off()

        with Machine(tmp_path, volumes, TOLD, wire=nights[1]) as machine:
            for reached in (answers, is_up, is_mounted, is_public, answers):
                wait_until(machine, reached)

            assert machine.address != first
            assert any(line.startswith("the certificate names ") for line in log(machine))
            (asked, got) = log(machine, "autostop-certificate")
            assert asked.startswith("nobody opens port 80")
            assert got.startswith(f"the certificate is of Let's Encrypt, and names {machine.address} until")
            serves_at = when(machine, "autostop-jupyterlab", "ActiveEnter")
            assert when(machine, "autostop-certificate", "ExecMainExit") > serves_at
            assert when(machine, "autostop-s3", "ExecMainStart") > serves_at
            home = machine.run("timeout", "20", "runuser", "--user", "ubuntu", "--", "ls", "-l", "/home/ubuntu").stdout
            assert "s3 -> /s3" in home
            machine.power_off()
