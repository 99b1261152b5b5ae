"""Jupyter servers in a workstation, used by their own clients."""

import contextlib
import json
import os
import signal
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import psutil
import websocket

from tests.person.workstation import Workstation
from tests.probe.jupyter_servers import TOKEN, RealServer, on_loopback

# With JupyterLab, which asks nobody outside for news.
LAB: Final[dict[str, object]] = {
    "ServerApp.jpserver_extensions": {
        "jupyterlab": True,
        "jupyter_server_terminals": True,
        "jupyter_lsp": False,
        "notebook_shim": False,
    },
    "LabApp.check_for_updates_class": "jupyterlab.NeverCheckForUpdate",
    "LabApp.news_url": None,
}


class Jupyter(RealServer):
    """A server that runs in a workstation and ends with it. `process` is only how it was started."""

    def __init__(
        self, workstation: Workstation, name: str, options: dict[str, object] | None = None, token: str = TOKEN
    ) -> None:
        self.folder = workstation.folder / name
        super().__init__(self.folder, on_loopback() | (options or {}), token=token, within=workstation.within)

    @property
    def runtime_file(self) -> Path:
        """Named by the server's number, which is another one there."""
        return next(self.runtime.glob("jpserver-*.json"), self.runtime / "none yet")

    @contextlib.contextmanager
    def stopped(self) -> Iterator[None]:
        (server,) = psutil.Process(self.process.pid).children()
        os.kill(server.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            # How it was started stopped with it, and lets it go on when it goes on itself.
            self.process.send_signal(signal.SIGCONT)

    def end(self) -> None:
        """Let go of what ended with its workstation."""
        for client in self._clients:
            client.stop_channels()
        self.process.wait(60)
        self._log.close()

    def set_up_lab(self, plugin: str, settings: dict[str, object]) -> None:
        """What the person set in JupyterLab, for one of its own plugins."""
        file = self.folder / "config/lab/user-settings/@jupyterlab" / f"{plugin}.jupyterlab-settings"
        file.parent.mkdir(parents=True)
        file.write_text(json.dumps(settings))

    def write_notebook(self, name: str, cells: Sequence[str] = ("",)) -> None:
        """A notebook with these cells of code."""
        written = [
            {"cell_type": "code", "id": f"c{number}", "source": source, "metadata": {}, "outputs": []}
            | {"execution_count": None}
            for number, source in enumerate(cells)
        ]
        kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
        content = {"cells": written, "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5}
        (self.folder / name).write_text(json.dumps(content))

    def type_in_terminal(self, line: str) -> None:
        """Open a terminal, enter a line, and close the tab: the terminal stays."""
        name = self.call("POST", "terminals", {})["name"]
        socket = websocket.create_connection(
            f"ws://127.0.0.1:{self.port}/terminals/websocket/{name}",
            header=[f"Authorization: token {TOKEN}"],
            timeout=60,
        )
        shown = ""
        while not shown.endswith("# "):
            kind, text = json.loads(socket.recv())
            shown += text if kind == "stdout" else ""
        socket.send(json.dumps(["stdin", f"{line}\r"]))
        while line not in shown:
            shown += str(json.loads(socket.recv())[1])
        socket.close()
