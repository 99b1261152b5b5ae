"""From the queue: bring workstations nearer to what is wanted of them."""

import os
import random
import time
from datetime import timedelta
from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from autostop.app.reconcile import KEPT_BACK, Reconciler
from autostop.aws import clients
from autostop.aws.channels import EventBridgeAnnouncer
from autostop.aws.ebs import EbsDisks
from autostop.aws.ec2 import Ec2Instances
from autostop.aws.environment import read_environment, utc_now
from autostop.aws.https_jupyter import HttpsJupyter
from autostop.aws.ledger import DynamoLedger
from autostop.aws.log import make_logger
from autostop.aws.metrics import CloudWatchMetrics
from autostop.aws.probes import Askers
from autostop.aws.queue import SqsQueue
from autostop.queue_messages import workstations_in

logger = make_logger()


def wire() -> Reconciler:
    """The reconciler with its clients, which reach out to nothing until they are asked."""
    environment, ec2 = read_environment(os.environ), clients.ec2()
    metrics, asker = CloudWatchMetrics(clients.cloudwatch()), Askers(clients.ssm(), HttpsJupyter(utc_now))
    ledger, queue = DynamoLedger(clients.dynamodb(), environment.table), SqsQueue(clients.sqs(), environment.queue_url)
    instances, disks = Ec2Instances(ec2), EbsDisks(ec2)
    ports, policy = (instances, disks, metrics, asker, ledger, queue), environment.policy
    announcer = EventBridgeAnnouncer(clients.events())
    return Reconciler(*ports, policy, utc_now, time.sleep, random.random, announcer)


reconciler = wire()  # while Lambda starts it, a function has a whole processor


@logger.inject_lambda_context(log_event=False)
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, list[dict[str, str]]]:
    """Each message by itself: one that fails is delivered again and keeps no other from its work."""
    until = utc_now() + timedelta(milliseconds=context.get_remaining_time_in_millis()) - KEPT_BACK
    failed = []
    for record in event["Records"]:
        try:
            for workstation in workstations_in(record["body"], reconciler.disks.workstations_of):
                said = reconciler.reconcile(workstation, f"{context.aws_request_id}/{record['messageId']}", until)
                logger.info(said, extra={"workstation": workstation})
        except Exception:  # the outermost edge: the message goes back, and to the dead letters in the end
            logger.exception("a message failed", extra={"message_id": record["messageId"]})
            failed.append({"itemIdentifier": record["messageId"]})
    return {"batchItemFailures": failed}
