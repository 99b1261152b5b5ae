"""The days of days.toml, played on a stage: each line of a day's script is a verb that somebody carries out.

login TEXT   log in and enter TEXT           type TEXT     keys into the newest login, with escapes
leave        log out of it                   end           its laptop is gone
run TEXT     over a connection, no terminal  system TEXT   as the machine begins its services, by no login
root TEXT    as root                         jupyter       start a server
cell TEXT    run in a kernel of it           save NAME     a text, through its contents
enter TEXT   into a new terminal of it       close         that terminal
every SECONDS UNTIL VERB TEXT                again and again, up to a minute
"""

import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from tests.person.logins import Login, Sshd
from tests.person.notebooks import LAB, Jupyter
from tests.person.workstation import HOME, USER
from tests.probe.jupyter_servers import free_port
from tests.traces.stage import Stage
from tests.traces.trace import Span

_TOLD: Final = tomllib.loads((Path(__file__).parent / "days.toml").read_text())
SETTINGS: Final[dict[str, str]] = _TOLD["settings"]
DAYS: Final[dict[str, dict[str, str]]] = _TOLD["day"]
MINUTES: Final = 18
# What is recorded needs programs that the tests do not: requirements/recorded.txt.
_TOOLS: Final = Path(__file__).parents[2] / ".venv-recorded"


def labels(day: dict[str, str]) -> Iterator[Span]:
    """When somebody, or something for somebody, works in this day."""
    for line in day["work"].splitlines():
        span, _, what = line.partition(" ")
        first, end = map(int, span.split("-"))
        yield Span(first, end, what)


def steps(day: dict[str, str]) -> list[tuple[float, str, str]]:
    """Minute, verb and text of everything that is done, in its order."""
    done = []
    for line in day["does"].strip().splitlines():
        minute, verb, text = (*line.split(" ", 2), "")[:3]
        if verb != "every":
            done.append((float(minute), verb, text))
            continue
        seconds, until, verb, text = (*text.split(" ", 3), "")[:4]
        times = int((float(until) - float(minute)) * 60 / int(seconds))
        done += [(float(minute) + time * int(seconds) / 60, verb, text) for time in range(times)]
    return sorted(done, key=lambda step: step[0])


def play(stage: Stage, day: dict[str, str]) -> None:
    """Carry the script out, in real time."""
    stage.working += labels(day)
    hands = _Hands(stage)
    for minute, verb, text in steps(day):
        stage.wait_until(minute)
        getattr(hands, verb)(hands.filled(text))


class _Hands:
    """Whoever carries a script out: what each verb does."""

    def __init__(self, stage: Stage) -> None:
        self._stage, self._place = stage, stage.workstation
        self._place.show(*map(Path, (sys.base_prefix, sys.prefix)), _TOOLS)
        self._sshd = Sshd(self._place)
        self._logins: list[Login] = []
        self._served: list[Jupyter] = []
        self._kernels: list[Any] = []
        self._words = {
            "{python}": sys.executable,
            "{tools}": str(_TOOLS / "bin"),
            "{port}": str(free_port()),
            "{port2}": str(free_port()),
            "{sshd}": str(self._sshd.port),
        }
        paths = [self._place.folder / name for name in _TOLD["files"]]
        for path in paths:
            path.write_text(_TOLD["files"][path.name])
        self._place.run("install", f"--owner={USER}", "--mode=0600", *paths, self._sshd.key, HOME)

    def filled(self, text: str) -> str:
        for name, value in self._words.items():
            text = text.replace(name, value)
        return text

    def login(self, text: str) -> None:
        login = self._sshd.login("-o", "ServerAliveInterval=5")
        self._stage.letting_go.callback(login.end)
        self._logins.append(login)
        if text:
            login.type(f"{text}\r")

    def type(self, text: str) -> None:
        self._logins[-1].type(text.encode().decode("unicode_escape"))

    def leave(self, _: str) -> None:
        self._logins[-1].leave()

    def end(self, _: str) -> None:
        self._logins[-1].drop()

    def run(self, text: str) -> None:
        self._sshd.run(text)

    def root(self, text: str) -> None:
        self._place.run("sh", "-c", text)

    def system(self, text: str) -> None:
        begun = 'cd; setsid sh -c "$0" </dev/null >/dev/null 2>&1 &'
        group = self._place.run("id", "-g", USER).strip()
        as_user = ("setpriv", f"--reuid={USER}", f"--regid={group}", "--clear-groups", "env", "-i", f"HOME={HOME}")
        self._place.run(*as_user, "sh", "-c", begun, text)

    def jupyter(self, _: str) -> None:
        server = Jupyter(self._place, "jupyter", LAB)
        self._stage.letting_go.callback(server.end)
        server.wait()
        self._served.append(server)

    def cell(self, text: str) -> None:
        if not self._served:
            self.jupyter("")
        if not self._kernels:
            self._kernels.append(self._served[-1].start_idle_kernel())
        self._kernels[-1].execute(text)

    def enter(self, text: str) -> None:
        self._served[-1].type_in_terminal(text)

    def close(self, _: str) -> None:
        self._served[-1].call("DELETE", "terminals/1")

    def save(self, name: str) -> None:
        self._served[-1].call("PUT", f"contents/{name}", {"type": "file", "format": "text", "content": "x"})
