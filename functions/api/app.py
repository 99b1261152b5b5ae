"""The phone page and its JSON calls."""

import os
from functools import cache
from pathlib import Path
from typing import Any

from aws_lambda_powertools import Logger

from autostop.app.owner import Owner
from autostop.aws import clients
from autostop.aws.ebs import EbsDisks
from autostop.aws.ec2 import Ec2Instances
from autostop.aws.environment import read_environment, utc_now
from autostop.aws.queue import SqsQueue
from autostop.aws.table import DynamoLedger
from autostop.http_api import HttpApi

logger = Logger()


@cache
def wire() -> HttpApi:
    """The API, made once for each execution environment."""
    environment = read_environment(os.environ)
    ec2 = clients.ec2()
    owner = Owner(
        Ec2Instances(ec2),
        EbsDisks(ec2),
        DynamoLedger(clients.dynamodb(), environment.table),
        SqsQueue(clients.sqs(), environment.queue_url),
        environment.policy,
        utc_now,
    )
    return HttpApi(owner, (Path(__file__).parent / "page" / "index.html").read_text(encoding="utf-8"))


def handler(event: dict[str, Any], _context: object) -> dict[str, Any]:
    """One request. What is logged names neither the secret nor any header."""
    answer = wire().answer(event)
    request = event["requestContext"]["http"]
    logger.info(
        "answered", extra={"method": request["method"], "path": event["rawPath"], "status": answer["statusCode"]}
    )
    return answer
