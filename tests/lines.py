"""`make lines`: how many lines of Python each room of the house has, and how many it may have."""

import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[1]
# A file belongs to the first room whose path it is under. The most lines: None where nobody has set any.
ROOMS = {
    "probe": ("layers/autostop/autostop/probe/", None),
    "controller": ("layers/autostop/autostop/", 6_500),
    "functions": ("functions/", None),
    "cli": ("cli/", 3_100),
    "local": ("local/", None),
    "workstation": ("workstation/", None),
    "tests": ("tests/", 26_000),
}


def counted() -> dict[str, int]:
    """Physical lines of the Python files that git knows, by room."""
    listed = subprocess.run(["git", "ls-files", "*.py"], cwd=ROOT, capture_output=True, text=True, check=True)
    lines = dict.fromkeys(ROOMS, 0)
    for path in listed.stdout.splitlines():
        room = next(name for name, (under, _) in ROOMS.items() if path.startswith(under))
        lines[room] += len((ROOT / path).read_text(encoding="utf-8").splitlines())
    return lines


def main() -> None:
    """Prints a row for each room."""
    for room, lines in counted().items():
        most = ROOMS[room][1]
        print(f"{room:<12}{lines:>7,}" + (f" of {most:,}{'  OVER' if lines > most else ''}" if most else ""))


if __name__ == "__main__":
    main()
