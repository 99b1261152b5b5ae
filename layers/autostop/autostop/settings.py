"""The owner's settings: template parameters, and the same as tags on one workstation."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from datetime import timedelta
from enum import StrEnum

from autostop.parse import (
    InvalidSettingError,
    parse_cores,
    parse_duration,
    parse_duration_off_is_zero,
    parse_duration_or_off,
    parse_instance_types,
    parse_metric_period,
    parse_percent_or_off,
    parse_port,
    parse_positive_duration,
    parse_positive_duration_or_off,
    parse_rate_or_off,
)
from autostop.schedule import Schedule, parse_schedule_or_off
from autostop.tags import PREFIX


class Probe(StrEnum):
    """How a workstation is asked about Jupyter: Run Command, Jupyter's own API over TLS, or not at all."""

    SSM = "ssm"
    HTTPS = "https"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Policy:
    """What counts as idle on one workstation, and what follows.

    idle_after: how long every signal must be quiet; None: idleness never stops it.
    grace: how long after a launch the window begins. cpu_cores: cores in use above this are work.
    cpu_period: the period of the CPUUtilization points EC2 publishes (5 minutes; 1 with detailed monitoring).
    shelve_after: how long a stopped workstation keeps its volumes; None: it is only stopped, never shelved.
    keep_awake_for: what one tap on "keep awake" promises.
    instance_types: as which types it may be started when its own has no capacity, in this order.
    gpu_percent: a GPU in use for more than this is work; None: GPUs do not count.
    network_rate: more traffic than this, in and out, in bytes a second, is work; None: traffic does not count.
    weak_signals: how much longer connections, tabs and open editors make the window; 0: they do not count.
    ignore_kernels_older_than: a kernel that has been busy for longer is no work; None: it is, however long.
    protected_hours: minutes in which idleness stops nothing; None: there are none.
    stop_at: minutes at which it is put to sleep even at work; None: there are none.
    max_run: how long after its start it is put to sleep even at work; None: never.
    warn_before: how long before a stop the owner is told; 0: not at all.
    report_unknown_after: how long it may be unknown whether it is idle before the owner is told; None: for ever.
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
    gpu_percent: float | None = 5.0
    network_rate: float | None = 100_000.0
    weak_signals: timedelta = timedelta(minutes=30)
    ignore_kernels_older_than: timedelta | None = None
    protected_hours: Schedule | None = None
    stop_at: Schedule | None = None
    max_run: timedelta | None = None
    warn_before: timedelta = timedelta(minutes=10)
    report_unknown_after: timedelta | None = timedelta(hours=6)


def _probe(text: str) -> Probe:
    try:
        return Probe(text.strip())
    except ValueError:
        raise InvalidSettingError(f"is none of {', '.join(Probe)}") from None


_PARSERS: dict[str, Callable[[str], object]] = {
    "idle_after": parse_positive_duration_or_off,
    "grace": parse_duration,
    "cpu_cores": parse_cores,
    "cpu_period": parse_metric_period,
    "shelve_after": parse_duration_or_off,
    "keep_awake_for": parse_positive_duration,
    "probe": _probe,
    "jupyter_port": parse_port,
    "instance_types": parse_instance_types,
    "gpu_percent": parse_percent_or_off,
    "network_rate": parse_rate_or_off,
    "weak_signals": parse_duration_off_is_zero,
    "ignore_kernels_older_than": parse_positive_duration_or_off,
    "protected_hours": parse_schedule_or_off,
    "stop_at": parse_schedule_or_off,
    "max_run": parse_positive_duration_or_off,
    "warn_before": parse_duration_off_is_zero,
    "report_unknown_after": parse_positive_duration_or_off,
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
