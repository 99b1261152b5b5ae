"""What an owner may type as a setting, and what is said about the rest."""

from dataclasses import fields, replace
from datetime import timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autostop.schedule import Schedule
from autostop.settings import (
    SETTINGS,
    InvalidSettingError,
    Policy,
    Probe,
    Setting,
    parse_duration,
    policy_for,
    policy_from_environment,
    words,
)
from autostop.tags import BESIDE_SETTINGS
from autostop_cli.what_if.command import NOT_REPLAYED


@pytest.mark.parametrize(("text", "seconds"), [
    ("0", 0), ("90s", 90), ("30m", 1800), ("2h", 7200), ("1d", 86400), ("1h30m", 5400), ("1d2h3m4s", 93784),
    (" 30m ", 1800), ("0s", 0), ("9999d", 9999 * 86400), ("30 m", 1800), ("1h 30m", 5400), ("30M", 1800),
    ("30min", 1800), ("1 hour 2 Minutes", 3720), ("2 hrs", 7200), ("1day 1sec", 86401),
])  # fmt: skip
def test_a_duration_is_read(text: str, seconds: int) -> None:
    assert parse_duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    "text",
    ["", " ", "30", "m", "-5m", "1.5h", "5m1h", "abc", "٣m", "99999d", "30mi", "1 week", "2hh"],
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


@pytest.mark.parametrize(("seconds", "expected"), [
    (-5, "0 s"), (0, "0 s"), (0.4, "0 s"), (45, "45 s"), (59.6, "1 min"), (1800, "30 min"), (5400, "1 h 30 min"),
    (7200, "2 h"), (3 * 86400, "3 d"), (93784, "1 d 2 h"),
])  # fmt: skip
def test_a_duration_in_words(seconds: float, expected: str) -> None:
    assert words(timedelta(seconds=seconds)) == expected


