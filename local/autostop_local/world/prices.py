"""The Price List: GetProducts, with some of the rows that AWS has of every Region, in its own shape."""

import json
import zlib
from collections.abc import Iterator, Mapping
from typing import Any

from autostop_local.world.cloud import Params, Reply

_MOST = 100  # a page holds no more (botocore, `GetProducts`)
# Family, usage type, unit, USD; as AWS has them for us-east-1.
_DISKS = (
    ("Storage", "EBS:VolumeUsage.gp3", "GB-Mo", 0.08),
    ("Storage", "EBS:VolumeUsage.gp2", "GB-Mo", 0.10),
    ("Storage", "EBS:VolumeUsage.st1", "GB-Mo", 0.045),
    ("Storage Snapshot", "EBS:SnapshotUsage", "GB-Mo", 0.05),
    ("Storage Snapshot", "EBS:SnapshotArchiveStorage", "GB-Mo", 0.0125),
    ("System Operation", "EBS:VolumeP-IOPS.gp3", "IOPS-Mo", 0.005),
    ("Provisioned Throughput", "EBS:VolumeP-Throughput.gp3", "GiBps-mo", 40.96),
)
_HOURS = {
    "t3.xlarge": 0.1664, "t3.large": 0.0832, "m5.xlarge": 0.192, "c5.2xlarge": 0.34, "c6a.2xlarge": 0.306,
    "c7g.2xlarge": 0.29, "m6a.2xlarge": 0.3456, "m7g.2xlarge": 0.3264, "m7i-flex.2xlarge": 0.383, "r7g.2xlarge": 0.4284,
}  # fmt: skip


def get_products(params: Params) -> Reply:
    """Every row that all filters match; each is JSON in a string."""
    wanted = {each["Field"]: each["Value"] for each in params.get("Filters", ())}
    rows = [row for row in _rows(wanted.get("regionCode", "us-east-1")) if wanted.items() <= _attributes(row).items()]
    begin, most = int(params.get("NextToken") or 0), params.get("MaxResults") or _MOST
    some, left = rows[begin : begin + most], len(rows) > begin + most
    page = {"FormatVersion": "aws_v1", "PriceList": [json.dumps(row) for row in some]}
    return page | ({"NextToken": str(begin + most)} if left else {})


def _attributes(row: Mapping[str, Any]) -> Mapping[str, str]:
    product = row["product"]
    return {"productFamily": product["productFamily"], **product["attributes"]}


def _rows(region: str) -> Iterator[Mapping[str, Any]]:
    for family, usage, unit, usd in _DISKS:
        yield _row(region, family, usage, unit, usd, {})
    for type_, usd in _HOURS.items():
        shared = {"instanceType": type_, "tenancy": "Shared", "locationType": "AWS Region"}
        of_linux = shared | {"operatingSystem": "Linux", "operation": "RunInstances", "capacitystatus": "Used"}
        yield _row(region, "Compute Instance", f"BoxUsage:{type_}", "Hrs", usd, of_linux)
        windows = of_linux | {"operatingSystem": "Windows", "operation": "RunInstances:0002"}
        yield _row(region, "Compute Instance", f"BoxUsage:{type_}", "Hrs", 2 * usd, windows)
        unused = of_linux | {"capacitystatus": "UnusedCapacityReservation"}
        yield _row(region, "Compute Instance", f"UnusedBox:{type_}", "Hrs", usd, unused)


def _row(
    region: str, family: str, usage: str, unit: str, usd: float, attributes: Mapping[str, str]
) -> Mapping[str, Any]:
    usage = usage if region == "us-east-1" else f"EUC1-{usage}"
    sku = f"{zlib.crc32(repr((region, usage, usd)).encode()):016X}"
    dimension = {
        "unit": unit, "beginRange": "0", "endRange": "Inf", "appliesTo": [], "rateCode": f"{sku}.JRTCKXETXF.6YS6EN2CT7",
        "description": f"${usd} per {unit}", "pricePerUnit": {"USD": f"{usd:.10f}"},
    }  # fmt: skip
    term = {"priceDimensions": {dimension["rateCode"]: dimension}, "sku": sku, "offerTermCode": "JRTCKXETXF"}
    product = {
        "productFamily": family, "sku": sku,
        "attributes": {"servicecode": "AmazonEC2", "regionCode": region, "usagetype": usage, **attributes},
    }  # fmt: skip
    return {
        "product": product, "serviceCode": "AmazonEC2", "version": "20261101000000",
        "terms": {"OnDemand": {f"{sku}.JRTCKXETXF": term | {"effectiveDate": "2026-11-01T00:00:00Z"}}},
    }  # fmt: skip
