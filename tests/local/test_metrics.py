from datetime import datetime, timedelta
from typing import Any

import pytest

from tests.local.conftest import START, Desk, Refused, query

MINUTES = timedelta(minutes=1)


def read(
    desk: Desk, instance_id: str, start: datetime, end: datetime, *, order: str | None = None, **how: Any
) -> list[tuple[datetime, float]]:
    more: dict[str, Any] = {"ScanBy": order} if order else {}
    reply = desk.cloudwatch.get_metric_data(
        MetricDataQueries=[query(instance_id, **how)],
        StartTime=start,
        EndTime=end,
        **more,
    )
    (result,) = reply["MetricDataResults"]
    assert result["StatusCode"] == "Complete"
    return list(zip(result["Timestamps"], result["Values"], strict=True))


def test_the_newest_comes_first_unless_asked_otherwise(desk: Desk) -> None:
    instance_id = desk.launch()
    for minute in (0, 5, 10):
        desk.world.put_cpu(instance_id, START + minute * MINUTES, float(minute))
    desk.wait(3600)
    points = [(START + minute * MINUTES, float(minute)) for minute in (0, 5, 10)]
    end = START + timedelta(hours=1)

    assert read(desk, instance_id, START, end) == points[::-1]
    assert read(desk, instance_id, START, end, order="TimestampAscending") == points


def test_periods_are_counted_from_the_start_which_is_rounded_down_to_the_minute(desk: Desk) -> None:
    instance_id = desk.launch()
    desk.machines.use_cores(instance_id, None)
    for minute in (0, 5, 10):
        desk.world.put_cpu(instance_id, START + minute * MINUTES, float(minute))
    desk.wait(3600)

    points = read(desk, instance_id, START + timedelta(minutes=3, seconds=59), START + 60 * MINUTES)

    assert points == [(START + 8 * MINUTES, 10.0), (START + 3 * MINUTES, 5.0)]


def test_start_is_inclusive_and_aligned_and_end_is_exclusive(desk: Desk) -> None:
    instance_id = desk.launch()
    for minute in (0, 5, 10):
        desk.world.put_cpu(instance_id, START + minute * MINUTES, float(minute))
    desk.wait(3600)

    def values(start: datetime, end: datetime) -> list[float]:
        return [value for _, value in read(desk, instance_id, start, end)]

    assert values(START + 5 * MINUTES, START + 10 * MINUTES) == [5.0]
    assert values(START + 7 * MINUTES, START + 11 * MINUTES) == [10.0]
    assert values(START + 11 * MINUTES, START + 60 * MINUTES) == []
    assert values(START + 15 * MINUTES, START + 60 * MINUTES) == []


@pytest.mark.parametrize(("stat", "value"), [("Average", 20.0), ("Maximum", 30.0), ("Sum", 40.0), ("SampleCount", 2.0)])
def test_statistics_over_a_longer_period(desk: Desk, stat: str, value: float) -> None:
    instance_id = desk.launch()
    desk.world.put_cpu(instance_id, START, 10.0)
    desk.world.put_cpu(instance_id, START + 5 * MINUTES, 30.0)
    desk.wait(3600)

    points = read(desk, instance_id, START, START + timedelta(hours=1), period=3600, stat=stat)

    assert points == [(START, value)]


def test_busy_cores_are_published_as_a_share_of_the_type_and_only_while_running(desk: Desk) -> None:
    instance_id = desk.world.launch(type="m5.xlarge")
    desk.machines.use_cores(instance_id, 1.0)
    desk.wait(15 * 60)
    desk.machines.use_cores(instance_id, 0.1)
    desk.wait(12 * 60)
    desk.ec2.stop_instances(InstanceIds=[instance_id])
    desk.wait(6 * 3600)

    points = read(desk, instance_id, START, desk.clock.now(), order="TimestampAscending")

    # 4 vCPUs: a busy core is a quarter. The last one is the piece before the stop.
    assert [round(value, 1) for _, value in points] == [25.0, 25.0, 25.0, 2.5, 2.5, 2.5]
    assert [at for at, _ in points] == [START + n * 5 * MINUTES for n in range(6)]


def test_bytes_are_published_of_each_period_while_it_runs(desk: Desk) -> None:
    instance_id = desk.launch()
    desk.machines.use_network(instance_id, 1000.0, 10.0)
    desk.wait(8 * 60)
    desk.machines.use_network(instance_id, 0.0)
    desk.wait(5 * 60)
    desk.ec2.stop_instances(InstanceIds=[instance_id])
    desk.wait(3600)

    def of(name: str) -> list[tuple[datetime, float]]:
        how: dict[str, Any] = {"stat": "Sum", "name": name}
        return read(desk, instance_id, START, desk.clock.now(), order="TimestampAscending", **how)

    # Nothing in the first minute and from the tenth on; it is stopped after 14 minutes.
    assert of("NetworkIn") == [(START, 240_000.0), (START + 5 * MINUTES, 240_000.0), (START + 10 * MINUTES, 0.0)]
    assert of("NetworkOut") == [(START, 2_400.0), (START + 5 * MINUTES, 2_400.0), (START + 10 * MINUTES, 0.0)]


