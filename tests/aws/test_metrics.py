from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, cast

import pytest

from autostop.aws.metrics import CloudWatchMetrics
from autostop.idle.measured import Activity, Sample, Traffic
from autostop.idle.verdict import assess
from autostop.model import Instance, InstanceId, InstanceState
from autostop.ports import TransientError
from autostop.settings import Policy, Probe
from tests.app.autostop_at_work import START, AtWork

PERIOD = timedelta(minutes=5)
MINUTE = timedelta(minutes=1)


def test_percent_becomes_cores_oldest_first(lab: AtWork) -> None:
    workstation = lab.workstation(disks={})
    lab.machines.use_cores(workstation, None)
    for number, percent in enumerate((5.0, 50.0, 100.0)):
        lab.world.put_cpu(workstation, START + number * PERIOD, percent)
    lab.clock.advance(timedelta(minutes=30))
    samples = lab.metrics.processor([lab.instance(workstation)], {workstation: START}, PERIOD, lab.clock())
    assert samples == {workstation: [Sample(START + n * PERIOD, cores) for n, cores in enumerate((0.2, 2.0, 4.0))]}


def test_no_data_is_no_sample_and_never_zero(lab: AtWork) -> None:
    workstation, other = lab.workstation(disks={}), lab.workstation(disks={})
    lab.clock.advance(timedelta(minutes=30))
    lab.world.lose_metrics(workstation)
    both = [lab.instance(workstation), lab.instance(other)]
    samples = lab.metrics.processor(both, {workstation: START, other: START}, PERIOD, lab.clock())
    assert samples[workstation] == []
    assert len(samples[other]) > 3


@pytest.mark.parametrize(("measure", "count", "queries"), [("processor", 501, [500, 1]), ("network", 251, [500, 2])])
def test_more_workstations_than_one_call_takes_are_two(
    lab: AtWork, measure: str, count: int, queries: list[int]
) -> None:
    workstation = lab.workstation(disks={})
    lab.clock.advance(timedelta(minutes=30))
    one = lab.instance(workstation)
    many = [replace(one, id=InstanceId(f"i-{number:017x}")) for number in range(count - 1)] + [one]
    lab.world.journal.clear()
    found = getattr(lab.metrics, measure)(many, {each.workstation: START for each in many}, PERIOD, lab.clock())
    assert len(found) == count
    assert found[workstation]
    asked = lab.world.journal.calls("GetMetricData")
    assert [len(call.parameters["MetricDataQueries"]) for call in asked] == queries


@pytest.mark.parametrize("measure", ["processor", "network"])
def test_a_refusal_is_an_error_and_no_empty_answer(lab: AtWork, measure: str) -> None:
    workstation = lab.workstation(disks={})
    lab.clock.advance(timedelta(minutes=30))
    one = lab.instance(workstation)
    lab.world.fail_next("GetMetricData", "Throttling", times=10)
    with pytest.raises(TransientError):
        getattr(lab.metrics, measure)([one], {workstation: START}, PERIOD, lab.clock())


def test_of_an_unknown_number_of_cores_a_percentage_says_nothing(lab: AtWork) -> None:
    workstation = lab.workstation(disks={})
    lab.clock.advance(timedelta(minutes=30))
    unknown = replace(lab.instance(workstation), vcpus=0)
    samples = lab.metrics.processor([unknown], {workstation: START}, PERIOD, lab.clock())
    assert samples == {workstation: []}


def test_what_came_and_went_is_added_and_told_by_the_second(lab: AtWork) -> None:
    workstation = lab.workstation(disks={})
    lab.machines.use_network(workstation, 4000.0, 200.0)
    lab.clock.advance(timedelta(minutes=12))
    traffic = lab.metrics.network([lab.instance(workstation)], {workstation: START}, PERIOD, lab.clock())
    # The instance was pending for the first two seconds of the first period.
    rates = {each.at: round(each.bytes_per_second) for each in traffic[workstation]}
    assert rates == {START: round(4200 * 298 / 300), START + PERIOD: 4200}


