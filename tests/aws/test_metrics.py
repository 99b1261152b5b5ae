"""The metrics, in the world."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any, cast

import pytest

from autostop.aws.metrics import CloudWatchMetrics
from autostop.idle.signs import Sample, Traffic
from autostop.model import Instance, InstanceId, InstanceState, WorkstationId, instance_of
from autostop.ports import TransientError
from tests.app.autostop_at_work import START, AtWork

PERIOD = timedelta(minutes=5)


def instance(lab: AtWork, workstation: WorkstationId) -> Instance:
    found = lab.instances.find(instance_of(workstation))
    assert found is not None
    return found


def test_percent_becomes_cores_oldest_first(lab: AtWork) -> None:
    workstation = lab.workstation(disks={})
    lab.machines.use_cores(workstation, None)
    for number, percent in enumerate((5.0, 50.0, 100.0)):
        lab.world.put_cpu(workstation, START + number * PERIOD, percent)
    lab.clock.advance(timedelta(minutes=30))
    samples = lab.metrics.processor([instance(lab, workstation)], {workstation: START}, PERIOD, lab.clock())
    assert samples == {workstation: [Sample(START + n * PERIOD, cores) for n, cores in enumerate((0.2, 2.0, 4.0))]}


def test_no_data_is_no_sample_and_never_zero(lab: AtWork) -> None:
    workstation, other = lab.workstation(disks={}), lab.workstation(disks={})
    lab.clock.advance(timedelta(minutes=30))
    lab.world.lose_metrics(workstation)
    both = [instance(lab, workstation), instance(lab, other)]
    samples = lab.metrics.processor(both, {workstation: START, other: START}, PERIOD, lab.clock())
    assert samples[workstation] == []
    assert len(samples[other]) > 3


def test_five_hundred_and_one_workstations_take_two_calls(lab: AtWork) -> None:
    workstation = lab.workstation(disks={})
    lab.clock.advance(timedelta(minutes=30))
    one = instance(lab, workstation)
    many = [replace(one, id=InstanceId(f"i-{number:017x}")) for number in range(500)] + [one]
    lab.world.journal.clear()
    samples = lab.metrics.processor(many, {each.workstation: START for each in many}, PERIOD, lab.clock())
    assert len(samples) == 501
    assert samples[workstation]
    assert [len(call.parameters["MetricDataQueries"]) for call in lab.world.journal.calls("GetMetricData")] == [500, 1]


def test_a_refusal_is_an_error_and_no_empty_answer(lab: AtWork) -> None:
    workstation = lab.workstation(disks={})
    lab.clock.advance(timedelta(minutes=30))
    one = instance(lab, workstation)
    lab.world.fail_next("GetMetricData", "Throttling", times=10)
    with pytest.raises(TransientError):
        lab.metrics.processor([one], {workstation: START}, PERIOD, lab.clock())


def test_of_an_unknown_number_of_cores_a_percentage_says_nothing(lab: AtWork) -> None:
    workstation = lab.workstation(disks={})
    lab.clock.advance(timedelta(minutes=30))
    unknown = replace(instance(lab, workstation), vcpus=0)
    samples = lab.metrics.processor([unknown], {workstation: START}, PERIOD, lab.clock())
    assert samples == {workstation: []}


def test_what_came_and_went_is_added_and_told_by_the_second(lab: AtWork) -> None:
    workstation = lab.workstation(disks={})
    lab.machines.use_network(workstation, 4000.0, 200.0)
    lab.clock.advance(timedelta(minutes=12))
    traffic = lab.metrics.network([instance(lab, workstation)], {workstation: START}, PERIOD, lab.clock())
    # The instance was pending for the first two seconds of the first period.
    rates = {each.at: round(each.bytes_per_second) for each in traffic[workstation]}
    assert rates == {START: round(4200 * 298 / 300), START + PERIOD: 4200}


def test_every_minute_of_detailed_monitoring_is_added(lab: AtWork) -> None:
    workstation = lab.workstation(disks={})
    lab.machines.use_network(workstation, None)
    for minute in range(5):
        lab.world.put_network(workstation, START + minute * timedelta(minutes=1), 600.0, 300.0)
    lab.clock.advance(timedelta(minutes=30))
    traffic = lab.metrics.network([instance(lab, workstation)], {workstation: START}, PERIOD, lab.clock())
    assert traffic == {workstation: [Traffic(START, 5 * 900 / 300)]}


def test_half_a_period_s_traffic_is_no_sample(lab: AtWork) -> None:
    workstation = lab.workstation(disks={})
    lab.machines.use_network(workstation, None)
    lab.world.put_network(workstation, START, 600.0, 300.0)
    lab.world.put_network(workstation, START + PERIOD, 600.0, None)
    lab.world.put_network(workstation, START + 2 * PERIOD, None, 300.0)
    lab.world.put_network(workstation, START + 3 * PERIOD, 0.0, 0.0)
    lab.clock.advance(timedelta(minutes=30))
    traffic = lab.metrics.network([instance(lab, workstation)], {workstation: START}, PERIOD, lab.clock())
    assert traffic == {workstation: [Traffic(START, 3.0), Traffic(START + 3 * PERIOD, 0.0)]}


def test_the_traffic_of_a_period_that_is_not_over_is_no_sample(lab: AtWork) -> None:
    lab.world.timings.metric_delay = timedelta(0)
    workstation = lab.workstation(disks={})
    lab.machines.use_network(workstation, None)
    lab.world.put_network(workstation, START, 600.0, 300.0)
    one = instance(lab, workstation)
    lab.clock.advance(timedelta(minutes=4, seconds=59))
    assert lab.metrics.network([one], {workstation: START}, PERIOD, lab.clock()) == {workstation: []}
    lab.clock.advance(timedelta(seconds=1))
    assert lab.metrics.network([one], {workstation: START}, PERIOD, lab.clock()) == {workstation: [Traffic(START, 3.0)]}


def test_the_traffic_of_two_hundred_and_fifty_one_workstations_takes_two_calls(lab: AtWork) -> None:
    workstation = lab.workstation(disks={})
    lab.clock.advance(timedelta(minutes=30))
    one = instance(lab, workstation)
    many = [replace(one, id=InstanceId(f"i-{number:017x}")) for number in range(250)] + [one]
    lab.world.journal.clear()
    traffic = lab.metrics.network(many, {each.workstation: START for each in many}, PERIOD, lab.clock())
    assert len(traffic) == 251
    assert traffic[workstation]
    assert [len(call.parameters["MetricDataQueries"]) for call in lab.world.journal.calls("GetMetricData")] == [500, 2]


def test_traffic_that_cloudwatch_refuses_to_tell_is_an_error_and_no_quiet_network(lab: AtWork) -> None:
    workstation = lab.workstation(disks={})
    lab.clock.advance(timedelta(minutes=30))
    one = instance(lab, workstation)
    lab.world.fail_next("GetMetricData", "Throttling", times=10)
    with pytest.raises(TransientError):
        lab.metrics.network([one], {workstation: START}, PERIOD, lab.clock())


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
