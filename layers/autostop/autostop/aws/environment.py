"""What a function needs of its environment, read and checked once."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from autostop.settings import InvalidSettingError, Policy, policy_from_environment


@dataclass(frozen=True, slots=True)
class Environment:
    """The table, the queue, and the policy of this deployment; mail_topic: None where nobody asks about mails."""

    table: str
    queue_url: str
    policy: Policy
    mail_topic: str | None = None


def read_environment(variables: Mapping[str, str]) -> Environment:
    """The environment of a function. Raises InvalidSettingError, naming what is missing or wrong."""
    table, queue_url = _required(variables, "TABLE_NAME"), _required(variables, "QUEUE_URL")
    return Environment(table, queue_url, policy_from_environment(variables), variables.get("TOPIC_ARN"))


@dataclass(frozen=True, slots=True)
class NotifyEnvironment:
    """What tells people needs: api_url without a slash at its end; notice_url is a secret, None when there is none."""

    table: str
    topic: str
    api_url: str
    notice_url: str | None = field(repr=False)


def read_notify_environment(variables: Mapping[str, str]) -> NotifyEnvironment:
    """The environment of the function that tells people. Raises InvalidSettingError, naming what is missing."""
    table, topic, api_url = (_required(variables, name) for name in ("TABLE_NAME", "TOPIC_ARN", "API_URL"))
    return NotifyEnvironment(table, topic, api_url.rstrip("/"), variables.get("NOTICE_URL") or None)


def _required(variables: Mapping[str, str], name: str) -> str:
    if not (value := variables.get(name)):
        raise InvalidSettingError(f"{name} is not set")
    return value


def utc_now() -> datetime:
    """The clock that is handed in."""
    return datetime.now(UTC)
