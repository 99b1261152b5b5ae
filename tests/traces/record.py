"""`make record` records traces anew, from real programs, in real time: half an hour. DAYS="NAME ..." for some alone.

Each has a workstation of its own (namespaces of this machine) with real Jupyter servers and kernels, a real browser's
tab, a real sshd, tmux. What is played there are the scenes of scenes.py, and the days of days.toml. Every minute the
real probe looks at it, and its line is kept word for word. Processor use is summed up over its processes and published
as CloudWatch would with periods of a minute, two minutes late. The network is shared by all of them and by this
machine, so it is not measured and told as nothing. There is no GPU.
"""

import contextlib
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from tests.traces import script, stage
from tests.traces.files import DATA, text_of
from tests.traces.scenes import SCENES
from tests.traces.stage import Stage

# All at once would start dozens of servers in the same second.
_APART_SECONDS: Final = 4


@dataclass(frozen=True, slots=True)
class Scene:
    """What is played, under which name, and for how long."""

    name: str
    tells: str
    play: Callable[[Stage], None]
    minutes: int
    settings: Mapping[str, str]


def scenes() -> Iterator[Scene]:
    """Those that are written as Python, then the days."""
    for scene in SCENES:
        tells = " ".join((scene.__doc__ or "").split())
        yield Scene(scene.__name__.replace("_", "-"), tells, scene, stage.MINUTES, stage.SETTINGS)
    for name, day in script.DAYS.items():
        yield Scene(name, day["tells"], partial(script.play, day=day), script.MINUTES, script.SETTINGS)


def record(chosen: Sequence[Scene], folder: Path) -> list[str]:
    """Play all scenes side by side, and write a trace of each; what went wrong, in words."""
    faults: list[str] = []

    def play(scene: Scene) -> None:
        name = f"recorded-{scene.name}"
        try:
            with contextlib.ExitStack() as stack:
                played_on = Stage(name, folder / name, stack, scene.minutes, scene.settings)
                measuring = threading.Thread(target=played_on.measure)
                measuring.start()
                try:
                    scene.play(played_on)
                finally:
                    measuring.join()
            (DATA / f"{name}.jsonl").write_text(text_of(played_on.trace(scene.tells)))
        except Exception as error:  # noqa: BLE001 - one scene that fails spoils no other, and is told of
            faults.append(f"{name}: {type(error).__name__}: {error}")

    threads = [threading.Thread(target=play, args=(scene,)) for scene in chosen]
    for thread in threads:
        thread.start()
        time.sleep(_APART_SECONDS)
    for thread in threads:
        thread.join()
    return faults


def main(names: Sequence[str]) -> int:
    chosen = [scene for scene in scenes() if not names or scene.name in names]
    with tempfile.TemporaryDirectory() as folder:
        faults = record(chosen, Path(folder))
    for fault in faults:
        print(fault, file=sys.stderr)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
