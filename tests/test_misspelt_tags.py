"""Tags as people write them: each is understood, or told with its remedy while the gentler side holds.

The labels were written before the code that reads them. `meant` is the right spelling. What is told may be gentler than
that, and never harsher: nothing is stopped or shelved that the right spelling would have kept.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

import pytest

from autostop.settings import Policy, Probe, policy_for
from tests.build import row

ON: Final = {"autostop": "on"}
HARSH: Final = Policy(shelve_after=timedelta(0))


def understood(key: str, value: str, meant: Mapping[str, str]) -> Any:
    return row(f"{key}={value}", {key: value}, meant, None)


def told(key: str, value: str, meant: Mapping[str, str], remedy: str) -> Any:
    return row(f"{key}={value}", {key: value}, meant, remedy)


# fmt: off
SPELLINGS = [
    # The key
    told("autostop:idle_after", "4h", {"autostop:idle-after": "4h"}, "autostop:idle-after"),
    told("autostop:Idle-After", "4h", {"autostop:idle-after": "4h"}, "autostop:idle-after"),
    told("Autostop:idle-after", "4h", {"autostop:idle-after": "4h"}, "autostop:idle-after"),
    told("AUTOSTOP:IDLE_AFTER", "Off", {"autostop:idle-after": "off"}, "autostop:idle-after"),
    told("autostop:idleAfter", "90m", {"autostop:idle-after": "90m"}, "autostop:idle-after"),
    told("auto-stop:idle-after", "4h", {"autostop:idle-after": "4h"}, "autostop:idle-after"),
    told("autostop-idle-after", "4h", {"autostop:idle-after": "4h"}, "autostop:idle-after"),
    told("autostop/idle-after", "4h", {"autostop:idle-after": "4h"}, "autostop:idle-after"),
    told("autostop: idle-after", "4h", {"autostop:idle-after": "4h"}, "autostop:idle-after"),
    told("autostop:autostop:idle-after", "4h", {"autostop:idle-after": "4h"}, "autostop:idle-after"),
    told("idle-after", "4h", {"autostop:idle-after": "4h"}, "autostop:idle-after"),
    told("autostop:idle-afer", "4h", {"autostop:idle-after": "4h"}, "autostop:idle-after"),
    told("autostp:idle-after", "4h", {"autostop:idle-after": "4h"}, "autostop:idle-after"),
    told("autostop:idle", "4h", {"autostop:idle-after": "4h"}, "autostop:idle-after"),
    told("my-autostop:idle-after", "4h", {"autostop:idle-after": "4h"}, "autostop:idle-after"),
    told("autostop:grace-period", "2h", {"autostop:grace": "2h"}, "autostop:grace?"),
    told("autostop:warn", "1h", {"autostop:warn-before": "1h"}, "autostop:warn-before?"),
    told("autostop:timezone", "Europe/Berlin", {"autostop:time-zone": "UTC"}, "autostop:time-zone?"),
    told("autostop:stop-after", "4h", {"autostop:idle-after": "4h"}, "autostop:"),
    told("autostop:Protected-Hours", "* 9-17 * * mon-fri Europe/Berlin",
         {"autostop:protected-hours": "* 9-17 * * mon-fri Europe/Berlin"}, "autostop:protected-hours"),
    told("autostop:shelve_after", "never", {"autostop:shelve-after": "off"}, "autostop:shelve-after"),
    told("autostop:shelf-after", "off", {"autostop:shelve-after": "off"}, "autostop:shelve-after"),
    told("autostop:never-shelve", "true", {"autostop:shelve-after": "off"}, "Remove"),
    told("autostop:disabled", "yes", {"autostop:idle-after": "off", "autostop:shelve-after": "off"}, "Remove"),
    told("autostop:max_run", "3d", {"autostop:max-run": "3d"}, "autostop:max-run"),
    told("autostop:cpu_cores", "0.05", {"autostop:cpu-cores": "0.05"}, "autostop:cpu-cores"),
    told("autostop:Probe", "SSM", {"autostop:probe": "ssm"}, "autostop:probe"),
    told("autostop:jupyter_runtime", "/srv/runtime", {"autostop:jupyter-runtime": "/srv/runtime",
         "autostop:idle-after": "off"}, "autostop:jupyter-runtime"),
    # The value
    understood("autostop:idle-after", "Off", {"autostop:idle-after": "off"}),
    understood("autostop:idle-after", "never", {"autostop:idle-after": "off"}),
    understood("autostop:idle-after", " 4H ", {"autostop:idle-after": "4h"}),
    understood("autostop:idle-after", "4 hours", {"autostop:idle-after": "4h"}),
    understood("autostop:grace", "1h 30min", {"autostop:grace": "1h30m"}),
    told("autostop:idle-after", "240", {"autostop:idle-after": "240m"}, "write it like 90s, 30m, 2h"),
    told("autostop:idle-after", "1.5h", {"autostop:idle-after": "1h30m"}, "write it like 90s, 30m, 2h"),
    told("autostop:idle-after", "0", {"autostop:idle-after": "off"}, "longer than 0"),
    understood("autostop:shelve-after", "NEVER", {"autostop:shelve-after": "off"}),
    understood("autostop:shelve-after", "no", {"autostop:shelve-after": "off"}),
    understood("autostop:shelve-after", "false", {"autostop:shelve-after": "off"}),
    told("autostop:shelve-after", "", {"autostop:shelve-after": "off"}, "write it like 90s, 30m, 2h"),
    told("autostop:shelve-after", "a week", {"autostop:shelve-after": "7d"}, "write it like 90s, 30m, 2h"),
    told("autostop:protected-hours", "9-17", {"autostop:protected-hours": "* 9-17 * * * Europe/Berlin"},
         "five cron fields and a time zone"),
    understood("autostop:protected-hours", "* 9-17 * * MON-FRI europe/berlin",
               {"autostop:protected-hours": "* 9-17 * * mon-fri Europe/Berlin"}),
    told("autostop:protected-hours", "always", {"autostop:protected-hours": "* * * * * UTC"}, "five cron fields"),
    told("autostop:gpu-percent", "never", {"autostop:gpu-percent": "1"}, "number of percent"),
    understood("autostop:network-rate", "50K", {"autostop:network-rate": "50k"}),
    told("autostop:weak-signals", "none", {"autostop:weak-signals": "2h"}, "write it like 90s, 30m, 2h"),
    told("autostop:cpu-cores", "5%", {"autostop:cpu-cores": "0.05"}, "number of processor cores"),
    understood("autostop:probe", "Https", {"autostop:probe": "https"}),
    told("autostop:probe", "no", {"autostop:probe": "ssm"}, "ssm, https, none"),
    understood("autostop:stop-at", "Never", {"autostop:stop-at": "off"}),
    told("autostop:keep-awake-for", "1.5d", {"autostop:keep-awake-for": "36h"}, "write it like 90s, 30m, 2h"),
    told("autostop:warn-before", "1/2h", {"autostop:warn-before": "30m"}, "write it like 90s, 30m, 2h"),
    # The tag that makes it a workstation
    told("Autostop", "off", {"autostop:idle-after": "off", "autostop:shelve-after": "off"}, "autostop = on"),
]
# fmt: on

WEDNESDAY: Final = datetime.fromisoformat("2026-03-04T00:00:00+00:00")
WEEK: Final = [WEDNESDAY + timedelta(minutes=10 * number) for number in range(7 * 24 * 6)]


def harshness(policy: Policy) -> dict[str, float]:
    """How soon a policy stops and deletes, setting by setting: the larger, the harsher."""

    def soon(duration: timedelta | None) -> float:
        return -duration.total_seconds() if duration is not None else -1e12

    return {
        "idle-after": soon(policy.idle_after),
        "grace": soon(policy.grace),
        "cpu-cores": policy.cpu_cores,
        "gpu-percent": policy.gpu_percent if policy.gpu_percent is not None else 1e12,
        "network-rate": policy.network_rate if policy.network_rate is not None else 1e12,
        "weak-signals": soon(policy.weak_signals),
        "ignore-kernels-older-than": soon(policy.ignore_kernels_older_than),
        "protected-hours": -sum(map(policy.protected_hours.covers, WEEK)) if policy.protected_hours else 0,
        "stop-at": 1 if policy.stop_at else 0,
        "max-run": soon(policy.max_run),
        "warn-before": soon(policy.warn_before),
        "shelve-after": soon(policy.shelve_after),
        "delete-after": soon(policy.delete_after),
        "keep-awake-for": soon(policy.keep_awake_for),
        "longest-promise": soon(policy.longest_promise),
        "probe": [Probe.SSM, Probe.HTTPS, Probe.NONE].index(policy.probe),
    }


@pytest.mark.parametrize(("written", "meant", "remedy"), SPELLINGS)
def test_a_spelling_is_understood_or_told_and_is_never_harsher_than_the_right_one(
    written: Mapping[str, str], meant: Mapping[str, str], remedy: str | None
) -> None:
    policy, problems = policy_for(HARSH, {**ON, **written})
    right, of_right = policy_for(HARSH, {**ON, **meant})

    assert of_right == ()
    if remedy is None:
        assert (policy, problems) == (right, ())
    else:
        [problem] = problems
        [(key, value)] = written.items()
        assert key in problem
        assert repr(value) in problem
        assert remedy in problem
    harsher = {name for name, soon in harshness(policy).items() if soon > harshness(right)[name]}
    # Whoever is never stopped for idleness is not stopped by what counts as work either, nor warned of it.
    assert harsher <= (set() if policy.idle_after is not None else OF_IDLENESS)


# What only makes idleness stop it sooner or later.
OF_IDLENESS: Final = {
    "grace", "cpu-cores", "gpu-percent", "network-rate", "weak-signals", "protected-hours", "probe", "warn-before",
}  # fmt: skip


@pytest.mark.parametrize("key", ["autostop\uff1aidle-after", "\u0430utostop:idle-after", "autostop:idle\u2013after"])
def test_a_letter_that_only_looks_right_is_seen_through_and_shown(key: str) -> None:
    policy, [problem] = policy_for(HARSH, {**ON, key: "4h"})

    assert policy.idle_after == timedelta(hours=4)
    assert problem.isascii()
    assert "did you mean autostop:idle-after?" in problem


def test_tags_of_others_are_left_alone() -> None:
    others = ["aws:autostop:idle-after", "autoshutdown", "AutoStopTime", "team:stop", "Grace", "stop", "autostart"]
    assert policy_for(HARSH, {**ON, **dict.fromkeys(others, "4h")}) == (HARSH, ())


def test_there_are_spellings_enough() -> None:
    assert len(SPELLINGS) >= 45
