"""What an owner may type as a setting, and what is said about the rest."""

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autostop.parse import InvalidSettingError, parse_duration
from autostop.schedule import Schedule
from autostop.settings import Policy, Probe, policy_for, policy_from_environment, words


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0),
        ("90s", 90),
        ("30m", 1800),
        ("2h", 7200),
        ("1d", 86400),
        ("1h30m", 5400),
        ("1d2h3m4s", 93784),
        (" 30m ", 1800),
        ("0s", 0),
        ("9999d", 9999 * 86400),
    ],
)
def test_a_duration_is_read(text: str, seconds: int) -> None:
    assert parse_duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    "text",
    ["", " ", "30", "m", "30 m", "1h 30m", "-5m", "1.5h", "30M", "5m1h", "abc", "٣m", "99999d", "30min", "1h\n2m"],
)
def test_anything_else_is_no_duration(text: str) -> None:
    with pytest.raises(InvalidSettingError, match="not a duration; write it like"):
        parse_duration(text)


@given(st.text(max_size=12))
def test_no_text_makes_the_parser_fail_otherwise(text: str) -> None:
    try:
        parse_duration(text)
    except InvalidSettingError:
        return


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (-5, "0 s"),
        (0, "0 s"),
        (0.4, "0 s"),
        (45, "45 s"),
        (59.6, "1 min"),
        (1800, "30 min"),
        (5400, "1 h 30 min"),
        (7200, "2 h"),
        (3 * 86400, "3 d"),
        (93784, "1 d 2 h"),
    ],
)
def test_a_duration_in_words(seconds: float, expected: str) -> None:
    assert words(timedelta(seconds=seconds)) == expected


