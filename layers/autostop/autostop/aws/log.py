"""The log of a function."""

import json
from functools import partial

from aws_lambda_powertools import Logger


def make_logger() -> Logger:
    """JSON in ASCII alone: what others wrote speaks to no terminal that shows the log."""
    return Logger(use_rfc3339=True, json_serializer=partial(json.dumps, default=str, separators=(",", ":")))
