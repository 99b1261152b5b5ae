"""The peers' rules do what their documents say: each where it stops somebody, and where it never stops anything."""

import pytest

from tests.traces.files import DATA, read
from tests.traces.judged import judged
from tests.traces.peers import (
    PEERS,
    Rule,
    coder_connections,
    cpu_alarm,
    daytona_auto_stop,
    fly_sprites,
    harness_autostopping,
    jupyterhub_idle_culler,
    ona_environment_timeout,
    sagemaker_autostop,
    skypilot_jobs_and_ssh,
)
from tests.traces.table import by_minute, stops_of
from tests.traces.trace import Trace


def told(rule: Rule, trace: Trace) -> list[float]:
    return stops_of(rule, trace, *by_minute(trace))


@pytest.mark.parametrize(("rule", "name"), [
    pytest.param(cpu_alarm, "one-core-of-sixteen", id="the alarm: 0.7 of 16 cores are 4.4 percent"),
    pytest.param(cpu_alarm, "silent-cell-of-three-hours", id="the alarm: a cell that waits"),
    pytest.param(sagemaker_autostop, "edits-in-terminal", id="autostop.py: no session, older than the window"),
    pytest.param(sagemaker_autostop, "training-shown-as-idle", id="autostop.py: believes what the API says"),
    pytest.param(jupyterhub_idle_culler, "silent-training-cell", id="culler: a silent cell moves no activity"),
    pytest.param(skypilot_jobs_and_ssh, "silent-training-cell", id="SkyPilot: no job of its own, no login"),
    pytest.param(coder_connections, "tmux-job-after-logout", id="Coder: nobody is connected"),
    pytest.param(ona_environment_timeout, "silent-training-cell", id="Ona: a port and the processor count not"),
    pytest.param(daytona_auto_stop, "tmux-job-after-logout", id="Daytona: a task without anybody outside"),
    pytest.param(harness_autostopping, "compiles-over-ssh", id="Harness: nothing moves while it compiles"),
    pytest.param(fly_sprites, "tmux-job-after-logout", id="Sprites: a job without a task"),
])  # fmt: skip
def test_a_peer_stops_somebody_at_work(rule: Rule, name: str) -> None:
    trace = read(DATA / f"{name}.jsonl")
    assert judged(trace, told(rule, trace)).lost > 0


@pytest.mark.parametrize(("rule", "name"), [
    pytest.param(sagemaker_autostop, "starting-for-ever", id="autostop.py: what is not idle is in use"),
    pytest.param(jupyterhub_idle_culler, "tab-left-open", id="culler: an open tab"),
    pytest.param(skypilot_jobs_and_ssh, "ssh-left-open", id="SkyPilot: an SSH session"),
    pytest.param(coder_connections, "vscode-left-open", id="Coder: an editor's window"),
    pytest.param(ona_environment_timeout, "ssh-left-open", id="Ona: a plain SSH session"),
    pytest.param(daytona_auto_stop, "tab-left-open", id="Daytona: a page that polls"),
    pytest.param(harness_autostopping, "tab-left-open", id="Harness: a page that polls"),
    pytest.param(fly_sprites, "ssh-left-open", id="Sprites: a console"),
])  # fmt: skip
def test_a_peer_never_finds_who_left(rule: Rule, name: str) -> None:
    trace = read(DATA / f"{name}.jsonl")
    result = judged(trace, told(rule, trace))
    assert (result.found, result.all) == (0, 1)
    assert result.paid > 300


def test_peers_do_stop_a_machine_that_shows_nothing_at_all() -> None:
    trace = read(DATA / "started-and-nobody-came.jsonl")
    for rule in PEERS.values():
        result = judged(trace, told(rule, trace))
        assert result.found == 1
        assert result.lost == 0
