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


def test_a_broken_budget_is_told_and_a_kept_one_is_not() -> None:
    def swept(busy: int, asked: int) -> list[Measured]:
        one = Invoked({"ec2 DescribeInstances": busy}, 0.1, 0.1, 90.0, 80.0, {"active": 1000}, 0, 0)
        other = replace(one, calls={"ssm SendCommand": asked})
        return [Measured(1000, {"busy": (one, one), "asked": (other, other)})]

    assert broken(swept(10, 60)) == []
    assert "kept" in in_words(swept(10, 60))[-1]
    assert [line.partition(":")[0] for line in broken(swept(11, 61))] == [
        "every processor busy",
        "every processor quiet, all asked by Run Command",
    ]
    assert in_words(swept(11, 60))[-1].startswith("every processor busy: 11 calls")
    assert numbers(swept(11, 60))["broken"] == broken(swept(11, 60))


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