GOOD: dict[str, dict[str, object]] = {
    "idle-after": {"45m": timedelta(minutes=45), "off": None, "Never": None},
    "grace": {"0": timedelta(0)},
    "cpu-cores": {"0.5": 0.5, "1024": 1024.0},
    "cpu-period": {"60s": timedelta(seconds=60)},
    "shelve-after": {"off": None, "0": timedelta(0), "1d": timedelta(days=1)},
    "delete-after": {"off": None, "0": timedelta(0), "7d": timedelta(days=7)},
    "keep-awake-for": {"2h": timedelta(hours=2)},
    "probe": {"https": Probe.HTTPS, " none ": Probe.NONE, "SSM": Probe.SSM},
    "jupyter-port": {"1": 1, "65535": 65535},
    "ssh-user": {" ec2-user ": "ec2-user", "_x.y": "_x.y"},
    "instance-types": {
        "c6i.2xlarge,m5.2xlarge": ("c6i.2xlarge", "m5.2xlarge"),
        " c6i.2xlarge , u-6tb1.metal ": ("c6i.2xlarge", "u-6tb1.metal"),
        "C6i.large,c6i.large,m5.large": ("c6i.large", "m5.large"),
        "off": (),
    },
    "gpu-percent": {"0.5": 0.5, "99": 99.0, " off ": None},
    "network-rate": {
        "100k": 100_000.0, "1.5M": 1_500_000.0, " 1G ": 1_000_000_000.0, "800": 800.0, "100 K": 100_000.0,
        "off": None,
    },
    "weak-signals": {"2h": timedelta(hours=2), "off": timedelta(0), "0": timedelta(0)},
    "cpu-seconds": {"0.5": 0.5, "10": 10.0},
    "doubt-for": {"2h": timedelta(hours=2), "off": timedelta(0), "0": timedelta(0)},
    "ignore-kernels-older-than": {"3d": timedelta(days=3), "off": None},
    "protected-hours": {"* 9-17 * * mon-fri UTC": Schedule("* 9-17 * * mon-fri UTC"), " off ": None},
    "stop-at": {" 0  22 * * FRI europe/BERLIN": Schedule("0 22 * * fri Europe/Berlin"), "off": None, "no": None},
    "max-run": {"12h": timedelta(hours=12), "off": None},
    "warn-before": {"5m": timedelta(minutes=5), "0": timedelta(0), "off": timedelta(0)},
    "report-unknown-after": {"1d": timedelta(days=1), "off": None},
    "report-awake-after": {"12h": timedelta(hours=12), "off": None},
    "quiet-hours": {
        **{text: Schedule(text) for text in ("* 0-6,22-23 * * * UTC", "* * * * sat,sun UTC")},
        "off": None,
    },
    "time-zone": {" Europe/Berlin ": ZoneInfo("Europe/Berlin"), "utc": ZoneInfo("UTC")},
    "longest-promise": {"1d": timedelta(days=1), "off": None},
    "links-last": {"90d": timedelta(days=90), "off": None},
    "initialization-rate": {"100": 100, " 300 ": 300, "off": None},
}  # fmt: skip
BAD: dict[str, dict[str, list[str]]] = {
    "idle-after": {"must be longer than 0": ["0"], "is not a duration": ["soon"]},
    "grace": {"is not a duration": ["off"]},
    "cpu-cores": {"is not a number of processor cores": ["0", "-1", "nan", "inf", "1025", "two"]},
    "cpu-period": {"must be longer than 0": ["0"], "is no period of a metric": ["7s", "90s", "2d"]},
    "shelve-after": {"is not a duration": [""]},
    "delete-after": {"is not a duration": ["", "a week"]},
    "keep-awake-for": {"must be longer than 0": ["0s"]},
    "probe": {"is none of ssm, https, none": ["ssh"]},
    "jupyter-port": {"is not a port": ["0", "65536", "²", "-1"]},
    "ssh-user": {"is not the name of a user": ["", "-oProxyCommand=x", "a b", "a@b", "Ünal", "a" * 33]},
    "instance-types": {
        "is no list of instance types": ["", "c6i.2xlarge,", "c6i.*", "big", "c6i.2xlarge m5.large"],
        "is longer than 10": [",".join(f"c{n}.large" for n in range(11))],
    },
    "gpu-percent": {"is not a number of percent above 0 and below 100": ["0", "100", "nan", "5%"]},
    "network-rate": {
        "is not a number of bytes a second; write it like 100k": ["0", "0.000k", "100KB", "1e9", "-1k", "²k"]
    },
    "weak-signals": {"is not a duration": ["none"]},
    "cpu-seconds": {"is not a number of processor seconds": ["0", "-1", "nan", "1s"]},
    "doubt-for": {"is not a duration": ["none"]},
    "ignore-kernels-older-than": {"must be longer than 0": ["0"]},
    "protected-hours": {
        "is no schedule; write five cron fields and a time zone": ["9-17"],
        "CEST, which is no time zone; write an IANA": ["* 9-17 * * mon-fri CEST"],
    },
    "stop-at": {
        "is no schedule; write five cron fields and a time zone": ["22:00 UTC"],
        "bad hour": ["0 25 * * * UTC"],
        "is no schedule": [""],
        "is longer than 256 characters": ["0 22 * * * " + "A" * 250],
    },
    "max-run": {"must be longer than 0": ["0"]},
    "warn-before": {"is not a duration": ["never"]},
    "report-unknown-after": {"must be longer than 0": ["0"]},
    "report-awake-after": {"must be longer than 0": ["0"]},
    "quiet-hours": {
        "is no schedule; write five cron fields and a time zone": ["22-6"],
        "has no end within a week": ["* * * * * UTC", "* * * 6 * Europe/Berlin"],
    },
    "time-zone": {
        "is no time zone; write an IANA name, like Europe/Berlin": ["", "CEST", "localtime", "../etc/passwd", "Europe"]
    },
    "longest-promise": {"must be longer than 0": ["0"]},
    "links-last": {"must be longer than 0": ["0"]},
    "initialization-rate": {"is no rate that EBS takes; write a number from 100 to 300": ["99", "301", "0", "fast"]},
}
BY_NAME = {setting.name: setting for setting in SETTINGS}


