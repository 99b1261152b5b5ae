"""On a schedule: look at every workstation once and want what follows."""

import os
from typing import Any

from autostop.app.daily_prices import DailyPrices
from autostop.app.daily_snapshots import DailySnapshots
from autostop.app.sweep import Sweeper
from autostop.aws import clients
from autostop.aws.channels import EventBridgeAnnouncer
from autostop.aws.ebs import EbsDisks
from autostop.aws.ec2 import Ec2Instances
from autostop.aws.environment import read_environment, utc_now
from autostop.aws.https_jupyter import HttpsJupyter
from autostop.aws.ledger import DynamoLedger
from autostop.aws.log import make_logger
from autostop.aws.metrics import CloudWatchMetrics
from autostop.aws.price_list import PriceList
from autostop.aws.probes import Askers
from autostop.aws.queue import SqsQueue


class UnheardError(Exception):
    """All else of the sweep is done, but owners could not be told."""


logger = make_logger()


def wire() -> Sweeper:
    """The use case with its clients, which reach out to nothing until they are asked."""
    environment, ec2 = read_environment(os.environ), clients.ec2()
    ledger = DynamoLedger(clients.dynamodb(), environment.table)
    return Sweeper(
        Ec2Instances(ec2),
        DailySnapshots(EbsDisks(ec2), ledger),
        CloudWatchMetrics(clients.cloudwatch()),
        Askers(clients.ssm(), HttpsJupyter(utc_now)),
        ledger,
        SqsQueue(clients.sqs(), environment.queue_url),
        EventBridgeAnnouncer(clients.events()),
        environment.policy,
        DailyPrices(PriceList(clients.pricing), ledger, ec2.meta.region_name),
    )


sweeper = wire()  # while Lambda starts it, a function has a whole processor


@logger.inject_lambda_context(log_event=False)
def handler(_event: dict[str, Any], _context: object) -> dict[str, dict[str, str]]:
    """One sweep; the next one, some minutes later, is the retry."""
    swept = sweeper.sweep(utc_now()).as_log()
    log = logger.info if any(swept[name] for name in ("intents", "skipped", "told", "unheard")) else logger.debug
    log("swept", extra=swept)
    if swept["unheard"]:
        # An error of the function is what its alarm counts: there may be no other way to tell.
        raise UnheardError(swept["unheard"])
    return swept
