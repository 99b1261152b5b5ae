"""`sudo python -m tests.traces.record [SCENE ...]` records traces anew, from real programs, in real time: 25 minutes.

Each scene has a workstation of its own (namespaces of this machine) with real Jupyter servers and kernels, a real
browser's tab, a real sshd, tmux. Every minute the real probe looks at it, and its line is kept word for word. Processor
use is summed up over its processes and published as CloudWatch would with periods of a minute, two minutes late. The
network is shared by all of them and by this machine, so it is not measured and told as nothing. There is no GPU.
"""

import contextlib
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tests.traces.files import DATA, text_of
from tests.traces.scenes import SCENES, Scene
from tests.traces.stage import Stage

# All at once would start a dozen servers in the same second.
_APART_SECONDS: Final = 6


def record(scenes: Sequence[Scene], folder: Path) -> list[str]:
    """Play all scenes side by side, and write a trace of each; what went wrong, in words."""
    faults: list[str] = []

    def play(scene: Scene) -> None:
        name = "recorded-" + scene.__name__.replace("_", "-")
        try:
            with contextlib.ExitStack() as stack:
                stage = Stage(name, folder / name, stack)
                measuring = threading.Thread(target=stage.measure)
                measuring.start()
                try:
                    scene(stage)
                finally:
                    measuring.join()
            tells = " ".join((scene.__doc__ or "").split())
            (DATA / f"{name}.jsonl").write_text(text_of(stage.trace(tells)))
        except Exception as error:  # noqa: BLE001 - one scene that fails spoils no other, and is told of
            faults.append(f"{name}: {type(error).__name__}: {error}")

    threads = [threading.Thread(target=play, args=(scene,)) for scene in scenes]
    for thread in threads:
        thread.start()
        time.sleep(_APART_SECONDS)
    for thread in threads:
        thread.join()
    return faults


def main(names: Sequence[str]) -> int:
    chosen = [scene for scene in SCENES if not names or scene.__name__ in names]
    with tempfile.TemporaryDirectory() as folder:
        faults = record(chosen, Path(folder))
    for fault in faults:
        print(fault, file=sys.stderr)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
