import contextlib
import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from autostop.probe.process_details import _BEGUN_BY_A_PERSON
from tests.probe.jupyter_servers import FalseServer, wait_for
from tests.probe.machine import Start, Terminal, end


@pytest.fixture
def serve() -> Iterator[Callable[..., FalseServer]]:
    with contextlib.ExitStack() as stack:
        yield lambda *args: stack.enter_context(FalseServer(*args))


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    """One whose shell waits for a line."""
    with Terminal() as opened:
        wait_for(lambda: opened.reads("ready> "))
        yield opened


@pytest.fixture
def start(monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    """Starts a program without a terminal, as the system does; gives its number."""
    for variable in _BEGUN_BY_A_PERSON:
        monkeypatch.delenv(variable, raising=False)
    with contextlib.ExitStack() as stack:

        def begin(command: Sequence[str | Path], executable: Path | None = None) -> int:
            process = subprocess.Popen(command, executable=executable, stdin=subprocess.DEVNULL, start_new_session=True)
            stack.callback(process.wait)
            stack.callback(end, process.pid)
            return process.pid

        yield begin
