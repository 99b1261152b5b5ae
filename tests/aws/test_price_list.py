"""AWS's Price List, in its own shape: JSON in strings."""

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest

from autostop.app.daily_prices import DailyPrices
from autostop.aws.ledger import DynamoLedger
from autostop.aws.price_list import PriceList, usd_in
from autostop.cost import BUILT_IN
from autostop_local.world import VirtualClock, World
from tests.build import NOW, row
from tests.handlers.table import TABLE, make_table


def product(usage: str, *prices: str, unit: str = "GB-Mo", currency: str = "USD", **terms: Any) -> str:
    """As the User Guide of AWS Billing shows one ("Reading the service price list files"), cut to what matters."""
    dimensions = {
        f"6YS6EN2CT{n}": {"unit": unit, "beginRange": "0", "endRange": "Inf", "pricePerUnit": {currency: price}}
        for n, price in enumerate(prices)
    }
    on_demand = {"HY3BZPP2B6K8MSJF.JRTCKXETXF": {"offerTermCode": "JRTCKXETXF", "priceDimensions": dimensions}}
    attributes = {"servicecode": "AmazonEC2", "usagetype": usage, "regionCode": "eu-central-1"}
    told = {"product": {"productFamily": "Storage", "attributes": attributes, "sku": "HY3BZPP2B6K8MSJF"}}
    return json.dumps(told | {"serviceCode": "AmazonEC2", "terms": {"OnDemand": on_demand, **terms}})


@pytest.mark.parametrize(("products", "usd"), [
    row("a Region's prefix goes", [product("EUC1-EBS:VolumeUsage.gp3", "0.0952000000")],
        {"EBS:VolumeUsage.gp3": 0.0952}),
    row("us-east-1 has none", [product("EBS:SnapshotUsage", "0.05")], {"EBS:SnapshotUsage": 0.05}),
    row("the oldest Region of Europe", [product("EU-BoxUsage:m5.xlarge", "0.214", unit="Hrs")],
        {"BoxUsage:m5.xlarge": 0.214}),
    row("reserved ones beside it", [product("BoxUsage:m5.large", "0.096", unit="Hrs", Reserved={"x": {}})],
        {"BoxUsage:m5.large": 0.096}),
    row("one price told twice", [product("EBS:VolumeUsage.io2", "0.125", unit="GB-month")] * 2,
        {"EBS:VolumeUsage.io2": 0.125}),
    row("two prices: nobody knows which", [product("BoxUsage:m5.large", "0.1", "0.2", unit="Hrs")], {}),
    row("another currency", [product("CNN1-EBS:VolumeUsage.gp3", "0.5", currency="CNY")], {}),
    row("what costs nothing", [product("BoxUsage:m5.large", "0.0000000000", unit="Hrs")], {}),
    row("another unit", [product("EBS:VolumeUsage.gp3", "0.1", unit="Quantity")], {}),
    row("archived", [product("EBS:SnapshotArchiveStorage", "0.0125")], {}),
    row("a reservation that nobody uses", [product("UnusedBox:m5.large", "0.096", unit="Hrs")], {}),
    row("no terms", [json.dumps({"product": {"attributes": {"usagetype": "EBS:SnapshotUsage"}}})], {}),
])  # fmt: skip
def test_what_a_product_costs(products: list[str], usd: dict[str, float]) -> None:
    assert usd_in(products) == usd


def test_a_day_asks_once_and_keeps_what_it_had_when_aws_refuses(tmp_path: Path) -> None:
    clock = VirtualClock(NOW)
    with World(tmp_path, clock=clock) as world:
        made: Any = boto3.client
        ledger = DynamoLedger(make_table(made("dynamodb")), TABLE)
        daily = DailyPrices(PriceList(lambda: made("pricing")), ledger, "eu-central-1")

        def asked() -> int:
            calls = [call for call in world.journal.calls() if call.operation == "GetProducts"]
            world.journal.clear()
            return len(calls)

        world.fail_next("GetProducts", "AccessDeniedException")
        assert daily.look({"t3.xlarge"}, NOW - timedelta(days=1)).usd == BUILT_IN.usd
        asked()
        first = daily.look({"t3.xlarge"}, NOW)
        assert (first.hour("t3.xlarge"), first.month("VolumeUsage.gp3"), first.at) == (0.1664, 0.08, NOW)
        assert asked() == 5
        assert daily.look({"t3.xlarge"}, NOW + timedelta(hours=23)) == first == ledger.prices()
        assert asked() == 0
        # A type that is new is asked for at once; one that AWS does not know is not asked for again.
        second = daily.look({"t3.xlarge", "u-1.metal"}, NOW + timedelta(hours=23))
        assert asked() == 6
        assert daily.look({"u-1.metal"}, NOW + timedelta(hours=24)) == second
        world.fail_next("GetProducts", "AccessDeniedException", times=9)
        later = daily.look({"t3.xlarge"}, NOW + timedelta(days=3))
        assert (later.usd, later.at) == (second.usd, second.at)
        asked()
        daily.look({"t3.xlarge"}, NOW + timedelta(days=3, hours=1))
        assert asked() == 0


class Strange:
    """Of a client, what answers GetProducts; or lets the function die there."""

    def __init__(self, *told: str) -> None:
        self.told = told
        self.asked = 0

    def get_paginator(self, _operation: str) -> "Strange":
        return self

    def paginate(self, **_asked: Any) -> list[dict[str, Any]]:
        self.asked += 1
        if not self.told:
            raise KeyboardInterrupt
        return [{"PriceList": list(self.told)}]


@pytest.mark.parametrize("told", ["{}", "[]", "null", "no JSON", '{"product": {"attributes": []}}'])
def test_a_price_list_of_another_shape_is_as_one_that_refuses(tmp_path: Path, told: str) -> None:
    with World(tmp_path, clock=VirtualClock(NOW)):
        daily = DailyPrices(PriceList(lambda: Strange(told)), _ledger(), "eu-central-1")
        assert daily.look({"t3.xlarge"}, NOW).usd == BUILT_IN.usd


def test_who_dies_in_the_look_does_so_once_a_day(tmp_path: Path) -> None:
    with World(tmp_path, clock=VirtualClock(NOW)):
        client = Strange()
        daily = DailyPrices(PriceList(lambda: client), _ledger(), "eu-central-1")
        with pytest.raises(KeyboardInterrupt):
            daily.look({"t3.xlarge"}, NOW)
        assert daily.look({"t3.xlarge"}, NOW + timedelta(minutes=5)).usd == BUILT_IN.usd
        assert client.asked == 1


def _ledger() -> DynamoLedger:
    return DynamoLedger(make_table(boto3.client("dynamodb")), TABLE)
