"""The owner's settings: each declared once, set for all by a template parameter and for one workstation by a tag.

To add one, declare it in `Policy` and give `template.yaml` its parameter. Tag, environment variable, option of
`autostop adopt` and documentation follow from the declaration or are compared with it.
"""

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import timedelta
from enum import StrEnum
from typing import Any, Final, TypeVar
from zoneinfo import ZoneInfo

from autostop.misspelt_tags import meant_by, why_not_adopted
from autostop.schedule import InvalidScheduleError, Schedule, parse_schedule, zone_named
from autostop.tags import AUTOSTOP, BESIDE_SETTINGS, PREFIX

T = TypeVar("T")
Off = TypeVar("Off")

_DURATION: Final = re.compile(
    r"(?:(\d{1,4})d(?:ays?)?)?(?:(\d{1,5})h(?:(?:ou)?rs?)?)?(?:(\d{1,6})m(?:in(?:ute)?s?)?)?(?:(\d{1,7})s(?:ec(?:ond)?s?)?)?",
    re.ASCII,
)
_RATE: Final = re.compile(r"(\d{1,9}(?:\.\d{1,3})?)([kmg]?)", re.ASCII)
_BYTES: Final = {"": 1.0, "k": 1e3, "m": 1e6, "g": 1e9}
# `false` and `none` too: whoever writes one of these for a limit wants none.
_NEVER: Final = frozenset({"off", "never", "no", "none", "false"})
_MOST_CORES: Final = 1024.0
_HIGHEST_PORT: Final = 65535
_INITIALIZATION_RATES: Final = range(100, 301)  # botocore, `CreateVolume`
_INSTANCE_TYPE: Final = re.compile(r"[a-z][a-z0-9-]*\.[a-z0-9-]+", re.ASCII)
_MOST_INSTANCE_TYPES: Final = 10
_USER: Final = re.compile(r"[a-z_][a-z0-9_.-]{0,31}", re.ASCII)


class InvalidSettingError(ValueError):
    """A setting that cannot be used; its text says which, why, and what would do."""


# -- Parsers: each takes what an owner types and gives the value, or raises InvalidSettingError ------------------------


def _plain(text: str) -> str:
    """Without blanks, in small letters: nothing else is meant by the others."""
    return "".join(text.split()).lower()


def parse_duration(text: str) -> timedelta:
    """A duration as an owner types it: `90s`, `30m`, `2h`, `1d`, `1h30m`, `4 hours`, or `0`."""
    text = _plain(text)
    if text == "0":
        return timedelta(0)
    match = _DURATION.fullmatch(text)
    if not text or match is None:
        raise InvalidSettingError("is not a duration; write it like 90s, 30m, 2h or 1h30m")
    days, hours, minutes, seconds = (int(part or 0) for part in match.groups())
    return timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)


def _positive_duration(text: str) -> timedelta:
    """A duration longer than 0. "0" is not taken for "off": read as "now" it would stop people at work."""
    duration = parse_duration(text)
    if duration <= timedelta(0):
        raise InvalidSettingError("must be longer than 0")
    return duration


def _metric_period(text: str) -> timedelta:
    """A period that CloudWatch knows: 1, 5, 10, 20 or 30 seconds, or a multiple of a minute up to a day.

    Source: the CloudWatch API Reference, MetricStat.
    """
    period = _positive_duration(text)
    seconds = period.total_seconds()
    if seconds not in (1, 5, 10, 20, 30) and (seconds % 60 or seconds > 86400):
        raise InvalidSettingError("is no period of a metric; write 5m, or 1m where there is detailed monitoring")
    return period


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def _cores(text: str) -> float:
    cores = _number(text)
    if not 0 < cores <= _MOST_CORES:
        raise InvalidSettingError("is not a number of processor cores; write it like 0.25 or 2")
    return cores


def _seconds_a_minute(text: str) -> float:
    seconds = _number(text)
    if not 0 < seconds <= 60 * _MOST_CORES:
        raise InvalidSettingError("is not a number of processor seconds a minute; write it like 1 or 10")
    return seconds


