"""The user data on a machine with systemd as its first process: first boots, next ones, nights, cuts of power.

The owner of the machine through most of these tests chose Let's Encrypt, and has a bucket that does not answer.
"""

import contextlib
import gzip
import hashlib
import http.client
import ipaddress
import json
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest
from cryptography import x509

from autostop_local.machine.machine import ROOT, Machine, Wire, copy, make_root, make_volume, write_seed
from tests.probe.jupyter_servers import wait_for
from tests.workstation.authority import Authority, authority
from tests.workstation.machine import MIB
from tests.workstation.test_bucket import HANGS
from workstation.boot import superblock
from workstation.user_data import user_data

DATA = "sdf"
KEPT = Path("var/lib/autostop")
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


def new(folder: Path, seed: bytes | None = None) -> dict[str, Path]:
    """Its volumes, before its first boot."""
    write_seed(folder / "seed", seed or user_data({}), "i-0123456789abcdef0")
    volumes = {ROOT: folder / "root", DATA: folder / "data"}
    for file, mib in zip(volumes.values(), (8192, 400), strict=True):
        make_volume(file, mib)
    make_root(volumes[ROOT])
    return volumes


def ask(machine: Machine, path: str, port: int = 8888, token: str | None = None) -> int:
    """Status. The client trusts the machine's present certificate for its address, and nothing else."""
    pinned = ssl.create_default_context(cadata=kept(machine, "workstation.pem"))
    pinned.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    with closing(http.client.HTTPSConnection(machine.address, port, context=pinned, timeout=60)) as connection:
        connection.request("GET", path, headers={"Authorization": f"token {token}"} if token else {})
        answer = connection.getresponse()
        answer.read()
        return answer.status


def answers(machine: Machine) -> bool:
    with suppress(OSError):
        return ask(machine, "/api") == 200
    return False


def kept(machine: Machine, file: str) -> str:
    return (machine.root / KEPT / file).read_text()


def log(machine: Machine, unit: str = "autostop-boot") -> list[str]:
    """Lines of this boot that the unit's own program wrote."""
    shown = machine.run(
        "journalctl", f"--since=@{machine.started_at.timestamp()}", "--no-pager", "--output=cat", f"--unit={unit}",
        "_COMM=python3", check=False,
    )  # fmt: skip
    return shown.stdout.splitlines()


def when(machine: Machine, unit: str, what: str) -> int:
    """Microseconds since the system around was started."""
    shown = machine.run("systemctl", "show", unit, f"--property={what}TimestampMonotonic", "--value").stdout
    return int(shown)


def is_up(machine: Machine) -> bool:
    """Whether its boot is over, and nothing failed."""
    state = machine.run("systemctl", "is-system-running", check=False).stdout.strip()
    assert state != "degraded", machine.run("systemctl", "--failed", "--no-pager").stdout
    return state == "running"


def is_public(machine: Machine) -> bool:
    """Whether JupyterLab has the authority's certificate, for this address and nothing else."""
    certificate = x509.load_pem_x509_certificate(kept(machine, "workstation.pem").encode())
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return list(names) == [x509.IPAddress(ipaddress.ip_address(machine.address))]


def is_mounted(machine: Machine) -> bool:
    return " /s3 fuse " in machine.run("cat", "/proc/mounts").stdout


def wait_until(machine: Machine, reached: Callable[[Machine], bool]) -> None:
    wait_for(lambda: reached(machine), lambda: machine.run("journalctl", "--no-pager", "--lines=60").stdout)


def wait_until_all_is_there(machine: Machine) -> None:
    for reached in (answers, is_up, is_mounted, is_public, answers):
        wait_until(machine, reached)


def contents(machine: Machine) -> dict[str, tuple[int, int]]:
    """Of what the boot script writes: which file it is, and when it was written."""
    files = [*(machine.root / KEPT).iterdir(), machine.root / "etc/fstab", *(machine.root / "home/ubuntu").iterdir()]
    return {str(file): (file.lstat().st_ino, file.lstat().st_mtime_ns) for file in files}


@pytest.fixture(scope="module")
def wires() -> tuple[Wire, Wire]:
    """Of the first day and of the next."""
    return Wire(), Wire()


@pytest.fixture(scope="module")
def volumes(tmp_path_factory: pytest.TempPathFactory, wires: tuple[Wire, Wire]) -> Iterator[dict[str, Path]]:
    """Of one machine, through the boots of these tests: in their order."""
    gateways = (wire.gateway for wire in wires)
    with authority(tmp_path_factory.mktemp("authority"), *gateways) as server:
        yield new(tmp_path_factory.mktemp("machine"), seed(server))


