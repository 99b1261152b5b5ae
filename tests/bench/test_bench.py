"""The bench itself, on a small account; `make bench` runs it on large ones, beside Cloud Custodian."""

from dataclasses import replace

import pytest

from tests.bench.cold_start import BARE, ColdStart, ColdStarts
from tests.bench.function import Invoked
from tests.bench.measure import Measured, measure
from tests.bench.report import broken, in_words, numbers

SIZE = 20


@pytest.fixture(scope="module")
def small() -> Measured:
    return measure(SIZE, beside_custodian=False)


def test_a_sweep_takes_a_call_for_each_page_and_not_for_each_workstation(small: Measured) -> None:
    busy, asked = small.steady("busy"), small.steady("asked")
    assert busy.calls["ec2 DescribeInstances"] == 1
    assert busy.calls["cloudwatch GetMetricData"] == 1
    assert busy.total <= 10 - 2  # another page of metrics, and another of what the last sweep wrote, at 1,000
    assert not {"ssm SendCommand", "ssm ListCommandInvocations"} & busy.calls.keys()
    assert asked.calls["ssm SendCommand"] == 1
    assert asked.calls["ssm ListCommandInvocations"] == 1
    # Of 1,000 there are 20 commands to send and 20 to read, and 4 more pages of metrics.
    assert asked.total <= 60 - 19 - 19 - 4


def test_every_workstation_is_judged_and_found_at_work(small: Measured) -> None:
    assert {case: small.steady(case).kinds for case in small.sweeps} == {
        "busy": {"active": SIZE},
        "asked": {"active": SIZE},
    }


def swept(workstations: int = 1000, busy: int = 10, asked: int = 60, pages: int = 2, mib: float = 256.0) -> Measured:
    one = Invoked({"ec2 DescribeInstances": busy}, 0.1, 0.1, mib, 80.0, {"active": workstations}, 0, 0, pages)
    other = replace(one, calls={"ssm SendCommand": asked})
    return Measured(workstations, {"busy": (one, one), "asked": (other, other)})


@pytest.mark.parametrize(("measured", "said"), [
    pytest.param(swept(), [], id="all that is allowed"),
    pytest.param(swept(busy=11), ["every processor busy: 11 calls"], id="calls when busy"),
    pytest.param(swept(asked=61), ["every processor quiet, all asked by Run Command: 61 calls"], id="when asked"),
    pytest.param(swept(pages=3), ["every processor busy: 3 pages", "every processor quiet"], id="pages"),
    pytest.param(swept(10_000, 70, 700, 11), [], id="all that is allowed of many"),
    pytest.param(swept(10_000, mib=257.0), ["every processor busy: 257 MiB", "every processor quiet"], id="memory"),
])  # fmt: skip
def test_a_broken_budget_is_told_and_a_kept_one_is_not(measured: Measured, said: list[str]) -> None:
    over = broken([measured])
    assert [line[: len(begin)] for line, begin in zip(over, said, strict=True)] == said
    assert numbers([measured])["broken"] == over
    assert in_words([measured])[-1] == (over[-1] if over else in_words([measured])[-1])
    assert in_words([measured])[-1].startswith("kept: ") is not bool(over)


def test_the_first_sweep_has_no_answers_to_read_and_is_not_the_one_that_is_told(small: Measured) -> None:
    first, *later = small.sweeps["asked"]
    assert "ssm ListCommandInvocations" not in first.calls
    assert small.steady("asked") in later


@pytest.mark.parametrize(("answered_ms", "over"), [(125.0, 0), (126.0, 1)])
def test_a_cold_start_is_held_against_that_of_a_bare_function(answered_ms: float, over: int) -> None:
    starts = ColdStarts({BARE: ColdStart(90.0, 100.0), "api": ColdStart(90.0, answered_ms)}, "Python 3.13")
    assert len(starts.broken()) == over
    assert starts.in_words()[-1].split()[-1] == f"{answered_ms / 100:.2f}"
    assert starts.numbers()["functions"]["api"]["ratio"] == answered_ms / 100
