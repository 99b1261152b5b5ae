"""The numbers of `make bench`, for a file and for a person, and whether they keep to the budgets."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from tests.bench.function import Invoked
from tests.bench.measure import CASES, Beside, Measured

# AWS calls of one sweep of so many workstations, by case.
BUDGET_FOR = 1000
BUDGETS = {"busy": 10, "asked": 60}
# Pages that hold the states of all workstations: so many to a page, and one more, which may be the last of many.
STATES_A_PAGE = 1000
# The most memory that a sweep of so many may have held, of the 512 MB of its function.
LARGEST, LARGEST_MIB = 10_000, 256
# Told, not asserted: it is this machine's. Lambda gives a whole processor at 1,769 MB, and less in proportion.
FUNCTION_MB, WHOLE_PROCESSOR_MB = 512, 1769
LARGEST_SECONDS = 60


def broken(measured: Sequence[Measured]) -> list[str]:
    """The budgets that are not kept, in words."""
    over = []
    for each in measured:
        for case, name in CASES.items():
            swept, of = each.steady(case), f"for {each.workstations:,} workstations, more than"
            most_pages = each.workstations // STATES_A_PAGE + 1
            if each.workstations == BUDGET_FOR and swept.total > BUDGETS[case]:
                over.append(f"{name}: {swept.total} calls {of} {BUDGETS[case]}")
            if swept.state_pages > most_pages:
                over.append(f"{name}: {swept.state_pages} pages of states {of} {most_pages}")
            if each.workstations == LARGEST and each.peak_mib(case) > LARGEST_MIB:
                over.append(f"{name}: {each.peak_mib(case):.0f} MiB {of} {LARGEST_MIB}")
    return over


def numbers(measured: Sequence[Measured]) -> dict[str, Any]:
    """Everything, as plain data."""
    return {
        "sweeps": [
            {
                "workstations": each.workstations,
                "case": case,
                "calls": each.steady(case).total,
                **_plain(each.steady(case)),
                "all_sweeps_calls": [swept.total for swept in each.sweeps[case]],
            }
            for each in measured
            for case in CASES
        ],
        "budgets": {case: {"workstations": BUDGET_FOR, "most_calls": most} for case, most in BUDGETS.items()},
        "custodian": [_compared(each, each.beside) for each in measured if each.beside is not None],
        "broken": broken(measured),
    }


def in_words(measured: Sequence[Measured]) -> list[str]:
    """The same for a person."""
    lines = [_row("one sweep of so many workstations", [f"{each.workstations:,}" for each in measured])]
    for case, name in CASES.items():
        steady = [each.steady(case) for each in measured]
        lines += [
            name,
            _row("  AWS calls", [f"{one.total:,}" for one in steady]),
            _row("    of them pages of states", [f"{one.state_pages:,}" for one in steady]),
            _row("  seconds, the emulator's included", [f"{one.seconds:.1f}" for one in steady]),
            _row("  seconds of its own processor", [f"{one.processor_seconds:.1f}" for one in steady]),
            _row("  peak memory, MiB", [f"{each.peak_mib(case):.0f}" for each in measured]),
        ]
    for each in measured:
        if each.workstations == BUDGET_FOR:
            lines += [f"{case}, {BUDGET_FOR:,}: {_told(each.steady(case))}" for case in CASES]
        if each.workstations == LARGEST:
            lines += [_largest(each, case) for case in CASES]
        if each.beside is not None:
            lines += _beside_in_words(each, each.beside)
    return lines + (broken(measured) or [_kept(measured)])


def _kept(measured: Sequence[Measured]) -> str:
    kept = [f"a page of states for {STATES_A_PAGE:,} workstations"]
    if any(each.workstations == BUDGET_FOR for each in measured):
        kept += [f"at most {most} calls ({case}, {BUDGET_FOR:,})" for case, most in BUDGETS.items()]
    if any(each.workstations == LARGEST for each in measured):
        kept.append(f"at most {LARGEST_MIB} MiB ({LARGEST:,})")
    return "kept: " + ", ".join(kept)


def _row(name: str, cells: Sequence[str]) -> str:
    return f"{name:<36}" + "".join(f"{cell:>10}" for cell in cells)


def _told(invoked: Invoked) -> str:
    by_count = sorted(invoked.calls.items(), key=lambda each: (-each[1], each[0]))
    return ", ".join(f"{count} {name}" for name, count in by_count)


def _on_lambda(invoked: Invoked) -> float:
    """Seconds at the share of a processor that a function of its size gets."""
    return invoked.processor_seconds * WHOLE_PROCESSOR_MB / FUNCTION_MB


def _largest(measured: Measured, case: str) -> str:
    steady = measured.steady(case)
    return (
        f"{case}, {LARGEST:,}: by its share of a processor {_on_lambda(steady):.0f} s of a {FUNCTION_MB} MB function "
        f"(wanted: {LARGEST_SECONDS})"
    )


def _beside_in_words(measured: Measured, beside: Beside) -> list[str]:
    theirs, count = beside.theirs, measured.workstations
    asked, busy = theirs.total / beside.ours.total, theirs.total / measured.steady("busy").total
    return [
        f"Cloud Custodian {theirs.version}, a metrics filter and a stop (dry run), on the same {count:,} over HTTP",
        _row("  from process start to end", ["calls", "seconds"]),
        _row("  ours, which also asks each of them", [f"{beside.ours.total:,}", f"{beside.our_seconds:.1f}"]),
        _row("  Custodian, by the processor alone", [f"{theirs.total:,}", f"{theirs.seconds:.1f}"]),
        f"  ours : theirs, calls: 1 : {asked:.1f}, or 1 : {busy:.0f} when all are busy",
        f"  ours : theirs, seconds: 1 : {theirs.seconds / beside.our_seconds:.2f}",
        f"  it would stop {theirs.would_stop:,} of them, in each of which a kernel is busy; ours stops none",
    ]


def _compared(measured: Measured, beside: Beside) -> dict[str, Any]:
    theirs = beside.theirs
    return {
        "workstations": measured.workstations,
        "version": theirs.version,
        "dry_run": True,
        "calls": theirs.total,
        "seconds": round(theirs.seconds, 3),
        "calls_by_operation": dict(theirs.calls),
        "would_stop": theirs.would_stop,
        "our_calls": beside.ours.total,
        "our_calls_when_busy": measured.steady("busy").total,
        "our_seconds": round(beside.our_seconds, 3),
        "calls_ours_to_theirs": round(beside.ours.total / theirs.total, 4),
        "seconds_ours_to_theirs": round(beside.our_seconds / theirs.seconds, 4),
    }


def _plain(invoked: Invoked) -> Mapping[str, Any]:
    told = asdict(invoked)
    return {
        "calls_by_operation": told["calls"],
        "state_pages": invoked.state_pages,
        "seconds": round(invoked.seconds, 3),
        "processor_seconds": round(invoked.processor_seconds, 3),
        "peak_mib": round(invoked.peak_mib, 1),
        "loaded_mib": round(invoked.before_mib, 1),
        f"seconds_at_{FUNCTION_MB}_mb": round(_on_lambda(invoked), 1),
    }