def _percent(text: str) -> float:
    percent = _number(text)
    # 0 could mean "off" as well as "anything is work"; 100 could never be exceeded.
    if not 0 < percent < 100:
        raise InvalidSettingError("is not a number of percent above 0 and below 100; write it like 5, or off")
    return percent


def _rate(text: str) -> float:
    """Bytes a second, such as `100k` or `1M` (powers of 1000), above 0."""
    match = _RATE.fullmatch(_plain(text))
    rate = float(match[1]) * _BYTES[match[2]] if match else 0.0
    if not rate:
        raise InvalidSettingError("is not a number of bytes a second; write it like 100k or 1M, or off")
    return rate


def _port(text: str) -> int:
    text = text.strip()
    if not (text.isascii() and text.isdigit() and 0 < int(text) <= _HIGHEST_PORT):
        raise InvalidSettingError("is not a port; write a number from 1 to 65535")
    return int(text)


def _user(text: str) -> str:
    if _USER.fullmatch(text.strip()) is None:
        raise InvalidSettingError("is not the name of a user; write it like ubuntu or ec2-user")
    return text.strip()


def _instance_types(text: str) -> tuple[str, ...]:
    """Instance types in the order given, without repetitions."""
    names = tuple(dict.fromkeys(name.strip() for name in text.lower().split(",")))
    if not all(_INSTANCE_TYPE.fullmatch(name) for name in names):
        raise InvalidSettingError("is no list of instance types; write it like c6i.2xlarge,m5.2xlarge, or off")
    if len(names) > _MOST_INSTANCE_TYPES:
        raise InvalidSettingError(f"is longer than {_MOST_INSTANCE_TYPES} instance types")
    return names


def _schedule(text: str) -> Schedule:
    try:
        return parse_schedule(text)
    except InvalidScheduleError as error:
        raise InvalidSettingError(str(error)) from None


def _hours(text: str) -> Schedule:
    """A schedule that ends within a week: nobody would ever be told what waits for its end."""
    hours = _schedule(text)
    if hours.lasts_for(timedelta(days=7)):
        raise InvalidSettingError("has no end within a week, so that you would never be told")
    return hours


def _zone(text: str) -> ZoneInfo:
    try:
        return zone_named(text.strip())
    except InvalidScheduleError as error:
        raise InvalidSettingError(str(error)) from None


def _initialization_rate(text: str) -> int:
    text = text.strip()
    if not (text.isascii() and text.isdigit() and int(text) in _INITIALIZATION_RATES):
        raise InvalidSettingError("is no rate that EBS takes; write a number from 100 to 300, or off")
    return int(text)


class Probe(StrEnum):
    """How a workstation is asked about Jupyter: Run Command, Jupyter's own API over TLS, or not at all."""

    SSM = "ssm"
    HTTPS = "https"
    NONE = "none"


def _probe(text: str) -> Probe:
    try:
        return Probe(_plain(text))
    except ValueError:
        raise InvalidSettingError(f"is none of {', '.join(Probe)}") from None


def _or_off(parse: Callable[[str], T], off: Off) -> Callable[[str], T | Off]:
    """A parser that gives `off` for the word off. No other word: off stops or deletes more here."""
    return lambda text: off if _plain(text) == "off" else parse(text)


def _or_never(parse: Callable[[str], T], off: Off) -> Callable[[str], T | Off]:
    """A parser that gives `off` for the word off, and for never and no."""
    return lambda text: off if _plain(text) in _NEVER else parse(text)


# -- The settings ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Gentler:
    """Which way a setting stops or deletes less.

    words: for the owner. most: what is taken, as typed, where nobody can tell what was meant: as gentle as whatever may
    have been. rank: how gentle a value is; of two that differ and rank the same, neither may be taken.
    """

    words: str
    most: str
    rank: Callable[[Any], float]


def _long(duration: timedelta | None) -> float:
    return math.inf if duration is None else duration.total_seconds()


