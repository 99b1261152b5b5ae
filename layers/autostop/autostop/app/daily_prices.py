"""Once a day: what AWS's Price List says of this Region."""

from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from autostop.cost import BUILT_IN, Prices
from autostop.ports import DeniedError, TransientError

if TYPE_CHECKING:
    from autostop.aws.ledger import DynamoLedger
    from autostop.aws.price_list import PriceList

_EVERY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class DailyPrices:
    """The daily look, with its ports. region: this one."""

    price_list: "PriceList"
    ledger: "DynamoLedger"
    region: str

    def look(self, types: Collection[str], now: datetime) -> Prices:
        """The stored prices, of today where AWS tells them; a type that is new is asked for at once.

        Prices are nice to have: what fails here fails nothing, and is tried again tomorrow with the older ones kept.
        """
        try:
            stored = self.ledger.prices()
            if stored.looked_at + _EVERY > now and set(types) <= set(stored.types):
                return stored
            prices = replace(stored, looked_at=now, types=tuple(types))
            # Before it is asked: what lets the function die there does so once a day, not at each sweep.
            self.ledger.put_prices(prices)
            with suppress(TransientError, DeniedError):
                prices = self.price_list.read(self.region, types, now)
                self.ledger.put_prices(prices)
        except (TransientError, DeniedError):
            return BUILT_IN
        return prices
