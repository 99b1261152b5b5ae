"""The phone page and its JSON calls."""

import os
from pathlib import Path
from typing import Any

from aws_lambda_powertools.logging import correlation_paths

from autostop.app.owner import Owner
from autostop.aws import clients
from autostop.aws.channels import SnsTopic
from autostop.aws.ebs import EbsDisks
from autostop.aws.ec2 import Ec2Instances
from autostop.aws.environment import read_environment, utc_now
from autostop.aws.ledger import DynamoLedger
from autostop.aws.log import make_logger
from autostop.aws.queue import SqsQueue
from autostop.aws.subscription import MailSubscription
from autostop.http_api import HttpApi, loggable
from autostop.static_files import files_in

logger = make_logger()


def wire() -> HttpApi:
    """The API with its clients and its page, which reach out to nothing until they are asked."""
    environment = read_environment(os.environ)
    ec2 = clients.ec2()
    owner = Owner(
        Ec2Instances(ec2),
        EbsDisks(ec2),
        DynamoLedger(clients.dynamodb(), environment.table),
        SqsQueue(clients.sqs(), environment.queue_url),
        environment.policy,
        utc_now,
        _mail(environment.mail_topic),
    )
    return HttpApi(owner, files_in(Path(__file__).parent / "page"))


def _mail(topic: str | None) -> MailSubscription | None:
    if topic is None:
        return None
    return MailSubscription(lambda: SnsTopic(clients.sns(clients.BRIEF), topic).subscriptions(), utc_now)


api = wire()  # while Lambda starts it, a function has a whole processor


# Whole events, which hold the secret of a link, stay out of the log, whatever the environment says.
@logger.inject_lambda_context(correlation_id_path=correlation_paths.API_GATEWAY_HTTP, clear_state=True, log_event=False)
def handler(event: dict[str, Any], _context: object) -> dict[str, Any]:
    """One request. What is logged names neither the secret nor any header."""
    answer = api.answer(event)
    request = event["requestContext"]["http"]
    path = loggable(event["rawPath"])
    logger.info("answered", extra={"method": request["method"], "path": path, "status": answer["statusCode"]})
    return answer