def test_a_setting_has_one_name_in_each_place() -> None:
    names = {(each.name, each.field, each.variable, each.parameter, each.tag) for each in SETTINGS}

    assert [*(each.field for each in SETTINGS), "problems"] == [field.name for field in fields(Policy)]
    assert ("idle-after", "idle_after", "IDLE_AFTER", "IdleAfter", "autostop:idle-after") in names
    assert BY_NAME.keys() == GOOD.keys()
    assert NOT_REPLAYED.keys() < BY_NAME.keys()


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.name)
def test_a_setting_is_what_its_default_says_and_is_told_in_one_sentence(setting: Setting) -> None:
    assert getattr(Policy(), setting.field) == setting.parse(setting.default)
    assert setting.meaning[0].isupper()
    assert not setting.meaning.endswith(".")
    assert "|" not in setting.meaning  # it is a cell of a table, too


@pytest.mark.parametrize(("name", "text", "value"), [(n, *pair) for n, pairs in GOOD.items() for pair in pairs.items()])
def test_a_setting_is_read_from_the_environment_and_from_a_tag(name: str, text: str, value: Any) -> None:
    setting = BY_NAME[name]
    from_environment = policy_from_environment({setting.variable: text})
    from_tag, problems = policy_for(Policy(), {setting.tag: text})

    assert getattr(from_environment, setting.field) == value
    assert from_tag == from_environment
    assert problems == ()


@pytest.mark.parametrize(
    ("name", "text", "why"),
    [(n, text, why) for n, rows in BAD.items() for why, texts in rows.items() for text in texts],
)
def test_a_bad_parameter_and_a_bad_tag_are_told_by_name_and_the_gentlest_holds(name: str, text: str, why: str) -> None:
    setting = BY_NAME[name]
    defaults = Policy(idle_after=timedelta(minutes=7), cpu_cores=3, jupyter_port=9000)

    of_all = policy_from_environment({setting.variable: text})
    policy, problems = policy_for(defaults, {setting.tag: text})

    for begins, held, default, told in (
        (f"parameter {setting.parameter}", of_all, Policy(), of_all.problems),
        (f"tag {setting.tag}", policy, defaults, problems),
    ):
        gentlest = {setting.field: setting.parse(setting.gentler.most)} if setting.gentler else {}
        assert held == replace(default, **gentlest, problems=held.problems)
        (problem,) = told
        assert problem.startswith(f"{begins} = {text!r}")
        assert why in problem
        assert problem.endswith(f"taken as {setting.gentler.most}." if setting.gentler else "The default is used.")


def test_what_is_wrong_for_all_is_told_of_each_workstation() -> None:
    defaults = policy_from_environment({"STOP_AT": "0 25 * * * UTC"})

    policy, problems = policy_for(defaults, {"autostop:grace": "5 eons"})

    assert policy.stop_at is None
    assert [problem.partition(" is ")[0] for problem in problems] == [
        "parameter StopAt = '0 25 * * * UTC'",
        "tag autostop:grace = '5 eons'",
    ]


def test_what_is_not_set_keeps_its_default() -> None:
    assert policy_from_environment({"PATH": "/bin"}) == Policy()
    owners = {"Name": "lab", "stop": "at once", "grace": "1h", "AutoStopTime": "22:00", "autostart": "on", "probe": "x"}
    assert policy_for(Policy(), {"autostop": "on", "AutoStop": "true", **owners}) == (Policy(), ())
    ours = dict.fromkeys(BESIDE_SETTINGS, "x")
    assert policy_for(Policy(), ours) == (Policy(), ())


def test_one_bad_tag_does_not_hide_the_good_ones() -> None:
    policy, problems = policy_for(
        Policy(), {"autostop:idle-after": "abc", "autostop:grace": "5m", "autostop:probe": "x"}
    )

    assert policy == Policy(idle_after=None, grace=timedelta(minutes=5))
    assert len(problems) == 2
