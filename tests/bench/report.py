"""The numbers of `make bench`, for a file and for a person, and whether they keep to the budgets."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from tests.bench.function import Invoked
from tests.bench.measure import CASES, Beside, Measured

# AWS calls of one sweep of so many workstations, by case.
BUDGET_FOR = 1000
BUDGETS = {"busy": 10, "asked": 60}
# Told, not asserted: they are this machine's. Lambda gives a whole processor at 1,769 MB, and less in proportion.
LARGEST = 10_000
FUNCTION_MB, WHOLE_PROCESSOR_MB = 512, 1769
LARGEST_SECONDS, LARGEST_MIB = 60, 256


def broken(measured: Sequence[Measured]) -> list[str]:
    """The budgets that are not kept, in words."""
    over = []
    for each in measured:
        for case, most in BUDGETS.items() if each.workstations == BUDGET_FOR else ():
            calls = each.steady(case).total
            if calls > most:
                over.append(f"{CASES[case]}: {calls} calls for {BUDGET_FOR:,} workstations, more than {most}")
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
            _row("  seconds, the emulator's included", [f"{one.seconds:.1f}" for one in steady]),
            _row("  seconds of its own processor", [f"{one.processor_seconds:.1f}" for one in steady]),
            _row("  peak memory, MiB", [f"{one.peak_mib:.0f}" for one in steady]),
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
    if all(each.workstations != BUDGET_FOR for each in measured):
        return f"no budget is known for other than {BUDGET_FOR:,} workstations"
    return "kept: " + ", ".join(f"at most {most} calls ({case})" for case, most in BUDGETS.items())


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
        f"(wanted: {LARGEST_SECONDS}), {steady.peak_mib:.0f} MiB (wanted: {LARGEST_MIB})"
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
        "seconds": round(invoked.seconds, 3),
        "processor_seconds": round(invoked.processor_seconds, 3),
        "peak_mib": round(invoked.peak_mib, 1),
        "loaded_mib": round(invoked.before_mib, 1),
        f"seconds_at_{FUNCTION_MB}_mb": round(_on_lambda(invoked), 1),
    }