@pytest.fixture(scope="module")
def first(volumes: dict[str, Path], wires: tuple[Wire, Wire]) -> Iterator[Machine]:
    with Machine(volumes[ROOT].parent, volumes, TOLD, wire=wires[0]) as machine:
        wait_until_all_is_there(machine)
        yield machine


def test_after_its_first_boot_jupyterlab_answers_who_has_the_token(first: Machine) -> None:
    token = kept(first, "token")

    for port in (8888, 443):
        assert ask(first, f"/lab?token={token}", port) == 200
        assert ask(first, "/api/contents/data", port, token) == 200
        assert ask(first, "/api/contents", port) == 403
    with pytest.raises(ssl.SSLCertVerificationError):
        ssl.create_default_context().wrap_socket(
            socket.create_connection((first.address, 8888)), server_hostname=first.address
        )
    plain = http.client.HTTPConnection(first.address, 8888, timeout=60)
    plain.request("GET", "/api")
    with pytest.raises((ConnectionError, http.client.HTTPException)):
        plain.getresponse()


def test_it_runs_as_the_owner_with_the_settings_of_the_machine(first: Machine) -> None:
    shown = first.run("systemctl", "show", "autostop-jupyterlab", "--property=MainPID,User").stdout.split()
    pid = next(line for line in shown if line.startswith("MainPID=")).removeprefix("MainPID=")
    runtime = "/home/ubuntu/.local/share/jupyter/runtime"

    assert "User=ubuntu" in shown
    assert first.run("stat", "--format=%U", f"/proc/{pid}", runtime, "/data", "/opt/autostop/jupyterlab").stdout == (
        "ubuntu\n" * 4
    )
    assert f"jpserver-{pid}.json" in first.run("ls", runtime).stdout.split()
    # The link to news is the page's, which would ask there.
    page = first.run(
        "curl", "--silent", "--insecure", f"https://127.0.0.1:8888/lab?token={kept(first, 'token')}"
    ).stdout
    assert '"newsUrl"' not in page or '"newsUrl": null' in page


def test_its_jupyterlab_makes_no_grammar_before_it_serves(first: Machine) -> None:
    # What is imported leaves its bytecode there.
    packages = first.root / "opt/autostop/jupyterlab/lib/python3.11/site-packages"
    imported = {file.parent.name for file in packages.glob("*/__pycache__")}
    assert "jsonschema" in imported
    assert "lark" not in imported


def test_to_run_the_script_again_changes_nothing_and_says_nothing(first: Machine) -> None:
    before = contents(first)

    for module in ("workstation.boot", "workstation.boot.environments"):
        assert first.run("env", "PYTHONPATH=/opt/autostop", "python3", "-m", module).stdout == ""

    assert contents(first) == before


def test_apt_waits_until_the_wake_is_over(first: Machine) -> None:
    for timer in ("apt-daily", "apt-daily-upgrade"):
        shown = first.run("systemctl", "show", f"{timer}.timer", "--property=TimersMonotonic,Persistent").stdout
        assert "OnBootUSec=30min" in shown
        assert "Persistent=no" in shown


