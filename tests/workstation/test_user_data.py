"""What the user data installs, and that it works where it is installed."""

import gzip
import json
import re
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.probe.jupyter_servers import free_port, wait_for
from tests.workstation.machine import Machine
from workstation.boot.settings import Settings
from workstation.user_data import LIMIT, user_data


def config(**settings: object) -> dict[str, Any]:
    content = gzip.decompress(user_data(settings))
    assert content.startswith(b"#cloud-config\n")
    loaded: dict[str, Any] = yaml.safe_load(content)
    return loaded


@pytest.fixture
def installed(tmp_path: Path) -> Iterator[Machine]:
    """As cloud-init leaves it before it runs the commands."""
    with Machine(tmp_path) as machine:
        settings = {"user": "analyst", "wait_for_disk": 0, "wait_for_network": 0, "metadata": machine.metadata.host}
        for file in config(**settings)["write_files"]:
            path = machine.root / file["path"].lstrip("/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(file["content"])
        yield machine


def test_it_fits_and_is_the_same_each_time() -> None:
    given = {"user": "analyst", "data_device": "/dev/sdf"}

    size = len(user_data(given))
    assert size <= LIMIT, f"{size} bytes"
    assert user_data(given) == user_data(given)


def test_its_settings_are_those_that_the_boot_script_reads() -> None:
    (file,) = [
        file for file in config(user="analyst")["write_files"] if file["path"] == "/etc/autostop/workstation.json"
    ]

    assert Settings(**yaml.safe_load(file["content"])).user == "analyst"


def test_the_unit_runs_what_was_installed_without_this_repository(installed: Machine) -> None:
    disk = installed.disk()
    installed.attach(disk)
    unit = (installed.root / "etc/systemd/system/autostop-boot.service").read_text()
    variables = re.findall(r"^Environment=(.*)$", unit, re.MULTILINE)[0].split()
    command = re.findall(r"^ExecStart=(.*)$", unit, re.MULTILINE)[0].split()

    done = installed.inside("env", *variables, *command)

    assert "/dev/sdf is mounted at /data" in done.stdout
    assert "NOT DONE" not in done.stdout
    assert installed.inside("env", *variables, *command).stdout == ""


def test_systemd_takes_the_units(installed: Machine) -> None:
    paths = [file["path"] for file in config()["write_files"] if "/etc/systemd/" in file["path"]]
    jupyterlab = installed.root / "opt/autostop/jupyterlab/bin/jupyter-lab"
    jupyterlab.parent.mkdir(parents=True)
    jupyterlab.touch(mode=0o755)

    done = installed.inside("systemd-analyze", "verify", *(path for path in paths if not path.endswith(".conf")))

    assert "autostop" not in done.stderr
    for timer in ("apt-daily", "apt-daily-upgrade"):
        told = installed.inside("systemd-analyze", "cat-config", f"systemd/system/{timer}.timer").stdout
        before, _, ours = told.partition("after-the-wake.conf")
        assert "Persistent=true" in before
        assert {"Persistent=false", "OnBootSec=30min"} <= set(ours.splitlines())


def test_443_is_passed_on_to_where_jupyterlab_listens() -> None:
    units = {Path(file["path"]).name: file["content"] for file in config()["write_files"]}
    jupyter = json.loads(units["jupyter_server_config.json"])["ServerApp"]
    (listens,) = re.findall(r"^ListenStream=(.*)$", units["autostop-https.socket"], re.MULTILINE)
    (program, to) = re.findall(r"^ExecStart=(.*)$", units["autostop-https.service"], re.MULTILINE)[0].split()
    assert (listens, to) == ("443", f"127.0.0.1:{jupyter['port']}")

    # The real one, at other ports.
    port = free_port()
    with socket.create_server(("127.0.0.1", 0)) as behind:
        behind.settimeout(60)
        target = f"127.0.0.1:{behind.getsockname()[1]}"
        activated = ["systemd-socket-activate", f"--listen=127.0.0.1:{port}", program, target]
        with subprocess.Popen(activated, stderr=subprocess.DEVNULL) as proxy:
            try:
                wait_for(lambda: is_bound(port), lambda: "nobody listens")
                with socket.create_connection(("127.0.0.1", port), timeout=60) as person:
                    person.sendall(b"a tap")
                    assert behind.accept()[0].recv(5) == b"a tap"
            finally:
                proxy.kill()


def is_bound(port: int) -> bool:
    with socket.socket() as other:
        try:
            other.bind(("127.0.0.1", port))
        except OSError:
            return True
        return False


def test_home_has_a_way_to_the_data_and_a_notice_while_it_is_missing(tmp_path: Path) -> None:
    with Machine(tmp_path) as machine:
        home = machine.root / "home/analyst"
        machine.boot()
        assert (home / "data").readlink() == Path("/data")
        notice = home / "THE DATA VOLUME IS MISSING.txt"
        assert "journalctl" in notice.read_text()
        assert machine.inside(
            "stat", "--format", "%U", "/home/analyst/data", f"/home/analyst/{notice.name}"
        ).stdout == ("analyst\nanalyst\n")

        machine.attach(machine.disk())
        machine.boot()
        assert not notice.exists()


def test_what_an_owner_calls_data_at_home_stays(tmp_path: Path) -> None:
    with Machine(tmp_path) as machine:
        own = machine.root / "home/analyst/data"
        own.mkdir()

        machine.boot()

        assert own.is_dir()
        assert not own.is_symlink()