_LONGER_OR_OFF: Final = Gentler("longer, or off", "off", _long)
_LONGER: Final = Gentler("longer", "9999d", _long)
_LOWER: Final = Gentler("lower", "0.001", lambda limit: -math.inf if limit is None else -limit)
_MORE: Final = Gentler("more", "* * * * * UTC", lambda schedule: schedule is not None)
_RARER_OR_OFF: Final = Gentler("rarer, or off", "off", lambda schedule: schedule is None)
_SSM: Final = Gentler("ssm", "ssm", [Probe.NONE, Probe.HTTPS, Probe.SSM].index)


def _setting(parse: Callable[[str], T], default: str, gentler: Gentler | None, meaning: str) -> T:
    """A declared field of Policy. gentler: None where no value stops or deletes less; meaning: for the owner.

    The type given is the parser's, so that mypy compares it with the field's, as it does for dataclasses.field.
    """
    declared = {"parse": parse, "default": default, "gentler": gentler, "meaning": meaning}
    return field(default=parse(default), metadata=declared)


# fmt: off
@dataclass(frozen=True, slots=True)
class Policy:
    """What counts as idle on one workstation, and what follows. None: the setting is off."""

    idle_after: timedelta | None = _setting(_or_never(_positive_duration, None), "30m", _LONGER_OR_OFF,
        "How long every sign of work must be quiet before a workstation is stopped, such as 45m; "
        "off: idleness stops nothing")
    grace: timedelta = _setting(parse_duration, "15m", _LONGER,
        "How long after a start the idle time begins to count: time to log in and get going")
    cpu_cores: float = _setting(_cores, "0.25", _LOWER,
        "More processor cores in use than this are work. Cores, not percent: one busy core of 16 is only 6 %")
    cpu_period: timedelta = _setting(_metric_period, "5m", None,
        "How often EC2 publishes the processor metric: 5m, or 1m where the instances have detailed monitoring")
    cpu_seconds: float = _setting(_seconds_a_minute, "1", _LOWER,
        "More processor seconds a minute than this in one login, terminal or kernel are work, five times that in what "
        "serves others on the network, such as the workers of a cluster; an idle kernel uses 0.01")
    gpu_percent: float | None = _setting(_or_off(_percent, None), "5", _LOWER,
        "A GPU in use for more than this, in percent, is work; off: GPUs do not count")
    network_rate: float | None = _setting(_or_off(_rate, None), "100k", _LOWER,
        "More traffic than this, in and out, in bytes a second, is work, such as 100k or 1M; off: it does not count")
    weak_signals: timedelta = _setting(_or_off(parse_duration, timedelta(0)), "30m", _LONGER,
        "By how much open tabs, connections and editors, where nobody does anything, lengthen the idle time; "
        "off: not at all")
    doubt_for: timedelta = _setting(_or_off(parse_duration, timedelta(0)), "4h", _LONGER,
        "How long it must be quiet while something of a person's runs that may be waiting for the world: a job in the "
        "background, a prompt, a server, a kernel without Jupyter, a desktop; off: as long as without")
    ignore_kernels_older_than: timedelta | None = _setting(_or_never(_positive_duration, None), "off", _LONGER_OR_OFF,
        "A kernel that has been busy, or asked by a page all the time, for longer, and has computed nothing meanwhile, "
        "keeps nothing awake, nor does such a job in a terminal, such as 3d; off: it is work, however long")
    protected_hours: Schedule | None = _setting(_or_off(_schedule, None), "off", _MORE,
        "When idleness stops nothing: five cron fields and an IANA time zone, such as "
        "'* 9-17 * * mon-fri Europe/Berlin', which lasts until 17:59; off: never")
    stop_at: Schedule | None = _setting(_or_never(_schedule, None), "off", _RARER_OR_OFF,
        "When a workstation is put to sleep even if somebody works, after a warning, such as "
        "'0 22 * * * Europe/Berlin'; only keep awake puts it off; off: never")
    max_run: timedelta | None = _setting(_or_never(_positive_duration, None), "off", _LONGER_OR_OFF,
        "How long after its start a workstation is put to sleep even if somebody works, after a warning, such as 12h; "
        "only keep awake puts it off; off: never")
    warn_before: timedelta = _setting(_or_off(parse_duration, timedelta(0)), "10m", replace(_LONGER, most="1d"),
        "How long before a stop you are told, with a link to keep it awake; off: not at all")
    report_unknown_after: timedelta | None = _setting(_or_never(_positive_duration, None), "6h", None,
        "How long it may be unknown whether a workstation is idle before you are told; off: you are not")
    report_awake_after: timedelta | None = _setting(_or_never(_positive_duration, None), "1d", None,
        "How long a workstation may be up without a pause before you are told, and why; off: you are not")
    quiet_hours: Schedule | None = _setting(_or_never(_hours, None), "off", None,
        "When notices wait until the hours are over, all but a stop's warning and that it is up: five cron fields and "
        "an IANA time zone, such as '* 0-6,22-23 * * * Europe/Berlin'; off: never")
    time_zone: ZoneInfo = _setting(_zone, "UTC", None,
        "By which clock you are told times: an IANA time zone, such as Europe/Berlin")
    shelve_after: timedelta | None = _setting(_or_never(parse_duration, None), "0", _LONGER_OR_OFF,
        "How long a stopped workstation keeps its volumes before they become snapshots, such as 12h; 0: at once; "
        "off: it is only stopped")
    delete_after: timedelta | None = _setting(_or_never(parse_duration, None), "0", _LONGER_OR_OFF,
        "How long a shelved workstation keeps its volumes, detached, beside their snapshots, such as 7d: a wake takes "
        "them back as they are, and both are billed; 0: they are deleted at once; off: never")
    keep_awake_for: timedelta = _setting(_positive_duration, "1h", replace(_LONGER, most="3d"),
        "What one tap on keep awake promises")
    longest_promise: timedelta | None = _setting(_or_never(_positive_duration, None), "3d", _LONGER_OR_OFF,
        "How far ahead keep awake may promise at most; off: as far as you like")
    links_last: timedelta | None = _setting(_or_never(_positive_duration, None), "off", None,
        "How long a new link opens the page where it is not said, such as 90d; off: until you withdraw it")
    probe: Probe = _setting(_probe, "ssm", _SSM,
        "How a workstation is asked. ssm: by Run Command, nothing open to the network; https: by Jupyter's own API; "
        "none: not at all, processor and network alone decide")
    jupyter_port: int = _setting(_port, "8888", None,
        "Where Jupyter listens on the workstations")
    ssh_user: str = _setting(_user, "ubuntu", None,
        "As whom the page has you log in by SSH: ubuntu, ec2-user, admin")
    instance_types: tuple[str, ...] = _setting(_or_never(_instance_types, ()), "off", None,
        "As which types it may start, in this order, when EC2 has no capacity for its own: c6i.2xlarge,m5.2xlarge; "
        "off: none")
    initialization_rate: int | None = _setting(_or_never(_initialization_rate, None), "off", None,
        "How fast EBS fills the disks of a wake from their snapshots, in MiB a second, 100 to 300: it reads faster at "
        "first, and AWS bills each GiB of each wake; off: as they are read, at no charge")
    problems: tuple[str, ...] = ()  # of these themselves, in words, where they hold for all