GOOD: list[tuple[str, str, str, object]] = [
    ("IDLE_AFTER", "idle-after", "45m", timedelta(minutes=45)),
    ("IDLE_AFTER", "idle-after", "off", None),
    ("GRACE", "grace", "0", timedelta(0)),
    ("CPU_CORES", "cpu-cores", "0.5", 0.5),
    ("CPU_CORES", "cpu-cores", "1024", 1024.0),
    ("CPU_PERIOD", "cpu-period", "60s", timedelta(seconds=60)),
    ("SHELVE_AFTER", "shelve-after", "off", None),
    ("SHELVE_AFTER", "shelve-after", "0", timedelta(0)),
    ("SHELVE_AFTER", "shelve-after", "1d", timedelta(days=1)),
    ("KEEP_AWAKE_FOR", "keep-awake-for", "2h", timedelta(hours=2)),
    ("PROBE", "probe", "https", Probe.HTTPS),
    ("PROBE", "probe", " none ", Probe.NONE),
    ("JUPYTER_PORT", "jupyter-port", "1", 1),
    ("JUPYTER_PORT", "jupyter-port", "65535", 65535),
    ("INSTANCE_TYPES", "instance-types", "c6i.2xlarge,m5.2xlarge", ("c6i.2xlarge", "m5.2xlarge")),
    ("INSTANCE_TYPES", "instance-types", " c6i.2xlarge , u-6tb1.metal ", ("c6i.2xlarge", "u-6tb1.metal")),
    ("INSTANCE_TYPES", "instance-types", "c6i.large,c6i.large,m5.large", ("c6i.large", "m5.large")),
    ("INSTANCE_TYPES", "instance-types", "off", ()),
    ("GPU_PERCENT", "gpu-percent", "0.5", 0.5),
    ("GPU_PERCENT", "gpu-percent", "99", 99.0),
    ("GPU_PERCENT", "gpu-percent", " off ", None),
    ("NETWORK_RATE", "network-rate", "100k", 100_000.0),
    ("NETWORK_RATE", "network-rate", "1.5M", 1_500_000.0),
    ("NETWORK_RATE", "network-rate", " 1G ", 1_000_000_000.0),
    ("NETWORK_RATE", "network-rate", "800", 800.0),
    ("NETWORK_RATE", "network-rate", "off", None),
    ("WEAK_SIGNALS", "weak-signals", "2h", timedelta(hours=2)),
    ("WEAK_SIGNALS", "weak-signals", "off", timedelta(0)),
    ("WEAK_SIGNALS", "weak-signals", "0", timedelta(0)),
    ("IGNORE_KERNELS_OLDER_THAN", "ignore-kernels-older-than", "3d", timedelta(days=3)),
    ("IGNORE_KERNELS_OLDER_THAN", "ignore-kernels-older-than", "off", None),
    ("PROTECTED_HOURS", "protected-hours", "* 9-17 * * mon-fri UTC", Schedule("* 9-17 * * mon-fri UTC")),
    ("PROTECTED_HOURS", "protected-hours", "off", None),
    ("STOP_AT", "stop-at", " 0  22 * * * Europe/Berlin", Schedule("0 22 * * * Europe/Berlin")),
    ("STOP_AT", "stop-at", "off", None),
    ("MAX_RUN", "max-run", "12h", timedelta(hours=12)),
    ("MAX_RUN", "max-run", "off", None),
    ("WARN_BEFORE", "warn-before", "5m", timedelta(minutes=5)),
    ("WARN_BEFORE", "warn-before", "0", timedelta(0)),
    ("WARN_BEFORE", "warn-before", "off", timedelta(0)),
    ("REPORT_UNKNOWN_AFTER", "report-unknown-after", "1d", timedelta(days=1)),
    ("REPORT_UNKNOWN_AFTER", "report-unknown-after", "off", None),
]
BAD = [
    ("IDLE_AFTER", "idle-after", "0", "must be longer than 0"),
    ("IDLE_AFTER", "idle-after", "never", "is not a duration"),
    ("GRACE", "grace", "off", "is not a duration"),
    ("CPU_CORES", "cpu-cores", "0", "is not a number of processor cores"),
    ("CPU_CORES", "cpu-cores", "-1", "is not a number of processor cores"),
    ("CPU_CORES", "cpu-cores", "nan", "is not a number of processor cores"),
    ("CPU_CORES", "cpu-cores", "inf", "is not a number of processor cores"),
    ("CPU_CORES", "cpu-cores", "1025", "is not a number of processor cores"),
    ("CPU_CORES", "cpu-cores", "two", "is not a number of processor cores"),
    ("CPU_PERIOD", "cpu-period", "0", "must be longer than 0"),
    ("CPU_PERIOD", "cpu-period", "7s", "is no period of a metric"),
    ("CPU_PERIOD", "cpu-period", "90s", "is no period of a metric"),
    ("CPU_PERIOD", "cpu-period", "2d", "is no period of a metric"),
    ("SHELVE_AFTER", "shelve-after", "", "is not a duration"),
    ("KEEP_AWAKE_FOR", "keep-awake-for", "0s", "must be longer than 0"),
    ("PROBE", "probe", "ssh", "is none of ssm, https, none"),
    ("JUPYTER_PORT", "jupyter-port", "0", "is not a port"),
    ("JUPYTER_PORT", "jupyter-port", "65536", "is not a port"),
    ("JUPYTER_PORT", "jupyter-port", "²", "is not a port"),
    ("JUPYTER_PORT", "jupyter-port", "-1", "is not a port"),
    ("INSTANCE_TYPES", "instance-types", "", "is no list of instance types"),
    ("INSTANCE_TYPES", "instance-types", "c6i.2xlarge,", "is no list of instance types"),
    ("INSTANCE_TYPES", "instance-types", "c6i.*", "is no list of instance types"),
    ("INSTANCE_TYPES", "instance-types", "C6I.large", "is no list of instance types"),
    ("INSTANCE_TYPES", "instance-types", "big", "is no list of instance types"),
    ("INSTANCE_TYPES", "instance-types", "c6i.2xlarge m5.large", "is no list of instance types"),
    ("INSTANCE_TYPES", "instance-types", ",".join(f"c{n}.large" for n in range(11)), "is longer than 10"),
    ("GPU_PERCENT", "gpu-percent", "0", "is not a number of percent above 0"),
    ("GPU_PERCENT", "gpu-percent", "100", "is not a number of percent above 0 and below 100"),
    ("GPU_PERCENT", "gpu-percent", "nan", "is not a number of percent"),
    ("GPU_PERCENT", "gpu-percent", "5%", "is not a number of percent"),
    ("NETWORK_RATE", "network-rate", "0", "is not a number of bytes a second; write it like 100k"),
    ("NETWORK_RATE", "network-rate", "0.000k", "is not a number of bytes a second"),
    ("NETWORK_RATE", "network-rate", "100K", "is not a number of bytes a second"),
    ("NETWORK_RATE", "network-rate", "1e9", "is not a number of bytes a second"),
    ("NETWORK_RATE", "network-rate", "-1k", "is not a number of bytes a second"),
    ("NETWORK_RATE", "network-rate", "²k", "is not a number of bytes a second"),
    ("WEAK_SIGNALS", "weak-signals", "none", "is not a duration"),
    ("IGNORE_KERNELS_OLDER_THAN", "ignore-kernels-older-than", "0", "must be longer than 0"),
    ("PROTECTED_HOURS", "protected-hours", "9-17", "is no schedule; write five cron fields and a time zone"),
    ("PROTECTED_HOURS", "protected-hours", "* 9-17 * * mon-fri CEST", "CEST, which is no time zone; write an IANA"),
    ("STOP_AT", "stop-at", "22:00 UTC", "is no schedule; write five cron fields and a time zone"),
    ("STOP_AT", "stop-at", "0 25 * * * UTC", "bad hour"),
    ("STOP_AT", "stop-at", "", "is no schedule"),
    ("STOP_AT", "stop-at", "0 22 * * * " + "A" * 250, "is longer than 256 characters"),
    ("MAX_RUN", "max-run", "0", "must be longer than 0"),
    ("WARN_BEFORE", "warn-before", "never", "is not a duration"),
    ("REPORT_UNKNOWN_AFTER", "report-unknown-after", "0", "must be longer than 0"),
]


