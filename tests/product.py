"""The one place where tests wire the product: its adapters and use cases, over given clients and a given clock."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

from autostop.app.daily_prices import DailyPrices
from autostop.app.daily_snapshots import DailySnapshots
from autostop.app.owner import Owner
from autostop.app.reconcile import Reconciler
from autostop.app.sweep import Sweeper
from autostop.aws.channels import EventBridgeAnnouncer
from autostop.aws.ebs import EbsDisks
from autostop.aws.ec2 import Ec2Instances
from autostop.aws.https_jupyter import HttpsJupyter
from autostop.aws.ledger import DynamoLedger
from autostop.aws.metrics import CloudWatchMetrics
from autostop.aws.price_list import PriceList
from autostop.aws.probes import Askers
from autostop.aws.queue import SqsQueue
from autostop.settings import Policy
from tests.handlers.table import TABLE


class Product:
    """Autostop, wired as its functions wire it.

    clients: `ec2`, `cloudwatch`, `ssm`, `dynamodb`, `sqs`, `events` and `pricing`, as boto3 makes them. clock: gives
    aware UTC moments. sleep: takes seconds. chance: gives numbers from 0 to 1, which spread retries.
    """

    def wire(
        self, clients: Any, clock: Callable[[], datetime], sleep: Callable[[float], None], chance: Callable[[], float]
    ) -> None:
        """Make it anew over these; a second time, where a test wants another client or another chance."""
        self.defaults = Policy()
        self.instances, self.disks = Ec2Instances(clients.ec2), EbsDisks(clients.ec2)
        self.metrics, self.asker = CloudWatchMetrics(clients.cloudwatch), Askers(clients.ssm, HttpsJupyter(clock))
        self.ledger, self.queue = DynamoLedger(clients.dynamodb, TABLE), SqsQueue(clients.sqs, "queue")
        self.owner = Owner(self.instances, self.disks, self.ledger, self.queue, self.defaults, clock)
        seen, kept = (self.metrics, self.asker), (self.ledger, self.queue)
        snapshots, announcer = DailySnapshots(self.disks, self.ledger), EventBridgeAnnouncer(clients.events)
        self.reconciler = Reconciler(
            self.instances, self.disks, *seen, *kept, self.defaults, clock, sleep, chance, announcer
        )
        prices = DailyPrices(PriceList(lambda: clients.pricing), self.ledger, clients.ec2.meta.region_name)
        self.sweeper = Sweeper(self.instances, snapshots, *seen, *kept, announcer, self.defaults, prices)
