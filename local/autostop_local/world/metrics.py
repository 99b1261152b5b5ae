"""CloudWatch metrics: what is published of the running instances, and how it is read.

Published and read at once in one list per metric, and kept for as long as the world lasts: a stop takes nothing away.
"""

import bisect
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from autostop_local.world.cloud import Cloud, Params, Reply
from autostop_local.world.errors import AwsError
from autostop_local.world.instance_types import INSTANCE_TYPES, vcpus
from autostop_local.world.resources import Instance

_Key = tuple[str, str, frozenset[tuple[str, str]]]  # namespace, name, dimensions
_Point = tuple[datetime, float, datetime]  # of when, value, readable from

_UNITS = {"CPUUtilization": "Percent", "NetworkIn": "Bytes", "NetworkOut": "Bytes"}
_MOMENT, _MINUTE = timedelta(microseconds=1), timedelta(minutes=1)
_ID = re.compile(r"[a-z][a-zA-Z0-9_]*")
_STATISTICS: dict[str, Callable[[Sequence[float]], float]] = {
    "Average": lambda values: sum(values) / len(values),
    "Minimum": min,
    "Maximum": max,
    "Sum": sum,
    "SampleCount": len,
}


class Metrics:
    """The metrics and the calls on them, by AWS's names in `operations`."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._points: dict[_Key, list[_Point]] = {}
        self.operations: dict[str, Callable[[Params], Reply]] = {
            "GetMetricData": self.get_metric_data,
            "GetMetricStatistics": self.get_metric_statistics,
        }
        self._measure_at(floor(cloud.now(), self._sample) + self._sample)

    @property
    def _sample(self) -> timedelta:
        return min(self._cloud.timings.metric_sample, self._cloud.timings.metric_period)

    def put(
        self, namespace: str, name: str, dimensions: Mapping[str, str], at: datetime, value: float, readable: datetime
    ) -> None:
        points = self._points.setdefault((namespace, name, frozenset(dimensions.items())), [])
        bisect.insort(points, (at, value, readable))

    def measure(self, instance: Instance, at: datetime) -> None:
        """Publish what a running instance used of its processor and its network since it was last measured.

        NetworkIn and NetworkOut are the bytes of the period, to be read as a Sum; of the processor it is a mean share.
        A point of basic monitoring is of five samples. On Nitro it is there with its first, and grows; on Xen it comes
        when all are in.
        """
        machines, timings = self._cloud.machines, self._cloud.timings
        begun, sampled = floor(at - _MOMENT, timings.metric_period), floor(at - _MOMENT, self._sample)
        nitro = INSTANCE_TYPES[instance.type].get("Hypervisor") == "nitro"
        readable = (at if nitro else begun + timings.metric_period) + timings.metric_delay
        cores, traffic = machines.cores_in_use(instance.id), machines.traffic(instance.id)
        measured: dict[str, float] = {}
        if cores is not None:
            measured["CPUUtilization"] = min(100.0, 100 * cores / vcpus(instance.type))
        if traffic is not None:
            ran_for = (at - max(sampled, instance.running_at or sampled)).total_seconds()
            measured["NetworkIn"], measured["NetworkOut"] = (rate * ran_for for rate in traffic)
        for name, value in measured.items():
            self.put("AWS/EC2", name, {"InstanceId": instance.id}, begun, value, readable)

    def get_metric_data(self, params: Params) -> Reply:
        """Newest first unless asked otherwise; no data is an empty list.

        A period is counted from StartTime, which is rounded down to the minute: its points carry its beginning.
        """
        queries, start, end = params["MetricDataQueries"], _aware(params["StartTime"]), _aware(params["EndTime"])
        _check_queries(queries, start, end)
        newest_first = params.get("ScanBy") != "TimestampAscending"
        results = []
        for query in queries:
            stat = query["MetricStat"]
            points = self._read(_key(stat["Metric"]), start, end, stat["Period"], stat["Stat"])
            if query.get("ReturnData", True):
                label = query.get("Label") or stat["Metric"]["MetricName"]
                results.append((query["Id"], label, points[::-1] if newest_first else points))
        return _paged(results, params.get("NextToken"), params.get("MaxDatapoints") or 100_800)

    def get_metric_statistics(self, params: Params) -> Reply:
        start, end = _aware(params["StartTime"]), _aware(params["EndTime"])
        unit = _UNITS.get(params["MetricName"], "None")
        rows: dict[datetime, dict[str, Any]] = {}
        for name in params.get("Statistics") or ():
            for at, value in self._read(_key(params), start, end, params["Period"], name):
                rows.setdefault(at, {"Timestamp": at, "Unit": unit})[name] = value
        return {"Label": params["MetricName"], "Datapoints": list(rows.values())}

    def _measure_at(self, due: datetime) -> None:
        def measured(at: datetime) -> None:
            for instance in self._cloud.instances.values():
                if instance.state == "running":
                    self.measure(instance, at)
            self._measure_at(at + self._sample)

        self._cloud.timeline.at(due, measured)

    def _read(
        self, key: _Key, start: datetime, end: datetime, period_seconds: int, statistic: str
    ) -> list[tuple[datetime, float]]:
        """Oldest first."""
        if statistic not in _STATISTICS:
            raise AwsError("ValidationError", f"The statistic {statistic} is not available for this metric")
        lost = self._cloud.instances.get(dict(key[2]).get("InstanceId", ""))
        if lost is not None and lost.metrics_lost:
            return []
        points = self._points.get(key, ())
        period, now = timedelta(seconds=period_seconds), self._cloud.now()
        begin = floor(start, min(period, _MINUTE))
        first = bisect.bisect_left(points, begin, key=lambda point: point[0])
        buckets: list[tuple[datetime, list[float]]] = []
        until = begin
        for at, value, readable in points[first:]:
            if at >= end:
                break
            if readable > now:
                continue
            if at >= until:
                bucket = at - (at - begin) % period
                buckets.append((bucket, values := []))
                until = bucket + period
            values.append(value)
        return [(at, float(_STATISTICS[statistic](values))) for at, values in buckets]


def floor(at: datetime, period: timedelta) -> datetime:
    """The beginning of the period that `at` is in; periods are counted from 1970."""
    return at - (at - datetime(1970, 1, 1, tzinfo=UTC)) % period


def _aware(at: datetime) -> datetime:
    """The parsers of requests give UTC without saying so."""
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at


def _key(metric: Mapping[str, Any]) -> _Key:
    dimensions = frozenset((one["Name"], one["Value"]) for one in metric.get("Dimensions") or ())
    return metric["Namespace"], metric["MetricName"], dimensions


def _check_queries(queries: Sequence[Mapping[str, Any]], start: datetime, end: datetime) -> None:
    if len(queries) > 500:
        raise AwsError("ValidationError", "The collection MetricDataQueries must not have a size greater than 500.")
    if start >= end:
        raise AwsError("ValidationError", "The parameter StartTime must be less than the parameter EndTime.")
    ids = [query["Id"] for query in queries]
    if len(set(ids)) < len(ids):
        raise AwsError("ValidationError", "The values for parameter Id in MetricDataQueries are not unique.")
    for query in queries:
        if not _ID.fullmatch(query["Id"]):
            raise AwsError("ValidationError", f"The value {query['Id']} for parameter Id is not matching the pattern.")
        if "MetricStat" not in query:
            raise AwsError("ValidationError", "Only queries with MetricStat can be answered here.")
        period = query["MetricStat"]["Period"]
        if period not in (1, 5, 10, 20, 30) and (period < 60 or period % 60):
            raise AwsError("ValidationError", f"Period must be 1, 5, 10, 20, 30 or a multiple of 60, not {period}.")


def _paged(results: Iterable[tuple[str, str, list[tuple[datetime, float]]]], token: str | None, most: int) -> Reply:
    """At most so many points; a metric that is cut is marked, and goes on in the next page."""
    skip, room, answer = int(token or 0), most, []
    seen = 0
    for query_id, label, points in results:
        begin = max(0, skip - seen)
        seen += len(points)
        if skip and begin >= len(points):
            continue  # told on an earlier page
        part = points[begin : begin + room]
        room -= len(part)
        whole = begin + len(part) == len(points)
        answer.append(
            {
                "Id": query_id,
                "Label": label,
                "Timestamps": [at for at, _ in part],
                "Values": [value for _, value in part],
                "StatusCode": "Complete" if whole else "PartialData",
            }
        )
    told = skip + most - room
    return {"MetricDataResults": answer, "NextToken": str(told) if told < seen else None}