def test_after_a_night_all_is_where_it_was_and_nothing_waited_for_others(
    first: Machine, volumes: dict[str, Path], wires: tuple[Wire, Wire]
) -> None:
    content = b"all that I know\n" * 100_000
    (first.root / "data/thought.csv").write_bytes(content)
    token, address, certificate = kept(first, "token"), first.address, kept(first, "workstation.pem")
    label = superblock.parse(volumes[DATA].read_bytes()[:512])
    first.power_off()

    # Other volumes, the data volume a larger one, at another device.
    folder = volumes[ROOT].parent
    restored = {ROOT: folder / "root-2", "nvme1n1": folder / "data-2"}
    for before, after in zip(volumes.values(), restored.values(), strict=True):
        copy(before, after)
        before.unlink()
    with restored["nvme1n1"].open("r+b") as data:
        data.truncate(700 * MIB)
    volumes.clear()
    volumes.update(restored)
    with Machine(folder, restored, TOLD, wire=wires[1]) as machine:
        wait_until_all_is_there(machine)

        assert machine.address != address
        said = log(machine)
        assert said[:2] == ["/dev/nvme1n1 is mounted at /data", "/data grew from 400 to 700 MiB"]
        assert said[2:] == [
            "there is a new secret for cookies",
            f"the certificate names {machine.address}, i-0123456789abcdef0, localhost, 127.0.0.1, ::1",
        ]
        assert log(machine, "autostop-environments") == []
        took = machine.run("systemctl", "show", "autostop-boot", "--property=CPUUsageNSec", "--value").stdout
        assert int(took) <= 10e9
        assert kept(machine, "token") == token
        assert kept(machine, "workstation.pem") != certificate
        assert ask(machine, "/api/contents/data/thought.csv", token=kept(machine, "token")) == 200
        kept_there = hashlib.sha256((machine.root / "data/thought.csv").read_bytes()).digest()
        assert kept_there == hashlib.sha256(content).digest()

        (asked, got) = log(machine, "autostop-certificate")
        assert asked.startswith("nobody opens port 80")
        assert got.startswith(f"the certificate is of Let's Encrypt, and names {machine.address} until")
        serves_at = when(machine, "autostop-jupyterlab", "ActiveEnter")
        assert when(machine, "autostop-certificate", "ExecMainExit") > serves_at
        assert when(machine, "autostop-s3", "ExecMainStart") > serves_at
        home = machine.run("timeout", "20", "runuser", "--user", "ubuntu", "--", "ls", "-l", "/home/ubuntu").stdout
        assert "s3 -> /s3" in home
    assert superblock.parse(restored["nvme1n1"].read_bytes()[:512]) == label


def test_without_its_data_volume_it_boots_and_says_so(volumes: dict[str, Path]) -> None:
    began_at = time.monotonic()
    with Machine(volumes[ROOT].parent, {ROOT: volumes[ROOT]}) as machine:
        wait_until(machine, is_up)
        took = time.monotonic() - began_at
        wait_until(machine, answers)

        assert took < 90  # as long as systemd waits for a device of fstab
        assert log(machine)[0] == "NOT DONE: no volume labelled autostop is attached"
        home = ask(machine, "/api/contents/THE%20DATA%20VOLUME%20IS%20MISSING.txt", token=kept(machine, "token"))
        assert home == 200
        written = machine.run("touch", "/data/lost", check=False)
        assert "Operation not permitted" in written.stderr


def is_to_be_tried_again(machine: Machine) -> bool:
    shown = machine.run("systemctl", "show", "autostop-environments", "--property=SubState").stdout
    return shown == "SubState=auto-restart\n"


def test_cut_off_twice_in_its_first_boot_and_without_a_network_it_gets_there(tmp_path: Path) -> None:
    volumes = new(tmp_path)
    with Machine(tmp_path, volumes, connected=False) as machine:
        wait_until(machine, lambda machine: (machine.root / KEPT / "data-volume.json").exists())

    with Machine(tmp_path, volumes, connected=False) as machine:
        wait_until(machine, is_up)
        wait_until(machine, is_to_be_tried_again)
        assert "is mounted at /data" in " ".join(log(machine))
        assert log(machine, "autostop-environments")[0].startswith("NOT DONE: ")

    with Machine(tmp_path, volumes) as machine:
        half = machine.root / "opt/autostop/jupyterlab/lib/python3.11/site-packages"
        wait_until(machine, lambda _: half.exists() and any(half.glob("jupyter*")))

    with Machine(tmp_path, volumes) as machine:
        wait_until(machine, answers)
        assert log(machine, "autostop-environments") == ["/opt/autostop/jupyterlab is made"]
        assert ask(machine, "/api/contents/data", token=kept(machine, "token")) == 200


def test_a_machine_leaves_nothing_behind_however_it_ends(tmp_path: Path) -> None:
    volumes = new(tmp_path)
    with Machine(tmp_path, volumes) as machine:
        wait_until(machine, lambda machine: machine.run("true", check=False).returncode == 0)
        loops = [str(file) for file in volumes.values() if str(file) in backing()]
        assert len(loops) == 2

        machine.keeper.kill()
        machine.keeper.wait()

        wait_for(lambda: not [file for file in loops if file in backing()], lambda: "its disks are in use")
        wait_for(lambda: not Path(f"/proc/{machine.pid}").exists(), lambda: "it runs")
    assert str(tmp_path) not in Path("/proc/self/mounts").read_text()


def backing() -> str:
    """Files that are disks now; one may cease to be any while it is looked at."""
    files = []
    for file in Path("/sys/block").glob("loop*/loop/backing_file"):
        with contextlib.suppress(OSError):
            files.append(file.read_text())
    return " ".join(files)
