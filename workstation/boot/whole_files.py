"""Files that are whole at every moment, also when the power goes."""

import os
from pathlib import Path


def replace(path: Path, content: str, *, mode: int = 0o644, owner: tuple[int, int] | None = None) -> None:
    """Write beside it, to the disk, and rename: a reader finds the old content or the new. owner: uid and gid."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.new")
    beside.unlink(missing_ok=True)
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            os.fchmod(descriptor, mode)
            if owner:
                os.fchown(descriptor, *owner)
            file.write(content)
            file.flush()
            os.fsync(descriptor)
        beside.rename(path)
    finally:
        beside.unlink(missing_ok=True)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
