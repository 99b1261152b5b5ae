"""What is to be done, part by part."""

from collections.abc import Callable, Iterable

from workstation.boot.programs import FailedError

Part = Callable[[], Iterable[str]]


def do(parts: Iterable[Part]) -> bool:
    """Print a line for each thing done; a part that fails is told and stops no other. Whether none failed."""
    well = True
    for part in parts:
        try:
            for line in part():
                print(line, flush=True)
        except (FailedError, OSError) as error:
            print(f"NOT DONE: {error}", flush=True)
            well = False
    return well
