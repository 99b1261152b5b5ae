"""Two real users of one machine: one's Jupyter server is at work, the other writes, listens and answers what helps him.

What the probe does meanwhile, as root, is recorded: each connection, and each program that it starts.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.probe.jupyter_servers import TOKEN, RealServer, on_loopback
from tests.probe.whole import SOURCE

ADA, EVE = 60_001, 60_002
# Another user, who may still read where root has put Python and Jupyter.
_AS = "setpriv --reuid={0} --regid={0} --clear-groups --inh-caps=+dac_override --ambient-caps=+dac_override"
_RECORDED = f"""
import os, sys
def see(event, given):
    if event in ("socket.connect", "subprocess.Popen", "os.exec", "os.posix_spawn", "os.system"):
        os.write(2, f"{{event}} {{given[1] if event == 'socket.connect' else given[0]}}\\n".encode())
sys.addaudithook(see)
exec(compile({SOURCE!r}, "probe", "exec"))
"""
# Listens on a port, or at a path, in a network of its own where that is wanted, says so, and keeps what it is sent.
_EVE = """
import json, os, socket, sys
kept, runtime, where = sys.argv[1:]
listener = socket.socket(socket.AF_UNIX if where.startswith("/") else socket.AF_INET)
listener.bind(where if where.startswith("/") else ("127.0.0.1", int(where)))
listener.listen()
port = 0 if where.startswith("/") else listener.getsockname()[1]
told = {"pid": os.getpid(), "port": port, "sock": where if not port else "", "base_url": "/", "token": "eves"}
told["secure"] = False
with open(f"{runtime}/jpserver-{os.getpid()}.json", "w") as file:
    json.dump(told, file)
print(port, flush=True)
while True:
    connection, _ = listener.accept()
    with open(kept, "ab") as file:
        file.write(connection.recv(65536))
    connection.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\n\\r\\n[]")
    connection.close()
"""


@pytest.fixture(scope="module")
def ada(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealServer]:
    """Her server, which a cell keeps busy."""
    folder = tmp_path_factory.mktemp("ada")
    server = RealServer(folder / "home", on_loopback(), within=_AS.format(ADA).split())
    try:
        server.wait()
        server.start_busy_kernel()
        yield server
    finally:
        server.end()


class Eve:
    def __init__(self, folder: Path) -> None:
        self.folder, self.kept = folder, folder / "kept"
        folder.chmod(0o777)
        self.runtime = folder / "runtime"
        self.runtime.mkdir()
        self.kept.touch()
        for path in (self.kept, self.runtime):
            os.chown(path, EVE, EVE)
        self.processes: list[subprocess.Popen[str]] = []

    def listen(self, where: str, *within: str) -> int:
        given = [str(self.kept), str(self.runtime), where]
        command = [*within, *_AS.format(EVE).split(), sys.executable, "-c", _EVE, *given]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self.processes.append(process)
        assert process.stdout is not None
        return int(process.stdout.readline())

    def write(self, folder: Path, name: str, told: dict[str, Any]) -> None:
        (folder / name).write_text(json.dumps(told))
        os.chown(folder / name, EVE, EVE)


@pytest.fixture
def eve(tmp_path: Path) -> Iterator[Eve]:
    eve = Eve(tmp_path)
    yield eve
    for process in eve.processes:
        process.kill()
        process.communicate()


def test_a_busy_server_stays_busy_whatever_another_user_makes_and_no_token_leaves(ada: RealServer, eve: Eve) -> None:
    hers = ada.told()
    port, elsewhere = eve.listen("0"), shutil.which("unshare") or ""
    eve.listen(str(eve.folder / "eve.sock"))
    eve.listen(str(hers["port"]), elsewhere, "--net", "sh", "-c", 'ip link set lo up; exec "$@"', "sh")
    for name in ("jpserver-0.json", "jpserver-z.json"):
        eve.write(ada.runtime, name, hers | {"token": ""})
        eve.write(eve.runtime, name, hers | {"token": "", "port": port})
    eve.write(eve.runtime, "jpserver-1.json", hers | {"sock": str(eve.folder / "eve.sock")})
    (eve.runtime / "jpserver-2.json").symlink_to(ada.runtime_file)
    program = eve.folder / "nvidia-smi"
    program.write_text(f"#!/bin/sh\ntouch {eve.folder}/ran\n")
    program.chmod(0o755)

    ended = subprocess.run(
        [sys.executable, "-c", _RECORDED, str(ada.runtime), str(eve.runtime)],
        capture_output=True, text=True, timeout=120, check=True,
        env=os.environ | {"PATH": f"{eve.folder}:{os.environ['PATH']}"}, cwd=eve.folder,
    )  # fmt: skip

    said = json.loads(ended.stdout)
    assert {(each["port"], each["status"], each.get("uid"), each.get("busy")) for each in said["servers"]} >= {
        (hers["port"], "ok", ADA, 1)
    }
    assert {each.get("uid") for each in said["servers"] if each["port"] != hers["port"]} <= {EVE, None}
    assert {each["user"] for each in said["servers"] if each["status"] == "nofile"} == {str(EVE)}
    assert TOKEN.encode() not in eve.kept.read_bytes()
    assert b"token eves" in eve.kept.read_bytes()
    went = ended.stderr.splitlines()
    sockets = {each for each in went if each.startswith("socket.connect /proc/self/fd/")}
    assert {*went} - sockets == {f"socket.connect ('127.0.0.1', {each})" for each in (hers["port"], port)}
    assert sockets  # the handle of her own socket, which may be another each time
    assert not (eve.folder / "ran").exists()