def test_every_minute_of_detailed_monitoring_is_added(lab: AtWork) -> None:
    workstation = lab.workstation(disks={})
    lab.machines.use_network(workstation, None)
    for minute in range(5):
        lab.world.put_network(workstation, START + minute * timedelta(minutes=1), 600.0, 300.0)
    lab.clock.advance(timedelta(minutes=30))
    traffic = lab.metrics.network([lab.instance(workstation)], {workstation: START}, PERIOD, lab.clock())
    assert traffic == {workstation: [Traffic(START, 5 * 900 / 300)]}


def test_half_a_period_s_traffic_is_no_sample(lab: AtWork) -> None:
    workstation = lab.workstation(disks={})
    lab.machines.use_network(workstation, None)
    lab.world.put_network(workstation, START, 600.0, 300.0)
    lab.world.put_network(workstation, START + PERIOD, 600.0, None)
    lab.world.put_network(workstation, START + 2 * PERIOD, None, 300.0)
    lab.world.put_network(workstation, START + 3 * PERIOD, 0.0, 0.0)
    lab.clock.advance(timedelta(minutes=30))
    traffic = lab.metrics.network([lab.instance(workstation)], {workstation: START}, PERIOD, lab.clock())
    assert traffic == {workstation: [Traffic(START, 3.0), Traffic(START + 3 * PERIOD, 0.0)]}


def test_the_traffic_of_a_period_that_is_not_over_is_no_sample(lab: AtWork) -> None:
    lab.world.timings.metric_delay = timedelta(0)
    workstation = lab.workstation(disks={})
    lab.machines.use_network(workstation, None)
    lab.world.put_network(workstation, START, 600.0, 300.0)
    one = lab.instance(workstation)
    lab.clock.advance(timedelta(minutes=4, seconds=59))
    assert lab.metrics.network([one], {workstation: START}, PERIOD, lab.clock()) == {workstation: []}
    lab.clock.advance(timedelta(seconds=1))
    assert lab.metrics.network([one], {workstation: START}, PERIOD, lab.clock()) == {workstation: [Traffic(START, 3.0)]}


def test_answers_are_read_from_every_page_and_only_with_a_readable_status() -> None:
    stub = Pages(
        [
            [
                ("in0", [600.0], "PartialData"),
                ("out0", [300.0], "Complete"),
                ("in1", [9.0], "InternalError"),
                ("out1", [9.0], "Complete"),
            ],
            [("in0", [1200.0], "Complete"), ("out0", [300.0], "Complete")],
        ]
    )
    metrics = CloudWatchMetrics(cast("Any", stub))
    both = [
        Instance(InstanceId(name), InstanceState.RUNNING, START, "t3.xlarge", 4, "us-east-1a", "/dev/sda1", {})
        for name in ("i-1", "i-2")
    ]
    traffic = metrics.network(both, {each.workstation: START for each in both}, PERIOD, START + timedelta(hours=1))
    assert traffic == {"i-1": [Traffic(START, 3.0), Traffic(START + PERIOD, 5.0)], "i-2": []}


