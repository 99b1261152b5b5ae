"""The processor metric of many instances, in few calls."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from autostop.aws.errors import aws_errors
from autostop.domain.idle import Sample
from autostop.domain.workstation import Instance, WorkstationId

if TYPE_CHECKING:
    from mypy_boto3_cloudwatch import CloudWatchClient
    from mypy_boto3_cloudwatch.type_defs import MetricDataQueryTypeDef

# GetMetricData takes 500 queries a call (botocore, `GetMetricData`).
_MOST_QUERIES = 500
_READABLE = frozenset({"Complete", "PartialData"})


@dataclass(frozen=True, slots=True)
class CloudWatchMetrics:
    """The port `Metrics` on CloudWatch."""

    client: "CloudWatchClient"

    def processor(
        self, instances: Sequence[Instance], since: Mapping[WorkstationId, datetime], period: timedelta, now: datetime
    ) -> Mapping[WorkstationId, Sequence[Sample]]:
        """CPUUtilization × vCPUs. An empty answer is no data, never zero."""
        samples: dict[WorkstationId, Sequence[Sample]] = {}
        for first in range(0, len(instances), _MOST_QUERIES):
            chunk = instances[first : first + _MOST_QUERIES]
            points = self._points(chunk, min(since[each.id] for each in chunk), period, now)
            for index, instance in enumerate(chunk):
                # Of an unknown number of cores a percentage says nothing: no data, which is never idle.
                values = sorted(points.get(f"m{index}", {}).items()) if instance.vcpus else []
                samples[instance.id] = [Sample(at, percent / 100 * instance.vcpus) for at, percent in values]
        return samples

    def _points(
        self, chunk: Sequence[Instance], since: datetime, period: timedelta, now: datetime
    ) -> dict[str, dict[datetime, float]]:
        """Percent by moment, by query id; queries that CloudWatch could not answer are left out."""
        queries = [_query(f"m{index}", instance.id, period) for index, instance in enumerate(chunk)]
        points: dict[str, dict[datetime, float]] = {}
        pages = self.client.get_paginator("get_metric_data")
        with aws_errors():
            for page in pages.paginate(
                MetricDataQueries=queries, StartTime=since, EndTime=now, ScanBy="TimestampAscending"
            ):
                for result in page["MetricDataResults"]:
                    if result.get("StatusCode") in _READABLE:
                        read = zip(result.get("Timestamps", []), result.get("Values", []), strict=True)
                        points.setdefault(result.get("Id", ""), {}).update(read)
        return points


def _query(id_: str, instance: str, period: timedelta) -> "MetricDataQueryTypeDef":
    return {
        "Id": id_,
        "MetricStat": {
            "Metric": {
                "Namespace": "AWS/EC2",
                "MetricName": "CPUUtilization",
                "Dimensions": [{"Name": "InstanceId", "Value": instance}],
            },
            "Period": int(period.total_seconds()),
            "Stat": "Average",
        },
    }
