"""What an owner types as one setting, and what it means.

Every parser takes the text and gives the value, or raises InvalidSettingError, whose text says what would do.
"""

import math
import re
from datetime import timedelta

_DURATION = re.compile(r"(?:(\d{1,4})d)?(?:(\d{1,5})h)?(?:(\d{1,6})m)?(?:(\d{1,7})s)?", re.ASCII)
_RATE = re.compile(r"(\d{1,9}(?:\.\d{1,3})?)([kMG]?)", re.ASCII)
_BYTES = {"": 1.0, "k": 1e3, "M": 1e6, "G": 1e9}
_MOST_CORES = 1024.0
_HIGHEST_PORT = 65535
_INSTANCE_TYPE = re.compile(r"[a-z][a-z0-9-]*\.[a-z0-9-]+", re.ASCII)
_MOST_INSTANCE_TYPES = 10


class InvalidSettingError(ValueError):
    """A setting that cannot be used; its text says which, why, and what would do."""


def parse_duration(text: str) -> timedelta:
    """A duration as an owner types it: `90s`, `30m`, `2h`, `1d`, `1h30m`, or `0`.

    Raises InvalidSettingError for anything else.
    """
    text = text.strip()
    if text == "0":
        return timedelta(0)
    match = _DURATION.fullmatch(text)
    if not text or match is None:
        raise InvalidSettingError("is not a duration; write it like 90s, 30m, 2h or 1h30m")
    days, hours, minutes, seconds = (int(part or 0) for part in match.groups())
    return timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)


def parse_positive_duration(text: str) -> timedelta:
    """A duration longer than 0."""
    duration = parse_duration(text)
    if duration <= timedelta(0):
        raise InvalidSettingError("must be longer than 0")
    return duration


def parse_metric_period(text: str) -> timedelta:
    """A period that CloudWatch knows: 1, 5, 10, 20 or 30 seconds, or a multiple of a minute up to a day.

    Source: the CloudWatch API Reference, MetricStat.
    """
    period = parse_positive_duration(text)
    seconds = period.total_seconds()
    if seconds not in (1, 5, 10, 20, 30) and (seconds % 60 or seconds > 86400):
        raise InvalidSettingError("is no period of a metric; write 5m, or 1m where there is detailed monitoring")
    return period


def parse_duration_or_off(text: str) -> timedelta | None:
    """A duration, 0 too; None for `off`."""
    return None if is_off(text) else parse_duration(text)


def parse_positive_duration_or_off(text: str) -> timedelta | None:
    """A duration longer than 0; None for `off`."""
    # "0" is not taken for "off": read as "now" it would stop people at work.
    return None if is_off(text) else parse_positive_duration(text)


def parse_duration_off_is_zero(text: str) -> timedelta:
    """A duration; `off` and `0` mean the same."""
    return timedelta(0) if is_off(text) else parse_duration(text)


def parse_cores(text: str) -> float:
    """Processor cores, above 0."""
    cores = _number(text)
    if not 0 < cores <= _MOST_CORES:
        raise InvalidSettingError("is not a number of processor cores; write it like 0.25 or 2")
    return cores


def parse_percent_or_off(text: str) -> float | None:
    """Percent, above 0 and below 100; None for `off`."""
    if is_off(text):
        return None
    percent = _number(text)
    # 0 could mean "off" as well as "anything is work"; 100 could never be exceeded.
    if not 0 < percent < 100:
        raise InvalidSettingError("is not a number of percent above 0 and below 100; write it like 5, or off")
    return percent


def parse_rate_or_off(text: str) -> float | None:
    """Bytes a second, such as `100k` or `1M` (powers of 1000), above 0; None for `off`."""
    if is_off(text):
        return None
    match = _RATE.fullmatch(text.strip())
    rate = float(match[1]) * _BYTES[match[2]] if match else 0.0
    if not rate:
        raise InvalidSettingError("is not a number of bytes a second; write it like 100k or 1M, or off")
    return rate


def parse_port(text: str) -> int:
    """A TCP port."""
    text = text.strip()
    if not (text.isascii() and text.isdigit() and 0 < int(text) <= _HIGHEST_PORT):
        raise InvalidSettingError("is not a port; write a number from 1 to 65535")
    return int(text)


def parse_instance_types(text: str) -> tuple[str, ...]:
    """Instance types, each once, in the order given; empty for `off`."""
    if is_off(text):
        return ()
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",")))
    if not all(_INSTANCE_TYPE.fullmatch(name) for name in names):
        raise InvalidSettingError("is no list of instance types; write it like c6i.2xlarge,m5.2xlarge, or off")
    if len(names) > _MOST_INSTANCE_TYPES:
        raise InvalidSettingError(f"is longer than {_MOST_INSTANCE_TYPES} instance types")
    return names


def is_off(text: str) -> bool:
    """Whether the owner wants none of it."""
    return text.strip() == "off"


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan
