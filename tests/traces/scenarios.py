"""The list of generated traces: each is a function that paints a day; its name and its docstring are the trace's."""

from collections.abc import Callable, Mapping
from typing import Final

from tests.traces.day import BEGINS, Day

SCENARIOS: Final[dict[str, Callable[[], Day]]] = {}


def scenario(
    *, hours: float = 24, begins: str = BEGINS, vcpus: int = 4, settings: Mapping[str, str] | None = None
) -> Callable[[Callable[[Day], None]], Callable[[Day], None]]:
    """Put a painter of days on the list."""

    def listed(paint: Callable[[Day], None]) -> Callable[[Day], None]:
        name = paint.__name__.replace("_", "-")

        def made() -> Day:
            day = Day(name, " ".join((paint.__doc__ or "").split()), hours, begins, vcpus, settings or {})
            paint(day)
            return day

        assert name not in SCENARIOS, name
        SCENARIOS[name] = made
        return paint

    return listed
