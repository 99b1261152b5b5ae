"""All that Autostop keeps, in one table."""

import json

from autostop.aws.codec import from_json, to_plain
from autostop.aws.errors import aws_errors
from autostop.aws.journal import Journal
from autostop.aws.leases import Leases
from autostop.aws.states import STATES, States
from autostop.aws.stored_links import StoredLinks
from autostop.aws.table import key
from autostop.cost import BUILT_IN, Prices
from autostop.model import WorkstationId
from autostop.state import State

_PRICES = "prices"


class DynamoLedger(States, StoredLinks, Leases, Journal):
    """States, links, leases, the journal; and the prices of this Region."""

    def prices(self) -> Prices:
        """Those of the last look; before the first those that are built in, which are another Region's."""
        with aws_errors():
            item = self.client.get_item(TableName=self.table, Key=key(_PRICES, _PRICES)).get("Item")
        return from_json(Prices, item["document"]["S"]) if item else BUILT_IN

    def put_prices(self, prices: Prices) -> None:
        self._put(key(_PRICES, _PRICES) | {"document": {"S": json.dumps(to_plain(prices))}})

    def end(self, state: State) -> None:
        """Delete the links and the state; its history expires. Raises ConflictError when it is another by now."""
        for link in self.links(state.workstation):
            self.withdraw_link(link)
        self.delete_state(state)

    def forget(self, workstation: WorkstationId) -> None:
        """Delete all that is known of it."""
        own = self._pages(
            KeyConditionExpression="workstation = :workstation",
            ExpressionAttributeValues={":workstation": {"S": workstation}},
            ProjectionExpression="workstation, kind",
        )
        for each in [*own, key(STATES, workstation)]:
            with aws_errors():
                self.client.delete_item(TableName=self.table, Key=each)
