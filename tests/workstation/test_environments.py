"""The environments of the machine's own: made of what was locked, and of nothing else."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.workstation.machine import REPOSITORY, Machine
from workstation.user_data import files, pinned

# Stands for the installer where what it does is not the question; it writes down what it was asked.
UV = """#!/bin/sh
echo "$(id --user --name) $*" >>/tmp/asked
case "$*" in
*compile*) cat /tmp/index ;;
*install*) exit "$(cat /tmp/ends)" ;;
esac
"""
# How this computer reaches the index of packages.
INDEX = [f"{name}={value}" for name, value in os.environ.items() if name.startswith(("PIP_", "SSL_", "UV_"))]
MAKE = ("python3", "-m", "workstation.boot.environments")
LOCK = "jupyterlab==4.6.6 \\\n    --hash=sha256:00\npip==26.0 ; python_version < '4' \\\n    --hash=sha256:01\n"


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    with Machine(tmp_path) as running:
        settings = {"user": "analyst", "metadata": running.metadata.host, "wait_for_network": 0}
        for path, content in files(settings).items():
            file = running.root / path.lstrip("/")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(content)
        locked = running.root / "opt/autostop/workstation/boot/environments/jupyterlab.json"
        locked.write_text(json.dumps(pinned(LOCK, "2026-11-28T00:00:00Z")))
        uv = running.root / "opt/autostop/uv/bin/uv"
        uv.parent.mkdir(parents=True)
        uv.write_text(UV)
        uv.chmod(0o755)
        systemctl = running.root / "usr/local/bin/systemctl"
        systemctl.write_text(UV)
        systemctl.chmod(0o755)
        running.inside("sh", "-c", "rm -f /tmp/asked; touch /tmp/asked; chmod 666 /tmp/asked; echo 0 >/tmp/ends")
        (running.root / "tmp/index").write_text(LOCK)
        yield running


def make(machine: Machine) -> tuple[int, str]:
    variables = ("env", "PYTHONPATH=/opt/autostop", *INDEX)
    done = machine.inside(*variables, *MAKE, check=False)
    return done.returncode, done.stdout


def asked(machine: Machine) -> list[str]:
    return (machine.root / "tmp/asked").read_text().splitlines()


def test_what_is_pinned_is_found_again_installed_as_its_owner_and_started(machine: Machine) -> None:
    assert make(machine) == (0, "/opt/autostop/jupyterlab is made\n")

    compiled, _, installed, started = asked(machine)
    assert "--exclude-newer 2026-11-28T00:00:00Z" in compiled
    assert installed.startswith("analyst pip install --quiet --require-hashes")
    assert (machine.root / "opt/autostop/workstation/boot/environments/jupyterlab.txt").read_text() == LOCK
    assert started == "root start --no-block autostop-jupyterlab.service"
    assert machine.inside("stat", "--format", "%U", "/opt/autostop/jupyterlab").stdout == "analyst\n"


def test_a_second_time_there_is_nothing_to_do(machine: Machine) -> None:
    make(machine)
    before = asked(machine)

    assert make(machine) == (0, "")
    assert asked(machine) == before


def test_what_the_index_offers_beside_what_was_locked_is_not_installed(machine: Machine) -> None:
    (machine.root / "tmp/index").write_text(LOCK.replace("sha256:01", "sha256:02"))

    code, said = make(machine)

    assert (code, len(asked(machine))) == (1, 1)
    assert said.startswith("NOT DONE: /opt/autostop/jupyterlab is not made: the index of packages has other files")


def test_one_that_was_not_finished_is_made_anew(machine: Machine) -> None:
    (machine.root / "tmp/ends").write_text("3")
    code, said = make(machine)
    assert (code, said.startswith("NOT DONE: runuser ended with 3")) == (1, True)
    half = machine.root / "opt/autostop/jupyterlab/half-a-package"
    half.touch()

    (machine.root / "tmp/ends").write_text("0")

    assert make(machine) == (0, "/opt/autostop/jupyterlab is made\n")
    assert not half.exists()


def test_certbot_is_installed_where_its_certificate_is_chosen(machine: Machine) -> None:
    make(machine)
    assert not (machine.root / "opt/autostop/certbot").exists()
    machine.metadata.told["tags/instance/autostop:certificate"] = "letsencrypt"
    # The real installer: what was locked is what the index has.
    uv = machine.root / "opt/autostop/uv/bin/uv"
    uv.unlink()
    uv.symlink_to(REPOSITORY / ".tools/bin/uv")

    assert make(machine) == (0, "/opt/autostop/certbot is made\n")

    assert asked(machine)[-1] == "root start --no-block autostop-certificate.service"
    assert "--ip-address" in machine.inside("/opt/autostop/certbot/bin/certbot", "--help", "all").stdout
