"""`make fuzz`: one user's Jupyter server is at work, while another user makes of /proc, files and answers what he can.

A case is its seed. The processes are made up, in a /proc of our own, and so are most of the connections.
"""

import io
import itertools
import json
import os
import random
import resource
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from autostop.idle.reading import Reading, parse_reading
from autostop.probe.files import _HISTORIES
from autostop.probe.jupyter import Runtime
from autostop.probe.limits import DEADLINE_SECONDS
from autostop.probe.processes import _begin
from autostop.probe.report import look, report
from tests.probe.parts import everywhere

ADA, EVE = 60_001, 60_002
TOKENS = {ADA: "adas-token-5c1e9", EVE: "eves-token-9b2f7"}
PORT, NET = 8888, "net:[1]"
NOW = datetime.now(UTC).isoformat()
KERNEL = {"id": "1", "last_activity": NOW, "execution_state": "busy", "connections": 1}
STATUS = {"last_activity": NOW}
ANSWERS = {"kernels": [KERNEL], "terminals": [], "status": STATUS, "sessions": []}
# What Eve's processes may be called, in pieces.
WORDS = [
    b"python3", b"-m", b"jupyterlab", b"notebook", b"/usr/bin/jupyter-lab", b"ipykernel_launcher", b"-f", b"-c", b"-",
    b"/x/kernel-1.json", b"kernel-" * 300, b"/home/eve/.vscode-server/node", b"node", b"sshd: ada", b"tmux", b"bash",
    b"top", b"\xff\xfe", b"", b"nvidia-smi", b"x" * 9_000, b"multiprocessing.spawn", b"(sd-pam)", b"Xvnc", b"vim",
]  # fmt: skip
VALUES: list[object] = [
    None, True, -1, 0, 1, 65_536, 10**30, 1.5, "", "x" * 70_000, "\u202e\x1b", [], {}, "../..", "/", TOKENS[EVE],
]  # fmt: skip
STATES = ["busy", "idle", "starting", "dead", "", None, 7]
MOMENTS = [NOW, "2001-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "0001-01-01T00:00:00+23:59", "now", 5, None]


class Case:
    """What one seed makes of the machine, and what the probe says of it."""

    def __init__(self, seed: int, folder: Path) -> None:
        self.chance, self.folder, self.proc = random.Random(seed), folder, folder / "proc"  # noqa: S311 - no secret
        self.homes = {ADA: folder / "ada", EVE: folder / "eve"}
        self.leaked: list[str] = []
        self._pids, self._inodes = itertools.count(4_200_000), itertools.count(70_000)
        self._listeners: list[str] = []
        self._victim = 0
        # She may have a network of her own, where root does not get to.
        self.elsewhere = self.chance.random() < 0.1

    def lay_ground(self) -> None:
        """A /proc without processes, in which root has every right."""
        (self.proc / "self/ns").mkdir(parents=True)
        (self.proc / "self/ns/net").symlink_to(NET)
        (self.proc / "self/status").write_text("Name:\tpython3\nCapEff:\t000001ffffffffff\n")
        (self.proc / "sys/kernel/random").mkdir(parents=True)
        (self.proc / "sys/kernel/random/boot_id").write_text("b007b007-0000")
        (self.proc / "stat").write_text("cpu 1 2 3\nbtime 1000000000\n")
        (self.proc / "net").mkdir()
        (self.proc / "locks").touch()

    def make(self) -> None:
        self.lay_ground()
        for uid, home in self.homes.items():
            (home / ".local/share/jupyter/runtime").mkdir(parents=True)
            self.give(home, uid)
        moves = [self.forge, self.crowd, self.serve, self.lay_traps, self.name_places, self.edit, self.listen_beside]
        before = self.chance.choices(moves, k=self.chance.randrange(4))
        for move in before:
            move()
        self.work()
        for move in self.chance.choices(moves, k=self.chance.randrange(4)):
            move()
        lines = ["sl local rem st tx rx tr tm retr uid to inode", *self._listeners, "9: 0 0 01 0 0 0 0 0 0"]
        (self.proc / "net/tcp").write_text("\n".join(lines))
        (self.proc / "locks").write_text("".join(self.chance.choices(
            ["1: FLOCK ADVISORY WRITE 1 00:00:1 0 EOF\n", "1: -> OFDLCK ADVISORY READ -1 <none>:0 0 0\n", "2:\n"], k=3
        )))  # fmt: skip

    def give(self, path: Path, uid: int) -> None:
        os.chown(path, uid, uid, follow_symlinks=False)

    def process(self, uid: int, words: list[bytes], places: dict[str, object] | None = None, net: str = NET) -> int:
        pid = next(self._pids)
        folder = self.proc / str(pid)
        (folder / "fd").mkdir(parents=True)
        (folder / "ns").mkdir()
        (folder / "ns/net").symlink_to(net)
        (folder / "net").symlink_to("../net")
        pieces = [self.chance.choice("SRZT"), *("1 2 3 0 5" if uid == ADA else self.stat()).split(), *["7"] * 40]
        name = "python3" if uid == ADA else self.chance.choice(["python3", "a) S 1 (b", "", "\n", "sshd"])
        pieces[0] = "S" if uid == ADA else pieces[0]
        (folder / "stat").write_text(f"{pid} ({name}) {' '.join(pieces)}\n")
        (folder / "cmdline").write_bytes(b"\0".join(words) + b"\0")
        pairs = {"HOME": self.homes[uid], **(places or {})}
        (folder / "environ").write_bytes(b"\0".join(os.fsencode(f"{key}={value}") for key, value in pairs.items()))
        (folder / "cgroup").write_text(self.chance.choice(["0::/user.slice/session-1.scope", "0::/init.scope"]))
        self.give(folder, uid)
        return pid

    def stat(self) -> str:
        return " ".join(str(self.chance.choice([0, 1, self._victim, 34_816, 1_025])) for _ in range(5))

    def listen(self, pid: int, port: int, address: str = "0100007F") -> None:
        inode = next(self._inodes)
        (self.proc / str(pid) / "fd" / str(inode % 1000)).symlink_to(f"socket:[{inode}]")
        self._listeners.append(f"0: {address}:{port:04X} 00000000:0000 0A 0 0 0 0 0 {inode} 1")

    def file(self, folder: Path, uid: int, content: object, name: str = "") -> None:
        path = folder / (name or f"jpserver-{self.chance.randrange(10**6)}.json")
        if not path.exists():
            path.write_text(content if isinstance(content, str) else json.dumps(content))
            self.give(path, uid)

    def told(self, uid: int, pid: int, port: int) -> dict[str, Any]:
        root = str(self.homes[uid])
        return {"pid": pid, "port": port, "token": TOKENS[uid], "base_url": "/", "secure": False, "root_dir": root}

    def runtime(self, uid: int) -> Path:
        return self.homes[uid] / ".local/share/jupyter/runtime"

    # What Ada does.

    def work(self) -> None:
        command = self.chance.choice([[b"python3", b"-m", b"jupyterlab"], [b"/opt/launcher"]])
        self._victim = self.process(ADA, command, net="net:[3]" if self.elsewhere else NET)
        self.listen(self._victim, PORT)
        self.file(self.runtime(ADA), ADA, self.told(ADA, self._victim, PORT), f"jpserver-{self._victim}.json")
        if self.chance.random() < 0.5:
            self.runtime(ADA).chmod(0o777)

    # What Eve may do.

    def places(self) -> list[Path]:
        """Where she can write: Ada may have let her in."""
        return [self.runtime(EVE), *([self.runtime(ADA)] if self.runtime(ADA).stat().st_mode & 0o002 else [])]

    def forge(self) -> None:
        lie = self.told(EVE, self.chance.choice([self._victim, 1, next(self._pids)]), PORT)
        for key in self.chance.sample(sorted(lie), self.chance.randrange(3)):
            lie[key] = self.chance.choice(VALUES)
        text = json.dumps(lie)
        content = self.chance.choice([text, text, text[: self.chance.randrange(len(text))], "[" * 5_000, "\0", "{}"])
        name = self.chance.choice(["jpserver-0.json", "jpserver-z.json", f"nbserver-{self._victim}.json", ""])
        self.file(self.chance.choice(self.places()), EVE, content, name)

    def crowd(self) -> None:
        for _ in range(self.chance.randrange(4)):
            self.process(EVE, self.chance.choices(WORDS, k=self.chance.randrange(8)))

    def serve(self) -> None:
        net = self.chance.choice([NET, NET, "net:[2]"])
        port = PORT if net != NET else self.chance.choice([9999, 80, 8889])
        pid = self.process(EVE, self.chance.choice([[b"python3", b"-m", b"jupyterlab"], [b"nc"]]), net=net)
        self.listen(pid, port, self.chance.choice(["0100007F", "00000000", "FEA9FEA9"]))
        self.file(self.runtime(EVE), EVE, self.told(EVE, pid, port) | {"secure": self.chance.random() < 0.1})

    def lay_traps(self) -> None:
        place, number = self.chance.choice(self.places()), self.chance.randrange(10**6)
        trap = place / f"jpserver-{number}.json"
        match self.chance.randrange(4):
            case 0:
                os.mkfifo(trap)
            case 1:
                trap.symlink_to(self.runtime(ADA) / f"jpserver-{self._victim}.json")
            case 2:
                trap.mkdir()
            case _:
                self.file(place, EVE, "x" * 70_000, trap.name)

    def name_places(self) -> None:
        wild = [
            "/nowhere", "/dev/null", "x" * 5_000, "/" + "y" * 5_000, self.runtime(ADA), self.homes[EVE] / "loop",
            "\n",
        ]  # fmt: skip
        if not (self.homes[EVE] / "loop").is_symlink():
            (self.homes[EVE] / "loop").symlink_to("loop")
        self.process(EVE, [b"python3", b"-m", b"notebook"], {"JUPYTER_RUNTIME_DIR": self.chance.choice(wild)})

    def edit(self) -> None:
        for below in self.chance.sample(_HISTORIES, 2):
            folder = self.homes[EVE] / below.replace("*", self.chance.choice("ab")).rpartition("/")[0]
            if not os.path.lexists(folder):
                folder.parent.mkdir(parents=True, exist_ok=True)
                folder.symlink_to(self.chance.choice([self.homes[ADA], Path("/"), folder]))

    def listen_beside(self) -> None:
        pid = self.process(EVE, [b"nc"])
        self.listen(pid, PORT, "0200007F")
        if self.chance.random() < 0.5:
            self.file(self.runtime(EVE), EVE, self.told(EVE, self._victim, PORT))

    # What she answers, and what happens meanwhile.

    def lie(self, what: str) -> bytes:
        made = [
            {"execution_state": self.chance.choice(STATES), "last_activity": self.chance.choice(MOMENTS),
             "connections": self.chance.choice([0, 1, -1, None, True]), "path": self.chance.choice(VALUES)}
            for _ in range(self.chance.randrange(3))
        ]  # fmt: skip
        odd: list[object] = [ANSWERS.get(what), [], {}, made, made, self.chance.choice(VALUES)]
        body = json.dumps(self.chance.choice(odd)).encode()
        body = self.chance.choice(
            [body, body, body, body[:-1], b"[" * 90_000, b"\xff", b"1" * 5_000, TOKENS[ADA].encode()]
        )
        head = self.chance.choice([b"HTTP/1.1 200 OK", b"HTTP/1.1 200 OK", b"HTTP/1.1 302 x\r\nLocation: /", b"x", b""])
        return head + b"\r\nContent-Length: %d\r\n\r\n" % len(body) + body

    def connect(self, runtime: Runtime, _listener: object, _until: float) -> Any:
        """The other end of a connection: who listens on this port of this machine."""
        return _Connection(self, ADA if runtime.port == PORT and not self.elsewhere else EVE)

    def meanwhile(self, read: Callable[..., Any]) -> Callable[..., Any]:
        """Reading, while processes of Eve's come and go."""

        def racing(path: Any, *rest: Any) -> Any:
            if self.chance.random() < 0.03:
                gone = [each for each in self.proc.iterdir() if each.name.isdigit() and each.name != str(self._victim)]
                for each in gone[:1]:
                    shutil.rmtree(each, ignore_errors=True)
            return read(path, *rest)

        return racing

    def user(self, uid: int) -> SimpleNamespace:
        names = {ADA: "ada", EVE: "eve\x1b"}
        return SimpleNamespace(pw_name=names[uid], pw_dir=str(self.homes[uid]))  # KeyError, as of pwd

    def look(self) -> str:
        with pytest.MonkeyPatch.context() as patch:
            everywhere(
                patch, PROC=self.proc, _connect=self.connect, _begin=self.meanwhile(_begin), gpu_use=no_gpu,
                pwd=SimpleNamespace(getpwuid=self.user),
            )  # fmt: skip
            return report(time.time(), *look([], time.monotonic() + DEADLINE_SECONDS))


class _Connection:
    def __init__(self, case: Case, whose: int) -> None:
        self._case, self._whose, self._said = case, whose, io.BytesIO()

    def settimeout(self, _seconds: float) -> None: ...

    def close(self) -> None: ...

    def sendall(self, request: bytes) -> None:
        what = request.partition(b"/api/")[2].partition(b"?")[0].decode()
        if TOKENS[self._whose].encode() not in request:
            self._case.leaked.append(request.decode())
        body = json.dumps(ANSWERS.get(what)).encode()
        whole = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body
        self._said = io.BytesIO(whole if self._whose == ADA else self._case.lie(what))

    def recv(self, most: int) -> bytes:
        return self._said.read(most)


def no_gpu(_until: float) -> tuple[None, list[str], set[int]]:
    return None, [], set()


@contextmanager
def made(seed: int) -> Iterator[Case]:
    place = "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108 - a disk would take most of the time
    with tempfile.TemporaryDirectory(dir=place) as folder:
        case = Case(seed, Path(folder))
        case.make()
        yield case


def why_wrong(seed: int) -> str | None:
    """What the probe did of all that it must never do; None when it did nothing of the kind."""
    with made(seed) as case:
        began = time.thread_time()
        line = case.look()
        took = time.thread_time() - began
    answer = parse_reading(line, datetime.now(UTC))
    if isinstance(answer, Reading) and not answer.missing and not any(server.busy for server in answer.servers):
        return f"looks idle while a server is busy: {line}"
    if case.leaked or any(token in line for token in TOKENS.values()):
        return f"a secret went out: {case.leaked} {line}"
    if len(line) >= 2_000 or not line.isascii() or not line.isprintable():
        return f"not a line: {line}"
    return f"took {took:.1f} s" if took > 5 else None


def main(first: int, seeds: int) -> int:
    """Prints what went wrong, seed by seed."""
    wrong = {seed: why for seed in range(first, first + seeds) if (why := why_wrong(seed)) is not None}
    for seed, why in wrong.items():
        print(f"seed {seed}: {why}")
    took = sum(resource.getrusage(resource.RUSAGE_SELF)[:2])
    print(f"{seeds} cases, {len(wrong)} wrong, {took:.0f} s of processor")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[2]) if len(sys.argv) > 2 else 0, int(sys.argv[1])))