def field_of(variable: str) -> str:
    return variable.lower()


@pytest.mark.parametrize(("variable", "tag", "text", "value"), GOOD)
def test_a_setting_is_read_from_the_environment_and_from_a_tag(variable: str, tag: str, text: str, value: Any) -> None:
    from_environment = policy_from_environment({variable: text})
    from_tag, problems = policy_for(Policy(), {f"autostop:{tag}": text})

    assert getattr(from_environment, field_of(variable)) == value
    assert from_tag == from_environment
    assert problems == ()


@pytest.mark.parametrize(("variable", "tag", "text", "why"), BAD)
def test_a_bad_parameter_fails_by_name_and_a_bad_tag_is_reported(variable: str, tag: str, text: str, why: str) -> None:
    defaults = Policy(idle_after=timedelta(minutes=7), cpu_cores=3, jupyter_port=9000)

    with pytest.raises(InvalidSettingError, match=f"{variable} = .*{why}"):
        policy_from_environment({variable: text})
    policy, problems = policy_for(defaults, {f"autostop:{tag}": text})

    assert policy == defaults
    (problem,) = problems
    assert problem.startswith(f"tag autostop:{tag} = {text!r}")
    assert why in problem


def test_what_is_not_set_keeps_its_default() -> None:
    assert policy_from_environment({"PATH": "/bin"}) == Policy()
    assert policy_for(Policy(), {"Name": "lab", "idle-after": "1h"}) == (Policy(), ())


def test_one_bad_tag_does_not_hide_the_good_ones() -> None:
    policy, problems = policy_for(
        Policy(), {"autostop:idle-after": "abc", "autostop:grace": "5m", "autostop:probe": "x"}
    )

    assert policy == Policy(grace=timedelta(minutes=5))
    assert len(problems) == 2
