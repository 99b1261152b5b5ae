"""What a function needs of its environment, read and checked once."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from autostop.domain.settings import InvalidSettingError, Policy, policy_from_environment


@dataclass(frozen=True, slots=True)
class Environment:
    """The table, the queue, and the policy of this deployment."""

    table: str
    queue_url: str
    policy: Policy


def read_environment(variables: Mapping[str, str]) -> Environment:
    """The environment of a function. Raises InvalidSettingError, naming what is missing or wrong."""
    for name in ("TABLE_NAME", "QUEUE_URL"):
        if not variables.get(name):
            raise InvalidSettingError(f"{name} is not set")
    return Environment(variables["TABLE_NAME"], variables["QUEUE_URL"], policy_from_environment(variables))


def utc_now() -> datetime:
    """The clock that is handed in."""
    return datetime.now(UTC)
