"""The owner's settings: template parameters, and the same as tags on one workstation."""

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from datetime import timedelta
from enum import StrEnum

from autostop.domain.tags import PREFIX

_DURATION = re.compile(r"(?:(\d{1,4})d)?(?:(\d{1,5})h)?(?:(\d{1,6})m)?(?:(\d{1,7})s)?", re.ASCII)
_MOST_CORES = 1024.0
_HIGHEST_PORT = 65535
_INSTANCE_TYPE = re.compile(r"[a-z][a-z0-9-]*\.[a-z0-9-]+", re.ASCII)
_MOST_INSTANCE_TYPES = 10


class Probe(StrEnum):
    """How a workstation is asked about Jupyter: Run Command, Jupyter's own API over TLS, or not at all."""

    SSM = "ssm"
    HTTPS = "https"
    NONE = "none"


class InvalidSettingError(ValueError):
    """A setting that cannot be used; its text says which, why, and what would do."""


@dataclass(frozen=True, slots=True)
class Policy:
    """What counts as idle on one workstation, and what follows.

    idle_after: how long every signal must be quiet; None: idleness never stops it.
    grace: how long after a launch the window begins. cpu_cores: cores in use above this are work.
    cpu_period: the period of the CPUUtilization points EC2 publishes (5 minutes; 1 with detailed monitoring).
    shelve_after: how long a stopped workstation keeps its volumes; None: it is only stopped, never shelved.
    keep_awake_for: what one tap on "keep awake" promises.
    instance_types: as which types it may be started when its own has no capacity, in this order.
    """

    idle_after: timedelta | None = timedelta(minutes=30)
    grace: timedelta = timedelta(minutes=15)
    cpu_cores: float = 0.25
    cpu_period: timedelta = timedelta(minutes=5)
    shelve_after: timedelta | None = timedelta(0)
    keep_awake_for: timedelta = timedelta(hours=1)
    probe: Probe = Probe.SSM
    jupyter_port: int = 8888
    instance_types: tuple[str, ...] = ()


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


def _positive_duration(text: str) -> timedelta:
    duration = parse_duration(text)
    if duration <= timedelta(0):
        raise InvalidSettingError("must be longer than 0")
    return duration


def _duration_or_off(text: str) -> timedelta | None:
    return None if text.strip() == "off" else parse_duration(text)


def _positive_duration_or_off(text: str) -> timedelta | None:
    # "0" is not taken for "off": read as "now" it would stop people at work.
    return None if text.strip() == "off" else _positive_duration(text)


def _cores(text: str) -> float:
    try:
        cores = float(text)
    except ValueError:
        cores = math.nan
    if not 0 < cores <= _MOST_CORES:
        raise InvalidSettingError("is not a number of processor cores; write it like 0.25 or 2")
    return cores


def _probe(text: str) -> Probe:
    try:
        return Probe(text.strip())
    except ValueError:
        raise InvalidSettingError(f"is none of {', '.join(Probe)}") from None


def _port(text: str) -> int:
    text = text.strip()
    if not (text.isascii() and text.isdigit() and 0 < int(text) <= _HIGHEST_PORT):
        raise InvalidSettingError("is not a port; write a number from 1 to 65535")
    return int(text)


def _instance_types(text: str) -> tuple[str, ...]:
    if text.strip() == "off":
        return ()
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",")))
    if not all(_INSTANCE_TYPE.fullmatch(name) for name in names):
        raise InvalidSettingError("is no list of instance types; write it like c6i.2xlarge,m5.2xlarge, or off")
    if len(names) > _MOST_INSTANCE_TYPES:
        raise InvalidSettingError(f"is longer than {_MOST_INSTANCE_TYPES} instance types")
    return names


_PARSERS: dict[str, Callable[[str], object]] = {
    "idle_after": _positive_duration_or_off,
    "grace": parse_duration,
    "cpu_cores": _cores,
    "cpu_period": _positive_duration,
    "shelve_after": _duration_or_off,
    "keep_awake_for": _positive_duration,
    "probe": _probe,
    "jupyter_port": _port,
    "instance_types": _instance_types,
}


def policy_from_environment(environment: Mapping[str, str]) -> Policy:
    """The defaults of this deployment, from variables named like the fields in capitals (`IDLE_AFTER`).

    A missing variable keeps the built-in default. Raises InvalidSettingError, naming the variable.
    """
    values: dict[str, object] = {}
    for field in fields(Policy):
        variable = field.name.upper()
        if variable in environment:
            try:
                values[field.name] = _PARSERS[field.name](environment[variable])
            except InvalidSettingError as error:
                raise InvalidSettingError(f"{variable} = {environment[variable]!r} {error}") from None
    return replace(Policy(), **values)  # type: ignore[arg-type]  # each parser gives its field's type


def policy_for(defaults: Policy, tags: Mapping[str, str]) -> tuple[Policy, tuple[str, ...]]:
    """The policy of one workstation, and what is wrong with its tags, in words.

    A tag such as `autostop:idle-after = 45m` overrides the default; a bad value is reported and the default used.
    """
    values: dict[str, object] = {}
    problems = []
    for name, parse in _PARSERS.items():
        tag = PREFIX + name.replace("_", "-")
        if tag in tags:
            try:
                values[name] = parse(tags[tag])
            except InvalidSettingError as error:
                problems.append(f"tag {tag} = {tags[tag]!r} {error}. The default is used.")
    return replace(defaults, **values), tuple(problems)  # type: ignore[arg-type]  # as above


def words(duration: timedelta) -> str:
    """A duration in short words: `45 s`, `30 min`, `2 h`, `1 h 30 min`, `3 d`."""
    seconds = max(0, round(duration.total_seconds()))
    parts = []
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60), ("s", 1)):
        count, seconds = divmod(seconds, size)
        if count:
            parts.append(f"{count} {unit}")
    return " ".join(parts[:2]) or "0 s"
