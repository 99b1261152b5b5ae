"""A part of the crash matrix: around each kind of call once, and of what changes EC2, once in each scenario."""

import pytest

from tests.simulation.crash_matrix import SCENARIOS, Cell, cells, die

FIRST, *TAPPED = SCENARIOS
CHANGES = (
    "StopInstances", "CreateSnapshots", "DetachVolume", "DeleteVolume", "CreateVolume", "AttachVolume",
    "StartInstances", "DeleteSnapshot",
)  # fmt: skip


def by_kind(scenario: str, *, pairs: bool = False) -> dict[tuple[str, str], list[Cell]]:
    """The cells of each call, before and after it."""
    kinds: dict[tuple[str, str], list[Cell]] = {}
    for cell in cells(scenario, pairs=pairs):
        kinds.setdefault((cell.operation, cell.moment[1]), []).append(cell)
    return kinds


def not_converged(chosen: list[Cell]) -> dict[Cell, str]:
    ends = {cell: die(cell) for cell in chosen}
    return {cell: end for cell, end in ends.items() if end is not None}


def middle(found: list[Cell]) -> Cell:
    return found[len(found) // 2]


def test_a_death_around_any_kind_of_call_in_two_nights_is_mended() -> None:
    kinds = by_kind(FIRST)
    assert {(change, when) for change in CHANGES for when in ("before", "after")} <= set(kinds)
    assert not_converged([middle(found) for found in kinds.values()]) == {}


@pytest.mark.parametrize("scenario", TAPPED)
def test_a_death_around_a_change_is_mended_when_the_owner_taps_meanwhile(scenario: str) -> None:
    """Before a change in one scenario, after it in the next."""
    kinds, nth = by_kind(scenario), TAPPED.index(scenario)
    whens = {change: ("before", "after")[(at + nth) % 2] for at, change in enumerate(CHANGES)}
    assert not_converged([middle(kinds[kind]) for kind in whens.items()]) == {}


def test_a_second_death_soon_after_the_first_is_mended() -> None:
    kinds = by_kind(FIRST, pairs=True)
    chosen = [found[nth % len(found)] for nth, found in enumerate(kinds.values())]
    assert len({cell.again_after for cell in chosen}) > 1
    assert not_converged(chosen) == {}