def test_a_machine_that_does_not_measure_its_network_publishes_none(desk: Desk) -> None:
    instance_id = desk.world.launch()
    desk.machines.use_network(instance_id, None)
    desk.wait(3600)

    assert read(desk, instance_id, START, desk.clock.now(), stat="Sum", name="NetworkIn") == []


def test_bytes_put_by_hand_add_up_over_a_longer_period(desk: Desk) -> None:
    instance_id = desk.world.launch()
    desk.machines.use_network(instance_id, None)
    desk.world.put_network(instance_id, START, 10.0, None)
    desk.world.put_network(instance_id, START + 5 * MINUTES, 32.0, 1.0)
    desk.wait(3600)

    whole_hour: dict[str, Any] = {"period": 3600, "stat": "Sum"}
    assert read(desk, instance_id, START, desk.clock.now(), name="NetworkIn", **whole_hour) == [(START, 42.0)]
    assert read(desk, instance_id, START, desk.clock.now(), name="NetworkOut", **whole_hour) == [(START, 1.0)]


@pytest.mark.parametrize(("kind", "grows"), [("m5.xlarge", True), ("m4.xlarge", False)])
def test_a_point_of_nitro_grows_with_its_samples_and_one_of_xen_comes_whole(desk: Desk, kind: str, grows: bool) -> None:
    desk.world.timings.metric_delay = 2 * MINUTES
    instance_id = desk.world.launch(type=kind)
    desk.machines.use_cores(instance_id, 0.0)
    desk.machines.use_network(instance_id, 1000.0)

    def seen() -> tuple[list[float], list[float]]:
        now = desk.clock.now()
        how: dict[str, Any] = {"stat": "Sum", "name": "NetworkIn"}
        return [value for _, value in read(desk, instance_id, START, now)], [
            value for _, value in read(desk, instance_id, START, now, **how)
        ]

    desk.wait(2 * 60 + 59)
    assert seen() == ([], [])
    desk.machines.use_cores(instance_id, 4.0)
    desk.wait(1)  # the sample of the first minute, in which it was pending for two seconds
    assert seen() == (([0.0], [58_000.0]) if grows else ([], []))
    desk.wait(3 * 60)
    assert seen() == (([50.0], [238_000.0]) if grows else ([], []))
    desk.wait(60)
    assert seen() == ([60.0], [298_000.0])


def test_lost_metrics_are_an_empty_list(desk: Desk) -> None:
    instance_id = desk.launch()
    desk.world.put_cpu(instance_id, START, 1.5)

    desk.world.lose_metrics(instance_id)
    assert read(desk, instance_id, START, desk.clock.now()) == []
    desk.world.lose_metrics(instance_id, lost=False)
    assert read(desk, instance_id, START, desk.clock.now()) == [(START, 1.5)]
    assert read(desk, "i-0123456789abcdef0", START, desk.clock.now()) == []


def test_a_long_answer_comes_in_pages(desk: Desk) -> None:
    instances = [desk.world.launch() for _ in range(3)]
    desk.wait(3600)
    for n, instance_id in enumerate(instances):
        for minute in (0, 5, 10, 15):
            desk.world.put_cpu(instance_id, START + minute * MINUTES, float(n))
    asked = [query(instance_id, f"q{n}") for n, instance_id in enumerate(instances)]

    pages = []
    more: dict[str, Any] = {}
    while True:
        reply = desk.cloudwatch.get_metric_data(
            MetricDataQueries=asked,
            StartTime=START,
            EndTime=desk.clock.now(),
            MaxDatapoints=5,
            **more,
        )
        pages.append([(one["Id"], len(one["Values"]), one["StatusCode"]) for one in reply["MetricDataResults"]])
        if "NextToken" not in reply:
            break
        more = {"NextToken": reply["NextToken"]}

    assert pages == [
        [("q0", 4, "Complete"), ("q1", 1, "PartialData"), ("q2", 0, "PartialData")],
        [("q1", 3, "Complete"), ("q2", 2, "PartialData")],
        [("q2", 2, "Complete")],
    ]


def test_what_cloudwatch_refuses(desk: Desk, refused: Refused) -> None:
    ask = desk.cloudwatch.get_metric_data
    times = {"StartTime": START, "EndTime": START + timedelta(hours=1)}
    instance_id = desk.launch()

    for queries in (
        [query(instance_id, f"m{n}") for n in range(501)],
        [query(instance_id), query(instance_id)],
        [query(instance_id, "M1")],
        [query(instance_id, period=90)],
        [query(instance_id, stat="p90")],
    ):
        assert refused(ask, MetricDataQueries=queries, **times)[0] == "ValidationError"
    assert refused(ask, MetricDataQueries=[query(instance_id)], StartTime=START, EndTime=START)[0] == "ValidationError"


def test_statistics_are_told_together(desk: Desk) -> None:
    instance_id = desk.launch()
    desk.world.put_cpu(instance_id, START, 7.0)
    metric = query(instance_id)["MetricStat"]["Metric"]

    told = desk.cloudwatch.get_metric_statistics(
        **metric, StartTime=START, EndTime=START + 5 * MINUTES, Period=300, Statistics=["Average", "Maximum"]
    )

    assert [(one["Average"], one["Maximum"]) for one in told["Datapoints"]] == [(7.0, 7.0)]
