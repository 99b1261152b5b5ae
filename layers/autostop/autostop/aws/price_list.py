"""AWS's Price List: what it says of one Region, in USD."""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from autostop.aws.errors import aws_errors
from autostop.cost import Prices
from autostop.ports import DeniedError

# All but those of instances: of a disk, a snapshot, IOPS, throughput.
_FAMILIES: Final = ("Storage", "Storage Snapshot", "System Operation", "Provisioned Throughput")
# `EUC1-EBS:SnapshotUsage`; us-east-1 has no prefix, and one of the oldest Regions another form: `EU-BoxUsage:…`.
_USAGE: Final = re.compile(r"(?:[A-Z]{2,4}\d?-)?(EBS:(?:Volume|Snapshot)Usage[a-z0-9.]*|EBS:VolumeP-.+|BoxUsage:.+)")
_UNITS: Final = frozenset({"Hrs", "GB-Mo", "GB-month", "IOPS-Mo", "GiBps-mo"})


@dataclass(frozen=True, slots=True)
class PriceList:
    """The Price List Query API. client: makes one, of a Region that has it: three do, and they tell of all.

    Source: botocore, `pricing` (endpoints; GetProducts, whose PriceList is JSON in strings), read 2026-11-29.
    """

    client: Callable[[], Any]

    def read(self, region: str, types: Iterable[str], now: datetime) -> Prices:
        """Four questions for the disks and one for each type, with their pages. Raises TransientError, DeniedError."""
        client, types = self.client(), tuple(sorted(types))
        # Linux without anything that is licensed by the hour; Windows is operation RunInstances:0002.
        linux = {"operation": "RunInstances", "tenancy": "Shared", "capacitystatus": "Used"}
        asked: list[Mapping[str, str]] = [{"productFamily": family} for family in _FAMILIES]
        asked += [linux | {"instanceType": each} for each in types]
        usd: dict[str, float] = {}
        for filters in asked:
            try:
                usd |= usd_in(_products(client, {"regionCode": region, **filters}))
            except (LookupError, TypeError, ValueError, AttributeError) as error:
                raise DeniedError(f"the Price List has another shape than is known: {error!r}") from error
        return Prices(region, now, usd, now, types)


def _products(client: Any, filters: Mapping[str, str]) -> Iterator[str]:
    shapes = [{"Type": "TERM_MATCH", "Field": field, "Value": value} for field, value in filters.items()]
    with aws_errors():
        for page in client.get_paginator("get_products").paginate(ServiceCode="AmazonEC2", Filters=shapes):
            yield from page["PriceList"]


def usd_in(products: Iterable[str]) -> Mapping[str, float]:
    """The prices on demand, by usage type; what is in another currency or shape, or has more than one, is left out."""
    found: dict[str, set[float]] = {}
    for text in products:
        product = json.loads(text)
        usage = _USAGE.fullmatch(product["product"]["attributes"].get("usagetype", ""))
        if usage is not None:
            found.setdefault(usage[1], set()).update(_on_demand(product))
    return {usage: prices.pop() for usage, prices in found.items() if len(prices) == 1}


def _on_demand(product: Any) -> Iterator[float]:
    for term in product.get("terms", {}).get("OnDemand", {}).values():
        for dimension in term["priceDimensions"].values():
            price = float(dimension["pricePerUnit"].get("USD", 0))
            # Zero is what a Capacity Reservation has, and what is billed elsewhere.
            if dimension["unit"] in _UNITS and price > 0:
                yield price