# fmt: on


@dataclass(frozen=True, slots=True)
class Setting:
    """A declared setting by its names. name: `idle-after`; default: as an owner would type it; meaning: one sentence.

    field: of Policy, `idle_after`; variable: of the environment, `IDLE_AFTER`; parameter: of the template, `IdleAfter`;
    tag: on an instance, `autostop:idle-after`.
    """

    name: str
    parse: Callable[[str], Any]
    default: str
    gentler: Gentler | None
    meaning: str

    @property
    def field(self) -> str:
        return self.name.replace("-", "_")

    @property
    def variable(self) -> str:
        return self.field.upper()

    @property
    def parameter(self) -> str:
        return self.name.title().replace("-", "")

    @property
    def tag(self) -> str:
        return PREFIX + self.name

    def gentler_of(self, one: Any, other: Any) -> Any:
        """The one that stops and deletes less, or what certainly does where that cannot be told; `one` by default."""
        if self.gentler is None or one == other:
            return one
        of_one, of_other = self.gentler.rank(one), self.gentler.rank(other)
        return self.parse(self.gentler.most) if of_one == of_other else one if of_one > of_other else other

    def read(self, text: str, default: Any) -> tuple[Any, str | None]:
        """The value of a text, and what is wrong with the text: then the gentlest value, or the default."""
        try:
            return self.parse(text), None
        except InvalidSettingError as error:
            if self.gentler is None:
                return default, f"{error}. The default is used."
            return self.parse(self.gentler.most), f"{error}. Until it is put right, it is taken as {self.gentler.most}."