@dataclass(frozen=True)
class Nitro:
    """A client whose GetMetricData answers as AWS does for a Nitro instance with basic monitoring.

    A sample a minute goes into the point of its five minutes, which is there after the first and grows in place
    (CloudWatch User Guide, EC2 metrics of C5 and M5). Periods are counted from StartTime, rounded down to the minute
    (API Reference, GetMetricData). rate: bytes a second each way; cores: in use at a moment, of four.
    """

    now: datetime
    rate: float = 0.0
    cores: Callable[[datetime], float] = lambda _: 0.0

    def get_paginator(self, _operation: str) -> "Nitro":
        return self

    def paginate(self, **asked: Any) -> Iterator[dict[str, Any]]:
        start, results = asked["StartTime"].replace(second=0, microsecond=0), []
        for query in asked["MetricDataQueries"]:
            stat, buckets = query["MetricStat"], dict[datetime, list[float]]()
            minute = LAUNCHED.replace(second=0)
            while minute + MINUTE <= self.now:
                point = minute - timedelta(minutes=minute.minute % 5)
                if start <= point < asked["EndTime"]:
                    begins = start + (point - start) // PERIOD * PERIOD
                    network = stat["Metric"]["MetricName"] != "CPUUtilization"
                    sample = self.rate * 60 if network else self.cores(minute) * 25
                    buckets.setdefault(begins, []).append(sample)
                minute += MINUTE
            sums = stat["Stat"] == "Sum"
            values = [sum(samples) if sums else sum(samples) / len(samples) for samples in buckets.values()]
            results.append({"Id": query["Id"], "Timestamps": [*buckets], "Values": values, "StatusCode": "Complete"})
        yield {"MetricDataResults": results}


LAUNCHED = START - timedelta(hours=2, minutes=2, seconds=30)
NITRO = Instance(InstanceId("i-1"), InstanceState.RUNNING, LAUNCHED, "m7i.xlarge", 4, "us-east-1a", "/dev/sda1", {})
# By how far a sweep, and so the time it looks back to, is off the beginning of a period.
PHASES = pytest.mark.parametrize("phase", [timedelta(minutes=each, seconds=30) for each in range(5)], ids=str)


@PHASES
def test_a_steady_rate_is_read_as_it_is_whenever_the_sweep_comes(phase: timedelta) -> None:
    now = START + phase
    metrics = CloudWatchMetrics(cast("Any", Nitro(now, rate=125_000)))

    traffic = metrics.network([NITRO], {NITRO.workstation: now - timedelta(hours=1)}, PERIOD, now)[NITRO.workstation]

    assert {each.bytes_per_second for each in traffic} == {250_000}
    assert len(traffic) == 12
    assert traffic[-1].at + PERIOD <= now


@PHASES
def test_since_when_it_is_quiet_is_never_told_too_early(phase: timedelta) -> None:
    now, worked_until = START + phase, START - timedelta(minutes=42)
    nitro = Nitro(now, cores=lambda minute: 3.0 if minute < worked_until else 0.01)
    metrics = CloudWatchMetrics(cast("Any", nitro))
    policy = Policy(idle_after=timedelta(minutes=30), probe=Probe.NONE)

    samples = metrics.processor([NITRO], {NITRO.workstation: now - timedelta(hours=1)}, PERIOD, now)
    verdict = assess(Activity(LAUNCHED, samples[NITRO.workstation], None), policy, now)

    assert verdict.since is not None
    assert worked_until <= verdict.since < worked_until + PERIOD


@PHASES
def test_work_in_a_point_that_still_grows_is_seen_at_once(phase: timedelta) -> None:
    now = START + phase + MINUTE
    metrics = CloudWatchMetrics(
        cast("Any", Nitro(now, cores=lambda minute: 3.0 if minute >= now - 2 * MINUTE else 0.0))
    )

    samples = metrics.processor([NITRO], {NITRO.workstation: now - timedelta(hours=1)}, PERIOD, now)
    verdict = assess(Activity(LAUNCHED, samples[NITRO.workstation], None), Policy(probe=Probe.NONE), now)

    assert verdict.headline.startswith("processor: ")
    assert "cores in use" in verdict.headline


class Pages:
    """A client whose GetMetricData answers in pages; the points of page n are of the period n."""

    def __init__(self, pages: list[list[tuple[str, list[float], str]]]) -> None:
        self.pages = pages

    def get_paginator(self, _operation: str) -> "Pages":
        return self

    def paginate(self, **_asked: object) -> Iterator[dict[str, Any]]:
        for number, page in enumerate(self.pages):
            yield {
                "MetricDataResults": [
                    {"Id": id_, "Timestamps": [START + number * PERIOD], "Values": values, "StatusCode": status}
                    for id_, values, status in page
                ]
            }
