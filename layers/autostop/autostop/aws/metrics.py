"""The metrics of many instances, in few calls: the processor and the network."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from autostop.aws.errors import aws_errors
from autostop.idle.measured import Sample, Traffic
from autostop.model import Instance, WorkstationId

if TYPE_CHECKING:
    from mypy_boto3_cloudwatch import CloudWatchClient
    from mypy_boto3_cloudwatch.type_defs import MetricDataQueryTypeDef

# GetMetricData takes 500 queries a call (botocore, `GetMetricData`).
_MOST_QUERIES = 500
_READABLE = frozenset({"Complete", "PartialData"})
_EPOCH = datetime.fromtimestamp(0, UTC)
_Since = Mapping[WorkstationId, datetime]


@dataclass(frozen=True, slots=True)
class CloudWatchMetrics:
    """The port `Metrics` on CloudWatch. An empty answer is no data, never zero."""

    client: "CloudWatchClient"

    def processor(
        self, instances: Sequence[Instance], since: _Since, period: timedelta, now: datetime
    ) -> Mapping[WorkstationId, Sequence[Sample]]:
        """CPUUtilization × vCPUs."""
        samples: dict[WorkstationId, Sequence[Sample]] = {}
        for chunk in _chunks(instances, _MOST_QUERIES):
            queries = [_query(f"m{index}", each.id, "CPUUtilization", period) for index, each in enumerate(chunk)]
            points = self._points(queries, min(since[each.workstation] for each in chunk), period, now)
            for index, instance in enumerate(chunk):
                # Of an unknown number of cores a percentage says nothing: no data, which is never idle.
                values = sorted(points.get(f"m{index}", {}).items()) if instance.vcpus else []
                samples[instance.workstation] = [Sample(at, percent / 100 * instance.vcpus) for at, percent in values]
        return samples

    def network(
        self, instances: Sequence[Instance], since: _Since, period: timedelta, now: datetime
    ) -> Mapping[WorkstationId, Sequence[Traffic]]:
        """NetworkIn + NetworkOut. A period of which either is missing, or which is not over, is no sample."""
        traffic: dict[WorkstationId, Sequence[Traffic]] = {}
        for chunk in _chunks(instances, _MOST_QUERIES // 2):
            queries = [
                _query(f"{way}{index}", each.id, metric, period, "Sum")
                for index, each in enumerate(chunk)
                for way, metric in (("in", "NetworkIn"), ("out", "NetworkOut"))
            ]
            points = self._points(queries, min(since[each.workstation] for each in chunk), period, now)
            for index, instance in enumerate(chunk):
                received, sent = points.get(f"in{index}", {}), points.get(f"out{index}", {})
                # The sum of a period grows while it lasts, a minute at a time: too early it would look quiet.
                over = sorted(at for at in received.keys() & sent.keys() if at + period <= now)
                rates = [Traffic(at, (received[at] + sent[at]) / period.total_seconds()) for at in over]
                traffic[instance.workstation] = rates
        return traffic

    def _points(
        self, queries: Sequence["MetricDataQueryTypeDef"], since: datetime, period: timedelta, now: datetime
    ) -> dict[str, dict[datetime, float]]:
        """Values by moment, by query id; queries that CloudWatch could not answer are left out.

        CloudWatch counts periods from StartTime, which it rounds down to the minute only (API Reference,
        GetMetricData). From a StartTime between two periods each point would carry a moment up to a period too early,
        and the newest would be taken for whole while it still grows.
        """
        since -= (since - _EPOCH) % period
        points: dict[str, dict[datetime, float]] = {}
        moments: dict[float, datetime] = {}
        pages = self.client.get_paginator("get_metric_data")
        with aws_errors():
            for page in pages.paginate(
                MetricDataQueries=queries, StartTime=since, EndTime=now, ScanBy="TimestampAscending"
            ):
                for result in page["MetricDataResults"]:
                    if result.get("StatusCode") in _READABLE:
                        read = zip(result.get("Timestamps", []), result.get("Values", []), strict=True)
                        known = points.setdefault(result.get("Id", ""), {})
                        known.update((_shared(at, moments), value) for at, value in read)
        return points


def _shared(at: datetime, moments: dict[float, datetime]) -> datetime:
    """The same moment, made once: botocore's have a time zone object each, which is ten times as large as they are."""
    seconds = at.timestamp()
    if seconds not in moments:
        moments[seconds] = datetime.fromtimestamp(seconds, UTC)
    return moments[seconds]


def _chunks(instances: Sequence[Instance], most: int) -> Sequence[Sequence[Instance]]:
    return [instances[first : first + most] for first in range(0, len(instances), most)]


def _query(
    id_: str, instance: str, metric: str, period: timedelta, statistic: str = "Average"
) -> "MetricDataQueryTypeDef":
    return {
        "Id": id_,
        "MetricStat": {
            "Metric": {
                "Namespace": "AWS/EC2",
                "MetricName": metric,
                "Dimensions": [{"Name": "InstanceId", "Value": instance}],
            },
            "Period": int(period.total_seconds()),
            "Stat": statistic,
        },
    }