SETTINGS: Final = tuple(
    Setting(each.name.replace("_", "-"), **each.metadata) for each in fields(Policy) if each.metadata
)
_BY_NAME: Final = {setting.name: setting for setting in SETTINGS}
_NAMES: Final = (*_BY_NAME, *(tag.removeprefix(PREFIX) for tag in sorted(BESIDE_SETTINGS)))
_KNOWN: Final = frozenset({AUTOSTOP, *(PREFIX + name for name in _NAMES)})
# For a workstation of which nobody knows what its owner wants.
_LEFT_ALONE: Final[Mapping[str, Any]] = dict.fromkeys(
    ("idle_after", "stop_at", "max_run", "shelve_after", "delete_after")
)


def policy_from_environment(environment: Mapping[str, str]) -> Policy:
    """The defaults of this deployment; a missing variable keeps the built-in default.

    What cannot be read is in the policy's problems and holds nobody up: a start must work all the same.
    """
    texts = {each.parameter: environment[each.variable] for each in SETTINGS if each.variable in environment}
    policy, problems = _with(Policy(), texts, lambda setting: setting.parameter)
    return replace(policy, problems=tuple(f"parameter {problem}" for problem in problems))


def policy_for(defaults: Policy, tags: Mapping[str, str]) -> tuple[Policy, tuple[str, ...]]:
    """The policy of one workstation, and what is wrong with its tags and the defaults, in words.

    A tag such as `autostop:idle-after = 45m` overrides the default. Where a text cannot be read, or a key is none of
    ours and seems meant to be, the gentler side holds: nothing is stopped or shelved by mistake.
    """
    policy, problems = _with(defaults, tags, lambda setting: setting.tag)
    problems = [f"tag {problem}" for problem in problems]
    for key, value in tags.items():
        if key not in _KNOWN and (meant := meant_by(key, _NAMES)) is not None:
            setting = _BY_NAME.get(meant.name) if meant.certain else None
            said = f"tag {key!a} = {value!r} is no setting"
            asked = f"; did you mean {PREFIX}{meant.name}? Rename or remove it" if meant.name else ". Remove it"
            if setting is None:
                policy = replace(policy, **_LEFT_ALONE)
                problems.append(f"{said}{asked}: until then nothing is stopped or shelved.")
            else:
                now = getattr(policy, setting.field)
                held = setting.gentler_of(now, setting.read(value, now)[0])
                policy = replace(policy, **{setting.field: held})
                meanwhile = "what stops and deletes less holds" if setting.gentler else "it does nothing"
                problems.append(f"{said}{asked}: until then {meanwhile}.")
    if (problem := why_not_adopted(tags)) is not None:
        policy = replace(policy, **_LEFT_ALONE)
        problems.append(problem)
    return policy, (*defaults.problems, *problems)


def _with(defaults: Policy, texts: Mapping[str, str], name_of: Callable[[Setting], str]) -> tuple[Policy, list[str]]:
    """The policy with every text in the place of its default, and what is wrong with those that cannot be read."""
    values: dict[str, Any] = {}
    problems = []
    for setting in SETTINGS:
        name = name_of(setting)
        if name in texts:
            value, problem = setting.read(texts[name], getattr(defaults, setting.field))
            values[setting.field] = value
            if problem is not None:
                problems.append(f"{name} = {texts[name]!r} {problem}")
    return replace(defaults, **values), problems


def words(duration: timedelta) -> str:
    """A duration in short words: `45 s`, `30 min`, `2 h`, `1 h 30 min`, `3 d`."""
    seconds = max(0, round(duration.total_seconds()))
    parts = []
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60), ("s", 1)):
        count, seconds = divmod(seconds, size)
        if count:
            parts.append(f"{count} {unit}")
    return " ".join(parts[:2]) or "0 s"
