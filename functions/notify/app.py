"""On an event of our own: tell people, on their phones and by mail."""

import os
import time
from typing import TYPE_CHECKING, Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from autostop.app.notify import notify
from autostop.aws import clients
from autostop.aws.channels import SnsTopic, notice_in
from autostop.aws.environment import NotifyEnvironment, read_notify_environment, utc_now
from autostop.aws.ledger import DynamoLedger
from autostop.aws.log import make_logger
from autostop.aws.owners_url import OwnersUrl, notice_url
from autostop.ports import Channel

if TYPE_CHECKING:
    from mypy_boto3_ssm import SSMClient

logger = make_logger()


def wire() -> tuple[DynamoLedger, "SSMClient", SnsTopic, NotifyEnvironment]:
    """The adapters, which reach out to nothing until they are asked."""
    environment = read_notify_environment(os.environ)
    topic = SnsTopic(clients.sns(), environment.topic)
    return DynamoLedger(clients.dynamodb(), environment.table), clients.ssm(), topic, environment


ledger, ssm, topic, environment = wire()  # while Lambda starts it, a function has a whole processor


@logger.inject_lambda_context(log_event=False)
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """One notice. What is logged names neither the link nor the owner's URL."""
    notice = notice_in(event)
    url = notice_url(ssm, notice.workstation, environment.notice_url)
    channels: list[Channel] = [topic] if url is None else [topic, OwnersUrl(url, time.sleep, ssm=ssm)]
    told = notify(notice, ledger, channels, environment.api_url, utc_now(), context.aws_request_id)
    log = logger.error if told.failed else logger.info
    log("told", extra={"workstation": notice.workstation, "kind": notice.kind, **told.as_log()})
    return told.as_log()
